//! A worker on a stage: it is given inputs, its outputs are gathered, and its books are checked after every step.

use std::sync::Arc;

use muster_proto::machine::{FetchEnd, Input, Machine, Output, Side};
use muster_proto::outcome::{End, Failure, Loss, Measured, Report, ReturnedFile, Stream};
use muster_proto::task::{Command, FileRef, Form, InputFile, Policy, TaskBody, Template, Words};
use muster_proto::wire::{Ack, Assign, Assigned, Cancel, CloseCode, Frame};
use muster_proto::{
    Digest, Epoch, LinkId, MasterId, Peer, RelPath, Resources, Role, Span, TaskId, TemplateId,
    Time, Try,
};
use muster_worker::{Ask, Config, Local, RunEnd, RunId, RunReport, Start, Worker};

pub const MASTER: MasterId = MasterId(77);

/// A task and the try at it.
pub type Tried = (TaskId, Try);
/// An attempt that ran, and its result.
pub type Ended = (Tried, Result<(), Failure>);

/// What was started, and after which run it begins.
pub type Line = (RunId, Option<RunId>, Tried);

pub struct Play {
    pub worker: Worker,
    pub now: Time,
    sent: Vec<(LinkId, Frame)>,
    pub fetches: Vec<(LinkId, Digest)>,
    pub closed: Vec<(LinkId, CloseCode)>,
    starts: Vec<Start>,
    pub killed: Vec<RunId>,
    pub recalled: Vec<RunId>,
    /// How often idle copies were to be given up.
    pub frees: u32,
    pub forgotten: Vec<Digest>,
    links: u32,
}

impl Play {
    /// A worker of 4 cores and 8 GiB.
    pub fn new() -> Play {
        let shape = Resources {
            memory_bytes: 8 << 30,
            ..Resources::cores(4)
        };
        let config = Config {
            name: "w1".to_owned(),
            host: "node07".to_owned(),
            shape,
            cache_bytes_max: 1 << 30,
        };
        Play {
            worker: Worker::new(config, []),
            now: Time(0),
            sent: Vec::new(),
            fetches: Vec::new(),
            closed: Vec::new(),
            starts: Vec::new(),
            killed: Vec::new(),
            recalled: Vec::new(),
            frees: 0,
            forgotten: Vec::new(),
            links: 0,
        }
    }

    /// A worker whose superior is there and has been told what it offers.
    pub fn linked() -> (Play, LinkId) {
        let mut play = Play::new();
        let link = play.above("f1");
        play.tick();
        play.said(link);
        (play, link)
    }

    pub fn input(&mut self, input: Input<Local>) {
        let mut out = Vec::new();
        self.worker.handle(self.now, input, &mut out);
        for effect in out {
            match effect {
                Output::Record(never) => match never {},
                Output::Send { link, frame, .. } => {
                    frame.encode(&mut Vec::new());
                    self.sent.push((link, frame));
                }
                Output::Fetch { link, digest, .. } => self.fetches.push((link, digest)),
                Output::Forget { digest, .. } => self.forgotten.push(digest),
                Output::Close { link, code } => self.closed.push((link, code)),
                Output::Local(Ask::Start(start)) => self.starts.push(*start),
                Output::Local(Ask::Recall(run)) => self.recalled.push(run),
                Output::Local(Ask::Kill(run)) => self.killed.push(run),
                Output::Local(Ask::Free) => self.frees += 1,
            }
        }
        self.worker.check();
    }

    /// Ends the turn, and those that follow at once or when reports have waited for company.
    pub fn tick(&mut self) {
        for _ in 0..1_000 {
            self.input(Input::Tick);
            match self.worker.deadline() {
                Some(deadline) => self.now = self.now.max(deadline.at),
                None => return,
            }
        }
        panic!("the worker never rests");
    }

    pub fn above(&mut self, name: &str) -> LinkId {
        self.links += 1;
        let link = LinkId(self.links);
        let peer = Peer {
            role: Role::Foreman,
            site: "campus".to_owned(),
            name: name.to_owned(),
        };
        self.input(Input::LinkUp {
            link,
            peer,
            side: Side::Superior,
        });
        link
    }

    pub fn leaves(&mut self, link: LinkId) {
        self.input(Input::LinkDown { link });
        self.tick();
    }

