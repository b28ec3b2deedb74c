//! What really happened, as far as the journal tells, in tables.

use std::collections::BTreeMap;

use muster_proto::outcome::{Outcome, Verdict};
use serde::Serialize;

use super::history::History;
use crate::report::table::Table;
use crate::sim::amounts;
use crate::text::reason;

/// The facts of a journal; part of the contract `muster.sim.replay/1`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Facts {
    /// Tasks that were submitted.
    pub tasks: u64,
    /// Those that did what they should.
    pub done: u64,
    /// Those whose last attempt failed.
    pub failed: u64,
    /// Those that were given up without a run that counts.
    pub given_up: u64,
    /// Those that somebody cancelled.
    pub cancelled: u64,
    /// Those that have not ended.
    pub open: u64,
    /// Attempts at those that have ended, counted from the master's last start before the end of each.
    pub attempts: u64,
    /// How often the master started.
    pub starts: u32,
    /// By category.
    pub categories: BTreeMap<String, Category>,
    /// By site, and by worker there.
    pub sites: BTreeMap<String, BTreeMap<String, Share>>,
    /// How often what failed.
    pub failures: BTreeMap<String, u64>,
}

/// The runs of one category that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Category {
    /// How many.
    pub runs: u64,
    /// Mean of their lengths.
    pub mean_s: f64,
    /// Standard deviation of their lengths.
    pub sd_s: f64,
    /// The longest.
    pub longest_s: f64,
}

/// What one worker did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// Runs that count.
    pub runs: u64,
    /// Core time in them, in seconds.
    pub core_s: f64,
}

impl Facts {
    /// The facts of a history.
    pub fn of(history: &History) -> Facts {
        let mut facts = Facts {
            starts: history.starts,
            ..Facts::default()
        };
        let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for (_, outcome) in history.tasks() {
            facts.tasks += 1;
            match outcome {
                Some(outcome) => facts.ended(outcome),
                None => facts.open += 1,
            }
        }
        for (template, outcome, ran) in history.ran() {
            let seconds = ran.measured.wall.as_secs_f64();
            let sum = sums.entry(&template.category).or_default();
            (sum.0, sum.1) = (sum.0 + seconds, sum.1 + seconds * seconds);
            let known = facts.categories.entry(template.category.clone());
            let known = known.or_default();
            known.runs += 1;
            known.longest_s = known.longest_s.max(seconds);
            let site = facts.sites.entry(outcome.site.to_string()).or_default();
            let share = site.entry(ran.worker.clone()).or_default();
            share.runs += 1;
            share.core_s += seconds * f64::from(template.resources.cores_milli) / 1e3;
        }
        for (name, known) in &mut facts.categories {
            let (sum, squares) = sums.get(name.as_str()).copied().unwrap_or_default();
            let count = known.runs as f64;
            known.mean_s = sum / count;
            let variance = squares / count - known.mean_s * known.mean_s;
            known.sd_s = variance.max(0.0).sqrt();
        }
        facts
    }

    fn ended(&mut self, outcome: &Outcome) {
        self.attempts += u64::from(outcome.attempts);
        let why = match &outcome.verdict {
            Verdict::Cancelled => {
                self.cancelled += 1;
                return;
            }
            Verdict::GivenUp(why) => {
                self.given_up += 1;
                why
            }
            Verdict::Ran { ran, .. } => match &ran.result {
                Ok(()) => {
                    self.done += 1;
                    return;
                }
                Err(why) => {
                    self.failed += 1;
                    why
                }
            },
        };
        *self.failures.entry(reason(why)).or_default() += 1;
    }

    /// The tables, for a terminal.
    pub fn text(&self) -> String {
        let tables = [
            self.outcomes(),
            self.by_category(),
            self.by_worker(),
            self.by_failure(),
        ];
        let tables = tables.iter().filter(|table| !table.rows.is_empty());
        tables.map(|table| table.plain() + "\n").collect()
    }

    fn outcomes(&self) -> Table {
        let mut table = Table::new("What became of the tasks", ["", "how many"]);
        for (name, count) in [
            ("submitted", self.tasks),
            ("done", self.done),
            ("failed", self.failed),
            ("given up", self.given_up),
            ("cancelled", self.cancelled),
            ("without an outcome", self.open),
            ("attempts at those that ended", self.attempts),
            ("starts of the master", u64::from(self.starts)),
        ] {
            table.push([name.to_owned(), amounts::count(count)]);
        }
        table
    }

    fn by_category(&self) -> Table {
        let columns = ["category", "runs", "mean", "s.d.", "longest"];
        let mut table = Table::new("Runs that count, by category", columns);
        for (name, known) in &self.categories {
            let times = [known.mean_s, known.sd_s, known.longest_s].map(amounts::seconds);
            let cells = [name.clone(), amounts::count(known.runs)];
            table.push(cells.into_iter().chain(times));
        }
        table
    }

    fn by_worker(&self) -> Table {
        let columns = ["site and worker", "runs", "core time"];
        let mut table = Table::new("Core time in runs that count", columns);
        let mut push = |name: String, share: Share| {
            let core_time = amounts::seconds(share.core_s);
            table.push([name, amounts::count(share.runs), core_time]);
        };
        for (site, workers) in &self.sites {
            push(
                format!("{site}, workers: {}", workers.len()),
                sum(workers.values()),
            );
            for (worker, share) in workers.iter().take(WORKERS_SHOWN) {
                push(format!("  {worker}"), *share);
            }
            if workers.len() > WORKERS_SHOWN {
                let left = workers.len() - WORKERS_SHOWN;
                let rest = sum(workers.values().skip(WORKERS_SHOWN));
                push(format!("  {left} others"), rest);
            }
        }
        table
    }

    fn by_failure(&self) -> Table {
        let mut table = Table::new("Failures", ["it", "tasks"]);
        for (why, count) in &self.failures {
            table.push([why.clone(), amounts::count(*count)]);
        }
        table
    }
}

fn sum<'a>(shares: impl Iterator<Item = &'a Share>) -> Share {
    shares.fold(Share::default(), |sum, share| Share {
        runs: sum.runs + share.runs,
        core_s: sum.core_s + share.core_s,
    })
}

/// Workers of a site that have a row of their own.
const WORKERS_SHOWN: usize = 12;
