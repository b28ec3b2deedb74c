//! Watches a scenario's world and counts: attempts from lease to outcome, core time, bytes, latencies, moments.
//!
//! Nothing here asks a brain how it stands. An attempt is followed from the frame that hands it down to the frame that
//! brings its outcome to the user, or to the frame that hands down the next attempt at its task; what it was lost to
//! is what was seen to happen to it meanwhile.

mod attempts;
mod paths;
mod summary;

use std::collections::{BTreeMap, BTreeSet};

use muster_proto::wire::Frame;
use muster_proto::{Attempt, MasterId, Span, TaskKey, Time};

pub(super) use attempts::Cause;
pub(super) use paths::Level;
pub(super) use summary::report;

use crate::brain::{ActorId, Observer, Sight};
use crate::run::quantiles::Quantiles;
use crate::run::report::{Mark, Point};
use crate::scenario::Scenario;
use crate::trace::Trace;

use attempts::Attempts;
use paths::Paths;

/// Everything that is counted.
#[derive(Debug)]
pub(super) struct Tally {
    trace: Trace,
    attempts: Attempts,
    paths: Paths,
    /// Why the engine is about to kill a process.
    pub why: Cause,
    actors: Vec<Actor>,
    /// Machines on which an attempt has run.
    machines: BTreeSet<u32>,
    /// Workers that are there, by pool.
    present: Vec<u32>,
    running: u64,
    /// Core time of workers while they were there, in core microseconds.
    present_core_us: u128,
    points: Points,
    marks: Vec<Mark>,
    inputs: Inputs,
}

/// What is known of an actor.
#[derive(Clone, Copy, Debug, Default)]
struct Actor {
    class: u16,
    /// The machine it stands on, if it is a worker.
    machine: u32,
    /// Since when it is up, if it is.
    since: Option<Time>,
    /// Thousandths of cores it has, if it is a worker.
    cores_milli: u32,
    /// Why it was told to leave, if it was.
    leaves: Option<Cause>,
    /// Whether it was ever given a task.
    was_used: bool,
    /// Its queue, if it is a master.
    queue: MasterId,
}

/// Files that attempts needed and files that were fetched.
#[derive(Clone, Debug, Default)]
struct Inputs {
    /// Number and bytes of the input files of one task of each program.
    needs: Vec<(u64, u64)>,
    /// Needed by runs that began.
    needed: (u64, u64),
    /// Fetched by workers from above.
    by_workers: (u64, u64),
    /// Fetched by workers from foremen.
    from_foremen: (u64, u64),
    /// Fetched by foremen from above.
    by_foremen: (u64, u64),
}

/// Moments of the run, at most a few hundred, evenly spread however long it lasts.
#[derive(Clone, Debug)]
struct Points {
    points: Vec<Point>,
    step: Span,
    next: Time,
}

/// Moments kept; beyond twice as many every other one goes.
const POINTS: usize = 360;

impl Tally {
    pub fn new(scenario: &Scenario) -> Self {
        let needs = scenario.work.iter().map(|work| {
            let own = u64::from(work.own_input.0 > 0);
            let shared: u64 = work.shared_inputs.iter().map(|bytes| bytes.0).sum();
            (
                own + work.shared_inputs.len() as u64,
                shared + work.own_input.0,
            )
        });
        Self {
            trace: Trace::light(),
            attempts: Attempts::default(),
            paths: Paths::default(),
            why: Cause::Evicted,
            actors: Vec::new(),
            machines: BTreeSet::new(),
            present: vec![0; scenario.pools.len()],
            running: 0,
            present_core_us: 0,
            points: Points {
                points: Vec::new(),
                step: Span::secs(1),
                next: Time(0),
            },
            marks: Vec::new(),
            inputs: Inputs {
                needs: needs.collect(),
                ..Inputs::default()
            },
        }
    }

    /// A kind of actors; the number by which it is entered.
    pub fn class(&mut self, name: &str, level: Level) -> u16 {
        self.paths.class(name, level)
    }

    /// Says of which kind an actor is.
    pub fn enrol(&mut self, actor: ActorId, class: u16) {
        if self.actors.len() <= actor.0 {
            self.actors.resize(actor.0 + 1, Actor::default());
        }
        self.actors[actor.0].class = class;
    }

