//! What a master's journal tells of a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use muster_master::Event;
use muster_proto::machine::Record;
use muster_proto::outcome::{Outcome, Ran, Verdict};
use muster_proto::task::{TaskBody, Template};
use muster_proto::{MasterId, Span, TaskId, TemplateId};
use muster_store::journal;

use crate::error::CliError;
use crate::sim::SimError;
use crate::sim::error::NoReplay;

/// Tasks and their outcomes, without times of day, which a journal does not have.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Whose journal it is.
    pub master: MasterId,
    /// How often the master started.
    pub starts: u32,
    /// What was submitted, in order.
    pub submits: Vec<Submit>,
    /// How tasks ended.
    pub outcomes: BTreeMap<TaskId, Outcome>,
    templates: BTreeMap<TemplateId, Arc<Template>>,
}

/// Tasks of one template that were submitted one after the other.
#[derive(Clone, Debug)]
pub struct Submit {
    /// What they have in common.
    pub template: Arc<Template>,
    /// The tasks, with their numbers.
    pub tasks: Vec<(TaskId, TaskBody)>,
    id: TemplateId,
}

impl History {
    /// Reads the journal in `dir`.
    ///
    /// # Errors
    /// It cannot be read, is a foreman's, or tells of no task that has run.
    pub fn read(dir: &Path) -> Result<History, CliError> {
        let nothing = |why| SimError::Replay {
            path: dir.to_owned(),
            why,
        };
        let mut history = History::default();
        for record in journal::read(dir)? {
            let (lsn, bytes) = record?;
            let event = Event::decode(&bytes);
            let is_masters = matches!(event, Ok(Event::Opened(_))) || history.starts > 0;
            if !is_masters {
                return Err(nothing(NoReplay::Foreman).into());
            }
            history.take(event.map_err(|source| CliError::Record {
                path: dir.to_owned(),
                record: lsn.0,
                source,
            })?);
        }
        if history.submits.is_empty() {
            return Err(nothing(NoReplay::Empty).into());
        }
        if history.ran().next().is_none() {
            return Err(nothing(NoReplay::Unmeasured).into());
        }
        Ok(history)
    }

    /// Takes a fact in.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Opened(opened) => {
                self.master = opened.master;
                self.starts += 1;
            }
            Event::Submitted(submitted) => {
                if let Some(contents) = submitted.contents {
                    self.templates.insert(submitted.template, contents);
                }
                let numbered = (submitted.first.0..).map(TaskId).zip(submitted.tasks);
                let last = self.submits.last_mut();
                if let Some(last) = last.filter(|last| last.id == submitted.template) {
                    last.tasks.extend(numbered);
                } else if let Some(template) = self.templates.get(&submitted.template) {
                    self.submits.push(Submit {
                        template: template.clone(),
                        tasks: numbered.collect(),
                        id: submitted.template,
                    });
                }
            }
            Event::Accounted(outcomes) => {
                let outcomes = outcomes.into_iter();
                self.outcomes
                    .extend(outcomes.map(|outcome| (outcome.task, outcome)));
            }
            Event::Delivered(_) | Event::Leased(_) | Event::Cleared(_) => {}
        }
    }

    /// Every task with its template and outcome, in order of submission.
    pub fn tasks(&self) -> impl Iterator<Item = (&Template, Option<&Outcome>)> {
        self.submits.iter().flat_map(|submit| {
            let outcome = |(task, _): &(TaskId, TaskBody)| self.outcomes.get(task);
            let tasks = submit.tasks.iter();
            tasks.map(move |task| (&*submit.template, outcome(task)))
        })
    }

    /// Every run that counts, with its task's template and outcome.
    pub fn ran(&self) -> impl Iterator<Item = (&Template, &Outcome, &Ran)> {
        self.tasks().filter_map(|(template, outcome)| {
            let outcome = outcome?;
            match &outcome.verdict {
                Verdict::Ran { ran, .. } => Some((template, outcome, &**ran)),
                Verdict::GivenUp(_) | Verdict::Cancelled => None,
            }
        })
    }

    /// The mean run time of each category, and of all.
    pub fn means(&self) -> (BTreeMap<&str, Span>, Span) {
        let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let mut all = (0, 0);
        for (template, _, ran) in self.ran() {
            let sum = sums.entry(&template.category).or_default();
            for (us, count) in [sum, &mut all] {
                *us += ran.measured.wall.0;
                *count += 1;
            }
        }
        let mean = |(us, count): (u64, u64)| Span(us / count.max(1));
        let means = sums.into_iter().map(|(name, sum)| (name, mean(sum)));
        (means.collect(), mean(all))
    }
}
