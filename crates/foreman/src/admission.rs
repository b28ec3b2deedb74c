//! Leases of a full disk: which have their inputs brought.

use std::collections::BTreeSet;

use muster_proto::machine::Output;
use muster_proto::{TaskKey, Time};
use muster_sched::Want;
use muster_sched::cache::inputs;

use crate::leases::{Lease, Order, Stage};
use crate::{Effect, Foreman};

impl Foreman {
    /// Has the inputs of a new lease brought, or parks it.
    pub(crate) fn admit_or_park(&mut self, now: Time, key: TaskKey, out: &mut Vec<Effect>) {
        if !self.admission.is_narrow() {
            return self.bring(now, key, out);
        }
        self.admission.park(key);
        self.admit(now, out);
    }

    /// Has the inputs of parked leases brought, in order, as far as there is room.
    pub(crate) fn admit(&mut self, now: Time, out: &mut Vec<Effect>) {
        while let Some(key) = self.admission.first() {
            let needed = self.cache.bytes_needed();
            if !self.admission.has_room(needed, self.lacking(key)) {
                return;
            }
            self.admission.forget(key);
            self.bring(now, key, out);
        }
    }

    /// Bytes that the inputs of a lease would add to those that are needed.
    fn lacking(&self, key: TaskKey) -> u64 {
        let order = self.leases.get(&key).and_then(|lease| lease.order.as_ref());
        let files = order.into_iter().flat_map(Order::inputs);
        let lacking = files.filter(|file| !self.cache.needs(file.digest));
        lacking.fold(0, |all, file| all.saturating_add(file.bytes))
    }

    /// Asks for the inputs of a lease.
    fn bring(&mut self, now: Time, key: TaskKey, out: &mut Vec<Effect>) {
        let link = self.link_to(key.master);
        let Some(Lease {
            order: Some(order),
            stage,
            ..
        }) = self.leases.get_mut(&key)
        else {
            return;
        };
        let mut missing = 0;
        for file in order.inputs() {
            match self.cache.want(key, file, link) {
                Want::Held => continue,
                Want::Coming => {}
                Want::Fetch => out.extend(link.map(|link| Output::Fetch {
                    link,
                    digest: file.digest,
                    bytes: file.bytes,
                })),
            }
            missing += 1;
        }
        *stage = Stage::Staging { missing };
        if missing == 0 {
            self.staged(now, key);
        }
    }

    /// The disk is full: of the leases whose inputs are on their way only the first goes on.
    pub(crate) fn narrow(&mut self) {
        let is_staging = |lease: &Lease| matches!(lease.stage, Stage::Staging { .. });
        let staging = self.leases.iter().filter(|(_, lease)| is_staging(lease));
        let staging: BTreeSet<TaskKey> = staging.map(|(key, _)| *key).collect();
        for key in staging.into_iter().skip(1) {
            let Some(lease) = self.leases.get_mut(&key) else {
                continue;
            };
            lease.stage = Stage::Parked;
            let files = lease.order.iter().flat_map(Order::inputs);
            files.for_each(|file| self.cache.release(key, file.digest));
            self.admission.park(key);
        }
        self.admission.narrow(self.cache.bytes_needed());
    }
}

impl Order {
    /// The files that the task needs, each once.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = muster_proto::task::FileRef> {
        inputs(self.template(), self.body())
            .into_values()
            .map(|input| input.file)
            .collect::<Vec<_>>()
            .into_iter()
    }
}
