//! Our words to the library's, field by field, and back. Bytes of peers are moved, never parsed.

use muster_proto::catalog::NodeId;
use muster_proto::catalog::raft::{
    Body, Entry, Hard, Membership, Message, Round, Snapshot, Sort, Verdict,
};
use raft::eraftpb::{
    ConfState, Entry as RaftEntry, EntryType, HardState, Message as RaftMessage, MessageType,
    Snapshot as RaftSnapshot,
};

/// A message for the library; nothing for a part of a snapshot, which is not whole.
pub(crate) fn message_in(message: Message) -> Option<RaftMessage> {
    let mut m = RaftMessage {
        from: message.from.0,
        to: message.to.0,
        term: message.term,
        ..RaftMessage::default()
    };
    let kind = body_in(message.body, &mut m)?;
    m.set_msg_type(kind);
    Some(m)
}

fn body_in(body: Body, m: &mut RaftMessage) -> Option<MessageType> {
    let kind = match body {
        Body::Append {
            index,
            log_term,
            commit,
            entries,
        } => {
            (m.index, m.log_term, m.commit) = (index, log_term, commit);
            m.set_entries(entries.into_iter().map(entry_in).collect::<Vec<_>>().into());
            MessageType::MsgAppend
        }
        Body::Appended { index, commit } => {
            (m.index, m.commit) = (index, commit);
            MessageType::MsgAppendResponse
        }
        Body::Mismatched {
            index,
            hint,
            hint_term,
            commit,
        } => {
            (m.index, m.reject_hint, m.log_term, m.commit) = (index, hint, hint_term, commit);
            m.reject = true;
            MessageType::MsgAppendResponse
        }
        Body::Heartbeat { commit, context } => {
            m.commit = commit;
            m.context = context.into();
            MessageType::MsgHeartbeat
        }
        Body::Alive { commit, context } => {
            m.commit = commit;
            m.context = context.into();
            MessageType::MsgHeartbeatResponse
        }
        Body::Ballot { .. } | Body::Vote { .. } => return election_in(&body, m),
        Body::Part(_) => return None,
        Body::Read { context } => {
            m.set_entries(vec![data_entry(context)].into());
            MessageType::MsgReadIndex
        }
        Body::ReadAt { index, context } => {
            m.index = index;
            m.set_entries(vec![data_entry(context)].into());
            MessageType::MsgReadIndexResp
        }
    };
    Some(kind)
}

fn election_in(body: &Body, m: &mut RaftMessage) -> Option<MessageType> {
    match *body {
        Body::Ballot {
            round,
            index,
            log_term,
            commit,
            commit_term,
        } => {
            (m.index, m.log_term, m.commit, m.commit_term) = (index, log_term, commit, commit_term);
            Some(match round {
                Round::Pre => MessageType::MsgRequestPreVote,
                Round::Real => MessageType::MsgRequestVote,
            })
        }
        Body::Vote { round, verdict } => {
            if let Verdict::Denied {
                commit,
                commit_term,
            } = verdict
            {
                (m.reject, m.commit, m.commit_term) = (true, commit, commit_term);
            }
            Some(match round {
                Round::Pre => MessageType::MsgRequestPreVoteResponse,
                Round::Real => MessageType::MsgRequestVoteResponse,
            })
        }
        Body::Append { .. }
        | Body::Appended { .. }
        | Body::Mismatched { .. }
        | Body::Heartbeat { .. }
        | Body::Alive { .. }
        | Body::Part(_)
        | Body::Read { .. }
        | Body::ReadAt { .. } => None,
    }
}

/// The message that asks the library to install a snapshot.
pub(crate) fn snapshot_message_in(
    (from, to): (NodeId, NodeId),
    term: u64,
    snapshot: &Snapshot,
) -> RaftMessage {
    let mut m = RaftMessage::default();
    m.set_msg_type(MessageType::MsgSnapshot);
    (m.from, m.to, m.term) = (from.0, to.0, term);
    m.set_snapshot(snapshot_in(snapshot));
    m
}

/// What the library wants sent. Snapshots are the caller's; what we never ask for has no words.
pub(crate) fn message_out(m: RaftMessage) -> Option<Message> {
    let (from, to, term) = (NodeId(m.from), NodeId(m.to), m.term);
    let body = body_out(m)?;
    Some(Message {
        from,
        to,
        term,
        body,
    })
}

