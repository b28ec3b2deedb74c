//! Small scenarios whose ends can be worked out by hand.

use crate::run::{Asked, RunReport, run};
use crate::scenario::Scenario;

fn play(text: &str, seed: u64) -> RunReport {
    let scenario = match Scenario::parse(text) {
        Ok(scenario) => scenario,
        Err(bad) => panic!("{bad}"),
    };
    let asked = Asked {
        seed,
        ..Asked::default()
    };
    run(&scenario, &asked)
}

/// Every attempt has come to one end.
fn sums(report: &RunReport) {
    let lost: u64 = report.losses.values().sum();
    assert_eq!(
        report.received + lost,
        report.assigned,
        "received and lost make assigned: {:?}",
        report.losses
    );
}

const TWO_CORES: &str = r#"
about = "Ten tasks of a minute on two workers."
[[master]]
name = "m"
link = { latency = "0s" }
[[work]]
category = "c"
tasks = 10
run = "1min"
[[pool]]
name = "p"
kind = "sge"
machines = 2
at_once = 2
"#;

#[test]
fn ten_minutes_of_work_take_two_workers_five_minutes() {
    let report = play(TWO_CORES, 1);
    assert!(report.is_complete);
    assert_eq!(
        (report.submitted, report.assigned, report.received),
        (10, 10, 10)
    );
    assert!(
        (300.0..301.0).contains(&report.makespan_s),
        "{}",
        report.makespan_s
    );
    assert_eq!(report.execution_minutes.mean, 1.0);
    assert_eq!(report.execution_minutes.sd, 0.0);
    assert_eq!(report.workers, 2);
    assert!((report.core_days.busy * 1_440.0 - 10.0).abs() < 1e-6);
    assert!(report.core_days.lost.abs() < 1e-9);
    assert!(report.goodput > 0.999);
    sums(&report);
}

#[test]
fn t1_the_same_seed_makes_the_same_trace_and_another_another() {
    let text = TWO_CORES.replace(
        "run = \"1min\"",
        "run = { exponential = { mean = \"1min\" } }",
    );
    let first = play(&text, 7);
    assert_eq!(first, play(&text, 7));
    assert_ne!(first.trace_hash, play(&text, 8).trace_hash);
}

#[test]
fn a_fast_machine_takes_less_time() {
    let text = TWO_CORES.replace("machines = 2", "machines = 2\nspeed = { mean = 2.0 }");
    let report = play(&text, 1);
    assert!((150.0..151.0).contains(&report.makespan_s));
}

#[test]
fn evictions_are_counted_and_made_good() {
    let text = format!("{TWO_CORES}eviction = \"150s\"\nqueue = \"10s\"\nstays = \"1d\"\n");
    let report = play(&text, 1);
    assert!(report.is_complete);
    assert_eq!(report.received, 10);
    assert!(report.losses["evicted"] >= 2, "{:?}", report.losses);
    assert!(report.core_days.lost > 0.0);
    assert_eq!(report.workers, 2, "they come back under their names");
    sums(&report);
}

#[test]
fn a_worker_that_is_told_hands_back_what_it_has() {
    let text = format!(
        "{TWO_CORES}eviction = \"150s\"\nnotice = \"20s\"\nqueue = \"10s\"\nstays = \"1d\"\n"
    );
    let report = play(&text, 1);
    assert!(report.is_complete);
    assert!(report.losses["evicted"] >= 2, "{:?}", report.losses);
    sums(&report);
}

#[test]
fn workers_come_and_go_by_events_and_the_letters_are_kept() {
    let text = TWO_CORES.replace("at_once = 2", "at_once = 0")
        + r#"
[[event]]
at = "1min"
label = "A"
do = "add"
pool = "p"
workers = 4
[[event]]
at = "150s"
label = "B"
do = "remove"
pool = "p"
workers = 2
"#;
    let report = play(&text, 1);
    assert!(report.is_complete);
    let marks: Vec<_> = report
        .marks
        .iter()
        .map(|mark| (mark.at_s, mark.label.as_str()))
        .collect();
    assert_eq!(marks, [(60, "A"), (150, "B")]);
    assert_eq!(report.losses["removed"], 2);
    let most = report.timeline.iter().map(|point| point.workers[0]).max();
    assert_eq!(most, Some(4));
    assert_eq!(
        report.timeline.last().map(|point| point.workers[0]),
        Some(2)
    );
    sums(&report);
}

