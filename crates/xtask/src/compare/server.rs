//! Processes that a comparison starts, each stopped by its own id when its owner lets it go.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::succeed;
use crate::clock::Stopwatch;

/// A process that does not outlive its owner.
pub struct Process(Child);

impl Process {
    /// Starts `command`.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).spawn();
        Ok(Self(
            child.with_context(|| format!("{name} cannot be started"))?,
        ))
    }

    /// Fails if it has ended.
    pub fn lives(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            Some(status) => bail!("a server ended by itself ({status})"),
            None => Ok(()),
        }
    }

    /// Asks it to leave; whoever lets it go waits until it has.
    pub fn dismiss(&self) {
        // It fails only if the process has ended by itself, which is as good.
        let _ = Command::new("sh")
            .args(["-c", "kill -TERM $0", &self.0.id().to_string()])
            .stderr(Stdio::null())
            .status();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            self.dismiss();
        }
        let left = || match self.0.try_wait() {
            Ok(None) => Ok(None),
            Ok(Some(_)) | Err(_) => Ok(Some(())),
        };
        let _ = until("a server leaves", LEAVE, left);
        // Both fail only if the process has ended, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network of its own with nothing in it but loopback.
///
/// `makeflow` listens on all addresses of the host and has no option against it.
pub struct Cell(Server);

impl Cell {
    /// Makes one, or says why it cannot be.
    pub fn new() -> Result<Self> {
        let words = [
            "unshare",
            "--user",
            "--map-root-user",
            "--net",
            "sh",
            "-c",
            "ip link set lo up && echo ready && exec sleep infinity",
        ];
        let mut holder = Server::spawn(Command::new("stdbuf").arg("-oL").args(words))?;
        holder
            .after("ready")
            .context("a network of its own cannot be made for it with unshare and ip")?;
        Ok(Self(holder))
    }

    /// Starts `words` inside, in `folder`, with its output line by line, so that what it says can be waited for.
    pub fn start(&self, folder: &Path, words: &[&str]) -> Result<Server> {
        let mut command = Command::new("nsenter");
        command
            .args(["--user", "--net", "--preserve-credentials", "--target"])
            .arg(self.0.process.0.id().to_string())
            .args(["stdbuf", "-oL"])
            .args(words)
            .current_dir(folder)
            .env("OMPI_MCA_plm", "isolated");
        Server::spawn(&mut command)
    }
}

/// A process that is listened to.
pub struct Server {
    process: Process,
    lines: BufReader<ChildStdout>,
}

impl Server {
    fn spawn(command: &mut Command) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process::start(command)?;
        let stdout = process.0.stdout.take().context("a child has no output")?;
        Ok(Self {
            process,
            lines: BufReader::new(stdout),
        })
    }

    /// Reads until a line that has `mark` in it, and returns what follows the mark.
    pub fn after(&mut self, mark: &str) -> Result<String> {
        let mut line = String::new();
        while self.lines.read_line(&mut line)? > 0 {
            if let Some((_, rest)) = line.split_once(mark) {
                return Ok(rest.trim().trim_end_matches('.').to_owned());
            }
            line.clear();
        }
        bail!("it ended without saying \"{mark}\"")
    }

    /// Reads to the end of what it says, and then wants success.
    pub fn finish(mut self) -> Result<()> {
        let mut line = Vec::new();
        while self.lines.read_until(b'\n', &mut line)? > 0 {
            line.clear();
        }
        let status = self.process.0.wait()?;
        ensure!(status.success(), "it failed ({status})");
        Ok(())
    }
}

/// Looks again and again until `look` finds something, and returns it; gives up after `limit`.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let watch = Stopwatch::start();
    let (_nobody, silence) = mpsc::channel::<()>();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(watch.elapsed() < limit, "{what}: not within {limit:?}");
        // Nobody ever sends, so this ends by its time alone.
        let _passed = silence.recv_timeout(PAUSE).is_err();
    }
}

/// Puts on the disk what others have written, so that nobody pays for what the one before has left.
pub fn settle() -> Result<()> {
    succeed(&mut Command::new("sync"))
}

/// When a server that was asked to leave is killed.
const LEAVE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn talker(script: &str) -> Server {
        Server::spawn(Command::new("/bin/sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn a_server_is_heard_until_it_says_what_is_waited_for() {
        let mut server = talker("echo hello; echo listening on port 17.; read forever");
        assert_eq!(server.after("listening on port ").unwrap(), "17");
        assert!(
            server.after("never").is_err(),
            "a server without input ends, and then nothing more is waited for"
        );
    }

    #[test]
    fn a_server_is_gone_when_its_owner_lets_it_go() {
        let mut server = talker("echo begun; exec sleep 1000");
        server.after("begun").unwrap();
        let seat = format!("/proc/{}", server.process.0.id());
        assert!(Path::new(&seat).exists(), "it runs");
        drop(server);
        assert!(!Path::new(&seat).exists(), "it was stopped and waited for");
    }

    #[test]
    fn what_never_comes_is_given_up() {
        let found = until("a miracle", Duration::ZERO, || Ok(None::<()>));
        assert!(found.is_err());
    }
}
