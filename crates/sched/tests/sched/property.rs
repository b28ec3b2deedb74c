//! Random operations: nothing is lost, nothing is placed twice, and no worker is asked to run more than it holds.

use std::collections::{BTreeMap, BTreeSet};

use muster_proto::task::{Algorithm, FileRef, Policy};
use muster_proto::{Digest, MasterId, Resources, Span, TaskId, TaskKey, Time};
use muster_sched::{ChildId, ChildKind, ClassId, ClassSpec, Files, Placed, Sched, Where};

#[test]
fn whatever_happens_every_task_is_known_once_and_invariants_hold() {
    for seed in 0..60 {
        let mut world = World::new(seed, Learning::Yes);
        for _ in 0..400 {
            world.step();
            world.sched.check();
        }
        world.finish();
    }
}

/// Without run times there is no hoarding, so that every lease is one that runs, and they must fit.
#[test]
fn without_run_times_no_worker_holds_more_than_it_can_run() {
    for seed in 100..160 {
        let mut world = World::new(seed, Learning::No);
        for _ in 0..400 {
            world.step();
            world.sched.check();
            world.nothing_overcommitted();
        }
        world.finish();
    }
}

#[test]
fn the_same_seed_places_the_same() {
    let story = |seed| {
        let mut world = World::new(seed, Learning::Yes);
        (0..500).for_each(|_| world.step());
        world.story
    };
    assert_eq!(story(3), story(3));
    assert_ne!(story(3), story(4));
}

#[derive(PartialEq)]
enum Learning {
    Yes,
    /// No lease ends in a run; nothing is adopted and no shape shrinks, so that there is no excuse for extras.
    No,
}

struct World {
    sched: Sched,
    learning: Learning,
    random: u64,
    now: Time,
    classes: Vec<(ClassId, Resources)>,
    shapes: BTreeMap<ChildId, Vec<(Resources, u32)>>,
    /// What should be known: the class of each task, and its child if it is leased.
    ready: BTreeMap<TaskKey, usize>,
    leased: BTreeMap<TaskKey, (usize, ChildId)>,
    made: u64,
    story: Vec<(TaskKey, ChildId)>,
}

struct OneFileEach;

impl Files for OneFileEach {
    fn each_file(&self, key: TaskKey, visit: &mut dyn FnMut(FileRef)) {
        visit(FileRef {
            digest: Digest([(key.task.0 % 5) as u8; 32]),
            bytes: 10,
        });
    }
}

impl World {
    fn new(seed: u64, learning: Learning) -> Self {
        let mut world = Self {
            sched: Sched::new(seed),
            learning,
            random: seed,
            now: Time(1),
            classes: Vec::new(),
            shapes: BTreeMap::new(),
            ready: BTreeMap::new(),
            leased: BTreeMap::new(),
            made: 0,
            story: Vec::new(),
        };
        for (n, (algorithm, _)) in Algorithm::ALL.into_iter().enumerate() {
            let mut resources = Resources::cores(1 + world.below(4) as u32);
            resources.memory_bytes = world.below(3);
            let preferred = vec!["h2".to_owned(), "h1".to_owned()];
            let fast_abort_percent = (n % 2 == 0).then_some(150);
            let priority = world.below(3) as i32;
            let policy = Policy {
                priority,
                algorithm,
                preferred,
                fast_abort_percent,
                ..Policy::default()
            };
            let category = format!("c{}", n % 3);
            world.classes.push((
                world.sched.class(ClassSpec {
                    resources,
                    policy,
                    category,
                }),
                resources,
            ));
        }
        world
    }

    /// Another generator than the scheduler's, so that they cannot fall into step.
    fn below(&mut self, n: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % n
    }

    fn step(&mut self) {
        let pause = self.below(100_000);
        self.now = self.now + Span(pause);
        match self.below(12) {
            0 => self.join(),
            1 => self.offer(),
            2 => self.pause_or_resume(),
            3 if self.below(3) == 0 => self.leave(),
            3..=5 => (0..10).for_each(|_| self.submit()),
            6 => self.adopt(),
            7 => self.stragglers(),
            8 | 9 => (0..5).for_each(|_| self.end_one()),
            _ => drop(self.place()),
        }
        let counts = self.sched.counts();
        assert_eq!(
            (counts.ready, counts.leased),
            (self.ready.len() as u64, self.leased.len() as u64)
        );
    }

    fn join(&mut self) {
        let child = ChildId(self.below(8) as u32);
        let kind = if child.0 % 4 == 3 {
            ChildKind::Foreman
        } else {
            ChildKind::Worker
        };
        self.sched
            .join(child, kind, "site", &format!("h{}", child.0));
        self.shapes.entry(child).or_default();
    }

    fn some_child(&mut self) -> Option<ChildId> {
        let n = self.below(self.shapes.len().max(1) as u64) as usize;
        self.shapes.keys().nth(n).copied()
    }

    fn offer(&mut self) {
        let Some(child) = self.some_child() else {
            return;
        };
        if self.learning == Learning::No && !self.shapes[&child].is_empty() {
            return;
        }
        let kinds = if child.0 % 4 == 3 { 3 } else { 1 };
        let mut shapes = Vec::new();
        for _ in 0..kinds {
            let mut shape = Resources::cores(1 + self.below(8) as u32);
            shape.memory_bytes = self.below(6);
            let count = if kinds == 1 { 1 } else { self.below(4) as u32 };
            shapes.push((shape, count));
        }
        self.sched.offer(child, &shapes);
        self.shapes.insert(child, shapes);
    }

    fn pause_or_resume(&mut self) {
        let Some(child) = self.some_child() else {
            return;
        };
        if self.below(3) == 0 {
            self.sched.pause(child)
        } else {
            self.sched.resume(child)
        }
    }

