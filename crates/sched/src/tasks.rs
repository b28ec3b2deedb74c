//! The tasks the scheduler knows, each on exactly one chain: its class's queue or its child's leases.
//!
//! A million of them are ordinary, so they are dense: 48 bytes in one vector, linked by number so that any can be
//! taken out at once, and found by key through a table of numbers only (four bytes, at most three quarters full).

use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;

use muster_proto::{TaskKey, Time};
use rustc_hash::FxHasher;

/// The number of no task.
pub(crate) const NONE: u32 = u32::MAX;

/// A task that waits or is leased.
#[derive(Debug)]
pub(crate) struct Task {
    pub key: TaskKey,
    pub stage: Stage,
    /// The number of its class.
    pub class: u32,
    previous: u32,
    next: u32,
}

/// How far a task is. `child` is a number of [`crate::children::Children`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    /// The place in the vector is free.
    Free,
    /// It waits in the queue of its class. The least arrival of a class's head decides which class is next.
    /// The child to avoid is named by its place in order of joining, which no other child ever has.
    Ready {
        arrival: u64,
        avoid: Option<NonZeroU32>,
    },
    /// A child holds it.
    Leased { child: u32 },
    /// A child runs it.
    Running { child: u32, since: Time },
    /// A child runs it and was reported as too slow.
    Straggling { child: u32 },
}

impl Stage {
    /// The child that holds the task.
    pub fn child(self) -> Option<u32> {
        match self {
            Stage::Free | Stage::Ready { .. } => None,
            Stage::Leased { child }
            | Stage::Running { child, .. }
            | Stage::Straggling { child } => Some(child),
        }
    }
}

const _: () = assert!(
    size_of::<Task>() == 48,
    "a million tasks take 48 MB, and 8 to 16 for the table"
);

/// Tasks in a row; the links are in the tasks.
#[derive(Debug)]
pub(crate) struct Chain {
    pub first: u32,
    last: u32,
    pub length: u32,
}

impl Chain {
    pub const EMPTY: Chain = Chain {
        first: NONE,
        last: NONE,
        length: 0,
    };
}

/// Every task, by number and by key.
#[derive(Debug)]
pub(crate) struct Tasks {
    tasks: Vec<Task>,
    /// The first free place; the others follow by `next`.
    free: u32,
    live: usize,
    /// Numbers of tasks, each at or after the position its key hashes to; a power of two of them.
    table: Vec<u32>,
}

impl Tasks {
    pub fn new() -> Self {
        Self {
            tasks: Vec::new(),
            free: NONE,
            live: 0,
            table: vec![NONE; TABLE_MIN],
        }
    }

    /// The task of this number.
    pub fn get(&self, task: u32) -> &Task {
        &self.tasks[task as usize]
    }

    /// The task of this number, to be changed.
    pub fn get_mut(&mut self, task: u32) -> &mut Task {
        &mut self.tasks[task as usize]
    }

    /// The number of a task.
    pub fn find(&self, key: TaskKey) -> Option<u32> {
        let mut at = self.home(key);
        loop {
            match self.table[at] {
                NONE => return None,
                task if self.tasks[task as usize].key == key => return Some(task),
                _another => at = (at + 1) & (self.table.len() - 1),
            }
        }
    }

    /// Adds a task whose key is not known, on no chain.
    pub fn insert(&mut self, key: TaskKey, class: u32, stage: Stage) -> u32 {
        if (self.live + 1) * 4 > self.table.len() * 3 {
            self.rehash(self.table.len() * 2);
        }
        let task = Task {
            key,
            stage,
            class,
            previous: NONE,
            next: NONE,
        };
        let number = if self.free == NONE {
            self.tasks.push(task);
            (self.tasks.len() - 1) as u32
        } else {
            let number = self.free;
            self.free = self.tasks[number as usize].next;
            self.tasks[number as usize] = task;
            number
        };
        self.live += 1;
        self.enter(number);
        number
    }

