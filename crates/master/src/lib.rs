//! The master's brain: owns one project's queue, gives each task exactly one outcome.
//!
//! Two halves. The [`Book`] is durable: the fold of a journal of facts (submitted, accounted, delivered), the same
//! after a crash as before. Everything else is live and learned again: links, leases, results on their way. What a
//! crash forgets, the inventories of foremen and workers tell: an attempt that still runs is adopted, a result that
//! is held comes again, and only what nobody holds is leased anew.
//!
//! Inputs only change state; what they call for is gathered and handed out by the tick at the end of a driver's
//! turn, so that a burst of reports costs one frame of acknowledgements and one of new work for each subordinate.
//!
//! Not here: the choice of a child (`muster-sched`), bytes, sockets, files, clocks.

mod book;
mod children;
mod event;
mod leases;
mod recovery;
mod results;
mod story;
mod users;
mod views;

pub use book::{Book, Kept, OpenTask, Session};
pub use event::{Event, Opened, Submitted};

use std::collections::{BTreeMap, VecDeque};

use muster_proto::limits::PLACEMENTS_PER_CALL_MAX;
use muster_proto::machine::{Deadline, Gate, Input, Machine, Never, Output, Side};
use muster_proto::outcome::Loss;
use muster_proto::task::FileRef;
use muster_proto::wire::{CloseCode, Frame, Subject};
use muster_proto::{
    Attempt, Digest, Epoch, LinkId, Lsn, MasterId, TaskId, TaskKey, TemplateId, Time, Try,
};
use muster_sched::{ClassId, ClassSpec, Crew, Gates, Outbox, Sched, SeqMap, Views};

use crate::leases::Live;
use crate::recovery::Recovery;
use crate::results::{Fetches, Unneeded};
use crate::story::Story;
use crate::users::{Cancellation, Watcher};

/// What a master asks of its driver.
pub type Effect = Output<Event, Never>;

/// What a master is told at its start.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Seed of the scheduler's random choices.
    pub seed: u64,
    /// The queue's number if the journal is new; drawn at random by the driver.
    pub fresh: MasterId,
}

/// The master's brain.
#[derive(Debug)]
pub struct Master {
    book: Book,
    /// The last record given to the journal.
    lsn: Lsn,
    /// What goes down waits for this record: the epoch and the tasks it speaks of are durable.
    safe: Lsn,
    /// The fact of this start, until it is recorded.
    unopened: Option<Opened>,
    live: SeqMap<TaskId, Live>,
    sched: Sched,
    crew: Crew,
    classes: BTreeMap<TemplateId, ClassId>,
    recovery: Option<Recovery>,
    fetches: Fetches,
    /// How many results on their way have each file.
    landing: BTreeMap<Digest, u32>,
    /// Files that nothing refers to, by when they may be given up.
    unneeded: Unneeded,
    /// Files that may be needed no more, until the end of the turn.
    strays: Vec<Digest>,
    watchers: BTreeMap<LinkId, Watcher>,
    cancellations: VecDeque<Cancellation>,
    outbox: Outbox,
    story: Story,
    losses: BTreeMap<Loss, u64>,
    attempts: u64,
    arriving: u64,
    /// What people ask.
    views: Views,
    leaving: bool,
    /// Whether the next tick has something to hand out.
    stirred: bool,
}

impl Master {
    /// A master on the facts of its journal; `replay` is empty for a new one.
    ///
    /// Of the `files` in its store, those that nothing refers to are given up after a while.
    pub fn new(
        now: Time,
        config: Config,
        files: impl IntoIterator<Item = FileRef>,
        replay: impl IntoIterator<Item = Event>,
    ) -> Self {
        let mut book = Book::default();
        let mut lsn = Lsn(0);
        for event in replay {
            book.apply(&event);
            lsn.0 += 1;
        }
        book.take_retired();
        let master = if lsn == Lsn(0) {
            config.fresh
        } else {
            book.master
        };
        let opened = Opened {
            master,
            epoch: Epoch(book.epoch.0 + 1),
        };
        let recovery = Recovery::of(now, &book);
        Self {
            book,
            lsn,
            safe: Lsn(0),
            unopened: Some(opened),
            live: SeqMap::new(),
            sched: Sched::new(config.seed),
            crew: Crew::default(),
            classes: BTreeMap::new(),
            recovery,
            fetches: Fetches::default(),
            landing: BTreeMap::new(),
            unneeded: Unneeded::default(),
            strays: files.into_iter().map(|file| file.digest).collect(),
            watchers: BTreeMap::new(),
            cancellations: VecDeque::new(),
            outbox: Outbox::default(),
            story: Story::default(),
            losses: BTreeMap::new(),
            attempts: 0,
            arriving: 0,
            views: Views::default(),
            leaving: false,
            stirred: true,
        }
    }

    /// What the journal holds, folded.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Whether a leaving master has handed out all it had to say.
    pub fn is_drained(&self) -> bool {
        self.leaving && !self.stirred
    }

    /// Records a fact: first in the book, then in the journal.
    fn record(&mut self, event: Event, out: &mut Vec<Effect>) -> Lsn {
        self.book.apply(&event);
        self.lsn.0 += 1;
        out.push(Output::Record(event));
        self.lsn
    }

