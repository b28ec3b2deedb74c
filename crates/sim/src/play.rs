//! The programs of the world: what a run takes, brings and leaves is written in its words.

use muster_proto::outcome::{Failure, Measured, Ran, ReturnedFile, Stream};
use muster_proto::task::{BadWords, FileRef, Words};
use muster_proto::{Attempt, Digest, RelPath, Span};

use crate::brain::Launch;
use crate::rng::{Rng, mix};

/// What a task of the world does when it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Play {
    /// Its number in the oracle's ledger, unique in the world.
    pub uid: u64,
    /// How long it runs, in microseconds; one run in [`STRAYS`] takes ten times as long.
    pub wall_us: u64,
    /// Chances in a thousand that one run of it fails.
    pub fails_permille: u64,
    /// How many files it writes.
    pub outputs: u64,
}

impl Play {
    /// The command line that plays this.
    ///
    /// # Errors
    /// Never: numbers have no NUL and are short.
    pub fn words(&self) -> Result<Words, BadWords> {
        let numbers = [self.uid, self.wall_us, self.fails_permille, self.outputs];
        let words: Vec<String> = std::iter::once("play".to_owned())
            .chain(numbers.map(|n| n.to_string()))
            .collect();
        Words::new(&words)
    }

    /// What a command line plays; nothing in no time if it is none of ours.
    pub fn of(words: &Words) -> Play {
        let mut numbers = words
            .iter()
            .skip(1)
            .map(|word| word.parse().unwrap_or(0))
            .chain(std::iter::repeat(0));
        let mut number = || numbers.next().unwrap_or(0);
        Play {
            uid: number(),
            wall_us: number(),
            fails_permille: number(),
            outputs: number(),
        }
    }

    fn of_launch(launch: &Launch) -> Play {
        Play::of(&launch.words)
    }
}

/// How long a run takes before it ends by itself or by its limit.
pub(crate) fn wall(launch: &Launch) -> Span {
    let play = Play::of_launch(launch);
    let strays = chance(&play, launch.attempt).is_multiple_of(STRAYS);
    let wall = Span(if strays {
        play.wall_us * 10
    } else {
        play.wall_us
    });
    launch.wall_max.map_or(wall, |limit| limit.min(wall))
}

/// What a run brings.
pub(crate) fn ran(launch: &Launch, worker: &str) -> Ran {
    let play = Play::of_launch(launch);
    let attempt = launch.attempt;
    let chance = chance(&play, attempt);
    let wall = wall(launch);
    let result = if launch.wall_max == Some(wall) {
        Err(Failure::TimeLimit)
    } else if Rng::new(chance).permille(play.fails_permille) {
        Err(Failure::Exit(1))
    } else {
        Ok(())
    };
    let outputs = if result.is_ok() { play.outputs } else { 0 };
    Ran {
        result,
        worker: worker.to_owned(),
        measured: Measured {
            wall,
            cpu: wall,
            rss_bytes_max: 1 << 20,
        },
        stdout: Stream {
            bytes: 8,
            tail: chance.to_le_bytes().to_vec(),
            file: None,
        },
        stderr: Stream::default(),
        outputs: (0..outputs).map(|n| output(attempt, n)).collect(),
    }
}

/// What chance has in store for one attempt.
fn chance(play: &Play, attempt: Attempt) -> u64 {
    let round = u64::from(attempt.round.epoch.0) << 32 | u64::from(attempt.round.n);
    mix(play.uid ^ mix(round))
}

/// One run in so many is a straggler, through no fault of its task.
const STRAYS: u64 = 40;

/// The `n`-th file that a run of `attempt` writes; no other attempt's is like it.
pub fn output(attempt: Attempt, n: u64) -> ReturnedFile {
    let round = u64::from(attempt.round.epoch.0) << 32 | u64::from(attempt.round.n);
    let seed = [attempt.key.master.0, attempt.key.task.0, round, n]
        .into_iter()
        .fold(0, |sum, part| mix(sum ^ part));
    ReturnedFile {
        name: output_name(n),
        file: FileRef {
            digest: digest(seed),
            bytes: 1_000 + seed % 100_000,
        },
        executable: false,
    }
}

/// The name under which a task writes its `n`-th file.
///
/// # Panics
/// Never: the name is a letter and a number.
pub fn output_name(n: u64) -> RelPath {
    RelPath::new(&format!("o{n}")).expect("a letter and a number are a path")
}

/// The name of contents that `seed` stands for.
pub fn digest(seed: u64) -> Digest {
    let mut rng = Rng::new(seed);
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&rng.next().to_le_bytes());
    }
    Digest(bytes)
}
