//! The people of the world: each submits, watches, cancels and asks as its script says, and never gives up.
//!
//! A user's command is never killed here; its link is. After each loss it submits again what was not answered and
//! watches again what it has not got, as the protocol asks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use muster_proto::machine::{Deadline, FetchEnd, Gate, Input, Machine, Output};
use muster_proto::outcome::{Outcome, Verdict};
use muster_proto::task::{FileRef, Form, InputFile, TaskBody, Template};
use muster_proto::wire::{
    CancelTasks, Delivered, Frame, Outcomes, Status, Submit, Submitted, Watch,
};
use muster_proto::{Digest, LinkId, Span, TaskId, Time};

use crate::brain::{Happening, Wish};
use crate::play::{digest, output_name};
use crate::rng::mix;

/// What a user wants, and when.
#[derive(Clone, Debug)]
pub struct Script {
    /// The submitting session, unique in the world.
    pub session: u64,
    /// Its wishes, by time.
    pub acts: Vec<(Time, Act)>,
    /// How long it waits between asking how things stand.
    pub asks_every: Span,
}

/// One wish.
#[derive(Clone, Debug)]
pub enum Act {
    /// Submit these tasks.
    Submit(Arc<Template>, Vec<TaskBody>),
    /// Submit so many tasks that have all but one input in common.
    SubmitMany(Arc<Template>, Many),
    /// Cancel every task, of those it knows, whose number leaves this remainder.
    Cancel {
        /// The divisor.
        of: u64,
        /// The remainder.
        rest: u64,
    },
}

/// Tasks that are made when they are submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Many {
    /// How many.
    pub tasks: u32,
    /// The length of the file that each task alone reads; none if 0.
    pub input_bytes: u64,
    /// What tells these files from those of others.
    pub salt: u64,
}

impl Many {
    fn bodies(&self) -> Vec<TaskBody> {
        let body = |n: u64| {
            let input = |_| InputFile {
                name: output_name(n),
                file: FileRef {
                    digest: digest(mix(self.salt ^ mix(n))),
                    bytes: self.input_bytes,
                },
                form: Form::Data,
            };
            let own = (self.input_bytes > 0).then_some(()).map(input);
            TaskBody {
                inputs: own.into_iter().collect(),
                ..TaskBody::default()
            }
        };
        (0..u64::from(self.tasks)).map(body).collect()
    }
}

/// A user's command.
#[derive(Debug)]
pub struct User {
    session: u64,
    acts: VecDeque<(Time, Act)>,
    asks_every: Span,
    asks_at: Time,
    link: Option<LinkId>,
    sequence: u64,
    unanswered: Option<Submit>,
    /// When to submit again after a refusal.
    again_at: Option<Time>,
    ranges: Vec<(TaskId, TaskId)>,
    have: BTreeSet<TaskId>,
    arriving: BTreeMap<TaskId, BTreeMap<Digest, u64>>,
}

type Out = Vec<Output<Vec<u8>, Wish>>;

impl User {
    /// A user at the start of its script.
    pub fn new(now: Time, script: &Script) -> Self {
        Self {
            session: script.session,
            acts: script.acts.iter().cloned().collect(),
            asks_every: script.asks_every,
            asks_at: now + script.asks_every,
            link: None,
            sequence: 0,
            unanswered: None,
            again_at: None,
            ranges: Vec::new(),
            have: BTreeSet::new(),
            arriving: BTreeMap::new(),
        }
    }

    /// Whether it has said all it had to say and got all it asked for.
    pub fn is_content(&self) -> bool {
        let known: u64 = self
            .ranges
            .iter()
            .map(|(first, last)| last.0 - first.0 + 1)
            .sum();
        self.acts.is_empty() && self.unanswered.is_none() && known == self.have.len() as u64
    }

    fn say(&self, frame: impl Into<Frame>, out: &mut Out) {
        if let Some(link) = self.link {
            let (frame, gate) = (frame.into(), Gate::Now);
            out.push(Output::Send { link, frame, gate });
        }
    }

