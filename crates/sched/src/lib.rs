//! The scheduler that masters and foremen both run: which ready task goes to which subordinate.
//!
//! Equal requests are one **class** and one queue; subordinates are **children**. A task is known from
//! [`Sched::ready`] (or [`Sched::adopt`]) until its lease ends ([`Sched::ran`], [`Sched::lost`]) or it is forgotten.
//! [`Sched::place`] serves classes by priority, then by the arrival of their head; a class whose head fits nowhere
//! lets others pass and is looked at again when a child has changed.
//!
//! A task fits a child only if one real shape of its histogram holds the request. What a child can run side by side
//! is filled first, everywhere; then children that could be idle for a round trip get a little in hand: at most
//! `limits::HOARD` of work as measured, nothing while run times are unknown, and never more than an even share of
//! what is left. A class that waits for room keeps those behind it from taking work in hand where it could run.
//!
//! Everything is deterministic: integers, ordered sets, ties to whoever joined first, one seeded generator. There is
//! no clock here; what happens is told with its time. Not here: attempts, retries, links, journals.

mod admission;
pub mod cache;
mod check;
mod children;
mod class;
mod crew;
mod explain;
mod inquiries;
mod linger;
mod outbox;
mod place;
mod rng;
mod seq_map;
mod stats;
mod stragglers;
mod tasks;
mod views;

pub use admission::Admission;
pub use cache::{Arrival, Cache, Want};
pub use children::{ChildId, ChildKind};
pub use class::{ClassId, ClassSpec};
pub use crew::{Crew, Departed};
pub use explain::Waiting;
pub use linger::Linger;
pub use outbox::{Gates, Outbox};
pub use place::{Files, Placed, Placement};
pub use seq_map::{Numbered, SeqMap};
pub use views::{Sites, Views};

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use muster_proto::{Resources, Span, TaskKey, Time};

use crate::children::{Children, Presence};
use crate::class::{Class, Classes, Rank};
use crate::rng::Rng;
use crate::stats::Categories;
use crate::tasks::{Chain, NONE, Stage, Tasks};

/// A scheduler: classes, children, and the tasks that wait or are leased.
#[derive(Debug)]
pub struct Sched {
    tasks: Tasks,
    classes: Classes,
    children: Children,
    categories: Categories,
    /// Every class with ready tasks, in the order they are served.
    order: BTreeSet<Rank>,
    counts: Counts,
    /// The next arrivals at the back and at the front; they start in the middle and go apart.
    arrival_back: u64,
    arrival_front: u64,
    /// How often tasks were given up as stragglers, of those that were and have not ended.
    aborted: BTreeMap<TaskKey, u32>,
    /// Classes with running attempts that may become stragglers.
    watched: BTreeSet<u32>,
    rng: Rng,
    /// Classes that this call of `place` found without room.
    waiting: Vec<u32>,
    /// Children found with room for one task; kept for its memory.
    candidates: Vec<place::Candidate>,
}

/// How many tasks there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tasks that wait.
    pub ready: u64,
    /// Tasks that a child holds.
    pub leased: u64,
}

/// Where a task enters its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// Behind all others.
    Back,
    /// Before all others: another attempt at a task that has waited already.
    Front,
}

