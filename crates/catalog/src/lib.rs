//! The catalog: the directory in which masters, foremen and workers find each other by name, and its replicas.
//!
//! [`Directory`] is the state: what a log of commands folds to, the same everywhere. [`Catalog`] is one replica: a
//! brain around the Raft library, which decides what the log is. Like every brain it has no socket, no file, no thread
//! and no clock. Its driver tells it of messages of other replicas, of questions of clients, of records that have
//! become durable, and gives it a tick at the end of each turn; it returns records, messages behind gates, answers.
//!
//! Nothing is acknowledged to a replica before it is durable here, nor to a client before it is durable on a majority.
//! Reads are linearizable unless a stale one is asked for; they cost one round of heartbeats for all that came in a
//! turn. Every question has a deadline and an answer of a type of its own.
//!
//! Not here: links, frames, retries of clients, the caches they survive on while the catalog is away.

mod asks;
mod directory;
mod event;
mod leases;
mod log;
mod map;
mod members;
mod parts;
mod readies;
mod reads;
mod turn;
mod wary;

pub use directory::{BadSnapshot, Directory, MEANING, Proposal};
pub use event::{Event, Kept};
pub use log::Misfit;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use muster_proto::catalog::raft::{Hard, Membership, Message, Snapshot};
use muster_proto::catalog::{
    Answer, Command, Filter, Freshness, Member, NodeId, Op, Query, Reshape, Revision,
};
use muster_proto::machine::{Deadline, Gate, Machine};
use muster_proto::{Lsn, Peer, Span, Time};
use raft::{Config as RaftConfig, RawNode, StateRole};

use crate::asks::Asks;
use crate::leases::Leases;
use crate::log::Log;
use crate::members::Reshaping;
use crate::parts::Assembly;
use crate::readies::Unsynced;
use crate::reads::Reads;

/// What a replica is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// What a new storage is; nothing else counts once there is a journal.
    pub birth: Birth,
    /// Who it is by its certificate.
    pub peer: Peer,
    /// Seed of the times at which it stands for election.
    pub seed: u64,
    /// Drawn at random at each start of the process: names reads, so that an answer to an earlier process is not taken.
    pub run: u64,
    /// The journal's last record; `Lsn(0)` for a new one. A journal that was rewritten does not begin with 1.
    pub lsn: Lsn,
    /// Entries after which a snapshot takes their place.
    pub compact_entries: u64,
}

/// How a storage comes into being.
#[derive(Clone, Debug)]
pub struct Birth {
    /// Drawn at random whenever a journal is made, never taken from a configuration: a wiped replica that came back
    /// under its old number could vote twice (C4).
    pub node: NodeId,
    /// What it is to a catalog.
    pub place: Place,
}

/// What a new storage is to a catalog.
#[derive(Clone, Debug)]
pub enum Place {
    /// Its only voter: the catalog begins here, and others are added.
    Founder {
        /// Where it can be dialled.
        addresses: Vec<String>,
    },
    /// Nothing until the leader of a catalog that has added it says otherwise.
    Joiner,
}

/// What can happen to a replica.
#[derive(Debug)]
pub enum Input {
    /// The end of a turn, or the deadline it asked for.
    Tick,
    /// A link to a replica stands, one ordered stream each way.
    LinkUp {
        /// Which storage is at the other end.
        node: NodeId,
        /// Who it is by its certificate.
        peer: Peer,
    },
    /// A link is gone, and what was under way on it with it.
    LinkDown {
        /// To which storage.
        node: NodeId,
    },
    /// A replica says something: decoded, otherwise untrusted.
    Message {
        /// The storage at the other end of the link.
        from: NodeId,
        /// What it says.
        message: Message,
    },
    /// The journal is durable up to and including a record. Given before messages that waited for it are sent.
    Durable {
        /// Which record.
        lsn: Lsn,
    },
    /// The journal was rewritten from [`Catalog::facts`], all of it durable.
    Rewritten {
        /// Its last record.
        lsn: Lsn,
    },
    /// A client wants something.
    Ask(Ask),
    /// A client no longer waits.
    Drop {
        /// The question.
        ask: AskId,
    },
}

/// A question under way, numbered by the driver; not used again in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// What a client wants.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Its number.
    pub ask: AskId,
    /// Whose it is, by the certificate.
    pub by: Peer,
    /// How long the client waits; the answer is given a little before.
    pub wait: Span,
    /// What it is about.
    pub what: What,
}

/// What a question is about.
#[derive(Clone, Debug)]
pub enum What {
    /// A command, with its number in the client's session unless it opens one.
    Command(Option<Op>, Command),
    /// A question to the directory.
    Query(Query, Freshness),
    /// What changes after a revision.
    Watch(Revision, Filter),
    /// A change of membership.
    Reshape(Reshape),
}

