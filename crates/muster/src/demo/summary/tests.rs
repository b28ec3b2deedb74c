use muster_proto::Time;
use muster_proto::outcome::{Measured, Ran, Stream};
use muster_proto::wire::{StatusReply, TaskCounts};

use super::*;

#[test]
fn an_ensemble_without_chance_is_judged() {
    let (exchange, record) = ran(demo::ROUNDS);
    let verdicts = verdicts(&exchange, &record);
    let words: Vec<_> = verdicts.iter().map(|(verdict, _)| verdict.word()).collect();
    assert_eq!(words, ["ok", "ok", "ok"], "{verdicts:?}");
    assert_eq!(exit(&verdicts), Exit::Ok);
}

#[test]
fn few_rounds_are_not_judged() {
    let (exchange, record) = ran(5);
    let verdicts = verdicts(&exchange, &record);
    assert_eq!(verdicts[1].0, Verdict::Open);
    assert_eq!(exit(&verdicts), Exit::Ok);
}

#[test]
fn energies_that_fall_are_against_physics() {
    let mut exchange = demo::exchange(1);
    for _ in 0..demo::ROUNDS {
        let falling: Vec<f64> = (0..demo::RUNGS).map(|rung| -(rung as f64)).collect();
        exchange.finish_round(&falling).expect("numbers");
    }
    let verdicts = verdicts(&exchange, &Record::new(&exchange, 4));
    assert!(
        verdicts
            .iter()
            .any(|(verdict, _)| *verdict == Verdict::NotOk)
    );
    assert_eq!(exit(&verdicts), Exit::Failed);
}

#[test]
fn a_failed_task_is_what_is_told_first() {
    let (exchange, mut record) = ran(demo::ROUNDS);
    record.failed("the task of round 3 failed".to_owned());
    let verdicts = verdicts(&exchange, &record);
    assert_eq!(
        verdicts,
        [(Verdict::NotOk, "the task of round 3 failed".to_owned())]
    );
}

#[test]
fn the_ledger_sums_to_what_was_assigned() {
    let (_, mut record) = ran(demo::ROUNDS);
    record.status(Time(1), status(245, &[("link", 3), ("evicted", 1)]));
    let rows = ledger(&record).rows;
    let number = |name: &str| -> i64 {
        let row = rows
            .iter()
            .find(|row| row[0] == name)
            .unwrap_or_else(|| panic!("{name}: {rows:?}"));
        row[1].parse().expect("a number")
    };
    let parts: i64 = rows
        .iter()
        .filter(|row| row[0].starts_with(['=', '+']))
        .map(|row| number(&row[0]))
        .sum();
    assert_eq!(parts, number("Attempts assigned"));
    assert_eq!(number("+ handed back or still out"), 1);
}

#[test]
fn the_tables_have_a_row_for_each_temperature_and_pair() {
    let (exchange, record) = ran(demo::ROUNDS);
    assert_eq!(energies(&exchange, &record).rows.len(), demo::RUNGS);
    assert_eq!(pairs(&exchange).rows.len(), demo::RUNGS - 1);
    assert_eq!(
        standing(&exchange, &record, 30),
        "30 of 30 rounds, 240 of 240 tasks, 0 under way, 0 lost"
    );
}

/// An ensemble whose energies are near what the real one has: rising, and overlapping between neighbours.
fn ran(rounds: u32) -> (Exchange, Record) {
    let mut exchange = demo::exchange(demo::SEED);
    let mut record = Record::new(&exchange, 4);
    for round in 0..rounds {
        let energies: Vec<f64> = (0..demo::RUNGS)
            .map(|rung| {
                let wobble = f64::from((round * 7 + rung as u32 * 5) % 11) - 5.0;
                -84.0 + 8.0 * rung as f64 + 2.0 * wobble
            })
            .collect();
        exchange.finish_round(&energies).expect("numbers");
        for rung in 0..demo::RUNGS {
            let now = Time(u64::from(round) * 300_000 + rung as u64 * 1_000);
            record.ran(now, ["site-a", "site-b"][rung % 2], &result(rung));
        }
    }
    record.status(
        Time(u64::from(rounds) * 300_000),
        status(u64::from(record.received()), &[]),
    );
    (exchange, record)
}

fn result(rung: usize) -> Ran {
    Ran {
        result: Ok(()),
        worker: format!("w{}", rung % 4),
        measured: Measured::default(),
        stdout: Stream::default(),
        stderr: Stream::default(),
        outputs: Vec::new(),
    }
}

fn status(attempts: u64, losses: &[(&str, u64)]) -> StatusReply {
    StatusReply {
        tasks: TaskCounts {
            submitted: 240,
            attempts,
            ..TaskCounts::default()
        },
        losses: losses
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect(),
        ..StatusReply::default()
    }
}
