//! The log in memory, as the library reads it: the fold of the journal's records.

use std::collections::VecDeque;

use muster_proto::catalog::NodeId;
use muster_proto::catalog::raft::{Entry, Hard, Snapshot};
use raft::eraftpb::{Entry as RaftEntry, Snapshot as RaftSnapshot};
use raft::storage::GetEntriesContext;
use raft::{Error, RaftState, Result, Storage, StorageError};

use crate::event::Kept;
use crate::map;
use crate::members::nodes_of;

/// A snapshot, the entries after it and a tail before it, and the hard state.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// A state of the past; index 0 if there is none.
    snapshot: Snapshot,
    /// The entry before the first that is kept, and its term; not after the snapshot.
    base: (u64, u64),
    /// Without gaps, after the base.
    entries: VecDeque<RaftEntry>,
    /// Bytes of their data.
    bytes: usize,
    hard: Hard,
}

impl Log {
    /// Adds what a record holds.
    ///
    /// # Errors
    /// The record does not fit the ones before it: it is damaged, though whole.
    pub(crate) fn keep(&mut self, kept: Kept) -> std::result::Result<(), Misfit> {
        if let Some(snapshot) = kept.snapshot {
            self.restore(snapshot);
        }
        if let Some(first) = kept.entries.first() {
            let gapless = kept
                .entries
                .iter()
                .zip(first.index..)
                .all(|(entry, index)| entry.index == index);
            if first.index <= self.base.0 || first.index > self.last() + 1 || !gapless {
                return Err(Misfit);
            }
            self.append(kept.entries.into_iter().map(map::entry_in));
        }
        if kept.hard.commit > self.last() || kept.hard.term < self.hard.term {
            return Err(Misfit);
        }
        self.hard = kept.hard;
        Ok(())
    }

    pub(crate) fn set_hard(&mut self, hard: Hard) {
        self.hard = hard;
    }

    pub(crate) fn hard(&self) -> Hard {
        self.hard
    }

    pub(crate) fn restore(&mut self, snapshot: Snapshot) {
        self.hard.commit = self.hard.commit.max(snapshot.index);
        self.base = (snapshot.index, snapshot.term);
        self.snapshot = snapshot;
        self.entries.clear();
        self.bytes = 0;
    }

    /// Puts entries in the place of those from the first one's index on.
    pub(crate) fn append(&mut self, entries: impl IntoIterator<Item = RaftEntry>) {
        for entry in entries {
            let kept = (entry.index - self.base.0 - 1) as usize;
            self.entries
                .drain(kept..)
                .for_each(|old| self.bytes -= old.data.len());
            self.bytes += entry.data.len();
            self.entries.push_back(entry);
        }
    }

    /// Takes a snapshot of its own past, and keeps no more than `tail` entries before it: for followers that are only
    /// a little behind.
    pub(crate) fn compact(&mut self, snapshot: Snapshot, tail: u64) {
        let base = snapshot.index.saturating_sub(tail);
        if base > self.base.0 {
            let gone = (base - self.base.0) as usize;
            let term = self.entries[gone - 1].term;
            self.entries
                .drain(..gone)
                .for_each(|old| self.bytes -= old.data.len());
            self.base = (base, term);
        }
        self.snapshot = snapshot;
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Bytes of the data of all entries that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entries after the snapshot.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> {
        let before = (self.snapshot.index - self.base.0) as usize;
        self.entries
            .iter()
            .skip(before)
            .cloned()
            .map(map::entry_out)
    }

    pub(crate) fn last(&self) -> u64 {
        self.base.0 + self.entries.len() as u64
    }
}

/// A record of the journal does not continue the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of the catalog's journal does not continue the ones before it")]
pub struct Misfit;

impl Storage for Log {
    fn initial_state(&self) -> Result<RaftState> {
        let conf_state = map::membership_in(&self.snapshot.membership);
        Ok(RaftState::new(map::hard_in(self.hard), conf_state))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> Result<Vec<RaftEntry>> {
        if low <= self.base.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let range = (low - self.base.0 - 1) as usize..(high - self.base.0 - 1) as usize;
        let max = max_size.into().unwrap_or(u64::MAX);
        let (mut bytes, mut taken) = (0, Vec::new());
        for entry in self.entries.range(range) {
            bytes += (entry.data.len() + entry.context.len()) as u64 + ENTRY_BYTES;
            if bytes > max && !taken.is_empty() {
                break;
            }
            taken.push(entry.clone());
        }
        Ok(taken)
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == self.base.0 {
            return Ok(self.base.1);
        }
        let Some(place) = index.checked_sub(self.base.0 + 1) else {
            return Err(Error::Store(StorageError::Compacted));
        };
        let entry = self.entries.get(place as usize);
        entry
            .map(|entry| entry.term)
            .ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.base.0 + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, wanted: u64, to: u64) -> Result<RaftSnapshot> {
        // A newcomer refuses one that it is not in; the next one is made when its entry is applied.
        let is_for = nodes_of(&self.snapshot.membership).contains(&NodeId(to));
        if self.snapshot.index == 0 || self.snapshot.index < wanted || !is_for {
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(map::snapshot_in(&self.snapshot))
    }
}

/// What an entry counts besides its bytes.
const ENTRY_BYTES: u64 = 16;
