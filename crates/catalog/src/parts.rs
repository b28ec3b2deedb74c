//! Snapshots on the wire: cut into pieces that fit frames, put together and verified before the library hears of them.

use muster_proto::catalog::NodeId;
use muster_proto::catalog::raft::{Body, Message, Part, Snapshot};
use muster_proto::limits::SNAPSHOT_PART_BYTES;
use muster_proto::{Span, Time};

use crate::directory::Directory;
use crate::{Catalog, Output, map};

/// A snapshot that is arriving.
#[derive(Debug)]
pub(crate) struct Assembly {
    from: NodeId,
    term: u64,
    total: u64,
    snapshot: Snapshot,
}

/// The pieces of a snapshot, in order.
pub(crate) fn cut(snapshot: &Snapshot) -> impl Iterator<Item = Part> {
    let total = snapshot.bytes.len() as u64;
    let pieces = snapshot.bytes.chunks(SNAPSHOT_PART_BYTES).enumerate();
    pieces.map(move |(number, piece)| Part {
        index: snapshot.index,
        log_term: snapshot.term,
        membership: snapshot.membership.clone(),
        total,
        offset: (number * SNAPSHOT_PART_BYTES) as u64,
        bytes: piece.to_vec(),
    })
}

impl Catalog {
    /// Takes a piece; the last one hands the snapshot to the library, if it is what its sender froze (C5).
    pub(crate) fn part(
        &mut self,
        now: Time,
        from: NodeId,
        term: u64,
        part: Part,
        out: &mut Vec<Output>,
    ) {
        if part.offset == 0 {
            self.assembly = Some(Assembly {
                from,
                term,
                total: part.total,
                snapshot: Snapshot {
                    index: part.index,
                    term: part.log_term,
                    membership: part.membership.clone(),
                    bytes: Vec::new(),
                },
            });
        }
        let Some(assembly) = self
            .assembly
            .as_mut()
            .filter(|assembly| assembly.continues(from, term, &part))
        else {
            return;
        };
        assembly.snapshot.bytes.extend_from_slice(&part.bytes);
        if (assembly.snapshot.bytes.len() as u64) < assembly.total {
            return;
        }
        let Some(Assembly { snapshot, .. }) = self.assembly.take() else {
            return;
        };
        let Ok(directory) = Directory::thaw(&snapshot.bytes) else {
            return;
        };
        // What was stepped before must not share a record with a snapshot, which nearly fills one.
        self.drain(now, out);
        if self.halted {
            return;
        }
        self.thawed = Some(directory);
        // An old one is answered and ignored.
        let _ = self
            .raw
            .step(map::snapshot_message_in((from, self.id), term, &snapshot));
        self.drain(now, out);
        self.thawed = None;
    }

    /// Sends a snapshot, one piece behind the other; what is lost with the link is sent again.
    pub(crate) fn send_snapshot(
        &mut self,
        now: Time,
        to: NodeId,
        term: u64,
        snapshot: &Snapshot,
    ) -> Vec<Message> {
        let bytes = snapshot.bytes.len() as u64;
        self.sending
            .insert(to, now + SNAPSHOT_WAIT + Span(bytes * PER_BYTE.0));
        let from = self.id;
        let message = |part| Message {
            from,
            to,
            term,
            body: Body::Part(part),
        };
        cut(snapshot).map(message).collect()
    }
}

impl Assembly {
    fn continues(&self, from: NodeId, term: u64, part: &Part) -> bool {
        let Snapshot {
            index,
            term: log_term,
            ref membership,
            ref bytes,
        } = self.snapshot;
        (self.from, self.term, self.total) == (from, term, part.total)
            && (index, log_term) == (part.index, part.log_term)
            && *membership == part.membership
            // A piece that came twice is of no use, and one that is missing makes all later ones useless.
            && bytes.len() as u64 == part.offset
    }
}

/// When a snapshot that was not acknowledged is given up and sent again: several round trips and slow commits ...
const SNAPSHOT_WAIT: Span = Span::secs(3);
/// ... and the time of its bytes over a path between campuses that is shared, one megabyte a second.
const PER_BYTE: Span = Span(1);
