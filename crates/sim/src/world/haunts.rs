//! Ghosts: what a master of an earlier epoch handed down comes once more, long after its successor has spoken.
//!
//! Epochs are there to fence exactly this off. One mutant gives the ghost the face of the living.

use std::collections::{BTreeMap, VecDeque};

use muster_proto::peer::Role;
use muster_proto::wire::{Assign, Frame};
use muster_proto::{Epoch, TaskId, Try};

use crate::brain::{ActorId, Brain, Observer};
use crate::network::Stage;
use crate::rng::Rng;
use crate::world::{Mutant, World};

/// What was handed down, from whom to whom.
#[derive(Debug, Default)]
pub(super) struct Haunts {
    pairs: BTreeMap<(ActorId, ActorId), Haunt>,
}

#[derive(Debug, Default)]
struct Haunt {
    /// The latest, oldest first.
    said: VecDeque<Assign>,
    /// The greatest epoch that was heard.
    heard: Epoch,
}

impl Haunts {
    pub(super) fn left(&mut self, from: ActorId, to: ActorId, frame: &Frame) {
        if let Frame::Assign(assign) = frame
            && !assign.tasks.is_empty()
        {
            let haunt = self.pairs.entry((from, to)).or_default();
            if haunt.said.len() == SAID_MAX {
                haunt.said.pop_front();
            }
            haunt.said.push_back(assign.clone());
        }
    }

    /// The last attempt of a task that a superior handed down of late.
    pub(super) fn latest(&self, from: ActorId, task: TaskId) -> Option<Try> {
        let said = self
            .pairs
            .iter()
            .filter(|((superior, _), _)| *superior == from);
        let tasks = said.flat_map(|(_, haunt)| haunt.said.iter().flat_map(|assign| &assign.tasks));
        let rounds = tasks.filter(|assigned| assigned.task == task);
        rounds.map(|assigned| assigned.round).max()
    }

    /// A process that starts has heard nothing: it cannot tell a ghost, and would not meet one on a new link.
    pub(super) fn starts(&mut self, actor: ActorId) {
        for ((_, to), haunt) in &mut self.pairs {
            if *to == actor {
                haunt.heard = Epoch(0);
            }
        }
    }

    pub(super) fn came(&mut self, from: ActorId, to: ActorId, frame: &Frame) {
        if let Frame::Assign(assign) = frame {
            let haunt = self.pairs.entry((from, to)).or_default();
            haunt.heard = haunt.heard.max(assign.epoch);
        }
    }
}

impl<B: Brain, O: Observer> World<B, O> {
    /// Delivers something that a dead master said, on the link of the living one.
    pub fn haunt(&mut self, rng: &mut Rng) {
        let mut ghosts = Vec::new();
        for ((from, to), haunt) in &self.haunts.pairs {
            let master = self.actors[from.0].role == Role::Master;
            let old = haunt
                .said
                .iter()
                .filter(|assign| master && assign.epoch < haunt.heard);
            ghosts.extend(old.map(|assign| (*from, *to, haunt.heard, assign.clone())));
        }
        if ghosts.is_empty() {
            return;
        }
        let (from, to, heard, mut ghost) = rng.pick(&ghosts).clone();
        if self.layout.mutant == Some(Mutant::SkipFence) {
            ghost.epoch = heard;
        }
        for (conn, which) in self.network.of(from) {
            let open = self.network.get(conn).filter(|connection| {
                let (end, other) = (
                    &connection.ends[which as usize],
                    &connection.ends[which.other() as usize],
                );
                matches!(end.stage, Stage::Open(_)) && other.actor == to
            });
            if open.is_some() {
                let frame = Frame::from(ghost);
                let bytes = self.measure(&frame);
                let parcel = self.wrap(frame, bytes);
                return self.post(conn, which, parcel);
            }
        }
    }
}

/// Frames of a pair that may come again.
const SAID_MAX: usize = 16;
