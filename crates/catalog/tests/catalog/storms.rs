//! That storms break no promise, and that they catch what does.

use muster_sim::catalog::storm::{Planted, storm, storms};
use muster_sim::catalog::weather::Mutant;

/// A few: a build without optimization takes ten times as long, and `muster sim storm --profile catalog` runs many.
#[test]
fn c1_storms_are_linearizable_and_heal() {
    let sum = storms(0..20);
    assert!(
        sum.crashes > 50 && sum.cuts > 50 && sum.pauses > 25,
        "there was weather: {sum:?}"
    );
    assert!(
        sum.wipes > 3 && sum.changes > 50,
        "members came and went: {sum:?}"
    );
    assert!(
        sum.calls > 5_000 && sum.watched > 1_000 && sum.gaps > 5,
        "there was work: {sum:?}"
    );
}

#[test]
fn t1_the_same_seed_is_the_same_storm() {
    for seed in 3..6 {
        assert_eq!(
            storms(seed..seed + 1),
            storms(seed..seed + 1),
            "seed {seed}"
        );
    }
}

/// The weather in which a fault shows is one that replicas without it stand.
fn is_caught(mutant: Mutant) {
    let caught = (0..60).find(|seed| storm(*seed, mutant, Planted::Yes).is_err());
    let seed = caught.unwrap_or_else(|| panic!("no storm catches {mutant:?}"));
    storm(seed, mutant, Planted::No)
        .unwrap_or_else(|why| panic!("seed {seed}, nothing planted: {why}"));
}

#[test]
fn a_replica_that_answers_reads_because_it_believes_it_leads_is_caught() {
    is_caught(Mutant::LeaseRead);
}

#[test]
fn a_snapshot_that_forgets_the_membership_is_caught() {
    is_caught(Mutant::ForgetMembership);
}

#[test]
fn an_acknowledgement_before_the_disk_has_it_is_caught() {
    is_caught(Mutant::AckBeforeSync);
}

#[test]
fn c4_a_wiped_replica_that_votes_as_its_old_self_is_caught() {
    is_caught(Mutant::VoteAfterWipe);
}
