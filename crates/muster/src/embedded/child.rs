//! One child process: started, kept alive, asked to leave, killed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use muster_node::clock::Clock;
use muster_proto::Span;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{Signal as Ends, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::EmbeddedError;

/// How a child is started, each time.
#[derive(Debug)]
pub(super) struct Part {
    name: String,
    words: Vec<String>,
    dir: PathBuf,
    /// Where its authority is.
    keys: PathBuf,
    /// The port it listens on; 0 until it has chosen one, `None` if it does not listen.
    port: Option<u16>,
}

impl Part {
    /// A child called `name` with its files in `dir`, started with `words`.
    pub(super) fn new(dir: &Path, name: &str, words: Vec<String>) -> Part {
        Part {
            name: name.to_owned(),
            words,
            dir: dir.to_owned(),
            keys: dir.join("keys"),
            port: None,
        }
    }

    /// Lets it be vouched for by the authority in `keys`; else it is the one in its directory.
    pub(super) fn vouched_by(mut self, keys: &Path) -> Part {
        self.keys = keys.to_owned();
        self
    }

    /// Lets it listen on a port of its choice, the same one after each start.
    pub(super) fn listening(mut self) -> Part {
        self.port = Some(0);
        self
    }

    fn port_file(&self) -> PathBuf {
        self.dir.join(format!("{}.port", self.name))
    }

    fn log(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }

    fn spawn(&self) -> io::Result<Process> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(&self.words)
            .arg(format!("--with-parent={}", std::process::id()))
            .arg("--state-dir")
            .arg(self.dir.join(&self.name))
            .arg("--keys")
            .arg(&self.keys)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C at the terminal is for the parent, which knows what to do about the children.
            .process_group(0);
        if let Some(port) = self.port {
            let port_file = self.port_file();
            // One that was killed has left its own behind.
            match fs::remove_file(&port_file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            command
                .arg("--listen")
                .arg(format!("127.0.0.1:{port}"))
                .arg("--port-file")
                .arg(port_file);
        }
        Process::start(&mut command)
    }

    fn started(&self) -> Result<Process, EmbeddedError> {
        self.spawn().map_err(|source| EmbeddedError::Spawn {
            name: self.name.clone(),
            source,
        })
    }

    fn not_ready(&self) -> EmbeddedError {
        let log = self.log();
        let said = tail(&log).unwrap_or_default();
        EmbeddedError::NotReady {
            name: self.name.clone(),
            log,
            said,
        }
    }
}

/// A child that has been started.
#[derive(Debug)]
pub(super) struct Child {
    part: Part,
    process: Process,
    /// Notified when it is to be killed.
    strike: Arc<Notify>,
}

impl Child {
    pub(super) fn start(part: Part) -> Result<Child, EmbeddedError> {
        let process = part.started()?;
        Ok(Child {
            part,
            process,
            strike: Arc::default(),
        })
    }

    /// What kills it when it is notified, as a crash would; it is started again like any other that ended.
    pub(super) fn strike(&self) -> Arc<Notify> {
        Arc::clone(&self.strike)
    }

    /// Waits until it listens; says where.
    pub(super) async fn port(&mut self) -> Result<u16, EmbeddedError> {
        let clock = Clock::start();
        let until = clock.now() + READY_MAX;
        let file = self.part.port_file();
        loop {
            let text = fs::read_to_string(&file).unwrap_or_default();
            if let Ok(port) = text.trim_end().parse() {
                self.part.port = Some(port);
                return Ok(port);
            }
            let ended = timeout(READY_POLL, self.process.ended()).await.is_ok();
            if ended || clock.now() > until {
                return Err(self.part.not_ready());
            }
        }
    }

    /// Starts it again whenever it ends, until `leaving` says so; then asks it to leave, and kills it if it does not.
    pub(super) async fn keep(self, mut leaving: watch::Receiver<bool>) {
        let Child {
            part,
            mut process,
            strike,
        } = self;
        let clock = Clock::start();
        let mut pause = PAUSE_MIN;
        loop {
            let begun = clock.now();
            tokio::select! {
                () = asked(&mut leaving) => return process.leave().await,
                () = process.ended() => {}
                () = strike.notified() => process.kill(),
            }
            if clock.now().since(begun) > SOUND {
                pause = PAUSE_MIN;
            }
            tracing::warn!(child = %part.name, "a process of the federation ended; starting it again");
            loop {
                tokio::select! {
                    () = asked(&mut leaving) => return,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSE_MAX);
                match part.started() {
                    Ok(again) => {
                        process = again;
                        break;
                    }
                    Err(error) => tracing::warn!(%error, "cannot start it again yet"),
                }
            }
        }
    }
}

/// Waits until all are to leave, or nobody is left to say so.
async fn asked(leaving: &mut watch::Receiver<bool>) {
    let _asked = leaving.wait_for(|leaving| *leaving).await.is_ok();
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
struct Process {
    child: std::process::Child,
    /// Says that some child has ended.
    ends: Ends,
}

impl Process {
    fn start(command: &mut Command) -> io::Result<Process> {
        // Listened for first, so that no end goes unheard.
        let ends = signal(SignalKind::child())?;
        let child = command.spawn()?;
        Ok(Process { child, ends })
    }

    /// Waits until it has ended. Cancel safe.
    async fn ended(&mut self) {
        // An error can only mean that there is nothing to wait for.
        while let Ok(None) = self.child.try_wait() {
            self.ends.recv().await;
        }
    }

    /// Ends it at once, and waits for the little that this takes.
    fn kill(&mut self) {
        // Both fail only for one that has ended and been waited for.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }

    async fn leave(mut self) {
        // It fails only for one that has ended.
        let _asked = kill_process(Pid::from_child(&self.child), Signal::TERM);
        if timeout(LEAVE_MAX, self.ended()).await.is_err() {
            tracing::warn!(
                pid = self.child.id(),
                "a process of the federation did not leave; killing it"
            );
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The end of a log, for an error message.
fn tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// When a child that has not become ready never will: a start takes milliseconds, a loaded machine some seconds.
const READY_MAX: Span = Span::secs(20);
/// Between looks for a port file: a start costs a few of these.
const READY_POLL: Duration = Duration::from_millis(2);
/// When a child that was asked to leave is killed.
const LEAVE_MAX: Duration = Duration::from_secs(10);
/// Before the first start of one that ended.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Before the next start of one that keeps ending.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// After this long its start is held to have gone well.
const SOUND: Span = Span::secs(10);
const TAIL_BYTES: u64 = 2_000;
