//! The shape of every brain: one value, one mutating method, effects returned.

use crate::digest::Digest;
use crate::ids::{LinkId, Lsn};
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::{CloseCode, Frame};

/// A brain: deterministic, without input or output of its own.
///
/// The same inputs at the same times give the same outputs, byte for byte.
pub trait Machine {
    /// What can happen to it.
    type Input;
    /// What it wants done.
    type Output;

    /// Takes `input` at `now` and appends what must be done, in the order it must be begun.
    ///
    /// `now` never runs backwards. Work per call is bounded by `limits`.
    fn handle(&mut self, now: Time, input: Self::Input, out: &mut Vec<Self::Output>);

    /// When `Input::Tick` is next wanted, and what for.
    fn deadline(&self) -> Option<Deadline>;

    /// Checks the invariants. Costs O(state): tests and the simulator call it.
    ///
    /// # Panics
    /// If one is broken.
    fn check(&self);
}

/// When a brain wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// Not before this.
    pub at: Time,
    /// What for, for logs and stories.
    pub why: &'static str,
}

/// When an output may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// At once.
    Now,
    /// When the journal is durable up to and including this record. Nothing is acknowledged before.
    Durable(Lsn),
}

/// What can happen to a brain of the chain; `L` is what only its role meets.
#[derive(Debug)]
pub enum Input<L> {
    /// The deadline it asked for has passed, or may have. Drivers give it once at the end of every turn of their
    /// loop in which the deadline is due, so that a brain can gather what a burst of inputs asks for and hand it
    /// out in few frames.
    Tick,
    /// A control connection stands; its peer is authenticated.
    LinkUp {
        /// The link's number, not used before in this process.
        link: LinkId,
        /// Who is at the other end.
        peer: Peer,
        /// What the peer is to us.
        side: Side,
    },
    /// A control connection is gone; the last input with its number.
    LinkDown {
        /// Which.
        link: LinkId,
    },
    /// A frame came; decoded, bounded and allowed to its sender's role, otherwise untrusted.
    Frame {
        /// From where.
        link: LinkId,
        /// What.
        frame: Frame,
    },
    /// A fetch that was asked for has ended.
    Fetched {
        /// The link it was asked from.
        link: LinkId,
        /// The contents.
        digest: Digest,
        /// Whether they are in the store and verified.
        end: FetchEnd,
    },
    /// Large contents that were asked for have begun to arrive: whoever asks here for them is served as they come.
    Arriving {
        /// The contents.
        digest: Digest,
    },
    /// Contents that may be on the index are not in the store: somebody asked for them in vain.
    Missed {
        /// The contents.
        digest: Digest,
    },
    /// The process is to leave: take nothing new, hand back what can be handed back.
    Drain,
    /// What only this role meets.
    Local(L),
}

/// What the peer of a link is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It gives us work: we dialled it.
    Superior,
    /// It takes work from us.
    Subordinate,
    /// A person's command.
    User,
}

/// How a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchEnd {
    /// The contents are in the store, verified.
    Held,
    /// The other end does not have them.
    Absent,
    /// They did not arrive: the link or the contents failed; worth another try.
    Failed,
    /// They could not be kept: the own disk is full or fails. Worth another try for as long as they are wanted; a driver
    /// says so once a second at most.
    Unkept,
}

/// What a brain of the chain wants done; `E` is its journal's record, `C` what only its role asks for.
#[derive(Debug)]
pub enum Output<E, C> {
    /// Append a record to the journal; it gets the next [`Lsn`].
    Record(E),
    /// Send a frame.
    Send {
        /// Where to.
        link: LinkId,
        /// What.
        frame: Frame,
        /// Not before this.
        gate: Gate,
    },
    /// Bring contents into the store from the peer of `link`; ends in `Input::Fetched`.
    Fetch {
        /// From where.
        link: LinkId,
        /// What.
        digest: Digest,
        /// How long it is said to be; a transfer that is longer is refused.
        bytes: u64,
    },
    /// The contents need not be kept: nothing here refers to them.
    Forget {
        /// Which.
        digest: Digest,
        /// Not before this: what referred to them must not come back after a crash.
        gate: Gate,
    },
    /// Close a link.
    Close {
        /// Which.
        link: LinkId,
        /// Why.
        code: CloseCode,
    },
    /// What only this role asks for.
    Local(C),
}

/// A fact that a brain's journal keeps.
pub trait Record: Sized {
    /// Appends its bytes, kind and schema first.
    fn encode(&self, buffer: &mut Vec<u8>);

    /// Reads what [`Record::encode`] wrote.
    ///
    /// # Errors
    /// The bytes are of a kind or schema this release does not know, or damaged.
    fn decode(bytes: &[u8]) -> Result<Self, BadRecord>;
}

/// Why bytes are not a record of a brain's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// A release after this one wrote it.
    #[error("a record of kind {kind}, schema {schema}: written by a newer release")]
    Newer {
        /// Its kind.
        kind: u8,
        /// Its schema.
        schema: u8,
    },
    /// It is whole, by its checksum, and still no record.
    #[error("a malformed record")]
    Malformed,
}

impl Record for Never {
    fn encode(&self, _: &mut Vec<u8>) {
        match *self {}
    }

    fn decode(_: &[u8]) -> Result<Self, BadRecord> {
        Err(BadRecord::Malformed)
    }
}

/// What cannot happen: the local inputs or asks of a role that has none, the records of one that keeps no journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {}
