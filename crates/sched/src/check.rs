//! What must always be true, checked by tests and the simulator.

use std::collections::BTreeMap;

use crate::Sched;
use crate::tasks::Stage;

impl Sched {
    /// Checks the invariants. Costs O(everything).
    ///
    /// # Panics
    /// If one is broken, with what should have been true.
    pub fn check(&self) {
        self.tasks.check();
        self.children.check();
        self.check_queues();
        self.check_leases();
        let known = self.counts.ready + self.counts.leased;
        assert_eq!(
            known,
            self.tasks.len() as u64,
            "every task is ready or leased, not both"
        );
    }

    fn check_queues(&self) {
        let mut ready = 0;
        let mut ranks = 0;
        for (number, class) in self.classes.iter() {
            let mut last = 0;
            for task in self.tasks.along(&class.queue) {
                let task = self.tasks.get(task);
                assert_eq!(task.class, number, "a task waits in the queue of its class");
                let Stage::Ready { arrival, .. } = task.stage else {
                    panic!("only ready tasks wait")
                };
                assert!(arrival > last, "a queue is in order of arrival");
                last = arrival;
                ready += 1;
            }
            if let Some(rank) = self.rank(number) {
                assert!(
                    self.order.contains(&rank),
                    "a class with ready tasks is served"
                );
                ranks += 1;
            }
            let watched = class.watched.values().flatten().count();
            assert_eq!(
                watched > 0,
                self.watched.contains(&number),
                "classes with watched attempts are listed"
            );
            for (since, _, task) in class.watched.values().flatten() {
                let stage = self.tasks.get(*task).stage;
                assert!(
                    matches!(stage, Stage::Running { since: at, .. } if at == *since),
                    "watched attempts run"
                );
            }
        }
        assert_eq!(ready, self.counts.ready, "ready tasks are counted");
        assert_eq!(
            ranks,
            self.order.len(),
            "only classes with ready tasks are served"
        );
    }

    fn check_leases(&self) {
        let mut leased: BTreeMap<u32, u32> = BTreeMap::new();
        for child in self.children.iter() {
            let mut here: BTreeMap<u32, u32> = BTreeMap::new();
            for task in self.tasks.along(&child.leases) {
                let task = self.tasks.get(task);
                assert_eq!(
                    task.stage.child(),
                    Some(child.number),
                    "a lease knows its child"
                );
                *here.entry(task.class).or_default() += 1;
                *leased.entry(task.class).or_default() += 1;
            }
            assert_eq!(
                here.values().sum::<u32>(),
                child.leases.length,
                "a child's leases are counted"
            );
            child.check(&self.classes, &here);
        }
        for (number, class) in self.classes.iter() {
            assert_eq!(
                leased.get(&number).copied().unwrap_or(0),
                class.leased,
                "a class's leases are counted"
            );
        }
        assert_eq!(
            leased.values().map(|n| u64::from(*n)).sum::<u64>(),
            self.counts.leased,
            "leases are counted"
        );
    }
}
