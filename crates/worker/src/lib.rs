//! The worker's brain: takes attempts, stages their inputs, runs as many as fit, holds each result until it is safe.
//!
//! A worker hangs under a foreman or directly under a master and does not know which. What it cannot run yet it
//! stages, so that inputs arrive while other tasks run. It keeps no journal: if it dies, its attempts are lost and
//! leased again; while it lives, a lost link costs nothing, because it goes on and reports later.
//!
//! Not here: processes, sandboxes, files. The driver's hands run what [`Ask::Start`] says and answer with
//! [`Local::Ended`].

mod admission;
mod orders;
mod runs;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use litemap::LiteMap;
use muster_proto::machine::{Deadline, FetchEnd, Gate, Input, Machine, Never, Output, Side};
use muster_proto::outcome::{End, Failure, Measured, Ran, Report, ReturnedFile, Stream};
use muster_proto::task::{FileRef, InputFile, OutputFile, Words};
use muster_proto::wire::{CloseCode, Frame, LinkStatus, Offer, StatusReply, TaskCounts};
use muster_proto::{
    Attempt, Digest, LinkId, Lsn, MasterId, Peer, Resources, Span, TaskKey, TemplateId, Time,
};
use muster_sched::{Admission, Arrival, Cache, Gates, Linger, Outbox};

use crate::runs::Runs;
use crate::tasks::{Entry, Held};

/// What a worker asks of its driver.
pub type Effect = Output<Never, Ask>;

/// What a worker is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its own name, for reports.
    pub name: String,
    /// Its host, for preferred hosts.
    pub host: String,
    /// What it can run at once.
    pub shape: Resources,
    /// Bytes its cache may hold beyond what is needed at the moment.
    pub cache_bytes_max: u64,
}

/// A run's number, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId(pub u64);

/// What only a worker asks for.
#[derive(Debug)]
pub enum Ask {
    /// Run this. Ends in [`Local::Ended`].
    Start(Box<Start>),
    /// Give this run back unless it has begun; if so, it ends in [`RunEnd::Unbegun`].
    Recall(RunId),
    /// End this run at once. It still ends in [`Local::Ended`].
    Kill(RunId),
    /// The disk is full: give up whatever is kept for runs to come.
    Free,
}

/// What to run.
#[derive(Debug)]
pub struct Start {
    /// The run's number.
    pub run: RunId,
    /// The run that has to end first, itself under way or in line; this one begins in its place without being asked
    /// for again.
    pub after: Option<RunId>,
    /// Of which attempt.
    pub attempt: Attempt,
    /// Program and arguments.
    pub words: Words,
    /// What the program is handed, if it is a server that stays; see [`muster_proto::task::Command::Call`].
    pub call: Option<Words>,
    /// Environment beyond what every task gets.
    pub environment: Vec<(String, String)>,
    /// Files in the sandbox, all in the store.
    pub inputs: Vec<InputFile>,
    /// Files to bring back.
    pub outputs: Vec<OutputFile>,
    /// What it occupies.
    pub resources: Resources,
    /// When it is ended.
    pub wall_max: Option<Span>,
}

/// What only a worker is told.
#[derive(Debug)]
pub enum Local {
    /// A run has ended; nothing of it lives.
    Ended {
        /// Which.
        run: RunId,
        /// How.
        end: RunEnd,
        /// Inputs that were found missing or spoiled and are in the store no more.
        spoiled: Vec<Digest>,
    },
}

/// How a run ended.
#[derive(Debug)]
pub enum RunEnd {
    /// It ran, or could not for a reason of its own.
    Ran(Box<RunReport>),
    /// It was killed as asked.
    Killed,
    /// It was recalled before it began.
    Unbegun,
    /// The worker could not run it, for a reason that is not the task's.
    Lost(muster_proto::outcome::Loss),
}

/// What is known of a run.
#[derive(Debug)]
pub struct RunReport {
    /// Success, or what failed.
    pub result: Result<(), Failure>,
    /// What it took.
    pub measured: Measured,
    /// Standard output.
    pub stdout: Stream,
    /// Standard error.
    pub stderr: Stream,
    /// Outputs, all in the store.
    pub outputs: Vec<ReturnedFile>,
}

impl RunReport {
    /// What is known of an attempt for which nothing was executed.
    pub(crate) fn nothing(result: Result<(), Failure>) -> Self {
        Self {
            result,
            measured: Measured::default(),
            stdout: Stream::default(),
            stderr: Stream::default(),
            outputs: Vec::new(),
        }
    }
}

