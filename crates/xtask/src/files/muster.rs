//! Muster: a standing master, two foremen and eight workers, all new, and `muster run` on them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{Course, SCRIPT, SHARED, SITES, Took, WORKERS_PER_SITE};
use crate::clock::Stopwatch;
use crate::server::Server;

pub fn measure(course: &Course, folder: &Path) -> Result<Took> {
    let federation = Federation::start(course, folder)?;
    let results = folder.join("results");
    let half = course.half().to_string();
    let mut run = federation.command("run");
    run.args(["--master", &federation.master, "--quiet", "--input", SHARED]);
    run.args(["--output", "{/}.out", "--output-dir"])
        .arg(&results);
    run.args([
        "--", "sh", "-c", SCRIPT, "task", "{}", "{/}.out", &half, ":::",
    ]);
    run.args((0..course.tasks).map(|task| format!("in/{task}")));
    run.current_dir(&course.inputs)
        .env("MUSTER_STATE", folder.join("state"));
    let watch = Stopwatch::start();
    let status = run
        .stdin(Stdio::null())
        .status()
        .context("muster cannot be started")?;
    let seconds = watch.elapsed().as_secs_f64();
    ensure!(status.success(), "muster run failed ({status})");
    course.verify(&results, |task| format!("{task}.out"))?;
    Ok(Took {
        seconds,
        crossed: Some(federation.crossed(course)?),
    })
}

/// Processes of one turn; they end with it.
struct Federation {
    program: PathBuf,
    keys: PathBuf,
    /// The master's address.
    master: String,
    servers: Vec<Server>,
}

impl Federation {
    fn start(course: &Course, folder: &Path) -> Result<Self> {
        let mut federation = Self {
            program: course.muster.clone(),
            keys: folder.join("keys"),
            master: String::new(),
            servers: Vec::new(),
        };
        federation.master =
            federation.listener(folder, "master", &["master", "--project", "files"])?;
        let master = federation.master.clone();
        for site in 0..SITES {
            let name = format!("s{site}");
            let words = ["foreman", "--site", &name, "--superior", &master];
            let foreman = federation.listener(folder, &name, &words)?;
            for worker in 0..WORKERS_PER_SITE {
                let name = format!("s{site}w{worker}");
                let (state, share) = (folder.join(&name), folder.join(format!("share{site}")));
                let site = format!("s{site}");
                let words = ["worker", "--site", &site, "--name", &name, "--cores", "1"];
                let paths = [("--state-dir", state), ("--share", share)];
                federation.serve(folder, &[&words[..], &[&foreman]].concat(), &paths)?;
            }
        }
        while federation.workers()? < SITES * WORKERS_PER_SITE {
            thread::sleep(GLANCE);
        }
        Ok(federation)
    }

    /// Starts a process that listens, and returns where.
    fn listener(&mut self, folder: &Path, name: &str, words: &[&str]) -> Result<String> {
        let port_file = folder.join(format!("{name}.port"));
        let words = [words, &["--listen", "127.0.0.1:0"]].concat();
        let paths = [
            ("--state-dir", folder.join(name)),
            ("--port-file", port_file.clone()),
        ];
        self.serve(folder, &words, &paths)?;
        for _ in 0..GLANCES {
            match fs::read_to_string(&port_file) {
                Ok(port) if !port.is_empty() => return Ok(format!("127.0.0.1:{}", port.trim())),
                Ok(_) | Err(_) => thread::sleep(GLANCE),
            }
        }
        bail!("{name} does not listen")
    }

    fn serve(&mut self, folder: &Path, words: &[&str], paths: &[(&str, PathBuf)]) -> Result<()> {
        let text = |path: &Path| {
            path.to_str()
                .map(str::to_owned)
                .context("a path is no text")
        };
        let (program, keys) = (text(&self.program)?, text(&self.keys)?);
        let paths: Result<Vec<[String; 2]>> = paths
            .iter()
            .map(|(name, path)| Ok([(*name).to_owned(), text(path)?]))
            .collect();
        let paths = paths?;
        let paths = paths.iter().flatten().map(String::as_str);
        let head = [program.as_str(), words[0], "--keys", &keys].into_iter();
        let words: Vec<&str> = head
            .chain(paths)
            .chain(words[1..].iter().copied())
            .collect();
        self.servers.push(Server::start(folder, &words)?);
        Ok(())
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(name).arg("--keys").arg(&self.keys);
        command
    }

    fn status(&self) -> Result<Value> {
        let mut status = self.command("status");
        status.args(["--master", &self.master, "--json"]);
        let answer = status.output().context("muster cannot be started")?;
        serde_json::from_slice(&answer.stdout).context("muster status printed no JSON")
    }

    fn workers(&self) -> Result<u64> {
        let status = self.status()?;
        let sites = status["sites"].as_array().into_iter().flatten();
        Ok(sites.filter_map(|site| site["below"].as_u64()).sum())
    }

    /// What the master has sent to the sites, as a part of the contents that had to go there.
    fn crossed(&self, course: &Course) -> Result<f64> {
        let status = self.status()?;
        let links = status["links"]
            .as_array()
            .context("no links in the status")?;
        let foremen = links.iter().filter(|link| link["role"] == "foreman");
        let sent: u64 = foremen.filter_map(|link| link["sent_bytes"].as_u64()).sum();
        let needed = SITES * course.shared_bytes + course.tasks * course.own_bytes;
        Ok(sent as f64 / needed as f64)
    }
}

/// How often one looks whether a process is ready, and for how long.
const GLANCE: Duration = Duration::from_millis(20);
const GLANCES: u32 = 500;
