//! One of everything: the frames whose bytes are frozen.

use std::sync::Arc;

use muster_proto::catalog::NodeId;
use muster_proto::outcome::{
    ArchiveFault, End, Failure, Loss, Measured, Outcome, Ran, Report, Resource, ReturnedFile,
    Stream, Verdict,
};
use muster_proto::task::{
    Algorithm, Command, FileRef, Form, InputFile, Need, OutputFile, Policy, TaskBody, Template,
    When, Words,
};
use muster_proto::wire::{
    Ack, Assign, Assigned, CacheStatus, Cancel, CancelTasks, Cancelled, Delivered, Desist, Explain,
    Explained, Frame, Held, Hello, Inventory, Kind, LinkStatus, Offer, Outcomes, Refusal, Replica,
    Reports, Retire, SiteStatus, Started, Status, StatusReply, Subject, Submit, Submitted,
    TaskCounts, Watch,
};
use muster_proto::{
    Attempt, Digest, Epoch, MasterId, Peer, RelPath, Resources, Role, Span, TaskId, TaskKey,
    TemplateId, Try,
};

use crate::catalog;

const MASTER: MasterId = MasterId(0x1122_3344_5566_7788);

/// Frames of this kind that together use every variant its payload has. A new kind does not build without its own.
pub fn samples(kind: Kind) -> Vec<Frame> {
    match kind {
        Kind::Hello => vec![hello()],
        Kind::Offer => vec![
            offer(),
            Frame::from(Offer {
                host: String::new(),
                shapes: Vec::new(),
            }),
        ],
        Kind::Assign => vec![assign()],
        Kind::Reports => vec![reports()],
        Kind::Ack => vec![Frame::from(Ack {
            master: MASTER,
            attempts: attempts(),
        })],
        Kind::Cancel => vec![Frame::from(Cancel {
            master: MASTER,
            attempts: attempts(),
        })],
        Kind::Inventory => vec![
            inventory(),
            Frame::from(Inventory {
                held: Vec::new(),
                last: false,
                settled: false,
            }),
        ],
        Kind::Started => vec![Frame::from(Started {
            master: MASTER,
            attempts: attempts(),
        })],
        Kind::Retire => vec![Frame::from(Retire {
            master: MASTER,
            templates: vec![TemplateId(1), TemplateId(300)],
        })],
        Kind::Submit => vec![submit()],
        Kind::Submitted => submitted(),
        Kind::Watch => vec![Frame::from(Watch { ranges: ranges() })],
        Kind::Outcomes => vec![outcomes()],
        Kind::Delivered => vec![Frame::from(Delivered {
            tasks: vec![TaskId(1), TaskId(u64::MAX)],
        })],
        Kind::CancelTasks => vec![Frame::from(CancelTasks { ranges: ranges() })],
        Kind::Cancelled => vec![Frame::from(Cancelled { count: 70_000 })],
        Kind::Status => vec![Frame::from(Status {})],
        Kind::StatusReply => vec![status_reply()],
        Kind::Explain => [Subject::Task(TaskId(7)), Subject::File(Digest([9; 32]))]
            .map(|subject| Frame::from(Explain { subject }))
            .into(),
        Kind::Explained => vec![explained()],
        Kind::Inquire => catalog::inquiries(),
        Kind::Desist => vec![Frame::from(Desist { ask: 300 })],
        Kind::Answered => catalog::answers(),
        Kind::Replica => vec![Frame::from(Replica {
            from: NodeId(u64::MAX),
            to: NodeId(1),
        })],
        Kind::Raft => vec![catalog::said()],
    }
}

pub fn digest(n: u8) -> Digest {
    Digest(std::array::from_fn(|i| n.wrapping_add(i as u8)))
}

pub fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a good path")
}

fn round(n: u32) -> Try {
    Try { epoch: Epoch(2), n }
}

fn attempts() -> Vec<(TaskId, Try)> {
    vec![(TaskId(1), round(1)), (TaskId(300), round(2))]
}

fn ranges() -> Vec<(TaskId, TaskId)> {
    vec![(TaskId(1), TaskId(100)), (TaskId(300), TaskId(u64::MAX))]
}

fn hello() -> Frame {
    Frame::from(Hello {
        oldest: 1,
        newest: 2,
        release: "0.1.0".to_owned(),
    })
}

fn shape() -> Resources {
    Resources {
        cores_milli: 2_500,
        gpus: 1,
        memory_bytes: 4 << 30,
        disk_bytes: 10 << 30,
    }
}

