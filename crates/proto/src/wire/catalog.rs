//! Frames between a replica of the catalog and its clients, and among replicas; their words are those of
//! [`catalog`](crate::catalog).

use serde::{Deserialize, Serialize};

use crate::catalog::raft::Message;
use crate::catalog::{Answer, Command, Filter, Freshness, NodeId, Op, Query, Reshape, Revision};
use crate::time::Span;

/// A client wants something of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inquire {
    /// Numbered by the client; not used again on this link while it is open.
    pub ask: u64,
    /// How long the client waits for the answer; more than the catalog grants is cut.
    pub wait: Span,
    /// What it is about.
    pub what: Inquiry,
}

/// What a client wants of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inquiry {
    /// Change the directory; with the number of the operation unless it opens a session.
    Command(Option<Op>, Command),
    /// Look something up.
    Query(Query, Freshness),
    /// Say what changes after a revision.
    Watch(Revision, Filter),
    /// Change who the replicas are.
    Reshape(Reshape),
}

/// A client no longer waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desist {
    /// For which answer.
    pub ask: u64,
}

/// The catalog answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Which question.
    pub ask: u64,
    /// The answer.
    pub answer: Answer,
}

/// The first frame between two replicas, each way: a link with it carries [`Raft`] and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// The sender's storage.
    pub from: NodeId,
    /// The storage that it means; one that was wiped is another, at the same address.
    pub to: NodeId,
}

/// A replica says something to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raft {
    /// What.
    pub message: Message,
}
