//! Fast abort: attempts that run much longer than their kind are given up, to be tried elsewhere.

use muster_proto::machine::Deadline;
use muster_proto::{Span, TaskKey, Time};

use crate::class::Class;
use crate::tasks::Stage;
use crate::{ChildKind, Placement, Sched};

impl Sched {
    /// Appends the attempts that have run longer than fast abort allows, each once; the caller cancels them.
    ///
    /// That is longer than the mean of the category's runs, times the policy's percentage and 100 more for each time
    /// the task was given up before, so that in the end every task is given the time it takes; with at least ten runs
    /// to go by, and at workers only.
    pub fn stragglers(&mut self, now: Time, out: &mut Vec<Placement>) {
        for class in self.watched.clone() {
            while let Some((due, task)) = self.first_due(class) {
                if due > now {
                    break;
                }
                let Stage::Running { child, .. } = self.tasks.get(task).stage else {
                    break;
                };
                let key = self.tasks.get(task).key;
                self.unwatch(task);
                self.tasks.get_mut(task).stage = Stage::Straggling { child };
                self.remember_abort(key);
                out.push(Placement {
                    key,
                    child: self.children.get(child).id,
                });
            }
        }
    }

    /// When the first running attempt may have become a straggler.
    pub fn deadline(&self) -> Option<Deadline> {
        let dues = self
            .watched
            .iter()
            .filter_map(|class| self.first_due(*class));
        let at = dues.map(|(due, _)| due).min()?;
        Some(Deadline {
            at,
            why: "a running attempt may have become a straggler",
        })
    }

    /// Notes that an attempt runs.
    pub(crate) fn watch(&mut self, task: u32, child: u32, since: Time) {
        let number = self.tasks.get(task).class;
        let class = self.classes.get_mut(number);
        if class.spec.policy.fast_abort_percent.is_none()
            || self.children.get(child).kind != ChildKind::Worker
        {
            return;
        }
        let key = self.tasks.get(task).key;
        let times = self.aborted.get(&key).copied().unwrap_or(0);
        class
            .watched
            .entry(times)
            .or_default()
            .insert((since, key, task));
        self.watched.insert(number);
    }

    /// Notes that an attempt, if it runs, does so no more or was reported.
    pub(crate) fn unwatch(&mut self, task: u32) {
        let Stage::Running { since, .. } = self.tasks.get(task).stage else {
            return;
        };
        let (number, key) = (self.tasks.get(task).class, self.tasks.get(task).key);
        let class = self.classes.get_mut(number);
        class.watched.retain(|_, attempts| {
            attempts.remove(&(since, key, task));
            !attempts.is_empty()
        });
        if class.watched.is_empty() {
            self.watched.remove(&number);
        }
    }

    /// The running attempt of a class that is a straggler first, and when.
    fn first_due(&self, class: u32) -> Option<(Time, u32)> {
        let class = self.classes.get(class);
        let category = self.categories.get(class.category);
        let mean = category.runs.mean(SAMPLES_MIN)?;
        let firsts = class.watched.iter().filter_map(|(times, attempts)| {
            let (since, _, task) = attempts.first()?;
            Some((*since + patience(class, mean, *times) + Span(1), *task))
        });
        firsts.min_by_key(|(due, _)| *due)
    }

    fn remember_abort(&mut self, key: TaskKey) {
        *self.aborted.entry(key).or_default() += 1;
        if self.aborted.len() > ABORTED_MAX {
            self.aborted.pop_first();
        }
    }
}

/// How long an attempt may run whose task was given up so many `times`.
fn patience(class: &Class, mean: Span, times: u32) -> Span {
    let percent = class.spec.policy.fast_abort_percent.unwrap_or(u32::MAX);
    let percent = u128::from(percent) + 100 * u128::from(times);
    Span(u64::try_from(u128::from(mean.0) * percent / 100).unwrap_or(u64::MAX))
}

/// Runs of a category before its mean is believed.
const SAMPLES_MIN: u64 = 10;
/// Tasks whose being given up is remembered; those of the lowest key are forgotten first and lose some patience.
const ABORTED_MAX: usize = 65_536;