fn offer() -> Frame {
    Frame::from(Offer {
        host: "node07.cluster.example".to_owned(),
        shapes: vec![(Resources::cores(16), 40), (shape_of(64), 3)],
    })
}

fn shape_of(cores: u32) -> Resources {
    Resources {
        cores_milli: cores * 1_000,
        ..shape()
    }
}

pub fn template(algorithm: Algorithm) -> Template {
    let file = FileRef {
        digest: digest(1),
        bytes: 1 << 33,
    };
    Template {
        command: Command::Exec(Words::new(&["./fold", "--steps", "", "10"]).expect("good words")),
        environment: vec![("OMP_NUM_THREADS".to_owned(), "2".to_owned())],
        inputs: vec![InputFile {
            name: path("bin/fold"),
            file,
            form: Form::Program,
        }],
        outputs: vec![
            OutputFile {
                name: path("out/*.dat"),
                need: Need::Required,
                when: When::Always,
            },
            OutputFile {
                name: path("log"),
                need: Need::Optional,
                when: When::Always,
            },
        ],
        resources: shape(),
        policy: Policy {
            priority: -5,
            retries: 3,
            wall_max: Some(Span::secs(3_600)),
            fast_abort_percent: Some(150),
            algorithm,
            preferred: vec!["node07".to_owned()],
        },
        category: "fold".to_owned(),
    }
}

fn noop() -> Template {
    Template {
        command: Command::Noop,
        environment: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        resources: Resources::default(),
        policy: Policy::default(),
        category: String::new(),
    }
}

pub fn body() -> TaskBody {
    let file = FileRef {
        digest: digest(9),
        bytes: 12,
    };
    TaskBody {
        words: Words::new(&["./fold", "größe"]).expect("good words"),
        inputs: [InputFile {
            name: path("seed"),
            file,
            form: Form::Data,
        }]
        .into(),
        outputs: [OutputFile {
            name: path("trajectory"),
            need: Need::Required,
            when: When::Always,
        }]
        .into(),
    }
}

fn assign() -> Frame {
    let every = Algorithm::ALL
        .iter()
        .zip(1..)
        .map(|((algorithm, _), id)| (TemplateId(id), template(*algorithm)));
    let assigned = |task, body| Assigned {
        task: TaskId(task),
        round: round(1),
        template: TemplateId(1),
        body,
    };
    Frame::from(Assign {
        master: MASTER,
        epoch: Epoch(2),
        templates: every
            .chain([(TemplateId(300), noop())])
            .map(|(id, template)| (id, Arc::new(template)))
            .collect(),
        tasks: vec![assigned(1, body()), assigned(2, TaskBody::default())],
    })
}

fn bad_archive(fault: ArchiveFault) -> Failure {
    Failure::BadArchive {
        name: path("data"),
        fault,
    }
}

fn exhausted(resource: Resource) -> Failure {
    Failure::Exhausted {
        resource,
        measured: 1 << 30,
        limit: 1 << 20,
    }
}

/// Every failure there is; the match keeps the list complete.
fn failures() -> Vec<Failure> {
    let next = |failure: &Failure| match failure {
        Failure::Exit(_) => Some(Failure::Signal(9)),
        Failure::Signal(_) => Some(Failure::TimeLimit),
        Failure::TimeLimit => Some(Failure::NotFound),
        Failure::NotFound => Some(Failure::NotExecutable),
        Failure::NotExecutable => Some(Failure::CannotStart(13)),
        Failure::CannotStart(_) => Some(Failure::InputMissing(path("seed"))),
        Failure::InputMissing(_) => Some(Failure::OutputMissing(path("trajectory"))),
        Failure::OutputMissing(_) => Some(Failure::TooMuchOutput),
        Failure::TooMuchOutput => Some(Failure::LostTooOften),
        Failure::LostTooOften => Some(exhausted(Resource::Disk)),
        Failure::Exhausted {
            resource: Resource::Disk,
            ..
        } => Some(exhausted(Resource::Files)),
        Failure::Exhausted {
            resource: Resource::Files,
            ..
        } => Some(bad_archive(ArchiveFault::Malformed)),
        Failure::BadArchive { fault, .. } => match fault {
            ArchiveFault::Malformed => Some(bad_archive(ArchiveFault::LeadsOut)),
            ArchiveFault::LeadsOut => Some(bad_archive(ArchiveFault::Irregular)),
            ArchiveFault::Irregular => None,
        },
    };
    std::iter::successors(Some(Failure::Exit(-1)), next).collect()
}

