//! Somebody who keeps the membership what it should be: newcomers are added, promoted, put in the place of the lost.

use std::collections::BTreeSet;

use muster_catalog::{AskId, What};
use muster_proto::catalog::raft::Membership;
use muster_proto::catalog::{Answer, NodeId, Reshape};
use muster_proto::{Role, Span};

use super::happening::Happening;
use super::world::{Host, World, peer};

/// The number of the operator among those outside.
pub const OPERATOR: u64 = 1_000;

/// Who keeps the membership, and what is under way.
#[derive(Debug, Default)]
pub struct Operator {
    asked: Option<AskId>,
    /// Hosts that should vote.
    pub voters: usize,
    /// Somebody healthy who is to be put out and come back as another.
    pub unwanted: Option<usize>,
    /// Changes that were made.
    pub changes: usize,
}

impl Operator {
    /// An operator of a catalog that should have so many voters.
    pub fn new(world: &mut World, voters: usize) -> Self {
        world.schedule(world.now, Happening::Outside { who: OPERATOR });
        Self {
            voters,
            ..Self::default()
        }
    }

    /// Takes an answer.
    pub fn answered(&mut self, ask: AskId, answer: &Answer) {
        if self.asked == Some(ask) {
            self.asked = None;
            self.changes += usize::from(*answer == Answer::Reshaped);
        }
    }

    /// Does what is to be done next.
    pub fn act(&mut self, world: &mut World) {
        world.schedule(world.now + 200_000, Happening::Outside { who: OPERATOR });
        let Some(leader) = world.leader() else {
            return;
        };
        let Some(node) = world.hosts[leader].node.as_ref() else {
            return;
        };
        let membership = node.membership().clone();
        if let Some(host) = self.unwanted
            && !membership.voters.contains(&world.hosts[host].id)
        {
            self.unwanted = None;
        }
        if let Some(reshape) = self.wanted(world, &membership) {
            let user = peer(Role::User, "operator");
            self.asked = Some(world.ask(leader, &user, Span::secs(3), What::Reshape(reshape)));
        }
    }

    /// Whether the membership is what it should be, and every host knows it.
    pub fn is_content(&self, world: &World) -> bool {
        let is_settled = |membership: &Membership| {
            let Membership {
                voters,
                outgoing,
                learners,
                ..
            } = membership;
            voters.len() == self.voters
                && outgoing.is_empty()
                && learners.is_empty()
                && world.hosts.iter().all(|host| voters.contains(&host.id))
        };
        let node = |host: &Host| host.node.as_ref().map(|node| is_settled(node.membership()));
        world.leader().is_some() && world.hosts.iter().all(|host| node(host) == Some(true))
    }

    /// Whether it is so on every disk as well: only then may one be lost.
    pub fn is_safe(&self, world: &World) -> bool {
        let settled = |membership: &Membership| {
            membership.outgoing.is_empty()
                && world
                    .hosts
                    .iter()
                    .all(|host| membership.voters.contains(&host.id))
        };
        let on_disk = |host| {
            world
                .durable_membership(host)
                .is_some_and(|membership| settled(&membership))
        };
        self.is_content(world) && (0..world.hosts.len()).all(on_disk)
    }

    fn wanted(&self, world: &World, membership: &Membership) -> Option<Reshape> {
        let Membership {
            voters,
            outgoing,
            learners,
            ..
        } = membership;
        if !outgoing.is_empty() {
            return None;
        }
        let living: BTreeSet<NodeId> = world.hosts.iter().map(|host| host.id).collect();
        let lost = |nodes: &[NodeId]| nodes.iter().copied().find(|node| !living.contains(node));
        let known = |node: &NodeId| voters.contains(node) || learners.contains(node);
        let (new, old) = (learners.first().copied(), lost(voters));
        if let Some(node) = lost(learners) {
            return Some(Reshape::Remove(node));
        }
        if let Some(host) = world
            .hosts
            .iter()
            .position(|host| !known(&host.id) && host.node.is_some())
        {
            return Some(Reshape::Learn(world.member(host)));
        }
        match (old, new) {
            (Some(old), Some(new)) => Some(Reshape::Replace { old, new }),
            (None, Some(new)) => Some(Reshape::Promote(new)),
            (Some(_), None) => None,
            (None, None) => {
                let unwanted = self.unwanted.map(|host| world.hosts[host].id);
                unwanted
                    .filter(|node| voters.contains(node) && voters.len() == self.voters)
                    .map(Reshape::Remove)
            }
        }
    }
}
