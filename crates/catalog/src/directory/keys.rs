//! Keys that are made of numbers, and what items weigh.

use std::collections::BTreeSet;

use muster_proto::Peer;
use muster_proto::catalog::{Item, Key, Kind, Member, NodeId, Value};
use serde::Serialize;

use super::Directory;

impl Directory {
    /// Makes the members those of `nodes`, and enters a new one.
    pub(crate) fn seat(&mut self, by: &Peer, nodes: &BTreeSet<NodeId>, new: Option<&Member>) {
        let first = member_key(NodeId(0));
        let gone = |key: &Key| !nodes.iter().any(|node| member_key(*node) == *key);
        let keys = self.items.range(first..).map(|(key, _)| key);
        let members = keys.take_while(|key| key.kind == Kind::Member);
        let gone: Vec<Key> = members.filter(|key| gone(key)).cloned().collect();
        gone.iter().for_each(|key| self.take(key));
        if let Some(member) = new.filter(|member| nodes.contains(&member.node)) {
            let item = self.fresh(by, Value::Member(member.clone()), None);
            self.put(member_key(member.node), item);
        }
    }
}

/// The key of a replica.
pub(crate) fn member_key(node: NodeId) -> Key {
    Key {
        kind: Kind::Member,
        name: format!("{:016x}", node.0),
    }
}

pub(crate) fn token_key(hash: &[u8; 32]) -> Key {
    Key {
        kind: Kind::Token,
        name: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// The hash of an item under its key, and its bytes when frozen.
pub(super) fn weight_of(key: &Key, item: &Item) -> (u64, u64) {
    let bytes = encode(&(key, item));
    (short_hash(&bytes), bytes.len() as u64)
}

pub(super) fn hash_of(value: &impl Serialize) -> u64 {
    short_hash(&encode(value))
}

pub(super) fn short_hash(bytes: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(bytes).as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("plain data always serializes")
}