impl Sched {
    /// A scheduler without children and tasks; `seed` decides what `Algorithm::Random` draws.
    pub fn new(seed: u64) -> Self {
        Self {
            tasks: Tasks::new(),
            classes: Classes::default(),
            children: Children::default(),
            categories: Categories::default(),
            order: BTreeSet::new(),
            counts: Counts::default(),
            arrival_back: 1 << 63,
            arrival_front: (1 << 63) - 1,
            aborted: BTreeMap::new(),
            watched: BTreeSet::new(),
            rng: Rng::new(seed),
            waiting: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// The class of `spec`; equal specifications have one. Each call counts a holder, until [`Sched::retire`].
    ///
    /// A class is there while it has a holder or a task; its run times outlive it, by the name of its category.
    pub fn class(&mut self, spec: ClassSpec) -> ClassId {
        if let Some(number) = self.classes.hold(&spec) {
            return ClassId(number);
        }
        let category = self.categories.hold(&spec.category);
        ClassId(self.classes.insert(spec, category))
    }

    /// Takes back one call of [`Sched::class`]. After the last, and when its last task is gone, the number may come
    /// to mean another class.
    pub fn retire(&mut self, class: ClassId) {
        self.classes.release(class.0);
        self.reclaim(class.0);
    }

    /// A child joins, placeable once it has offered; or a known one says again who it is, which changes nothing else.
    pub fn join(&mut self, child: ChildId, kind: ChildKind, site: &str, host: &str) {
        let Some(number) = self.children.find(child) else {
            self.children.insert(child, kind, site, host);
            return;
        };
        let known = self.children.get_mut(number);
        known.kind = kind;
        if known.site != site || known.host != host {
            known.site = site.to_owned();
            known.host = host.to_owned();
        }
    }

    /// A child says how many workers of which shape it has; replaces what it said before. Its leases stay.
    pub fn offer(&mut self, child: ChildId, shapes: &[(Resources, u32)]) {
        if let Some(number) = self.children.find(child) {
            let classes = &self.classes;
            self.children
                .change(number, |child| child.offer(shapes, classes));
        }
    }

    /// How long news takes to a child and back, as measured.
    pub fn set_round_trip(&mut self, child: ChildId, round_trip: Span) {
        if let Some(number) = self.children.find(child) {
            self.children.get_mut(number).round_trip = round_trip;
            self.children.touch(number);
        }
    }

    /// Nothing is placed at a child until [`Sched::resume`]; its leases stay.
    pub fn pause(&mut self, child: ChildId) {
        if let Some(number) = self.children.find(child) {
            self.children
                .change(number, |child| child.presence = Presence::Paused);
        }
    }

    /// A paused child may be given work.
    pub fn resume(&mut self, child: ChildId) {
        if let Some(number) = self.children.find(child) {
            self.children
                .change(number, |child| child.presence = Presence::Here);
        }
    }

    /// Forgets a child. Returns what it held, in order; the scheduler knows those tasks no more.
    pub fn leave(&mut self, child: ChildId) -> Vec<TaskKey> {
        let Some(number) = self.children.find(child) else {
            return Vec::new();
        };
        let held: Vec<TaskKey> = self.leases(child).collect();
        for key in &held {
            self.lost(*key);
        }
        self.children.remove(number);
        held
    }

    /// A task waits, and may go to `avoid` only if no other child could ever run it. A task that is known stays as
    /// it is.
    ///
    /// # Panics
    /// If nobody holds `class`.
    #[allow(
        clippy::too_many_arguments,
        reason = "each says another thing, and it is called too often for a builder"
    )]
    pub fn ready(
        &mut self,
        _now: Time,
        key: TaskKey,
        class: ClassId,
        place: Where,
        avoid: Option<ChildId>,
    ) {
        if self.tasks.find(key).is_some() {
            return;
        }
        let avoid = avoid
            .and_then(|child| self.children.find(child))
            .map(|number| self.children.get(number).joined);
        let old = self.rank(class.0);
        let queue = &mut self.classes.get_mut(class.0).queue;
        match place {
            Where::Back => {
                let arrival = self.arrival_back;
                self.arrival_back += 1;
                let task = self
                    .tasks
                    .insert(key, class.0, Stage::Ready { arrival, avoid });
                self.tasks.push_back(queue, task);
            }
            Where::Front => {
                let arrival = self.arrival_front;
                self.arrival_front -= 1;
                let task = self
                    .tasks
                    .insert(key, class.0, Stage::Ready { arrival, avoid });
                self.tasks.push_front(queue, task);
            }
        }
        self.counts.ready += 1;
        self.reorder(class.0, old);
    }

    /// An inventory says that `child` holds a task: it is leased there, beyond the room if need be, whether it was
    /// ready, leased elsewhere or not known.
    ///
    /// # Panics
    /// If the child has not joined, or nobody holds `class`.
    pub fn adopt(&mut self, _now: Time, key: TaskKey, class: ClassId, child: ChildId) {
        let number = self
            .children
            .find(child)
            .expect("a child joins before it is said to hold tasks");
        match self.tasks.find(key) {
            None => {
                let task = self
                    .tasks
                    .insert(key, class.0, Stage::Leased { child: number });
                self.hold(task, number);
            }
            Some(task) => match self.tasks.get(task).stage.child() {
                Some(holder) if holder == number => {}
                Some(_) => {
                    self.end_lease(task);
                    self.hold(task, number);
                }
                None => {
                    self.unqueue(task);
                    self.hold(task, number);
                }
            },
        }
    }

    /// Forgets a task that was cancelled or ended elsewhere. Returns the child that holds it.
    pub fn forget(&mut self, key: TaskKey) -> Option<ChildId> {
        self.aborted.remove(&key);
        let child = self.lease(key);
        self.lost(key);
        child
    }

    /// A child has started a task it holds.
    pub fn started(&mut self, now: Time, key: TaskKey) {
        let Some(task) = self.tasks.find(key) else {
            return;
        };
        let Stage::Leased { child } = self.tasks.get(task).stage else {
            return;
        };
        self.tasks.get_mut(task).stage = Stage::Running { child, since: now };
        self.watch(task, child, now);
    }