/// The worker's brain.
#[derive(Debug)]
pub struct Worker {
    config: Config,
    superior: Option<(LinkId, Peer)>,
    templates: BTreeMap<(MasterId, TemplateId), Arc<muster_proto::task::Template>>,
    epochs: LiteMap<MasterId, muster_proto::Epoch>,
    tasks: BTreeMap<TaskKey, Box<Held>>,
    /// Staged tasks by order of start.
    waiting: BTreeSet<Entry>,
    runs: Runs,
    /// Results that the superior has not acknowledged.
    results: BTreeMap<Attempt, Arc<Ran>>,
    cache: Cache,
    /// Which attempts have their inputs brought.
    admission: Admission<Entry>,
    /// How often of late a run that was alone found the disk full.
    cramped: u32,
    /// How many may run at once although there is room for more: the disk was full.
    at_once: usize,
    /// Runs that have ended well since that was last changed.
    eased: usize,
    /// Nothing begins before: the disk was full although nothing else ran.
    full_until: Time,
    arrivals: u64,
    accepted: u64,
    outbox: Outbox,
    leaving: bool,
    /// How long what is to be said waits for more while other work is in hand.
    linger: Linger,
    /// Whether the next tick has something to hand out.
    stirred: bool,
}

impl Worker {
    /// A worker whose store holds `files`.
    pub fn new(config: Config, files: impl IntoIterator<Item = FileRef>) -> Self {
        Self {
            superior: None,
            templates: BTreeMap::new(),
            epochs: LiteMap::new(),
            tasks: BTreeMap::new(),
            waiting: BTreeSet::new(),
            runs: Runs::new(config.shape),
            results: BTreeMap::new(),
            admission: Admission::default(),
            cramped: 0,
            at_once: usize::MAX,
            eased: 0,
            full_until: Time(0),
            cache: Cache::new(config.cache_bytes_max, files),
            arrivals: 0,
            accepted: 0,
            outbox: Outbox::default(),
            leaving: false,
            linger: Linger::default(),
            stirred: false,
            config,
        }
    }

    /// Whether nothing is held for anyone: no attempt, no run, no result, no needed file.
    pub fn is_idle(&self) -> bool {
        self.tasks.is_empty()
            && self.runs.is_empty()
            && self.results.is_empty()
            && self.cache.pinned() == 0
    }

    /// Whether a leaving worker has handed back all it held.
    pub fn is_drained(&self) -> bool {
        self.leaving && self.runs.is_empty() && self.results.is_empty() && !self.stirred
    }

    fn turn(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.stirred = false;
        self.admit(out);
        self.start(now, out);
        let is_busy = !self.runs.is_empty() || !self.waiting.is_empty();
        if self.outbox.is_empty() {
            self.linger.end();
        } else if self.linger.is_over(now, self.outbox.reports()) || !is_busy {
            self.linger.end();
            self.say(out);
        }
        for digest in self.cache.evict() {
            out.push(Output::Forget {
                digest,
                gate: Gate::Now,
            });
        }
    }

    /// Says all that there is to say to the superior.
    fn say(&mut self, out: &mut Vec<Effect>) {
        self.outbox.flush(
            Gates {
                recorded: Lsn(0),
                safe: Lsn(0),
            },
            out,
        );
    }

    fn frame(&mut self, link: LinkId, frame: Frame, out: &mut Vec<Effect>) {
        if let Frame::Status(_) = frame {
            let frame = Frame::from(self.status());
            return out.push(Output::Send {
                link,
                frame,
                gate: Gate::Now,
            });
        }
        if self.link() != Some(link) {
            return out.push(Output::Close {
                link,
                code: CloseCode::WrongRole,
            });
        }
        match frame {
            Frame::Assign(assign) => self.assigned(link, assign, out),
            Frame::Ack(ack) => self.acknowledged(&ack),
            Frame::Cancel(cancel) => self.cancelled(&cancel, out),
            Frame::Retire(retire) => {
                for template in retire.templates {
                    self.templates.remove(&(retire.master, template));
                }
            }
            Frame::Hello(_)
            | Frame::Inquire(_)
            | Frame::Desist(_)
            | Frame::Answered(_)
            | Frame::Replica(_)
            | Frame::Raft(_)
            | Frame::Offer(_)
            | Frame::Reports(_)
            | Frame::Inventory(_)
            | Frame::Started(_)
            | Frame::Submit(_)
            | Frame::Submitted(_)
            | Frame::Watch(_)
            | Frame::Outcomes(_)
            | Frame::Delivered(_)
            | Frame::CancelTasks(_)
            | Frame::Cancelled(_)
            | Frame::Status(_)
            | Frame::StatusReply(_)
            | Frame::Explain(_)
            | Frame::Explained(_) => out.push(Output::Close {
                link,
                code: CloseCode::Protocol,
            }),
        }
    }

    fn link(&self) -> Option<LinkId> {
        self.superior.as_ref().map(|(link, _)| *link)
    }

    fn status(&self) -> StatusReply {
        let (open, held) = (self.tasks.len() as u64, self.results.len() as u64);
        let leased = self.runs.under_way() as u64;
        let tasks = TaskCounts {
            submitted: open + held,
            waiting: open - leased,
            leased,
            accounted: held,
            delivered: 0,
            undelivered: held,
            attempts: self.accepted,
        };
        let links = self.superior.iter().map(|(_, peer)| LinkStatus {
            peer: peer.clone(),
            is_below: false,
            slots: 0,
            leased: 0,
            sent_bytes: 0,
            received_bytes: 0,
            rtt_us: 0,
        });
        StatusReply {
            tasks,
            links: links.collect(),
            cache: Box::new(self.cache.status()),
            ..StatusReply::default()
        }
    }

