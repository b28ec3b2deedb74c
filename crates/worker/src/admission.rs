//! Attempts on a full disk: which have their inputs brought, and what gives way to whom.

use muster_proto::machine::{Gate, Output};
use muster_proto::{Digest, TaskKey};
use muster_sched::Want;
use muster_sched::cache::inputs;

use crate::tasks::{Entry, Stage};
use crate::{Ask, Effect, Worker};

impl Worker {
    /// Has the inputs of a new attempt brought, or parks it.
    pub(crate) fn admit_or_park(&mut self, key: TaskKey, out: &mut Vec<Effect>) {
        if !self.admission.is_narrow() {
            return self.bring(key, out);
        }
        self.park(key);
        self.admit(out);
    }

    /// Has the inputs of parked attempts brought, in the order of their start, as far as there is room.
    pub(crate) fn admit(&mut self, out: &mut Vec<Effect>) {
        while let Some(entry) = self.admission.first() {
            let needed = self.cache.bytes_needed();
            if !self.admission.has_room(needed, self.lacking(entry.2)) {
                return;
            }
            self.admission.forget(entry);
            self.bring(entry.2, out);
        }
    }

    /// Bytes that the inputs of an attempt would add to those that are needed.
    fn lacking(&self, key: TaskKey) -> u64 {
        let Some(held) = self.tasks.get(&key) else {
            return 0;
        };
        let files = inputs(&held.template, &held.body).into_values();
        let lacking = files.filter(|input| !self.cache.needs(input.file.digest));
        lacking.fold(0, |all, input| all.saturating_add(input.file.bytes))
    }

    /// Asks for the inputs of an attempt.
    fn bring(&mut self, key: TaskKey, out: &mut Vec<Effect>) {
        let link = self.link();
        let Some(held) = self.tasks.get_mut(&key) else {
            return;
        };
        let mut missing = 0;
        for (digest, input) in inputs(&held.template, &held.body) {
            match self.cache.want(key, input.file, link) {
                Want::Held => continue,
                Want::Coming => {}
                Want::Fetch => out.extend(link.map(|link| Output::Fetch {
                    link,
                    digest,
                    bytes: input.file.bytes,
                })),
            }
            missing += 1;
        }
        held.stage = Stage::Staging { missing };
        if missing == 0 {
            self.staged(key);
        }
    }

    /// The disk had no room for contents: of the attempts whose inputs are on their way only the first goes on.
    /// Says whether there may be room now, or soon.
    pub(crate) fn narrow(&mut self, out: &mut Vec<Effect>) -> bool {
        let mut staging = self.entries(|stage| matches!(stage, Stage::Staging { .. }));
        staging.sort();
        let others = staging.split_off(staging.len().min(1));
        let gives_way = self.give_way(&others, out);
        // What runs, or can, gives room back when it ends, and results when they are safe above.
        gives_way || !self.runs.is_empty() || !self.waiting.is_empty() || !self.results.is_empty()
    }

    /// A run found no room on the disk although it was alone: every attempt gives way that does not run. Says whether
    /// it is worth another try.
    pub(crate) fn make_room_for(&mut self, key: TaskKey, out: &mut Vec<Effect>) -> bool {
        let mut others =
            self.entries(|stage| matches!(stage, Stage::Staging { .. } | Stage::Waiting));
        others.retain(|entry| entry.2 != key);
        self.give_way(&others, out);
        self.cramped = (self.cramped + 1) % CRAMPED_MAX;
        self.cramped > 0
    }

    /// Parks attempts, and gives up all files that nothing needs then. Says whether anything was given up.
    fn give_way(&mut self, parked: &[Entry], out: &mut Vec<Effect>) -> bool {
        for entry in parked {
            self.waiting.remove(entry);
            let freed = self.release_inputs(entry.2);
            self.park(entry.2);
            // Of what is on its way nothing is kept. It is asked for again when its task is admitted.
            let gone = freed
                .into_iter()
                .filter(|digest| !self.cache.holds(*digest));
            out.extend(gone.map(forget));
        }
        self.admission.narrow(self.cache.bytes_needed());
        let idle = self.cache.squeeze();
        let gives_way = !parked.is_empty() || !idle.is_empty();
        out.extend(idle.into_iter().map(forget));
        out.push(Output::Local(Ask::Free));
        gives_way
    }

    /// Takes back what [`Worker::bring`] asked for; says which files nothing needs any more.
    fn release_inputs(&mut self, key: TaskKey) -> Vec<Digest> {
        let Some(held) = self.tasks.get(&key) else {
            return Vec::new();
        };
        let digests: Vec<Digest> = inputs(&held.template, &held.body).into_keys().collect();
        for digest in &digests {
            self.cache.release(key, *digest);
        }
        let is_free = |digest: &Digest| !self.cache.needs(*digest);
        digests.into_iter().filter(is_free).collect()
    }

    fn park(&mut self, key: TaskKey) {
        if let Some(held) = self.tasks.get_mut(&key) {
            held.stage = Stage::Parked;
            self.admission.park(held.entry(key));
        }
    }

    fn entries(&self, of: impl Fn(&Stage) -> bool) -> Vec<Entry> {
        let tasks = self.tasks.iter().filter(|(_, held)| of(&held.stage));
        tasks.map(|(key, held)| held.entry(*key)).collect()
    }
}

fn forget(digest: Digest) -> Effect {
    Output::Forget {
        digest,
        gate: Gate::Now,
    }
}

/// How often a run that is alone is tried on a full disk: what gives way is not gone at once.
const CRAMPED_MAX: u32 = 3;
