//! What the model must know of this machine, measured on it: by a small federation with one slot, before any workload.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use muster_node::client::Client;
use muster_node::clock::Clock;
use muster_proto::task::TaskBody;
use muster_proto::{Digest, Span};
use serde::Serialize;

use super::files::{self, Staged};
use super::real::{ready, work};
use super::workload::{Files, Name, Workload};
use super::{Federation, Plan};
use crate::embedded::RESTART_PAUSE;
use crate::error::CliError;
use crate::report::table::Table;
use crate::sim::amounts;

/// The parameters of the model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// Making a few bytes durable.
    pub fsync_us: u64,
    /// A message one way between two processes, with waking up whoever reads it.
    pub latency_us: u64,
    /// Bytes per second of a transfer, storing and verifying included.
    pub bytes_per_s: u64,
    /// What a slot spends on a task beyond its sleep.
    pub start_us: u64,
    /// The same, if the task is a script with files.
    pub script_us: u64,
    /// From the end of a killed worker to when it takes work again.
    pub back_us: u64,
}

/// Measures with a federation below `dir`.
///
/// # Errors
/// The federation does not start, or its master is gone for good.
pub async fn measure(dir: &Path) -> Result<Machine, CliError> {
    let dir = dir.join("calibration");
    let plan = Plan {
        sites: 1,
        workers: 1,
        cores_per_worker: 1,
        memory_per_worker: None,
        dir: dir.join("federation"),
    };
    let federation = Federation::start(plan).await?;
    let client = federation.client();
    ready(client, 1).await?;
    let machine = Machine {
        fsync_us: fsync_us(&dir.join("fsync"))?,
        latency_us: latency_us(client).await?,
        bytes_per_s: bytes_per_s(client, &dir).await?,
        start_us: overhead_us(client, &chain(Name::Sleeps, &dir.join("sleeps"))?).await?,
        script_us: overhead_us(client, &chain(Name::Files, &dir.join("files"))?).await?,
        back_us: back_us(&federation).await?,
    };
    federation.stop().await;
    Ok(machine)
}

impl Machine {
    /// What was measured.
    pub fn table(&self) -> Table {
        let mut table = Table::new("measured on this machine", ["", "value"]);
        let times = [
            ("fsync", self.fsync_us),
            ("a message, one way", self.latency_us),
            ("starting and ending a task", self.start_us),
            ("starting and ending a script", self.script_us),
            ("a killed worker is back after", self.back_us),
        ];
        for (name, us) in times {
            table.push([name.to_owned(), amounts::seconds(us as f64 / 1e6)]);
        }
        let rate = amounts::bytes(self.bytes_per_s as f64) + "/s";
        table.push(["a transfer".to_owned(), rate]);
        table
    }
}

/// The mean of small appends, each made durable.
fn fsync_us(path: &Path) -> Result<u64, CliError> {
    let measured = || -> std::io::Result<u64> {
        let mut file = File::create(path)?;
        let clock = Clock::start();
        for _ in 0..FSYNCS {
            file.write_all(&[7; 256])?;
            file.sync_data()?;
        }
        Ok(clock.now().0 / FSYNCS)
    };
    measured().map_err(|error| CliError::file(path, error))
}

/// Half of the median round trip of a question and its answer.
async fn latency_us(client: &Client) -> Result<u64, CliError> {
    let clock = Clock::start();
    let mut trips = Vec::new();
    for _ in 0..TRIPS {
        let begun = clock.now();
        client.status().await?;
        trips.push(clock.now().since(begun).0);
    }
    Ok(median(trips) / 2)
}

/// Tasks that do nothing, with inputs that nobody has yet: the time by which they take longer than one without goes
/// into two transfers of all their bytes, one after the other.
async fn bytes_per_s(client: &Client, dir: &Path) -> Result<u64, CliError> {
    let mut us = Vec::new();
    for round in 0..TRANSFERS {
        let mut workload = Workload::new(Name::Files, Some(1), round);
        workload.files = Some(Files {
            shared_bytes: TRANSFER_BYTES + round,
            own_bytes: 1,
        });
        let mut staged = files::stage(&workload, &dir.join(format!("transfer-{round}")))?;
        client.put_files(&staged.files).await?;
        staged.template.outputs.clear();
        staged.bodies = vec![TaskBody::default()];
        let (with, _) = work(client, &staged, Clock::start()).await?;
        staged.template.inputs.clear();
        let (without, _) = work(client, &staged, Clock::start()).await?;
        us.push(with.0.saturating_sub(without.0));
    }
    Ok(2 * TRANSFER_BYTES * 1_000_000 / median(us).max(1))
}

/// Short tasks, to be run one after the other in one slot.
fn chain(name: Name, dir: &Path) -> Result<Staged, CliError> {
    let mut workload = Workload::new(name, Some(CHAIN), 0);
    workload.lengths.fill(CHAIN_SLEEP);
    files::stage(&workload, dir)
}

/// What each of a chain's tasks takes beyond its sleep, once all its files are where they are needed.
async fn overhead_us(client: &Client, staged: &Staged) -> Result<u64, CliError> {
    client.put_files(&staged.files).await?;
    let (took, _) = work(client, staged, Clock::start()).await?;
    let slept: u64 = staged.lengths.iter().map(|length| length.0).sum();
    Ok(took.0.saturating_sub(slept) / staged.lengths.len().max(1) as u64)
}

/// How much longer a task that does nothing takes if the only worker is killed first.
async fn back_us(federation: &Federation) -> Result<u64, CliError> {
    let client = federation.client();
    let nothing = Staged {
        template: files::template("nothing".to_owned()),
        bodies: vec![TaskBody::default()],
        files: Vec::<(Digest, _)>::new(),
        lengths: vec![Span::ZERO],
    };
    let (idle, _) = work(client, &nothing, Clock::start()).await?;
    federation.kill_worker(0);
    let (back, _) = work(client, &nothing, Clock::start()).await?;
    let pause_us = u64::try_from(RESTART_PAUSE.as_micros()).unwrap_or(u64::MAX);
    Ok(back.0.saturating_sub(idle.0).max(pause_us))
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// A few hundred take a tenth of a second on the disks we know.
const FSYNCS: u64 = 200;
/// Questions whose round trips are measured.
const TRIPS: usize = 51;
/// Transfers measured; odd, for a median.
const TRANSFERS: u64 = 5;
/// Bytes of each: long enough to take some tens of milliseconds.
const TRANSFER_BYTES: u64 = 8 << 20;
/// Tasks in a chain: two seconds of them.
const CHAIN: u32 = 20;
/// How long each sleeps: longer than the files of the next take on their way.
const CHAIN_SLEEP: Span = Span::millis(100);
