//! Tables and sentences about an ensemble, for the terminal and the page.

use muster_apps::replica_exchange::{Exchange, demo};

use super::record::Record;
use crate::error::Exit;
use crate::report::page::Verdict;
use crate::report::table::Table;

/// Energies and contacts, a row for each temperature.
pub fn energies(exchange: &Exchange, record: &Record) -> Table {
    let counted = exchange
        .energies()
        .first()
        .map_or(0, |energy| energy.count());
    let caption =
        format!("Energy and native contacts by temperature ({counted} rounds after equilibration)");
    let mut table = Table::new(caption, ["T", "mean energy", "sd", "contacts Q"]);
    let temperatures = exchange.plan().ladder.temperatures();
    for ((t, energy), contacts) in temperatures
        .iter()
        .zip(exchange.energies())
        .zip(record.contacts_by_rung())
    {
        table.push([
            format!("{t:.4}"),
            format!("{:.1}", energy.mean()),
            format!("{:.1}", energy.standard_deviation()),
            format!("{:.2}", contacts.mean()),
        ]);
    }
    table
}

/// Exchanges, a row for each pair of neighbouring temperatures.
pub fn pairs(exchange: &Exchange) -> Table {
    let columns = ["pair", "tried", "accepted", "acceptance"];
    let mut table = Table::new("Exchanges between neighbouring temperatures", columns);
    for (pair, temperatures) in exchange
        .pairs()
        .iter()
        .zip(exchange.plan().ladder.temperatures().windows(2))
    {
        table.push([
            pair_name(temperatures),
            pair.tried.to_string(),
            pair.accepted.to_string(),
            pair.acceptance()
                .map_or("-".to_owned(), |share| format!("{share:.2}")),
        ]);
    }
    table
}

/// Two neighbouring temperatures.
pub fn pair_name(temperatures: &[f64]) -> String {
    let names: Vec<String> = temperatures.iter().map(|t| format!("{t:.4}")).collect();
    names.join(" - ")
}

/// The talk's table: what was assigned, what came of it, and what it took.
pub fn ledger(record: &Record) -> Table {
    let (tasks, counted) = (record.last_status().tasks, record.counted());
    let caption = "Ledger: what was assigned and what came of it";
    let mut table = Table::new(caption, ["what", "how much"]);
    let received = u64::from(record.received());
    table.push(["Tasks submitted".to_owned(), tasks.submitted.to_string()]);
    table.push(["Attempts assigned".to_owned(), counted.attempts.to_string()]);
    table.push(["= results received".to_owned(), received.to_string()]);
    for (cause, count) in &counted.losses {
        table.push([format!("+ lost: {cause}"), count.to_string()]);
    }
    if counted.losses.is_empty() {
        table.push(["+ lost".to_owned(), "0".to_owned()]);
    }
    let rest = i128::from(counted.attempts) - i128::from(received) - i128::from(counted.lost());
    if rest != 0 {
        // What a master counted after it was last asked dies with it.
        let name = match record.restarts() {
            0 => "+ handed back or still out",
            _ => "+ not seen around the master's restart",
        };
        table.push([name.to_owned(), rest.to_string()]);
    }
    let walls = record.walls();
    table.push([
        "Execution time, mean (s)".to_owned(),
        format!("{:.3}", walls.mean()),
    ]);
    table.push([
        "Execution time, sd (s)".to_owned(),
        format!("{:.3}", walls.standard_deviation()),
    ]);
    table.push(["Workers".to_owned(), workers(record).to_string()]);
    table.push(["Sites".to_owned(), record.sites().count().to_string()]);
    table.push([
        "Makespan (s)".to_owned(),
        format!("{:.1}", record.makespan()),
    ]);
    table
}

/// The most workers that were connected at each site, in all.
pub fn workers(record: &Record) -> u32 {
    let most = record.sites().map(|site| {
        site.workers
            .iter()
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(0)
    });
    most.sum()
}

/// The numbers of a run in one sentence.
pub fn counts(record: &Record) -> String {
    let (tasks, counted) = (record.last_status().tasks, record.counted());
    let sites: Vec<String> = record
        .sites()
        .map(|site| format!("{} {}", site.name, site.runs.len()))
        .collect();
    format!(
        "{} tasks, {} attempts, {} lost; tasks by site: {}; makespan {:.1} s, with start {:.1} s",
        tasks.submitted,
        counted.attempts,
        counted.lost(),
        sites.join(", "),
        record.makespan(),
        record.seconds(),
    )
}

/// How far it is.
pub fn standing(exchange: &Exchange, record: &Record, rounds: u32) -> String {
    let tasks = u64::from(rounds) * exchange.replicas().len() as u64;
    format!(
        "{} of {rounds} rounds, {} of {tasks} tasks, {} under way, {} lost",
        exchange.round(),
        record.received(),
        record.last_status().tasks.leased,
        record.counted().lost(),
    )
}

/// What can be said of tasks and physics, a sentence each.
pub fn verdicts(exchange: &Exchange, record: &Record) -> Vec<(Verdict, String)> {
    let failures = record.failures();
    if !failures.is_empty() {
        return failures
            .iter()
            .map(|failure| (Verdict::NotOk, failure.clone()))
            .collect();
    }
    let tasks = (
        Verdict::Ok,
        format!(
            "all {} tasks ran and their results were received",
            record.received()
        ),
    );
    let mut verdicts = vec![tasks];
    if exchange.round() < demo::ROUNDS {
        let (had, needed) = (exchange.round(), demo::ROUNDS);
        let sentence = format!(
            "physics is not judged: {had} rounds leave too much to chance, {needed} do not"
        );
        verdicts.push((Verdict::Open, sentence));
        return verdicts;
    }
    match exchange.check_physics() {
        Ok(()) => verdicts.extend(praise(exchange).map(|sentence| (Verdict::Ok, sentence))),
        Err(faults) => verdicts.extend(faults.into_iter().map(|fault| (Verdict::NotOk, fault))),
    }
    verdicts
}

fn praise(exchange: &Exchange) -> [String; 2] {
    let energies = exchange.energies();
    let ends = energies
        .first()
        .zip(energies.last())
        .map_or((0.0, 0.0), |(cold, hot)| (cold.mean(), hot.mean()));
    let shares = || exchange.pairs().iter().filter_map(|pair| pair.acceptance());
    let (least, most) = (shares().fold(1.0, f64::min), shares().fold(0.0, f64::max));
    [
        format!(
            "the mean energy rises with the temperature, from {:.1} to {:.1}",
            ends.0, ends.1
        ),
        format!(
            "every pair of neighbours traded replicas and refused to: acceptance from {least:.2} to {most:.2}"
        ),
    ]
}

/// How the command ends.
pub fn exit(verdicts: &[(Verdict, String)]) -> Exit {
    if verdicts
        .iter()
        .any(|(verdict, _)| *verdict == Verdict::NotOk)
    {
        Exit::Failed
    } else {
        Exit::Ok
    }
}

#[cfg(test)]
mod tests;
