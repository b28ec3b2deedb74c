//! Changes of membership: one at a time, a newcomer first as a learner, votes by a joint change.
//!
//! A change is answered when the entry that carries its name is applied and known to be, and a joint one when it is
//! left again: the library turns a change that it does not like into an empty entry without a word. Whoever leads leaves a joint
//! membership, also one that another leader entered.

use std::collections::BTreeSet;

use muster_proto::catalog::raft::Membership;
use muster_proto::catalog::{Answer, Command, Fault, Member, NodeId, Reshape, Value};
use muster_proto::limits::MEMBERS_MAX;
use muster_proto::{Peer, Role, Time};
use raft::ProgressState;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, EntryType,
};
use serde::{Deserialize, Serialize};

use crate::asks::Stage;
use crate::directory::{Directory, member_key};
use crate::{AskId, Catalog, Halt, Output, map};

/// A change that this replica has proposed as leader.
#[derive(Debug)]
pub(crate) struct Reshaping {
    pub(crate) ask: AskId,
    name: Name,
}

/// Names a change: the node, the run of its process, the question.
type Name = (NodeId, u64, u64);

/// What an entry of membership holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    name: Name,
    /// Who leads.
    by: Peer,
    step: Step,
}

/// One step of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    /// A newcomer follows.
    Learn(Member),
    /// One that follows leaves.
    Drop(NodeId),
    /// Votes are given and taken; the old and the new majorities both count from here on.
    Enter {
        /// Who gets a vote.
        promote: Vec<NodeId>,
        /// Who leaves.
        remove: Vec<NodeId>,
    },
    /// Only the new majority counts.
    Leave,
}

impl Step {
    /// The change as the library has it.
    fn change(&self) -> ConfChangeV2 {
        let single = |node: &NodeId, sort| {
            let mut single = ConfChangeSingle {
                node_id: node.0,
                ..ConfChangeSingle::default()
            };
            single.set_change_type(sort);
            single
        };
        let mut change = ConfChangeV2::default();
        let changes = match self {
            Step::Learn(member) => vec![single(&member.node, ConfChangeType::AddLearnerNode)],
            Step::Drop(node) => vec![single(node, ConfChangeType::RemoveNode)],
            Step::Enter { promote, remove } => {
                change.set_transition(ConfChangeTransition::Explicit);
                let promoted = promote
                    .iter()
                    .map(|node| single(node, ConfChangeType::AddNode));
                let removed = remove
                    .iter()
                    .map(|node| single(node, ConfChangeType::RemoveNode));
                promoted.chain(removed).collect()
            }
            Step::Leave => Vec::new(),
        };
        change.set_changes(changes.into());
        change
    }
}

impl Catalog {
    /// Begins a change, if it makes sense where things stand.
    pub(crate) fn reshape(
        &mut self,
        ask: AskId,
        until: Time,
        reshape: Reshape,
        out: &mut Vec<Output>,
    ) {
        let begun = if !self.is_leader() {
            Err(Fault::NotLeader { hint: self.hint() })
        } else if self
            .reshaping
            .as_ref()
            .is_some_and(|other| self.asks.holds(other.ask))
        {
            Err(Fault::Busy)
        } else {
            let step = self.step_of(reshape).ok_or(Fault::Unfit);
            step.and_then(|step| self.propose_step((self.id, self.run, ask.0), step))
        };
        match begun {
            Ok(name) => {
                self.asks.insert(ask, until, Stage::Proposed);
                self.reshaping = Some(Reshaping { ask, name });
            }
            Err(fault) => {
                let answer = Answer::Fault(fault);
                out.push(Output::Answer { ask, answer });
            }
        }
    }

    /// Whether a peer may change the membership like this: users in every way, a replica only to come in itself, also
    /// in the place of what it was before it lost its disk.
    pub(crate) fn may_reshape(&self, by: &Peer, reshape: &Reshape) -> bool {
        let is_own = |node: &NodeId| self.member(*node).is_some_and(|member| member.peer == *by);
        match (by.role, reshape) {
            (Role::User, _) => true,
            (Role::Catalog, Reshape::Learn(member)) => member.peer == *by,
            (Role::Catalog, Reshape::Promote(node)) => is_own(node),
            (Role::Catalog, Reshape::Replace { old, new }) => is_own(old) && is_own(new),
            (Role::Catalog, Reshape::Remove(_))
            | (Role::Master | Role::Foreman | Role::Worker, _) => false,
        }
    }

    /// The first step of a change; none if it is none or cannot be.
    fn step_of(&self, reshape: Reshape) -> Option<Step> {
        let Membership {
            voters, learners, ..
        } = &self.membership;
        let all = nodes_of(&self.membership);
        match reshape {
            Reshape::Learn(member) => {
                let is_new = member.is_within() && !all.contains(&member.node);
                (is_new && all.len() < MEMBERS_MAX).then_some(Step::Learn(member))
            }
            Reshape::Promote(node) => {
                (learners.contains(&node) && self.is_close(node)).then(|| Step::Enter {
                    promote: vec![node],
                    remove: Vec::new(),
                })
            }
            Reshape::Remove(node) if learners.contains(&node) => Some(Step::Drop(node)),
            Reshape::Remove(node) => {
                (voters.contains(&node) && voters.len() > 1).then(|| Step::Enter {
                    promote: Vec::new(),
                    remove: vec![node],
                })
            }
            Reshape::Replace { old, new } => {
                let is_fit = voters.contains(&old) && learners.contains(&new) && self.is_close(new);
                is_fit.then(|| Step::Enter {
                    promote: vec![new],
                    remove: vec![old],
                })
            }
        }
    }

