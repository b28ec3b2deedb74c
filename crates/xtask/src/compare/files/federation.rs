//! Muster's own turn: a standing federation on loopback, and one `muster run` for the whole load.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::super::server::{Process, until};
use super::Taken;
use super::load::Load;
use crate::clock::Stopwatch;

/// A master, its foremen and their workers, all with nothing in their stores.
struct Federation<'a> {
    load: &'a Load,
    folder: &'a Path,
    processes: Vec<Process>,
    master: String,
}

/// Moves the load through a federation that has just been started.
pub fn measure(load: &Load, folder: &Path) -> Result<Taken> {
    let federation = Federation::start(load, folder)?;
    let before = federation.sent()?;
    let watch = Stopwatch::start();
    let sites = federation.run()?;
    let seconds = watch.elapsed().as_secs_f64();
    let after = federation.sent()?;
    let part = |(site, sent): (String, u64)| {
        let tasks = sites.get(&site).copied().unwrap_or(0);
        let sent = sent - before.get(&site).copied().unwrap_or(0);
        sent as f64 / (load.shared_bytes + tasks * load.own_bytes) as f64
    };
    Ok(Taken {
        seconds,
        sent: after.into_iter().map(part).reduce(f64::max),
    })
}

impl<'a> Federation<'a> {
    /// Starts all of it, and waits until the master knows of every worker.
    fn start(load: &'a Load, folder: &'a Path) -> Result<Self> {
        let mut federation = Self {
            load,
            folder,
            processes: Vec::new(),
            master: String::new(),
        };
        federation.master = federation.listener("master", &["master", "--project", "compare"])?;
        let master = federation.master.clone();
        for site in 0..load.sites {
            let site = format!("site.{site}");
            let words = ["foreman", "--site", &site, "--superior", &master];
            let foreman = federation.listener(&site, &words)?;
            for worker in 0..load.workers {
                let words = ["worker", &foreman, "--site", &site, "--cores", "1"];
                let mut command = federation.daemon(&format!("{site}.worker.{worker}"), &words)?;
                // Workers stand for hosts here.
                command.args(["--share", "none"]);
                federation.processes.push(Process::start(&mut command)?);
            }
        }
        let workers = load.sites * load.workers;
        until("all workers come", READY, || {
            federation.alive()?;
            let status = federation.status()?;
            let sites = status["sites"].as_array().map_or(&[][..], Vec::as_slice);
            let slots = sites.iter().filter_map(|site| site["slots"].as_u64());
            Ok((slots.sum::<u64>() == workers).then_some(()))
        })?;
        Ok(federation)
    }

    /// Starts one that others dial, and returns its address.
    fn listener(&mut self, name: &str, words: &[&str]) -> Result<String> {
        let file = self.folder.join(format!("{name}.port"));
        let mut command = self.daemon(name, words)?;
        command
            .args(["--listen", "127.0.0.1:0", "--port-file"])
            .arg(&file);
        self.processes.push(Process::start(&mut command)?);
        let port = until("a port is known", READY, || {
            self.alive()?;
            let text = fs::read_to_string(&file).unwrap_or_default();
            Ok(text.trim().parse::<u16>().ok())
        })?;
        Ok(format!("127.0.0.1:{port}"))
    }

    /// The command of a standing process, which dies with this one.
    fn daemon(&self, name: &str, words: &[&str]) -> Result<Command> {
        let log = fs::File::create(self.folder.join(format!("{name}.log")))?;
        let mut command = self.muster(words);
        command
            .arg("--state-dir")
            .arg(self.folder.join(name))
            .arg(format!("--with-parent={}", std::process::id()))
            .stdout(Stdio::null())
            .stderr(log);
        Ok(command)
    }

    fn muster(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.load.muster);
        command
            .args(words)
            .current_dir(self.folder.join("work"))
            .env("MUSTER_STATE", self.folder.join("state"))
            .env("MUSTER_KEYS", self.folder.join("keys"))
            .env_remove("MUSTER_PROJECT")
            .env_remove("MUSTER_LOG")
            .stdin(Stdio::null());
        command
    }

    fn alive(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::lives)
    }

    /// Runs the ensemble to its end, and returns how many tasks each site ran: every task says where it is.
    fn run(&self) -> Result<BTreeMap<String, u64>> {
        let script = format!("{}; echo $MUSTER_SITE", self.load.command("{}"));
        let numbers = format!("1-{}", self.load.tasks);
        let mut command = self.muster(&["run", "--quiet", "--master", &self.master]);
        command
            .args(["--array", &numbers, "--input", Load::SHARED])
            .args(["--input", "in.{}", "--output", "out.{}"])
            .args(["--", "sh", "-c", &script]);
        let said = answer(&mut command)?;
        let mut sites = BTreeMap::new();
        for site in said.lines() {
            *sites.entry(site.to_owned()).or_default() += 1;
        }
        ensure!(
            sites.values().sum::<u64>() == self.load.tasks,
            "not every task said where it ran"
        );
        Ok(sites)
    }

    /// What the master has sent to each site so far, with all that the protocols add.
    fn sent(&self) -> Result<BTreeMap<String, u64>> {
        sent(&self.status()?)
    }

    fn status(&self) -> Result<Value> {
        let printed = answer(&mut self.muster(&["status", "--json", "--master", &self.master]))?;
        serde_json::from_str(printed.trim()).context("muster status printed no JSON")
    }
}

impl Drop for Federation<'_> {
    fn drop(&mut self) {
        // All are asked before the first is waited for.
        self.processes.iter().rev().for_each(Process::dismiss);
    }
}

fn sent(status: &Value) -> Result<BTreeMap<String, u64>> {
    ensure!(
        status["schema"] == "muster.status/1",
        "this xtask does not know the schema {}",
        status["schema"]
    );
    let links = status["links"].as_array().context("there are no links")?;
    let foremen = links.iter().filter(|link| link["role"] == "foreman");
    let pair = |link: &Value| {
        let site = link["site"].as_str()?.to_owned();
        Some((site, link["sent_bytes"].as_u64()?))
    };
    foremen
        .map(|link| pair(link).context("a link has no site or no bytes"))
        .collect()
}

/// Runs a command to its end and returns what it printed.
fn answer(command: &mut Command) -> Result<String> {
    let answer = command.output().context("muster cannot be started")?;
    if !answer.status.success() {
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        let last = said.trim().lines().last().unwrap_or("it said nothing");
        bail!("muster failed ({}): {last}", answer.status);
    }
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// When a federation that does not come to stand is given up.
const READY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::sent;

    #[test]
    fn what_went_to_foremen_is_read_from_the_contract_of_status() {
        let status = json!({"schema": "muster.status/1", "links": [
            {"role": "foreman", "site": "a", "sent_bytes": 7},
            {"role": "client", "site": "", "sent_bytes": 9},
            {"role": "foreman", "site": "b", "sent_bytes": 8},
        ]});
        let sent_bytes: Vec<u64> = sent(&status).unwrap().into_values().collect();
        assert_eq!(sent_bytes, [7, 8]);
        assert!(sent(&json!({"schema": "muster.status/2", "links": []})).is_err());
    }
}
