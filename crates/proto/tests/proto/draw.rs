//! Values of every type of the wire, drawn from a seed, with lengths and numbers that favour the extremes.

use std::sync::Arc;

use muster_proto::limits::{FILE_BYTES_MAX, TAIL_BYTES_MAX, WORKERS_PER_SHAPE_MAX};
use muster_proto::outcome::{
    ArchiveFault, End, Failure, Loss, Measured, Outcome, Ran, Report, Resource, ReturnedFile,
    Stream, Verdict,
};
use muster_proto::task::{
    Algorithm, Command, FileRef, Form, InputFile, Need, OutputFile, Policy, TaskBody, Template,
    When, Words,
};
use muster_proto::wire::{
    Ack, Assign, Assigned, CacheStatus, Cancel, CancelTasks, Cancelled, Delivered, Explain,
    Explained, Frame, Held, Hello, Inventory, Kind, LinkStatus, Offer, Outcomes, Refusal, Reports,
    Retire, SiteStatus, Started, Status, StatusReply, Subject, Submit, Submitted, TaskCounts,
    Watch,
};
use muster_proto::{
    Attempt, Digest, Epoch, MasterId, Peer, RelPath, Resources, Role, Span, TaskId, TaskKey,
    TemplateId, Try,
};

use crate::samples::samples;

