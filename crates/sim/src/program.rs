//! What the tasks of a scenario do when they run: how long, whether they fail, what they write.

use std::sync::Arc;

use muster_proto::outcome::{Failure, Measured, Ran, ReturnedFile, Stream};
use muster_proto::task::{BadWords, FileRef, Words};
use muster_proto::{Attempt, Span, TaskId};

use crate::play::{digest, output_name};
use crate::rng::{Rng, mix};
use crate::scenario::Dist;

/// The program of one body of work.
#[derive(Clone, Debug)]
pub enum Program {
    /// Of tasks that have everything but chance in common.
    Alike(Alike),
    /// Of tasks that are told apart.
    Known(Known),
}

/// What tasks do that have everything but chance in common.
#[derive(Clone, Debug)]
pub struct Alike {
    /// How long a task computes on a machine of speed 1; the same for every attempt at it.
    pub run: Dist,
    /// The chance that an attempt fails of itself.
    pub fails: f64,
    /// Bytes of the file that it writes; none if 0.
    pub output_bytes: u64,
    /// What tells the draws of one seed from those of another.
    pub salt: u64,
}

/// What each of several tasks does, at every attempt. Their master is the only one of its world.
#[derive(Clone, Debug)]
pub struct Known {
    /// The number of the first of them; the others follow.
    pub first: TaskId,
    /// What a run of each brings on a machine of speed 1; it takes as long as is measured there.
    pub tasks: Arc<[Ran]>,
}

/// What is played by a command line.
const WORD: &str = "program";

impl Program {
    /// The command line that runs the `n`-th program of a world.
    ///
    /// # Errors
    /// Never: a word and a number are short and have no NUL.
    pub fn words(n: usize) -> Result<Words, BadWords> {
        Words::new(&[WORD, &n.to_string()])
    }

    /// Which program of its world a command line runs, if it runs one.
    pub fn of(words: &Words) -> Option<usize> {
        let mut words = words.iter();
        (words.next()? == WORD)
            .then(|| words.next()?.parse().ok())
            .flatten()
    }

    /// How long an attempt takes on a machine so fast, at least a microsecond.
    pub fn wall(&self, attempt: Attempt, speed: f64) -> Span {
        let alone = match self {
            Program::Alike(alike) => alike.alone(attempt),
            Program::Known(known) => known.ran(attempt).measured.wall,
        };
        Span(((alone.0 as f64 / speed) as u64).max(1))
    }

    /// What an attempt that took `wall` brings.
    pub fn ran(&self, attempt: Attempt, wall: Span, worker: &str) -> Ran {
        match self {
            Program::Alike(alike) => alike.ran(attempt, wall, worker),
            Program::Known(known) => {
                let mut ran = known.ran(attempt).clone();
                ran.measured.wall = wall;
                worker.clone_into(&mut ran.worker);
                ran
            }
        }
    }
}

impl Known {
    /// # Panics
    /// If the attempt is at none of the tasks: only they bear the words that lead here.
    fn ran(&self, attempt: Attempt) -> &Ran {
        let n = attempt.key.task.0.checked_sub(self.first.0);
        let ran = n.and_then(|n| self.tasks.get(usize::try_from(n).ok()?));
        ran.expect("a task that runs this program is one of those that are known")
    }
}

impl Alike {
    fn alone(&self, attempt: Attempt) -> Span {
        let task = attempt.key.master.0 ^ mix(attempt.key.task.0 ^ self.salt);
        self.run.draw(&mut Rng::new(mix(task)))
    }

    fn ran(&self, attempt: Attempt, wall: Span, worker: &str) -> Ran {
        let chance = self.chance(attempt);
        let fails = (chance >> 11) as f64 / (1_u64 << 53) as f64;
        let result = if fails < self.fails {
            Err(Failure::Exit(1))
        } else {
            Ok(())
        };
        let writes = result.is_ok() && self.output_bytes > 0;
        let output = || ReturnedFile {
            name: output_name(0),
            file: FileRef {
                digest: digest(chance),
                bytes: self.output_bytes,
            },
            executable: false,
        };
        Ran {
            result,
            worker: worker.to_owned(),
            measured: Measured {
                wall,
                cpu: wall,
                rss_bytes_max: 0,
            },
            stdout: Stream::default(),
            stderr: Stream::default(),
            outputs: writes.then(output).into_iter().collect(),
        }
    }

    /// What chance has in store for one attempt.
    fn chance(&self, attempt: Attempt) -> u64 {
        let round = u64::from(attempt.round.epoch.0) << 32 | u64::from(attempt.round.n);
        let task = mix(attempt.key.task.0 ^ self.salt ^ mix(round));
        mix(attempt.key.master.0 ^ task)
    }
}
