//! Driving an ensemble: tasks go in, outcomes come out, files and streams are where they belong before either is forgotten.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_node::client::{Client, Range, Watching};
use muster_proto::outcome::Outcome;
use muster_proto::wire::Subject;
use muster_proto::{Span, TaskId};
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};

use super::progress::Progress;
use super::streams::Streams;
use super::tally::Tally;
use crate::delivery::bring;
use crate::ensemble::Ensemble;
use crate::error::CliError;
use crate::expand::Pattern;
use crate::feed::{FED_MAX, Fed, feed};
use crate::interrupt::Interrupt;
use crate::text::harmless;

/// An ensemble on its way.
#[derive(Debug)]
pub struct Drive<'a> {
    /// Who runs it.
    pub client: &'a Client,
    /// Whose tasks the master has.
    pub tenancy: Tenancy,
    /// What is run.
    pub ensemble: Arc<Ensemble>,
    /// Where outputs go, for each task.
    pub output_dir: Pattern,
    /// Where long streams go on their way.
    pub scratch: PathBuf,
    /// More failures than this end it.
    pub fails_max: Option<u64>,
    /// Where short streams go.
    pub streams: Streams,
    /// What is shown meanwhile.
    pub progress: Progress,
    /// What has become of the tasks.
    pub tally: Tally,
    /// Which tasks are which rows.
    pub rows: Rows,
    /// Whether somebody who waits has been told why.
    pub told: Told,
}

/// Whether it was told why nothing runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was, or there is no need.
    Already,
    /// When nothing has ended for a while.
    IfSlow,
}

/// Whose tasks a master has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// Ours alone; it goes when we go.
    Sole,
    /// Others' as well; it stays.
    Shared,
}

/// How a drive came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every task has its outcome.
    Complete,
    /// Too many failed.
    MaxFails,
    /// Somebody asked it to stop.
    Interrupted,
}

/// Which tasks are which rows of the ensemble.
#[derive(Debug, Default)]
pub struct Rows {
    /// First task, how many follow it in order, and the row of the first.
    runs: Vec<(TaskId, u64, u64)>,
    submitted: u64,
}

impl Rows {
    fn take(&mut self, fed: Fed) {
        let mut at = fed.at;
        for (first, last) in fed.ranges {
            let count = last.0 - first.0 + 1;
            match self.runs.last_mut() {
                Some((start, length, row))
                    if start.0 + *length == first.0 && *row + *length == at =>
                {
                    *length += count
                }
                Some(_) | None => self.runs.push((first, count, at)),
            }
            at += count;
            self.submitted += count;
        }
    }

    /// The row, counted from 0, that `task` is.
    fn of(&self, task: TaskId) -> Option<u64> {
        let after = self.runs.partition_point(|(first, _, _)| *first <= task);
        let (first, count, row) = self.runs.get(after.checked_sub(1)?)?;
        let offset = task.0 - first.0;
        (offset < *count).then(|| row + offset)
    }

    fn ranges(&self) -> Vec<Range> {
        let ranges = self.runs.iter();
        ranges
            .map(|(first, count, _)| (*first, TaskId(first.0 + count - 1)))
            .collect()
    }
}