/// A stream of values; the same seed gives the same ones.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The generator of Steele, Lea and Flood (splitmix64).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("it is below a usize")
    }

    /// A number of any magnitude, the greatest included.
    pub fn number(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            _ => self.next() >> self.below(64),
        }
    }

    fn small(&mut self) -> u32 {
        (self.number() >> 32) as u32
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn some<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| draw(self))
    }

    /// Mostly a few, rarely up to `most`.
    fn many<T>(&mut self, most: usize, draw: impl Fn(&mut Self) -> T) -> Vec<T> {
        let most = if self.below(16) == 0 {
            most
        } else {
            most.min(4)
        };
        (0..self.below(most + 1)).map(|_| draw(self)).collect()
    }

    fn text(&mut self, most: usize) -> String {
        let characters = [
            'a', 'Z', '7', ' ', '.', '-', '_', 'ö', '日', '\'', '"', '$', '\\',
        ];
        let length = if self.below(16) == 0 {
            most
        } else {
            most.min(12)
        };
        let mut text = String::new();
        for _ in 0..self.below(length + 1) {
            let next = self.of(&characters);
            if text.len() + next.len_utf8() > most {
                break;
            }
            text.push(next);
        }
        text
    }

    fn name(&mut self) -> String {
        let rest = (0..self.below(63))
            .map(|_| self.of(b"aZ09._-") as char)
            .collect::<String>();
        format!("n{rest}")
    }

    fn path(&mut self) -> RelPath {
        let parts: Vec<String> = (0..=self.below(3))
            .map(|_| format!("p{}", self.text(40).replace('/', "_")))
            .collect();
        RelPath::new(&parts.join("/")).expect("a path of good parts")
    }

    fn words(&mut self) -> Words {
        let words = self.many(200, |draw| draw.text(300));
        Words::new(&words).expect("words without NUL, not too long")
    }

    fn digest(&mut self) -> Digest {
        let n = self.next();
        Digest(std::array::from_fn(|i| (n >> (i % 8 * 8)) as u8))
    }

    fn file(&mut self) -> FileRef {
        FileRef {
            digest: self.digest(),
            bytes: self.number().min(FILE_BYTES_MAX),
        }
    }

    fn input(&mut self) -> InputFile {
        let form = self.of(&[Form::Data, Form::Program, Form::Archive]);
        InputFile {
            name: self.path(),
            file: self.file(),
            form,
        }
    }

    fn output(&mut self) -> OutputFile {
        let need = self.of(&[Need::Required, Need::Optional]);
        let when = self.of(&[When::Always, When::Success, When::Failure]);
        OutputFile {
            name: self.path(),
            need,
            when,
        }
    }

    fn resources(&mut self) -> Resources {
        Resources {
            cores_milli: self.small(),
            gpus: self.small(),
            memory_bytes: self.number(),
            disk_bytes: self.number(),
        }
    }

    fn policy(&mut self) -> Policy {
        Policy {
            priority: self.small().cast_signed(),
            retries: self.small() as u16,
            wall_max: self.some(|draw| Span(draw.number())),
            fast_abort_percent: self.some(Self::small),
            algorithm: self.of(&Algorithm::ALL).0,
            preferred: self.many(64, |draw| draw.text(255)),
        }
    }

    pub fn template(&mut self) -> Template {
        let words = |draw: &mut Self| {
            Words::new(&[draw.name(), draw.text(300)]).expect("words without NUL")
        };
        let command = match self.below(3) {
            0 => Command::Noop,
            1 => Command::Exec(words(self)),
            _ => Command::Call(words(self)),
        };
        Template {
            command,
            environment: self.many(100, |draw| (draw.name(), draw.text(300))),
            inputs: self.many(100, Self::input),
            outputs: self.many(100, Self::output),
            resources: self.resources(),
            policy: self.policy(),
            category: self.text(64),
        }
    }

    pub fn body(&mut self) -> TaskBody {
        TaskBody {
            words: self.words(),
            inputs: self.many(100, Self::input).into(),
            outputs: self.many(100, Self::output).into(),
        }
    }

    fn failure(&mut self) -> Failure {
        let code = self.small().cast_signed();
        let (name, archive) = (self.path(), self.path());
        self.of(&[
            Failure::Exit(code),
            Failure::Signal(code),
            Failure::TimeLimit,
            Failure::NotFound,
            Failure::NotExecutable,
            Failure::CannotStart(code),
            Failure::InputMissing(name.clone()),
            Failure::OutputMissing(name),
            Failure::TooMuchOutput,
            Failure::LostTooOften,
            Failure::Exhausted {
                resource: Resource::Disk,
                measured: u64::MAX,
                limit: 1,
            },
            Failure::BadArchive {
                name: archive,
                fault: ArchiveFault::LeadsOut,
            },
        ])
    }

    fn stream(&mut self) -> Stream {
        Stream {
            bytes: self.number().min(FILE_BYTES_MAX),
            tail: self.many(TAIL_BYTES_MAX, |draw| draw.next() as u8),
            file: self.some(Self::digest),
        }
    }

    pub fn ran(&mut self) -> Arc<Ran> {
        let result = if self.flag() {
            Ok(())
        } else {
            Err(self.failure())
        };
        Arc::new(Ran {
            result,
            worker: self.name(),
            measured: Measured {
                wall: Span(self.number()),
                cpu: Span(self.number()),
                rss_bytes_max: self.number(),
            },
            stdout: self.stream(),
            stderr: self.stream(),
            outputs: self.many(100, |draw| ReturnedFile {
                name: draw.path(),
                file: draw.file(),
                executable: draw.flag(),
            }),
        })
    }

    fn round(&mut self) -> Try {
        Try {
            epoch: Epoch(self.small()),
            n: self.small(),
        }
    }

    fn task(&mut self) -> TaskId {
        TaskId(self.number())
    }

    pub fn report(&mut self) -> Report {
        let end = if self.flag() {
            End::Ran(self.ran())
        } else {
            End::Lost(self.of(&Loss::ALL).0)
        };
        Report {
            task: self.task(),
            round: self.round(),
            end,
        }
    }

    pub fn outcome(&mut self) -> Outcome {
        let verdict = match self.below(3) {
            0 => Verdict::Ran {
                round: self.round(),
                ran: self.ran(),
            },
            1 => Verdict::GivenUp(self.failure()),
            _ => Verdict::Cancelled,
        };
        let site = if self.flag() {
            String::new()
        } else {
            self.name()
        };
        Outcome {
            task: self.task(),
            verdict,
            attempts: self.small(),
            site: site.into(),
        }
    }

    fn link(&mut self) -> LinkStatus {
        LinkStatus {
            peer: Peer {
                role: self.of(&Role::ALL),
                site: self.name(),
                name: self.name(),
            },
            is_below: self.number().is_multiple_of(2),
            slots: self.small(),
            leased: self.small(),
            sent_bytes: self.number(),
            received_bytes: self.number(),
            rtt_us: self.number(),
        }
    }

    fn held(&mut self) -> Held {
        let key = TaskKey {
            master: MasterId(self.number()),
            task: self.task(),
        };
        Held {
            attempt: Attempt {
                key,
                round: self.round(),
            },
            resources: self.resources(),
        }
    }

    fn ranges(&mut self) -> Vec<(TaskId, TaskId)> {
        self.many(100, |draw| (draw.task(), draw.task()))
    }

    fn attempts(&mut self) -> Vec<(TaskId, Try)> {
        self.many(1_000, |draw| (draw.task(), draw.round()))
    }

    fn offer(&mut self) -> Offer {
        let mut shapes = self.many(256, |draw| {
            (draw.resources(), draw.small() % WORKERS_PER_SHAPE_MAX + 1)
        });
        shapes.sort_unstable();
        shapes.dedup_by_key(|(shape, _)| *shape);
        Offer {
            host: self.text(255),
            shapes,
        }
    }

    fn assigned(&mut self) -> Assigned {
        let template = TemplateId(self.small());
        Assigned {
            task: self.task(),
            round: self.round(),
            template,
            body: self.body(),
        }
    }

    fn submitted(&mut self) -> Submitted {
        let refusal = self.of(&[Refusal::NoSpace, Refusal::Leaving, Refusal::MissingFile]);
        let taken = (self.task(), self.small());
        Submitted {
            sequence: self.number(),
            result: if self.flag() { Ok(taken) } else { Err(refusal) },
        }
    }

    fn status_reply(&mut self) -> StatusReply {
        let tasks = TaskCounts {
            submitted: self.number(),
            waiting: self.number(),
            leased: self.number(),
            accounted: self.number(),
            delivered: self.number(),
            undelivered: self.number(),
            attempts: self.number(),
        };
        StatusReply {
            epoch: self.small(),
            rss_bytes: self.number(),
            tasks,
            losses: self.many(7, |draw| (draw.text(20), draw.number())),
            links: self.many(200, Self::link),
            notes: self.many(4, |draw| draw.text(200)),
            cache: Box::new(self.cache()),
            sites: self.many(50, Self::site),
        }
    }

    fn cache(&mut self) -> CacheStatus {
        CacheStatus {
            files: self.number(),
            bytes: self.number(),
            bytes_max: self.number(),
            wanted: self.number(),
            hits: self.number(),
            joined: self.number(),
            fetches: self.number(),
            fetched_bytes: self.number(),
            evicted: self.number(),
            evicted_bytes: self.number(),
            spoiled: self.number(),
        }
    }

    fn site(&mut self) -> SiteStatus {
        SiteStatus {
            peer: self.link().peer,
            below: self.number(),
            slots: self.number(),
            leased: self.number(),
            results: self.number(),
            sent_bytes: self.number(),
            received_bytes: self.number(),
            rss_bytes: self.number(),
            cache: self.cache(),
        }
    }

    fn hello(&mut self) -> Hello {
        let oldest = self.small() as u16;
        let newest = oldest.max(self.small() as u16);
        let release = self.text(64);
        Hello {
            oldest,
            newest,
            release,
        }
    }

    fn inventory(&mut self) -> Inventory {
        Inventory {
            held: self.many(500, Self::held),
            last: self.flag(),
            settled: self.flag(),
        }
    }

    fn submit(&mut self) -> Submit {
        Submit {
            session: self.number(),
            sequence: self.number(),
            template: Arc::new(self.template()),
            tasks: self.many(20, Self::body),
        }
    }

    fn assign(&mut self, master: MasterId) -> Assign {
        Assign {
            master,
            epoch: Epoch(self.small()),
            templates: self.many(4, |draw| {
                (TemplateId(draw.small()), Arc::new(draw.template()))
            }),
            tasks: self.many(20, Self::assigned),
        }
    }

    fn explain(&mut self) -> Explain {
        let subject = match self.number() % 2 {
            0 => Subject::Task(self.task()),
            _ => Subject::File(self.digest()),
        };
        Explain { subject }
    }

    /// A frame of any kind, within every limit.
    pub fn frame(&mut self) -> Frame {
        let kind = self.of(Kind::ALL);
        self.frame_of(kind)
    }

    fn frame_of(&mut self, kind: Kind) -> Frame {
        let master = MasterId(self.number());
        match kind {
            Kind::Hello => self.hello().into(),
            Kind::Offer => self.offer().into(),
            Kind::Assign => self.assign(master).into(),
            Kind::Reports => Reports {
                master,
                reports: self.many(20, Self::report),
            }
            .into(),
            Kind::Ack => Ack {
                master,
                attempts: self.attempts(),
            }
            .into(),
            Kind::Cancel => Cancel {
                master,
                attempts: self.attempts(),
            }
            .into(),
            Kind::Inventory => self.inventory().into(),
            Kind::Started => Started {
                master,
                attempts: self.attempts(),
            }
            .into(),
            Kind::Retire => Retire {
                master,
                templates: self.many(500, |draw| TemplateId(draw.small())),
            }
            .into(),
            Kind::Submit => self.submit().into(),
            Kind::Submitted => self.submitted().into(),
            Kind::Watch => Watch {
                ranges: self.ranges(),
            }
            .into(),
            Kind::Outcomes => Outcomes {
                outcomes: self.many(20, Self::outcome),
                open: self.number(),
            }
            .into(),
            Kind::Delivered => Delivered {
                tasks: self.many(1_000, Self::task),
            }
            .into(),
            Kind::CancelTasks => CancelTasks {
                ranges: self.ranges(),
            }
            .into(),
            Kind::Cancelled => Cancelled {
                count: self.number(),
            }
            .into(),
            Kind::Status => Status {}.into(),
            Kind::StatusReply => self.status_reply().into(),
            Kind::Explain => self.explain().into(),
            Kind::Explained => Explained {
                lines: self.many(100, |draw| draw.text(200)),
            }
            .into(),
            // Their words are drawn by the tests of the catalog.
            Kind::Inquire | Kind::Desist | Kind::Answered | Kind::Replica | Kind::Raft => {
                self.of(&samples(kind))
            }
        }
    }
}
