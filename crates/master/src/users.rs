//! What people ask: submit, watch, cancel, explain.

use std::collections::BTreeSet;

use muster_proto::batch::cut;
use muster_proto::limits::{EXPLAINED_MAX, OUTCOMES_OUT_MAX, PLACEMENTS_PER_CALL_MAX};
use muster_proto::machine::{Gate, Output};
use muster_proto::outcome::{Outcome, Verdict};
use muster_proto::wire::{
    self, CancelTasks, Cancelled, Delivered, Explained, Frame, Outcomes, Refusal, Submit, Watch,
};
use muster_proto::{LinkId, TaskId, TemplateId, Time};
use muster_sched::{ChildId, SeqMap, Waiting, Where};

use crate::leases::{Live, Stage};
use crate::story::{Happening, Line};
use crate::{Effect, Event, Master, Submitted};

/// A user's link: which outcomes it wants and has been sent.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    ranges: Vec<(TaskId, TaskId)>,
    /// Sent and not acknowledged.
    under_way: BTreeSet<TaskId>,
    /// Tasks of its ranges without an outcome.
    open: u64,
    /// Accounted since outcomes were last sent.
    fresh: Vec<TaskId>,
    /// Whether it may lack more than the fresh ones.
    behind: bool,
}

impl Watcher {
    /// A task has its outcome.
    pub fn accounted(&mut self, task: TaskId) {
        if self.watches(task) {
            self.open = self.open.saturating_sub(1);
            self.fresh.push(task);
        }
    }

    /// The outcomes to send next, as far as the window goes.
    fn take(&mut self, undelivered: &SeqMap<TaskId, Outcome>) -> Vec<Outcome> {
        let fresh = std::mem::take(&mut self.fresh);
        if !self.behind && self.under_way.len() + fresh.len() <= OUTCOMES_OUT_MAX {
            self.under_way.extend(&fresh);
            return fresh
                .iter()
                .filter_map(|task| undelivered.get(task).cloned())
                .collect();
        }
        self.behind = true;
        // A half-empty window is worth a scan; a full one is not.
        if self.under_way.len() > OUTCOMES_OUT_MAX / 2 {
            return Vec::new();
        }
        self.behind = false;
        let mut outcomes = Vec::new();
        for (first, last) in &self.ranges {
            for (task, outcome) in undelivered.range(*first..=*last) {
                if self.under_way.len() >= OUTCOMES_OUT_MAX {
                    self.behind = true;
                    return outcomes;
                }
                if self.under_way.insert(task) {
                    outcomes.push(outcome.clone());
                }
            }
        }
        outcomes
    }

    /// Whether a range holds `task`. O(log n): ranges are in order and do not overlap.
    fn watches(&self, task: TaskId) -> bool {
        let begun = self.ranges.partition_point(|(first, _)| *first <= task);
        self.ranges[..begun]
            .last()
            .is_some_and(|(_, last)| task <= *last)
    }
}

/// A user's wish to cancel tasks, carried out a part at a time.
#[derive(Debug)]
pub(crate) struct Cancellation {
    link: LinkId,
    ranges: Vec<(TaskId, TaskId)>,
    count: u64,
}

impl Cancellation {
    pub fn new(link: LinkId, frame: CancelTasks) -> Self {
        Self {
            link,
            ranges: united(frame.ranges),
            count: 0,
        }
    }
}