    /// A task has run for `wall`: it is known no more, and its category has learned.
    pub fn ran(&mut self, _now: Time, key: TaskKey, wall: Span) {
        let Some(task) = self.tasks.find(key) else {
            return;
        };
        let category = self.classes.get(self.tasks.get(task).class).category;
        self.categories.get_mut(category).runs.add(wall);
        if let Some(child) = self.tasks.get(task).stage.child() {
            self.children
                .get_mut(child)
                .runs
                .entry(category)
                .or_default()
                .add(wall);
        }
        if !self.aborted.is_empty() {
            self.aborted.remove(&key);
        }
        self.remove(task);
    }

    /// A task's lease has ended and nothing was learned: it is known no more.
    pub fn lost(&mut self, key: TaskKey) {
        if let Some(task) = self.tasks.find(key) {
            self.remove(task);
        }
    }

    /// The child that holds a task.
    pub fn lease(&self, key: TaskKey) -> Option<ChildId> {
        let child = self.tasks.get(self.tasks.find(key)?).stage.child()?;
        Some(self.children.get(child).id)
    }

    /// How many tasks there are.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many tasks a child holds.
    pub fn leased_of(&self, child: ChildId) -> u32 {
        self.children
            .find(child)
            .map_or(0, |number| self.children.get(number).leases.length)
    }

    /// How many one-core tasks a child could run side by side.
    pub fn slots_of(&self, child: ChildId) -> u32 {
        self.children
            .find(child)
            .map_or(0, |number| self.children.get(number).core_slots)
    }

    /// What a child holds, in order. Costs a sort of it.
    pub fn leases(&self, child: ChildId) -> impl Iterator<Item = TaskKey> + use<> {
        let chain = self
            .children
            .find(child)
            .map(|number| &self.children.get(number).leases);
        let tasks = chain.into_iter().flat_map(|chain| self.tasks.along(chain));
        let mut keys: Vec<TaskKey> = tasks.map(|task| self.tasks.get(task).key).collect();
        keys.sort_unstable();
        keys.into_iter()
    }

    /// Makes a task that is on no chain a lease of `child`.
    fn hold(&mut self, task: u32, child: u32) {
        self.tasks.get_mut(task).stage = Stage::Leased { child };
        let number = self.tasks.get(task).class;
        let class = self.classes.get_mut(number);
        class.leased += 1;
        self.counts.leased += 1;
        let mean = self.categories.get(class.category).runs.recent();
        let holder = self.children.get_mut(child);
        self.tasks.push_back(&mut holder.leases, task);
        holder.take(number, &class.spec.resources, mean);
    }

    /// Ends a lease; the task is on no chain then.
    fn end_lease(&mut self, task: u32) {
        let Some(child) = self.tasks.get(task).stage.child() else {
            return;
        };
        self.unwatch(task);
        let number = self.tasks.get(task).class;
        self.classes.get_mut(number).leased -= 1;
        self.counts.leased -= 1;
        let holder = self.children.get_mut(child);
        self.tasks.unlink(&mut holder.leases, task);
        let request = &self.classes.get(number).spec.resources;
        holder.give_back(number, request, &self.classes);
        self.children.touch(child);
    }

    /// Takes a ready task out of its queue.
    fn unqueue(&mut self, task: u32) {
        let class = self.tasks.get(task).class;
        let old = self.rank(class);
        self.tasks
            .unlink(&mut self.classes.get_mut(class).queue, task);
        self.counts.ready -= 1;
        self.reorder(class, old);
    }

    /// Removes a task, wherever it is.
    fn remove(&mut self, task: u32) {
        let class = self.tasks.get(task).class;
        match self.tasks.get(task).stage.child() {
            Some(_) => self.end_lease(task),
            None => self.unqueue(task),
        }
        self.tasks.remove(task);
        self.reclaim(class);
    }

    /// Removes a class if nobody needs it.
    fn reclaim(&mut self, number: u32) {
        let Some(Class { category, .. }) = self.classes.reclaim(number) else {
            return;
        };
        let forgotten = self.categories.release(category);
        self.children.forget(number, forgotten);
    }

    /// When a class is served; none if nothing of it is ready.
    fn rank(&self, number: u32) -> Option<Rank> {
        let class = self.classes.get(number);
        let Chain { first, .. } = class.queue;
        if first == NONE {
            return None;
        }
        match self.tasks.get(first).stage {
            Stage::Ready { arrival, .. } => {
                Some((Reverse(class.spec.policy.priority), arrival, number))
            }
            Stage::Free
            | Stage::Leased { .. }
            | Stage::Running { .. }
            | Stage::Straggling { .. } => {
                unreachable!("only ready tasks are queued")
            }
        }
    }

    /// Puts a class where it belongs, whose rank was `old`.
    fn reorder(&mut self, number: u32, old: Option<Rank>) {
        let new = self.rank(number);
        if new == old {
            return;
        }
        if let Some(old) = old {
            self.order.remove(&old);
        }
        if let Some(new) = new {
            self.order.insert(new);
        }
    }
}
