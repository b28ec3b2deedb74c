//! The facts of a master's journal.
//!
//! A record is `kind u8 | schema u8 | payload in postcard`. Kinds and schemas are numbers written by hand; a released
//! payload is frozen and followed by the next schema. Golden bytes of each are in the tests.

use muster_proto::machine::{BadRecord, Record};
use muster_proto::outcome::Outcome;
use muster_proto::record::{read, write};
use muster_proto::task::{TaskBody, Template};
use muster_proto::{Epoch, MasterId, Peer, TaskId, TemplateId};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Something that happened and is dear or impossible to learn again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The master started.
    Opened(Opened),
    /// A user's tasks were accepted.
    Submitted(Submitted),
    /// Tasks got their outcomes.
    Accounted(Vec<Outcome>),
    /// A user has the outcomes of these tasks.
    Delivered(Vec<TaskId>),
    /// A subordinate may hold leases from here on.
    Leased(Peer),
    /// It holds none any more.
    Cleared(Peer),
}

/// The master started on its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Drawn when the journal was new, the same ever since.
    pub master: MasterId,
    /// One more than at the start before.
    pub epoch: Epoch,
}

/// Tasks were accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// The submitting command.
    pub session: u64,
    /// Which of its submits.
    pub sequence: u64,
    /// The template of all the tasks.
    pub template: TemplateId,
    /// Its contents, if this is its first use.
    pub contents: Option<Arc<Template>>,
    /// The number of the first task; the others follow.
    pub first: TaskId,
    /// The tasks.
    pub tasks: Vec<TaskBody>,
}

impl Record for Event {
    fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Event::Opened(opened) => write(buffer, (1, SCHEMA), opened),
            Event::Submitted(submitted) => write(buffer, (2, SCHEMA), submitted),
            Event::Accounted(outcomes) => write(buffer, (3, SCHEMA), outcomes),
            Event::Delivered(tasks) => write(buffer, (4, SCHEMA), tasks),
            Event::Leased(peer) => write(buffer, (5, SCHEMA), peer),
            Event::Cleared(peer) => write(buffer, (6, SCHEMA), peer),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        let [kind, schema, payload @ ..] = bytes else {
            return Err(BadRecord::Malformed);
        };
        match (*kind, *schema) {
            (1, 1) => read(payload).map(Event::Opened),
            (2, 1) => read(payload).map(Event::Submitted),
            (3, 1) => read(payload).map(Event::Accounted),
            (4, 1) => read(payload).map(Event::Delivered),
            (5, 1) => read(payload).map(Event::Leased),
            (6, 1) => read(payload).map(Event::Cleared),
            (kind, schema) => Err(BadRecord::Newer { kind, schema }),
        }
    }
}

/// The schema of every kind in this release.
const SCHEMA: u8 = 1;
