//! Why a task waits, for `muster explain`.

use muster_proto::{Resources, TaskKey};

use crate::Sched;
use crate::children::Child;
use crate::tasks::Stage;

/// Why a ready task is not placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// No child can be given work.
    NoChild,
    /// No shape of any child holds its request.
    NothingFits {
        /// The shape that lacks the fewest kinds of resource, the largest of those.
        nearest: Option<Resources>,
    },
    /// Others are served before it.
    Behind {
        /// How many, at most: all tasks of classes that are served first, and those before it in its own.
        tasks: u64,
    },
    /// It is next, and whoever could run it is busy.
    NoRoom,
}

impl Sched {
    /// Why a task waits; none if it does not. Costs O(tasks before it + children).
    pub fn why_waiting(&self, key: TaskKey) -> Option<Waiting> {
        let task = self.tasks.find(key)?;
        let Stage::Ready { .. } = self.tasks.get(task).stage else {
            return None;
        };
        let number = self.tasks.get(task).class;
        let class = self.classes.get(number);
        let request = &class.spec.resources;
        let placeable = || self.children.iter().filter(|child| child.is_placeable());
        if placeable().next().is_none() {
            return Some(Waiting::NoChild);
        }
        if placeable().all(|child| child.slots(request) == 0) {
            return Some(Waiting::NothingFits {
                nearest: nearest(request, placeable()),
            });
        }
        let before = self
            .order
            .range(..self.rank(number)?)
            .map(|(_, _, class)| self.classes.get(*class).queue.length);
        let in_class = self
            .tasks
            .along(&class.queue)
            .take_while(|other| *other != task)
            .count() as u64;
        match in_class + before.map(u64::from).sum::<u64>() {
            0 => Some(Waiting::NoRoom),
            tasks => Some(Waiting::Behind { tasks }),
        }
    }
}

/// The shape that lacks the fewest kinds of resource for `request`; of equals the largest.
fn nearest<'a>(
    request: &Resources,
    children: impl Iterator<Item = &'a Child>,
) -> Option<Resources> {
    let shapes = children.flat_map(|child| child.shapes.iter().map(|(shape, _)| *shape));
    shapes.min_by_key(|shape| {
        let lack = request.minus(shape);
        let lacking = [
            lack.cores_milli > 0,
            lack.gpus > 0,
            lack.memory_bytes > 0,
            lack.disk_bytes > 0,
        ];
        (
            lacking.iter().filter(|lacks| **lacks).count(),
            std::cmp::Reverse(*shape),
        )
    })
}