    /// Says which machine a worker's next session is on.
    pub fn stands_on(&mut self, actor: ActorId, machine: u32) {
        self.actors[actor.0].machine = machine;
        self.actors[actor.0].leaves = None;
    }

    /// Says that a worker is told to leave, and why.
    pub fn leaves(&mut self, actor: ActorId, cause: Cause) {
        self.actors[actor.0].leaves = Some(cause);
    }

    /// Tasks whose outcome their user has.
    pub fn ended(&self) -> u64 {
        self.attempts.ended()
    }

    /// When the latest outcome came.
    pub fn latest(&self) -> Time {
        self.attempts.latest
    }

    /// Notes an event of the scenario.
    pub fn mark(&mut self, now: Time, label: &str, what: String) {
        self.marks.push(Mark {
            at_s: now.0 / 1_000_000,
            label: label.to_owned(),
            what,
        });
    }

    /// Notes how things stand, if a moment is due by `now`.
    pub fn sample(&mut self, now: Time) {
        while self.points.next <= now {
            let at = self.points.next;
            self.note(at);
            self.points.next = at + self.points.step;
            if self.points.points.len() >= 2 * POINTS {
                let mut keep = false;
                self.points.points.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.points.step = self.points.step + self.points.step;
                self.points.next = at + self.points.step;
            }
            // Where nothing happens for long, nothing changes between.
            if now.since(self.points.next).0 > 64 * self.points.step.0 {
                self.points.next = now;
            }
        }
    }

    fn note(&mut self, at: Time) {
        self.points.points.push(Point {
            at_s: at.0 / 1_000_000,
            workers: self.present.clone(),
            running: self.running,
            received: self.attempts.received,
            assigned: self.attempts.assigned,
        });
    }

    fn level(&self, actor: ActorId) -> Level {
        self.paths.level(self.actors[actor.0].class)
    }

    fn came(&mut self, now: Time, (from, to): (ActorId, ActorId), frame: &Frame, bytes: usize) {
        let classes = (self.actors[from.0].class, self.actors[to.0].class);
        self.paths.message(classes, bytes);
        match frame {
            Frame::Assign(assign) => {
                if let Level::Worker { .. } = self.level(to) {
                    for task in &assign.tasks {
                        let key = TaskKey {
                            master: assign.master,
                            task: task.task,
                        };
                        self.attempts.reached(now, key, task.round, to);
                    }
                    let known = &mut self.actors[to.0];
                    known.was_used |= !assign.tasks.is_empty();
                    if !assign.tasks.is_empty() {
                        self.machines.insert(known.machine);
                    }
                }
            }
            Frame::Reports(reports) => {
                let leaves = self.actors[from.0].leaves;
                self.attempts.reported(reports, leaves);
            }
            Frame::Outcomes(outcomes) => {
                let master = self.actors[from.0].queue;
                self.attempts.outcomes(now, master, outcomes);
            }
            Frame::Hello(_)
            | Frame::Offer(_)
            | Frame::Ack(_)
            | Frame::Cancel(_)
            | Frame::Inventory(_)
            | Frame::Started(_)
            | Frame::Retire(_)
            | Frame::Inquire(_)
            | Frame::Desist(_)
            | Frame::Answered(_)
            | Frame::Replica(_)
            | Frame::Raft(_)
            | Frame::Submit(_)
            | Frame::Submitted(_)
            | Frame::Watch(_)
            | Frame::Delivered(_)
            | Frame::CancelTasks(_)
            | Frame::Cancelled(_)
            | Frame::Status(_)
            | Frame::StatusReply(_)
            | Frame::Explain(_)
            | Frame::Explained(_) => {}
        }
    }

    fn left(&mut self, now: Time, from: ActorId, frame: &Frame) {
        if let Frame::Cancel(cancel) = frame {
            self.attempts.recalled(now, cancel);
        }
        if let Frame::Assign(assign) = frame
            && self.level(from) == Level::Master
        {
            for task in &assign.tasks {
                let key = TaskKey {
                    master: assign.master,
                    task: task.task,
                };
                self.attempts.leased(now, key, task.round);
            }
        }
    }

