//! The directory: what the log of commands folds to, the same on every replica.
//!
//! It knows no clock and no replica: leases run out by a command that the leader proposes, and a command is applied at
//! its place in the log. Every command has a reply, whatever its bytes; whatever grows has a limit. The state hashes
//! to a number that each change updates, so that replicas can compare (C7).

mod frozen;
mod keys;
mod sessions;
mod views;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use muster_proto::catalog::{
    Change, Command, Expect, Grant, Item, Key, Kind, Op, Refusal, Reply, Revision, Value,
};
use muster_proto::limits::{CHANGES_KEPT_MAX, DIRECTORY_BYTES_MAX, ITEMS_PER_KIND_MAX};
use muster_proto::{Peer, Role, Span};
use serde::{Deserialize, Serialize};

pub use frozen::BadSnapshot;
pub(crate) use keys::{member_key, token_key};

use keys::{hash_of, weight_of};
use sessions::Session;

/// The newest meaning of commands that this release knows; see [`Command::Fence`].
pub const MEANING: u16 = 1;

/// A command as the log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Whose command it is, by its certificate.
    pub by: Peer,
    /// Which of theirs; nothing for [`Command::Open`] and for what the catalog itself proposes.
    pub op: Option<Op>,
    /// What is to be done.
    pub command: Command,
}

/// The state machine that is replicated.
#[derive(Clone, Debug)]
pub struct Directory {
    meaning: u16,
    revision: Revision,
    items: BTreeMap<Key, Item>,
    sessions: BTreeMap<u64, Session>,
    /// Sessions by their last use, to forget the least recent; follows from `sessions`.
    recent: BTreeSet<(u64, u64)>,
    /// The same of each client.
    owned: BTreeMap<Peer, BTreeSet<(u64, u64)>>,
    /// Items of each kind; follows from `items`.
    counts: BTreeMap<Kind, usize>,
    /// Bytes of all items, as they are frozen; follows from `items`.
    bytes: u64,
    /// The sum of the hashes of all items and sessions.
    sum: u64,
    /// The last changes, for watchers. Not part of the state: a restored snapshot begins without.
    changes: VecDeque<Change>,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            meaning: MEANING_FIRST,
            revision: Revision(0),
            items: BTreeMap::new(),
            sessions: BTreeMap::new(),
            recent: BTreeSet::new(),
            owned: BTreeMap::new(),
            counts: BTreeMap::new(),
            bytes: 0,
            sum: 0,
            changes: VecDeque::new(),
        }
    }
}

impl Directory {
    /// Applies the command of the entry at `index` and says what became of it. Costs O(log items).
    pub fn apply(&mut self, index: u64, proposal: &Proposal) -> Reply {
        let by = &proposal.by;
        match (proposal.op, &proposal.command) {
            (_, Command::Open) => self.open(index, by),
            (Some(op), command) => self.once(index, op, by, command),
            // Only the catalog itself may do without, for its commands can be applied twice.
            (None, command) if by.role == Role::Catalog => self.run(by, command),
            (None, _) => Reply::Refused(Refusal::NotAllowed),
        }
    }

    /// The last change.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What commands mean; beyond [`MEANING`] this release cannot go on.
    pub fn meaning(&self) -> u16 {
        self.meaning
    }

    /// A hash of the whole state. Costs O(1).
    pub fn hash(&self) -> u64 {
        let rest = [self.sum, self.revision.0, u64::from(self.meaning)];
        hash_of(&rest)
    }

    /// What stands under a key.
    pub fn get(&self, key: &Key) -> Option<&Item> {
        self.items.get(key)
    }

    /// What is leased: its key, how often it was renewed, and for how long.
    pub fn leases(&self) -> impl Iterator<Item = (&Key, u64, Span)> {
        let leased = |(key, item): (_, &Item)| item.lease.map(|lease| (key, item.renewals, lease));
        self.items.iter().filter_map(leased)
    }

