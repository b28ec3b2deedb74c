//! Which tasks have their inputs brought: all of them, until the disk turns out to be full.
//!
//! Inputs that wait for each other's room would wait for ever: each task has some, none has all, and nothing ends. So
//! when the disk is full one task keeps what has come for it, the others give theirs up, and they are admitted again
//! as far as there is room, in order.

use std::collections::BTreeSet;

/// The tasks that wait for room, and how much there is known to be; `K` is a task and its place in the order.
#[derive(Debug)]
pub struct Admission<K> {
    /// Bytes of files that something needs, beyond which nothing is admitted but to an empty disk.
    bytes_max: u64,
    parked: BTreeSet<K>,
}

impl<K> Default for Admission<K> {
    fn default() -> Self {
        Self {
            bytes_max: u64::MAX,
            parked: BTreeSet::new(),
        }
    }
}

impl<K: Copy + Ord> Admission<K> {
    /// Whether the disk has been full, and contents are brought one after the other.
    pub fn is_narrow(&self) -> bool {
        self.bytes_max < u64::MAX
    }

    /// The disk is full: more than the `needed` bytes of files that something still needs are not known to fit.
    pub fn narrow(&mut self, needed: u64) {
        self.bytes_max = needed;
    }

    /// Contents of so many bytes were kept, of `needed` that are: there is more room than was thought.
    pub fn widen(&mut self, needed: u64, bytes: u64) {
        if self.is_narrow() {
            self.bytes_max = self.bytes_max.max(needed).saturating_add(bytes);
        }
    }

    /// Has a task wait for room.
    pub fn park(&mut self, task: K) {
        self.parked.insert(task);
    }

    /// A task is admitted, or has ended. Says whether it waited.
    pub fn forget(&mut self, task: K) -> bool {
        self.parked.remove(&task)
    }

    /// The task that is admitted next.
    pub fn first(&self) -> Option<K> {
        self.parked.first().copied()
    }

    /// Whether a task waits for room.
    pub fn has(&self, task: K) -> bool {
        self.parked.contains(&task)
    }

    /// Whether `lacking` bytes are known to fit beside the `needed` ones.
    pub fn has_room(&self, needed: u64, lacking: u64) -> bool {
        needed == 0 || needed.saturating_add(lacking) <= self.bytes_max
    }
}
