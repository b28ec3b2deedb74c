//! A worker's hands: what runs the brain's [`Start`]s in wardens and brings back how they ended.
//!
//! One task per slot speaks with the slot's warden. A slot is made when the brain starts more runs than there are
//! idle slots, and kept; a slot whose warden died makes a new one for its next run. The brain bounds how many runs
//! there are, so the hands only have to find an idle slot.

mod slot;
mod translate;

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_worker::{Ask, Local, RunId, Start};
use tokio::sync::mpsc;

use crate::driver::Hands;
use crate::tasks::Tasks;
use crate::warden::{Nursery, ToWarden};

pub use translate::Surroundings;

/// Asks that may wait in a slot: one run and its cancellation.
const SLOT_ASKS_MAX: usize = 4;

/// The hands of one worker.
#[derive(Debug)]
pub struct Runner {
    nursery: Arc<Nursery>,
    surroundings: Surroundings,
    tasks: Tasks,
    slots: Vec<mpsc::Sender<ToWarden>>,
    idle: Vec<usize>,
    busy: BTreeMap<RunId, usize>,
    /// Runs that have ended, told by the slots before the brain hears of it.
    freed: mpsc::Receiver<RunId>,
    free: mpsc::Sender<RunId>,
    ended: mpsc::Sender<Local>,
}

impl Runner {
    /// Hands that run in wardens of `nursery` and tell ends through `ended`.
    pub fn new(
        nursery: Nursery,
        surroundings: Surroundings,
        tasks: Tasks,
        ended: mpsc::Sender<Local>,
    ) -> Self {
        let (free, freed) = mpsc::channel(muster_proto::limits::RUNS_MAX + 1);
        Self {
            nursery: Arc::new(nursery),
            surroundings,
            tasks,
            slots: Vec::new(),
            idle: Vec::new(),
            busy: BTreeMap::new(),
            freed,
            free,
            ended,
        }
    }

    fn start(&mut self, start: &Start) {
        while let Ok(run) = self.freed.try_recv() {
            self.idle.extend(self.busy.remove(&run));
        }
        let slot = self.idle.pop().unwrap_or_else(|| self.make_slot());
        self.busy.insert(start.run, slot);
        let run = translate::run_of(start, &self.surroundings);
        self.tell(slot, ToWarden::Run(Box::new(run)));
    }

    fn make_slot(&mut self) -> usize {
        let number = self.slots.len();
        let (asks, inbox) = mpsc::channel(SLOT_ASKS_MAX);
        let slot = slot::Slot {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            nursery: Arc::clone(&self.nursery),
            inbox,
            free: self.free.clone(),
            ended: self.ended.clone(),
        };
        self.tasks.spawn("slot", slot.serve());
        self.slots.push(asks);
        number
    }

    fn tell(&self, slot: usize, ask: ToWarden) {
        if let Err(error) = self.slots[slot].try_send(ask) {
            tracing::error!(slot, %error, "a slot does not take what it is asked");
        }
    }
}

impl Hands<Ask> for Runner {
    fn perform(&mut self, ask: Ask) {
        match ask {
            Ask::Start(start) => self.start(&start),
            Ask::Kill(run) => {
                if let Some(slot) = self.busy.get(&run) {
                    self.tell(*slot, ToWarden::Cancel { run: run.0 });
                }
            }
        }
    }
}
