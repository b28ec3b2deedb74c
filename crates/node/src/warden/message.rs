//! What a worker and its wardens say to each other.
//!
//! Both ends are one executable, so the frames have no versions: a length in four bytes, little end first, and a
//! postcard value.

use muster_proto::limits::{OUTPUT_BYTES_MAX, SANDBOX_FILES_MAX, STREAM_BYTES_MAX, TAIL_BYTES_MAX};
use muster_proto::outcome::{ArchiveFault, Resource, ReturnedFile, Stream};
use muster_proto::task::{InputFile, OutputFile, Words};
use muster_proto::{Digest, RelPath, Span};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Bytes of one frame: 4 096 inputs and 4 096 outputs with names of the greatest length, and the command.
pub const FRAME_BYTES_MAX: usize = 20 << 20;
/// Runs that may wait in a warden behind the running one; a worker that sends more has lost count.
pub const RUNS_QUEUED_MAX: usize = 1_024;

/// What a worker asks of a warden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWarden {
    /// Run this when all earlier ones have ended. Answered by one [`Ended`], in the same order unless cancelled
    /// or recalled.
    Run(Box<Run>),
    /// End this run at once, or drop it if it has not begun. Nothing happens if it has ended already.
    Cancel {
        /// Which.
        run: u64,
    },
    /// Drop this run, as [`End::Unbegun`]. Nothing happens if it has begun.
    Recall {
        /// Which.
        run: u64,
    },
    /// The disk is full: give up copies that no run has.
    Free,
}

/// What a warden says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWarden {
    /// First of all: it is there. [`super::Nursery::warden`] takes this one.
    Ready(Confinement),
    /// It cannot serve, or not any longer, with a sentence for the log. The link ends, and with it all that it ran.
    Refused(String),
    /// A run has ended and none of its processes lives.
    Ended(Box<Ended>),
}

/// How the processes of a task are kept together, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Confinement {
    /// A PID namespace; needs the right to make one.
    PidNamespace,
    /// A PID namespace inside a user namespace in which the worker's user and group are the only ones.
    UserNamespace,
    /// The warden is a subreaper. Processes survive if worker, mother and warden are all killed at once.
    Subreaper,
}

/// One execution of a command in the sandbox of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The worker's name for it; no two that are under way share one.
    pub run: u64,
    /// Program and arguments. A program without a slash is looked up in the `PATH` of `environment`; one with a
    /// slash that is relative is in the sandbox.
    pub words: Words,
    /// What is said to the program, if it is a server: one with the same words and environment that has answered
    /// earlier calls is still there.
    pub call: Option<Words>,
    /// The whole environment but for `MUSTER_SANDBOX`, `WORK_QUEUE_SANDBOX` and `TMPDIR`, which name the sandbox.
    pub environment: Vec<(String, String)>,
    /// Files placed from the content store before it starts.
    pub inputs: Vec<InputFile>,
    /// Files taken into the content store after it has exited.
    pub outputs: Vec<OutputFile>,
    /// Bytes on the disk beyond which it is ended, without those of its inputs.
    pub disk_bytes_max: Option<u64>,
    /// Files and directories beyond which it is ended.
    pub files_max: u64,
    /// How long it may run.
    pub wall_max: Option<Span>,
    /// Bytes of the end of each stream that are told.
    pub tail_bytes_max: usize,
    /// Bytes of stdout or of stderr beyond which it is ended.
    pub stream_bytes_max: u64,
    /// Bytes of all outputs together beyond which it has failed.
    pub output_bytes_max: u64,
}

impl Run {
    /// A run of `words` with an empty environment, no files, no limit of time and the greatest other limits.
    pub fn new(run: u64, words: Words) -> Self {
        Self {
            run,
            words,
            call: None,
            environment: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            disk_bytes_max: None,
            files_max: SANDBOX_FILES_MAX,
            wall_max: None,
            tail_bytes_max: TAIL_BYTES_MAX,
            stream_bytes_max: STREAM_BYTES_MAX,
            output_bytes_max: OUTPUT_BYTES_MAX,
        }
    }
}

/// What became of a run, and what it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which.
    pub run: u64,
    /// How it ended.
    pub end: End,
    /// From the start of the program to its end.
    pub wall: Span,
    /// Processor time in user mode, of the program and the processes it left behind.
    pub user: Span,
    /// Processor time in the kernel, likewise.
    pub system: Span,
    /// Greatest resident size of one of its processes, in bytes; never below the warden's own, some 3 MiB.
    pub rss_bytes_max: u64,
    /// Its standard output.
    pub stdout: Stream,
    /// Its standard error.
    pub stderr: Stream,
    /// The outputs found, in the order declared, those of one pattern or directory in the order of their names.
    pub outputs: Vec<ReturnedFile>,
    /// Required outputs that are not among `outputs`, and files of any output that could not be taken.
    pub missing: Vec<Missing>,
    /// Contents of inputs that the program has written to in place, against their permissions. The store no longer
    /// has them.
    pub spoiled: Vec<Digest>,
}

