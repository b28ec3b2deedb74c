//! What a master must never forget: the fold of its journal.
//!
//! `apply` is the only way in. It looks at nothing but the book and the event, so that the book after a crash is the
//! book before it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_proto::limits::SESSIONS_MAX;
use muster_proto::outcome::{Outcome, Verdict};
use muster_proto::task::{TaskBody, Template};
use muster_proto::{Digest, Epoch, MasterId, Peer, TaskId, TemplateId};
use muster_sched::SeqMap;

use crate::event::{Event, Submitted};

/// The durable state of a master.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// Drawn when the journal was new.
    pub master: MasterId,
    /// How often the master has started.
    pub epoch: Epoch,
    /// Tasks without an outcome.
    pub open: SeqMap<TaskId, OpenTask>,
    /// Outcomes their user does not have yet.
    pub undelivered: SeqMap<TaskId, Outcome>,
    /// Templates that open tasks refer to, and those of recent sessions.
    pub templates: BTreeMap<TemplateId, Kept>,
    /// What recent submitting commands were last answered.
    pub sessions: BTreeMap<u64, Session>,
    /// Subordinates that may hold leases.
    pub lessees: BTreeSet<Peer>,
    /// Tasks accepted since the journal began; also the number of the last.
    pub submitted: u64,
    /// Outcomes that users have.
    pub delivered: u64,
    /// Templates numbered since the journal began.
    pub templates_made: u32,
    /// How many open tasks, templates and undelivered outcomes refer to each file.
    files: BTreeMap<Digest, u32>,
    /// Files that nothing has referred to since this was last taken.
    orphans: Vec<Digest>,
    /// Templates that nothing has referred to since this was last taken.
    retired: Vec<TemplateId>,
}

/// A task without an outcome.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenTask {
    /// What it has in common with others.
    pub template: TemplateId,
    /// What is its own.
    pub body: TaskBody,
}

/// A template and how many refer to it.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// The template.
    pub template: Arc<Template>,
    users: u64,
}

/// A submitting command's last submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its sequence.
    pub sequence: u64,
    /// The number of its first task.
    pub first: TaskId,
    /// How many tasks it had.
    pub count: u32,
    /// Its template.
    pub template: TemplateId,
    /// When the session last submitted, in submits of all sessions.
    used: u64,
}