impl Master {
    pub(crate) fn submit(
        &mut self,
        now: Time,
        link: LinkId,
        submit: Submit,
        out: &mut Vec<Effect>,
    ) {
        let Submit {
            session,
            sequence,
            template,
            tasks,
        } = submit;
        let before = self.book.sessions.get(&session).copied();
        let reply = |result| Frame::from(wire::Submitted { sequence, result });
        if let Some(before) = before.filter(|before| before.sequence >= sequence) {
            let frame = reply(Ok((before.first, before.count)));
            return out.push(Output::Send {
                link,
                frame,
                gate: Gate::Durable(self.lsn),
            });
        }
        if self.leaving {
            return self.send(link, reply(Err(Refusal::Leaving)), out);
        }
        let first = TaskId(self.book.submitted + 1);
        let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        let known = before.map(|before| before.template);
        let known = known.filter(|known| {
            self.book
                .templates
                .get(known)
                .is_some_and(|kept| kept.template == template)
        });
        let (template, contents) = match known {
            Some(known) => (known, None),
            None => (TemplateId(self.book.templates_made + 1), Some(template)),
        };
        let submitted = Submitted {
            session,
            sequence,
            template,
            contents,
            first,
            tasks,
        };
        self.safe = self.record(Event::Submitted(submitted), out);
        if let Some(class) = self.class(template) {
            for task in (first.0..).take(count as usize).map(TaskId) {
                self.story.tell(now, task, Happening::Submitted);
                self.sched
                    .ready(now, self.key(task), class, Where::Back, None);
            }
        }
        out.push(Output::Send {
            link,
            frame: reply(Ok((first, count))),
            gate: Gate::Durable(self.lsn),
        });
    }

    pub(crate) fn watch(&mut self, link: LinkId, watch: Watch) {
        let ranges = united(watch.ranges);
        let open = ranges
            .iter()
            .map(|(first, last)| self.book.open.count(*first..=*last) as u64)
            .sum();
        if let Some(watcher) = self.watchers.get_mut(&link) {
            *watcher = Watcher {
                ranges,
                open,
                behind: true,
                ..Watcher::default()
            };
        }
    }

    fn open_in(&self, (first, last): (TaskId, TaskId)) -> impl Iterator<Item = TaskId> {
        self.book.open.range(first..=last).map(|(task, _)| task)
    }

    pub(crate) fn delivered(&mut self, link: LinkId, frame: Delivered, out: &mut Vec<Effect>) {
        if let Some(watcher) = self.watchers.get_mut(&link) {
            frame.tasks.iter().for_each(|task| {
                watcher.under_way.remove(task);
            });
        }
        let mut tasks = frame.tasks;
        tasks.retain(|task| self.book.undelivered.contains_key(task));
        if !tasks.is_empty() {
            self.record(Event::Delivered(tasks), out);
        }
    }

    /// Sends watchers what they lack, as far as their windows go.
    pub(crate) fn push_outcomes(&mut self, out: &mut Vec<Effect>) {
        for (link, watcher) in &mut self.watchers {
            if !watcher.behind && watcher.fresh.is_empty() {
                continue;
            }
            let fresh = watcher.take(&self.book.undelivered);
            let mut batches = cut(fresh, Outcome::weight);
            if batches.is_empty() && watcher.open == 0 && watcher.under_way.is_empty() {
                batches.push(Vec::new());
            }
            for outcomes in batches {
                let frame = Frame::from(Outcomes {
                    outcomes,
                    open: watcher.open,
                });
                out.push(Output::Send {
                    link: *link,
                    frame,
                    gate: Gate::Durable(self.lsn),
                });
            }
        }
    }

    /// Carries out a bounded part of the oldest cancellation.
    pub(crate) fn cancel_some(&mut self, now: Time, out: &mut Vec<Effect>) {
        let Some(mut cancellation) = self.cancellations.pop_front() else {
            return;
        };
        let mut tasks = Vec::new();
        while let Some((first, last)) = cancellation.ranges.last().copied() {
            tasks.extend(
                self.open_in((first, last))
                    .take(PLACEMENTS_PER_CALL_MAX - tasks.len()),
            );
            if tasks.len() == PLACEMENTS_PER_CALL_MAX {
                break;
            }
            cancellation.ranges.pop();
        }
        cancellation.count += tasks.len() as u64;
        let mut outcomes = Vec::new();
        for task in tasks {
            let attempts = self.live.get(&task).map_or(0, |live| live.n);
            self.recall(task);
            self.story.tell(now, task, Happening::Cancelled);
            outcomes.push(Outcome {
                task,
                verdict: Verdict::Cancelled,
                attempts,
                site: std::sync::Arc::default(),
            });
        }
        self.account(now, outcomes, out);
        self.stirred = true;
        if cancellation.ranges.is_empty() {
            let frame = Frame::from(Cancelled {
                count: cancellation.count,
            });
            out.push(Output::Send {
                link: cancellation.link,
                frame,
                gate: Gate::Durable(self.lsn),
            });
        } else {
            self.cancellations.push_front(cancellation);
        }
    }