impl Ended {
    /// A run that ended so before its program started.
    pub(super) fn unstarted(run: u64, end: End) -> Self {
        Self {
            run,
            end,
            wall: Span::ZERO,
            user: Span::ZERO,
            system: Span::ZERO,
            rss_bytes_max: 0,
            stdout: Stream::default(),
            stderr: Stream::default(),
            outputs: Vec::new(),
            missing: Vec::new(),
            spoiled: Vec::new(),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Its program exited with this code.
    Exited(i32),
    /// This signal ended its program.
    Signalled(i32),
    /// It ran longer than `wall_max`.
    TimedOut,
    /// It was cancelled.
    Cancelled,
    /// It was recalled before it began.
    Unbegun,
    /// There is no such program.
    NotFound,
    /// The program is there but is not executable, or of no known format.
    NotExecutable,
    /// The program could not be started, for the system's error number given.
    CannotStart(i32),
    /// An input could not be placed.
    StagingFailed {
        /// Which.
        name: RelPath,
        /// A sentence for the log.
        why: String,
    },
    /// An output or a stream could not be taken into the store, although it is there.
    CollectingFailed {
        /// Which.
        name: String,
        /// A sentence for the log.
        why: String,
    },
    /// There was no space for its inputs or outputs.
    NoSpace,
    /// A stream exceeded `stream_bytes_max` or the outputs `output_bytes_max` or their greatest number.
    TooMuchOutput,
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
        /// Which.
        name: RelPath,
        /// What is wrong with it.
        fault: ArchiveFault,
    },
}

/// An output that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Its name, as declared or as found.
    pub name: String,
    /// Why not.
    pub why: Why,
}

/// Why an output was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// Nothing has this name.
    Absent,
    /// It, or a directory on the way to it, is a symbolic link, or has something mounted on it; none is followed.
    Link,
    /// It is a FIFO, a socket or a device.
    Irregular,
    /// The task took away the right to read it.
    Unreadable,
    /// It was found in a directory, under a name that cannot travel.
    BadName,
}

/// Appends `message` as a frame.
///
/// # Panics
/// If it exceeds [`FRAME_BYTES_MAX`], which the limits of its parts rule out.
pub fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    let mut whole =
        postcard::to_extend(message, std::mem::take(out)).expect("a vector takes any message");
    let length = whole.len() - start - HEAD_BYTES;
    assert!(
        length <= FRAME_BYTES_MAX,
        "a frame of {length} bytes for a warden"
    );
    whole[start..start + HEAD_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
    *out = whole;
}

/// Takes bytes as they arrive and gives messages when they are whole.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    read: usize,
}

/// The bytes are no message; the link is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a warden's link carried bytes that are no message")]
pub struct Malformed;

impl Decoder {
    /// Appends what was read from the link.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message that is there as a whole.
    ///
    /// # Errors
    /// The frame is too long, or not exactly one message.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Malformed> {
        let Some((head, rest)) = self.bytes[self.read..].split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*head) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(Malformed);
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let (message, trailing) = postcard::take_from_bytes(payload).map_err(|_| Malformed)?;
        if !trailing.is_empty() {
            return Err(Malformed);
        }
        self.read += HEAD_BYTES + length;
        Ok(Some(message))
    }
}

const HEAD_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_whole_however_it_is_cut() {
        let words = Words::new(&["echo", "a b"]).expect("words");
        let messages = [
            ToWarden::Run(Box::new(Run::new(7, words))),
            ToWarden::Cancel { run: 7 },
            ToWarden::Cancel { run: u64::MAX },
            ToWarden::Free,
        ];
        let mut bytes = Vec::new();
        for message in &messages {
            encode(message, &mut bytes);
        }
        for size in [1, 3, 10, bytes.len()] {
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for chunk in bytes.chunks(size) {
                decoder.push(chunk);
                while let Some(message) = decoder.take::<ToWarden>().expect("well formed") {
                    got.push(message);
                }
            }
            assert_eq!(got, messages, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for hostile in [
            &[255, 255, 255, 255][..],
            &[1, 0, 0, 0, 9][..],
            &[3, 0, 0, 0, 1, 7, 0][..],
            &[0, 0, 0, 0][..],
        ] {
            let mut decoder = Decoder::default();
            decoder.push(hostile);
            assert_eq!(decoder.take::<ToWarden>(), Err(Malformed), "{hostile:?}");
        }
    }
}
