//! The world's event log as a number: equal for equal seeds, different for almost any difference.

use muster_proto::wire::Frame;
use muster_proto::{Attempt, Digest, Time};

use crate::brain::{ActorId, Observer, Sight};
use crate::rng::mix;

/// A running hash over everything seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    hash: u64,
    events: u64,
    scratch: Vec<u8>,
    depth: Depth,
}

/// What of a frame or a record goes into the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// Every byte.
    Bytes,
    /// Its kind and its length.
    Lengths,
}

impl Trace {
    /// Nothing was seen.
    pub fn new() -> Self {
        Self {
            hash: FNV_BASIS,
            events: 0,
            scratch: Vec::new(),
            depth: Depth::Bytes,
        }
    }

    /// Nothing was seen; of frames and records their kinds and lengths will be hashed, which costs little.
    pub fn light() -> Self {
        Self {
            depth: Depth::Lengths,
            ..Self::new()
        }
    }

    /// The hash so far.
    pub fn hash(&self) -> u64 {
        mix(self.hash ^ self.events)
    }

    /// How many events were seen.
    pub fn events(&self) -> u64 {
        self.events
    }

    fn word(&mut self, word: u64) {
        self.hash = mix(self.hash ^ word).wrapping_mul(FNV_PRIME);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        if self.depth == Depth::Lengths {
            return;
        }
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn pair(&mut self, tag: u64, a: ActorId, b: u64) {
        self.word(tag << 56 | (a.0 as u64) << 32 | b);
    }

    fn frame(&mut self, frame: &Frame) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        frame.encode(&mut scratch);
        self.bytes(&scratch);
        self.scratch = scratch;
    }

    fn attempt(&mut self, attempt: Attempt) {
        self.word(attempt.key.master.0);
        self.word(attempt.key.task.0);
        self.word(u64::from(attempt.round.epoch.0) << 32 | u64::from(attempt.round.n));
    }

    fn digest(&mut self, digest: Digest) {
        for word in digest.0.as_chunks::<8>().0 {
            self.word(u64::from_le_bytes(*word));
        }
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Trace {
    fn saw(&mut self, now: Time, sight: &Sight<'_>) {
        self.events += 1;
        self.word(now.0);
        match sight {
            Sight::Up { actor, life } => self.pair(1, *actor, u64::from(*life)),
            Sight::Killed { actor } => self.pair(2, *actor, 0),
            Sight::LinkUp { actor, peer } => self.pair(3, *actor, peer.0 as u64),
            Sight::LinkDown { actor, peer } => self.pair(4, *actor, peer.0 as u64),
            Sight::Left {
                from,
                to,
                frame,
                bytes,
                ..
            } => {
                self.pair(5, *from, to.0 as u64);
                match self.depth {
                    Depth::Bytes => self.frame(frame),
                    Depth::Lengths => self.word((frame.kind() as u64) << 32 | *bytes as u64),
                }
            }
            Sight::Came {
                from, to, frame, ..
            } => {
                self.pair(6, *from, to.0 as u64);
                self.word(frame.kind() as u64);
            }
            Sight::Durable { actor, record } => {
                self.pair(7, *actor, 0);
                self.bytes(record);
            }
            Sight::Fetched {
                actor, digest, end, ..
            } => {
                self.pair(8, *actor, *end as u64);
                self.digest(*digest);
            }
            Sight::Forgot { actor, digest } => {
                self.pair(9, *actor, 0);
                self.digest(*digest);
            }
            Sight::Started { actor, launch } => {
                self.pair(10, *actor, 0);
                self.attempt(launch.attempt);
            }
            Sight::Ended {
                actor,
                attempt,
                ran,
            } => {
                self.pair(11, *actor, u64::from(ran.result.is_ok()));
                self.attempt(*attempt);
            }
            Sight::Cut { actor, attempt } => {
                self.pair(12, *actor, 0);
                self.attempt(*attempt);
            }
            Sight::Wiped { actor } => self.pair(13, *actor, 0),
            Sight::Wrong { checker, what } => {
                self.bytes(checker.as_bytes());
                self.bytes(what.as_bytes());
            }
        }
    }
}

/// FNV's 64-bit offset basis.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
/// FNV's 64-bit prime.
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
