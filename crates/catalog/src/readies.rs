//! What the library has ready: records first, then messages behind them, then what is committed is applied.
//!
//! Several of its portions may share one commit of the journal: it is told of each when that is durable, not before.

use muster_proto::catalog::Command;
use muster_proto::catalog::NodeId;
use muster_proto::catalog::raft::{Body, Entry, Message, Snapshot};
use muster_proto::limits::{BATCH_MAX, CHECK_ENTRIES, DIRECTORY_BYTES_MAX};
use muster_proto::machine::Gate;
use muster_proto::{Lsn, Role, Time};
use raft::Ready;
use raft::eraftpb::{Entry as RaftEntry, EntryType, Message as RaftMessage, MessageType};

use crate::asks::unsealed;
use crate::directory::{Directory, MEANING, Proposal};
use crate::event::{Event, Kept};
use crate::{Catalog, Halt, Output, map};

/// A portion that the library is to be told of when it is durable.
#[derive(Debug)]
pub(crate) struct Unsynced {
    number: u64,
    lsn: Lsn,
    /// Whether it holds entries or a snapshot.
    is_weighty: bool,
    /// The index of its snapshot, or 0.
    snapshot: u64,
}

impl Catalog {
    /// Takes everything that is ready.
    pub(crate) fn drain(&mut self, now: Time, out: &mut Vec<Output>) {
        self.stepped = 0;
        while !self.halted && self.raw.has_ready() {
            let mut ready = self.raw.ready();
            let leads = self.is_leader();
            self.keep(now, &mut ready, out);
            self.note_lead(now, leads);
            let messages = if leads {
                ready.take_messages()
            } else {
                ready.take_persisted_messages()
            };
            let reads = ready.take_read_states();
            let committed = ready.take_committed_entries();
            self.raw.advance_append_async(ready);
            self.synced(self.durable);
            self.send(now, leads, messages, out);
            self.confirmed(now, reads);
            for entry in committed {
                self.apply(now, entry, out);
                if self.halted {
                    return;
                }
            }
            // A snapshot that is not durable does not count yet.
            if !self.unsynced.iter().any(|portion| portion.snapshot > 0) {
                self.raw.advance_apply_to(self.applied.0);
            }
        }
        self.record_commit(out);
        self.compact(out);
    }

    /// Records that a change of membership is committed, without waiting for the next entry to do it.
    fn record_commit(&mut self, out: &mut Vec<Output>) {
        if std::mem::take(&mut self.wants_record) && !self.halted {
            let hard = self.raw.store().hard();
            self.lsn.0 += 1;
            out.push(Output::Record(Event::Kept(Kept {
                hard,
                ..Kept::default()
            })));
        }
    }

    /// Whether the whole log is durable. Only then may this replica stand for election or take votes: the library
    /// panics if a leader comes of one whose log is not.
    pub(crate) fn is_settled(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        log.unstable_entries().is_empty()
            && log.unstable_snapshot().is_none()
            && !self.unsynced.iter().any(|portion| portion.is_weighty)
    }

    /// Records are durable up to this one.
    pub(crate) fn synced(&mut self, lsn: Lsn) {
        self.durable = self.durable.max(lsn.min(self.lsn));
        let (mut number, mut snapshot) = (None, 0);
        while let Some(portion) = self.unsynced.front()
            && portion.lsn <= self.durable
        {
            number = Some(portion.number);
            snapshot = snapshot.max(portion.snapshot);
            self.unsynced.pop_front();
        }
        if let Some(number) = number {
            self.raw.on_persist_ready(number);
            self.stirred = true;
        }
        if snapshot > self.raw.raft.raft_log.applied {
            self.raw.advance_apply_to(snapshot);
        }
    }

    /// Puts what is new into the log, and into a record if it must be durable.
    fn keep(&mut self, now: Time, ready: &mut Ready, out: &mut Vec<Output>) {
        let snapshot = (!ready.snapshot().is_empty()).then(|| map::snapshot_out(ready.snapshot()));
        let entries = ready.take_entries();
        if let Some(snapshot) = &snapshot {
            self.install(now, snapshot, out);
            self.raw.mut_store().restore(snapshot.clone());
        }
        let index = snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        let is_weighty = snapshot.is_some() || !entries.is_empty();
        let log = self.raw.mut_store();
        log.append(entries.iter().cloned());
        if let Some(hard) = ready.hs() {
            log.set_hard(map::hard_out(hard));
        }
        // A commit index alone is learned again.
        if ready.must_sync() {
            let hard = log.hard();
            self.lsn.0 += 1;
            out.push(Output::Record(Event::Kept(Kept {
                snapshot,
                entries: entries.into_iter().map(map::entry_out).collect(),
                hard,
            })));
        }
        self.unsynced.push_back(Unsynced {
            number: ready.number(),
            lsn: self.lsn,
            is_weighty,
            snapshot: index,
        });
    }

    /// The state becomes that of a snapshot: atomically, for it was verified before.
    fn install(&mut self, now: Time, snapshot: &Snapshot, out: &mut Vec<Output>) {
        let thawed = self
            .thawed
            .take()
            .or_else(|| Directory::thaw(&snapshot.bytes).ok());
        self.directory = thawed.expect("a snapshot is verified before the library has it");
        self.membership = snapshot.membership.clone();
        self.applied = (snapshot.index, snapshot.term);
        self.checks.clear();
        self.heard = now;
        self.settle_unknown(snapshot.index, out);
    }

