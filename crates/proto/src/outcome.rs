//! What comes back: an attempt ends in a run or a loss, a task in one outcome.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ids::{TaskId, Try};
use crate::path::RelPath;
use crate::task::FileRef;
use crate::time::Span;

/// The end of one attempt, as it travels up the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The task, of the master that the frame names.
    pub task: TaskId,
    /// Which try at it.
    pub round: Try,
    /// How it ended.
    pub end: End,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The command was run, or could not be for a reason of its own.
    Ran(Arc<Ran>),
    /// Nothing is known of the task; another attempt is due.
    Lost(Loss),
}

/// What a worker saw of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// Success, or what failed.
    pub result: Result<(), Failure>,
    /// The name of the worker that ran it.
    pub worker: String,
    /// What it took.
    pub measured: Measured,
    /// What it wrote to standard output.
    pub stdout: Stream,
    /// What it wrote to standard error.
    pub stderr: Stream,
    /// The outputs it brought back.
    pub outputs: Vec<ReturnedFile>,
}

impl Ran {
    /// An upper bound of its bytes on the wire, cheap to tell; batches are cut by it.
    pub fn weight(&self) -> usize {
        let outputs: usize = self
            .outputs
            .iter()
            .map(|output| output.name.as_str().len() + 64)
            .sum();
        let failure = match &self.result {
            Err(Failure::InputMissing(name) | Failure::OutputMissing(name)) => name.as_str().len(),
            Ok(()) | Err(_) => 0,
        };
        self.worker.len()
            + self.stdout.tail.len()
            + self.stderr.tail.len()
            + outputs
            + failure
            + 256
    }

    /// Every file that has to be fetched before the run counts: outputs and long streams.
    pub fn files(&self) -> impl Iterator<Item = FileRef> {
        let streams = [&self.stdout, &self.stderr]
            .into_iter()
            .filter_map(|stream| {
                stream.file.map(|digest| FileRef {
                    digest,
                    bytes: stream.bytes,
                })
            });
        self.outputs.iter().map(|output| output.file).chain(streams)
    }
}

/// What an attempt took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// From start to end.
    pub wall: Span,
    /// Processor time, user and system.
    pub cpu: Span,
    /// Greatest resident size of one of its processes, in bytes.
    pub rss_bytes_max: u64,
}

/// What was written to a standard stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Bytes written in all.
    pub bytes: u64,
    /// The last of them, at most `limits::TAIL_BYTES_MAX`.
    pub tail: Vec<u8>,
    /// All of them, if they are more than the tail.
    pub file: Option<Digest>,
}

/// An output that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnedFile {
    /// Its name in the sandbox.
    pub name: RelPath,
    /// Its contents.
    pub file: FileRef,
    /// Whether it may be executed.
    pub executable: bool,
}

/// Why an attempt that ran did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Failure {
    /// It ended with this code, not 0.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
    /// It ran longer than its limit.
    TimeLimit,
    /// There is no such program at the worker.
    NotFound,
    /// The program is there but cannot be executed.
    NotExecutable,
    /// The program could not be started, for the system's error number given.
    CannotStart(i32),
    /// An input could not be had: its name.
    InputMissing(RelPath),
    /// A required output was not there or is no regular file: its name.
    OutputMissing(RelPath),
    /// Streams or outputs exceeded their limit.
    TooMuchOutput,
    /// It was lost too often: see `limits::LOSSES_PER_TASK_MAX`.
    LostTooOften,
    /// It occupied more of a resource than it may.
    Exhausted {
        /// Of which.
        resource: Resource,
        /// How much, when it was found out.
        measured: u64,
        /// How much it may.
        limit: u64,
    },
    /// An input that is to be unpacked cannot be.
    BadArchive {
        /// Its name.
        name: RelPath,
        /// What is wrong with it.
        fault: ArchiveFault,
    },
}

/// Why an archive is not unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ArchiveFault {
    /// It is no tar archive, compressed by gzip or not, or is cut short, or contradicts itself.
    Malformed,
    /// A name or a link in it leads out of the directory it is unpacked in.
    LeadsOut,
    /// It holds what is neither file, directory nor link, or a file that is kept in another way than whole.
    Irregular,
}

/// What a task may exhaust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Resource {
    /// Bytes on the disk, in its sandbox.
    Disk,
    /// Files and directories in its sandbox.
    Files,
}

/// Why an attempt brought no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Loss {
    /// The worker was told to leave.
    Evicted,
    /// The link to whoever held it was lost for longer than its grace.
    LinkLost,
    /// Whoever held it came back without it.
    Forgotten,
    /// It ran much longer than its kind and was given up.
    FastAbort,
    /// The worker could not keep the process alive: a helper of its own died.
    WorkerFault,
    /// The worker's disk was full.
    NoSpace,
    /// An input did not arrive.
    NotStaged,
}

impl Loss {
    /// Every loss with its name in status and reports.
    pub const ALL: [(Loss, &'static str); 7] = [
        (Loss::Evicted, "evicted"),
        (Loss::LinkLost, "link"),
        (Loss::Forgotten, "forgotten"),
        (Loss::FastAbort, "fast_abort"),
        (Loss::WorkerFault, "worker_fault"),
        (Loss::NoSpace, "no_space"),
        (Loss::NotStaged, "not_staged"),
    ];

    /// Its name in status and reports.
    pub fn as_str(self) -> &'static str {
        Loss::ALL[self as usize].1
    }
}

/// The one terminal record of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The task.
    pub task: TaskId,
    /// What became of it.
    pub verdict: Verdict,
    /// How many attempts were made in this epoch.
    pub attempts: u32,
    /// The site of the attempt that counted; empty if none did.
    pub site: Arc<str>,
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// An attempt ran and counts, successful or not.
    Ran {
        /// Which.
        round: Try,
        /// What it brought.
        ran: Arc<Ran>,
    },
    /// It was given up without a run.
    GivenUp(Failure),
    /// Someone cancelled it.
    Cancelled,
}

impl Report {
    /// An upper bound of its bytes on the wire.
    pub fn weight(&self) -> usize {
        match &self.end {
            End::Ran(ran) => ran.weight() + 32,
            End::Lost(_) => 32,
        }
    }
}

impl Outcome {
    /// An upper bound of its bytes on the wire.
    pub fn weight(&self) -> usize {
        match &self.verdict {
            Verdict::Ran { ran, .. } => ran.weight() + self.site.len() + 64,
            Verdict::GivenUp(_) | Verdict::Cancelled => {
                crate::limits::PATH_BYTES_MAX + self.site.len() + 64
            }
        }
    }

    /// Whether the task did what it should.
    pub fn is_done(&self) -> bool {
        matches!(&self.verdict, Verdict::Ran { ran, .. } if ran.result.is_ok())
    }
}
