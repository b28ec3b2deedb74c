//! The page of one run.

use muster_sim::run::RunReport;

use super::tables::Ledger;
use super::{amounts, figures, tables, text};
use crate::report::marks;
use crate::report::markup::{Markup, all, tag};
use crate::report::page::{self, Headline, Verdict, beside, headlines, section};
use crate::report::table::Table;

/// The page as text.
pub fn page(report: &RunReport) -> String {
    let ledger = tables::ledger(report);
    let verdicts = verdicts(report, &ledger);
    let verdicts = verdicts
        .iter()
        .map(|(verdict, sentence)| (*verdict, sentence.as_str()));
    let sections = [
        numbers(report),
        page::verdicts(verdicts),
        section("What was simulated", paragraphs(&report.about)),
        section(
            "What came of it",
            [beside([
                tables::talk(report).html(),
                ledger.table(report.assigned).html(),
            ])],
        ),
        workers(report),
        section(
            "Tasks over time",
            [figures::tasks(report).drawn("tasks").figure()],
        ),
        section(
            "Core time",
            [figures::core_time(report).drawn("core-time").figure()],
        ),
        run_times(report),
        links(report),
        caches(report),
        latency(report),
        section(
            "The run",
            [beside([
                tables::made(report).html(),
                tables::top(report).html(),
            ])],
        ),
    ];
    let lead = text::first_sentence(&report.about);
    page::page(&text::name(report), &lead, sections)
}

fn numbers(report: &RunReport) -> Markup {
    let headline = |number: String, what: &str| Headline {
        number,
        what: what.to_owned(),
    };
    headlines(&[
        headline(amounts::count(report.assigned), "tasks assigned"),
        headline(amounts::count(report.received), "results received"),
        headline(amounts::percent(report.goodput), "goodput"),
        headline(amounts::count(report.workers), "workers"),
        headline(amounts::count(report.machines), "machines"),
        headline(amounts::seconds(report.makespan_s), "makespan"),
    ])
}

fn verdicts(report: &RunReport, ledger: &Ledger) -> Vec<(Verdict, String)> {
    let complete = match report.is_complete {
        true => Verdict::Ok,
        false => Verdict::Open,
    };
    let sums = match ledger.excess {
        0 => (
            Verdict::Ok,
            "results, losses and what is open sum to the attempts assigned".to_owned(),
        ),
        excess => (
            Verdict::NotOk,
            format!("results, losses and what is open are {excess} off the attempts assigned"),
        ),
    };
    vec![(complete, text::completion(report)), sums]
}

/// A text with a paragraph after each blank line.
fn paragraphs(about: &str) -> Vec<Markup> {
    let mut paragraphs = vec![String::new()];
    for line in about.lines() {
        match paragraphs.last_mut() {
            Some(last) if !line.trim().is_empty() => {
                last.push_str(line.trim());
                last.push('\n');
            }
            _ => paragraphs.push(String::new()),
        }
    }
    let written = paragraphs.iter().filter(|words| !words.is_empty());
    written
        .map(|words| tag("p").text(words.trim_end()))
        .collect()
}

fn workers(report: &RunReport) -> Markup {
    let figure = figures::workers(report);
    let key = match figure.marks.as_slice() {
        [] => Markup::default(),
        marks => marks::key(marks),
    };
    section("Workers over time", [figure.drawn("workers").figure(), key])
}

fn run_times(report: &RunReport) -> Markup {
    let figure = figures::run_times(report);
    let key = match figure.marks.as_slice() {
        [] => Markup::default(),
        marks => marks::key(marks),
    };
    section("Run times", [figure.drawn("run-times").figure(), key])
}

fn links(report: &RunReport) -> Markup {
    let figure = || figures::links(report).drawn("links").figure();
    shown("Links", &tables::links(report), figure)
}

fn caches(report: &RunReport) -> Markup {
    let figure = || figures::caches(report).drawn("caches").figure();
    shown("Caches", &tables::caches(report), figure)
}

fn latency(report: &RunReport) -> Markup {
    let figure = || figures::latency(report).drawn("latency").figure();
    shown("Latency", &tables::latency(report), figure)
}

/// A section that says so where there is nothing to show.
fn shown(heading: &str, table: &Table, figure: impl Fn() -> Markup) -> Markup {
    let pieces = if table.rows.is_empty() {
        tag("p").text("There was none.")
    } else {
        all([figure(), table.html()])
    };
    section(heading, [pieces])
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn names_that_want_to_be_markup_stay_names() {
        let mut report = fixture::report();
        report.scenario = "</title><script>alert(1)</script>".to_owned();
        report.links[0].upper = "\" onload=\"x".to_owned();
        report.latency[0].hop = "<img src=x>".to_owned();
        let html = page(&report);
        for forbidden in [
            "<script",
            "<b>condor",
            "<img",
            "<numbers>",
            "\" onload=\"",
            "src=\"",
            "href=",
        ] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        assert!(html.contains("&lt;b&gt;condor&lt;/b&gt;"));
    }

    #[test]
    fn a_page_says_what_it_is_and_loads_nothing() {
        let html = page(&fixture::report());
        assert!(html.contains("<h1>sample, seed 7, with fast_abort=2</h1>"));
        assert!(html.contains("default-src &#39;none&#39;"));
        assert_eq!(html.matches("<svg").count(), 7);
        for forbidden in ["NaN", "@import", "url(http"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        for ledger in ["= assigned", "open at the end", "+ lost: evicted"] {
            assert!(html.contains(ledger), "{ledger}");
        }
    }

    #[test]
    fn blank_lines_part_paragraphs() {
        let words: String = paragraphs("a\nb\n\n \nc")
            .iter()
            .map(Markup::as_str)
            .collect();
        assert_eq!(words, "<p>a\nb</p>\n<p>c</p>\n");
    }
}