    fn run(&mut self, by: &Peer, command: &Command) -> Reply {
        if !command.is_within() {
            return Reply::Refused(Refusal::Malformed);
        }
        let done = match command {
            Command::Register { key, value, lease } => self.register(by, key, value, *lease),
            Command::Renew { key, value } => self.renew(by, key, value.as_ref()),
            Command::Remove { key } => self.remove(by, key),
            Command::Invite { hash, grant, lease } => self.invite(by, hash, grant, *lease),
            Command::Redeem { hash } => return self.redeem(hash),
            Command::Put { key, value, expect } => self.set(by, key, value, *expect),
            Command::Delete { key, expect } => self.delete(by, key, *expect),
            Command::Fence { meaning } => self.fence(by, *meaning),
            Command::Expire { key, renewals } => self.expire(by, key, *renewals),
            Command::Open | Command::Check { .. } => Ok(0),
        };
        match done {
            Ok(version) => Reply::Done {
                revision: self.revision,
                version,
            },
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    fn register(&mut self, by: &Peer, key: &Key, value: &Value, lease: Span) -> Done {
        let is_role = match key.kind {
            Kind::Project => matches!(by.role, Role::Master | Role::User),
            Kind::Site | Kind::Foreman => by.role == Role::Foreman,
            Kind::Token | Kind::Revocation | Kind::Weight | Kind::Setting | Kind::Member => false,
        };
        allow(is_role)?;
        let Some(old) = self.items.get(key) else {
            let item = self.fresh(by, value.clone(), Some(lease));
            return self.room(key, &item).map(|()| self.put(key.clone(), item));
        };
        let item = self.renewed(by, key, old, Some(value), Some(lease))?;
        Ok(self.replace(key, item))
    }

    fn renew(&mut self, by: &Peer, key: &Key, value: Option<&Value>) -> Done {
        let old = self.items.get(key).ok_or(Refusal::Absent)?;
        let item = self.renewed(by, key, old, value, old.lease)?;
        Ok(self.replace(key, item))
    }

    /// What an item is after its owner has renewed it.
    fn renewed(
        &self,
        by: &Peer,
        key: &Key,
        old: &Item,
        value: Option<&Value>,
        lease: Option<Span>,
    ) -> Result<Item, Refusal> {
        let leased = matches!(key.kind, Kind::Project | Kind::Site | Kind::Foreman);
        allow(leased)?;
        // A site is what its foremen say it is; any other name has one owner.
        let shared =
            key.kind == Kind::Site && old.owner.site == by.site && by.role == Role::Foreman;
        if old.owner != *by && !shared {
            return Err(Refusal::Owned);
        }
        if let (Value::Project(old), Some(Value::Project(new))) = (&old.value, value)
            && new.epoch < old.epoch
        {
            return Err(Refusal::Fenced);
        }
        let mut item = old.clone();
        item.lease = lease;
        item.renewals += 1;
        if let Some(value) = value.filter(|value| **value != old.value) {
            item.value = value.clone();
            item.version += 1;
            item.changed = Revision(self.revision.0 + 1);
        }
        self.room(key, &item).map(|()| item)
    }

    fn remove(&mut self, by: &Peer, key: &Key) -> Done {
        allow(key.kind != Kind::Member)?;
        let item = self.items.get(key).ok_or(Refusal::Absent)?;
        if item.owner != *by && by.role != Role::User {
            return Err(Refusal::Owned);
        }
        self.take(key);
        Ok(0)
    }

    fn invite(&mut self, by: &Peer, hash: &[u8; 32], grant: &Grant, lease: Span) -> Done {
        allow(by.role == Role::User)?;
        let key = token_key(hash);
        if self.items.contains_key(&key) {
            return Err(Refusal::Owned);
        }
        let item = self.fresh(by, Value::Token(grant.clone()), Some(lease));
        self.room(&key, &item).map(|()| self.put(key, item))
    }

    fn redeem(&mut self, hash: &[u8; 32]) -> Reply {
        let key = token_key(hash);
        let value = self.items.get(&key).map(|item| item.value.clone());
        let Some(Value::Token(grant)) = value else {
            return Reply::Refused(Refusal::Absent);
        };
        self.take(&key);
        Reply::Granted { grant }
    }

    fn set(&mut self, by: &Peer, key: &Key, value: &Value, expect: Expect) -> Done {
        self.may_set(by, key, expect)?;
        let Some(old) = self.items.get(key) else {
            let item = self.fresh(by, value.clone(), None);
            return self.room(key, &item).map(|()| self.put(key.clone(), item));
        };
        let item = Item {
            value: value.clone(),
            changed: Revision(self.revision.0 + 1),
            version: old.version + 1,
            ..old.clone()
        };
        self.room(key, &item).map(|()| self.put(key.clone(), item))
    }

    fn delete(&mut self, by: &Peer, key: &Key, expect: Expect) -> Done {
        self.may_set(by, key, expect)?;
        if !self.items.contains_key(key) {
            return Err(Refusal::Absent);
        }
        self.take(key);
        Ok(0)
    }

    fn may_set(&self, by: &Peer, key: &Key, expect: Expect) -> Result<(), Refusal> {
        allow(by.role == Role::User)?;
        allow(matches!(
            key.kind,
            Kind::Setting | Kind::Weight | Kind::Revocation
        ))?;
        let version = self.items.get(key).map_or(0, |item| item.version);
        let is_met = match expect {
            Expect::Any => true,
            Expect::Absent => version == 0,
            Expect::Version(wanted) => version == wanted,
        };
        is_met.then_some(()).ok_or(Refusal::Mismatch { version })
    }

    fn fence(&mut self, by: &Peer, meaning: u16) -> Done {
        allow(by.role == Role::User)?;
        if meaning != self.meaning.saturating_add(1) {
            return Err(Refusal::Fenced);
        }
        self.meaning = meaning;
        Ok(0)
    }

    fn expire(&mut self, by: &Peer, key: &Key, renewals: u64) -> Done {
        allow(by.role == Role::Catalog)?;
        let item = self.items.get(key).ok_or(Refusal::Absent)?;
        if item.lease.is_none() || item.renewals != renewals {
            return Err(Refusal::Late);
        }
        self.take(key);
        Ok(0)
    }

    fn fresh(&self, by: &Peer, value: Value, lease: Option<Span>) -> Item {
        let next = Revision(self.revision.0 + 1);
        Item {
            value,
            owner: by.clone(),
            lease,
            renewals: 0,
            created: next,
            changed: next,
            version: 1,
        }
    }

    /// Whether there is room for `item` in the place of what stands under `key`.
    fn room(&self, key: &Key, item: &Item) -> Result<(), Refusal> {
        let old = self.items.get(key).map(|old| weight_of(key, old).1);
        let count = self.counts.get(&key.kind).copied().unwrap_or(0);
        let bytes = self.bytes - old.unwrap_or(0) + weight_of(key, item).1;
        let is_full = old.is_none() && count >= ITEMS_PER_KIND_MAX || bytes > DIRECTORY_BYTES_MAX;
        (!is_full).then_some(()).ok_or(Refusal::Full)
    }

    /// Sets a renewed item; it is a change only if its value is another.
    fn replace(&mut self, key: &Key, item: Item) -> u64 {
        if item.changed > self.revision {
            return self.put(key.clone(), item);
        }
        let version = item.version;
        self.exchange(key, Some(item));
        version
    }

    fn put(&mut self, key: Key, item: Item) -> u64 {
        let version = item.version;
        self.exchange(&key, Some(item.clone()));
        self.changed(key, Some(item));
        version
    }

    fn take(&mut self, key: &Key) {
        self.exchange(key, None);
        self.changed(key.clone(), None);
    }

    /// Puts `item` in the place of what stands under `key`, and keeps the sums.
    fn exchange(&mut self, key: &Key, item: Option<Item>) {
        let count = self.counts.entry(key.kind).or_insert(0);
        if let Some(old) = self.items.remove(key) {
            let (hash, bytes) = weight_of(key, &old);
            self.sum = self.sum.wrapping_sub(hash);
            self.bytes -= bytes;
            *count -= 1;
        }
        if let Some(item) = item {
            let (hash, bytes) = weight_of(key, &item);
            self.sum = self.sum.wrapping_add(hash);
            self.bytes += bytes;
            *count += 1;
            self.items.insert(key.clone(), item);
        }
    }

    fn changed(&mut self, key: Key, item: Option<Item>) {
        self.revision.0 += 1;
        if self.changes.len() >= CHANGES_KEPT_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(Change {
            revision: self.revision,
            key,
            item,
        });
    }
}

/// The version of the item after a command, or why there was none.
type Done = Result<u64, Refusal>;

fn allow(is_allowed: bool) -> Result<(), Refusal> {
    is_allowed.then_some(()).ok_or(Refusal::NotAllowed)
}

/// The meaning that a new directory begins with.
const MEANING_FIRST: u16 = 1;
