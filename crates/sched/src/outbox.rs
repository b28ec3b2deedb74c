//! What is to be said at the end of a turn, gathered so that each link gets few frames.

use std::collections::BTreeMap;

use muster_proto::batch::cut;
use muster_proto::machine::{Gate, Output};
use muster_proto::outcome::Report;
use muster_proto::wire::{Ack, Cancel, Frame, Reports, Retire, Started};
use muster_proto::{Attempt, LinkId, Lsn, MasterId, TaskId, TemplateId, Try};

/// Frames in the making, by link and master.
#[derive(Debug, Default)]
pub struct Outbox {
    reports: BTreeMap<(LinkId, MasterId), Vec<Report>>,
    acks: BTreeMap<(LinkId, MasterId), Vec<(TaskId, Try)>>,
    started: BTreeMap<(LinkId, MasterId), Vec<(TaskId, Try)>>,
    cancels: BTreeMap<(LinkId, MasterId), Vec<(TaskId, Try)>>,
    retired: BTreeMap<(LinkId, MasterId), Vec<TemplateId>>,
}

/// What the frames of an outbox wait for.
#[derive(Clone, Copy, Debug)]
pub struct Gates {
    /// Reports and acknowledgements: nothing is acknowledged before it is durable.
    pub recorded: Lsn,
    /// Cancellations and retirements: not before what they speak of has left.
    pub safe: Lsn,
}

impl Outbox {
    /// Reports to a superior how an attempt ended.
    pub fn report(&mut self, link: LinkId, master: MasterId, report: Report) {
        self.reports.entry((link, master)).or_default().push(report);
    }

    /// Acknowledges a report: what it says is recorded, or does not count.
    pub fn ack(&mut self, link: LinkId, attempt: Attempt) {
        self.acks
            .entry((link, attempt.key.master))
            .or_default()
            .push((attempt.key.task, attempt.round));
    }

    /// Tells a superior that an attempt runs.
    pub fn started(&mut self, link: LinkId, attempt: Attempt) {
        self.started
            .entry((link, attempt.key.master))
            .or_default()
            .push((attempt.key.task, attempt.round));
    }

    /// Tells a subordinate that an attempt is not wanted any more.
    pub fn cancel(&mut self, link: LinkId, attempt: Attempt) {
        self.cancels
            .entry((link, attempt.key.master))
            .or_default()
            .push((attempt.key.task, attempt.round));
    }

    /// Tells a subordinate that a template will not be referred to any more.
    pub fn retire(&mut self, link: LinkId, master: MasterId, template: TemplateId) {
        self.retired
            .entry((link, master))
            .or_default()
            .push(template);
    }

    /// Forgets what was to be said on a link that is gone.
    pub fn drop_link(&mut self, link: LinkId) {
        self.reports.retain(|(to, _), _| *to != link);
        self.acks.retain(|(to, _), _| *to != link);
        self.started.retain(|(to, _), _| *to != link);
        self.cancels.retain(|(to, _), _| *to != link);
        self.retired.retain(|(to, _), _| *to != link);
    }

    /// How many reports there are.
    pub fn reports(&self) -> usize {
        self.reports.values().map(Vec::len).sum()
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.reports.is_empty()
            && self.acks.is_empty()
            && self.started.is_empty()
            && self.cancels.is_empty()
            && self.retired.is_empty()
    }

    /// Says it all, cut into frames.
    pub fn flush<E, C>(&mut self, gates: Gates, out: &mut Vec<Output<E, C>>) {
        let Gates { recorded, safe } = gates;
        let mut send = |link, frame, lsn| {
            out.push(Output::Send {
                link,
                frame,
                gate: Gate::Durable(lsn),
            })
        };
        for ((link, master), reports) in std::mem::take(&mut self.reports) {
            for reports in cut(reports, Report::weight) {
                send(link, Frame::from(Reports { master, reports }), recorded);
            }
        }
        for ((link, master), attempts) in std::mem::take(&mut self.acks) {
            for attempts in cut(attempts, |_| 0) {
                send(link, Frame::from(Ack { master, attempts }), recorded);
            }
        }
        for ((link, master), attempts) in std::mem::take(&mut self.started) {
            for attempts in cut(attempts, |_| 0) {
                send(link, Frame::from(Started { master, attempts }), Lsn(0));
            }
        }
        for ((link, master), attempts) in std::mem::take(&mut self.cancels) {
            for attempts in cut(attempts, |_| 0) {
                send(link, Frame::from(Cancel { master, attempts }), safe);
            }
        }
        for ((link, master), templates) in std::mem::take(&mut self.retired) {
            for templates in cut(templates, |_| 0) {
                send(link, Frame::from(Retire { master, templates }), safe);
            }
        }
    }
}
