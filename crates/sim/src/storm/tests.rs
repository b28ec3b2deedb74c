//! The storm itself, and that it catches what it should.

use super::*;

#[test]
fn t1_the_same_seed_gives_the_same_events() {
    let profile = Profile::default();
    for seed in 0..3 {
        assert_eq!(trace(seed, &profile), trace(seed, &profile), "seed {seed}");
    }
    assert_ne!(trace(0, &profile), trace(1, &profile));
}

#[test]
fn some_storms_break_no_promise() {
    let report = storm(0..30, &Profile::default());
    assert!(report.failures.is_empty(), "{}", told(&report));
    assert!(
        report.tasks > 500 && report.runs > report.tasks / 2,
        "there was work"
    );
}

#[test]
fn acknowledging_before_it_is_durable_is_caught() {
    caught(Mutant::AckBeforeDurable, &["ledger", "liveness"]);
}

#[test]
fn skipping_the_fence_is_caught() {
    caught(Mutant::SkipFence, &["ledger"]);
}

#[test]
fn forgetting_a_held_result_on_reconnect_is_caught() {
    caught(Mutant::ForgetHeld, &["nothing_left", "liveness"]);
}

/// Storms with `mutant` until one is caught, by whom it should be; the same seed without it is fine.
fn caught(mutant: Mutant, by: &[&str]) {
    let mutated = Profile {
        mutant: Some(mutant),
        ..Profile::default()
    };
    let first = (0..SEEDS_MAX).find_map(|seed| storm(seed..seed + 1, &mutated).failures.pop());
    let failure = first.expect("a mutant that no storm catches makes the storm worthless");
    assert!(
        by.contains(&failure.checker.as_str()),
        "{mutant:?} was caught by {failure}"
    );
    let healthy = storm(failure.seed..failure.seed + 1, &Profile::default());
    assert!(healthy.failures.is_empty(), "{}", told(&healthy));
}

fn told(report: &Report) -> String {
    report
        .failures
        .iter()
        .take(1)
        .map(ToString::to_string)
        .collect()
}

/// Seeds in which a mutant has to show.
const SEEDS_MAX: u64 = 40;
