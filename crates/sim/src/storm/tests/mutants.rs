//! Every planted mutant is caught, by whom it should be and within so many seeds.

use super::*;
use crate::world::Mutant;

#[test]
fn acknowledging_before_it_is_durable_is_caught() {
    caught(Mutant::AckBeforeDurable, 20, &["durable", "ledger"]);
}

#[test]
fn acknowledging_a_result_before_it_is_spooled_is_caught() {
    caught(Mutant::SpoolLate, 20, &["durable"]);
}

#[test]
fn a_record_that_was_never_written_is_caught() {
    caught(Mutant::DropRecord, 5, &["journal", "gate"]);
}

#[test]
fn a_record_that_was_written_twice_is_caught() {
    caught(Mutant::WriteTwice, 5, &["ledger", "journal", "durable"]);
}

#[test]
fn reading_a_torn_record_is_caught() {
    caught(Mutant::KeepTorn, 20, &["panic", "journal"]);
}

#[test]
fn skipping_the_fence_is_caught() {
    caught(Mutant::SkipFence, 60, &["ledger"]);
}

#[test]
fn forgetting_a_held_result_on_reconnect_is_caught() {
    caught(Mutant::ForgetHeld, 20, &["nothing_left", "liveness"]);
}

#[test]
fn dropping_a_result_before_it_is_acknowledged_is_caught() {
    caught(Mutant::DropReport, 20, &["liveness", "nothing_left"]);
}

#[test]
fn losing_an_outcome_that_is_told_again_is_caught() {
    caught(Mutant::LoseRedelivery, 20, &["liveness"]);
}

#[test]
fn counting_a_late_result_for_the_attempt_under_way_is_caught() {
    caught(Mutant::MixAttempts, 40, &["ledger", "nothing_left"]);
}

#[test]
fn ignoring_what_a_subordinate_holds_when_it_is_back_is_caught() {
    caught(Mutant::IgnoreStock, 20, &["leases"]);
}

#[test]
fn giving_a_lost_subordinate_no_grace_is_caught() {
    caught(Mutant::SkipGrace, 60, &["leases"]);
}

#[test]
fn not_hearing_that_an_attempt_is_cancelled_is_caught() {
    caught(
        Mutant::DeafToCancel,
        20,
        &["cancel", "cache", "nothing_left"],
    );
}

#[test]
fn running_more_than_a_worker_has_is_caught() {
    caught(Mutant::OverCommit, 5, &["capacity"]);
}

#[test]
fn giving_a_needed_file_up_is_caught() {
    caught(Mutant::ForgetPinned, 5, &["cache", "staging"]);
}

#[test]
fn taking_a_failed_fetch_for_a_file_is_caught() {
    caught(Mutant::UnverifiedFetch, 20, &["staging", "ledger"]);
}

#[test]
fn never_giving_up_a_silent_link_is_caught() {
    caught(Mutant::NeverIdle, 20, &["liveness", "nothing_left"]);
}

/// Storms with `mutant` until one is caught, by whom it should be; the same seed without it is fine.
fn caught(mutant: Mutant, seeds_max: u64, by: &[&str]) {
    let mutated = Profile {
        mutant: Some(mutant),
        ..Profile::default()
    };
    let first = (0..seeds_max).find_map(|seed| storm(seed..seed + 1, &mutated).failures.pop());
    let failure = first.expect("a mutant that no storm catches makes the storm worthless");
    assert!(
        by.contains(&failure.checker.as_str()),
        "{mutant:?} was caught by {failure}"
    );
    let healthy = storm(failure.seed..failure.seed + 1, &Profile::default());
    assert!(healthy.failures.is_empty(), "{}", told(&healthy));
    println!(
        "{mutant:?}: caught by {} in the {}th storm",
        failure.checker,
        failure.seed + 1
    );
}