pub fn ran(result: Result<(), Failure>) -> Arc<Ran> {
    Arc::new(Ran {
        result,
        worker: "w1".to_owned(),
        measured: Measured {
            wall: Span::secs(5),
            cpu: Span::millis(4_900),
            rss_bytes_max: 1 << 26,
        },
        stdout: Stream {
            bytes: 5,
            tail: b"hello".to_vec(),
            file: None,
        },
        stderr: Stream {
            bytes: 70_000,
            tail: vec![0, 255],
            file: Some(digest(3)),
        },
        outputs: vec![ReturnedFile {
            name: path("trajectory"),
            file: FileRef {
                digest: digest(4),
                bytes: 1 << 20,
            },
            executable: true,
        }],
    })
}

fn reports() -> Frame {
    let ends = failures()
        .into_iter()
        .map(|failure| End::Ran(ran(Err(failure))));
    let losses = Loss::ALL.into_iter().map(|(loss, _)| End::Lost(loss));
    let ends = [End::Ran(ran(Ok(())))]
        .into_iter()
        .chain(ends)
        .chain(losses);
    let reports = ends.zip(1..).map(|(end, task)| Report {
        task: TaskId(task),
        round: round(1),
        end,
    });
    Frame::from(Reports {
        master: MASTER,
        reports: reports.collect(),
    })
}

fn inventory() -> Frame {
    let key = TaskKey {
        master: MASTER,
        task: TaskId(5),
    };
    let held = Held {
        attempt: Attempt {
            key,
            round: round(7),
        },
        resources: shape(),
    };
    Frame::from(Inventory {
        held: vec![held],
        last: true,
        settled: true,
    })
}

fn submit() -> Frame {
    Frame::from(Submit {
        session: 0xfeed,
        sequence: 3,
        template: Arc::new(template(Algorithm::FirstCome)),
        tasks: vec![body(), TaskBody::default()],
    })
}

fn submitted() -> Vec<Frame> {
    let refusals = [Refusal::NoSpace, Refusal::Leaving, Refusal::MissingFile].map(Err);
    let results = [Ok((TaskId(300), 2))].into_iter().chain(refusals);
    results
        .map(|result| {
            Frame::from(Submitted {
                sequence: 3,
                result,
            })
        })
        .collect()
}

pub fn every_outcome() -> Vec<Outcome> {
    let ran = Verdict::Ran {
        round: round(2),
        ran: ran(Ok(())),
    };
    let given_up = Verdict::GivenUp(Failure::LostTooOften);
    let outcome = |task, verdict, site: &str| Outcome {
        task: TaskId(task),
        verdict,
        attempts: 2,
        site: site.into(),
    };
    vec![
        outcome(1, ran, "campus-a"),
        outcome(2, given_up, ""),
        outcome(3, Verdict::Cancelled, ""),
    ]
}

fn outcomes() -> Frame {
    Frame::from(Outcomes {
        outcomes: every_outcome(),
        open: 17,
    })
}

fn status_reply() -> Frame {
    let link = |role: Role| LinkStatus {
        peer: Peer {
            role,
            site: "campus-a".to_owned(),
            name: "head".to_owned(),
        },
        is_below: role != Role::Master,
        slots: 640,
        leased: 600,
        sent_bytes: 1 << 30,
        received_bytes: 1 << 20,
        rtt_us: 12_000,
    };
    Frame::from(StatusReply {
        epoch: 2,
        rss_bytes: 1 << 28,
        tasks: TaskCounts {
            submitted: 10,
            waiting: 3,
            leased: 2,
            accounted: 5,
            delivered: 4,
            undelivered: 1,
            attempts: 8,
        },
        losses: vec![("evicted".to_owned(), 3)],
        links: Role::ALL.into_iter().map(link).collect(),
        notes: vec!["waits for word".to_owned()],
        cache: Box::new(CacheStatus {
            files: 3,
            bytes: 1 << 33,
            bytes_max: 50 << 30,
            wanted: 500,
            hits: 490,
            joined: 7,
            fetches: 4,
            fetched_bytes: 1 << 34,
            evicted: 1,
            evicted_bytes: 1 << 20,
            spoiled: 2,
        }),
        sites: vec![SiteStatus {
            peer: Peer {
                role: Role::Foreman,
                site: "campus-b".to_owned(),
                name: "head".to_owned(),
            },
            below: 40,
            slots: 320,
            leased: 300,
            results: 5,
            sent_bytes: 1 << 35,
            received_bytes: 1 << 30,
            rss_bytes: 1 << 27,
            cache: CacheStatus::default(),
        }],
    })
}

fn explained() -> Frame {
    Frame::from(Explained {
        lines: vec!["submitted".to_owned(), "t7 waits: größe".to_owned()],
    })
}