    fn tick(&mut self, now: Time, out: &mut Out) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            self.submit_again(out);
        }
        if self.asks_at <= now {
            self.asks_at = now + self.asks_every;
            self.say(Status {}, out);
        }
        while self.link.is_some()
            && self.unanswered.is_none()
            && self.acts.front().is_some_and(|(at, _)| *at <= now)
        {
            if let Some((_, act)) = self.acts.pop_front() {
                self.act(act, out);
            }
        }
    }

    fn act(&mut self, act: Act, out: &mut Out) {
        match act {
            Act::SubmitMany(template, many) => {
                self.act(Act::Submit(template, many.bodies()), out);
            }
            Act::Submit(template, tasks) => {
                self.sequence += 1;
                self.unanswered = Some(Submit {
                    session: self.session,
                    sequence: self.sequence,
                    template,
                    tasks,
                });
                self.submit_again(out);
            }
            Act::Cancel { of, rest } => {
                let known = self
                    .ranges
                    .iter()
                    .flat_map(|(first, last)| first.0..=last.0);
                let chosen = known.filter(|task| task % of == rest).map(TaskId);
                let ranges: Vec<_> = chosen.map(|task| (task, task)).collect();
                self.say(CancelTasks { ranges }, out);
            }
        }
    }

    fn submit_again(&self, out: &mut Out) {
        if let Some(submit) = &self.unanswered {
            self.say(submit.clone(), out);
        }
    }

    fn watch(&self, out: &mut Out) {
        if !self.ranges.is_empty() {
            let ranges = self.ranges.clone();
            self.say(Watch { ranges }, out);
        }
    }

    fn submitted(&mut self, now: Time, answer: Submitted, out: &mut Out) {
        if self
            .unanswered
            .as_ref()
            .is_none_or(|submit| submit.sequence != answer.sequence)
        {
            return;
        }
        match answer.result {
            Ok((first, count)) => {
                self.unanswered = None;
                self.ranges
                    .push((first, TaskId(first.0 + u64::from(count) - 1)));
                self.watch(out);
            }
            Err(_) => self.again_at = Some(now + Span::secs(1)),
        }
    }

    fn outcomes(&mut self, outcomes: Vec<Outcome>, out: &mut Out) {
        let mut tasks = Vec::new();
        for outcome in outcomes {
            let files: BTreeMap<Digest, u64> = match &outcome.verdict {
                Verdict::Ran { ran, .. } => {
                    ran.files().map(|file| (file.digest, file.bytes)).collect()
                }
                Verdict::GivenUp(_) | Verdict::Cancelled => BTreeMap::new(),
            };
            if self.have.contains(&outcome.task) || files.is_empty() {
                self.have.insert(outcome.task);
                tasks.push(outcome.task);
            } else if let Some(link) = self.link
                && !self.arriving.contains_key(&outcome.task)
            {
                for (&digest, &bytes) in &files {
                    // Several tasks may have written the same.
                    let mut arriving = self.arriving.values();
                    if arriving.any(|files| files.contains_key(&digest)) {
                        continue;
                    }
                    out.push(Output::Fetch {
                        link,
                        digest,
                        bytes,
                    });
                }
                self.arriving.insert(outcome.task, files);
            }
        }
        if !tasks.is_empty() {
            self.say(Delivered { tasks }, out);
        }
    }

    fn fetched(&mut self, link: LinkId, digest: Digest, end: FetchEnd, out: &mut Out) {
        let bytes = self
            .arriving
            .values()
            .find_map(|files| files.get(&digest).copied());
        let Some(bytes) = bytes.filter(|_| self.link == Some(link)) else {
            return;
        };
        match end {
            FetchEnd::Failed | FetchEnd::Unkept => out.push(Output::Fetch {
                link,
                digest,
                bytes,
            }),
            // The ledger sees it, and that the user never gets its outcome.
            FetchEnd::Absent => {}
            FetchEnd::Held => {
                self.arriving.values_mut().for_each(|files| {
                    files.remove(&digest);
                });
                let whole = self.arriving.iter().filter(|(_, files)| files.is_empty());
                let tasks: Vec<TaskId> = whole.map(|(task, _)| *task).collect();
                self.arriving.retain(|_, files| !files.is_empty());
                self.have.extend(&tasks);
                if !tasks.is_empty() {
                    self.say(Delivered { tasks }, out);
                }
            }
        }
    }
}

impl Machine for User {
    type Input = Input<Happening>;
    type Output = Output<Vec<u8>, Wish>;

    fn handle(&mut self, now: Time, input: Self::Input, out: &mut Vec<Self::Output>) {
        match input {
            Input::Tick => self.tick(now, out),
            Input::LinkUp { link, .. } => {
                self.link = Some(link);
                self.submit_again(out);
                self.watch(out);
            }
            Input::LinkDown { link } => {
                if self.link == Some(link) {
                    self.link = None;
                    self.arriving.clear();
                }
            }
            Input::Frame { frame, .. } => match frame {
                Frame::Submitted(answer) => self.submitted(now, answer, out),
                Frame::Outcomes(Outcomes { outcomes, .. }) => self.outcomes(outcomes, out),
                Frame::Hello(_)
                | Frame::Offer(_)
                | Frame::Assign(_)
                | Frame::Reports(_)
                | Frame::Ack(_)
                | Frame::Cancel(_)
                | Frame::Inventory(_)
                | Frame::Started(_)
                | Frame::Retire(_)
                | Frame::Inquire(_)
                | Frame::Desist(_)
                | Frame::Answered(_)
                | Frame::Replica(_)
                | Frame::Raft(_)
                | Frame::Submit(_)
                | Frame::Watch(_)
                | Frame::Delivered(_)
                | Frame::CancelTasks(_)
                | Frame::Cancelled(_)
                | Frame::Status(_)
                | Frame::StatusReply(_)
                | Frame::Explain(_)
                | Frame::Explained(_) => {}
            },
            Input::Fetched { link, digest, end } => self.fetched(link, digest, end, out),
            Input::Arriving { .. } | Input::Missed { .. } | Input::Drain | Input::Local(_) => {}
        }
    }

    fn deadline(&self) -> Option<Deadline> {
        let ready = self.link.is_some() && self.unanswered.is_none();
        let act = self.acts.front().filter(|_| ready).map(|(at, _)| *at);
        let at = [act, self.again_at, Some(self.asks_at)]
            .into_iter()
            .flatten()
            .min()?;
        Some(Deadline {
            at,
            why: "the script",
        })
    }

    fn check(&self) {
        let twice = self.arriving.keys().find(|task| self.have.contains(task));
        assert_eq!(twice, None, "what a user has does not arrive again");
    }
}
