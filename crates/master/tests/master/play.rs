//! A master on a stage: it is given inputs, its outputs are gathered, and its books are checked after every step.

use std::sync::Arc;

use muster_master::{Config, Effect, Event, Master};
use muster_proto::machine::{FetchEnd, Gate, Input, Machine, Output, Record, Side};
use muster_proto::outcome::{
    End, Failure, Loss, Measured, Outcome, Ran, Report, ReturnedFile, Stream,
};
use muster_proto::task::{Command, FileRef, Policy, TaskBody, Template, Words};
use muster_proto::wire::{
    Assigned, CancelTasks, CloseCode, Delivered, Frame, Held, Inventory, Offer, Reports, Status,
    StatusReply, Submit, TaskCounts, Watch,
};
use muster_proto::{
    Attempt, Digest, Epoch, LinkId, Lsn, MasterId, Peer, RelPath, Resources, Role, Span, TaskId,
    TaskKey, Time, Try,
};

pub const MASTER: MasterId = MasterId(77);
/// A user who watches nothing and asks how things stand.
const OBSERVER: LinkId = LinkId(0);

pub struct Play {
    master: Master,
    now: Time,
    pub journal: Vec<Event>,
    sent: Vec<(LinkId, Frame, Gate)>,
    pub fetches: Vec<(LinkId, Digest, u64)>,
    pub forgotten: Vec<Digest>,
    pub closed: Vec<(LinkId, CloseCode)>,
    links: u32,
}

impl Play {
    pub fn new() -> Play {
        Play::on(Time(0), Vec::new())
    }

    fn on(now: Time, journal: Vec<Event>) -> Play {
        let config = Config {
            seed: 1,
            fresh: MASTER,
        };
        let mut play = Play {
            master: Master::new(now, config, [], journal.clone()),
            now,
            journal,
            sent: Vec::new(),
            fetches: Vec::new(),
            forgotten: Vec::new(),
            closed: Vec::new(),
            links: 0,
        };
        play.input(Input::LinkUp {
            link: OBSERVER,
            peer: peer(Role::User, "observer"),
            side: Side::User,
        });
        play.tick();
        play
    }

    /// The process dies after its journal reached the disk, and starts again.
    pub fn restart(self) -> Play {
        let written = |event: &Event| {
            let mut bytes = Vec::new();
            event.encode(&mut bytes);
            Event::decode(&bytes).expect("its own record")
        };
        let journal = self.journal.iter().map(written).collect();
        let play = Play::on(self.now, journal);
        let mut book = muster_master::Book::default();
        play.journal.iter().for_each(|event| book.apply(event));
        book.take_orphans();
        book.take_retired();
        assert_eq!(
            play.master.book(),
            &book,
            "the book is the fold of the journal"
        );
        play
    }

    pub fn input(&mut self, input: Input<muster_proto::machine::Never>) {
        let mut out = Vec::new();
        self.master.handle(self.now, input, &mut out);
        self.perform(out);
        self.master.check();
    }

    fn perform(&mut self, out: Vec<Effect>) {
        for effect in out {
            match effect {
                Output::Record(event) => self.journal.push(event),
                Output::Send { link, frame, gate } => {
                    let mut bytes = Vec::new();
                    frame.encode(&mut bytes);
                    assert!(
                        self.lsn_of(gate) <= self.lsn(),
                        "a gate is a record that was made"
                    );
                    self.sent.push((link, frame, gate));
                }
                Output::Fetch {
                    link,
                    digest,
                    bytes,
                } => self.fetches.push((link, digest, bytes)),
                Output::Forget { digest, .. } => self.forgotten.push(digest),
                Output::Close { link, code } => self.closed.push((link, code)),
                Output::Local(never) => match never {},
            }
        }
    }

    /// Ends the turn, and those that follow at once; then the books must balance.
    pub fn tick(&mut self) {
        for _ in 0..1_000 {
            self.input(Input::Tick);
            if self
                .master
                .deadline()
                .is_none_or(|deadline| deadline.at > self.now)
            {
                let TaskCounts {
                    submitted,
                    waiting,
                    leased,
                    accounted,
                    delivered,
                    undelivered,
                    ..
                } = self.counts();
                assert_eq!(submitted, waiting + leased + accounted);
                assert_eq!(accounted, delivered + undelivered);
                return;
            }
        }
        panic!("the master never rests");
    }

    pub fn pass(&mut self, span: Span) {
        self.now = self.now + span;
        self.tick();
    }

