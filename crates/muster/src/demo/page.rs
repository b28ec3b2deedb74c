//! The page of a demo: the talk's evaluation figure and table, made from what was observed.

use muster_apps::replica_exchange::Exchange;

use super::record::Record;
use super::summary;
use crate::report::bars::{Bar, Bars};
use crate::report::markup::Markup;
use crate::report::page::{self, Headline, Verdict, beside, headlines, section};
use crate::report::points::{Point, Points};
use crate::report::table::Table;
use crate::report::walks::Walks;

/// The page as text.
pub fn page(exchange: &Exchange, record: &Record, verdicts: &[(Verdict, String)]) -> String {
    let timeline = record.timeline();
    let verdicts = verdicts
        .iter()
        .map(|(verdict, sentence)| (*verdict, sentence.as_str()));
    let sections = [
        numbers(record),
        page::verdicts(verdicts),
        section(
            "Workers and tasks over time",
            [timeline.figure("timeline"), timeline.key()],
        ),
        section(
            "Energy and exchanges",
            [beside([energy(exchange), acceptance(exchange)])],
        ),
        section("Replicas on the ladder", [walks(exchange)]),
        section(
            "Numbers",
            [beside([
                summary::energies(exchange, record).html(),
                summary::pairs(exchange).html(),
                summary::ledger(record).html(),
                sites(record).html(),
            ])],
        ),
    ];
    page::page(
        "Replica exchange on an embedded federation",
        &lead(exchange),
        sections,
    )
}

fn lead(exchange: &Exchange) -> String {
    let ladder = &exchange.plan().ladder;
    format!(
        "Ubiquitin as a C-alpha Go model: {} rounds of Langevin dynamics at {} temperatures, one task of an external \
         program for each temperature in each round; after a round, neighbours trade replicas by Metropolis' rule. \
         Seed {}.",
        exchange.round(),
        ladder.temperatures().len(),
        exchange.plan().seed,
    )
}

fn numbers(record: &Record) -> Markup {
    let headline = |number: String, what: &str| Headline {
        number,
        what: what.to_owned(),
    };
    let (tasks, counted) = (record.last_status().tasks, record.counted());
    headlines(&[
        headline(tasks.submitted.to_string(), "tasks"),
        headline(counted.attempts.to_string(), "attempts"),
        headline(counted.lost().to_string(), "lost"),
        headline(record.sites().count().to_string(), "sites"),
        headline(summary::workers(record).to_string(), "workers"),
        headline(format!("{:.1} s", record.makespan()), "makespan"),
    ])
}

fn energy(exchange: &Exchange) -> Markup {
    let temperatures = exchange.plan().ladder.temperatures();
    let points = temperatures
        .iter()
        .zip(exchange.energies())
        .map(|(t, energy)| Point {
            x: *t,
            mean: energy.mean(),
            deviation: energy.standard_deviation(),
        });
    let figure = Points {
        title: "Energy by temperature.".to_owned(),
        says: "Mean potential energy at the end of a round; bars are one standard deviation. It must rise.".to_owned(),
        x_title: "temperature (depth of a contact)".to_owned(),
        y_title: "energy".to_owned(),
        points: points.collect(),
    };
    figure.figure("energy")
}

fn acceptance(exchange: &Exchange) -> Markup {
    let temperatures = exchange.plan().ladder.temperatures();
    let bars = temperatures
        .windows(2)
        .zip(exchange.pairs())
        .map(|(pair, counts)| Bar {
            name: summary::pair_name(pair),
            share: counts.acceptance().unwrap_or(0.0),
            note: format!("{} of {}", counts.accepted, counts.tried),
        });
    let figure = Bars {
        title: "Acceptance of exchanges.".to_owned(),
        says: "Accepted share of the exchanges tried between neighbouring temperatures. It must be neither 0 nor 1."
            .to_owned(),
        x_title: "accepted share".to_owned(),
        bars: bars.collect(),
    };
    figure.figure("acceptance")
}

fn walks(exchange: &Exchange) -> Markup {
    let rungs = exchange
        .plan()
        .ladder
        .temperatures()
        .iter()
        .map(|t| format!("{t:.4}"));
    let figure = Walks {
        title: "Walks of the replicas.".to_owned(),
        says: "Each line is a replica; two lines cross where an exchange was accepted. Hot rungs carry a replica over \
               barriers that hold it when it is cold."
            .to_owned(),
        rungs: rungs.collect(),
        walks: exchange.walks().to_vec(),
    };
    figure.figure("walks")
}

fn sites(record: &Record) -> Table {
    let mut table = Table::new("Sites", ["site", "workers", "results", "share"]);
    for site in record.sites() {
        let workers = site
            .workers
            .iter()
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(0);
        let share = site.runs.len() as f64 / f64::from(record.received().max(1));
        table.push([
            site.name.clone(),
            workers.to_string(),
            site.runs.len().to_string(),
            format!("{:.0} %", share * 100.0),
        ]);
    }
    table
}
