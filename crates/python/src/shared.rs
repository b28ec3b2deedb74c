//! What the threads of Python and the thread of the line hand each other.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_node::client::Range;
use muster_node::clock::wall_ms;
use muster_proto::task::{TaskBody, Template};
use muster_proto::{Digest, TaskId};
use tokio::sync::Notify;

use crate::line::ledger::Entry;
use crate::outcome::{Known, Outcome};
use crate::spec::Landing;

/// What is behind both.
#[derive(Debug, Default)]
pub struct Shared {
    state: Mutex<State>,
    /// An outcome is ready, or none will ever be.
    arrived: Condvar,
    /// There are orders.
    pub ordered: Notify,
    /// There are outcomes to acknowledge.
    pub taken: Notify,
    /// Tasks have got their numbers at the master.
    pub registered: Notify,
}

/// What Python wants of the line.
#[derive(Debug)]
pub enum Order {
    /// A task.
    Submit(Box<Pending>),
    /// Cancel these, and say how many had no outcome.
    Cancel(Vec<u64>, Reply<u64>),
    /// Say when everything before is durable.
    Flush(Reply<()>),
    /// How things stand, in JSON.
    Status(Reply<String>),
    /// What is known of a task.
    Explain(u64, Reply<Vec<String>>),
    /// Take leave.
    Close,
}

/// Whom an answer goes to.
pub type Reply<T> = SyncSender<T>;

/// A task that has not been submitted.
#[derive(Debug)]
pub struct Pending {
    /// Its number here.
    pub number: u64,
    /// What it has in common with others.
    pub template: Arc<Template>,
    /// What is its own.
    pub body: TaskBody,
    /// Contents it needs.
    pub files: Vec<(Digest, PathBuf)>,
    /// Those of them that came from memory.
    pub buffers: Vec<Digest>,
    /// Where its outputs go.
    pub landings: Vec<Landing>,
    /// What Python wants to be told again in another life.
    pub note: Option<String>,
}

/// What is remembered of a task while it is under way.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Where its outputs go.
    pub landings: Vec<Landing>,
    submitted_ms: u64,
    note: Option<String>,
    task: Option<TaskId>,
}

#[derive(Debug)]
struct State {
    orders: Vec<Order>,
    /// Tasks without an outcome here, by their numbers.
    tasks: BTreeMap<u64, Kept>,
    /// The numbers of those that the master has.
    numbers: BTreeMap<TaskId, u64>,
    ready: VecDeque<Outcome>,
    acks: Vec<TaskId>,
    failure: Option<String>,
    last: u64,
    /// Tasks up to this one are of an earlier life.
    earlier: TaskId,
    /// How many of them have no outcome here.
    resumed: u64,
    /// How many of them have none that was taken.
    untaken: u64,
    ledger: BTreeMap<TaskId, Entry>,
}

impl Default for State {
    fn default() -> State {
        State {
            orders: Vec::new(),
            tasks: BTreeMap::new(),
            numbers: BTreeMap::new(),
            ready: VecDeque::new(),
            acks: Vec::new(),
            failure: None,
            last: 0,
            earlier: TaskId(0),
            resumed: 0,
            untaken: 0,
            ledger: BTreeMap::new(),
        }
    }
}