fn body_out(mut m: RaftMessage) -> Option<Body> {
    let body = match m.get_msg_type() {
        MessageType::MsgAppend => Body::Append {
            index: m.index,
            log_term: m.log_term,
            commit: m.commit,
            entries: m.take_entries().into_iter().map(entry_out).collect(),
        },
        MessageType::MsgAppendResponse if m.reject => Body::Mismatched {
            index: m.index,
            hint: m.reject_hint,
            hint_term: m.log_term,
            commit: m.commit,
        },
        MessageType::MsgAppendResponse => Body::Appended {
            index: m.index,
            commit: m.commit,
        },
        MessageType::MsgHeartbeat => Body::Heartbeat {
            commit: m.commit,
            context: m.context.to_vec(),
        },
        MessageType::MsgHeartbeatResponse => Body::Alive {
            commit: m.commit,
            context: m.context.to_vec(),
        },
        MessageType::MsgRequestPreVote => ballot_out(Round::Pre, &m),
        MessageType::MsgRequestVote => ballot_out(Round::Real, &m),
        MessageType::MsgRequestPreVoteResponse => vote_out(Round::Pre, &m),
        MessageType::MsgRequestVoteResponse => vote_out(Round::Real, &m),
        MessageType::MsgReadIndex => Body::Read {
            context: m.entries.first()?.data.to_vec(),
        },
        MessageType::MsgReadIndexResp => Body::ReadAt {
            index: m.index,
            context: m.entries.first()?.data.to_vec(),
        },
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgSnapshot
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgTimeoutNow => return None,
    };
    Some(body)
}

fn ballot_out(round: Round, m: &RaftMessage) -> Body {
    Body::Ballot {
        round,
        index: m.index,
        log_term: m.log_term,
        commit: m.commit,
        commit_term: m.commit_term,
    }
}

fn vote_out(round: Round, m: &RaftMessage) -> Body {
    let verdict = if m.reject {
        Verdict::Denied {
            commit: m.commit,
            commit_term: m.commit_term,
        }
    } else {
        Verdict::Granted
    };
    Body::Vote { round, verdict }
}

/// An entry that is only bytes.
pub(crate) fn data_entry(data: Vec<u8>) -> RaftEntry {
    RaftEntry {
        data: data.into(),
        ..RaftEntry::default()
    }
}

/// A change of membership travels in the library's `context`: its `data` would have to be parsed by the library.
pub(crate) fn entry_in(entry: Entry) -> RaftEntry {
    let mut e = RaftEntry::default();
    (e.index, e.term) = (entry.index, entry.term);
    match entry.sort {
        Sort::Normal => e.data = entry.data.into(),
        Sort::Membership => {
            e.set_entry_type(EntryType::EntryConfChangeV2);
            e.context = entry.data.into();
        }
    }
    e
}

pub(crate) fn entry_out(e: RaftEntry) -> Entry {
    let (sort, data) = match e.get_entry_type() {
        EntryType::EntryNormal => (Sort::Normal, e.data.to_vec()),
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => {
            (Sort::Membership, e.context.to_vec())
        }
    };
    Entry {
        index: e.index,
        term: e.term,
        sort,
        data,
    }
}

pub(crate) fn hard_in(hard: Hard) -> HardState {
    let mut hs = HardState::default();
    (hs.term, hs.vote, hs.commit) = (hard.term, hard.vote.0, hard.commit);
    hs
}

pub(crate) fn hard_out(hs: &HardState) -> Hard {
    Hard {
        term: hs.term,
        vote: NodeId(hs.vote),
        commit: hs.commit,
    }
}

pub(crate) fn snapshot_in(snapshot: &Snapshot) -> RaftSnapshot {
    let mut s = RaftSnapshot {
        data: snapshot.bytes.clone().into(),
        ..RaftSnapshot::default()
    };
    let meta = s.mut_metadata();
    (meta.index, meta.term) = (snapshot.index, snapshot.term);
    meta.set_conf_state(membership_in(&snapshot.membership));
    s
}

pub(crate) fn snapshot_out(s: &RaftSnapshot) -> Snapshot {
    let meta = s.get_metadata();
    Snapshot {
        index: meta.index,
        term: meta.term,
        membership: membership_out(meta.get_conf_state()),
        bytes: s.data.to_vec(),
    }
}

pub(crate) fn membership_in(membership: &Membership) -> ConfState {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
    let mut cs = ConfState::default();
    cs.set_voters(ids(&membership.voters));
    cs.set_voters_outgoing(ids(&membership.outgoing));
    cs.set_learners(ids(&membership.learners));
    cs.set_learners_next(ids(&membership.learners_next));
    cs
}

pub(crate) fn membership_out(cs: &ConfState) -> Membership {
    // The library keeps sets without order.
    let nodes = |ids: &[u64]| {
        let mut nodes: Vec<NodeId> = ids.iter().copied().map(NodeId).collect();
        nodes.sort_unstable();
        nodes
    };
    Membership {
        voters: nodes(cs.get_voters()),
        outgoing: nodes(cs.get_voters_outgoing()),
        learners: nodes(cs.get_learners()),
        learners_next: nodes(cs.get_learners_next()),
    }
}
