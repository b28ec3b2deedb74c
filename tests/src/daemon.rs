//! A standing process of a test: started, killed, started again on its state.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::home::Home;
use crate::wait::{SOON, pass, until};

/// A master, foreman or worker with a state directory of its own.
pub struct Daemon<'a> {
    home: &'a Home,
    name: String,
    words: Vec<String>,
    environment: Vec<(String, String)>,
    listens: bool,
    /// The host it listens at.
    host: String,
    /// What stands before its command: where it runs.
    before: Vec<String>,
    child: Option<Child>,
}

impl<'a> Daemon<'a> {
    /// Starts a master of `project` and waits until it can be reached.
    pub fn master(home: &'a Home, project: &str) -> Daemon<'a> {
        Daemon::listening(
            home,
            &format!("master-{project}"),
            &["master", "--project", project],
        )
    }

    /// Starts a foreman of `site` below `superiors` and waits until it can be reached.
    pub fn foreman(home: &'a Home, site: &str, superiors: &[String]) -> Daemon<'a> {
        let superiors = superiors.join(",");
        let words = [
            "foreman",
            "--site",
            site,
            "--name",
            site,
            "--superior",
            &superiors,
        ];
        Daemon::listening(home, &format!("foreman-{site}"), &words)
    }

    /// Starts a worker below `superior`, for `cores` tasks at once.
    pub fn worker(home: &'a Home, name: &str, superior: &str, cores: u32) -> Daemon<'a> {
        Daemon::worker_with(home, name, superior, cores, &[])
    }

    /// Starts a worker in whose environment there is more.
    pub fn worker_with(
        home: &'a Home,
        name: &str,
        superior: &str,
        cores: u32,
        environment: &[(&str, &str)],
    ) -> Daemon<'a> {
        let cores = cores.to_string();
        let words = ["worker", superior, "--name", name, "--cores", &cores];
        let mut daemon = Daemon::new(home, &format!("worker-{name}"), &words);
        daemon.environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        daemon.start();
        daemon
    }

    /// Starts a replica of the catalog: the founder, or one that joins those at `join`.
    pub fn catalog(home: &'a Home, name: &str, join: &[String]) -> Daemon<'a> {
        Daemon::catalog_at(home, name, join, ("127.0.0.1".to_owned(), Vec::new()))
    }

    /// The same at a host, behind words that say how one runs something there.
    pub fn catalog_at(
        home: &'a Home,
        name: &str,
        join: &[String],
        (host, before): (String, Vec<String>),
    ) -> Daemon<'a> {
        let join = join.join(",");
        let mut words = vec!["catalog", "start", "--name", name];
        if !join.is_empty() {
            words.extend(["--join", &join]);
        }
        let mut daemon = Daemon::new(home, &format!("catalog-{name}"), &words);
        (daemon.host, daemon.before, daemon.listens) = (host, before, true);
        daemon.start();
        daemon
    }

    /// Starts a process that does not listen.
    pub fn mute(home: &'a Home, name: &str, words: &[&str]) -> Daemon<'a> {
        let mut daemon = Daemon::new(home, name, words);
        daemon.start();
        daemon
    }

    /// Starts a process that listens, and waits until it can be reached.
    pub fn listening(home: &'a Home, name: &str, words: &[&str]) -> Daemon<'a> {
        let mut daemon = Daemon::new(home, name, words);
        daemon.listens = true;
        daemon.start();
        daemon
    }

    fn new(home: &'a Home, name: &str, words: &[&str]) -> Daemon<'a> {
        Daemon {
            home,
            name: name.to_owned(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            environment: Vec::new(),
            listens: false,
            host: "127.0.0.1".to_owned(),
            before: Vec::new(),
            child: None,
        }
    }

    /// Starts it where it was; returns when it can be reached, if it listens.
    pub fn start(&mut self) {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let mut command = self.home.muster_within(&self.before, &words);
        command.arg("--state-dir").arg(self.state_dir());
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        if self.listens {
            // One that was killed has left its own behind.
            let _removed = fs::remove_file(self.port_file());
            command
                .args(["--listen", &format!("{}:0", self.host)])
                .arg("--port-file")
                .arg(self.port_file());
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log");
        command.stderr(log);
        self.child = Some(command.spawn().expect("the program starts"));
        if self.listens {
            self.address();
        }
    }

    /// Where it can be reached, once it says so.
    pub fn address(&mut self) -> String {
        let file = self.port_file();
        let port = until(&format!("{} is ready", self.name), SOON, || {
            let ended = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().expect("a child"));
            assert!(
                ended.is_none(),
                "{} ended ({ended:?}): {}",
                self.name,
                self.log()
            );
            fs::read_to_string(&file).ok()?.trim().parse::<u16>().ok()
        });
        format!("{}:{port}", self.host)
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only for one that has ended and been waited for.
            let _killed = child.kill();
            let _status = child.wait();
        }
    }

    /// `kill -9`, and starts it again.
    pub fn kill_and_start(&mut self) {
        self.kill();
        self.start();
    }

    /// Stops it for `time`, as a suspended machine is.
    pub fn pause(&self, time: Duration) {
        self.signal(Signal::STOP);
        pass(time);
        self.signal(Signal::CONT);
    }

    /// Asks it to leave, and says how it did.
    pub fn leave(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let mut child = self.child.take().expect("it runs");
        until(&format!("{} leaves", self.name), SOON, || {
            child.try_wait().expect("a child")
        })
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("it lives");
    }

    /// Where its state is.
    pub fn state_dir(&self) -> PathBuf {
        self.home.path(&self.name)
    }

    /// Where its port is written while it can be reached.
    pub fn port_file(&self) -> PathBuf {
        self.home.path(&format!("{}.port", self.name))
    }

    /// What it has logged so far, in all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.home.path(&format!("{}.log", self.name))
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            println!("--- the log of {}\n{}", self.name, self.log());
        }
    }
}
