//! What is simulated, as people write it: masters and their work, sites and their links, pools of workers, events.
//!
//! A scenario is one TOML file. [`Scenario::load`] reads it with changes (`--set`) applied, and says in one sentence,
//! with the line, what is wrong with it. Quantities carry their units (`"188min"`, `"64MiB"`, `"1Gbit/s"`), chance is a
//! [`Dist`], every number has bounds, every table refuses keys that it does not know, and every name stands for
//! something. `scenarios/README.md` documents each key; the scenarios that ship are in [`SHIPPED`].
//!
//! Not here: what happens in the world so described (`run`), and files: whoever has the TOML reads its traces too.

mod changes;
mod check;
mod dist;
mod keys;
mod nearest;
mod parse;
mod portable;
mod quantity;
mod shipped;
mod trace;

use std::collections::BTreeMap;

use muster_proto::Span;
use muster_proto::task::Algorithm;

pub use changes::{RUNS_MAX, Variant, sweep};
pub use dist::{Dist, SHAPE_MAX, SHAPE_MIN, SPREAD_MAX};
pub use parse::BadScenario;
pub use quantity::{BadQuantity, Bytes, Duration, Rate};
pub use shipped::{SHIPPED, shipped};
pub use trace::{BadTrace, Trace};

/// A whole scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is and where its numbers come from, for the report.
    pub about: String,
    /// How long the world goes on; until all work is done if there is no limit.
    pub span: Option<Duration>,
    /// Published figures that those which emerge are laid beside, by the report's names.
    pub claims: BTreeMap<String, f64>,
    /// The masters.
    pub masters: Vec<MasterSpec>,
    /// What is to be done.
    pub work: Vec<WorkSpec>,
    /// Sites with a foreman.
    pub sites: Vec<SiteSpec>,
    /// Where workers come from.
    pub pools: Vec<PoolSpec>,
    /// What is done to the world, and when.
    pub events: Vec<EventSpec>,
    /// What the hosts' disks are like.
    pub disk: DiskSpec,
}

impl Scenario {
    /// Reads a scenario that has no traces.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn parse(text: &str) -> Result<Self, BadScenario> {
        Self::load(text, &[], &mut |_| {
            Err("there are no files at hand".to_owned())
        })
    }

    /// Reads a scenario with changes, the later of which win: `read` gives the text of a trace by the name that the
    /// scenario has for it, or says why not.
    ///
    /// A change's key is a path (`span`, `pool.condor.eviction`, `site.campus.link.latency`), in which an entry of a
    /// list is called by its `name`, a work's by its `category`, an event's by its `label`; or a bare key (`fast_abort`,
    /// `bandwidth`), which is set in every table that may have it, distributions excepted. Its value is TOML, or else a
    /// text that needs no quotes; `none` takes the key away.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn load(
        text: &str,
        set: &[(String, String)],
        read: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<Self, BadScenario> {
        parse::load(text, set, read)
    }

    /// The variants that a scenario brings, in its order: names, and what to `set` for each.
    ///
    /// # Errors
    /// If it is no TOML, or `variants` are no tables of changes. Whether they fit shows when they are loaded.
    pub fn variants(text: &str) -> Result<Vec<Variant>, BadScenario> {
        changes::variants(text)
    }
}

/// Masters of one kind.
#[derive(Clone, Debug)]
pub struct MasterSpec {
    /// The kind's name; if there are several, a number from 1 is put behind it.
    pub name: String,
    /// How many of the kind.
    pub count: u32,
    /// The link of its host to everybody else.
    pub link: LinkSpec,
}

/// Tasks that are submitted together and have everything but their run time in common.
#[derive(Clone, Debug)]
pub struct WorkSpec {
    /// The kind of masters it is for, each of which gets all of it; every master's if there is none.
    pub master: Option<String>,
    /// How many tasks, for each master.
    pub tasks: u64,
    /// When they are submitted.
    pub at: Duration,
    /// The category; run times are compared within it.
    pub category: String,
    /// Cores of one task, in whole cores.
    pub cores: u32,
    /// Memory of one task.
    pub memory: Bytes,
    /// How long one task computes on a machine of speed 1. An attempt that is lost starts anew with the same time.
    pub run: Dist,
    /// The chance that a run fails of itself, between 0 and 1.
    pub fails: f64,
    /// How often a task that failed is tried again.
    pub retries: u16,
    /// Greater is served first.
    pub priority: i32,
    /// A straggler is given up when it has run this many times the mean of its category; at least 1.
    pub fast_abort: Option<f64>,
    /// How a child is chosen; the brains' default if there is none.
    pub algorithm: Option<Algorithm>,
    /// Files that all of these tasks read.
    pub shared_inputs: Vec<Bytes>,
    /// The length of the file that each task alone reads; none if 0.
    pub own_input: Bytes,
    /// The length of the file that each task writes; none if 0.
    pub output: Bytes,
}

/// Foremen of one kind, each with a site of its own.
#[derive(Clone, Debug)]
pub struct SiteSpec {
    /// The kind's name; if there are several, a number from 1 is put behind it.
    pub name: String,
    /// How many of the kind; at least 1, for kinds with none are left out.
    pub count: u32,
    /// The kind of sites whose foremen these foremen stand under, or the kind of masters, dealt out evenly among these;
    /// each under every master if there is none.
    pub under: Option<String>,
    /// The link between the site and everything outside.
    pub link: LinkSpec,
    /// The link of each host inside the site.
    pub lan: LinkSpec,
    /// Bytes of the foreman's cache.
    pub cache: Bytes,
}

