//! What has become of the tasks so far.

use std::collections::BTreeMap;

use muster_proto::outcome::{Outcome, Verdict};
use muster_proto::wire::{LinkStatus, StatusReply};
use muster_proto::{Role, Span};

use crate::text::{fate, harmless, last_lines, quoted};

/// Counts of outcomes, and the first failures.
#[derive(Debug)]
pub struct Tally {
    /// Tasks of the ensemble.
    pub total: u64,
    /// Tasks that succeeded.
    pub ok: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Tasks of more than one attempt.
    pub retried: u64,
    /// Bytes of the first failures' standard error, in words.
    failures: Vec<String>,
    sites: BTreeMap<String, Site>,
    losses: Vec<(String, u64)>,
}

/// What has become of a site's share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Site {
    /// Tasks that ended there.
    pub done: u64,
    /// Tasks that are there.
    pub running: u64,
}

impl Tally {
    /// Nothing yet of `total` tasks.
    pub fn new(total: u64) -> Tally {
        Tally {
            total,
            ok: 0,
            failed: 0,
            cancelled: 0,
            retried: 0,
            failures: Vec::new(),
            sites: BTreeMap::new(),
            losses: Vec::new(),
        }
    }

    /// Counts an outcome; `words` tells the command line of a task that failed.
    pub fn count(&mut self, outcome: &Outcome, words: impl FnOnce() -> Vec<String>) {
        if outcome.attempts > 1 {
            self.retried += 1;
        }
        if !outcome.site.is_empty() {
            self.sites.entry(outcome.site.to_string()).or_default().done += 1;
        }
        if outcome.is_done() {
            self.ok += 1;
            return;
        }
        if outcome.verdict == Verdict::Cancelled {
            self.cancelled += 1;
            return;
        }
        self.failed += 1;
        if self.failures.len() < FAILURES_SHOWN_MAX {
            self.failures.push(failure(outcome, &words()));
        }
    }

    /// Tasks with an outcome.
    pub fn done(&self) -> u64 {
        self.ok + self.failed + self.cancelled
    }

    /// Takes from a master's status what is where, and why attempts were lost.
    pub fn learn(&mut self, status: StatusReply) {
        for LinkStatus { peer, leased, .. } in &status.links {
            match peer.role {
                Role::Foreman | Role::Worker => self.running(&peer.site, u64::from(*leased)),
                Role::Master | Role::Catalog | Role::User => {}
            }
        }
        self.losses = status.losses;
    }

    /// Says how many tasks are at `site`.
    pub fn running(&mut self, site: &str, running: u64) {
        self.sites.entry(site.to_owned()).or_default().running = running;
    }

    /// The sites by name.
    pub fn sites(&self) -> impl Iterator<Item = (&str, &Site)> {
        self.sites.iter().map(|(name, site)| (name.as_str(), site))
    }

    /// The first failures, each in a few lines, and how many more there were.
    pub fn failures(&self) -> String {
        let mut text: String = self.failures.concat();
        let more = self.failed.saturating_sub(self.failures.len() as u64);
        if more > 0 {
            text += &format!(" and {more} more\n");
        }
        text
    }

    /// The last line.
    pub fn summary(&self, elapsed: Span) -> String {
        let mut text = format!(" {} ok, {} failed", self.ok, self.failed);
        if self.cancelled > 0 {
            text += &format!(", {} cancelled", self.cancelled);
        }
        if self.retried > 0 {
            text += &format!(", {} retried", self.retried);
            let lost = self.losses.iter().filter(|(_, count)| *count > 0);
            let causes: Vec<String> = lost
                .map(|(cause, count)| format!("{count} {}", loss(cause)))
                .collect();
            if !causes.is_empty() {
                text += &format!(" ({})", causes.join(", "));
            }
        }
        format!("{text}, {:.1} s", elapsed.as_secs_f64())
    }
}

