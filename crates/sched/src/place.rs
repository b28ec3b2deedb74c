//! Placement: the next task, and the child it goes to.

use std::cmp::Reverse;
use std::num::NonZeroU32;
use std::ops::Bound::{Excluded, Unbounded};

use muster_proto::TaskKey;
use muster_proto::Time;
use muster_proto::task::{Algorithm, FileRef};

use crate::class::Seq;
use crate::tasks::Stage;
use crate::{ChildId, Sched};

/// A task goes to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Which task.
    pub key: TaskKey,
    /// Which child.
    pub child: ChildId,
}

/// How far a call of [`Sched::place`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// The budget is spent; there may be more to place.
    More,
    /// What is left fits nowhere at present.
    All,
}

/// Who knows the inputs of tasks.
pub trait Files {
    /// Calls `visit` for each input of a task. Asked for tasks of `Algorithm::CachedFiles` only.
    fn each_file(&self, key: TaskKey, visit: &mut dyn FnMut(FileRef));
}

/// A child with room for the task at hand.
pub(crate) type Candidate = Seq;

/// What there must be room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Berth {
    /// To run at once.
    Seat,
    /// To be in hand when something ends.
    Extra,
}

impl Sched {
    /// Places ready tasks, at most `budget` of them, and appends where they go. They are leased then.
    ///
    /// Costs O(log n) per placement under `Algorithm::FirstCome`, O(children that changed) under the others.
    pub fn place(
        &mut self,
        _now: Time,
        budget: usize,
        files: &impl Files,
        out: &mut Vec<Placement>,
    ) -> Placed {
        self.waiting.clear();
        let full = out.len() + budget;
        let mut next = self.order.first().copied();
        while let Some(rank) = next {
            if out.len() >= full {
                return Placed::More;
            }
            self.serve(rank.2, full, files, out);
            next = self
                .order
                .range((Excluded(rank), Unbounded))
                .next()
                .copied();
        }
        Placed::All
    }

    /// Places tasks of one class until another is due, `out` is `full`, or there is no room.
    fn serve(&mut self, class: u32, full: usize, files: &impl Files, out: &mut Vec<Placement>) {
        self.refresh(class);
        let Some(rank) = self.rank(class) else { return };
        let due = self
            .order
            .range((Excluded(rank), Unbounded))
            .next()
            .copied();
        let mut inputs = Vec::new();
        let mut now = Some(rank);
        while out.len() < full && now.is_some_and(|now| due.is_none_or(|due| now < due)) {
            let Some((task, child)) = self.pair(class, files, &mut inputs) else {
                self.wait(class);
                break;
            };
            self.tasks
                .unlink(&mut self.classes.get_mut(class).queue, task);
            self.counts.ready -= 1;
            self.hold(task, child);
            let holder = self.children.get_mut(child);
            for file in inputs.drain(..) {
                holder.files.remember(file, holder.kind.files_max());
            }
            out.push(Placement {
                key: self.tasks.get(task).key,
                child: holder.id,
            });
            now = self.rank(class);
        }
        self.reorder(class, Some(rank));
    }

    /// Tells a class which children changed since it last looked.
    fn refresh(&mut self, class: u32) {
        let class = self.classes.get_mut(class);
        let changed = self.children.changed();
        if class.seen < changed {
            class.seats.extend(self.children.changed_since(class.seen));
            class.seen = changed;
        }
    }

    /// Notes that a class waits for room, so that others leave it the room that becomes free.
    fn wait(&mut self, class: u32) {
        if self.waiting.len() < WAITING_MAX && !self.waiting.contains(&class) {
            self.waiting.push(class);
        }
    }

    /// A task of the class and a child for it: the head, or one of the next if the head avoids whoever has room.
    fn pair(
        &mut self,
        class: u32,
        files: &impl Files,
        inputs: &mut Vec<FileRef>,
    ) -> Option<(u32, u32)> {
        let mut task = self.classes.get(class).queue.first;
        for _ in 0..AVOIDING_SKIPPED_MAX {
            let (seats, extras) = (
                &self.classes.get(class).seats,
                &self.classes.get(class).extras,
            );
            if task == crate::NONE || (seats.is_empty() && extras.is_empty()) {
                return None;
            }
            if let Some(child) = self.child_for(class, task, files, inputs) {
                return Some((task, child));
            }
            task = self.tasks.next(task);
        }
        None
    }