/// A link: what lies between two hosts.
#[derive(Clone, Debug)]
pub struct LinkSpec {
    /// One way.
    pub latency: Duration,
    /// Shared by all transfers that cross it.
    pub bandwidth: Rate,
    /// The chance that a packet is lost and sent again, between 0 and 1.
    pub loss: f64,
}

/// Workers that come from one batch system.
#[derive(Clone, Debug)]
pub struct PoolSpec {
    /// Its name, in figures and in the names of its workers.
    pub name: String,
    /// What it is, for the report.
    pub kind: PoolKind,
    /// The kind of sites its workers stand in, for each of which there is such a pool; directly under the masters if
    /// there is none.
    pub site: Option<String>,
    /// Machines that its workers run on.
    pub machines: u32,
    /// The chance that a machine is never free, between 0 and 1.
    pub unused: f64,
    /// How fast machines are; 1 runs a task in its time.
    pub speed: Option<Speed>,
    /// Cores of one worker.
    pub cores: u32,
    /// Memory of one worker.
    pub memory: Bytes,
    /// Bytes of one worker's cache and sandboxes.
    pub disk: Bytes,
    /// Workers that are asked for when the pool opens.
    pub at_once: u32,
    /// The time between two further requests of a worker; none come if there is none.
    pub every: Option<Dist>,
    /// When the pool opens.
    pub from: Duration,
    /// How long a worker waits in the batch system's queue, at first and after each eviction.
    pub queue: Option<Dist>,
    /// How long it runs until it is evicted; never, if there is none.
    pub eviction: Option<Dist>,
    /// How long the batch system lets it run at most.
    pub walltime: Option<Duration>,
    /// How long before its end it is told; it is killed outright if there is none.
    pub notice: Option<Duration>,
    /// How long it comes back after evictions, from its first request; one evicted after that, or at once if there is
    /// none, is gone.
    pub stays: Option<Dist>,
}

/// What brings workers about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// A cluster under Sun Grid Engine.
    Sge,
    /// A cluster under Slurm.
    Slurm,
    /// Desktops and clusters under HTCondor.
    Condor,
    /// Virtual machines for money.
    Cloud,
    /// Machines of people who lend them.
    Volunteer,
}

impl PoolKind {
    /// Every kind with its name in scenarios.
    pub const ALL: [(PoolKind, &'static str); 5] = [
        (PoolKind::Sge, "sge"),
        (PoolKind::Slurm, "slurm"),
        (PoolKind::Condor, "condor"),
        (PoolKind::Cloud, "cloud"),
        (PoolKind::Volunteer, "volunteer"),
    ];
}

/// How speeds are spread over machines.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub sd: f64,
}

/// Something done to the world from outside.
#[derive(Clone, Debug)]
pub struct EventSpec {
    /// When.
    pub at: Duration,
    /// Its letter in figures.
    pub label: String,
    /// What happens.
    pub act: Act,
}

/// What can be done to the world.
#[derive(Clone, Debug)]
pub enum Act {
    /// Workers are asked for in a pool.
    Add {
        /// The pool.
        pool: String,
        /// How many.
        workers: u32,
    },
    /// Workers of a pool are taken away for good, those that came first.
    Remove {
        /// The pool.
        pool: String,
        /// How many.
        workers: u32,
    },
    /// Nothing passes between a site and what lies outside.
    Cut {
        /// The site, one of its kind by number, as in `campus3`.
        site: String,
        /// How long.
        lasts: Duration,
    },
    /// A master's or a foreman's process dies, and starts again after a while.
    Crash {
        /// The master or the site.
        name: String,
        /// How long it is away.
        lasts: Duration,
    },
}

/// What disks are like.
#[derive(Clone, Debug)]
pub struct DiskSpec {
    /// How long making a batch of records durable takes.
    pub fsync: Dist,
}

impl DiskSpec {
    /// The median of one small append on the machine of `measured-limits`: 0.28 ms.
    fn fsync() -> Dist {
        Dist::Fixed(Duration(Span(280)))
    }
}

impl Default for LinkSpec {
    /// Between two campuses of one country, at a campus's share of a research network: 20 ms, 1 Gbit/s.
    fn default() -> Self {
        Self {
            latency: Duration(Span::millis(20)),
            bandwidth: Rate(125_000_000),
            loss: 0.0,
        }
    }
}

impl LinkSpec {
    /// Inside a machine room: 0.1 ms, 10 Gbit/s.
    fn lan() -> Self {
        Self {
            latency: Duration(Span(100)),
            bandwidth: Rate(1_250_000_000),
            loss: 0.0,
        }
    }
}

impl SiteSpec {
    /// What a small file server has.
    const CACHE: Bytes = Bytes(1_000_000_000_000);
}

impl PoolSpec {
    /// What a core of a batch node comes with at least.
    const MEMORY: Bytes = Bytes(1_000_000_000);
    /// What a core's share of a batch node's scratch disk is.
    const DISK: Bytes = Bytes(20_000_000_000);
}

#[cfg(test)]
mod tests;