/// The line has failed, for this reason.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is behind it is whole after each statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tasks up to `earlier` were there before, `open` of them without a delivered outcome.
    pub fn resume(&self, earlier: TaskId, open: u64, ledger: BTreeMap<TaskId, Entry>) {
        let mut state = self.lock();
        state.last = earlier.0;
        state.earlier = earlier;
        state.resumed = open;
        state.untaken = open;
        state.ledger = ledger;
    }

    /// The number of the next task.
    pub fn number(&self) -> u64 {
        let mut state = self.lock();
        state.last += 1;
        state.last
    }

    /// Hands an order to the line.
    ///
    /// # Errors
    /// It has failed.
    pub fn order(&self, order: Order) -> Result<(), Broken> {
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Err(Broken(failure.clone()));
        }
        if let Order::Submit(pending) = &order {
            let kept = Kept {
                landings: pending.landings.clone(),
                submitted_ms: wall_ms(),
                note: pending.note.clone(),
                task: None,
            };
            state.tasks.insert(pending.number, kept);
        }
        let first = state.orders.is_empty();
        state.orders.push(order);
        drop(state);
        if first {
            self.ordered.notify_one();
        }
        Ok(())
    }

    /// All orders there are, oldest first.
    pub fn orders(&self) -> Vec<Order> {
        std::mem::take(&mut self.lock().orders)
    }

    /// Tasks `numbers` are those of `ranges`, in order.
    pub fn register(&self, numbers: &[u64], ranges: &[Range]) {
        let mut state = self.lock();
        let tasks = ranges.iter().flat_map(|(first, last)| first.0..=last.0);
        for (number, task) in numbers.iter().zip(tasks.map(TaskId)) {
            state.numbers.insert(task, *number);
            if let Some(kept) = state.tasks.get_mut(number) {
                kept.task = Some(task);
            }
        }
        drop(state);
        self.registered.notify_one();
    }

    /// The master's numbers of tasks that have no outcome here; without numbers, of all.
    pub fn open(&self, numbers: Option<&[u64]>) -> Vec<Range> {
        let state = self.lock();
        let mut tasks: Vec<TaskId> = match numbers {
            None => return ranges(state.numbers.keys().copied()),
            Some(numbers) => numbers
                .iter()
                .filter_map(|number| state.task_of(*number))
                .collect(),
        };
        drop(state);
        tasks.sort_unstable();
        ranges(tasks.into_iter())
    }

    /// The master's number of a task without an outcome here.
    pub fn task(&self, number: u64) -> Option<TaskId> {
        self.lock().task_of(number)
    }

    /// What is remembered of a task whose outcome has come; `None` if it is not one of ours, or not yet known to be.
    pub fn take_kept(&self, task: TaskId) -> Option<(Known, Vec<Landing>)> {
        let mut state = self.lock();
        let (number, kept) = if let Some(number) = state.numbers.remove(&task) {
            (number, state.tasks.remove(&number)?)
        } else if task <= state.earlier && state.resumed > 0 {
            state.resumed -= 1;
            let entry = state.ledger.remove(&task).unwrap_or_default();
            (task.0, entry.into())
        } else {
            return None;
        };
        let known = Known {
            number,
            submitted_ms: kept.submitted_ms,
            finished_ms: wall_ms(),
            note: kept.note,
        };
        Some((known, kept.landings))
    }

    /// A task was not taken, and will have no outcome of a master.
    pub fn refused(&self, number: u64, kind: &'static str, why: String) {
        let mut state = self.lock();
        let kept = state.tasks.remove(&number).unwrap_or_default();
        let known = Known {
            number,
            submitted_ms: kept.submitted_ms,
            finished_ms: wall_ms(),
            note: kept.note,
        };
        state.ready.push_back(Outcome::never(known, kind, why));
        drop(state);
        self.arrived.notify_all();
    }

    /// Outcomes are ready to be taken, whose tasks [`Shared::take_kept`] has given out.
    pub fn ready(&self, ended: Vec<Outcome>) {
        let mut state = self.lock();
        state.ready.extend(ended);
        drop(state);
        self.arrived.notify_all();
    }

    /// Waits up to `wait` for an outcome; says whether there is one.
    ///
    /// # Errors
    /// There is none, and the line has failed.
    pub fn wait(&self, wait: Duration) -> Result<bool, Broken> {
        let waiting = |state: &mut State| state.ready.is_empty() && state.failure.is_none();
        let waited = self.arrived.wait_timeout_while(self.lock(), wait, waiting);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match &state.failure {
            Some(failure) if state.ready.is_empty() => Err(Broken(failure.clone())),
            Some(_) | None => Ok(!state.ready.is_empty()),
        }
    }

    /// Takes up to `most` outcomes of those that there are. Each is to be accepted when nobody else is to have it.
    pub fn take(&self, most: usize) -> Vec<Outcome> {
        let mut state = self.lock();
        let count = most.min(state.ready.len());
        let taken: Vec<Outcome> = state.ready.drain(..count).collect();
        let earlier = taken.iter().filter(|outcome| outcome.is_earlier()).count();
        state.untaken -= earlier as u64;
        taken
    }

    /// The master may forget these tasks.
    pub fn accept(&self, tasks: impl IntoIterator<Item = TaskId>) {
        self.lock().acks.extend(tasks);
        self.taken.notify_one();
    }

    /// Outcomes that were accepted and not acknowledged.
    pub fn acks(&self) -> Vec<TaskId> {
        std::mem::take(&mut self.lock().acks)
    }

    /// Whether a task was handed in and has no outcome here.
    pub fn holds(&self, number: u64) -> bool {
        self.lock().tasks.contains_key(&number)
    }

    /// Tasks of an earlier life whose outcome nobody has taken.
    pub fn untaken(&self) -> u64 {
        self.lock().untaken
    }

    /// Nothing more will come, for this reason.
    pub fn fail(&self, why: String) {
        let mut state = self.lock();
        state.failure.get_or_insert(why);
        // Whoever waits for an answer hears of it by losing it.
        state.orders.clear();
        drop(state);
        self.arrived.notify_all();
    }

    /// Why nothing more comes.
    pub fn broken(&self) -> Broken {
        let failure = self.lock().failure.clone();
        Broken(failure.unwrap_or_else(|| "the queue is closed".to_owned()))
    }
}

impl State {
    fn task_of(&self, number: u64) -> Option<TaskId> {
        let earlier = || (number <= self.earlier.0).then_some(TaskId(number));
        self.tasks
            .get(&number)
            .map_or_else(earlier, |kept| kept.task)
    }
}

impl From<Entry> for Kept {
    fn from(entry: Entry) -> Kept {
        Kept {
            landings: entry.landings,
            note: entry.note,
            ..Kept::default()
        }
    }
}

/// Ordered tasks as ranges.
fn ranges(tasks: impl Iterator<Item = TaskId>) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for task in tasks {
        match ranges.last_mut() {
            Some((_, last)) if last.0 + 1 == task.0 => *last = task,
            Some(_) | None => ranges.push((task, task)),
        }
    }
    ranges
}
