//! Why there is nothing to simulate, or to compare.

use std::io;
use std::path::PathBuf;

use muster_sim::scenario::BadScenario;

/// Why a scenario, a change or a saved report cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// No scenario of this name ships with Muster, and there is no such file.
    #[error(
        "no scenario is called {name:?} and there is no such file; {}, and `muster sim list` shows all",
        nearest(near)
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names that it may have been meant to be.
        near: Vec<String>,
    },
    /// The scenario's file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The scenario makes no sense.
    #[error("{path}: {bad}")]
    Scenario {
        /// Its file, or its name.
        path: String,
        /// What is wrong with it, with the line.
        bad: BadScenario,
    },
    /// A `--set` makes no sense.
    #[error("--set: {0}")]
    Set(BadScenario),
    /// A file that should hold reports does not.
    #[error("{path}: line {line} holds no report of `muster sim run --json`")]
    Saved {
        /// Which.
        path: String,
        /// The line, from 1.
        line: usize,
    },
    /// There is one thing to compare, or none.
    #[error(
        "{name} alone is nothing to compare: name another scenario or a saved report, or give a --set with several values"
    )]
    Alone {
        /// The one.
        name: String,
    },
    /// A journal holds nothing to replay.
    #[error("there is nothing to replay in {}: {why}", path.display())]
    Replay {
        /// Its directory.
        path: PathBuf,
        /// Why.
        why: NoReplay,
    },
}

/// Why a journal cannot be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReplay {
    /// It is no master's.
    #[error("it is a foreman's journal, and only a master knows what tasks are")]
    Foreman,
    /// Nothing was submitted.
    #[error("no tasks were submitted")]
    Empty,
    /// No task has ended with a run.
    #[error("no task has run to its end, so nothing is known of how long they take")]
    Unmeasured,
}

impl SimError {
    /// The code under which `docs/errors` explains it.
    pub fn code(&self) -> &'static str {
        match self {
            SimError::Unknown { .. } => "MU0601",
            SimError::File { .. } => "MU0602",
            SimError::Scenario { .. } => "MU0603",
            SimError::Set(_) => "MU0604",
            SimError::Saved { .. } => "MU0605",
            SimError::Alone { .. } => "MU0606",
            SimError::Replay { .. } => "MU0607",
        }
    }
}

fn nearest(near: &[String]) -> String {
    match near {
        [] => "none is near it".to_owned(),
        [one] => format!("the nearest is {one}"),
        several => format!("the nearest are {}", several.join(", ")),
    }
}
