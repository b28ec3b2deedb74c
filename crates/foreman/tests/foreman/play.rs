//! A foreman on a stage: it is given inputs, its outputs are gathered, and its books are checked after every step.

use std::sync::Arc;

use muster_foreman::{Config, Effect, Event, Foreman};
use muster_proto::machine::{FetchEnd, Gate, Input, Machine, Output, Record, Side};
use muster_proto::outcome::{End, Failure, Loss, Measured, Ran, Report, ReturnedFile, Stream};
use muster_proto::task::{Command, FileRef, Form, InputFile, Policy, TaskBody, Template, Words};
use muster_proto::wire::{
    Ack, Assign, Assigned, Cancel, CloseCode, Frame, Held, Inventory, Offer, Reports,
};
use muster_proto::{
    Attempt, Digest, Epoch, LinkId, Lsn, MasterId, Peer, RelPath, Resources, Role, Span, TaskId,
    TaskKey, TemplateId, Time, Try,
};

pub const MASTER: MasterId = MasterId(77);
pub const OTHER: MasterId = MasterId(88);

/// A task and the try at it.
pub type Tried = (TaskId, Try);

pub struct Play {
    pub foreman: Foreman,
    now: Time,
    pub journal: Vec<Event>,
    sent: Vec<(LinkId, Frame, Gate)>,
    pub fetches: Vec<(LinkId, Digest)>,
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
            name: "f1".to_owned(),
            seed: 1,
            cache_bytes_max: 1 << 30,
        };
        Play {
            foreman: Foreman::new(now, config, [], journal.clone()),
            now,
            journal,
            sent: Vec::new(),
            fetches: Vec::new(),
            forgotten: Vec::new(),
            closed: Vec::new(),
            links: 0,
        }
    }

    /// The process dies after its spool reached the disk, and starts again.
    pub fn restart(self) -> Play {
        let written = |event: &Event| {
            let mut bytes = Vec::new();
            event.encode(&mut bytes);
            Event::decode(&bytes).expect("its own record")
        };
        let play = Play::on(self.now, self.journal.iter().map(written).collect());
        let mut spool = muster_foreman::Spool::default();
        play.journal.iter().for_each(|event| spool.apply(event));
        assert_eq!(
            play.foreman.spool(),
            &spool,
            "the spool is the fold of the journal"
        );
        play
    }

    pub fn input(&mut self, input: Input<muster_proto::machine::Never>) {
        let mut out = Vec::new();
        self.foreman.handle(self.now, input, &mut out);
        self.perform(out);
        self.foreman.check();
    }

    fn perform(&mut self, out: Vec<Effect>) {
        for effect in out {
            match effect {
                Output::Record(event) => self.journal.push(event),
                Output::Send { link, frame, gate } => {
                    frame.encode(&mut Vec::new());
                    self.sent.push((link, frame, gate));
                }
                Output::Fetch { link, digest, .. } => self.fetches.push((link, digest)),
                Output::Forget { digest, .. } => self.forgotten.push(digest),
                Output::Close { link, code } => self.closed.push((link, code)),
                Output::Local(never) => match never {},
            }
        }
    }

    /// Ends the turn, and those that follow at once or when results have waited for company.
    pub fn tick(&mut self) {
        for _ in 0..1_000 {
            self.input(Input::Tick);
            match self.foreman.deadline() {
                Some(deadline) if deadline.at <= self.now => {}
                Some(deadline) if deadline.why == "news has waited for company" => {
                    self.now = deadline.at;
                }
                Some(_) | None => return,
            }
        }
        panic!("the foreman never rests");
    }

    pub fn pass(&mut self, span: Span) {
        self.now = self.now + span;
        self.tick();
    }

    pub fn lsn(&self) -> Lsn {
        Lsn(self.journal.len() as u64)
    }

    /// What was said on a link since this was last asked, each with the record that must be durable first.
    pub fn said_behind(&mut self, link: LinkId) -> Vec<(Frame, Lsn)> {
        let (here, rest) = std::mem::take(&mut self.sent)
            .into_iter()
            .partition(|(to, ..)| *to == link);
        self.sent = rest;
        let here: Vec<(LinkId, Frame, Gate)> = here;
        let behind = |gate| match gate {
            Gate::Now => Lsn(0),
            Gate::Durable(lsn) => lsn,
        };
        here.into_iter()
            .map(|(_, frame, gate)| (frame, behind(gate)))
            .collect()
    }

    pub fn said(&mut self, link: LinkId) -> Vec<Frame> {
        self.said_behind(link)
            .into_iter()
            .map(|(frame, _)| frame)
            .collect()
    }

    pub fn hear(&mut self, link: LinkId, frame: impl Into<Frame>) {
        self.input(Input::Frame {
            link,
            frame: frame.into(),
        });
    }

    pub fn arrives(&mut self, who: &Peer, side: Side) -> LinkId {
        self.links += 1;
        let link = LinkId(self.links);
        self.input(Input::LinkUp {
            link,
            peer: who.clone(),
            side,
        });
        link
    }

    pub fn above(&mut self, name: &str) -> LinkId {
        self.arrives(&peer(Role::Master, name), Side::Superior)
    }

    /// A worker that offers `cores` and holds nothing.
    pub fn worker(&mut self, name: &str, cores: u32) -> LinkId {
        let link = self.arrives(&peer(Role::Worker, name), Side::Subordinate);
        self.hear(
            link,
            Offer {
                host: name.to_owned(),
                shapes: vec![(Resources::cores(cores), 1)],
            },
        );
        self.holds(link, &[]);
        self.tick();
        link
    }

    /// The complete inventory of a worker.
    pub fn holds(&mut self, link: LinkId, held: &[Tried]) {
        let held = held.iter().map(|tried| Held {
            attempt: attempt(*tried),
            resources: Resources::cores(1),
        });
        self.hear(
            link,
            Inventory {
                held: held.collect(),
                last: true,
                settled: true,
            },
        );
    }

    pub fn leaves(&mut self, link: LinkId) {
        self.input(Input::LinkDown { link });
        self.tick();
    }

    /// A master hands down tasks of its only template, each with these input files.
    pub fn assigns(
        &mut self,
        link: LinkId,
        (master, epoch): (MasterId, u32),
        tried: &[Tried],
        files: &[u8],
    ) {
        let body = TaskBody {
            inputs: files.iter().map(|n| input(*n)).collect(),
            ..TaskBody::default()
        };
        let task = |(task, round): &Tried| Assigned {
            task: *task,
            round: *round,
            template: TemplateId(1),
            body: body.clone(),
        };
        let tasks = tried.iter().map(task).collect();
        self.hear(
            link,
            Assign {
                master,
                epoch: Epoch(epoch),
                templates: vec![(TemplateId(1), Arc::new(template()))],
                tasks,
            },
        );
        self.tick();
    }

    pub fn acks(&mut self, link: LinkId, master: MasterId, attempts: &[Tried]) {
        self.hear(
            link,
            Ack {
                master,
                attempts: attempts.to_vec(),
            },
        );
        self.tick();
    }

    pub fn cancels(&mut self, link: LinkId, master: MasterId, attempts: &[Tried]) {
        self.hear(
            link,
            Cancel {
                master,
                attempts: attempts.to_vec(),
            },
        );
        self.tick();
    }

    /// A worker reports that an attempt of `MASTER` succeeded, with these output files.
    pub fn brings(&mut self, link: LinkId, (task, round): Tried, files: &[u8]) {
        let end = End::Ran(ran(Ok(()), files));
        self.hear(
            link,
            Reports {
                master: MASTER,
                reports: vec![Report { task, round, end }],
            },
        );
        self.tick();
    }

    /// Large contents have begun to arrive.
    pub fn begins(&mut self, file: u8) {
        self.input(Input::Arriving {
            digest: digest(file),
        });
        self.tick();
    }

    pub fn fetched(&mut self, link: LinkId, file: u8, end: FetchEnd) {
        self.input(Input::Fetched {
            link,
            digest: digest(file),
            end,
        });
        self.tick();
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

pub fn first(task: u64) -> Tried {
    (TaskId(task), round(1, 1))
}

pub fn attempt((task, round): Tried) -> Attempt {
    Attempt {
        key: TaskKey {
            master: MASTER,
            task,
        },
        round,
    }
}

pub fn digest(n: u8) -> Digest {
    Digest([n; 32])
}

fn path(n: u8) -> RelPath {
    RelPath::new(&format!("file{n}")).expect("a good path")
}

fn input(n: u8) -> InputFile {
    InputFile {
        name: path(n),
        file: FileRef {
            digest: digest(n),
            bytes: 10,
        },
        form: Form::Data,
    }
}

fn template() -> Template {
    Template {
        command: Command::Exec(Words::new(&["./fold"]).expect("good words")),
        environment: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        resources: Resources::cores(1),
        policy: Policy::default(),
        category: "fold".to_owned(),
    }
}

pub fn ran(result: Result<(), Failure>, files: &[u8]) -> Arc<Ran> {
    let output = |n: &u8| ReturnedFile {
        name: path(*n),
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

/// What frames hand down, acknowledge, cancel, list as held, and report as run or lost.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub assigned: Vec<Tried>,
    pub acked: Vec<Tried>,
    pub cancelled: Vec<Tried>,
    pub held: Vec<Tried>,
    pub ran: Vec<Tried>,
    pub lost: Vec<(Tried, Loss)>,
}

pub fn digest_of(frames: &[Frame]) -> Said {
    let mut said = Said::default();
    for frame in frames {
        match frame {
            Frame::Assign(frame) => said
                .assigned
                .extend(frame.tasks.iter().map(|task| (task.task, task.round))),
            Frame::Ack(frame) => said.acked.extend(&frame.attempts),
            Frame::Cancel(frame) => said.cancelled.extend(&frame.attempts),
            Frame::Inventory(frame) => {
                said.held.extend(
                    frame
                        .held
                        .iter()
                        .map(|held| (held.attempt.key.task, held.attempt.round)),
                );
            }
            Frame::Reports(frame) => {
                for Report { task, round, end } in &frame.reports {
                    match end {
                        End::Ran(_) => said.ran.push((*task, *round)),
                        End::Lost(loss) => said.lost.push(((*task, *round), *loss)),
                    }
                }
            }
            _ => {}
        }
    }
    said
}
