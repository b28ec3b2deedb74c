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

/// Asks that may wait in a slot: for each run of a full line its start, its recall and its cancellation, twice over
/// since the brain may hear of ends before the slot reads on.
const SLOT_ASKS_MAX: usize = 64;

/// The hands of one worker.
#[derive(Debug)]
pub struct Runner {
    nursery: Arc<Nursery>,
    surroundings: Surroundings,
    tasks: Tasks,
    slots: Vec<Place>,
    idle: Vec<usize>,
    busy: BTreeMap<RunId, usize>,
    /// Runs that have ended, told by the slots before the brain hears of it.
    freed: mpsc::Receiver<RunId>,
    free: mpsc::Sender<RunId>,
    ended: mpsc::Sender<Local>,
}

/// A slot as the hands see it.
#[derive(Debug)]
struct Place {
    asks: mpsc::Sender<ToWarden>,
    /// Runs in it that have not ended: the one under way and those in line.
    runs: usize,
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
            if let Some(slot) = self.busy.remove(&run) {
                self.slots[slot].runs -= 1;
                if self.slots[slot].runs == 0 {
                    self.idle.push(slot);
                }
            }
        }
        // If the last in line has ended meanwhile, so has the whole line, and any idle place is as good.
        let ahead = start.after.and_then(|ahead| self.busy.get(&ahead).copied());
        let slot = ahead
            .or_else(|| self.idle.pop())
            .unwrap_or_else(|| self.make_slot());
        self.slots[slot].runs += 1;
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
        self.slots.push(Place { asks, runs: 0 });
        number
    }

    /// Tells the slot that `run` is in; nothing if it has ended.
    fn tell_of(&self, run: RunId, ask: ToWarden) {
        if let Some(slot) = self.busy.get(&run) {
            self.tell(*slot, ask);
        }
    }

    fn tell(&self, slot: usize, ask: ToWarden) {
        if let Err(error) = self.slots[slot].asks.try_send(ask) {
            tracing::error!(slot, %error, "a slot does not take what it is asked");
        }
    }
}

impl Hands<Ask> for Runner {
    fn perform(&mut self, ask: Ask) {
        match ask {
            Ask::Start(start) => self.start(&start),
            Ask::Recall(run) => self.tell_of(run, ToWarden::Recall { run: run.0 }),
            Ask::Kill(run) => self.tell_of(run, ToWarden::Cancel { run: run.0 }),
            Ask::Free => {
                for slot in &self.slots {
                    // One that has more to do than it listens to hears it the next time.
                    slot.asks.try_send(ToWarden::Free).ok();
                }
            }
        }
    }
}