    fn note_lead(&mut self, now: Time, leads: bool) {
        let term = if leads { self.raw.raft.term } else { 0 };
        if term == self.led {
            return;
        }
        self.led = term;
        if leads {
            self.floor = self.lsn;
            self.leases.begin(now, &self.directory);
        } else {
            self.leases.clear();
            self.reshaping = None;
        }
    }

    fn send(&mut self, now: Time, leads: bool, messages: Vec<RaftMessage>, out: &mut Vec<Output>) {
        let lsn = if leads { self.floor } else { self.lsn };
        let gate = if lsn > self.durable {
            Gate::Durable(lsn)
        } else {
            Gate::Now
        };
        for m in messages {
            let node = NodeId(m.to);
            if !self.links.contains(&node) {
                // The library waits for what became of a snapshot; anything else it finds out by itself.
                if m.get_msg_type() == MessageType::MsgSnapshot {
                    self.sending.insert(node, now);
                }
                continue;
            }
            let messages = if m.get_msg_type() == MessageType::MsgSnapshot {
                let snapshot = map::snapshot_out(m.get_snapshot());
                self.send_snapshot(now, node, m.term, &snapshot)
            } else {
                map::message_out(m).into_iter().flat_map(cut).collect()
            };
            out.extend(messages.into_iter().map(|message| Output::Send {
                node,
                message,
                gate,
            }));
        }
    }

    fn apply(&mut self, now: Time, entry: RaftEntry, out: &mut Vec<Output>) {
        let place = (entry.index, entry.term);
        match entry.get_entry_type() {
            EntryType::EntryNormal if entry.data.is_empty() => self.settle(place, None, out),
            EntryType::EntryNormal => self.apply_proposal(now, place, &entry.data, out),
            EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => {
                self.settle(place, None, out);
                self.apply_membership(entry.index, &entry.context, out);
            }
        }
        if self.halted {
            return;
        }
        self.applied = place;
        let index = entry.index;
        if index.is_multiple_of(CHECK_ENTRIES) {
            let hash = self.directory.hash();
            self.checks.truncate(CHECKS_KEPT - 1);
            self.checks.push_front((index, hash));
            if self.is_leader() {
                self.own.push((None, Command::Check { index, hash }));
                self.stirred = true;
            }
        }
    }

    fn apply_proposal(
        &mut self,
        now: Time,
        place: (u64, u64),
        bytes: &[u8],
        out: &mut Vec<Output>,
    ) {
        let index = place.0;
        let proposal = unsealed(bytes).filter(|_| self.directory.meaning() <= MEANING);
        let Some(proposal) = proposal else {
            return self.halt(Halt::Newer { index }, out);
        };
        if let Some(why) = self.difference(&proposal) {
            return self.halt(why, out);
        }
        let reply = self.directory.apply(index, &proposal);
        if self.led > 0 {
            self.leases.note(now, &proposal.command, &self.directory);
        }
        self.settle(place, Some(reply), out);
    }

    /// Whether the leader had another state than this replica, after an entry that both have applied (C7).
    fn difference(&self, proposal: &Proposal) -> Option<Halt> {
        let Command::Check {
            index,
            hash: leader,
        } = proposal.command
        else {
            return None;
        };
        let (_, own) = *self.checks.iter().find(|(checked, _)| *checked == index)?;
        let is_theirs = proposal.by.role == Role::Catalog && proposal.op.is_none();
        (is_theirs && own != leader).then_some(Halt::Diverged { index, own, leader })
    }

    /// Lets a snapshot take the place of the log when that has become long.
    fn compact(&mut self, out: &mut Vec<Output>) {
        let (index, term) = self.applied;
        let log = self.raw.store();
        let since = index - log.snapshot().index;
        let is_long = since >= self.compact_entries || log.bytes() > COMPACT_BYTES && since > 0;
        let is_installing = self.unsynced.iter().any(|portion| portion.snapshot > 0);
        if self.halted || is_installing || !(is_long || self.wants_snapshot && since > 0) {
            return;
        }
        self.wants_snapshot = false;
        let snapshot = Snapshot {
            index,
            term,
            membership: self.membership.clone(),
            bytes: self.directory.freeze(),
        };
        let tail = if log.bytes() > COMPACT_BYTES {
            0
        } else {
            self.compact_entries / 4
        };
        self.raw.mut_store().compact(snapshot, tail);
        out.push(Output::Compact);
    }
}

/// An append of more entries than a frame may have becomes several, one behind the other.
fn cut(message: Message) -> Vec<Message> {
    let Body::Append {
        mut index,
        mut log_term,
        commit,
        entries,
    } = message.body
    else {
        return vec![message];
    };
    let mut messages = Vec::new();
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() || messages.is_empty() {
        let some: Vec<Entry> = entries.by_ref().take(BATCH_MAX).collect();
        let last = some.last().map(|entry| (entry.index, entry.term));
        let body = Body::Append {
            index,
            log_term,
            commit,
            entries: some,
        };
        messages.push(Message {
            from: message.from,
            to: message.to,
            term: message.term,
            body,
        });
        (index, log_term) = last.unwrap_or((index, log_term));
    }
    messages
}

/// Hashes that are kept until the leader's comes: at least those of all entries that can be under way.
const CHECKS_KEPT: usize = 64;
/// Bytes of entries after which a snapshot takes their place, however few they are.
const COMPACT_BYTES: usize = DIRECTORY_BYTES_MAX as usize;