    pub fn hear(&mut self, link: LinkId, frame: impl Into<Frame>) {
        self.input(Input::Frame {
            link,
            frame: frame.into(),
        });
        self.tick();
    }

    pub fn said(&mut self, link: LinkId) -> Vec<Frame> {
        let (here, rest) = std::mem::take(&mut self.sent)
            .into_iter()
            .partition(|(to, _)| *to == link);
        self.sent = rest;
        let here: Vec<(LinkId, Frame)> = here;
        here.into_iter().map(|(_, frame)| frame).collect()
    }

    /// Tasks come down with the template they share.
    pub fn assigns(&mut self, link: LinkId, template: &Template, tried: &[Tried]) {
        let task = |(task, round): &Tried| Assigned {
            task: *task,
            round: *round,
            template: TemplateId(1),
            body: TaskBody::default(),
        };
        let epoch = tried.first().map_or(Epoch(1), |(_, round)| round.epoch);
        self.hear(
            link,
            Assign {
                master: MASTER,
                epoch,
                templates: vec![(TemplateId(1), Arc::new(template.clone()))],
                tasks: tried.iter().map(task).collect(),
            },
        );
    }

    pub fn cancels(&mut self, link: LinkId, attempts: &[Tried]) {
        self.hear(
            link,
            Cancel {
                master: MASTER,
                attempts: attempts.to_vec(),
            },
        );
    }

    pub fn acks(&mut self, link: LinkId, attempts: &[Tried]) {
        self.hear(
            link,
            Ack {
                master: MASTER,
                attempts: attempts.to_vec(),
            },
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

    /// What was started since this was last asked.
    pub fn started(&mut self) -> Vec<(RunId, Tried)> {
        let starts = std::mem::take(&mut self.starts);
        starts
            .into_iter()
            .map(|start| (start.run, (start.attempt.key.task, start.attempt.round)))
            .collect()
    }

    /// What was started since this was last asked, and after which run it begins.
    pub fn lines(&mut self) -> Vec<Line> {
        let starts = std::mem::take(&mut self.starts);
        let line = |start: Start| {
            let tried = (start.attempt.key.task, start.attempt.round);
            (start.run, start.after, tried)
        };
        starts.into_iter().map(line).collect()
    }

    pub fn ends(&mut self, run: RunId, end: RunEnd) {
        self.input(Input::Local(Local::Ended {
            run,
            end,
            spoiled: Vec::new(),
        }));
        self.tick();
    }

    pub fn done(&mut self, run: RunId) {
        self.ends(run, RunEnd::Ran(report(Vec::new())));
    }
}

pub fn report(outputs: Vec<ReturnedFile>) -> Box<RunReport> {
    Box::new(RunReport {
        result: Ok(()),
        measured: Measured {
            wall: Span::secs(1),
            ..Measured::default()
        },
        stdout: Stream::default(),
        stderr: Stream::default(),
        outputs,
    })
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

pub fn digest(n: u8) -> Digest {
    Digest([n; 32])
}

/// A template that asks for whole cores and these input files.
pub fn template(cores: u32, files: &[u8]) -> Template {
    let input = |n: &u8| InputFile {
        name: RelPath::new(&format!("in{n}")).expect("a good path"),
        file: FileRef {
            digest: digest(*n),
            bytes: 10,
        },
        form: Form::Data,
    };
    Template {
        command: Command::Exec(Words::new(&["./fold"]).expect("good words")),
        environment: Vec::new(),
        inputs: files.iter().map(input).collect(),
        outputs: Vec::new(),
        resources: Resources::cores(cores),
        policy: Policy::default(),
        category: "fold".to_owned(),
    }
}

/// What frames report: attempts that ran, with their result, and attempts that were lost.
pub fn told(frames: &[Frame]) -> (Vec<Ended>, Vec<(Tried, Loss)>) {
    let (mut ran, mut lost) = (Vec::new(), Vec::new());
    for frame in frames {
        if let Frame::Reports(frame) = frame {
            for Report { task, round, end } in &frame.reports {
                match end {
                    End::Ran(run) => ran.push(((*task, *round), run.result.clone())),
                    End::Lost(loss) => lost.push(((*task, *round), *loss)),
                }
            }
        }
    }
    (ran, lost)
}
