//! The month of Folding@Work as a bare event model: the scenario's workers and tasks, but no brains and no network. It is
//! what the scenario was calibrated with.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use muster_proto::{Span, Time};

use crate::rng::{Rng, mix};
use crate::scenario::{PoolSpec, Scenario, WorkSpec, shipped};

#[test]
fn the_talks_table_emerges() {
    let scenario = Scenario::parse(shipped("folding-at-work").unwrap()).unwrap();
    for seed in 1..=2 {
        let month = Month::run(&scenario, seed);
        for (name, emerged) in month.figures() {
            let published = scenario.claims[name];
            let off = emerged / published - 1.0;
            assert!(
                off.abs() < 0.02,
                "seed {seed}: {name} is {emerged}, not {published}"
            );
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Request,
    Begin { pilot: usize },
    Evict { pilot: usize },
    Done { pilot: usize, run: u32 },
    Missed { task: u64 },
}

#[derive(Debug)]
struct Pilot {
    until: Time,
    runs: u32,
    task: Option<(u64, Time)>,
}

struct Month<'s> {
    pool: &'s PoolSpec,
    work: &'s WorkSpec,
    seed: u64,
    now: Time,
    agenda: BinaryHeap<Reverse<(Time, Due)>>,
    rng: Rng,
    machines: u64,
    pilots: Vec<Pilot>,
    /// Tasks that were lost, the last first, as masters have them.
    again: Vec<u64>,
    fresh: u64,
    assigned: u64,
    used: BTreeSet<u64>,
    minutes: Vec<f64>,
}

impl<'s> Month<'s> {
    fn run(scenario: &'s Scenario, seed: u64) -> Self {
        let pool = &scenario.pools[0];
        let mut month = Month {
            pool,
            work: &scenario.work[0],
            seed,
            now: Time(0),
            agenda: BinaryHeap::new(),
            rng: Rng::new(seed),
            machines: 0,
            pilots: Vec::new(),
            again: Vec::new(),
            fresh: 0,
            assigned: 0,
            used: BTreeSet::new(),
            minutes: Vec::new(),
        };
        let is_free = |_: &u32| !month.rng.permille((pool.unused * 1e3) as u64);
        month.machines = (0..pool.machines).filter(is_free).count() as u64;
        (0..pool.at_once).for_each(|_| month.request());
        month.later(Span::ZERO, Due::Request);
        let end = Time(0) + scenario.span.unwrap().0;
        while let Some(Reverse((at, due))) = month.agenda.pop() {
            if at > end {
                break;
            }
            month.now = at;
            month.happen(due);
        }
        month
    }

    fn figures(&self) -> [(&'static str, f64); 6] {
        let count = self.minutes.len() as f64;
        let mean = self.minutes.iter().sum::<f64>() / count;
        let squares = self.minutes.iter().map(|time| (time - mean).powi(2));
        let workers = self.pilots.iter().filter(|pilot| pilot.runs > 0);
        [
            ("assigned", self.assigned as f64),
            ("received", count),
            ("mean_minutes", mean),
            ("sd_minutes", (squares.sum::<f64>() / count).sqrt()),
            ("workers", workers.count() as f64),
            ("machines", self.used.len() as f64),
        ]
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Request => {
                if self.now > Time(0) {
                    self.request();
                }
                let every = self.pool.every.as_ref().unwrap().draw(&mut self.rng);
                self.later(every, Due::Request);
            }
            Due::Begin { pilot } => {
                self.used.insert(self.rng.below(self.machines));
                let lasts = self.pool.eviction.as_ref().unwrap().draw(&mut self.rng);
                self.later(lasts, Due::Evict { pilot });
                self.assign(pilot);
            }
            Due::Evict { pilot } => {
                self.pilots[pilot].runs += 1;
                if let Some((task, _)) = self.pilots[pilot].task.take() {
                    self.later(NOTICED, Due::Missed { task });
                }
                if self.pilots[pilot].until > self.now {
                    self.wait(pilot);
                }
            }
            Due::Done { pilot, run } if self.pilots[pilot].runs == run => {
                let (task, since) = self.pilots[pilot].task.take().unwrap();
                match self.rng.permille((self.work.fails * 1e3) as u64) {
                    true => self.again.push(task),
                    false => self
                        .minutes
                        .push(self.now.since(since).as_secs_f64() / 60.0),
                }
                self.assign(pilot);
            }
            Due::Done { .. } => {}
            Due::Missed { task } => self.again.push(task),
        }
    }

    fn request(&mut self) {
        let stays = self.pool.stays.as_ref().unwrap().draw(&mut self.rng);
        self.pilots.push(Pilot {
            until: self.now + stays,
            runs: 0,
            task: None,
        });
        self.wait(self.pilots.len() - 1);
    }

    fn wait(&mut self, pilot: usize) {
        let queue = self.pool.queue.as_ref().unwrap().draw(&mut self.rng);
        self.later(queue, Due::Begin { pilot });
    }

    fn assign(&mut self, pilot: usize) {
        let task = self.again.pop().unwrap_or_else(|| {
            self.fresh += 1;
            self.fresh
        });
        assert!(task <= self.work.tasks, "there is more than can be done");
        self.assigned += 1;
        self.pilots[pilot].runs += 1;
        self.pilots[pilot].task = Some((task, self.now));
        let mut rng = Rng::new(mix(mix(task) ^ self.seed));
        let run = self.pilots[pilot].runs;
        self.later(self.work.run.draw(&mut rng), Due::Done { pilot, run });
    }

    fn later(&mut self, after: Span, due: Due) {
        self.agenda.push(Reverse((self.now + after, due)));
    }
}

/// When a worker that vanished is missed: 20 s of silence, 15 s of grace.
const NOTICED: Span = Span::secs(35);
