//! Storms: from each seed a world, its work and its faults; then healing, and everything must come to its end.
//!
//! A storm has two phases. While it rages, nothing that a promise forbids may be seen. Then every fault ends, and
//! within [`CALM_MAX`], and the time its work takes, each task has its outcome with its user and nobody holds anything any more. A failing seed is
//! run once more to write down the story of the tasks concerned; the same seed always gives the same storm.

mod draw;
mod faults;
mod report;
mod story;

use std::any::Any;
use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use muster_proto::limits::UNNEEDED_GRACE;
use muster_proto::{Role, Span, TaskKey, Time};

pub use report::{Failure, Report};

use crate::brain::{ActorId, Observer, Sight};
use crate::cast::Cast;
use crate::checkers::{Checkers, Violation};
use crate::rng::Rng;
use crate::trace::Trace;
use crate::world::{Mutant, World};

use draw::{Drawn, draw};
use faults::Faults;
use story::Story;

/// How large worlds are, and what is done wrong in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Masters, at least one.
    pub masters_max: u64,
    /// Foremen.
    pub foremen_max: u64,
    /// Workers beyond one for each superior.
    pub workers_max: u64,
    /// Submits of one user.
    pub submits_max: u64,
    /// Tasks of one submit.
    pub tasks_max: u64,
    /// A fault planted to see that it is caught.
    pub mutant: Option<Mutant>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            masters_max: 3,
            foremen_max: 4,
            workers_max: 12,
            submits_max: 4,
            tasks_max: 40,
            mutant: None,
        }
    }
}

/// Storms over `seeds`.
pub fn storm(seeds: Range<u64>, profile: &Profile) -> Report {
    let mut report = Report::default();
    for seed in seeds {
        let end = run(seed, profile, None);
        report.seeds += 1;
        report.events += end.trace.events();
        (report.tasks, report.runs) = (report.tasks + end.tasks, report.runs + end.runs);
        if let Some(violation) = end.violation {
            let told = run(
                seed,
                profile,
                Some(Story::of(violation.tasks.iter().copied())),
            );
            report.failures.push(Failure {
                seed,
                checker: violation.checker.to_owned(),
                at: violation.at.0 as f64 / 1e6,
                what: violation.what,
                drawn: end.drawn,
                story: told.story,
            });
        }
    }
    report
}

/// The hash of everything that happens under `seed`.
pub fn trace(seed: u64, profile: &Profile) -> u64 {
    run(seed, profile, None).trace.hash()
}

/// How a storm ended.
struct End {
    violation: Option<Violation>,
    trace: Trace,
    tasks: u64,
    runs: u64,
    drawn: String,
    story: Vec<String>,
}

