//! Foremen and workers for a master of this process: one process of the binary `muster` that keeps them.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The binary `muster`.
    pub binary: PathBuf,
    /// Where the sites keep everything.
    pub dir: PathBuf,
    /// Where their authority is.
    pub keys: PathBuf,
    /// The master they serve.
    pub master: SocketAddr,
    /// Foremen; with none, the workers are under the master.
    pub sites: u32,
    /// Workers in all.
    pub workers: u32,
    /// Cores of each.
    pub cores: u32,
    /// Memory of each in bytes.
    pub memory_bytes: Option<u64>,
}

/// The process that keeps them, started again if it ends.
///
/// It is started by a thread that lives as long: the kernel ends it with its thread, and so with this process.
#[derive(Debug)]
pub struct Sites {
    wish: Arc<Wish>,
    thread: Option<JoinHandle<()>>,
}

/// How sites are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// They are asked to leave.
    Ask,
    /// They are killed: nothing they hold is wanted.
    Kill,
}

#[derive(Debug, Default)]
struct Wish {
    state: Mutex<Wished>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wished {
    parting: Option<Parting>,
    /// What the process that runs reads; dropped, it leaves.
    lifeline: Option<ChildStdin>,
}

impl Sites {
    /// Starts them; returns when they are on their way.
    ///
    /// # Errors
    /// They cannot be started; what they say is in `sites.log` in their directory.
    pub fn start(plan: Plan) -> io::Result<Sites> {
        fs::create_dir_all(&plan.dir)?;
        let wish = Arc::new(Wish::default());
        let shared = Arc::clone(&wish);
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new().name("muster-sites".to_owned());
        let thread = thread.spawn(move || keep(&plan, &shared, &tell))?;
        told.recv().map_err(|_| io::ErrorKind::BrokenPipe)??;
        let thread = Some(thread);
        Ok(Sites { wish, thread })
    }

    /// Ends them and waits until they are gone.
    pub fn stop(mut self, parting: Parting) {
        self.end(parting);
    }

    fn end(&mut self, parting: Parting) {
        let mut state = self.wish.lock();
        state.parting.get_or_insert(parting);
        if let Some(mut lifeline) = state.lifeline.take()
            && parting == Parting::Kill
        {
            // One that has ended needs no word.
            lifeline.write_all(b"kill\n").ok();
        }
        drop(state);
        self.wish.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // Its panic has been reported.
            thread.join().ok();
        }
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        self.end(Parting::Kill);
    }
}

impl Wish {
    fn lock(&self) -> std::sync::MutexGuard<'_, Wished> {
        // What is behind it is whole after each statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits a little; says whether it was told to end meanwhile.
    fn pause(&self, pause: Duration) -> bool {
        let wished = self
            .changed
            .wait_timeout_while(self.lock(), pause, |state| state.parting.is_none());
        wished
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .parting
            .is_some()
    }
}

/// Keeps the process alive until it is wished away.
fn keep(plan: &Plan, wish: &Wish, tell: &mpsc::Sender<io::Result<()>>) {
    loop {
        let started = start(plan, wish);
        let begun = started.as_ref().map(|_| ()).map_err(repeat);
        // Only the first start is waited for.
        tell.send(begun).ok();
        match started {
            Ok(mut child) => {
                let ended = child.wait();
                tracing::debug!(?ended, "the process of the sites ended");
            }
            Err(error) => tracing::warn!(%error, "the sites cannot be started"),
        }
        if wish.pause(PAUSE) {
            return;
        }
    }
}

/// Starts the process and waits until it is ready.
fn start(plan: &Plan, wish: &Wish) -> io::Result<Child> {
    let log_path = plan.dir.join("sites.log");
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)?;
    let mut command = Command::new(&plan.binary);
    command.arg("__sites");
    for (name, value) in [
        ("superior", plan.master.to_string()),
        ("sites", plan.sites.to_string()),
        ("workers", plan.workers.to_string()),
        ("cores", plan.cores.to_string()),
        ("with-parent", std::process::id().to_string()),
    ] {
        command.arg(format!("--{name}={value}"));
    }
    command.arg("--dir").arg(&plan.dir);
    command.arg("--keys").arg(&plan.keys);
    if let Some(bytes) = plan.memory_bytes {
        command.arg(format!("--memory-bytes={bytes}"));
    }
    // Ctrl-C at the terminal is for Python, which knows what to do about them.
    command.process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(log).spawn()?;
    let mut state = wish.lock();
    if state.parting.is_none() {
        state.lifeline = child.stdin.take();
    }
    drop(state);
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    if line.trim() == "ready" {
        return Ok(child);
    }
    child.wait()?;
    let said = fs::read_to_string(&log_path).unwrap_or_default();
    Err(io::Error::other(format!(
        "the sites did not start: {}",
        said.trim()
    )))
}

fn repeat(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// Before the process is started again.
const PAUSE: Duration = Duration::from_millis(200);
