//! The facts of a replica's journal.
//!
//! Entries, hard state and snapshot of one turn are one record, so that they are durable together or not at all.

use muster_proto::catalog::raft::{Entry, Hard, Snapshot};
use muster_proto::catalog::{Member, NodeId};
use muster_proto::machine::{BadRecord, Record};
use muster_proto::record::{read, write};
use serde::{Deserialize, Serialize};

/// Something that happened and must not be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The storage came into being: its number, and who it is if it founds a catalog of its own.
    Born(NodeId, Option<Member>),
    /// The log and the hard state went on.
    Kept(Kept),
}

/// What one turn adds to the log; in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Takes the place of the log up to its index.
    pub snapshot: Option<Snapshot>,
    /// Take the place of the log from the first one's index on.
    pub entries: Vec<Entry>,
    /// Takes the place of the one before.
    pub hard: Hard,
}

impl Record for Event {
    fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Event::Born(node, member) => write(buffer, (1, SCHEMA), &(node, member)),
            Event::Kept(kept) => write(buffer, (2, SCHEMA), kept),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        let [kind, schema, payload @ ..] = bytes else {
            return Err(BadRecord::Malformed);
        };
        match (*kind, *schema) {
            (1, 1) => read(payload).map(|(node, member)| Event::Born(node, member)),
            (2, 1) => read(payload).map(Event::Kept),
            (kind, schema) => Err(BadRecord::Newer { kind, schema }),
        }
    }
}

/// The schema of every kind in this release.
const SCHEMA: u8 = 1;
