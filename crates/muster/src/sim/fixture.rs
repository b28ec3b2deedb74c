//! A report as a run might bring it, for tests: small, and with names that want to be markup.

use std::collections::BTreeMap;

use muster_sim::run::{
    Bar, CacheReport, Claim, CoreDays, Latency, LinkReport, Mark, Point, RunReport, Spread, Top,
};

/// The report; its ledger sums, with three attempts open.
pub fn report() -> RunReport {
    let core_days = CoreDays {
        busy: 10_603.0,
        lost: 2_100.5,
        idle: 3_000.25,
    };
    RunReport {
        schema: RunReport::SCHEMA,
        scenario: "sample".to_owned(),
        about: "A sample & no more. It stands for a month.\n\nIts <numbers> are made up."
            .to_owned(),
        seed: 7,
        set: vec!["fast_abort=2".to_owned()],
        submitted: 130_000,
        assigned: 283_830,
        received: 122_141,
        failed: 17,
        execution_minutes: Spread {
            mean: 125.25,
            sd: 87.5,
        },
        workers: 5000,
        machines: 370,
        losses: BTreeMap::from([
            ("evicted", 161_000),
            ("fast_abort", 600),
            ("failed", 86),
            ("open", 3),
        ]),
        core_days,
        busy_cpu_days: core_days.busy,
        goodput: 0.8347,
        makespan_s: 30.0 * 86_400.0,
        is_complete: false,
        links: links(),
        top: Top {
            messages: 900_000,
            bytes: 40_000_000_000,
            inputs: 1_200_000,
            brain_s: 2.5,
        },
        caches: caches(),
        latency: latency(),
        timeline: timeline(),
        pools: vec!["sge".to_owned(), "<b>condor</b>, \"two\"".to_owned()],
        marks: marks(),
        run_times: (1..=40).map(bar).collect(),
        abort_lines: BTreeMap::from([("md".to_owned(), 15_000.0)]),
        claims: claims(),
        events: 3_000_000,
        inputs: 4_000_000,
        wall_s: 12.5,
        event_us: 2.5,
        trace_hash: "00c0ffee00c0ffee".to_owned(),
    }
}

fn links() -> Vec<LinkReport> {
    let link = |upper: &str, lower: &str, files_down| LinkReport {
        upper: upper.to_owned(),
        lower: lower.to_owned(),
        messages_down: 300_000,
        messages_up: 600_000,
        bytes_down: 90_000_000,
        bytes_up: 160_000_000,
        files_down,
        files_up: 12_000_000_000,
    };
    vec![
        link("master", "campus", 3_000_000_000),
        link("campus", "<b>condor</b>, \"two\"", 28_000_000_000),
    ]
}

fn caches() -> Vec<CacheReport> {
    let cache = |level: &str, hits, misses| CacheReport {
        level: level.to_owned(),
        hits,
        misses,
        hit_bytes: hits * 1_000_000,
        fetched_bytes: misses * 1_000_000,
    };
    vec![
        cache("foreman", 283_000, 830),
        cache("worker", 200_000, 83_830),
    ]
}

fn latency() -> Vec<Latency> {
    let hop = |hop: &str, p50_s, p90_s, p99_s| Latency {
        hop: hop.to_owned(),
        count: 283_830,
        p50_s,
        p90_s,
        p99_s,
    };
    vec![
        hop("submit to lease", 600_000.0, 1_200_000.0, 2_000_000.0),
        hop("lease to start", 0.35, 2.0, 9.5),
        hop("end to outcome", 0.06, 0.09, 0.4),
    ]
}

fn timeline() -> Vec<Point> {
    let point = |n: u64| Point {
        at_s: n * 12 * 3600,
        workers: vec![(n * 3 % 150) as u32, (200 + n * 7 % 90) as u32],
        running: 190 + n * 5 % 110,
        received: n * 122_141 / 60,
        assigned: n * 283_830 / 60,
    };
    (0..=60).map(point).collect()
}

fn marks() -> Vec<Mark> {
    let mark = |at_s, label: &str, what: &str| Mark {
        at_s,
        label: label.to_owned(),
        what: what.to_owned(),
    };
    vec![
        mark(0, "A", "100 workers asked for in sge"),
        mark(10 * 86_400, "B", "150 more in <b>condor</b>, \"two\""),
        mark(20 * 86_400, "", "campus is cut off for 1 d"),
    ]
}

fn bar(n: u64) -> Bar {
    Bar {
        to_s: n * 600,
        count: 7000 * n / (1 + n * n / 20),
    }
}

fn claims() -> Vec<Claim> {
    let claim = |name: &str, published, emerged| Claim {
        name: name.to_owned(),
        published,
        emerged,
    };
    vec![
        claim("assigned", 283_830.0, 283_830.0),
        claim("received", 122_141.0, 122_141.0),
        claim("mean_minutes", 125.0, 125.25),
        claim("busy_cpu_days", 3000.0, 10_603.0),
        claim("makespan_s", 2_592_000.0, 2_592_000.0),
    ]
}