    /// Removes a task that is on no chain.
    pub fn remove(&mut self, task: u32) {
        self.leave(task);
        let place = &mut self.tasks[task as usize];
        place.stage = Stage::Free;
        place.next = self.free;
        self.free = task;
        self.live -= 1;
        if self.live == 0 && self.table.len() > TABLE_MIN {
            *self = Self::new();
        }
    }

    pub fn push_back(&mut self, chain: &mut Chain, task: u32) {
        self.get_mut(task).previous = chain.last;
        self.get_mut(task).next = NONE;
        match chain.last {
            NONE => chain.first = task,
            last => self.get_mut(last).next = task,
        }
        chain.last = task;
        chain.length += 1;
    }

    pub fn push_front(&mut self, chain: &mut Chain, task: u32) {
        self.get_mut(task).previous = NONE;
        self.get_mut(task).next = chain.first;
        match chain.first {
            NONE => chain.last = task,
            first => self.get_mut(first).previous = task,
        }
        chain.first = task;
        chain.length += 1;
    }

    /// Takes `task` out of the chain it is on.
    pub fn unlink(&mut self, chain: &mut Chain, task: u32) {
        let Task { previous, next, .. } = *self.get(task);
        match previous {
            NONE => chain.first = next,
            previous => self.get_mut(previous).next = next,
        }
        match next {
            NONE => chain.last = previous,
            next => self.get_mut(next).previous = previous,
        }
        chain.length -= 1;
    }

    /// The task behind another on its chain, or [`NONE`].
    pub fn next(&self, task: u32) -> u32 {
        self.get(task).next
    }

    /// The tasks of a chain, in its order.
    pub fn along(&self, chain: &Chain) -> impl Iterator<Item = u32> {
        let some = |task: u32| (task != NONE).then_some(task);
        std::iter::successors(some(chain.first), move |task| some(self.get(*task).next))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Checks that the table finds every task and nothing else.
    pub fn check(&self) {
        let mut live = 0;
        for (number, task) in self.tasks.iter().enumerate() {
            if !matches!(task.stage, Stage::Free) {
                live += 1;
                assert_eq!(
                    self.find(task.key),
                    Some(number as u32),
                    "{} is found by its key",
                    task.key
                );
            }
        }
        assert_eq!(live, self.live, "tasks are counted");
        let listed = self.table.iter().filter(|task| **task != NONE).count();
        assert_eq!(listed, live, "the table lists every task once");
    }

    /// Where the table's search for `key` begins.
    fn home(&self, key: TaskKey) -> usize {
        let mut hasher = FxHasher::default();
        key.hash(&mut hasher);
        hasher.finish() as usize & (self.table.len() - 1)
    }

    fn enter(&mut self, task: u32) {
        let mut at = self.home(self.get(task).key);
        while self.table[at] != NONE {
            at = (at + 1) & (self.table.len() - 1);
        }
        self.table[at] = task;
    }

    /// Takes `task` out of the table and closes the gap, so that searches need not step over graves.
    fn leave(&mut self, task: u32) {
        let mask = self.table.len() - 1;
        let mut gap = self.home(self.get(task).key);
        while self.table[gap] != task {
            gap = (gap + 1) & mask;
        }
        let mut at = (gap + 1) & mask;
        while self.table[at] != NONE {
            let home = self.home(self.get(self.table[at]).key);
            // It may move back to the gap if its search begins there or before.
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(gap) & mask {
                self.table[gap] = self.table[at];
                gap = at;
            }
            at = (at + 1) & mask;
        }
        self.table[gap] = NONE;
    }

    fn rehash(&mut self, length: usize) {
        let old = std::mem::replace(&mut self.table, vec![NONE; length]);
        for task in old.into_iter().filter(|task| *task != NONE) {
            self.enter(task);
        }
    }
}

/// The least length of the table; a larger one is given back when the last task is gone.
const TABLE_MIN: usize = 1 << 10;
