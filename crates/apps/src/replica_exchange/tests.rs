//! An oscillator in the plane stands for the protein: its potential energy at temperature T is distributed as
//! exp(-E/T)/T, so its mean is T, its spread is T, and neighbours T and rT accept 2 / (1 + r) of their swaps.

use super::*;

#[test]
fn neighbours_accept_as_often_as_theory_says() {
    let exchange = ensemble(plan(1.0, 5.0625, 5, 21, 100), Memory::None, 20_000);
    for pair in exchange.pairs() {
        assert_eq!(pair.tried, 9_950);
        // The ladder's ratio is 1.5.
        let (counted, expected) = (
            pair.acceptance().unwrap(),
            pair.acceptance_expected().unwrap(),
        );
        assert!((counted - 0.8).abs() < 0.02, "{counted}");
        assert!((expected - 0.8).abs() < 0.01, "{expected}");
    }
}

#[test]
fn swaps_keep_every_rung_canonical() {
    // A replica keeps its energy through most rounds, so that what a rung sees is mostly what swaps brought it.
    let exchange = ensemble(plan(1.0, 8.0, 6, 4, 100), Memory::Long, 100_000);
    for (temperature, energy) in exchange
        .plan()
        .ladder
        .temperatures()
        .iter()
        .zip(exchange.energies())
    {
        let (mean, spread) = (
            energy.mean() / temperature,
            energy.standard_deviation() / temperature,
        );
        assert!((mean - 1.0).abs() < 0.05, "mean {mean} at {temperature}");
        assert!(
            (spread - 1.0).abs() < 0.05,
            "spread {spread} at {temperature}"
        );
    }
    assert_eq!(exchange.check_physics(), Ok(()));
}

#[test]
fn every_replica_visits_every_rung_alike() {
    let exchange = ensemble(plan(1.0, 2.0, 4, 9, 100), Memory::None, 20_000);
    for walk in exchange.walks() {
        assert_eq!(walk.len(), 20_001);
        assert!(
            walk.windows(2).all(|step| step[0].abs_diff(step[1]) <= 1),
            "a swap moves a replica by one rung"
        );
        for rung in 0..4 {
            let share = walk.iter().filter(|at| **at == rung).count() as f64 / walk.len() as f64;
            assert!((share - 0.25).abs() < 0.03, "rung {rung}: {share}");
        }
    }
}

#[test]
fn the_same_energies_give_the_same_ensemble_and_another_seed_another() {
    let run = |seed| ensemble(plan(1.0, 2.0, 4, seed, 100), Memory::Long, 200);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).walks(), run(2).walks());
}

#[test]
fn even_rounds_try_even_pairs_and_odd_rounds_odd_ones() {
    let mut exchange = Exchange::new(plan(1.0, 2.0, 5, 1, 0));
    let mut rungs_tried = || {
        let swaps = exchange.finish_round(&[0.0; 5]).unwrap();
        (
            swaps.round,
            swaps.tried.iter().map(|swap| swap.rung).collect::<Vec<_>>(),
        )
    };
    assert_eq!(rungs_tried(), (0, vec![0, 2]));
    assert_eq!(rungs_tried(), (1, vec![1, 3]));
    assert_eq!(rungs_tried(), (2, vec![0, 2]));
}

