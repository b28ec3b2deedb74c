//! Runs a scenario: makes its world, lets its pools and events act on it, and counts what comes of it.
//!
//! The brains are those of production, in the same world that storms rage in; nothing here decides what a task or a
//! worker does next. [`RunReport`] has everything that was counted.

mod build;
mod known;
mod pools;
mod quantiles;
mod report;
mod tally;
#[cfg(test)]
mod tests;

use muster_proto::{Span, Time};

pub use known::KnownWork;
pub use report::{
    Bar, CacheReport, Claim, CoreDays, Latency, LinkReport, Mark, Point, RunReport, Spread, Top,
};

use crate::cast::Cast;
use crate::scenario::{Act, Scenario};
use crate::world::World;

use build::{Built, build};
use pools::{Due, Pools};
use tally::{Cause, Tally};

/// What is asked of a run beyond its scenario.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The scenario's name, for the report.
    pub name: String,
    /// The seed of all chance.
    pub seed: u64,
    /// What was changed of the scenario, for the report.
    pub set: Vec<String>,
    /// Nanoseconds of a clock, to measure what the masters' brains cost; nothing in the world depends on it.
    pub stopwatch: Option<fn() -> u64>,
}

/// Runs `scenario` to the end of its span, or until all its work is done.
pub fn run(scenario: &Scenario, asked: &Asked) -> RunReport {
    live(scenario, asked, build(scenario, &[], asked))
}

/// Runs `scenario`, which has one master, with this work in place of its own; what is submitted earlier comes first.
/// What the report says of caches counts the files that were fetched alone.
pub fn run_known(scenario: &Scenario, work: &[KnownWork], asked: &Asked) -> RunReport {
    live(scenario, asked, build(scenario, work, asked))
}

fn live(scenario: &Scenario, asked: &Asked, built: Built) -> RunReport {
    let Built {
        mut world,
        mut pools,
        names,
        submitted,
    } = built;
    let end = scenario.span.map(|span| Time(0) + span.0);
    for (n, event) in scenario.events.iter().enumerate() {
        pools.enter(Time(0) + event.at.0, Due::Scripted(n));
    }
    loop {
        let next = [world.next_at(), pools.next_at()].into_iter().flatten();
        let Some(at) = next.min().filter(|at| end.is_none_or(|end| *at <= end)) else {
            break;
        };
        let is_over = world.observer.ended() == submitted && end.is_none();
        if is_over || at > world.observer.latest() + PATIENCE {
            break;
        }
        world.observer.sample(at);
        if pools.next_at() == Some(at) {
            world.run_until(at);
            match pools.take() {
                Some(Due::Scripted(n)) => act(scenario, n, &mut world, &mut pools, &names),
                Some(due) => pools.happen(due, &mut world),
                None => {}
            }
        } else {
            world.step();
        }
    }
    if let Some(end) = end.filter(|_| world.observer.ended() < submitted) {
        world.run_until(end);
    }
    tally::report(scenario, asked, world, submitted)
}

/// When a world in which no outcome comes any more is given up: longer than any scenario's quiet.
const PATIENCE: Span = Span::secs(60 * 24 * 3_600);

fn hours(span: Span) -> f64 {
    (span.as_secs_f64() / 36.0).round() / 100.0
}

/// Does to the world what the scenario's `n`-th event says.
fn act(
    scenario: &Scenario,
    n: usize,
    world: &mut World<Cast, Tally>,
    pools: &mut Pools,
    names: &build::Names,
) {
    let event = &scenario.events[n];
    let what = match &event.act {
        Act::Add { pool, workers } => {
            pools.add(pool, *workers, world);
            format!("{workers} workers are asked for in {pool}")
        }
        Act::Remove { pool, workers } => {
            pools.remove(pool, *workers, world);
            format!("{workers} workers of {pool} are taken away")
        }
        Act::Cut { site, lasts } => {
            let heals = world.now() + lasts.0;
            if let Some(foreman) = names.get(site) {
                for superior in world.dials(*foreman).to_vec() {
                    world.cut(*foreman, superior, heals);
                    world.cut(superior, *foreman, heals);
                }
            }
            format!("{site} is cut off for {} h", hours(lasts.0))
        }
        Act::Crash { name, lasts } => {
            if let Some(actor) = names.get(name) {
                world.observer.why = Cause::Crash;
                world.kill(*actor, Some(lasts.0));
            }
            format!("{name} dies, and is back after {} h", hours(lasts.0))
        }
    };
    let at = world.now();
    world.observer.mark(at, &event.label, what);
}