impl Drive<'_> {
    /// Drives it to its end.
    ///
    /// # Errors
    /// A file cannot be read or written, or the master is gone for good.
    pub async fn run(&mut self, interrupt: &mut Interrupt) -> Result<End, CliError> {
        let (client, ensemble) = (self.client, Arc::clone(&self.ensemble));
        let (sender, mut fed) = mpsc::channel(FED_MAX);
        let stop = Cell::new(false);
        let feeding = feed(client, &ensemble, &stop, sender);
        let mut feeding = std::pin::pin!(feeding);
        let mut is_fed = false;
        let end = {
            let collecting = self.collect(&mut fed);
            let mut collecting = std::pin::pin!(collecting);
            loop {
                tokio::select! {
                    biased;
                    () = interrupt.asked() => break Ok(End::Interrupted),
                    result = &mut feeding, if !is_fed => match result {
                        Ok(()) => is_fed = true,
                        Err(error) => break Err(error),
                    },
                    result = &mut collecting => break result,
                }
            }
        };
        self.progress.clear();
        if self.tenancy == Tenancy::Sole || matches!(end, Ok(End::Complete)) {
            return end;
        }
        // A submit that is under way is finished first, so that nothing is left behind at the master.
        stop.set(true);
        if !is_fed && end.is_ok() {
            loop {
                tokio::select! {
                    result = &mut feeding => break result?,
                    Some(more) = fed.recv() => self.rows.take(more),
                    () = interrupt.asked() => return end,
                }
            }
        }
        while let Ok(more) = fed.try_recv() {
            self.rows.take(more);
        }
        tokio::select! {
            result = self.abandon() => result?,
            () = interrupt.asked() => {}
        }
        end
    }

    /// Cancels what has no outcome, and takes what has one.
    async fn abandon(&mut self) -> Result<(), CliError> {
        let ranges = self.rows.ranges();
        if ranges.is_empty() {
            return Ok(());
        }
        self.client.cancel(ranges.clone()).await?;
        self.fails_max = None;
        let mut watching = self.client.watch(ranges).await?;
        while self.tally.done() < self.rows.submitted {
            match watching.next().await? {
                Some(outcomes) => self.receive(outcomes.outcomes).await?,
                None => break,
            }
        }
        Ok(())
    }

    /// Takes outcomes until every task has one, or too many have failed.
    async fn collect(&mut self, fed: &mut mpsc::Receiver<Fed>) -> Result<End, CliError> {
        let mut tick = interval(self.progress.pause());
        let mut watching = match self.tenancy {
            Tenancy::Sole => Some(
                self.client
                    .watch(vec![(TaskId(1), TaskId(u64::MAX))])
                    .await?,
            ),
            Tenancy::Shared => None,
        };
        let mut feeding = true;
        let mut early = Vec::new();
        while feeding || self.tally.done() < self.rows.submitted {
            tokio::select! {
                more = fed.recv(), if feeding => match more {
                    Some(more) => {
                        self.rows.take(more);
                        if self.tenancy == Tenancy::Shared {
                            watching = Some(self.client.watch(self.rows.ranges()).await?);
                        }
                        self.receive(std::mem::take(&mut early)).await?;
                    }
                    None => feeding = false,
                },
                outcomes = next(&mut watching) => {
                    let (known, unknown) = outcomes?.into_iter().partition(|outcome| self.rows.of(outcome.task).is_some());
                    early.extend::<Vec<Outcome>>(unknown);
                    self.receive(known).await?;
                }
                _ = tick.tick() => self.show().await,
            }
            if self.fails_max.is_some_and(|most| self.tally.failed > most) {
                return Ok(End::MaxFails);
            }
        }
        self.streams.finish().map_err(stdio)?;
        Ok(End::Complete)
    }

    /// Takes outcomes with everything that belongs to them; then they may be forgotten at the master.
    async fn receive(&mut self, outcomes: Vec<Outcome>) -> Result<(), CliError> {
        if outcomes.is_empty() {
            return Ok(());
        }
        let place = |task| {
            let row = self.rows.of(task).unwrap_or_default();
            PathBuf::from(self.ensemble.fill(&self.output_dir, row))
        };
        let written = bring(self.client, &self.scratch, &outcomes, place).await?;
        self.progress.clear();
        for (outcome, written) in outcomes.iter().zip(written) {
            let row = self.rows.of(outcome.task).unwrap_or_default();
            self.streams.take(row, written).map_err(stdio)?;
            self.tally.count(outcome, || self.ensemble.command_of(row));
        }
        let tasks: Vec<TaskId> = outcomes.iter().map(|outcome| outcome.task).collect();
        self.client.delivered(&tasks).await?;
        Ok(())
    }

    async fn show(&mut self) {
        if self.progress.wants_links() {
            self.learn().await;
        }
        if self.told == Told::IfSlow && self.progress.elapsed() > SLOW {
            self.told = Told::Already;
            self.tell_why().await;
        }
        self.progress.show(&self.tally);
    }

    /// Says what the first task waits for, if nothing has ended yet and it waits.
    async fn tell_why(&mut self) {
        let Some((first, _)) = self.rows.ranges().first().copied() else {
            return;
        };
        if self.tally.done() > 0 {
            return;
        }
        if let Ok(Ok(story)) = timeout(STATUS_WAIT, self.client.explain(Subject::Task(first))).await
            && let Some(line) = story.last().filter(|line| line.contains("wait"))
        {
            let mut lost = story.iter().rev();
            let why = lost.find_map(|line| Some(line.split_once(" lost: ")?.1));
            let before = why.map(|why| format!("; lost before: {why}"));
            let before = before.unwrap_or_default();
            self.progress.clear();
            eprintln!(
                " nothing has ended yet: {}{}",
                harmless(line),
                harmless(&before)
            );
        }
    }

    /// Asks the master how things stand; a master that is away is not waited for.
    pub async fn learn(&mut self) {
        if let Ok(Ok(status)) = timeout(STATUS_WAIT, self.client.status()).await {
            self.tally.learn(status);
        }
    }
}

async fn next(watching: &mut Option<Watching>) -> Result<Vec<Outcome>, CliError> {
    match watching {
        Some(watching) => Ok(watching
            .next()
            .await?
            .map(|outcomes| outcomes.outcomes)
            .unwrap_or_default()),
        None => std::future::pending().await,
    }
}

fn stdio(source: std::io::Error) -> CliError {
    CliError::file(Path::new("standard output"), source)
}

/// How long a master is given to say how things stand, its foremen being asked as well (`INQUIRY_WAIT`).
const STATUS_WAIT: Duration = Duration::from_millis(800);
/// When somebody who sees nothing happen wants to know why.
const SLOW: Span = Span::secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_rows_whatever_came_between_them() {
        let mut rows = Rows::default();
        let range = |first, last| (TaskId(first), TaskId(last));
        rows.take(Fed {
            at: 0,
            ranges: vec![range(5, 7)],
        });
        rows.take(Fed {
            at: 3,
            ranges: vec![range(8, 8), range(20, 21)],
        });
        let found = |task| rows.of(TaskId(task));
        assert_eq!(
            (found(4), found(5), found(8), found(9)),
            (None, Some(0), Some(3), None)
        );
        assert_eq!((found(20), found(21), found(22)), (Some(4), Some(5), None));
        assert_eq!(rows.ranges(), [range(5, 8), range(20, 21)]);
        assert_eq!(rows.submitted, 6);
    }
}