    fn fetched(&mut self, actor: ActorId, peer: ActorId, bytes: u64) {
        let (own, other) = (self.level(actor), self.level(peer));
        let classes = (self.actors[peer.0].class, self.actors[actor.0].class);
        self.paths.file(classes, bytes);
        let add = |(files, sum): &mut (u64, u64)| {
            *files += 1;
            *sum += bytes;
        };
        match (own, other) {
            (Level::Worker { .. }, Level::Foreman) => {
                add(&mut self.inputs.by_workers);
                add(&mut self.inputs.from_foremen);
            }
            (Level::Worker { .. }, _) => add(&mut self.inputs.by_workers),
            (Level::Foreman, Level::Master) => add(&mut self.inputs.by_foremen),
            (Level::Foreman, Level::Foreman) if self.paths.is_above(classes) => {
                add(&mut self.inputs.by_foremen);
            }
            (Level::Foreman | Level::Master | Level::User, _) => {}
        }
    }

    fn up(&mut self, now: Time, actor: ActorId) {
        let level = self.level(actor);
        let known = &mut self.actors[actor.0];
        known.since = Some(now);
        if let Level::Worker { pool } = level {
            self.present[pool] += 1;
        }
    }

    fn killed(&mut self, now: Time, actor: ActorId) {
        let level = self.level(actor);
        let known = &mut self.actors[actor.0];
        let Some(since) = known.since.take() else {
            return;
        };
        if let Level::Worker { pool } = level {
            self.present[pool] -= 1;
            self.present_core_us += core_us(known.cores_milli, now.since(since));
            self.attempts.died(actor, self.why);
        }
    }

    /// Says which queue a master has.
    pub fn has_queue(&mut self, actor: ActorId, queue: MasterId) {
        self.actors[actor.0].queue = queue;
    }

    /// Says how many cores a worker has.
    pub fn has_cores(&mut self, actor: ActorId, cores_milli: u32) {
        self.actors[actor.0].cores_milli = cores_milli;
    }

    fn ran(&mut self, now: Time, attempt: Attempt, end: attempts::RunEnd) {
        self.running -= 1;
        self.attempts.run_ended(now, attempt, end);
    }
}

/// Core time in core microseconds.
fn core_us(cores_milli: u32, span: Span) -> u128 {
    u128::from(cores_milli) * u128::from(span.0) / 1_000
}

impl Observer for Tally {
    fn saw(&mut self, now: Time, sight: &Sight<'_>) {
        self.trace.saw(now, sight);
        match sight {
            Sight::Up { actor, .. } => self.up(now, *actor),
            Sight::Killed { actor } => self.killed(now, *actor),
            Sight::Left { from, frame, .. } => self.left(now, *from, frame),
            Sight::Came {
                from,
                to,
                frame,
                bytes,
            } => self.came(now, (*from, *to), frame, *bytes),
            Sight::Fetched {
                actor,
                peer,
                bytes,
                end: muster_proto::machine::FetchEnd::Held,
                ..
            } => self.fetched(*actor, *peer, *bytes),
            Sight::Started { launch, .. } => {
                self.running += 1;
                let program = crate::program::Program::of(&launch.words);
                if let Some((files, bytes)) = program.and_then(|n| self.inputs.needs.get(n)) {
                    self.inputs.needed.0 += files;
                    self.inputs.needed.1 += bytes;
                }
                let cores_milli = launch.resources.cores_milli;
                self.attempts.started(now, launch.attempt, cores_milli);
            }
            Sight::Ended { attempt, ran, .. } => {
                let end = attempts::RunEnd::Ended {
                    is_ok: ran.result.is_ok(),
                };
                self.ran(now, *attempt, end);
            }
            Sight::Cut { attempt, .. } => self.ran(now, *attempt, attempts::RunEnd::Cut),
            Sight::Wrong { checker, what } => panic!("{checker}: {what}"),
            Sight::Wiped { .. }
            | Sight::LinkUp { .. }
            | Sight::LinkDown { .. }
            | Sight::Durable { .. }
            | Sight::Fetched { .. }
            | Sight::Forgot { .. } => {}
        }
    }
}

/// By category: what its run times are compared with.
type AbortLines = BTreeMap<String, f64>;

/// Spans of one hop.
type Hops = [(&'static str, Quantiles); 4];