    pub fn status(&mut self) -> StatusReply {
        self.input(Input::Frame {
            link: OBSERVER,
            frame: Status {}.into(),
        });
        // Foremen are asked as well, and answer.
        let is_asked =
            |(_, frame, _): &mut (LinkId, Frame, Gate)| matches!(frame, Frame::Status(_));
        let asked: Vec<_> = self.sent.extract_if(.., is_asked).collect();
        for (link, ..) in asked {
            self.hear(link, StatusReply::default());
        }
        self.input(Input::Tick);
        match self.said(OBSERVER).pop() {
            Some(Frame::StatusReply(reply)) => reply,
            other => panic!("no status: {other:?}"),
        }
    }

    pub fn counts(&mut self) -> TaskCounts {
        self.status().tasks
    }

    pub fn lsn(&self) -> Lsn {
        Lsn(self.journal.len() as u64)
    }

    fn lsn_of(&self, gate: Gate) -> Lsn {
        match gate {
            Gate::Now => Lsn(0),
            Gate::Durable(lsn) => lsn,
        }
    }

    /// What was said on a link since this was last asked.
    pub fn said(&mut self, link: LinkId) -> Vec<Frame> {
        self.said_behind(link)
            .into_iter()
            .map(|(frame, _)| frame)
            .collect()
    }

    /// The same, each with the record that must be durable first.
    pub fn said_behind(&mut self, link: LinkId) -> Vec<(Frame, Lsn)> {
        let (here, rest) = std::mem::take(&mut self.sent)
            .into_iter()
            .partition(|(to, ..)| *to == link);
        self.sent = rest;
        let here: Vec<(LinkId, Frame, Gate)> = here;
        here.into_iter()
            .map(|(_, frame, gate)| (frame, self.lsn_of(gate)))
            .collect()
    }

    pub fn hear(&mut self, link: LinkId, frame: impl Into<Frame>) {
        self.input(Input::Frame {
            link,
            frame: frame.into(),
        });
    }

    fn link(&mut self) -> LinkId {
        self.links += 1;
        LinkId(self.links)
    }

    pub fn user(&mut self) -> LinkId {
        let link = self.link();
        self.input(Input::LinkUp {
            link,
            peer: peer(Role::User, "someone"),
            side: Side::User,
        });
        link
    }

    /// A subordinate whose link stands, and that has said nothing yet.
    pub fn arrives(&mut self, who: &Peer) -> LinkId {
        let link = self.link();
        self.input(Input::LinkUp {
            link,
            peer: who.clone(),
            side: Side::Subordinate,
        });
        link
    }

    /// A worker that offers `cores` and holds nothing.
    pub fn worker(&mut self, name: &str, cores: u32) -> LinkId {
        let link = self.arrives(&peer(Role::Worker, name));
        self.offers(link, cores);
        self.holds(link, &[]);
        link
    }

    pub fn offers(&mut self, link: LinkId, cores: u32) {
        self.hear(
            link,
            Offer {
                host: "node".to_owned(),
                shapes: vec![(Resources::cores(cores), 1)],
            },
        );
    }

    /// The complete inventory of a subordinate.
    pub fn holds(&mut self, link: LinkId, held: &[(TaskId, Try)]) {
        self.inventory(link, held, true);
    }

    pub fn inventory(&mut self, link: LinkId, held: &[(TaskId, Try)], settled: bool) {
        let attempt = |(task, round): &(TaskId, Try)| Attempt {
            key: TaskKey {
                master: MASTER,
                task: *task,
            },
            round: *round,
        };
        let held = held.iter().map(|held| Held {
            attempt: attempt(held),
            resources: Resources::cores(1),
        });
        self.hear(
            link,
            Inventory {
                held: held.collect(),
                last: true,
                settled,
            },
        );
    }

    pub fn leaves(&mut self, link: LinkId) {
        self.input(Input::LinkDown { link });
        self.tick();
    }

    pub fn submit(&mut self, user: LinkId, sequence: u64, template: Template, tasks: usize) {
        let tasks = vec![TaskBody::default(); tasks];
        self.hear(
            user,
            Submit {
                session: 5,
                sequence,
                template: Arc::new(template),
                tasks,
            },
        );
    }

    /// Tasks that someone has submitted; that someone then leaves.
    pub fn queued(&mut self, template: Template, tasks: usize) {
        let user = self.user();
        let sequence = self.journal.len() as u64;
        self.submit(user, sequence, template, tasks);
        self.leaves(user);
    }

    pub fn watch(&mut self, user: LinkId, ranges: &[(u64, u64)]) {
        self.hear(
            user,
            Watch {
                ranges: tasks(ranges),
            },
        );
        self.tick();
    }

    pub fn cancel(&mut self, user: LinkId, ranges: &[(u64, u64)]) {
        self.hear(
            user,
            CancelTasks {
                ranges: tasks(ranges),
            },
        );
        self.tick();
    }

    pub fn delivered(&mut self, user: LinkId, tasks: &[u64]) {
        self.hear(
            user,
            Delivered {
                tasks: tasks.iter().copied().map(TaskId).collect(),
            },
        );
        self.tick();
    }

