//! The oracle: a file to which every attempt appends a line when it starts and when it ends.
//!
//! Lines are short and appended in one write, so their order in the file is the order in which things happened. The
//! driver of a test appends lines of its own, to say what it did in between.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use crate::home::Home;

/// A ledger.
pub struct Ledger {
    path: PathBuf,
}

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// An attempt of a task started.
    Start { task: u64, attempt: String },
    /// It came to its own end.
    End { task: u64, attempt: String },
    /// The driver did something.
    Driver(String),
}

impl Ledger {
    /// An empty ledger.
    pub fn new(home: &Home) -> Ledger {
        let path = home.path("ledger");
        fs::write(&path, "").expect("the ledger is made");
        Ledger { path }
    }

    /// A script for `sh -c` that appends its start, does `what`, and appends its end.
    pub fn script(&self, what: &str) -> String {
        let path = self.path.display();
        format!(
            "echo \"$MUSTER_TASK_ID $MUSTER_ATTEMPT start\" >> {path}; {what}; echo \"$MUSTER_TASK_ID $MUSTER_ATTEMPT end\" >> {path}"
        )
    }

    /// Appends what the driver did.
    pub fn note(&self, what: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .open(&self.path)
            .expect("the ledger");
        file.write_all(format!("driver {what}\n").as_bytes())
            .expect("a line is written");
    }

    /// All lines, in order.
    pub fn lines(&self) -> Vec<Line> {
        let text = fs::read_to_string(&self.path).expect("the ledger");
        text.lines().map(line).collect()
    }

    /// How often each task started.
    pub fn starts(&self) -> BTreeMap<u64, u64> {
        count(self.lines(), |line| match line {
            Line::Start { task, .. } => Some(task),
            Line::End { .. } | Line::Driver(_) => None,
        })
    }

    /// How often each task came to its own end.
    pub fn ends(&self) -> BTreeMap<u64, u64> {
        count(self.lines(), |line| match line {
            Line::End { task, .. } => Some(task),
            Line::Start { .. } | Line::Driver(_) => None,
        })
    }

    /// Checks that each of the tasks 1 to `tasks` started once and ended once.
    pub fn assert_each_once(&self, tasks: u64) {
        let once: BTreeMap<u64, u64> = (1..=tasks).map(|task| (task, 1)).collect();
        let (starts, ends) = (self.starts(), self.ends());
        assert!(
            starts == once,
            "each starts once:\n{}",
            self.story(&once, &starts)
        );
        assert!(
            ends == once,
            "each ends once:\n{}",
            self.story(&once, &ends)
        );
    }

    /// What happened to the tasks of which `wanted` and `found` say different things, and what the driver did.
    fn story(&self, wanted: &BTreeMap<u64, u64>, found: &BTreeMap<u64, u64>) -> String {
        let differs = |task: &u64| wanted.get(task) != found.get(task);
        let lines = self.lines().into_iter().enumerate();
        let told = lines.filter(|(_, line)| match line {
            Line::Start { task, .. } | Line::End { task, .. } => differs(task),
            Line::Driver(_) => true,
        });
        let absent = wanted.keys().filter(|task| !found.contains_key(task));
        let absent = absent.map(|task| format!("task {task} is not there\n"));
        told.map(|(at, line)| format!("{at}: {line:?}\n"))
            .chain(absent)
            .collect()
    }
}

fn line(text: &str) -> Line {
    match text.split(' ').collect::<Vec<_>>()[..] {
        ["driver", ..] => Line::Driver(text.to_owned()),
        [task, attempt, "start"] => Line::Start {
            task: number(task),
            attempt: attempt.to_owned(),
        },
        [task, attempt, "end"] => Line::End {
            task: number(task),
            attempt: attempt.to_owned(),
        },
        _ => panic!("no line of a ledger: {text:?}"),
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("no task: {text:?}"))
}

fn count(lines: Vec<Line>, of: impl Fn(Line) -> Option<u64>) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    for task in lines.into_iter().filter_map(of) {
        *counts.entry(task).or_default() += 1;
    }
    counts
}