/// What a replica wants done.
#[derive(Debug)]
pub enum Output {
    /// Append a record to the journal; it gets the next [`Lsn`].
    Record(Event),
    /// Send a message to a replica, behind those before it.
    Send {
        /// To which storage.
        node: NodeId,
        /// What.
        message: Message,
        /// Not before this.
        gate: Gate,
    },
    /// Answer a client.
    Answer {
        /// The question.
        ask: AskId,
        /// The answer.
        answer: Answer,
    },
    /// Close the link to a replica: it is not who it was when it was added.
    Close {
        /// To which storage.
        node: NodeId,
    },
    /// The journal may be rewritten from [`Catalog::facts`], whenever there is leisure.
    Compact,
    /// This replica is at its end and handles nothing any more.
    Halt(Halt),
}

/// Why a replica is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// It was removed from the catalog.
    #[error("this replica was removed from the catalog")]
    Removed,
    /// An entry of the log is of a newer release, or commands mean what this one does not know.
    #[error("entry {index} of the catalog's log is not of this release")]
    Newer {
        /// Which.
        index: u64,
    },
    /// Its state is not the leader's (C7).
    #[error(
        "after entry {index} the state hashes to {own:016x} here and to {leader:016x} on the leader"
    )]
    Diverged {
        /// After which entry.
        index: u64,
        /// The hash here.
        own: u64,
        /// The hash there.
        leader: u64,
    },
}

/// One replica of the catalog.
pub struct Catalog {
    id: NodeId,
    born: Event,
    peer: Peer,
    seed: u64,
    run: u64,
    compact_entries: u64,
    raw: RawNode<Log>,
    directory: Directory,
    membership: Membership,
    /// The last entry that the directory holds, and its term.
    applied: (u64, u64),
    /// Whether the journal is new and does not have its first record.
    unborn: bool,
    /// The last record given to the journal.
    lsn: Lsn,
    /// The last record that is durable.
    durable: Lsn,
    /// What a leader sends waits for this record: the vote that made it one is durable.
    floor: Lsn,
    unsynced: VecDeque<Unsynced>,
    links: BTreeSet<NodeId>,
    asks: Asks,
    reads: Reads,
    leases: Leases,
    /// Commands of the catalog itself, to be proposed, and whom their application answers.
    own: Vec<(Option<AskId>, Command)>,
    reshaping: Option<Reshaping>,
    /// Hashes of the state after entries of round numbers, to compare with the leader's.
    checks: VecDeque<(u64, u64)>,
    assembly: Option<Assembly>,
    /// The directory of a snapshot that the library was given.
    thawed: Option<Directory>,
    /// Whether a change of membership is applied and its commit not recorded.
    wants_record: bool,
    /// Whether the last snapshot does not know the newest member, who could not take it.
    wants_snapshot: bool,
    /// Snapshots under way, and when each is given up.
    sending: BTreeMap<NodeId, Time>,
    /// When the leader, or as leader a follower, was last heard.
    heard: Time,
    next_tick: Time,
    /// Bytes of entries that were stepped in this turn.
    stepped: usize,
    /// The revision that watchers have been told of.
    told: Revision,
    /// The term in which it leads, or 0.
    led: u64,
    stirred: bool,
    halted: bool,
}

impl Catalog {
    /// A replica on the facts of its journal, oldest first; there are none for a new one.
    ///
    /// # Errors
    /// The facts are not those of one journal, or their snapshot is damaged.
    pub fn new(
        now: Time,
        config: Config,
        replay: impl IntoIterator<Item = Event>,
    ) -> Result<Self, Misfit> {
        let mut replay = replay.into_iter();
        let first = replay.next();
        let unborn = first.is_none();
        let born = first.unwrap_or_else(|| born(&config));
        let Event::Born(id, founder) = &born else {
            return Err(Misfit);
        };
        let id = *id;
        let mut log = Log::default();
        if let Some(member) = founder {
            found(&mut log, id, member);
        }
        for event in replay {
            let Event::Kept(kept) = event else {
                return Err(Misfit);
            };
            log.keep(kept)?;
        }
        let snapshot = log.snapshot();
        let directory = match snapshot.index {
            0 => Directory::default(),
            _ => Directory::thaw(&snapshot.bytes).map_err(|_| Misfit)?,
        };
        let applied = (snapshot.index, snapshot.term);
        let membership = snapshot.membership.clone();
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&settings(id, applied.0), log, &logger).map_err(|_| Misfit)?;
        let mut catalog = Self {
            id,
            born,
            peer: config.peer,
            seed: config.seed,
            run: config.run,
            compact_entries: config.compact_entries.max(1),
            raw,
            told: directory.revision(),
            directory,
            membership,
            applied,
            unborn,
            lsn: config.lsn,
            durable: config.lsn,
            floor: Lsn(0),
            unsynced: VecDeque::new(),
            links: BTreeSet::new(),
            asks: Asks::default(),
            reads: Reads::default(),
            leases: Leases::default(),
            own: Vec::new(),
            reshaping: None,
            checks: VecDeque::new(),
            assembly: None,
            thawed: None,
            wants_record: false,
            wants_snapshot: false,
            sending: BTreeMap::new(),
            heard: now,
            next_tick: now,
            stepped: 0,
            led: 0,
            stirred: true,
            halted: false,
        };
        catalog.time_election();
        Ok(catalog)
    }

    /// The number of its storage.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The directory, as far as it is applied here.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Who counts, as far as is applied here.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Whether it believes that it leads.
    pub fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Another replica by its number, as it was added.
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        members::member_of(&self.directory, node)
    }

    /// What a rewritten journal holds: everything recorded so far, in fewer records.
    pub fn facts(&self) -> Vec<Event> {
        let log = self.raw.store();
        let snapshot = Some(log.snapshot()).filter(|snapshot| snapshot.index > 0);
        let mut upto = snapshot.map_or(0, |snapshot| snapshot.index);
        let mut kept = Kept {
            snapshot: snapshot.cloned(),
            ..Kept::default()
        };
        let mut facts = vec![self.born.clone()];
        let hard = |upto| Hard {
            commit: log.hard().commit.min(upto),
            ..log.hard()
        };
        let mut bytes = 0;
        for entry in log.entries() {
            if bytes > RECORD_BYTES {
                kept.hard = hard(upto);
                facts.push(Event::Kept(std::mem::take(&mut kept)));
                bytes = 0;
            }
            upto = entry.index;
            bytes += entry.data.len();
            kept.entries.push(entry);
        }
        kept.hard = hard(upto);
        facts.push(Event::Kept(kept));
        facts
    }

    /// Stops for good.
    fn halt(&mut self, why: Halt, out: &mut Vec<Output>) {
        self.halted = true;
        self.asks.end(out);
        out.push(Output::Halt(why));
    }
}

