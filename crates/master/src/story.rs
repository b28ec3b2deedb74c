//! What lately happened to tasks, for `muster explain`.

use std::collections::VecDeque;

use muster_proto::limits::STORY_MAX;
use muster_proto::outcome::Loss;
use muster_proto::{TaskId, Time, Try};
use muster_sched::ChildId;

/// The last happenings of all tasks, at most `limits::STORY_MAX`, oldest first.
#[derive(Debug, Default)]
pub struct Story {
    lines: VecDeque<Line>,
}

/// One happening.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// When.
    pub at: Time,
    /// To which task.
    pub task: TaskId,
    /// What.
    pub what: Happening,
}

/// What can happen to a task at its master.
#[derive(Clone, Copy, Debug)]
pub enum Happening {
    /// A user's submit was accepted.
    Submitted,
    /// An attempt was handed to a subordinate.
    Leased(Try, ChildId),
    /// A subordinate's inventory listed an attempt, which goes on.
    Adopted(Try, ChildId),
    /// An attempt brought no outcome.
    Lost(Try, Loss),
    /// An attempt failed and is followed by another.
    Retried(Try),
    /// An attempt has ended; its files are being fetched.
    Arriving(Try),
    /// The task has its outcome.
    Accounted,
    /// A user cancelled it.
    Cancelled,
}

impl Story {
    /// Notes what happened.
    pub fn tell(&mut self, at: Time, task: TaskId, what: Happening) {
        if self.lines.len() == STORY_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { at, task, what });
    }

    /// The story of one task, oldest first. Costs O(stories kept).
    pub fn of(&self, task: TaskId) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.task == task)
    }
}

impl Happening {
    /// A sentence for people; `who` names a subordinate.
    pub fn tell(&self, who: impl Fn(ChildId) -> String) -> String {
        match self {
            Happening::Submitted => "submitted".to_owned(),
            Happening::Leased(round, child) => format!("attempt {round} handed to {}", who(*child)),
            Happening::Adopted(round, child) => {
                format!("attempt {round} found at {}, goes on", who(*child))
            }
            Happening::Lost(round, loss) => format!("attempt {round} lost: {}", loss.as_str()),
            Happening::Retried(round) => format!("attempt {round} failed; another follows"),
            Happening::Arriving(round) => {
                format!("attempt {round} ended; its files are on their way")
            }
            Happening::Accounted => "has its outcome".to_owned(),
            Happening::Cancelled => "cancelled".to_owned(),
        }
    }
}
