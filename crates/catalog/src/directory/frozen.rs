//! The directory as bytes: what a snapshot carries, with its checksum before it (C5).

use std::collections::{BTreeMap, BTreeSet};

use muster_proto::catalog::{Item, Key, Revision};
use serde::{Deserialize, Serialize};

use super::Directory;
use super::keys::{encode, hash_of, weight_of};
use super::sessions::Session;

/// Why bytes are not a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSnapshot {
    /// They do not have the checksum that stands before them.
    #[error("a snapshot of the directory is damaged")]
    Damaged,
    /// They are whole, and in no order that this release makes.
    #[error("a malformed snapshot of the directory")]
    Malformed,
    /// A release after this one made them.
    #[error("a snapshot of the directory of schema {schema}: written by a newer release")]
    Newer {
        /// Its schema.
        schema: u8,
    },
}

impl Directory {
    /// The state as bytes: a checksum of 32 bytes, the schema, the items and sessions. Costs O(state).
    pub fn freeze(&self) -> Vec<u8> {
        let mut bytes = vec![0; CHECKSUM_BYTES];
        bytes.push(SCHEMA);
        let state = v1::State {
            meaning: self.meaning,
            revision: self.revision,
            items: &self.items,
            sessions: &self.sessions,
        };
        bytes.extend(encode(&state));
        let checksum = blake3::hash(&bytes[CHECKSUM_BYTES..]);
        bytes[..CHECKSUM_BYTES].copy_from_slice(checksum.as_bytes());
        bytes
    }

    /// The state that [`Directory::freeze`] wrote. The bytes may be a peer's.
    ///
    /// # Errors
    /// They are not what `freeze` writes.
    pub fn thaw(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let (checksum, body) = bytes
            .split_at_checked(CHECKSUM_BYTES)
            .ok_or(BadSnapshot::Damaged)?;
        if blake3::hash(body).as_bytes() != checksum {
            return Err(BadSnapshot::Damaged);
        }
        let (schema, payload) = body.split_first().ok_or(BadSnapshot::Malformed)?;
        if *schema != SCHEMA {
            return Err(BadSnapshot::Newer { schema: *schema });
        }
        let Ok((thawed, [])) = postcard::take_from_bytes::<v1::Thawed>(payload) else {
            return Err(BadSnapshot::Malformed);
        };
        let mut directory = Self {
            meaning: thawed.meaning,
            revision: thawed.revision,
            ..Self::default()
        };
        for (key, item) in thawed.items {
            let counted = [item.version, item.renewals, thawed.revision.0];
            if item.value.kind() != key.kind || counted.iter().any(|count| *count > COUNT_MAX) {
                return Err(BadSnapshot::Malformed);
            }
            directory.exchange(&key, Some(item));
        }
        for (number, session) in thawed.sessions {
            directory.remember(number, session);
        }
        Ok(directory)
    }

    /// Checks what follows from the rest of the state. Costs O(state).
    ///
    /// # Panics
    /// If something does not.
    pub fn check(&self) {
        let mut sum = 0_u64;
        let (mut bytes, mut counts) = (0, BTreeMap::new());
        for (key, item) in &self.items {
            let (hash, length) = weight_of(key, item);
            sum = sum.wrapping_add(hash);
            bytes += length;
            *counts.entry(key.kind).or_insert(0_usize) += 1;
            assert!(
                item.created <= item.changed,
                "{key:?} changed before it was created"
            );
            assert!(item.changed <= self.revision, "{key:?} is of the future");
        }
        let recent: BTreeSet<(u64, u64)> = self
            .sessions
            .iter()
            .map(|(number, s)| (s.used, *number))
            .collect();
        let owned = self.owned.values().flatten().copied();
        assert_eq!(
            owned.collect::<BTreeSet<_>>(),
            recent,
            "every session has its owner"
        );
        for session in &self.sessions {
            sum = sum.wrapping_add(hash_of(&session));
        }
        assert_eq!(self.sum, sum, "the hash follows from the state");
        assert_eq!(self.bytes, bytes, "the bytes follow from the items");
        assert_eq!(
            self.recent, recent,
            "the order of use follows from the sessions"
        );
        let counted = self.counts.iter().filter(|(_, count)| **count > 0);
        assert!(
            counted.eq(counts.iter()),
            "the counts follow from the items"
        );
        let gapless = self.changes.iter().rev().zip((0..=self.revision.0).rev());
        gapless.for_each(|(change, wanted)| {
            assert_eq!(change.revision.0, wanted, "changes have no gaps")
        });
    }
}

/// The form of the first schema; frozen once released.
mod v1 {
    use super::{BTreeMap, Deserialize, Item, Key, Revision, Serialize, Session};

    #[derive(Serialize)]
    pub(super) struct State<'a> {
        pub(super) meaning: u16,
        pub(super) revision: Revision,
        pub(super) items: &'a BTreeMap<Key, Item>,
        pub(super) sessions: &'a BTreeMap<u64, Session>,
    }

    #[derive(Deserialize)]
    pub(super) struct Thawed {
        pub(super) meaning: u16,
        pub(super) revision: Revision,
        pub(super) items: BTreeMap<Key, Item>,
        pub(super) sessions: BTreeMap<u64, Session>,
    }
}

const CHECKSUM_BYTES: usize = 32;
const SCHEMA: u8 = 1;
/// No count that is only ever raised by one comes near this.
const COUNT_MAX: u64 = 1 << 60;
