//! Those who watch the world and keep books of their own: a promise is tried by what was seen, not by what a brain says.
//!
//! A checker sees frames when they leave a process and when they arrive, records when they are durable, runs when
//! they start and end. From these it tells what must never happen; what must happen in the end is asked by `storm`.

mod cache;
mod cancel;
mod capacity;
mod conservation;
mod durable;
mod fairness;
mod leases;
mod ledger;

use muster_proto::{MasterId, TaskId, TaskKey, Time};

pub use cache::Cache;
pub use cancel::Cancel;
pub use capacity::Capacity;
pub use conservation::Conservation;
pub use durable::Durable;
pub use fairness::{Fairness, Share};
pub use leases::Leases;
pub use ledger::Ledger;

use crate::brain::{ActorId, Observer, Sight};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Who found it.
    pub checker: &'static str,
    /// When.
    pub at: Time,
    /// What, in a sentence.
    pub what: String,
    /// The tasks concerned, for their stories.
    pub tasks: Vec<TaskKey>,
}

/// Who is who, for checkers.
#[derive(Clone, Debug, Default)]
pub struct Roll {
    /// The masters' actors and queues.
    pub masters: Vec<(ActorId, MasterId)>,
    /// The foremen's actors.
    pub foremen: Vec<ActorId>,
    /// The workers' actors and shapes.
    pub workers: Vec<(ActorId, muster_proto::Resources)>,
}

impl Roll {
    /// The queue of a master.
    pub fn queue(&self, actor: ActorId) -> Option<MasterId> {
        self.masters
            .iter()
            .find(|(master, _)| *master == actor)
            .map(|(_, queue)| *queue)
    }

    /// A master's task among all.
    pub fn key(&self, actor: ActorId, task: TaskId) -> Option<TaskKey> {
        self.queue(actor).map(|master| TaskKey { master, task })
    }
}

/// All checkers together.
#[derive(Debug)]
pub struct Checkers {
    /// Each task exactly one outcome.
    pub ledger: Ledger,
    /// Files that are needed stay, others go.
    pub cache: Cache,
    cancel: Cancel,
    capacity: Capacity,
    conservation: Conservation,
    leases: Leases,
    durable: Durable,
    /// What each gets of what several share; where they do.
    pub fairness: Option<Fairness>,
    /// What was found, oldest first.
    pub found: Vec<Violation>,
}

impl Checkers {
    /// Checkers of a world in which these are who they are.
    pub fn new(roll: Roll) -> Self {
        Self {
            cache: Cache::new(&roll),
            cancel: Cancel::new(&roll),
            capacity: Capacity::new(&roll),
            leases: Leases::new(&roll),
            durable: Durable::new(&roll),
            ledger: Ledger::new(roll),
            conservation: Conservation::default(),
            fairness: None,
            found: Vec::new(),
        }
    }
}

impl Observer for Checkers {
    fn saw(&mut self, now: Time, sight: &Sight<'_>) {
        let mut findings = Findings {
            now,
            found: &mut self.found,
        };
        if let Sight::Wrong { checker, what } = sight {
            findings.add(checker, what.clone(), Vec::new());
        }
        self.ledger.saw(sight, &mut findings);
        self.cache.saw(sight, &mut findings);
        self.cancel.saw(sight, &mut findings);
        self.capacity.saw(sight, &mut findings);
        self.leases.saw(sight, &mut findings);
        self.durable.saw(sight, &mut findings);
        if let Some(fairness) = &mut self.fairness {
            fairness.saw(now, sight, &mut findings);
        }
        self.conservation.saw(&self.ledger, sight, &mut findings);
    }
}

/// Where checkers put what they find.
#[derive(Debug)]
pub struct Findings<'a> {
    now: Time,
    found: &'a mut Vec<Violation>,
}

impl Findings<'_> {
    /// Adds a finding; after the first few the rest says nothing new.
    pub fn add(&mut self, checker: &'static str, what: String, tasks: Vec<TaskKey>) {
        if self.found.len() < FOUND_MAX {
            self.found.push(Violation {
                checker,
                at: self.now,
                what,
                tasks,
            });
        }
    }
}

/// Violations kept of one world.
const FOUND_MAX: usize = 8;
