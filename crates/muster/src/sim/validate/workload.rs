//! What is run and simulated: three workloads, each of which tries another part of the model.

use std::fmt;

use clap::ValueEnum;
use muster_proto::Span;
use muster_sim::rng::Rng;
use muster_sim::scenario::{Dist, Duration};

/// Which workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// Sleeps of drawn lengths: the scheduling, and what it costs to start a task
    Sleeps,
    /// Short sleeps with inputs and outputs: files, caches, bandwidth
    Files,
    /// Sleeps while workers are killed and come back: losses and second attempts
    Churn,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Name::Sleeps => "sleeps",
            Name::Files => "files",
            Name::Churn => "churn",
        })
    }
}

/// One workload, and the federation that it is for: [`SITES`] sites, [`WORKERS`] workers dealt out to them.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Which.
    pub name: Name,
    /// Cores of each worker. Tasks that sleep need none of the machine's.
    pub cores: u32,
    /// How long each task sleeps.
    pub lengths: Vec<Span>,
    /// The files of its tasks, if they have any.
    pub files: Option<Files>,
    /// The workers that are killed, by number from 0, and when after the submit, in order of time; each once.
    pub kills: Vec<(usize, Span)>,
}

/// Files of every task of a workload.
#[derive(Clone, Copy, Debug)]
pub struct Files {
    /// Bytes of the input that all have in common.
    pub shared_bytes: u64,
    /// Bytes of the input that is each one's own, and about as many of its output.
    pub own_bytes: u64,
}

impl Workload {
    /// The workload of this name with so many tasks, or as many as take a few seconds.
    pub fn new(name: Name, tasks: Option<u32>, seed: u64) -> Workload {
        let sleeping = Dist::Lognormal {
            mean: Duration(Span::millis(800)),
            sd: Duration(Span::millis(400)),
        };
        let short = Dist::Uniform {
            low: Duration(Span::millis(300)),
            high: Duration(Span::millis(900)),
        };
        let (cores, usual, lengths) = match name {
            // 64 slots, 0.8 s each: 80 tasks/s, which is far from what starting them could take.
            Name::Sleeps | Name::Churn => (16, 600, sleeping),
            // 16 slots, 0.6 s each: 27 tasks/s and 28 MB/s in all.
            Name::Files => (4, 200, short),
        };
        let mut rng = Rng::new(seed).fork(name as u64);
        let draw = |_| in_millis(lengths.draw(&mut rng));
        Workload {
            name,
            cores,
            lengths: (0..tasks.unwrap_or(usual)).map(draw).collect(),
            files: (name == Name::Files).then_some(Files {
                shared_bytes: 4 << 20,
                own_bytes: 256 << 10,
            }),
            kills: match name {
                Name::Sleeps | Name::Files => Vec::new(),
                // So early that the longest task, if it is lost, is not the last to end.
                Name::Churn => [(0, 1_000), (1, 2_000), (2, 3_000), (3, 4_000)]
                    .map(|(worker, ms)| (worker, Span::millis(ms)))
                    .into(),
            },
        }
    }

    /// What it is, in a sentence without its stop.
    pub fn about(&self) -> String {
        let slots = WORKERS * self.cores;
        let mut about = format!(
            "{} tasks that sleep {:.2} s on average, on {SITES} sites, {WORKERS} workers, {slots} slots",
            self.lengths.len(),
            self.mean_s(),
        );
        if let Some(files) = self.files {
            about += &format!(
                ", with {} MiB of shared and {} KiB of own input and output",
                files.shared_bytes >> 20,
                files.own_bytes >> 10
            );
        }
        if !self.kills.is_empty() {
            about += &format!(", while {} workers are killed", self.kills.len());
        }
        about
    }

    fn mean_s(&self) -> f64 {
        let sum: f64 = self.lengths.iter().map(|length| length.as_secs_f64()).sum();
        sum / self.lengths.len().max(1) as f64
    }
}

/// The length as a task is told it: milliseconds, at least one.
fn in_millis(length: Span) -> Span {
    Span::millis((length.0 / 1_000).max(1))
}

/// Sites of the federation.
pub const SITES: u32 = 2;
/// Its workers.
pub const WORKERS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_lengths_and_another_draws_others() {
        let lengths = |seed| Workload::new(Name::Sleeps, None, seed).lengths;
        assert_eq!(lengths(3), lengths(3));
        assert_ne!(lengths(3), lengths(4));
        let long = lengths(0)
            .iter()
            .map(|length| length.as_secs_f64())
            .sum::<f64>();
        assert!((430.0..530.0).contains(&long), "{long} s in all");
    }

    #[test]
    fn each_worker_dies_at_most_once() {
        for name in Name::value_variants() {
            let workload = Workload::new(*name, Some(1), 0);
            let mut killed: Vec<usize> = workload.kills.iter().map(|(worker, _)| *worker).collect();
            killed.dedup();
            assert_eq!(killed.len(), workload.kills.len(), "{name}");
            assert!(
                killed.iter().all(|worker| *worker < WORKERS as usize),
                "{name}"
            );
        }
    }
}