fn run(seed: u64, profile: &Profile, story: Option<Story>) -> End {
    let drawn = draw(seed, profile);
    let witness = Witness {
        trace: Trace::new(),
        checkers: Checkers::new(drawn.roll.clone()),
        story,
    };
    let mut rng = Rng::new(seed).fork(2);
    let mut world = World::new(rng.next(), drawn.layout.clone(), witness);
    for casting in &drawn.castings {
        let delay = Span(rng.below(5_000_000));
        world.add(casting.clone(), delay);
    }
    let faults = Faults::new(rng.fork(3), drawn.calm);
    let driven = catch_unwind(AssertUnwindSafe(|| drive(&mut world, &drawn, faults)));
    let panicked = driven.err().map(|panic| Violation {
        checker: "panic",
        at: world.now(),
        what: words_of(&*panic),
        tasks: Vec::new(),
    });
    let Witness {
        trace,
        checkers,
        story,
    } = world.observer;
    let (tasks, runs) = checkers.ledger.size();
    End {
        violation: checkers.found.into_iter().next().or(panicked),
        trace,
        tasks,
        runs,
        drawn: describe(&drawn),
        story: story.map(Story::lines).unwrap_or_default(),
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
        .to_owned()
}

fn describe(drawn: &Drawn) -> String {
    let who = drawn.castings.iter().enumerate().map(|(n, casting)| {
        let dials: Vec<usize> = casting.dials.iter().map(|dial| dial.0).collect();
        format!("{n}={}->{dials:?}", casting.peer.role)
    });
    let who: Vec<String> = who.collect();
    format!(
        "{:?} rage={} calm={} {}",
        drawn.layout,
        drawn.rage,
        drawn.calm,
        who.join(" ")
    )
}

/// Everyone who watches a storm.
#[derive(Debug)]
struct Witness {
    trace: Trace,
    checkers: Checkers,
    story: Option<Story>,
}

impl Observer for Witness {
    fn saw(&mut self, now: Time, sight: &Sight<'_>) {
        self.trace.saw(now, sight);
        if let Some(story) = &mut self.story {
            story.saw(now, sight);
        }
        self.checkers.saw(now, sight);
    }
}

type Sea = World<Cast, Witness>;

/// Lets a storm rage, heals, and looks at what is left.
fn drive(world: &mut Sea, drawn: &Drawn, mut faults: Faults) {
    let end = Time(0) + drawn.rage;
    while world.now() < end {
        let until = (world.now() + faults.pause()).min(end);
        if !sail(world, until) {
            return;
        }
        audit(world);
        faults.strike(world);
    }
    world.heal_all();
    let patience = world.now() + CALM_MAX + drawn.work;
    while !is_over(world) {
        if world.now() > patience {
            return complain(world);
        }
        let until = world.now() + Span::secs(1);
        if !sail(world, until) {
            return;
        }
    }
    let until = world.now() + SETTLED;
    if sail(world, until) {
        audit(world);
        left_overs(world);
    }
}

/// Lets time pass; false if a promise was broken.
fn sail(world: &mut Sea, until: Time) -> bool {
    while world.next_at().is_some_and(|at| at <= until) {
        world.step();
        if !world.observer.checkers.found.is_empty() {
            return false;
        }
    }
    world.run_until(until);
    true
}

/// Whether the journals give the books.
fn audit(world: &mut Sea) {
    for actor in world.actors() {
        let records = world.journal(actor).records();
        if let Some(fault) = world
            .brain(actor)
            .and_then(|brain| brain.journal_fault(records))
        {
            let name = world.peer(actor).to_string();
            find(world, "journal", format!("{name}: {fault}"), Vec::new());
        }
    }
}

/// Whether everyone has what was asked for and holds nothing.
fn is_over(world: &Sea) -> bool {
    let idle = |actor| world.brain(actor).is_some_and(Cast::is_idle);
    world.actors().all(idle) && world.observer.checkers.ledger.open().is_empty()
}

/// Says what did not come to its end.
fn complain(world: &mut Sea) {
    let open = world.observer.checkers.ledger.open();
    let busy = |actor: &ActorId| !world.brain(*actor).is_some_and(Cast::is_idle);
    let busy: Vec<String> = world
        .actors()
        .filter(busy)
        .map(|actor| world.peer(actor).to_string())
        .collect();
    let (checker, what) = if open.is_empty() {
        (
            "nothing_left",
            format!("held long after the end, by {}", busy.join(", ")),
        )
    } else {
        (
            "liveness",
            format!(
                "{} task(s) have no outcome; busy: {}",
                open.len(),
                busy.join(", ")
            ),
        )
    };
    find(world, checker, what, open.into_iter().take(3).collect());
}

/// Files of results that somebody who was never killed still keeps.
fn left_overs(world: &mut Sea) {
    let results: BTreeSet<_> = world.observer.checkers.ledger.files();
    let never_killed =
        |actor: &ActorId| world.peer(*actor).role != Role::User && world.lives(*actor) == 1;
    let keepers: Vec<ActorId> = world.actors().filter(never_killed).collect();
    for actor in keepers {
        let limit = world.part(actor).cache_bytes_max();
        let kept: u64 = world
            .held(actor)
            .iter()
            .filter(|(digest, _)| results.contains(digest))
            .map(|(_, bytes)| bytes)
            .sum();
        if kept > limit {
            let name = world.peer(actor).to_string();
            find(
                world,
                "nothing_left",
                format!("{name} keeps {kept} bytes of results"),
                Vec::new(),
            );
        }
    }
}

fn find(world: &mut Sea, checker: &'static str, what: String, tasks: Vec<TaskKey>) {
    let at = world.now();
    world.observer.checkers.found.push(Violation {
        checker,
        at,
        what,
        tasks,
    });
}

/// When everything must have come to its end after all faults have, beyond the work itself: the longest grace ten times over.
pub const CALM_MAX: Span = Span::secs(600);

/// How long after the end the last writes are durable and the last files given up.
const SETTLED: Span = Span(UNNEEDED_GRACE.0 + Span::secs(10).0);

#[cfg(test)]
mod tests;
