//! The facts of a foreman's spool.
//!
//! A record is `kind u8 | schema u8 | payload in postcard`, as in a master's journal.

use std::sync::Arc;

use muster_proto::machine::{BadRecord, Record};
use muster_proto::outcome::Ran;
use muster_proto::record::{read, write};
use muster_proto::{Attempt, MasterId, Peer};
use serde::{Deserialize, Serialize};

/// Something that happened and cannot be learned again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This superior brings the tasks of this master.
    Met(MasterId, Peer),
    /// Results that will be acknowledged below.
    Spooled(Vec<Spooled>),
    /// Results that the superior has made durable, or does not want.
    Released(Vec<Attempt>),
    /// A subordinate may hold leases from here on.
    Leased(Peer),
    /// It holds none any more.
    Cleared(Peer),
}

/// A result in the spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spooled {
    /// Of which attempt.
    pub attempt: Attempt,
    /// The result; its files are in the store.
    pub ran: Arc<Ran>,
}

impl Record for Event {
    fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Event::Met(master, superior) => write(buffer, (1, SCHEMA), &(master, superior)),
            Event::Spooled(results) => write(buffer, (2, SCHEMA), results),
            Event::Released(attempts) => write(buffer, (3, SCHEMA), attempts),
            Event::Leased(peer) => write(buffer, (4, SCHEMA), peer),
            Event::Cleared(peer) => write(buffer, (5, SCHEMA), peer),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        let [kind, schema, payload @ ..] = bytes else {
            return Err(BadRecord::Malformed);
        };
        match (*kind, *schema) {
            (1, 1) => read(payload).map(|(master, superior)| Event::Met(master, superior)),
            (2, 1) => read(payload).map(Event::Spooled),
            (3, 1) => read(payload).map(Event::Released),
            (4, 1) => read(payload).map(Event::Leased),
            (5, 1) => read(payload).map(Event::Cleared),
            (kind, schema) => Err(BadRecord::Newer { kind, schema }),
        }
    }
}

/// The schema of every kind in this release.
const SCHEMA: u8 = 1;