    /// A child for this task: where it can start if there is one, and where it can be in hand if not.
    fn child_for(
        &mut self,
        class: u32,
        task: u32,
        files: &impl Files,
        inputs: &mut Vec<FileRef>,
    ) -> Option<u32> {
        let avoid = match self.tasks.get(task).stage {
            Stage::Ready { avoid, .. } => avoid.filter(|avoid| self.can_avoid(class, *avoid)),
            Stage::Free
            | Stage::Leased { .. }
            | Stage::Running { .. }
            | Stage::Straggling { .. } => None,
        };
        let algorithm = self.classes.get(class).spec.policy.algorithm;
        let wanted = if algorithm == Algorithm::FirstCome {
            1
        } else {
            usize::MAX
        };
        self.find(class, Berth::Seat, avoid, wanted);
        if self.candidates.is_empty() {
            self.find(class, Berth::Extra, avoid, wanted);
        }
        let (_, first) = *self.candidates.first()?;
        inputs.clear();
        if algorithm == Algorithm::CachedFiles {
            files.each_file(self.tasks.get(task).key, &mut |file| inputs.push(file));
        }
        match algorithm {
            Algorithm::FirstCome => Some(first),
            Algorithm::Random => Some(self.candidates[self.rng.below(self.candidates.len())].1),
            Algorithm::CachedFiles => {
                self.least(|sched, child| Reverse(sched.children.get(child).files.bytes_of(inputs)))
            }
            Algorithm::FastestTime => {
                let category = self.classes.get(class).category;
                self.least(|sched, child| {
                    let runs = sched.children.get(child).runs.get(&category);
                    runs.and_then(|runs| runs.recent())
                })
            }
            Algorithm::PreferredHosts => {
                let preferred = &self.classes.get(class).spec.policy.preferred;
                self.least(|sched, child| {
                    let child = sched.children.get(child);
                    let place = preferred
                        .iter()
                        .position(|name| *name == child.host || *name == child.site);
                    place.unwrap_or(usize::MAX)
                })
            }
            Algorithm::WorstFit => {
                self.least(|sched, child| Reverse(sched.children.get(child).free_cores_milli()))
            }
        }
    }

    /// The candidate with the least `measure`; of equals the one that joined first.
    fn least<M: Ord>(&self, measure: impl Fn(&Self, u32) -> M) -> Option<u32> {
        let numbers = self.candidates.iter().map(|(_, number)| *number);
        numbers.min_by_key(|number| measure(self, *number))
    }

    /// Collects up to `wanted` children with a berth for a task of `class`, in order of joining, and takes those
    /// without one out of the class's sets.
    fn find(&mut self, class: u32, berth: Berth, avoid: Option<NonZeroU32>, wanted: usize) {
        self.candidates.clear();
        let mut after = None;
        while self.candidates.len() < wanted {
            let Some(seq) = self.next_open(class, berth, after) else {
                return;
            };
            after = Some(seq);
            if !self.has_berth(class, seq, berth) {
                let class = self.classes.get_mut(class);
                match berth {
                    Berth::Seat => {
                        class.seats.remove(&seq);
                        class.extras.insert(seq);
                    }
                    Berth::Extra => {
                        class.extras.remove(&seq);
                    }
                }
            } else if avoid != Some(seq.0) {
                self.candidates.push(seq);
            }
        }
    }

    /// The first child after another of those that may have a berth.
    fn next_open(&self, class: u32, berth: Berth, after: Option<Seq>) -> Option<Seq> {
        let class = self.classes.get(class);
        let open = match berth {
            Berth::Seat => &class.seats,
            Berth::Extra => &class.extras,
        };
        open.range((after.map_or(Unbounded, Excluded), Unbounded))
            .next()
            .copied()
    }

    /// Whether the child of an entry is still that one and has a berth.
    fn has_berth(&mut self, number: u32, seq: Seq, berth: Berth) -> bool {
        let class = self.classes.get(number);
        let placeable = self.children.placeable();
        let Some(child) = self
            .children
            .entry(seq)
            .filter(|child| child.is_placeable())
        else {
            return false;
        };
        let request = &class.spec.resources;
        match berth {
            Berth::Seat => child.has_seat(number, request),
            Berth::Extra => {
                let Some(mean) = self.categories.get(class.category).runs.recent() else {
                    return false;
                };
                // Half of what is left is kept back, so that the last tasks go to whoever is idle first.
                let share = u64::from(class.queue.length) / (2 * placeable);
                if !child.has_extra(number, request, mean, share) {
                    return false;
                }
                let mut others = self.waiting.iter().filter(|other| **other != number);
                !others.any(|other| {
                    child
                        .seats(*other, &self.classes.get(*other).spec.resources)
                        .slots
                        > 0
                })
            }
        }
    }

    /// Whether a child other than `avoid` could ever run a task of the class. Costs O(children) if none can.
    fn can_avoid(&self, class: u32, avoid: NonZeroU32) -> bool {
        let request = &self.classes.get(class).spec.resources;
        let mut others = self
            .children
            .iter()
            .filter(|child| child.joined != avoid && child.is_placeable());
        others.any(|child| child.slots(request) > 0)
    }
}

/// Tasks at the head of a queue that may avoid the child with room before the class is said to wait.
const AVOIDING_SKIPPED_MAX: usize = 64;
/// Waiting classes that keep others from hoarding; more than that wait longer instead.
const WAITING_MAX: usize = 64;
