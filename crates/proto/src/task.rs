//! What is asked for: a task is a template and what is its own.

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::limits::WORDS_BYTES_MAX;
use crate::path::RelPath;
use crate::resources::Resources;
use crate::time::Span;

/// What many tasks have in common; it crosses each link once, the tasks refer to it by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// What runs when a task brings no words of its own.
    pub command: Command,
    /// Environment of the task, beyond what the worker gives: names and values.
    pub environment: Vec<(String, String)>,
    /// Files that every task of the template gets.
    pub inputs: Vec<InputFile>,
    /// Files that every task of the template brings back.
    pub outputs: Vec<OutputFile>,
    /// What each task occupies while it runs.
    pub resources: Resources,
    /// How its tasks are scheduled.
    pub policy: Policy,
    /// Tasks of one category are alike: they share run-time statistics.
    pub category: String,
}

/// How an attempt is executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A program and its arguments, executed directly.
    Exec(Words),
    /// Nothing is executed: the attempt is done when it starts. Measures the chain itself, joins graphs.
    Noop,
    /// The words start a *server*, a program that stays in its slot and is handed the words of one task after another.
    /// Cheaper than a program for each, where starting one takes longer than its work; what is said between worker and
    /// server is in `docs/servers.md`.
    Call(Words),
}

/// A program and its arguments as one text, the words separated by NUL.
///
/// Words hold no NUL themselves (no program could receive it), so one allocation serves any number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Words(Box<str>);

/// Why words cannot be a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWords {
    /// A word has a NUL character.
    #[error("an argument has a NUL character")]
    Nul,
    /// Together they exceed [`WORDS_BYTES_MAX`].
    #[error("the command line is longer than {WORDS_BYTES_MAX} bytes")]
    Long,
}

impl Words {
    /// Joins `words`.
    ///
    /// # Errors
    /// A word has a NUL, or they are too long together.
    pub fn new<S: AsRef<str>>(words: &[S]) -> Result<Self, BadWords> {
        let mut text = String::new();
        for (i, word) in words.iter().enumerate() {
            if word.as_ref().contains('\0') {
                return Err(BadWords::Nul);
            }
            if i > 0 {
                text.push('\0');
            }
            text.push_str(word.as_ref());
        }
        if text.len() > WORDS_BYTES_MAX {
            return Err(BadWords::Long);
        }
        Ok(Self(text.into()))
    }

    /// Whether there is not even a program.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of it as one text, NUL between the words.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The program and its arguments.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split('\0').filter(|_| !self.0.is_empty())
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        if text.len() > WORDS_BYTES_MAX {
            return Err(serde::de::Error::custom(BadWords::Long));
        }
        Ok(Self(text.into()))
    }
}

/// A file that is in the sandbox when the task starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Its name in the sandbox.
    pub name: RelPath,
    /// Its contents.
    pub file: FileRef,
    /// What it is there.
    pub form: Form,
}

/// What the contents of an input are in the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Form {
    /// A file.
    Data,
    /// A file that may be executed.
    Program,
    /// A directory: the contents are a tar archive, compressed by gzip or not, that is unpacked there.
    Archive,
}

/// Contents and how long they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileRef {
    /// The name of the contents.
    pub digest: Digest,
    /// Their length in bytes.
    pub bytes: u64,
}

/// A file, directory or pattern that is brought back when the task ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Its name in the sandbox; the last component may hold `*`, `?` and `[...]`.
    pub name: RelPath,
    /// Whether the attempt fails without it.
    pub need: Need,
    /// After which ends it is brought back.
    pub when: When,
}

/// Whether a declared output must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Need {
    /// The attempt fails if it is missing.
    Required,
    /// Its absence is no failure.
    Optional,
}

/// After which ends of its program an output is brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// After any.
    #[default]
    Always,
    /// After exit code 0.
    Success,
    /// After any other.
    Failure,
}

/// How tasks are scheduled; travels whole to wherever scheduling is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Greater goes first.
    pub priority: i32,
    /// How often a failed attempt is followed by another. Losses are not charged to it.
    pub retries: u16,
    /// When a running attempt is ended as failed.
    pub wall_max: Option<Span>,
    /// When a running attempt is given up as a straggler: percent of the category's mean run time; 150 is the talk's 1.5.
    pub fast_abort_percent: Option<u32>,
    /// How a child is chosen.
    pub algorithm: Algorithm,
    /// Hosts or sites to choose under [`Algorithm::PreferredHosts`], best first.
    pub preferred: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            priority: 0,
            retries: 0,
            wall_max: None,
            fast_abort_percent: None,
            algorithm: Algorithm::FirstCome,
            preferred: Vec::new(),
        }
    }
}

/// How a child is chosen among those a task fits: the talk's five, and worst fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// The first child with room.
    FirstCome,
    /// The child that holds most bytes of the task's inputs.
    CachedFiles,
    /// The child with the least mean run time of the task's category.
    FastestTime,
    /// The child whose host or site stands first in the policy's list.
    PreferredHosts,
    /// Any child with room, drawn from the scheduler's seed.
    Random,
    /// The child with most room.
    WorstFit,
}

impl Algorithm {
    /// Every algorithm with its name at the command line.
    pub const ALL: [(Algorithm, &'static str); 6] = [
        (Algorithm::FirstCome, "fcfs"),
        (Algorithm::CachedFiles, "files"),
        (Algorithm::FastestTime, "time"),
        (Algorithm::PreferredHosts, "hosts"),
        (Algorithm::Random, "random"),
        (Algorithm::WorstFit, "worst"),
    ];
}

/// What is a task's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskBody {
    /// Program and arguments; empty words mean the template's command.
    pub words: Words,
    /// Inputs beyond the template's.
    pub inputs: Box<[InputFile]>,
    /// Outputs beyond the template's.
    pub outputs: Box<[OutputFile]>,
}

impl TaskBody {
    /// An upper bound of its bytes on the wire, cheap to tell; batches are cut by it.
    pub fn weight(&self) -> usize {
        self.words.0.len() + files_weight(&self.inputs, &self.outputs) + 16
    }
}

impl Template {
    /// An upper bound of its bytes on the wire.
    pub fn weight(&self) -> usize {
        let command = match &self.command {
            Command::Exec(words) | Command::Call(words) => words.0.len(),
            Command::Noop => 0,
        };
        let environment: usize = self
            .environment
            .iter()
            .map(|(name, value)| name.len() + value.len() + 10)
            .sum();
        let preferred: usize = self
            .policy
            .preferred
            .iter()
            .map(|name| name.len() + 5)
            .sum();
        command
            + environment
            + preferred
            + self.category.len()
            + files_weight(&self.inputs, &self.outputs)
            + 256
    }
}

/// A digest takes 32 bytes, each of at most three lengths ten, the rest is flags.
fn files_weight(inputs: &[InputFile], outputs: &[OutputFile]) -> usize {
    let inputs: usize = inputs
        .iter()
        .map(|input| input.name.as_str().len() + 64)
        .sum();
    let outputs: usize = outputs
        .iter()
        .map(|output| output.name.as_str().len() + 16)
        .sum();
    inputs + outputs
}