impl Book {
    /// Takes a fact in. The same facts give the same book.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Opened(opened) => {
                self.master = opened.master;
                self.epoch = opened.epoch;
            }
            Event::Submitted(submitted) => self.submit(submitted),
            Event::Accounted(outcomes) => outcomes.iter().for_each(|outcome| self.account(outcome)),
            Event::Delivered(tasks) => tasks.iter().for_each(|task| self.deliver(*task)),
            Event::Leased(peer) => {
                self.lessees.insert(peer.clone());
            }
            Event::Cleared(peer) => {
                self.lessees.remove(peer);
            }
        }
    }

    /// Tasks with an outcome.
    pub fn accounted(&self) -> u64 {
        self.delivered + self.undelivered.len() as u64
    }

    /// Whether an open task, a template or an undelivered outcome refers to a file.
    pub fn refers(&self, digest: Digest) -> bool {
        self.files.contains_key(&digest)
    }

    /// How many open tasks, templates and undelivered outcomes refer to a file.
    pub fn references(&self, digest: Digest) -> u32 {
        self.files.get(&digest).copied().unwrap_or_default()
    }

    /// Files that nothing refers to any more; each is told once.
    pub fn take_orphans(&mut self) -> Vec<Digest> {
        let files = &self.files;
        let mut orphans = std::mem::take(&mut self.orphans);
        orphans.retain(|digest| !files.contains_key(digest));
        orphans
    }

    /// Templates that nothing refers to any more; each is told once.
    pub fn take_retired(&mut self) -> Vec<TemplateId> {
        std::mem::take(&mut self.retired)
    }

    /// Checks the invariants.
    ///
    /// # Panics
    /// If one is broken.
    pub fn check(&self) {
        let accounted = self.accounted();
        assert_eq!(
            self.submitted,
            self.open.len() as u64 + accounted,
            "submitted = open + accounted"
        );
        for task in self.open.values() {
            assert!(
                self.templates.contains_key(&task.template),
                "an open task's template is kept"
            );
        }
        assert!(
            self.open
                .keys()
                .all(|task| !self.undelivered.contains_key(&task)),
            "an open task has no outcome"
        );
    }

    fn submit(&mut self, submitted: &Submitted) {
        let Submitted {
            session,
            sequence,
            template,
            contents,
            first,
            tasks,
        } = submitted;
        if let Some(contents) = contents {
            self.templates_made = template.0;
            contents
                .inputs
                .iter()
                .for_each(|input| self.refer(input.file.digest));
            self.templates.insert(
                *template,
                Kept {
                    template: contents.clone(),
                    users: 0,
                },
            );
        }
        for (task, body) in (first.0..).map(TaskId).zip(tasks) {
            body.inputs
                .iter()
                .for_each(|input| self.refer(input.file.digest));
            self.open.insert(
                task,
                OpenTask {
                    template: *template,
                    body: body.clone(),
                },
            );
        }
        self.submitted += tasks.len() as u64;
        self.hold(*template, tasks.len() as u64 + 1);
        let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        let used = self.submitted;
        let session = self.sessions.insert(
            *session,
            Session {
                sequence: *sequence,
                first: *first,
                count,
                template: *template,
                used,
            },
        );
        if let Some(before) = session {
            self.release(before.template, 1);
        }
        if self.sessions.len() > SESSIONS_MAX {
            self.drop_oldest_session();
        }
    }

    fn drop_oldest_session(&mut self) {
        let oldest = self
            .sessions
            .iter()
            .min_by_key(|(_, session)| session.used)
            .map(|(id, _)| *id);
        if let Some(session) = oldest.and_then(|id| self.sessions.remove(&id)) {
            self.release(session.template, 1);
        }
    }

    fn account(&mut self, outcome: &Outcome) {
        let Some(task) = self.open.remove(&outcome.task) else {
            return;
        };
        each_file(outcome, |digest| self.refer(digest));
        task.body
            .inputs
            .iter()
            .for_each(|input| self.unrefer(input.file.digest));
        self.release(task.template, 1);
        self.undelivered.insert(outcome.task, outcome.clone());
    }

    fn deliver(&mut self, task: TaskId) {
        if let Some(outcome) = self.undelivered.remove(&task) {
            self.delivered += 1;
            each_file(&outcome, |digest| self.unrefer(digest));
        }
    }

    fn hold(&mut self, template: TemplateId, users: u64) {
        if let Some(kept) = self.templates.get_mut(&template) {
            kept.users += users;
        }
    }

    fn release(&mut self, template: TemplateId, users: u64) {
        let Some(kept) = self.templates.get_mut(&template) else {
            return;
        };
        kept.users -= users;
        if kept.users == 0
            && let Some(kept) = self.templates.remove(&template)
        {
            kept.template
                .inputs
                .iter()
                .for_each(|input| self.unrefer(input.file.digest));
            self.retired.push(template);
        }
    }

    fn refer(&mut self, digest: Digest) {
        *self.files.entry(digest).or_default() += 1;
    }

    fn unrefer(&mut self, digest: Digest) {
        if let Some(count) = self.files.get_mut(&digest) {
            *count -= 1;
            if *count == 0 {
                self.files.remove(&digest);
                self.orphans.push(digest);
            }
        }
    }
}

fn each_file(outcome: &Outcome, visit: impl FnMut(Digest)) {
    if let Verdict::Ran { ran, .. } = &outcome.verdict {
        ran.files().map(|file| file.digest).for_each(visit);
    }
}
