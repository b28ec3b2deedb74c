//! What the replicas of the catalog say to each other: the messages of Raft, field by field.
//!
//! The library that decides has messages of its own, in an encoding whose decoder is known to crash on hostile bytes.
//! No byte of a peer reaches it: peers send these words, and only the fields that their kind needs exist.

use serde::{Deserialize, Serialize};

use super::NodeId;

/// A message from one replica to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The sender; must be the node whose certificate the link has.
    pub from: NodeId,
    /// The receiver; a message for another storage is dropped.
    pub to: NodeId,
    /// The sender's term; 0 only for [`Body::Read`].
    pub term: u64,
    /// What is said.
    pub body: Body,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// The leader's entries after `index`.
    Append {
        /// The entry before the first.
        index: u64,
        /// Its term.
        log_term: u64,
        /// What the leader knows to be committed.
        commit: u64,
        /// Without gaps, in order.
        entries: Vec<Entry>,
    },
    /// The log matches the leader's up to `index`, durably.
    Appended {
        /// The last entry that matches.
        index: u64,
        /// What the sender knows to be committed.
        commit: u64,
    },
    /// The entry before the first is not there, or of another term.
    Mismatched {
        /// Which entry was asked for.
        index: u64,
        /// Where it may match.
        hint: u64,
        /// The term there.
        hint_term: u64,
        /// What the sender knows to be committed.
        commit: u64,
    },
    /// The leader is there.
    Heartbeat {
        /// What is committed of what the receiver has.
        commit: u64,
        /// The read that it confirms, or nothing.
        context: Vec<u8>,
    },
    /// The follower is there.
    Alive {
        /// What the sender knows to be committed.
        commit: u64,
        /// As the heartbeat had it.
        context: Vec<u8>,
    },
    /// May I lead?
    Ballot {
        /// Whether it counts.
        round: Round,
        /// The sender's last entry.
        index: u64,
        /// Its term.
        log_term: u64,
        /// What the sender knows to be committed.
        commit: u64,
        /// Its term.
        commit_term: u64,
    },
    /// The answer.
    Vote {
        /// Of which round.
        round: Round,
        /// What it is.
        verdict: Verdict,
    },
    /// A part of a snapshot.
    Part(Part),
    /// Up to where must be applied before a read may be answered?
    Read {
        /// Names the read.
        context: Vec<u8>,
    },
    /// Up to here.
    ReadAt {
        /// The position in the log.
        index: u64,
        /// Names the read.
        context: Vec<u8>,
    },
}

/// Which question a ballot asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Round {
    /// Would you? It changes nobody's term.
    Pre,
    /// Do you?
    Real,
}

/// What a vote says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Yes.
    Granted,
    /// No.
    Denied {
        /// What the voter knows to be committed.
        commit: u64,
        /// Its term.
        commit_term: u64,
    },
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its position, counted from 1.
    pub index: u64,
    /// The term of the leader that made it.
    pub term: u64,
    /// What its bytes are.
    pub sort: Sort,
    /// A proposal, a change of membership, or nothing.
    pub data: Vec<u8>,
}

/// What the bytes of an entry are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sort {
    /// A proposal; empty where a leader begins.
    Normal,
    /// A change of membership.
    Membership,
}

/// Who counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Who votes.
    pub voters: Vec<NodeId>,
    /// Who voted before the change under way.
    pub outgoing: Vec<NodeId>,
    /// Who follows without a vote.
    pub learners: Vec<NodeId>,
    /// Who will when the change is over.
    pub learners_next: Vec<NodeId>,
}

/// The state after an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last entry in it.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The membership after it.
    pub membership: Membership,
    /// The directory, with its checksum.
    pub bytes: Vec<u8>,
}

/// A piece of a snapshot, small enough for a frame; pieces come in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The last entry in the snapshot.
    pub index: u64,
    /// Its term.
    pub log_term: u64,
    /// The membership after it.
    pub membership: Membership,
    /// Bytes of all pieces together.
    pub total: u64,
    /// Where this piece begins.
    pub offset: u64,
    /// The piece.
    pub bytes: Vec<u8>,
}

/// What a replica must not forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hard {
    /// The term it is in.
    pub term: u64,
    /// Whom it voted for in that term; `NodeId(0)` for nobody.
    pub vote: NodeId,
    /// What it knows to be committed.
    pub commit: u64,
}
