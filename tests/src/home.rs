//! A test's own world: a directory, keys, state, and the program under test in them.

use std::env;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::proc;
use crate::wait::until;

/// A directory of one test; whoever was started in it is gone when this is dropped, also after a panic.
pub struct Home {
    dir: TempDir,
}

impl Home {
    /// An empty world.
    pub fn new() -> Home {
        let dir = tempfile::Builder::new().prefix("muster-tests-").tempdir();
        let home = Home {
            dir: dir.expect("a temporary directory"),
        };
        fs::create_dir(home.work()).expect("a directory to work in");
        home
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where commands are run.
    pub fn work(&self) -> PathBuf {
        self.path("work")
    }

    /// Where the authority is.
    pub fn keys(&self) -> PathBuf {
        self.path("keys")
    }

    /// What every process of this test, and no other, bears in its environment.
    pub fn mark(&self) -> String {
        self.dir.path().display().to_string()
    }

    /// The program under test with `words`, in the directory to work in.
    pub fn muster(&self, words: &[&str]) -> Command {
        self.muster_within(&[], words)
    }

    /// The same behind words that say where it runs.
    pub fn muster_within(&self, before: &[String], words: &[&str]) -> Command {
        let mut command = match before {
            [] => Command::new(binary()),
            [first, others @ ..] => {
                let mut command = Command::new(first);
                command.args(others).arg(binary());
                command
            }
        };
        command
            .args(words)
            .current_dir(self.work())
            .env("MUSTER_STATE", self.path("state"))
            .env("MUSTER_KEYS", self.keys())
            .env_remove("MUSTER_PROJECT")
            .env_remove("MUSTER_CATALOG")
            .env_remove("MUSTER_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, words: &[&str], limit: Duration) -> Ran {
        finished(self.muster(words), limit)
    }

    /// Writes a file to work with.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.work().join(name), contents).expect("the file is written");
    }

    /// What `cksum` says of a file.
    pub fn sum_of(&self, name: &str) -> String {
        let mut sum = Command::new("cksum");
        let sum = sum.arg(name).current_dir(self.work()).output();
        String::from_utf8_lossy(&sum.expect("POSIX has it").stdout).into_owned()
    }

    /// Reads a file that work has left.
    pub fn read(&self, name: &str) -> String {
        let path = self.work().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A process that is being born while the others are killed is found by the next look.
        for _ in 0..SWEEPS {
            proc::kill(&proc::bearing(&self.mark()));
        }
    }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Ran {
    /// Itself, having ended with `code`.
    pub fn ended_with(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Its standard output as one document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The last line of its standard output as a document: before it are the numbers of what was submitted.
    pub fn last_json(&self) -> Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Its standard output as a document for each line.
    pub fn json_lines(&self) -> Vec<Value> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        lines
            .collect::<Result<_, _>>()
            .unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// Runs `command` to its end; kills it at `limit`.
pub fn finished(mut command: Command, limit: Duration) -> Ran {
    let words = format!("{command:?}");
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    Running::new(child.expect("the program starts"), words).finish(limit)
}

/// A command under way; killed when dropped.
pub struct Running {
    child: Child,
    words: String,
    streams: Vec<thread::JoinHandle<String>>,
}

impl Running {
    /// Starts `command`.
    pub fn start(mut command: Command) -> Running {
        let words = format!("{command:?}");
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Running::new(child.expect("the program starts"), words)
    }

    fn new(mut child: Child, words: String) -> Running {
        let stdout = child.stdout.take().map(drained);
        let stderr = child.stderr.take().map(drained);
        Running {
            child,
            words,
            streams: stdout.into_iter().chain(stderr).collect(),
        }
    }

    /// Its process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for its end.
    pub fn finish(mut self, limit: Duration) -> Ran {
        let status = until(&self.words, limit, || {
            self.child.try_wait().expect("a child")
        });
        let mut texts = self
            .streams
            .drain(..)
            .map(|stream| stream.join().expect("no panic"));
        Ran {
            code: status.code(),
            stdout: texts.next().unwrap_or_default(),
            stderr: texts.next().unwrap_or_default(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for one that has ended and been waited for.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Reads a stream beside the test, so that nobody waits for a full pipe.
fn drained(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A stream that breaks off has been read as far as it goes.
        let _read = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The program under test.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| env::var_os("MUSTER_BIN").map_or_else(built, PathBuf::from))
}

/// Builds it as people get it, and learns from cargo where it is.
fn built() -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let words = [
        "build",
        "--release",
        "--package",
        "muster",
        "--message-format",
        "json",
    ];
    let built: Output = Command::new(cargo)
        .args(words)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    assert!(
        built.status.success(),
        "the program under test cannot be built"
    );
    let text = String::from_utf8_lossy(&built.stdout).into_owned();
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs = messages.filter(|message| message["target"]["name"] == "muster");
    let mut paths =
        programs.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    paths
        .next_back()
        .expect("cargo names the program it has built")
}

/// Looks for left-over processes at the end of a test; two would do.
const SWEEPS: usize = 3;