const SITES: &str = r#"
about = "Two sites with four workers each, and files."
[[master]]
name = "m"
link = { latency = "1ms", bandwidth = "100MB/s" }
[[site]]
name = "campus"
count = 2
link = { latency = "10ms", bandwidth = "10MB/s" }
[[work]]
category = "c"
tasks = 80
run = "30s"
shared_inputs = ["100MB"]
own_input = "1MB"
output = "2MB"
[[pool]]
name = "p"
site = "campus"
kind = "slurm"
machines = 4
at_once = 4
"#;

#[test]
fn a_shared_file_crosses_to_each_site_once() {
    let report = play(SITES, 3);
    assert!(report.is_complete);
    let link = |lower: &str| {
        let mut links = report.links.iter();
        links
            .find(|link| link.lower == lower)
            .cloned()
            .unwrap_or_default()
    };
    let up = 80 * 2_000_000;
    assert_eq!(link("campus").files_down, 2 * 100_000_000 + 80 * 1_000_000);
    assert_eq!(link("campus").files_up, up);
    assert_eq!(link("p").files_down, 8 * 100_000_000 + 80 * 1_000_000);
    assert_eq!(link("p").files_up, up);
    let foreman = report.caches.iter().find(|cache| cache.level == "foreman");
    let foreman = foreman.expect("foremen have caches");
    assert_eq!((foreman.misses, foreman.hits), (2 + 80, 6));
    // 100 MB at 10 MB/s stand before the first start, and 10 rounds of 30 s after it.
    assert!(
        (310.0..335.0).contains(&report.makespan_s),
        "{}",
        report.makespan_s
    );
    sums(&report);
}

/// X6, cut-through: two links of 10 MB/s one behind the other take little longer than one of them.
#[test]
fn a_worker_has_what_arrives_at_its_site_soon_after_it() {
    let lan = "link = { latency = \"10ms\", bandwidth = \"10MB/s\" }\nlan = { latency = \"1ms\", bandwidth = \"10MB/s\" }";
    let text = SITES
        .replace("link = { latency = \"10ms\", bandwidth = \"10MB/s\" }", lan)
        .replace("at_once = 4", "at_once = 1")
        .replace("tasks = 80", "tasks = 2")
        .replace("own_input = \"1MB\"\n", "");
    let report = play(&text, 3);
    assert!(report.is_complete);
    // 10 s for the input on its way through the foreman, 30 s of work.
    assert!(
        (40.0..42.0).contains(&report.makespan_s),
        "{}",
        report.makespan_s
    );
    sums(&report);
}

#[test]
fn a_site_that_is_cut_off_works_on_and_loses_nothing() {
    let text = SITES.replace("run = \"30s\"", "run = \"20min\"").to_owned()
        + "[[event]]\nat = \"15min\"\nlabel = \"X\"\ndo = \"cut\"\nsite = \"campus1\"\nlasts = \"4min\"\n";
    let report = play(&text, 3);
    assert!(report.is_complete);
    assert_eq!(report.assigned, 80, "{:?}", report.losses);
    sums(&report);
}

#[test]
fn a_master_that_dies_comes_back_to_its_journal() {
    let text = TWO_CORES.to_owned()
        + "[[event]]\nat = \"90s\"\nlabel = \"X\"\ndo = \"crash\"\nname = \"m\"\nlasts = \"30s\"\n";
    let report = play(&text, 3);
    assert!(report.is_complete);
    assert_eq!(report.received, 10);
    assert_eq!(report.core_days.lost, 0.0, "what ran went on");
    sums(&report);
}

#[test]
fn a_world_in_which_nothing_can_run_comes_to_an_end() {
    let report = play(&format!("{TWO_CORES}from = \"300d\"\n"), 1);
    assert!(!report.is_complete);
    assert_eq!((report.assigned, report.received), (0, 0));
}