    /// What the turn's end hands to a subordinate.
    pub fn assigned(&mut self, link: LinkId) -> Vec<(TaskId, Try)> {
        self.tick();
        let batches = self.said(link).into_iter().filter_map(|frame| match frame {
            Frame::Assign(assign) => Some(assign.tasks),
            _ => None,
        });
        batches
            .flatten()
            .map(|Assigned { task, round, .. }| (task, round))
            .collect()
    }

    pub fn reports(&mut self, link: LinkId, reports: Vec<Report>) {
        self.hear(
            link,
            Reports {
                master: MASTER,
                reports,
            },
        );
        self.tick();
    }

    pub fn done(&mut self, link: LinkId, (task, round): (TaskId, Try)) {
        self.reports(
            link,
            vec![Report {
                task,
                round,
                end: End::Ran(ran(Ok(()), &[])),
            }],
        );
    }

    pub fn failed(&mut self, link: LinkId, (task, round): (TaskId, Try)) {
        self.reports(
            link,
            vec![Report {
                task,
                round,
                end: End::Ran(ran(Err(Failure::Exit(1)), &[])),
            }],
        );
    }

    pub fn lost(&mut self, link: LinkId, (task, round): (TaskId, Try), loss: Loss) {
        self.reports(
            link,
            vec![Report {
                task,
                round,
                end: End::Lost(loss),
            }],
        );
    }

    pub fn brings(&mut self, link: LinkId, (task, round): (TaskId, Try), files: &[u8]) {
        self.reports(
            link,
            vec![Report {
                task,
                round,
                end: End::Ran(ran(Ok(()), files)),
            }],
        );
    }

    pub fn fetched(&mut self, link: LinkId, file: u8, end: FetchEnd) {
        self.input(Input::Fetched {
            link,
            digest: digest(file),
            end,
        });
        self.tick();
    }

    /// Every outcome in the journal, in order.
    pub fn outcomes(&self) -> Vec<&Outcome> {
        let batches = self.journal.iter().filter_map(|event| match event {
            Event::Accounted(outcomes) => Some(outcomes),
            _ => None,
        });
        batches.flatten().collect()
    }
}

pub fn peer(role: Role, name: &str) -> Peer {
    Peer {
        role,
        site: "campus".to_owned(),
        name: name.to_owned(),
    }
}

pub fn round(epoch: u32, n: u32) -> Try {
    Try {
        epoch: Epoch(epoch),
        n,
    }
}

fn tasks(ranges: &[(u64, u64)]) -> Vec<(TaskId, TaskId)> {
    ranges
        .iter()
        .map(|(first, last)| (TaskId(*first), TaskId(*last)))
        .collect()
}

pub fn digest(n: u8) -> Digest {
    Digest([n; 32])
}

/// One core, and as many retries.
pub fn template(retries: u16) -> Template {
    Template {
        command: Command::Exec(Words::new(&["./fold"]).expect("good words")),
        environment: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        resources: Resources::cores(1),
        policy: Policy {
            retries,
            ..Policy::default()
        },
        category: "fold".to_owned(),
    }
}

pub fn ran(result: Result<(), Failure>, files: &[u8]) -> Arc<Ran> {
    let output = |n: &u8| ReturnedFile {
        name: RelPath::new(&format!("out{n}")).expect("a good path"),
        file: FileRef {
            digest: digest(*n),
            bytes: 10,
        },
        executable: false,
    };
    Arc::new(Ran {
        result,
        worker: "w1".to_owned(),
        measured: Measured {
            wall: Span::secs(1),
            ..Measured::default()
        },
        stdout: Stream::default(),
        stderr: Stream::default(),
        outputs: files.iter().map(output).collect(),
    })
}

/// The attempts that frames acknowledge.
pub fn acked(frames: &[Frame]) -> Vec<(TaskId, Try)> {
    let acks = frames.iter().filter_map(|frame| match frame {
        Frame::Ack(ack) => Some(ack.attempts.clone()),
        _ => None,
    });
    acks.flatten().collect()
}

/// The attempts that frames cancel.
pub fn cancelled(frames: &[Frame]) -> Vec<(TaskId, Try)> {
    let cancels = frames.iter().filter_map(|frame| match frame {
        Frame::Cancel(cancel) => Some(cancel.attempts.clone()),
        _ => None,
    });
    cancels.flatten().collect()
}

/// The report of an attempt that failed.
pub fn failure((task, round): (TaskId, Try)) -> Reports {
    let end = End::Ran(ran(Err(Failure::Exit(1)), &[]));
    Reports {
        master: MASTER,
        reports: vec![Report { task, round, end }],
    }
}
