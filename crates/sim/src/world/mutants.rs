//! Faults planted on purpose: each is one thing done wrong between a brain and its world, to see that it is caught.
//!
//! Brains are those of production and carry none; so a mutant sits where the world hears what a brain wants or tells
//! it what happened. Every hook is here and does nothing when its mutant is not planted.

use muster_proto::machine::FetchEnd;
use muster_proto::outcome::End;
use muster_proto::wire::Frame;
use muster_proto::{Digest, LinkId, Role, Span};

use crate::brain::{ActorId, Brain, Observer};
use crate::world::World;

/// A fault planted to see that it is caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Masters' frames and forgettings do not wait for the journal.
    AckBeforeDurable,
    /// A foreman acknowledges a worker's result before its spool is durable.
    SpoolLate,
    /// Some records of masters never reach the disk: replay gives another book.
    DropRecord,
    /// Some records of masters are written twice.
    WriteTwice,
    /// A start reads the record that a crash has torn as if it were whole.
    KeepTorn,
    /// An old epoch's late frames pass for the present one's.
    SkipFence,
    /// What a subordinate sends again on a new link, of what it holds, never arrives.
    ForgetHeld,
    /// A worker takes some results for acknowledged when they have left.
    DropReport,
    /// Outcomes that are told again on a user's later link are lost.
    LoseRedelivery,
    /// A late result counts for the attempt that is under way.
    MixAttempts,
    /// A superior ignores what a subordinate says it holds when it is back.
    IgnoreStock,
    /// A superior gives a lost subordinate no grace.
    SkipGrace,
    /// Workers do not hear that attempts are not wanted any more.
    DeafToCancel,
    /// Workers offer twice what they have.
    OverCommit,
    /// A store gives up files that have just come for a task.
    ForgetPinned,
    /// A fetch that failed is taken for one that brought its file.
    UnverifiedFetch,
    /// Nobody gives up a link on which nothing is heard.
    NeverIdle,
}

impl Mutant {
    /// Every one.
    pub const ALL: [Mutant; 17] = [
        Mutant::AckBeforeDurable,
        Mutant::SpoolLate,
        Mutant::DropRecord,
        Mutant::WriteTwice,
        Mutant::KeepTorn,
        Mutant::SkipFence,
        Mutant::ForgetHeld,
        Mutant::DropReport,
        Mutant::LoseRedelivery,
        Mutant::MixAttempts,
        Mutant::IgnoreStock,
        Mutant::SkipGrace,
        Mutant::DeafToCancel,
        Mutant::OverCommit,
        Mutant::ForgetPinned,
        Mutant::UnverifiedFetch,
        Mutant::NeverIdle,
    ];
}

/// One thing in so many is done wrong by a mutant that does wrong at times.
const SOME: u64 = 8;

impl<B: Brain, O: Observer> World<B, O> {
    pub(super) fn has(&self, mutant: Mutant) -> bool {
        self.layout.mutant == Some(mutant)
    }

    fn role(&self, actor: ActorId) -> Role {
        self.actors[actor.0].role
    }

    /// How often a record is written: once, unless a mutant says otherwise.
    pub(super) fn copies(&mut self, actor: ActorId) -> usize {
        let wrong = match self.layout.mutant {
            Some(Mutant::DropRecord) => 0,
            Some(Mutant::WriteTwice) => 2,
            _others => return 1,
        };
        let is_struck = self.role(actor) == Role::Master && self.rng.below(SOME) == 0;
        if is_struck { wrong } else { 1 }
    }

    /// Whether what an actor sends does not wait for its journal.
    pub(super) fn is_rash(&self, actor: ActorId) -> bool {
        match self.role(actor) {
            Role::Master => self.has(Mutant::AckBeforeDurable),
            Role::Foreman => self.has(Mutant::SpoolLate),
            Role::Worker | Role::Catalog | Role::User => false,
        }
    }

    /// Whether a frame that leaves is lost although its link stands; `again` if its sender has a new link and says
    /// what it holds.
    pub(super) fn loses(&mut self, actor: ActorId, frame: &Frame, again: bool) -> bool {
        match (self.layout.mutant, frame) {
            (Some(Mutant::ForgetHeld), Frame::Reports(_)) => again,
            (Some(Mutant::DropReport), Frame::Reports(_)) => {
                !again && self.role(actor) == Role::Worker && self.rng.below(SOME) == 0
            }
            (_, _) => false,
        }
    }

    /// A frame as its receiver hears it; none if it does not hear it.
    pub(super) fn twisted(&mut self, to: ActorId, link: LinkId, mut frame: Frame) -> Option<Frame> {
        match (self.layout.mutant, &mut frame) {
            (Some(Mutant::LoseRedelivery), Frame::Outcomes(_)) => {
                (self.role(to) != Role::User || link == LinkId(1)).then_some(frame)
            }
            (Some(Mutant::DeafToCancel), Frame::Cancel(_)) => {
                (self.role(to) != Role::Worker).then_some(frame)
            }
            (Some(Mutant::IgnoreStock), Frame::Inventory(inventory)) => {
                inventory.held.clear();
                Some(frame)
            }
            (Some(Mutant::MixAttempts), Frame::Reports(reports)) => {
                for report in &mut reports.reports {
                    if self.role(to) == Role::Master && matches!(report.end, End::Ran(_)) {
                        let latest = self.haunts.latest(to, report.task);
                        report.round =
                            latest.map_or(report.round, |latest| latest.max(report.round));
                    }
                }
                Some(frame)
            }
            (_, _) => Some(frame),
        }
    }

    /// How a fetch ended, as the asker believes.
    pub(super) fn believed(&self, end: FetchEnd) -> FetchEnd {
        if self.has(Mutant::UnverifiedFetch) {
            FetchEnd::Held
        } else {
            end
        }
    }

    /// A file has come to a store and its brain knows.
    pub(super) fn stored(&mut self, actor: ActorId, digest: Digest) {
        if self.has(Mutant::ForgetPinned)
            && self.role(actor) == Role::Worker
            && self.rng.below(SOME) == 0
        {
            self.give_away(actor, digest);
        }
    }

    /// An actor is about to learn that a link is gone.
    pub(super) fn loses_link(&mut self, actor: ActorId) {
        if self.has(Mutant::SkipGrace) {
            self.actors[actor.0].clock.ahead += GRACES;
        }
    }
}

/// Longer than every grace.
const GRACES: Span = Span::secs(90);