    fn leave(&mut self) {
        let Some(child) = self.some_child() else {
            return;
        };
        let held = self.sched.leave(child);
        self.shapes.remove(&child);
        let expected: Vec<TaskKey> = self
            .leased
            .iter()
            .filter(|(_, (_, holder))| *holder == child)
            .map(|(key, _)| *key)
            .collect();
        assert_eq!(
            held, expected,
            "a child that leaves gives back what it held"
        );
        for key in held {
            self.again(key, Some(child));
        }
    }

    /// A leased task that the scheduler has forgotten waits again.
    fn again(&mut self, key: TaskKey, avoid: Option<ChildId>) {
        let (class, _) = self.leased.remove(&key).unwrap();
        self.sched
            .ready(self.now, key, self.classes[class].0, Where::Front, avoid);
        self.ready.insert(key, class);
    }

    fn submit(&mut self) {
        let key = self.new_key();
        let class = self.below(self.classes.len() as u64) as usize;
        self.sched
            .ready(self.now, key, self.classes[class].0, Where::Back, None);
        self.ready.insert(key, class);
    }

    fn new_key(&mut self) -> TaskKey {
        self.made += 1;
        TaskKey {
            master: MasterId(self.made % 3),
            task: TaskId(self.made),
        }
    }

    fn adopt(&mut self) {
        let Some(child) = self.some_child() else {
            return;
        };
        if self.learning == Learning::No {
            return;
        }
        let known = self.ready.iter().next().map(|(key, class)| (*key, *class));
        let (key, class) = known
            .filter(|_| self.made.is_multiple_of(2))
            .unwrap_or((self.new_key(), 0));
        self.sched
            .adopt(self.now, key, self.classes[class].0, child);
        self.ready.remove(&key);
        self.leased.insert(key, (class, child));
    }

    fn stragglers(&mut self) {
        let mut late = Vec::new();
        self.sched.stragglers(self.now, &mut late);
        for late in late {
            assert_eq!(
                self.leased[&late.key].1, late.child,
                "a straggler is where it was placed"
            );
            self.sched.lost(late.key);
            self.again(late.key, Some(late.child));
        }
        let due = self.sched.deadline();
        assert!(
            due.is_none_or(|due| due.at > self.now),
            "what was due has been reported"
        );
    }

    fn end_one(&mut self) {
        let n = self.below(self.leased.len().max(1) as u64) as usize;
        let Some((key, (_, child))) = self.leased.iter().nth(n).map(|(key, held)| (*key, *held))
        else {
            return;
        };
        let wall = Span(self.below(300_000));
        match self.below(6) {
            0 => self.sched.started(self.now, key),
            1 => {
                self.sched.lost(key);
                self.again(key, None);
            }
            2 => {
                assert_eq!(self.sched.forget(key), Some(child));
                self.leased.remove(&key);
            }
            _ if self.learning == Learning::Yes => {
                self.sched.started(self.now, key);
                self.sched.ran(self.now, key, wall);
                self.leased.remove(&key);
            }
            _ => {
                self.sched.lost(key);
                self.leased.remove(&key);
            }
        }
    }

    fn place(&mut self) -> Placed {
        let mut out = Vec::new();
        let budget = 1 + self.below(40) as usize;
        let placed = self.sched.place(self.now, budget, &OneFileEach, &mut out);
        assert!(out.len() <= budget, "the budget is kept");
        for placed in out {
            let class = self
                .ready
                .remove(&placed.key)
                .expect("what is placed was ready");
            let (_, request) = self.classes[class];
            let fits = self.shapes[&placed.child]
                .iter()
                .any(|(shape, count)| *count > 0 && request.fits(shape));
            assert!(fits, "some real shape holds the request");
            assert_eq!(self.sched.lease(placed.key), Some(placed.child));
            self.leased.insert(placed.key, (class, placed.child));
            self.story.push((placed.key, placed.child));
        }
        placed
    }

    fn nothing_overcommitted(&self) {
        for (child, shapes) in &self.shapes {
            let held = self.leased.values().filter(|(_, holder)| holder == child);
            let used = held.fold(Resources::default(), |sum, (class, _)| {
                sum.plus(&self.classes[*class].1)
            });
            let times = |shape: &Resources, count| {
                (0..count).fold(Resources::default(), |sum, _| sum.plus(shape))
            };
            let total = shapes.iter().fold(Resources::default(), |sum, (shape, n)| {
                sum.plus(&times(shape, *n))
            });
            assert!(
                used.fits(&total),
                "{child:?} of {shapes:?} is asked to run {used}"
            );
        }
    }

    /// One great worker comes and everything ends: each task in one run.
    fn finish(mut self) {
        let child = ChildId(99);
        self.sched.join(child, ChildKind::Worker, "site", "great");
        let great = Resources {
            cores_milli: 64_000,
            gpus: 0,
            memory_bytes: 1_000,
            disk_bytes: 0,
        };
        self.sched.offer(child, &[(great, 1)]);
        self.shapes.insert(child, vec![(great, 1)]);
        let mut ended = BTreeSet::new();
        while !self.ready.is_empty() || !self.leased.is_empty() {
            let before = self.leased.len();
            while self.place() == Placed::More {}
            assert!(
                before + self.leased.len() > 0,
                "as long as anything waits something is placed"
            );
            for key in std::mem::take(&mut self.leased).into_keys() {
                self.sched.ran(self.now, key, Span::millis(1));
                assert!(ended.insert(key), "a task ends once");
            }
            self.sched.check();
        }
        for (class, _) in &self.classes {
            self.sched.retire(*class);
        }
        self.sched.check();
    }
}