    /// The end of a turn: hands out what its inputs called for.
    fn turn(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.stirred = false;
        self.expire(now, out);
        self.give_up_stragglers(now, out);
        self.release_recovered(now, out);
        self.cancel_some(now, out);
        if !self.leaving {
            self.place(now, PLACEMENTS_PER_CALL_MAX, out);
        }
        self.push_outcomes(out);
        self.retire_templates();
        self.outbox.flush(
            Gates {
                recorded: self.lsn,
                safe: self.safe,
            },
            out,
        );
        self.forget_files(now, out);
        self.answer_due(now, out);
    }

    fn frame(&mut self, now: Time, link: LinkId, frame: Frame, out: &mut Vec<Effect>) {
        match frame {
            Frame::Offer(offer) => self.crew.offer(link, &offer, &mut self.sched),
            Frame::Inventory(inventory) => self.inventory(now, link, &inventory, out),
            Frame::Reports(reports) => self.reports(now, link, reports, out),
            Frame::Started(started) => self.started(now, link, &started),
            Frame::Submit(submit) => self.submit(now, link, submit, out),
            Frame::Watch(watch) => self.watch(link, watch),
            Frame::Delivered(delivered) => self.delivered(link, delivered, out),
            Frame::CancelTasks(cancel) => self
                .cancellations
                .push_back(Cancellation::new(link, cancel)),
            Frame::Status(_) => self.ask_sites(now, link, out),
            Frame::StatusReply(reply) => self.views.site(link, reply, &self.crew),
            Frame::Explain(explain) => match explain.subject {
                Subject::Task(task) => self.send(link, self.explain(now, task), out),
                Subject::File(digest) => self.ask_about_file(now, link, digest, out),
            },
            Frame::Explained(explained) => self.views.file(link, explained, &self.crew),
            Frame::Hello(_)
            | Frame::Assign(_)
            | Frame::Ack(_)
            | Frame::Cancel(_)
            | Frame::Retire(_)
            | Frame::Inquire(_)
            | Frame::Desist(_)
            | Frame::Answered(_)
            | Frame::Replica(_)
            | Frame::Raft(_)
            | Frame::Submitted(_)
            | Frame::Outcomes(_)
            | Frame::Cancelled(_) => out.push(Output::Close {
                link,
                code: CloseCode::Protocol,
            }),
        }
    }

    fn send(&self, link: LinkId, frame: impl Into<Frame>, out: &mut Vec<Effect>) {
        out.push(Output::Send {
            link,
            frame: frame.into(),
            gate: Gate::Now,
        });
    }

    fn attempt(&self, task: TaskId, round: Try) -> Attempt {
        Attempt {
            key: self.key(task),
            round,
        }
    }

    fn key(&self, task: TaskId) -> TaskKey {
        TaskKey {
            master: self.book.master,
            task,
        }
    }

    /// The queue a template's tasks wait in.
    fn class(&mut self, template: TemplateId) -> Option<ClassId> {
        if let Some(class) = self.classes.get(&template) {
            return Some(*class);
        }
        let kept = &self.book.templates.get(&template)?.template;
        let spec = ClassSpec {
            resources: kept.resources,
            policy: kept.policy.clone(),
            category: kept.category.clone(),
        };
        let class = self.sched.class(spec);
        self.classes.insert(template, class);
        Some(class)
    }
}

impl Machine for Master {
    type Input = Input<Never>;
    type Output = Effect;

    fn handle(&mut self, now: Time, input: Self::Input, out: &mut Vec<Self::Output>) {
        if let Some(opened) = self.unopened.take() {
            self.safe = self.record(Event::Opened(opened), out);
        }
        match input {
            Input::Tick => return self.turn(now, out),
            Input::LinkUp { link, peer, side } => match side {
                Side::Subordinate => {
                    self.crew.link_up(link, peer, &mut self.sched);
                }
                Side::User => {
                    self.watchers.insert(link, Watcher::default());
                }
                Side::Superior => out.push(Output::Close {
                    link,
                    code: CloseCode::WrongRole,
                }),
            },
            Input::LinkDown { link } => self.link_down(now, link),
            Input::Frame { link, frame } => self.frame(now, link, frame, out),
            Input::Fetched { link, digest, end } => self.fetched(now, link, digest, end, out),
            // What a master holds is nowhere else; whoever asked is told that it is absent, and the task fails by name.
            Input::Missed { .. } => {}
            // An outcome is told when its files are here whole.
            Input::Arriving { .. } => {}
            Input::Drain => self.leaving = true,
            Input::Local(never) => match never {},
        }
        self.stirred = true;
    }

    fn deadline(&self) -> Option<Deadline> {
        let stirred = self.stirred.then_some(Deadline {
            at: Time(0),
            why: "a turn has something to hand out",
        });
        let recovery = self.recovery.as_ref().map(Recovery::deadline);
        [
            stirred,
            recovery,
            self.unneeded.deadline(),
            self.views.deadline(),
            self.crew.deadline(),
            self.sched.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn check(&self) {
        self.book.check();
        self.sched.check();
        self.check_leases();
    }
}

/// Files of a task for the scheduler: those of its template and its own.
struct TaskFiles<'a>(&'a Book);

impl muster_sched::Files for TaskFiles<'_> {
    fn each_file(&self, key: TaskKey, visit: &mut dyn FnMut(muster_proto::task::FileRef)) {
        if let Some(task) = self.0.open.get(&key.task) {
            let shared = self
                .0
                .templates
                .get(&task.template)
                .map(|kept| kept.template.inputs.as_slice());
            let inputs = shared.unwrap_or_default().iter().chain(&task.body.inputs);
            inputs.for_each(|input| visit(input.file));
        }
    }
}

/// The contents that a fetch is about, from where.
type Wanted = (LinkId, Digest);
