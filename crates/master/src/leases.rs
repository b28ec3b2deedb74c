//! Handing tasks down, and taking them back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_proto::batch::cut;
use muster_proto::limits::LOSSES_PER_TASK_MAX;
use muster_proto::machine::{Gate, Output};
use muster_proto::outcome::{Failure, Loss, Outcome, Ran, Verdict};
use muster_proto::task::Template;
use muster_proto::wire::{Assign, Assigned, Frame};
use muster_proto::{Digest, LinkId, Peer, TaskId, TemplateId, Time, Try};
use muster_sched::{ChildId, Placed, Where};

use crate::story::Happening;
use crate::{Effect, Event, Master, TaskFiles};

/// What is known of an open task beyond the book. A task without an entry has not been tried in this epoch.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Attempts leased in this epoch.
    pub n: u32,
    /// Attempts that failed, in this epoch.
    pub failures: u16,
    /// Attempts that were lost, in this epoch.
    pub losses: u32,
    /// The last attempt that was given up as too slow: its holder was told to end it, so it is not adopted.
    pub given_up: Option<Try>,
    /// Where it stands.
    pub stage: Stage,
}

/// Where an open task stands.
#[derive(Debug, Default)]
pub(crate) enum Stage {
    /// In the scheduler's queue.
    #[default]
    Ready,
    /// A subordinate has it.
    Leased { round: Try, child: ChildId },
    /// A subordinate has its result, whose files are being fetched.
    Arriving(Box<Arriving>),
}

/// A result whose files are being fetched.
#[derive(Debug)]
pub(crate) struct Arriving {
    /// Of which attempt.
    pub round: Try,
    /// Who holds it.
    pub child: ChildId,
    /// The link its files come over.
    pub link: LinkId,
    /// The result.
    pub ran: Arc<Ran>,
    /// Files that have not come.
    pub missing: BTreeSet<Digest>,
}

impl Master {
    /// Hands ready tasks to subordinates with room.
    pub(crate) fn place(&mut self, now: Time, budget: usize, out: &mut Vec<Effect>) {
        let mut placements = Vec::new();
        if self
            .sched
            .place(now, budget, &TaskFiles(&self.book), &mut placements)
            == Placed::More
        {
            self.stirred = true;
        }
        let mut batches: BTreeMap<ChildId, Vec<Assigned>> = BTreeMap::new();
        for placement in placements {
            let task = placement.key.task;
            let Some(open) = self.book.open.get(&task) else {
                continue;
            };
            let live = self.live.or_default(task);
            live.n += 1;
            let round = Try {
                epoch: self.book.epoch,
                n: live.n,
            };
            live.stage = Stage::Leased {
                round,
                child: placement.child,
            };
            self.attempts += 1;
            self.story
                .tell(now, task, Happening::Leased(round, placement.child));
            let assigned = Assigned {
                task,
                round,
                template: open.template,
                body: open.body.clone(),
            };
            batches.entry(placement.child).or_default().push(assigned);
        }
        for (child, tasks) in batches {
            self.assign(child, tasks, out);
        }
    }

    fn assign(&mut self, child: ChildId, tasks: Vec<Assigned>, out: &mut Vec<Effect>) {
        let Some(link) = self.crew.link_of(child) else {
            return;
        };
        // Whoever has work of this link was noted when it got the first of it.
        let is_new = |peer: &&Peer| !self.book.lessees.contains(*peer);
        if !self.crew.has_work(child)
            && let Some(peer) = self.crew.peer_of(child).filter(is_new)
        {
            let leased = Event::Leased(peer.clone());
            self.safe = self.record(leased, out);
        }
        for task in &tasks {
            let key = self.key(task.task);
            self.crew.list(child, key);
        }
        let news = self.news_for(child, &tasks);
        let (master, epoch) = (self.book.master, self.book.epoch);
        let mut send = |templates, tasks| {
            let frame = Frame::from(Assign {
                master,
                epoch,
                templates,
                tasks,
            });
            out.push(Output::Send {
                link,
                frame,
                gate: Gate::Durable(self.safe),
            });
        };
        for templates in cut(news, |(_, template): &(_, Arc<Template>)| template.weight()) {
            send(templates, Vec::new());
        }
        for tasks in cut(tasks, |task| task.body.weight() + 40) {
            send(Vec::new(), tasks);
        }
    }

    /// The templates of `tasks` that the child's link has not carried.
    fn news_for(&mut self, child: ChildId, tasks: &[Assigned]) -> Vec<(TemplateId, Arc<Template>)> {
        let mut news = Vec::new();
        let mut last = None;
        for task in tasks {
            if last == Some(task.template) {
                continue;
            }
            last = Some(task.template);
            if self
                .crew
                .introduce(child, (self.book.master, task.template))
                && let Some(kept) = self.book.templates.get(&task.template)
            {
                news.push((task.template, kept.template.clone()));
            }
        }
        news
    }

