//! What a peer may say: messages are judged before the library sees them, for it panics on what no honest peer says.
//!
//! Each rule stands beside what it keeps out. Nothing here changes anything; what is not fit is dropped, for links
//! lose messages too.

use std::collections::BTreeSet;

use muster_proto::catalog::NodeId;
use muster_proto::catalog::raft::{Body, Entry, Membership, Message, Part};
use muster_proto::limits::{
    APPEND_BYTES_MAX, BATCH_MAX, FRAME_BYTES_MAX, MEMBERS_MAX, SNAPSHOT_BYTES_MAX,
    SNAPSHOT_PART_BYTES,
};

/// What the judge must know of the replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bearing {
    pub(crate) id: NodeId,
    pub(crate) last: u64,
    pub(crate) leader: NodeId,
    pub(crate) is_leader: bool,
    /// Whether the whole log is durable.
    pub(crate) is_settled: bool,
    /// Reads of others that a leader is busy with.
    pub(crate) reads: usize,
    /// Up to where the sender's log is known to match, if it is a follower of ours.
    pub(crate) matched: u64,
}

/// Whether a message may be stepped.
pub(crate) fn is_fit(message: &Message, from: NodeId, bearing: &Bearing) -> bool {
    let is_read = matches!(message.body, Body::Read { .. });
    // The certificate's node, not the message, says who speaks. A wiped storage is not addressed.
    message.from == from
        && message.to == bearing.id
        && from != bearing.id
        && from.0 != 0
        // Term 0 would count as a message of our own; the highest terms leave no room for elections.
        && (message.term == 0) == is_read
        && message.term <= COUNT_MAX
        && is_body_fit(message, bearing)
}

fn is_body_fit(message: &Message, bearing: &Bearing) -> bool {
    match &message.body {
        Body::Append {
            index,
            log_term,
            commit,
            entries,
        } => {
            // Term 0 would match every entry that is not there.
            is_place(*index, *log_term)
                && *commit <= COUNT_MAX
                && *log_term <= message.term
                && are_entries(entries, (*index, *log_term), message.term)
        }
        // Progress beyond the log would be believed.
        Body::Appended { index, commit } => *index <= bearing.last && *commit <= COUNT_MAX,
        Body::Mismatched {
            index,
            hint,
            hint_term,
            commit,
        } => {
            let counts = [*index, *hint, *hint_term, *commit];
            // A follower cannot miss what it has acknowledged: the message is old, and believing it could set the
            // next entry before the matched one.
            counts.iter().all(|count| *count <= COUNT_MAX) && *index > bearing.matched
        }
        // A commit beyond the log ends the process.
        Body::Heartbeat { commit, context } => {
            *commit <= bearing.last && context.len() <= CONTEXT_BYTES
        }
        Body::Alive { commit, context } => *commit <= COUNT_MAX && context.len() <= CONTEXT_BYTES,
        Body::Ballot {
            index,
            log_term,
            commit,
            commit_term,
            ..
        } => {
            is_place(*index, *log_term)
                && [*commit, *commit_term]
                    .iter()
                    .all(|count| *count <= COUNT_MAX)
        }
        // Whoever becomes leader with a log that is not durable ends: an unasked vote must not bring that about.
        Body::Vote { .. } => bearing.is_settled,
        Body::Part(part) => is_part(part, bearing.id),
        // Only a leader answers; a follower would pass it on under a false name.
        Body::Read { context } => {
            bearing.is_leader && bearing.reads < READS_MAX && is_context_of(context, message.from)
        }
        Body::ReadAt { context, index } => {
            message.from == bearing.leader
                && *index <= COUNT_MAX
                && is_context_of(context, bearing.id)
        }
    }
}

/// Whether an entry of that term may be there: only the beginning of the log has term 0.
fn is_place(index: u64, term: u64) -> bool {
    (index == 0) == (term == 0) && index <= COUNT_MAX && term <= COUNT_MAX
}

/// Whether entries follow `before` without gaps, in terms that never fall and are not beyond the sender's.
fn are_entries(entries: &[Entry], before: (u64, u64), term: u64) -> bool {
    let bytes: usize = entries.iter().map(|entry| entry.data.len()).sum();
    let mut last = before;
    let is_ordered = entries.iter().all(|entry| {
        let follows =
            entry.index == last.0 + 1 && entry.term >= last.1.max(1) && entry.term <= term;
        last = (entry.index, entry.term);
        follows
    });
    is_ordered && entries.len() <= BATCH_MAX && bytes <= FRAME_BYTES_MAX.max(2 * APPEND_BYTES_MAX)
}

fn is_part(part: &Part, id: NodeId) -> bool {
    let end = part.offset.checked_add(part.bytes.len() as u64);
    part.index > 0
        && is_place(part.index, part.log_term)
        && (1..=SNAPSHOT_BYTES_MAX).contains(&part.total)
        && (1..=SNAPSHOT_PART_BYTES).contains(&part.bytes.len())
        && end.is_some_and(|end| end <= part.total)
        && is_membership(&part.membership, id)
}

/// Whether the library can restore a membership, and `id` is in it: voters, outgoing voters and learners as its
/// rules for joint changes have them.
pub(crate) fn is_membership(membership: &Membership, id: NodeId) -> bool {
    let Membership {
        voters,
        outgoing,
        learners,
        learners_next,
    } = membership;
    let lists = [voters, outgoing, learners, learners_next];
    let is_set = |nodes: &Vec<NodeId>| {
        nodes.len() <= MEMBERS_MAX
            && nodes.first().is_none_or(|first| first.0 != 0)
            && nodes.is_sorted_by(|a, b| a < b)
    };
    let holds = |nodes: &[NodeId], node: &NodeId| nodes.binary_search(node).is_ok();
    let apart = |ones: &[NodeId], others: &[NodeId]| !ones.iter().any(|node| holds(others, node));
    let all: BTreeSet<&NodeId> = lists.iter().flat_map(|nodes| nodes.iter()).collect();
    lists.into_iter().all(is_set)
        && !voters.is_empty()
        && all.len() <= MEMBERS_MAX
        && apart(learners, voters)
        && apart(learners, outgoing)
        && apart(learners_next, voters)
        && apart(learners_next, learners)
        && learners_next.iter().all(|node| holds(outgoing, node))
        && [voters, outgoing, learners]
            .iter()
            .any(|nodes| holds(nodes, &id))
}

/// Whether a read is named as `node` names its reads, so that nobody answers for another.
fn is_context_of(context: &[u8], node: NodeId) -> bool {
    context.len() == CONTEXT_BYTES && context.starts_with(&node.0.to_le_bytes())
}

/// No term or index comes near this; sums of two still fit.
pub(crate) const COUNT_MAX: u64 = 1 << 60;
/// Bytes that name a read: the node, the run of its process, the number within it.
pub(crate) const CONTEXT_BYTES: usize = 24;
/// Reads of others that a leader is busy with at a time; each stands for all that a replica was asked in one turn.
const READS_MAX: usize = 1_024;
