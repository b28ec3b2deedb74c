//! One run for the terminal.

use muster_sim::run::RunReport;

use super::{amounts, tables};
use crate::report::table::Table;
use crate::text::harmless;

/// The report as text; names in it may come from anybody's scenario and are made harmless.
pub fn text(report: &RunReport) -> String {
    let ledger = tables::ledger(report);
    let parts = [
        heading(report),
        tables::talk(report).plain(),
        ledger.table(report.assigned).plain(),
        tables::core_days(report).plain(),
        ending(report),
        some(tables::links(report)),
        some(tables::caches(report)),
        some(tables::latency(report)),
        tables::top(report).plain(),
        machine(report),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let lines = parts.join("\n");
    lines.lines().map(|line| harmless(line) + "\n").collect()
}

/// What ran, in one line.
pub fn name(report: &RunReport) -> String {
    let mut name = format!("{}, seed {}", report.scenario, report.seed);
    if !report.set.is_empty() {
        name += &format!(", with {}", report.set.join(", "));
    }
    name
}

/// Whether all was done, and how long it took.
pub fn completion(report: &RunReport) -> String {
    if report.is_complete {
        let makespan = amounts::seconds(report.makespan_s);
        return format!("complete: every task had its outcome after {makespan}");
    }
    let done = report.received.saturating_add(report.failed);
    format!(
        "not complete: after {} {} of {} tasks had no outcome",
        amounts::seconds(report.makespan_s),
        amounts::count(report.submitted.saturating_sub(done)),
        amounts::count(report.submitted),
    )
}

/// The first sentence of what a scenario says of itself.
pub fn first_sentence(about: &str) -> String {
    let words: Vec<&str> = about.split_whitespace().collect();
    let about = words.join(" ");
    match about.find(". ") {
        Some(end) => about[..=end].to_owned(),
        None => about,
    }
}

fn heading(report: &RunReport) -> String {
    format!("{}\n{}\n", name(report), first_sentence(&report.about))
}

fn ending(report: &RunReport) -> String {
    format!(
        "goodput {}, makespan {}\n{}; {} failed\n",
        amounts::percent(report.goodput),
        amounts::seconds(report.makespan_s),
        completion(report),
        amounts::count(report.failed),
    )
}

fn machine(report: &RunReport) -> String {
    format!(
        "{} events in {}, {} events/s\ntrace hash {}\n",
        amounts::count(report.events),
        amounts::seconds(report.wall_s),
        tables::events_per_s(report),
        report.trace_hash,
    )
}

/// A table that has rows.
fn some(table: Table) -> String {
    if table.rows.is_empty() {
        String::new()
    } else {
        table.plain()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_run_reads_like_this() {
        let wanted = include_str!("sample.txt");
        let text = text(&fixture::report());
        assert_eq!(text, wanted, "the text is:\n{text}");
    }

    #[test]
    fn names_command_no_terminal() {
        let mut report = fixture::report();
        report.scenario = "a\u{1b}[2Jb".to_owned();
        let text = text(&report);
        assert!(
            !text.contains('\u{1b}') && text.starts_with("a\\u{1b}[2Jb, seed 7"),
            "{text}"
        );
    }

    #[test]
    fn sentences_end_where_they_end() {
        assert_eq!(first_sentence("One\n two 1.5 x. Three."), "One two 1.5 x.");
        assert_eq!(first_sentence("  Alone "), "Alone");
    }
}
