//! Sessions: the last command of each client and what became of it, so that a repeated one is applied once (C10).
//!
//! A session is opened through the log, so its number is nobody else's; one that was forgotten for want of room is
//! refused from then on, for whether its last command was applied cannot be told.

use std::cmp::Ordering;

use muster_proto::Peer;
use muster_proto::catalog::{Command, Op, Refusal, Reply};
use muster_proto::limits::{CATALOG_SESSIONS_MAX, SESSIONS_PER_CLIENT_MAX};
use serde::{Deserialize, Serialize};

use super::Directory;
use super::keys::hash_of;

/// A client whose last command is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) by: Peer,
    /// The entry of its last command.
    pub(super) used: u64,
    pub(super) seq: u64,
    pub(super) reply: Reply,
}

impl Directory {
    pub(super) fn open(&mut self, index: u64, by: &Peer) -> Reply {
        let own = self.owned.get(by);
        let is_greedy = own.is_some_and(|own| own.len() >= SESSIONS_PER_CLIENT_MAX);
        let oldest = match own {
            // Whoever opens many pays with their own.
            Some(own) if is_greedy => own.first(),
            Some(_) | None if self.sessions.len() >= CATALOG_SESSIONS_MAX => self.recent.first(),
            Some(_) | None => None,
        };
        if let Some((_, oldest)) = oldest.copied() {
            self.forget(oldest);
        }
        let reply = Reply::Opened { session: index };
        let session = Session {
            by: by.clone(),
            used: index,
            seq: 0,
            reply: reply.clone(),
        };
        self.remember(index, session);
        reply
    }

    /// Runs a command unless the session's last one was the same, and remembers the reply (C10).
    pub(super) fn once(&mut self, index: u64, op: Op, by: &Peer, command: &Command) -> Reply {
        let Some(session) = self.sessions.get(&op.session) else {
            return Reply::Refused(Refusal::Forgotten);
        };
        if session.by != *by {
            return Reply::Refused(Refusal::Forgotten);
        }
        let reply = match op.seq.cmp(&session.seq) {
            Ordering::Less => return Reply::Refused(Refusal::Late),
            Ordering::Equal => session.reply.clone(),
            Ordering::Greater => self.run(by, command),
        };
        self.forget(op.session);
        let session = Session {
            by: by.clone(),
            used: index,
            seq: op.seq,
            reply: reply.clone(),
        };
        self.remember(op.session, session);
        reply
    }

    pub(super) fn remember(&mut self, number: u64, session: Session) {
        self.sum = self.sum.wrapping_add(hash_of(&(number, &session)));
        self.recent.insert((session.used, number));
        let own = self.owned.entry(session.by.clone()).or_default();
        own.insert((session.used, number));
        self.sessions.insert(number, session);
    }

    fn forget(&mut self, number: u64) {
        let Some(session) = self.sessions.remove(&number) else {
            return;
        };
        self.recent.remove(&(session.used, number));
        if let Some(own) = self.owned.get_mut(&session.by) {
            own.remove(&(session.used, number));
            if own.is_empty() {
                self.owned.remove(&session.by);
            }
        }
        self.sum = self.sum.wrapping_sub(hash_of(&(number, session)));
    }
}
