//! The scenario of a history: its sites and workers, as far as they show, and its very tasks.

use std::collections::{BTreeMap, BTreeSet};

use muster_proto::outcome::{Measured, Ran, Stream, Verdict};
use muster_proto::task::{Policy, TaskBody};
use muster_proto::{Span, TaskId};
use muster_sim::run::{Asked, KnownWork, RunReport, run_known};
use muster_sim::scenario::{Scenario, WorkSpec};

use super::history::{History, Submit};
use crate::sim::SimError;
use crate::sim::source::Change;

/// The hosts of the model, and what was assumed of them.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// Workers of each site, by its name in the model.
    pub sites: BTreeMap<String, u32>,
    /// Cores of each worker.
    pub cores: u32,
    /// Memory of each worker.
    memory_bytes: u64,
    /// Bytes of each worker's cache and sandboxes.
    disk_bytes: u64,
}

impl Hosts {
    /// Those that appear in the outcomes, or as many workers for each site as is said, with as many cores as is said or
    /// as any task needs.
    pub fn of(history: &History, workers_per_site: Option<u32>, cores: Option<u32>) -> Hosts {
        let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (_, outcome, ran) in history.ran() {
            seen.entry(&outcome.site).or_default().insert(&ran.worker);
        }
        let count = |workers: &BTreeSet<&str>| u32::try_from(workers.len()).unwrap_or(u32::MAX);
        let numbered = (1..).zip(&seen);
        let sites = numbered.map(|(n, (site, workers))| {
            let workers = workers_per_site.unwrap_or_else(|| count(workers));
            (site_name(site, n), workers)
        });
        let needs = history
            .submits
            .iter()
            .map(|submit| &submit.template.resources);
        let needed = needs
            .clone()
            .map(|needs| needs.cores_milli.div_ceil(1_000))
            .max();
        let cores = cores.or(needed).unwrap_or(1).max(1);
        let each = |most: Option<u64>| most.unwrap_or(0).saturating_mul(u64::from(cores));
        Hosts {
            sites: sites.collect(),
            cores,
            memory_bytes: each(needs.clone().map(|needs| needs.memory_bytes).max()).max(1),
            disk_bytes: each(needs.map(|needs| needs.disk_bytes).max()).max(DISK_BYTES),
        }
    }

    /// The scenario as TOML; its work stands for whatever is replayed.
    pub fn toml(&self) -> String {
        let mut toml = format!(
            "about = \"A journal, replayed.\"\n[[master]]\nname = \"{MASTER}\"\n\
             [[work]]\ncategory = \"replay\"\nat = \"{}s\"\ntasks = 1\nrun = \"1s\"\n",
            LEAD.0 / 1_000_000
        );
        for (site, workers) in &self.sites {
            toml += &format!(
                "[[site]]\nname = \"{site}\"\n\
                 [[pool]]\nname = \"{site}\"\nsite = \"{site}\"\nmachines = {workers}\nat_once = {workers}\n\
                 cores = {}\nmemory = {}\ndisk = {}\n",
                self.cores, self.memory_bytes, self.disk_bytes
            );
        }
        toml
    }
}

/// A site's name in the model: its own, if a scenario can have it.
fn site_name(site: &str, n: u32) -> String {
    let is_short = site.len() <= SITE_BYTES_MAX && !site.is_empty();
    let is_free = site != MASTER && site != "none";
    match is_short && is_free {
        true => site.to_owned(),
        false => format!("replayed-site-{n}"),
    }
}

/// Simulates the tasks of a history on these hosts, with these changes.
///
/// # Errors
/// A change makes no sense.
pub fn replay(
    history: &History,
    hosts: &Hosts,
    set: &[Change],
    asked: &Asked,
) -> Result<RunReport, SimError> {
    let mut read = |_: &str| Err("there are no files at hand".to_owned());
    let scenario = Scenario::load(&hosts.toml(), set, &mut read).map_err(SimError::Set)?;
    let (means, mean) = history.means();
    let work = history.submits.iter().filter_map(|submit| {
        let wall = means.get(submit.template.category.as_str());
        let wall = wall.copied().unwrap_or(mean);
        let placeholder = scenario.work.first()?;
        Some(known(history, submit, wall, (placeholder, set)))
    });
    let work: Vec<KnownWork> = work.filter(|work| !work.tasks.is_empty()).collect();
    Ok(run_known(&scenario, &work, asked))
}

/// The tasks of a submit that nobody cancelled; those without a measured run take `mean`.
fn known(
    history: &History,
    submit: &Submit,
    mean: Span,
    (said, set): (&WorkSpec, &[Change]),
) -> KnownWork {
    let mut template = (*submit.template).clone();
    change(&mut template.policy, said, set);
    // A pool has none, and whoever has one runs such tasks like any other.
    template.resources.gpus = 0;
    let task = |(task, body): &(TaskId, TaskBody)| {
        let ran = match history.outcomes.get(task).map(|outcome| &outcome.verdict) {
            Some(Verdict::Cancelled) => return None,
            Some(Verdict::Ran { ran, .. }) => (**ran).clone(),
            Some(Verdict::GivenUp(_)) | None => unmeasured(mean),
        };
        Some((body.clone(), ran))
    };
    KnownWork {
        at: LEAD,
        template,
        tasks: submit.tasks.iter().filter_map(task).collect(),
    }
}

fn unmeasured(wall: Span) -> Ran {
    Ran {
        result: Ok(()),
        worker: String::new(),
        measured: Measured {
            wall,
            ..Measured::default()
        },
        stdout: Stream::default(),
        stderr: Stream::default(),
        outputs: Vec::new(),
    }
}

/// What the changes say of scheduling; the rest of the policy stays as it was.
fn change(policy: &mut Policy, said: &WorkSpec, set: &[Change]) {
    for (key, _) in set {
        match key.rsplit('.').next().unwrap_or_default() {
            "algorithm" => policy.algorithm = said.algorithm.unwrap_or(policy.algorithm),
            "fast_abort" => {
                let times = said.fast_abort;
                policy.fast_abort_percent = times.map(|times| (times * 100.0).round() as u32);
            }
            "retries" => policy.retries = said.retries,
            "priority" => policy.priority = said.priority,
            _ => {}
        }
    }
}

const MASTER: &str = "replayed-master";
/// When all is submitted: the workers are there by then.
const LEAD: Span = Span::secs(10);
/// What a pool has by default.
const DISK_BYTES: u64 = 20_000_000_000;
/// The longest name that a site of a scenario may have.
const SITE_BYTES_MAX: usize = 24;