    /// Why a task stands where it stands, and how it came there.
    pub(crate) fn explain(&self, now: Time, task: TaskId) -> Explained {
        let tell = |line: &Line| {
            let what = line.what.tell(|child| self.who(child));
            format!("{} ago: {what}", now.since(line.at))
        };
        let told: Vec<&Line> = self.story.of(task).collect();
        let early = told.len().saturating_sub(EXPLAINED_MAX - 2);
        let mut lines: Vec<String> = told.iter().skip(early).copied().map(tell).collect();
        if early > 0 {
            lines.insert(0, format!("{early} earlier happening(s)"));
        }
        lines.push(self.standing(task));
        Explained { lines }
    }

    fn who(&self, child: ChildId) -> String {
        self.crew
            .peer_of(child)
            .map_or_else(|| "one that has left".to_owned(), ToString::to_string)
    }

    fn standing(&self, task: TaskId) -> String {
        if let Some(outcome) = self.book.undelivered.get(&task) {
            return format!(
                "{task} has its outcome, not yet delivered: {}",
                verdict(outcome)
            );
        }
        if !self.book.open.contains_key(&task) {
            let known = (1..=self.book.submitted).contains(&task.0);
            return format!(
                "{task} {}",
                if known {
                    "has its outcome, delivered"
                } else {
                    "was never submitted"
                }
            );
        }
        match self.live.get(&task) {
            Some(Live {
                stage: Stage::Leased { round, child },
                ..
            }) => {
                format!(
                    "{task} runs or waits at {}, attempt {round}",
                    self.who(*child)
                )
            }
            Some(Live {
                stage: Stage::Arriving(arriving),
                ..
            }) => {
                let Some(holder) = self.crew.peer_of(arriving.child) else {
                    return format!("{task} is arriving");
                };
                format!(
                    "{task} has run at {holder}; {} file(s) of its result are on their way",
                    arriving.missing.len()
                )
            }
            Some(Live {
                stage: Stage::Ready,
                ..
            })
            | None => self.why_waiting(task),
        }
    }

    fn why_waiting(&self, task: TaskId) -> String {
        let unclaimed = !self.live.contains_key(&task);
        if let Some(recovery) = self
            .recovery
            .as_ref()
            .filter(|recovery| unclaimed && recovery.holds(task))
        {
            return format!("{task} waits: {}", recovery.note());
        }
        match self.sched.why_waiting(self.key(task)) {
            Some(Waiting::NoChild) => format!("{task} waits: no worker or foreman is here"),
            Some(Waiting::NothingFits {
                nearest: Some(nearest),
            }) => {
                format!("{task} waits: no worker is large enough; the nearest has {nearest}")
            }
            Some(Waiting::NothingFits { nearest: None }) => {
                format!("{task} waits: no worker offers anything")
            }
            Some(Waiting::Behind { tasks }) => format!("{task} waits behind {tasks} other task(s)"),
            Some(Waiting::NoRoom) => format!("{task} is next; every worker it fits is busy"),
            None => format!("{task} waits"),
        }
    }
}

/// The same tasks as ranges in order, of which no two overlap: a user may name a task twice, or none.
fn united(mut ranges: Vec<(TaskId, TaskId)>) -> Vec<(TaskId, TaskId)> {
    ranges.retain(|(first, last)| first <= last);
    ranges.sort_unstable();
    let mut united: Vec<(TaskId, TaskId)> = Vec::new();
    for (first, last) in ranges {
        match united.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            Some(_) | None => united.push((first, last)),
        }
    }
    united
}

fn verdict(outcome: &Outcome) -> String {
    match &outcome.verdict {
        Verdict::Ran { ran, .. } => match &ran.result {
            Ok(()) => format!("done at {} in {}", ran.worker, ran.measured.wall),
            Err(failure) => format!("failed: {failure:?}"),
        },
        Verdict::GivenUp(failure) => format!("given up: {failure:?}"),
        Verdict::Cancelled => "cancelled".to_owned(),
    }
}
