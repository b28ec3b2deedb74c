//! What the world asks of whoever lives in it, and what it tells those who watch.

use std::collections::BTreeMap;

use muster_proto::machine::{Input, Machine, Output};
use muster_proto::outcome::Ran;
use muster_proto::task::Words;
use muster_proto::wire::Frame;
use muster_proto::{Attempt, Digest, Peer, Resources, Span, Time};

use crate::world::LanesId;

/// A brain as the world meets it: one type for every role, its records as bytes, as on a disk.
pub trait Brain: Machine<Input = Input<Happening>, Output = Output<Vec<u8>, Wish>> {
    /// What a start needs besides the journal; constant over restarts.
    type Part: std::fmt::Debug;

    /// Starts a process on what its journal and its store hold.
    fn start(
        now: Time,
        part: &Self::Part,
        records: &[Vec<u8>],
        contents: &BTreeMap<Digest, u64>,
    ) -> Self;
}

/// What only a brain with local business wants done.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Begin to run an attempt.
    Start(Launch),
    /// Give a run back unless it has begun.
    Recall(u64),
    /// End the processes of a run; it still ends in [`Happening`].
    Kill(u64),
    /// Give up what is kept for runs to come, which is nothing here.
    Free,
}

/// What only a brain with local business meets.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A run's processes have ended, its files are collected.
    Ended(u64, Box<Ran>),
    /// A run was killed as asked.
    Killed(u64),
    /// A run was recalled before it began.
    Unbegun(u64),
}

/// A run as the world needs to know it.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The run's number, unique in its process.
    pub run: u64,
    /// The run that has to end first, under way or itself in line; this one begins in its place.
    pub after: Option<u64>,
    /// Which attempt.
    pub attempt: Attempt,
    /// Program and arguments; see `play` and `program`.
    pub words: Words,
    /// What it occupies.
    pub resources: Resources,
    /// The inputs it reads, which have to be in the worker's store.
    pub inputs: Vec<Digest>,
    /// When it is ended.
    pub wall_max: Option<Span>,
}

/// An actor of the world: a host and the process on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActorId(pub usize);

/// What those who watch the world see.
#[derive(Debug)]
pub enum Sight<'a> {
    /// A process started; `restart` says that it had lived before.
    Up {
        /// Which.
        actor: ActorId,
        /// How often it has started.
        life: u32,
    },
    /// A process died.
    Killed {
        /// Which.
        actor: ActorId,
    },
    /// A host lost its disk while its process was down.
    Wiped {
        /// Which.
        actor: ActorId,
    },
    /// A link stands, as one end sees it.
    LinkUp {
        /// Who sees it.
        actor: ActorId,
        /// Who is at the other end.
        peer: ActorId,
    },
    /// A link is gone, as one end sees it.
    LinkDown {
        /// Who sees it.
        actor: ActorId,
        /// Who was at the other end.
        peer: ActorId,
    },
    /// A frame left a process: it can be seen by others.
    Left {
        /// From.
        from: ActorId,
        /// To.
        to: ActorId,
        /// What.
        frame: &'a Frame,
        /// When the brain sent it; a gate may have held it up since.
        sent: Time,
        /// Its length on the wire.
        bytes: usize,
    },
    /// A frame reached a process.
    Came {
        /// From.
        from: ActorId,
        /// To.
        to: ActorId,
        /// What.
        frame: &'a Frame,
        /// Its length on the wire.
        bytes: usize,
    },
    /// A record became durable.
    Durable {
        /// Whose.
        actor: ActorId,
        /// What.
        record: &'a [u8],
    },
    /// A fetch ended with the contents in the store, or not.
    Fetched {
        /// Who asked.
        actor: ActorId,
        /// Whom.
        peer: ActorId,
        /// For what.
        digest: Digest,
        /// How long it is.
        bytes: u64,
        /// How it ended.
        end: muster_proto::machine::FetchEnd,
    },
    /// Contents were given up.
    Forgot {
        /// By whom.
        actor: ActorId,
        /// What.
        digest: Digest,
    },
    /// A run began.
    Started {
        /// Where.
        actor: ActorId,
        /// What.
        launch: &'a Launch,
    },
    /// A run ended by itself.
    Ended {
        /// Where.
        actor: ActorId,
        /// Which.
        attempt: Attempt,
        /// How.
        ran: &'a Ran,
    },
    /// A run was ended: killed by its worker, or with it.
    Cut {
        /// Where.
        actor: ActorId,
        /// Which.
        attempt: Attempt,
    },
    /// The world itself found something that must not be.
    Wrong {
        /// By which rule.
        checker: &'static str,
        /// What.
        what: String,
    },
}

/// Someone who watches the world.
pub trait Observer {
    /// Sees what happens, as it happens.
    fn saw(&mut self, now: Time, sight: &Sight<'_>);
}

/// Who an actor is and whom it dials.
#[derive(Clone, Debug)]
pub struct Casting<P> {
    /// Its identity.
    pub peer: Peer,
    /// What its brain is made of.
    pub part: P,
    /// Its superiors, or its master if it is a user.
    pub dials: Vec<ActorId>,
    /// Microseconds that a packet takes from it to its superiors.
    pub latency_us: u64,
    /// Chances in a million that one of these packets is lost, beyond those of the layout.
    pub loss_ppm: u64,
    /// The links that transfers between it and its superiors cross; none takes the layout's time.
    pub lanes: Vec<LanesId>,
    /// What it can run; nothing unless it is a worker.
    pub shape: Resources,
}
