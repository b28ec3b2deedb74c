//! What came of a scenario: one value with everything that reports, tables and figures show.
//!
//! Its JSON is a contract, `muster.sim.run/1`. All of it is counted by watching the world, not by asking the brains.

use std::collections::BTreeMap;

use serde::Serialize;

/// What came of one scenario under one seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunReport {
    /// `muster.sim.run/1`.
    pub schema: &'static str,
    /// The scenario's name.
    pub scenario: String,
    /// What the scenario says of itself.
    pub about: String,
    /// The seed.
    pub seed: u64,
    /// What was changed of the scenario, as `key=value`.
    pub set: Vec<String>,
    /// Tasks submitted.
    pub submitted: u64,
    /// Attempts that masters handed down.
    pub assigned: u64,
    /// Results that count and are a success.
    pub received: u64,
    /// Tasks that ended without one.
    pub failed: u64,
    /// Run times of the results received.
    pub execution_minutes: Spread,
    /// Workers that were given at least one task, each counted once however often it came back.
    pub workers: u64,
    /// Machines that they ran on.
    pub machines: u64,
    /// What became of every attempt that brought no result that counts, by cause. With `received`, and those `open` at
    /// the end, they sum to `assigned`.
    pub losses: BTreeMap<&'static str, u64>,
    /// Where the core time of workers went.
    pub core_days: CoreDays,
    /// Core days of `received`; the contract's name for `core_days.busy`.
    pub busy_cpu_days: f64,
    /// Share of the core time that runs took whose results count.
    pub goodput: f64,
    /// From the first submit to the last outcome, or to the end of the span.
    pub makespan_s: f64,
    /// Whether every task had its outcome.
    pub is_complete: bool,
    /// What passed between masters, sites and workers.
    pub links: Vec<LinkReport>,
    /// The masters' ends of all their links, and what their brains took.
    pub top: Top,
    /// Files asked for, by level.
    pub caches: Vec<CacheReport>,
    /// How long things took on their way, by hop.
    pub latency: Vec<Latency>,
    /// Workers and tasks over time.
    pub timeline: Vec<Point>,
    /// The pools, in the order of the numbers in `timeline`.
    pub pools: Vec<String>,
    /// Events, to be marked in figures.
    pub marks: Vec<Mark>,
    /// Run times of received results: how many lasted up to each number of seconds.
    pub run_times: Vec<Bar>,
    /// Where fast abort would draw its line, in seconds, by category.
    pub abort_lines: BTreeMap<String, f64>,
    /// Published figures beside those that emerged.
    pub claims: Vec<Claim>,
    /// Events of the world.
    pub events: u64,
    /// Inputs that brains took.
    pub inputs: u64,
    /// How long the simulation took, in seconds; 0 until whoever has a clock fills it in. Not in the trace.
    pub wall_s: f64,
    /// What one event took of that, in microseconds; 0 until then. Not in the trace.
    pub event_us: f64,
    /// A hash of everything that happened, in hexadecimal.
    pub trace_hash: String,
}

/// A mean and a standard deviation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub sd: f64,
}

/// Core time in days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CoreDays {
    /// In runs whose results count.
    pub busy: f64,
    /// In runs whose results do not: lost, failed, given up, superseded, or under way at the end.
    pub lost: f64,
    /// In no run, while a worker was there.
    pub idle: f64,
}

/// What crossed one kind of link, both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LinkReport {
    /// The superior's name, or its kind where there are many.
    pub upper: String,
    /// The subordinates' name, or kind.
    pub lower: String,
    /// Messages down.
    pub messages_down: u64,
    /// Messages up.
    pub messages_up: u64,
    /// Bytes of messages down.
    pub bytes_down: u64,
    /// Bytes of messages up.
    pub bytes_up: u64,
    /// Bytes of files down.
    pub files_down: u64,
    /// Bytes of files up.
    pub files_up: u64,
}

/// The load at the top of the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Top {
    /// Messages sent and received by all masters, those with their users excepted.
    pub messages: u64,
    /// Bytes of those messages and of files.
    pub bytes: u64,
    /// Inputs that the masters' brains took.
    pub inputs: u64,
    /// Processor seconds in the masters' brains, as measured while simulating; 0 if nobody measured. Not in the trace.
    pub brain_s: f64,
}

/// How a level's caches served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheReport {
    /// `foreman` or `worker`.
    pub level: String,
    /// Files that were there when an attempt needed them.
    pub hits: u64,
    /// Files that were not, or were on their way already.
    pub misses: u64,
    /// Bytes of the hits.
    pub hit_bytes: u64,
    /// Bytes fetched from above.
    pub fetched_bytes: u64,
}

/// How long one hop took.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Which: `submit to lease`, `lease to start`, `end to outcome`, ...
    pub hop: String,
    /// How many were measured.
    pub count: u64,
    /// Half were faster, in seconds.
    pub p50_s: f64,
    /// Nine of ten were.
    pub p90_s: f64,
    /// All but one in a hundred were.
    pub p99_s: f64,
}

/// A moment of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Seconds since the start.
    pub at_s: u64,
    /// Workers that are there, by pool.
    pub workers: Vec<u32>,
    /// Runs under way.
    pub running: u64,
    /// Results received so far.
    pub received: u64,
    /// Attempts assigned so far.
    pub assigned: u64,
}

/// Something worth a mark in a figure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// Seconds since the start.
    pub at_s: u64,
    /// Its letter.
    pub label: String,
    /// What happened.
    pub what: String,
}

/// One bar of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// Run times up to this many seconds, and above the bar before.
    pub to_s: u64,
    /// How many.
    pub count: u64,
}

/// A published figure beside the one that emerged.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Claim {
    /// Its name: `assigned`, `received`, `mean_minutes`, `sd_minutes`, `workers`, `machines`, `busy_cpu_days`.
    pub name: String,
    /// As published.
    pub published: f64,
    /// As it emerged.
    pub emerged: f64,
}

impl RunReport {
    /// The schema's name.
    pub const SCHEMA: &'static str = "muster.sim.run/1";

    /// The emerged figure that a claim's name stands for.
    pub fn figure(&self, name: &str) -> Option<f64> {
        Some(match name {
            "assigned" => self.assigned as f64,
            "received" => self.received as f64,
            "mean_minutes" => self.execution_minutes.mean,
            "sd_minutes" => self.execution_minutes.sd,
            "workers" => self.workers as f64,
            "machines" => self.machines as f64,
            "busy_cpu_days" => self.core_days.busy,
            "makespan_s" => self.makespan_s,
            _ => return None,
        })
    }
}
