//! Processes that serve others for as long as a comparison takes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// A process that is stopped, by its own id, when its owner lets it go.
pub struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Server {
    /// Starts `words` in `folder` with its output line by line, so that what it says can be waited for.
    pub fn start(folder: &Path, words: &[&str]) -> Result<Self> {
        let mut command = Command::new("stdbuf");
        command
            .arg("-oL")
            .args(words)
            .current_dir(folder)
            .env("OMPI_MCA_plm", "isolated");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", words[0]))?;
        let stdout = child.stdout.take().context("a child has no output")?;
        Ok(Self {
            child,
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
        let status = self.child.wait()?;
        ensure!(status.success(), "it failed ({status})");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_heard_until_it_says_what_is_waited_for() {
        let words = [
            "/bin/sh",
            "-c",
            "echo hello; echo listening on port 17.; read forever",
        ];
        let mut server = Server::start(Path::new("/"), &words).unwrap();
        assert_eq!(server.after("listening on port ").unwrap(), "17");
        assert!(
            server.after("never").is_err(),
            "a server without input ends, and then nothing more is waited for"
        );
    }
}