#[test]
fn a_round_names_one_task_a_rung_and_the_state_follows_its_replica() {
    let mut exchange = Exchange::new(plan(1.0, 2.0, 3, 1, 0));
    let first = exchange.round_tasks();
    assert_eq!(first, exchange.round_tasks());
    assert_eq!(
        first.iter().map(|task| task.rung).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert!(first.iter().all(|task| task.state_in.is_none()));
    assert_eq!(first[2].state_out, "replica-2.round-0.state");

    // A colder replica of higher energy always swaps, so replicas 0 and 1 trade places.
    let swaps = exchange.finish_round(&[5.0, 1.0, 2.0]).unwrap();
    let swap = Swap {
        rung: 0,
        replica_cold: 0,
        replica_hot: 1,
        probability: 1.0,
        verdict: Verdict::Accepted,
    };
    assert_eq!(swaps.tried, [swap]);
    let second = exchange.round_tasks();
    assert_eq!(exchange.replicas(), [1, 0, 2]);
    assert_eq!((second[0].replica, second[0].temperature), (1, 1.0));
    assert_eq!(
        second[0].state_in.as_deref(),
        Some("replica-1.round-0.state")
    );
    assert_eq!(second[0].state_out, "replica-1.round-1.state");
    assert_eq!(exchange.walks(), [vec![0, 1], vec![1, 0], vec![2, 2]]);

    let mut seeds: Vec<u64> = first.iter().chain(&second).map(|task| task.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 6, "no two tasks share their noise");
}

#[test]
fn a_swap_far_uphill_is_refused() {
    let mut exchange = Exchange::new(plan(1.0, 2.0, 2, 1, 0));
    let swaps = exchange.finish_round(&[0.0, 1e6]).unwrap();
    assert_eq!(
        (swaps.tried[0].probability, swaps.tried[0].verdict),
        (0.0, Verdict::Refused)
    );
    assert_eq!(exchange.replicas(), [0, 1]);
}

#[test]
fn equilibration_swaps_but_does_not_count() {
    let mut exchange = Exchange::new(plan(1.0, 2.0, 2, 1, 2));
    for _ in 0..2 {
        exchange.finish_round(&[1e9, 0.0]).unwrap();
    }
    assert_eq!(
        exchange.replicas(),
        [1, 0],
        "two of three rounds try this pair, and both swap... once each"
    );
    assert_eq!(exchange.pairs(), [Pair::default()]);
    assert!(exchange.energies().iter().all(|energy| energy.count() == 0));
    exchange.finish_round(&[3.0, 4.0]).unwrap();
    assert_eq!(
        exchange
            .energies()
            .iter()
            .map(Statistics::mean)
            .collect::<Vec<_>>(),
        [3.0, 4.0]
    );
}

#[test]
fn energies_that_are_no_round_change_nothing() {
    let mut exchange = Exchange::new(plan(1.0, 2.0, 2, 1, 0));
    let before = exchange.clone();
    let short = exchange.finish_round(&[1.0]).unwrap_err();
    assert_eq!(
        short.to_string(),
        "a round of 2 tasks needs as many energies, not 1"
    );
    let hollow = exchange.finish_round(&[1.0, f64::NAN]).unwrap_err();
    assert_eq!(
        hollow.to_string(),
        "the task on rung 1 reported an energy that is no number"
    );
    assert_eq!(exchange, before);
}

#[test]
fn a_geometric_ladder_climbs_by_equal_ratios_and_meets_its_ends() {
    let ladder = Ladder::geometric(1.0, 8.0, 4).unwrap();
    for (found, wanted) in ladder.temperatures().iter().zip([1.0, 2.0, 4.0, 8.0]) {
        assert!((found - wanted).abs() < 1e-12, "{found}");
    }
    let refused = |coldest, hottest, rungs| {
        Ladder::geometric(coldest, hottest, rungs)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(1.0, 2.0, 1),
        "a ladder has 2 to 10000 temperatures, not 1"
    );
    let rises = "a ladder rises between two temperatures above zero";
    assert_eq!(refused(2.0, 1.0, 3), format!("{rises}, not from 2 to 1"));
    assert_eq!(refused(0.0, 1.0, 3), format!("{rises}, not from 0 to 1"));
    assert_eq!(
        refused(1.0, f64::INFINITY, 3),
        format!("{rises}, not from 1 to inf")
    );
    assert_eq!(
        refused(f64::NAN, 1.0, 3),
        format!("{rises}, not from NaN to 1")
    );
    assert_eq!(
        refused(1.0, 1.0 + f64::EPSILON, 3),
        format!("{rises}, not from 1 to 1.0000000000000002")
    );
}

#[test]
fn statistics_agree_with_the_textbook_even_far_from_zero() {
    let mut statistics = Statistics::default();
    assert_eq!(
        (
            statistics.mean(),
            statistics.standard_deviation(),
            statistics.standard_error()
        ),
        (0.0, 0.0, 0.0)
    );
    [4.0, 7.0, 13.0, 16.0]
        .into_iter()
        .for_each(|number| statistics.add(1e9 + number));
    assert_eq!((statistics.count(), statistics.mean()), (4, 1e9 + 10.0));
    assert!((statistics.standard_deviation() - 30f64.sqrt()).abs() < 1e-6);
    assert!((statistics.standard_error() - 30f64.sqrt() / 2.0).abs() < 1e-6);
}

#[test]
fn a_program_that_ignores_the_temperature_is_found_out() {
    let mut exchange = Exchange::new(plan(1.0, 2.0, 4, 1, 0));
    for round in 0..400 {
        let energies: Vec<f64> = (0..4).map(|replica| exponential(round, replica)).collect();
        exchange.finish_round(&energies).unwrap();
    }
    let faults = exchange.check_physics().unwrap_err();
    assert!(
        faults
            .iter()
            .any(|fault| fault.contains("from temperature 1.0000 to 2.0000")),
        "{faults:?}"
    );
}

#[test]
fn rungs_too_far_apart_or_too_near_are_found_out() {
    let mut far = Exchange::new(plan(1.0, 2.0, 2, 1, 0));
    let mut near = Exchange::new(plan(1.0, 2.0, 2, 1, 0));
    let mut short = Exchange::new(plan(1.0, 2.0, 2, 1, 0));
    for round in 0..40 {
        far.finish_round(&[exponential(round, 0), 1e4]).unwrap();
        near.finish_round(&[1.0, 1.0]).unwrap();
    }
    assert_eq!(
        far.check_physics().unwrap_err(),
        ["swaps between temperatures 1.0000 and 2.0000 were never accepted (0 of 20)"]
    );
    let faults = near.check_physics().unwrap_err();
    assert_eq!(
        faults[1],
        "swaps between temperatures 1.0000 and 2.0000 were always accepted (20 of 20)"
    );
    assert!(faults[0].starts_with(
        "the mean energy does not rise from temperature 1.0000 to 2.0000: 1.000 to 1.000"
    ));
    short.finish_round(&[1.0, 2.0]).unwrap();
    assert_eq!(
        short.check_physics().unwrap_err(),
        ["fewer than 10 rounds were counted, which proves nothing"]
    );
}

/// How much of a replica's state outlives a round.
enum Memory {
    None,
    Long,
}

/// Runs oscillators through `rounds` rounds.
fn ensemble(plan: Plan, memory: Memory, rounds: u32) -> Exchange {
    let mut states = vec![0.0; plan.ladder.temperatures().len()];
    let mut exchange = Exchange::new(plan);
    for _ in 0..rounds {
        let energies: Vec<f64> = exchange
            .round_tasks()
            .iter()
            .map(|task| {
                let keeps = match memory {
                    Memory::None => false,
                    Memory::Long => task.seed % 10 < 7,
                };
                if !keeps {
                    states[task.replica] = task.temperature * exponential(task.round, task.replica);
                }
                states[task.replica]
            })
            .collect();
        exchange.finish_round(&energies).unwrap();
    }
    exchange
}

fn plan(coldest: f64, hottest: f64, rungs: usize, seed: u64, equilibration_rounds: u32) -> Plan {
    Plan {
        ladder: Ladder::geometric(coldest, hottest, rungs).unwrap(),
        seed,
        equilibration_rounds,
    }
}

/// An exponential deviate of mean 1, from a stream of its own.
fn exponential(round: u32, replica: usize) -> f64 {
    -(1.0 - draw::unit(77, draw::Use::Task { round, replica })).ln()
}