impl Machine for Catalog {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        if self.halted {
            return;
        }
        match input {
            Input::Tick => self.turn(now, out),
            Input::LinkUp { node, peer } => self.link_up(node, &peer, out),
            Input::LinkDown { node } => self.link_down(node),
            Input::Message { from, message } => self.message(now, from, message, out),
            Input::Durable { lsn } => self.synced(lsn),
            Input::Rewritten { lsn } => {
                self.synced(self.lsn);
                self.lsn = self.lsn.max(lsn);
                self.durable = self.lsn;
            }
            Input::Ask(ask) => self.ask(now, ask, out),
            Input::Drop { ask } => self.asks.forget(ask),
        }
        if !self.halted {
            self.time_election();
        }
    }

    fn deadline(&self) -> Option<Deadline> {
        if self.halted {
            return None;
        }
        if self.stirred {
            let at = Time(0);
            let why = "something came";
            return Some(Deadline { at, why });
        }
        let tick = Deadline {
            at: self.next_tick,
            why: "elections and heartbeats",
        };
        self.asks.deadline().into_iter().chain([tick]).min()
    }

    fn check(&self) {
        self.directory.check();
        self.asks.check();
        assert!(self.durable <= self.lsn, "what is durable was recorded");
        let hard = self.raw.store().hard();
        assert!(
            hard.commit <= self.raw.store().last(),
            "what is committed is in the log"
        );
    }
}

fn born(config: &Config) -> Event {
    let founder = match &config.birth.place {
        Place::Founder { addresses } => Some(Member {
            node: config.birth.node,
            peer: config.peer.clone(),
            addresses: addresses.clone(),
        }),
        Place::Joiner => None,
    };
    Event::Born(config.birth.node, founder)
}

/// The log of a catalog of one: it begins after an entry that nobody proposed.
fn found(log: &mut Log, id: NodeId, member: &Member) {
    let mut directory = Directory::default();
    directory.seat(&member.peer, &BTreeSet::from([id]), Some(member));
    let membership = Membership {
        voters: vec![id],
        ..Membership::default()
    };
    log.restore(Snapshot {
        index: 1,
        term: 1,
        membership,
        bytes: directory.freeze(),
    });
    log.set_hard(Hard {
        term: 1,
        vote: NodeId(0),
        commit: 1,
    });
}

fn settings(id: NodeId, applied: u64) -> RaftConfig {
    use muster_proto::limits::{APPEND_BYTES_MAX, APPENDS_OUT_MAX, UNCOMMITTED_BYTES_MAX};
    RaftConfig {
        id: id.0,
        election_tick: ELECTION_TICKS,
        heartbeat_tick: HEARTBEAT_TICKS,
        applied,
        max_size_per_msg: APPEND_BYTES_MAX as u64,
        max_inflight_msgs: APPENDS_OUT_MAX,
        check_quorum: true,
        pre_vote: true,
        // Appends are gathered here, one proposal a turn: the library would gather without a limit.
        batch_append: false,
        max_uncommitted_size: UNCOMMITTED_BYTES_MAX as u64,
        max_committed_size_per_ready: 4 * APPEND_BYTES_MAX as u64,
        ..RaftConfig::default()
    }
}

/// The library's unit of time.
pub const TICK: Span = Span::millis(100);
/// Ticks between heartbeats.
const HEARTBEAT_TICKS: usize = 2;
/// The least ticks without a leader before an election, and one less than twice the most: five lost heartbeats, and
/// several times the longest round trip between campuses. A new leader is there within three seconds (C2).
const ELECTION_TICKS: usize = 10;
/// Bytes of entries of one record; far below the journal's limit, with a snapshot beside them.
const RECORD_BYTES: usize = 1 << 20;
