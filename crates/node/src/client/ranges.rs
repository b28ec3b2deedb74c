//! Which tasks something has happened to, in little memory: tasks end in nearly the order of their numbers.

use std::collections::BTreeMap;

use muster_proto::TaskId;

/// A set of tasks as ranges; memory grows with the gaps, not with the tasks.
#[derive(Debug, Default)]
pub(super) struct TaskSet {
    /// First and last of each range; no two touch.
    ranges: BTreeMap<u64, u64>,
}

impl TaskSet {
    /// Whether `task` is in the set. O(log n).
    pub(super) fn contains(&self, task: TaskId) -> bool {
        self.ranges
            .range(..=task.0)
            .next_back()
            .is_some_and(|(_, last)| task.0 <= *last)
    }

    /// Adds `task`; `false` if it was there. O(log n).
    pub(super) fn insert(&mut self, task: TaskId) -> bool {
        if self.contains(task) {
            return false;
        }
        let (mut first, mut last) = (task.0, task.0);
        if let Some((before, _)) = self
            .ranges
            .range(..first)
            .next_back()
            .filter(|(_, end)| **end + 1 == task.0)
        {
            first = *before;
        }
        if let Some(end) = task
            .0
            .checked_add(1)
            .and_then(|after| self.ranges.remove(&after))
        {
            last = end;
        }
        self.ranges.insert(first, last);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_in_any_order_become_one_range() {
        let mut set = TaskSet::default();
        // 7 is coprime to 100, so every number comes once.
        for n in 0..100 {
            assert!(set.insert(TaskId(n * 7 % 100)));
            assert!(!set.insert(TaskId(n * 7 % 100)));
        }
        assert_eq!(set.ranges, BTreeMap::from([(0, 99)]));
        assert!(set.insert(TaskId(u64::MAX)));
        assert!(set.contains(TaskId(u64::MAX)) && !set.contains(TaskId(100)));
    }
}