/// Why attempts were lost, for people.
fn loss(cause: &str) -> String {
    match cause {
        "evicted" => "worker told to leave".to_owned(),
        "link" => "worker lost".to_owned(),
        "forgotten" => "worker restarted".to_owned(),
        "fast_abort" => "straggler given up".to_owned(),
        "worker_fault" => "worker's fault".to_owned(),
        "no_space" => "worker's disk full".to_owned(),
        "not_staged" => "input did not arrive".to_owned(),
        other => harmless(other),
    }
}

fn failure(outcome: &Outcome, words: &[String]) -> String {
    let mut command = quoted(words);
    if let Some((end, _)) = command.char_indices().nth(COMMAND_CHARS_MAX) {
        command.truncate(end);
        command += " ...";
    }
    let stderr = match &outcome.verdict {
        Verdict::Ran { ran, .. } => last_lines(&ran.stderr.tail, STDERR_LINES_MAX, "   | "),
        Verdict::GivenUp(_) | Verdict::Cancelled => String::new(),
    };
    format!(" {} {}: {command}\n{stderr}", outcome.task, fate(outcome))
}

/// Failures told one by one; after that many the cause is known or the summary unreadable.
const FAILURES_SHOWN_MAX: usize = 20;
const STDERR_LINES_MAX: usize = 3;
const COMMAND_CHARS_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use muster_proto::outcome::{Failure, Ran, Stream};
    use muster_proto::{Epoch, TaskId, Try};

    use super::*;

    fn outcome(task: u64, verdict: Verdict, attempts: u32) -> Outcome {
        let task = TaskId(task);
        let site = "site-a".to_owned();
        Outcome {
            task,
            verdict,
            attempts,
            site: site.into(),
        }
    }

    fn ran(result: Result<(), Failure>, stderr: &str) -> Verdict {
        let stderr = Stream {
            bytes: stderr.len() as u64,
            tail: stderr.into(),
            file: None,
        };
        let round = Try {
            epoch: Epoch(1),
            n: 1,
        };
        let ran = Ran {
            result,
            worker: "w1".to_owned(),
            measured: Default::default(),
            stdout: Stream::default(),
            stderr,
            outputs: Vec::new(),
        };
        Verdict::Ran {
            round,
            ran: ran.into(),
        }
    }

    #[test]
    fn the_summary_counts_every_outcome_once_and_names_the_causes_of_retries() {
        let mut tally = Tally::new(4);
        tally.count(&outcome(1, ran(Ok(()), ""), 1), Vec::new);
        tally.count(&outcome(2, ran(Ok(()), ""), 3), Vec::new);
        tally.count(
            &outcome(3, Verdict::GivenUp(Failure::LostTooOften), 1),
            Vec::new,
        );
        tally.count(&outcome(4, Verdict::Cancelled, 0), Vec::new);
        tally.learn(StatusReply {
            losses: vec![("link".to_owned(), 2), ("evicted".to_owned(), 0)],
            ..StatusReply::default()
        });
        assert_eq!(tally.done(), 4);
        assert_eq!(
            tally.summary(Span::millis(13_200)),
            " 2 ok, 1 failed, 1 cancelled, 1 retried (2 worker lost), 13.2 s"
        );
    }

    #[test]
    fn the_first_failures_are_told_with_the_end_of_what_they_said() {
        let mut tally = Tally::new(30);
        let words = || vec!["sim".to_owned(), "a b".to_owned()];
        let failed = ran(Err(Failure::Exit(3)), "reading\nno \u{1b}[31mforce field\n");
        for task in 1..=25 {
            tally.count(&outcome(task, failed.clone(), 1), words);
        }
        let told = tally.failures();
        let first = " t1 ended with exit code 3 (on w1): sim 'a b'\n   | reading\n   | no \\u{1b}[31mforce field\n";
        assert!(told.starts_with(first), "{told}");
        assert!(
            told.ends_with(" and 5 more\n") && !told.contains("t21 "),
            "{told}"
        );
    }
}
