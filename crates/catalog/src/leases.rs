//! Leases: the leader counts their time from when it learned of the last renewal, and proposes their end.
//!
//! No clock decides (C6): what ends a lease is a command that names the renewals it has seen, and one more renewal
//! before it in the log makes it void. A new leader counts from its beginning, so a lease can only last longer.

use std::collections::{BTreeMap, BTreeSet};

use muster_proto::catalog::{Command, Key};
use muster_proto::{Span, Time};

use crate::directory::{Directory, token_key};

/// When leases run out, as far as a leader knows; empty on all others.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    due: BTreeSet<(Time, Key)>,
    of: BTreeMap<Key, (Time, u64)>,
}

impl Leases {
    /// Begins to count: this replica leads.
    pub(crate) fn begin(&mut self, now: Time, directory: &Directory) {
        self.clear();
        for (key, renewals, lease) in directory.leases() {
            self.set(key, now + lease, renewals);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.due.clear();
        self.of.clear();
    }

    /// Looks at what a command has changed.
    pub(crate) fn note(&mut self, now: Time, command: &Command, directory: &Directory) {
        let key = match command {
            Command::Register { key, .. }
            | Command::Renew { key, .. }
            | Command::Remove { key }
            | Command::Expire { key, .. } => key.clone(),
            Command::Invite { hash, .. } | Command::Redeem { hash } => token_key(hash),
            Command::Open
            | Command::Put { .. }
            | Command::Delete { .. }
            | Command::Fence { .. }
            | Command::Check { .. } => return,
        };
        match directory
            .get(&key)
            .and_then(|item| Some((item.renewals, item.lease?)))
        {
            // A command that was refused is no renewal.
            Some((renewals, _))
                if self
                    .of
                    .get(&key)
                    .is_some_and(|(_, known)| *known == renewals) => {}
            Some((renewals, lease)) => self.set(&key, now + lease, renewals),
            None => self.remove(&key),
        }
    }

    /// Proposals for what has run out; proposed again after a while, for a proposal can be lost.
    pub(crate) fn run_out(&mut self, now: Time) -> Vec<Command> {
        let mut commands = Vec::new();
        while commands.len() < EXPIRED_PER_TURN_MAX
            && let Some((at, key)) = self.due.first().cloned()
            && at <= now
        {
            let renewals = self.of.get(&key).map_or(0, |(_, renewals)| *renewals);
            self.set(&key, now + EXPIRE_RETRY, renewals);
            commands.push(Command::Expire { key, renewals });
        }
        commands
    }

    fn set(&mut self, key: &Key, at: Time, renewals: u64) {
        self.remove(key);
        self.due.insert((at, key.clone()));
        self.of.insert(key.clone(), (at, renewals));
    }

    fn remove(&mut self, key: &Key) {
        if let Some((at, _)) = self.of.remove(key) {
            self.due.remove(&(at, key.clone()));
        }
    }
}

/// Ends of leases proposed in one turn.
const EXPIRED_PER_TURN_MAX: usize = 256;
/// When the end of a lease is proposed again.
const EXPIRE_RETRY: Span = Span::secs(5);
