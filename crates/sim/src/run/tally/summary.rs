//! From counts to the report.

use std::collections::BTreeMap;

use muster_proto::Time;

use crate::cast::Cast;
use crate::run::Asked;
use crate::run::report::{Bar, CacheReport, Claim, CoreDays, Latency, RunReport, Spread, Top};
use crate::run::tally::{AbortLines, Level, Tally, core_us};
use crate::scenario::Scenario;
use crate::world::World;

/// Bars of the histogram of run times.
const BARS: u64 = 40;

/// What came of a world that has come to its end.
pub(in crate::run) fn report(
    scenario: &Scenario,
    asked: &Asked,
    world: World<Cast, Tally>,
    submitted: u64,
) -> RunReport {
    let cost = masters_cost(&world);
    let (inputs, events, now) = (all_inputs(&world), world.events(), world.now());
    let mut tally = world.into_observer();
    tally.attempts.close(now);
    tally.note(now);
    let attempts = &tally.attempts;
    let (links, (messages, bytes)) = tally.paths.reports();
    let core_days = core_days(&tally, now);
    let run = core_days.busy + core_days.lost;
    let spread = spread(attempts.moments, attempts.received);
    let began = attempts.first.unwrap_or_default();
    let mut report = RunReport {
        schema: RunReport::SCHEMA,
        scenario: asked.name.clone(),
        about: scenario.about.clone(),
        seed: asked.seed,
        set: asked.set.clone(),
        submitted,
        assigned: attempts.assigned,
        received: attempts.received,
        failed: attempts.failed,
        execution_minutes: spread,
        workers: tally.workers(),
        machines: tally.machines.len() as u64,
        losses: losses(&tally),
        core_days,
        busy_cpu_days: core_days.busy,
        goodput: if run > 0.0 { core_days.busy / run } else { 0.0 },
        makespan_s: attempts.latest.since(began).as_secs_f64(),
        is_complete: attempts.ended() == submitted,
        links,
        top: Top {
            messages,
            bytes,
            inputs: cost.0,
            brain_s: cost.1 as f64 / 1e9,
        },
        caches: caches(&tally),
        latency: latency(&tally),
        timeline: tally.points.points.clone(),
        pools: scenario
            .pools
            .iter()
            .map(|pool| pool.name.clone())
            .collect(),
        marks: tally.marks.clone(),
        run_times: run_times(&tally),
        abort_lines: abort_lines(scenario, spread),
        claims: Vec::new(),
        events,
        inputs,
        wall_s: 0.0,
        event_us: 0.0,
        trace_hash: format!("{:016x}", tally.trace.hash()),
    };
    report.claims = claims(scenario, &report);
    report
}

/// Inputs and nanoseconds of all masters' brains.
fn masters_cost(world: &World<Cast, Tally>) -> (u64, u64) {
    let masters = world
        .actors()
        .filter(|actor| world.observer.level(*actor) == Level::Master);
    masters
        .map(|actor| world.cost(actor))
        .fold((0, 0), |sum, cost| (sum.0 + cost.0, sum.1 + cost.1))
}

fn all_inputs(world: &World<Cast, Tally>) -> u64 {
    world.actors().map(|actor| world.cost(actor).0).sum()
}

fn core_days(tally: &Tally, now: Time) -> CoreDays {
    let attempts = &tally.attempts;
    let present = tally.present_core_us(now);
    CoreDays {
        busy: days(attempts.busy_core_us),
        lost: days(attempts.run_core_us.saturating_sub(attempts.busy_core_us)),
        idle: days(present.saturating_sub(attempts.run_core_us)),
    }
}

fn days(core_us: u128) -> f64 {
    core_us as f64 / 86_400e6
}

fn spread((sum, squares): (f64, f64), count: u64) -> Spread {
    if count == 0 {
        return Spread::default();
    }
    let mean = sum / count as f64;
    let variance = (squares / count as f64 - mean * mean).max(0.0);
    Spread {
        mean: mean / 60.0,
        sd: variance.sqrt() / 60.0,
    }
}

fn losses(tally: &Tally) -> BTreeMap<&'static str, u64> {
    let mut losses = BTreeMap::new();
    for (cause, count) in &tally.attempts.losses {
        *losses.entry(cause.name()).or_default() += count;
    }
    losses.retain(|_, count| *count > 0);
    let open = tally.attempts.still_open();
    if open > 0 {
        losses.insert("open", open);
    }
    losses
}

fn caches(tally: &Tally) -> Vec<CacheReport> {
    let inputs = &tally.inputs;
    let level = |level: &str, needed: (u64, u64), fetched: (u64, u64)| CacheReport {
        level: level.to_owned(),
        hits: needed.0.saturating_sub(fetched.0),
        misses: fetched.0,
        hit_bytes: needed.1.saturating_sub(fetched.1),
        fetched_bytes: fetched.1,
    };
    let mut caches = Vec::new();
    if inputs.needed.0 > 0 {
        caches.push(level("worker", inputs.needed, inputs.by_workers));
    }
    if inputs.from_foremen.0 > 0 {
        caches.push(level("foreman", inputs.from_foremen, inputs.by_foremen));
    }
    caches
}

fn latency(tally: &Tally) -> Vec<Latency> {
    let hops = tally.attempts.hops.iter();
    hops.filter(|(_, spans)| spans.count() > 0)
        .map(|(hop, spans)| Latency {
            hop: (*hop).to_owned(),
            count: spans.count(),
            p50_s: spans.permille(500),
            p90_s: spans.permille(900),
            p99_s: spans.permille(990),
        })
        .collect()
}

fn run_times(tally: &Tally) -> Vec<Bar> {
    let walls = &tally.attempts.walls;
    if walls.count() == 0 {
        return Vec::new();
    }
    let bars = walls.bars(BARS).into_iter();
    bars.map(|(to_s, count)| Bar { to_s, count }).collect()
}

/// Where a category that is watched for stragglers is cut off, by the mean of all results.
fn abort_lines(scenario: &Scenario, spread: Spread) -> AbortLines {
    let watched = scenario.work.iter();
    watched
        .filter_map(|work| {
            let line = work.fast_abort? * spread.mean * 60.0;
            Some((work.category.clone(), line))
        })
        .collect()
}

fn claims(scenario: &Scenario, report: &RunReport) -> Vec<Claim> {
    let claims = scenario.claims.iter();
    claims
        .filter_map(|(name, published)| {
            Some(Claim {
                name: name.clone(),
                published: *published,
                emerged: report.figure(name)?,
            })
        })
        .collect()
}

impl Tally {
    fn workers(&self) -> u64 {
        self.actors.iter().filter(|actor| actor.was_used).count() as u64
    }

    /// Core time of workers while they were there, those included that still are.
    fn present_core_us(&self, now: Time) -> u128 {
        let still: u128 = self
            .actors
            .iter()
            .filter_map(|actor| Some(core_us(actor.cores_milli, now.since(actor.since?))))
            .sum();
        self.present_core_us + still
    }
}