    /// Whether a learner follows and has nearly all of the log: a voter that has not would hold up what needs its vote.
    fn is_close(&self, node: NodeId) -> bool {
        let last = self.raw.raft.raft_log.last_index();
        self.raw.raft.prs().get(node.0).is_some_and(|progress| {
            progress.state == ProgressState::Replicate && progress.matched + LAG_ENTRIES_MAX >= last
        })
    }

    fn propose_step(&mut self, name: Name, step: Step) -> Result<Name, Fault> {
        let is_leave = step == Step::Leave;
        let is_joint = !self.membership.outgoing.is_empty();
        if self.raw.raft.has_pending_conf() || is_joint != is_leave {
            return Err(Fault::Busy);
        }
        let change = step.change();
        let by = self.peer.clone();
        let context = vec![ENTRY_SCHEMA];
        let context = postcard::to_extend(&Entry { name, by, step }, context)
            .expect("plain data always serializes");
        let is_taken = self.raw.propose_conf_change(context, change).is_ok();
        let entries = self.raw.raft.raft_log.unstable_entries();
        // A change that is not liked has become an empty entry.
        let is_change =
            |entry: &raft::eraftpb::Entry| entry.get_entry_type() == EntryType::EntryConfChangeV2;
        if is_taken && entries.last().is_some_and(is_change) {
            return Ok(name);
        }
        Err(Fault::Busy)
    }

    /// Leaves a joint membership, whoever entered it.
    pub(crate) fn leave_joint(&mut self) {
        if self.membership.outgoing.is_empty() || self.raw.raft.has_pending_conf() {
            return;
        }
        let name = self
            .reshaping
            .as_ref()
            .map_or((self.id, self.run, 0), |change| change.name);
        // If it is not taken the next turn tries again.
        let _ = self.propose_step(name, Step::Leave);
    }

    /// Applies an entry of membership.
    pub(crate) fn apply_membership(&mut self, index: u64, context: &[u8], out: &mut Vec<Output>) {
        let Some(entry) = opened(context) else {
            return self.halt(Halt::Newer { index }, out);
        };
        let before = nodes_of(&self.membership);
        let newcomer = match &entry.step {
            Step::Learn(member) => Some(member),
            Step::Drop(_) | Step::Enter { .. } | Step::Leave => None,
        };
        let is_crowded = newcomer.is_some() && before.len() >= MEMBERS_MAX;
        // One that cannot be is refused on every replica alike, for all have the same membership here.
        if !is_crowded && let Ok(state) = self.raw.apply_conf_change(&entry.step.change()) {
            self.membership = map::membership_out(&state);
        }
        let after = nodes_of(&self.membership);
        self.directory.seat(&entry.by, &after, newcomer);
        let is_gone = before.contains(&self.id) && !after.contains(&self.id);
        self.answer_reshape(&entry, is_gone, out);
        if is_gone {
            return self.halt(Halt::Removed, out);
        }
        if self.is_leader() && !self.raw.raft.promotable() {
            // The library would go on leading, and panic at the next commit.
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, 0);
        }
        self.wants_record = true;
        self.wants_snapshot |= newcomer.is_some();
        self.sending.retain(|node, _| after.contains(node));
        self.stirred = true;
    }

    /// A change that is over is answered when one more entry is committed: whoever has that entry on its disk has
    /// beside it that the change is committed. Otherwise the loss of the old majority's disks could still hold up
    /// replicas that start again and do not know that it does not count any more.
    fn answer_reshape(&mut self, entry: &Entry, is_gone: bool, out: &mut Vec<Output>) {
        let is_over = !matches!(entry.step, Step::Enter { .. });
        let ours = self
            .reshaping
            .as_ref()
            .filter(|change| is_over && change.name == entry.name);
        match ours.map(|change| change.ask) {
            // There is nobody else to answer.
            Some(ask) if is_gone => self.asks.answer(ask, Answer::Reshaped, out),
            Some(ask) => self
                .own
                .push((Some(ask), Command::Check { index: 0, hash: 0 })),
            None => {}
        }
    }
}

/// Another replica by its number.
pub(crate) fn member_of(directory: &Directory, node: NodeId) -> Option<&Member> {
    match &directory.get(&member_key(node))?.value {
        Value::Member(member) => Some(member),
        Value::Project(_)
        | Value::Site(_)
        | Value::Foreman(_)
        | Value::Token(_)
        | Value::Revocation(_)
        | Value::Weight(_)
        | Value::Setting(_) => None,
    }
}

/// Everyone who counts, with a vote or without.
pub(crate) fn nodes_of(membership: &Membership) -> BTreeSet<NodeId> {
    let Membership {
        voters,
        outgoing,
        learners,
        learners_next,
    } = membership;
    [voters, outgoing, learners, learners_next]
        .into_iter()
        .flatten()
        .copied()
        .collect()
}

fn opened(context: &[u8]) -> Option<Entry> {
    let (schema, payload) = context.split_first()?;
    let Ok((entry, [])) = postcard::take_from_bytes(payload) else {
        return None;
    };
    (*schema == ENTRY_SCHEMA).then_some(entry)
}

const ENTRY_SCHEMA: u8 = 1;
/// Entries that a learner may be behind and get a vote: what is under way in a round trip at full load.
const LAG_ENTRIES_MAX: u64 = 1_000;