    /// Tells the superior what can be run here.
    fn offer(&self, link: LinkId, out: &mut Vec<Effect>) {
        let shapes = if self.leaving {
            Vec::new()
        } else {
            vec![(self.config.shape, 1)]
        };
        let frame = Frame::from(Offer {
            host: self.config.host.clone(),
            shapes,
        });
        out.push(Output::Send {
            link,
            frame,
            gate: Gate::Now,
        });
    }

    fn link_down(&mut self, link: LinkId) {
        if self.link() == Some(link) {
            self.superior = None;
            self.cache.disconnect(link);
            self.outbox.drop_link(link);
        }
    }

    fn fetched(
        &mut self,
        link: LinkId,
        digest: muster_proto::Digest,
        end: FetchEnd,
        out: &mut Vec<Effect>,
    ) {
        // If there can be no room, another worker may have it.
        let counted = match end {
            FetchEnd::Unkept if !self.narrow(out) => FetchEnd::Failed,
            FetchEnd::Held | FetchEnd::Absent | FetchEnd::Failed | FetchEnd::Unkept => end,
        };
        match self.cache.fetched(link, digest, counted) {
            Arrival::Held(tasks) => {
                let bytes = self.cache.bytes_of(digest).unwrap_or_default();
                self.admission.widen(self.cache.bytes_needed(), bytes);
                tasks.into_iter().for_each(|key| self.input_arrived(key));
            }
            Arrival::Again(_) => {
                if let Some(bytes) = self.cache.bytes_of(digest) {
                    out.push(Output::Fetch {
                        link,
                        digest,
                        bytes,
                    });
                }
            }
            Arrival::Never(tasks) => tasks
                .into_iter()
                .for_each(|key| self.input_missing(key, digest, end)),
            Arrival::Nobody => {}
        }
        if end == FetchEnd::Unkept && self.cache.bytes_of(digest).is_none() {
            // What has come of it takes room for nothing.
            let gate = Gate::Now;
            out.push(Output::Forget { digest, gate });
        }
    }

    /// Inputs are gone from the store although the index has them: those that are needed are fetched once more.
    fn fetch_again(&mut self, spoiled: &[Digest], out: &mut Vec<Effect>) {
        for &digest in spoiled {
            let link = self.link();
            if let (Some(bytes), Some(link)) = (self.cache.gone(digest, link), link) {
                out.push(Output::Fetch {
                    link,
                    digest,
                    bytes,
                });
            }
        }
    }

    /// Reports how an attempt ended; a result is kept until it is acknowledged.
    fn report(&mut self, attempt: Attempt, end: End) {
        if let End::Ran(ran) = &end {
            ran.files().for_each(|file| self.cache.insert(file));
            self.results.insert(attempt, ran.clone());
        }
        if let Some(link) = self.link() {
            self.outbox.report(
                link,
                attempt.key.master,
                Report {
                    task: attempt.key.task,
                    round: attempt.round,
                    end,
                },
            );
        }
    }
}

impl Machine for Worker {
    type Input = Input<Local>;
    type Output = Effect;

    fn handle(&mut self, now: Time, input: Self::Input, out: &mut Vec<Self::Output>) {
        match input {
            Input::Tick => return self.turn(now, out),
            Input::LinkUp {
                link,
                peer,
                side: Side::Superior,
            } => self.superior_up(link, peer, out),
            Input::LinkUp {
                link,
                side: Side::Subordinate,
                ..
            } => {
                out.push(Output::Close {
                    link,
                    code: CloseCode::WrongRole,
                });
            }
            Input::LinkUp {
                side: Side::User, ..
            } => {}
            Input::LinkDown { link } => self.link_down(link),
            Input::Frame { link, frame } => self.frame(link, frame, out),
            Input::Fetched { link, digest, end } => self.fetched(link, digest, end, out),
            // A task begins when its inputs are here whole.
            Input::Arriving { .. } => {}
            Input::Missed { digest } => self.fetch_again(&[digest], out),
            Input::Drain => self.vacate(out),
            Input::Local(Local::Ended { run, end, spoiled }) => {
                self.fetch_again(&spoiled, out);
                self.ended(now, run, end, out);
            }
        }
        self.stirred = true;
    }

    fn deadline(&self) -> Option<Deadline> {
        let stirred = self.stirred.then_some(Deadline {
            at: Time(0),
            why: "a turn has something to hand out",
        });
        let is_held_up = self.full_until > Time(0) && !self.waiting.is_empty();
        let full = is_held_up.then_some(Deadline {
            at: self.full_until,
            why: "a full disk may have room again",
        });
        let deadlines = [stirred.or(self.linger.deadline()), full];
        deadlines.into_iter().flatten().min()
    }

    fn check(&self) {
        self.cache.check();
        self.check_tasks();
    }
}
