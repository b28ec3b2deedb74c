//! Storms: from each seed a world, its work and its faults; then healing, and everything must come to its end.
//!
//! A storm has two phases. While it rages, nothing that a promise forbids may be seen. Then every fault ends, and
//! within [`CALM_MAX`], and the time its work takes, each task has its outcome with its user and nobody holds anything any more. A failing seed is
//! run once more to write down the story of the tasks concerned; the same seed always gives the same storm.

mod draw;
mod faults;
mod profile;
mod report;
mod story;
mod weather;

use std::any::Any;
use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use muster_proto::limits::UNNEEDED_GRACE;
use muster_proto::{Role, Span, TaskKey, Time};

pub use profile::{NoProfile, Profile, Scene};
pub use report::{Failure, Report};
pub use weather::{Climate, Rough, Strike, Weather};

use crate::brain::{ActorId, Observer, Sight};
use crate::cast::Cast;
use crate::catalog;
use crate::checkers::{Checkers, Fairness, Share, Violation};
use crate::rng::Rng;
use crate::trace::Trace;
use crate::world::World;

use draw::{Drawn, draw};
use faults::Faults;
use story::Story;

/// Storms over `seeds`.
pub fn storm(seeds: Range<u64>, profile: &Profile) -> Report {
    let mut report = Report::default();
    for seed in seeds {
        report.add(one(seed, profile));
    }
    report
}

/// What becomes of one seed; if a promise is broken it is told a second time, with its story.
fn one(seed: u64, profile: &Profile) -> Report {
    if profile.scene == Scene::Catalog {
        return catalog::storm::told(seed, profile.name);
    }
    let end = run(seed, profile, None);
    let failure = end.violation.map(|violation| {
        let story = Story::of(violation.tasks.iter().copied());
        Failure {
            seed,
            profile: profile.name,
            checker: violation.checker.to_owned(),
            at: violation.at.0 as f64 / 1e6,
            what: violation.what,
            drawn: end.drawn,
            story: run(seed, profile, Some(story)).story,
        }
    });
    Report {
        seeds: 1,
        failures: failure.into_iter().collect(),
        share: end.share,
        events: end.trace.events(),
        tasks: end.tasks,
        runs: end.runs,
    }
}

/// Who there is under `seed` and what goes wrong, for people.
pub fn options(seed: u64, profile: &Profile) -> String {
    if profile.scene == Scene::Catalog {
        return catalog::storm::options(seed);
    }
    draw(seed, profile).to_string()
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
    share: Option<Share>,
    drawn: String,
    story: Vec<String>,
}

fn run(seed: u64, profile: &Profile, story: Option<Story>) -> End {
    let drawn = draw(seed, profile);
    let mut checkers = Checkers::new(drawn.roll.clone());
    if profile.scene == Scene::Shared {
        checkers.fairness = Some(Fairness::new(&drawn.roll, drawn.longest));
    }
    let witness = Witness {
        trace: Trace::new(),
        checkers,
        story,
    };
    let mut rng = Rng::new(seed).fork(2);
    let mut world = World::new(rng.next(), drawn.layout.clone(), witness);
    for (casting, clock) in drawn.castings.iter().zip(&drawn.clocks) {
        let delay = Span(rng.below(5_000_000));
        let actor = world.add(casting.clone(), delay);
        world.set_clock(actor, *clock);
    }
    let faults = Faults::new(rng.fork(3), drawn.weather.clone());
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
        share: checkers.fairness.as_ref().and_then(Fairness::share),
        drawn: drawn.to_string(),
        story: story.map(Story::lines).unwrap_or_default(),
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
        .to_owned()
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
    let end = Time(0) + drawn.weather.rage;
    while world.now() < end {
        let until = faults.next_at().min(end);
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

/// Whether the journals give the books, and caches hold no more than they may.
fn audit(world: &mut Sea) {
    for actor in world.actors() {
        stores(world, actor);
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

/// Whether an actor's cache has given up what it has no room for; what it gives up waits for its journal.
fn stores(world: &mut Sea, actor: ActorId) {
    let caches = matches!(world.peer(actor).role, Role::Foreman | Role::Worker);
    if !caches || !world.is_well(actor) || world.pending(actor) {
        return;
    }
    let limit = world.part(actor).cache_bytes_max();
    let cache = &world.observer.checkers.cache;
    let unneeded = cache.unneeded(actor, world.held(actor));
    if unneeded > limit {
        let name = world.peer(actor).to_string();
        let what =
            format!("{name} keeps {unneeded} bytes that nothing needs; {limit} is its limit");
        find(world, "cache", what, Vec::new());
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