    /// An attempt that a subordinate still holds goes on.
    pub(crate) fn adopt(&mut self, now: Time, child: ChildId, task: TaskId, round: Try) {
        let Some(class) = self
            .book
            .open
            .get(&task)
            .map(|open| open.template)
            .and_then(|template| self.class(template))
        else {
            return;
        };
        self.crew.list(child, self.key(task));
        self.sched.adopt(now, self.key(task), class, child);
        self.live.or_default(task).stage = Stage::Leased { round, child };
        self.story.tell(now, task, Happening::Adopted(round, child));
    }

    /// An attempt brought nothing: the task goes back to the head of its queue, or is given up.
    pub(crate) fn lose(&mut self, now: Time, task: TaskId, loss: Loss, out: &mut Vec<Effect>) {
        let key = self.key(task);
        let Some(live) = self.live.get_mut(&task) else {
            return;
        };
        if matches!(live.stage, Stage::Ready) {
            return;
        }
        let stage = std::mem::take(&mut live.stage);
        // The patience with a straggler grows with each abort, so aborts come to an end by themselves.
        live.losses += u32::from(loss != Loss::FastAbort);
        let attempts = live.n;
        let exhausted = live.losses >= LOSSES_PER_TASK_MAX;
        let (round, child) = match stage {
            Stage::Ready => return,
            Stage::Leased { round, child } => (round, child),
            Stage::Arriving(arriving) => {
                self.landed(task, &arriving);
                (arriving.round, arriving.child)
            }
        };
        // Not forgotten: the patience with a straggler grows with each time it was given up.
        self.sched.lost(key);
        *self.losses.entry(loss).or_default() += 1;
        self.story.tell(now, task, Happening::Lost(round, loss));
        if exhausted {
            let verdict = Verdict::GivenUp(Failure::LostTooOften);
            let outcome = Outcome {
                task,
                verdict,
                attempts,
                site: Arc::default(),
            };
            self.account(now, vec![outcome], out);
        } else {
            self.requeue(now, task, Some(child));
        }
    }

    /// Puts an open task back at the head of its queue.
    pub(crate) fn requeue(&mut self, now: Time, task: TaskId, avoid: Option<ChildId>) {
        let Some(template) = self.book.open.get(&task).map(|open| open.template) else {
            return;
        };
        if let Some(class) = self.class(template) {
            self.sched
                .ready(now, self.key(task), class, Where::Front, avoid);
        }
    }

    /// Ends whatever attempt of `task` is under way, without a loss: its outcome is known or it is cancelled.
    pub(crate) fn recall(&mut self, task: TaskId) {
        let key = self.key(task);
        self.sched.forget(key);
        let Some(live) = self.live.remove(&task) else {
            return;
        };
        let (round, child) = match live.stage {
            Stage::Ready => return,
            Stage::Leased { round, child } => (round, child),
            Stage::Arriving(arriving) => {
                self.landed(task, &arriving);
                (arriving.round, arriving.child)
            }
        };
        if let Some(link) = self.crew.link_of(child) {
            self.outbox.cancel(link, self.attempt(task, round));
        }
    }

    /// Gives up attempts that take much longer than their kind.
    pub(crate) fn give_up_stragglers(&mut self, now: Time, out: &mut Vec<Effect>) {
        let mut stragglers = Vec::new();
        self.sched.stragglers(now, &mut stragglers);
        for straggler in stragglers {
            let task = straggler.key.task;
            if let Some(Live {
                stage: Stage::Leased { round, child },
                ..
            }) = self.live.get(&task)
                && let Some(link) = self.crew.link_of(*child)
            {
                let round = *round;
                self.outbox.cancel(link, self.attempt(task, round));
                self.lose(now, task, Loss::FastAbort, out);
                if let Some(live) = self.live.get_mut(&task) {
                    live.given_up = Some(round);
                }
            }
        }
    }

    pub(crate) fn check_leases(&self) {
        for (task, live) in self.live.iter() {
            assert!(
                self.book.open.contains_key(&task),
                "{task} is known as live and has its outcome"
            );
            let leased = self.sched.lease(self.key(task));
            match &live.stage {
                Stage::Ready | Stage::Arriving(_) => {
                    assert_eq!(leased, None, "{task} is not leased")
                }
                Stage::Leased { child, .. } => assert_eq!(leased, Some(*child), "{task} is leased"),
            }
        }
        let arriving = self
            .live
            .values()
            .filter(|live| matches!(live.stage, Stage::Arriving(_)))
            .count() as u64;
        assert_eq!(arriving, self.arriving, "arriving results are counted");
    }
}
