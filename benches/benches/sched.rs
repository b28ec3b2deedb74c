//! How long does the scheduler take to place a task, with few subordinates and with many?
//!
//! All tasks are of one class and ready before the clock starts. What is placed ends at once, so that a placement, the
//! end of its lease and the search for the next room are all counted.

use anyhow::Result;
use muster_benches::{ns_each, shortest};
use muster_proto::task::{FileRef, Policy};
use muster_proto::{MasterId, Resources, Span, TaskId, TaskKey, Time};
use muster_sched::{ChildId, ChildKind, ClassSpec, Files, Placement, Sched, Where};

const TASKS: u64 = 200_000;
/// What one call may place: a driver's turn.
const BUDGET: usize = 4_096;

struct NoFiles;

impl Files for NoFiles {
    fn each_file(&self, _key: TaskKey, _visit: &mut dyn FnMut(FileRef)) {}
}

fn main() -> Result<()> {
    println!("{:<10} {:>8} {:>12}", "children", "slots", "ns/task");
    for (children, workers) in [(2, 1), (2, 500), (5_000, 1)] {
        let took = shortest(|| Ok(filled(children, workers)), place_all)?;
        let ns = ns_each(took, TASKS as usize);
        println!("{children:<10} {:>8} {ns:>12.0}", children * workers);
    }
    Ok(())
}

/// A scheduler with `children` foremen of `workers` one-core workers each, and all tasks ready.
fn filled(children: u32, workers: u32) -> Sched {
    let mut sched = Sched::new(1);
    let class = sched.class(ClassSpec {
        resources: Resources::cores(1),
        policy: Policy::default(),
        category: "bench".to_owned(),
    });
    for child in (1..=children).map(ChildId) {
        sched.join(child, ChildKind::Foreman, "site", "host");
        sched.offer(child, &[(Resources::cores(1), workers)]);
    }
    for task in (1..=TASKS).map(TaskId) {
        let key = TaskKey {
            master: MasterId(1),
            task,
        };
        sched.ready(Time(0), key, class, Where::Back, None);
    }
    sched
}

fn place_all(mut sched: Sched) -> Result<Sched> {
    let mut placements: Vec<Placement> = Vec::with_capacity(BUDGET);
    while sched.counts().ready > 0 {
        sched.place(Time(0), BUDGET, &NoFiles, &mut placements);
        for placement in placements.drain(..) {
            sched.ran(Time(0), placement.key, Span::millis(10));
        }
    }
    Ok(sched)
}
