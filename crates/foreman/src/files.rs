//! Files that come: inputs from above, outputs from below.

use std::sync::Arc;

use muster_proto::machine::{FetchEnd, Gate, Output};
use muster_proto::outcome::{End, Failure, Loss, Measured, Ran, Stream};
use muster_proto::{Digest, LinkId, Role, TaskKey, Time};
use muster_sched::Arrival;

use crate::leases::{Lease, Stage};
use crate::{Effect, Foreman};

impl Foreman {
    /// A fetch has ended.
    pub(crate) fn fetched(
        &mut self,
        now: Time,
        link: LinkId,
        digest: Digest,
        end: FetchEnd,
        out: &mut Vec<Effect>,
    ) {
        if !self.by_link.contains_key(&link) {
            return self.output_fetched(link, digest, end, out);
        }
        self.is_full = end == FetchEnd::Unkept;
        if self.is_full {
            self.narrow();
        }
        match self.cache.fetched(link, digest, end) {
            Arrival::Held(tasks) => {
                let bytes = self.cache.bytes_of(digest).unwrap_or_default();
                self.admission.widen(self.cache.bytes_needed(), bytes);
                tasks
                    .into_iter()
                    .for_each(|key| self.input_arrived(now, key));
            }
            Arrival::Again(ahead) => {
                self.stalled(ahead);
                if let Some(bytes) = self.cache.bytes_of(digest) {
                    out.push(Output::Fetch {
                        link,
                        digest,
                        bytes,
                    });
                }
            }
            Arrival::Never(tasks) => {
                for key in tasks {
                    let end = if self.knows(link, key) {
                        end
                    } else {
                        FetchEnd::Failed
                    };
                    self.input_missing(key, digest, end);
                }
            }
            Arrival::Nobody => {}
        }
        if self.is_full && self.cache.bytes_of(digest).is_none() {
            // What has come of it takes room for nothing.
            let gate = Gate::Durable(self.lsn);
            out.push(Output::Forget { digest, gate });
        }
    }

    /// A file has begun to arrive, and is served on from now: the tasks that wait for it need not wait for its end.
    pub(crate) fn passes(&mut self, now: Time, digest: Digest) {
        if self.admission.is_narrow() {
            // Whether its end will find room is not sure.
            return;
        }
        for key in self.cache.passes(digest) {
            self.input_arrived(now, key);
        }
    }

    /// A file that passed has come to a halt: the tasks that went ahead and have not been placed wait for it again.
    pub(crate) fn stalled(&mut self, ahead: Vec<TaskKey>) {
        for key in ahead {
            match self.leases.get_mut(&key).map(|lease| &mut lease.stage) {
                Some(Stage::Staging { missing }) => *missing += 1,
                Some(stage @ Stage::Ready) => {
                    *stage = Stage::Staging { missing: 1 };
                    self.sched.forget(key);
                }
                Some(Stage::Parked | Stage::Leased { .. } | Stage::Arriving) | None => {}
            }
        }
    }

    /// A file turns out to be gone or spoiled: if a lease needs it, it is fetched once more from whoever gave that.
    pub(crate) fn missed(&mut self, digest: Digest, out: &mut Vec<Effect>) {
        if !self.cache.holds(digest) {
            return;
        }
        let needs = |lease: &Lease| {
            let order = lease.order.as_ref();
            order.is_some_and(|order| order.input(digest).is_some())
        };
        let needing = self.leases.iter().filter(|(_, lease)| needs(lease));
        let linked = needing.filter_map(|(key, _)| Some((*key, self.link_to(key.master)?)));
        let link = linked.min().map(|(_, link)| link);
        if let (Some(bytes), Some(link)) = (self.cache.gone(digest, link), link) {
            out.push(Output::Fetch {
                link,
                digest,
                bytes,
            });
        }
    }

    /// Whether only the end of `link` can say that there is no such file: it is the task's own master. Another
    /// master has files of its own, and a foreman above may have lost its with its process.
    fn knows(&self, link: LinkId, key: TaskKey) -> bool {
        let peer = self.by_link.get(&link);
        self.link_to(key.master) == Some(link) && peer.is_some_and(|peer| peer.role == Role::Master)
    }

    fn input_arrived(&mut self, now: Time, key: TaskKey) {
        let Some(lease) = self.leases.get_mut(&key) else {
            return;
        };
        if let Stage::Staging { missing } = &mut lease.stage {
            *missing -= 1;
            if *missing == 0 {
                self.staged(now, key);
            }
        }
    }

    /// An input cannot be had: a failure if its master does not have it, a loss if it would not come. An attempt that
    /// went ahead while it passed finds that out below.
    fn input_missing(&mut self, key: TaskKey, digest: Digest, end: FetchEnd) {
        let Some(Lease {
            round,
            order: Some(order),
            stage: Stage::Staging { .. } | Stage::Ready,
            ..
        }) = self.leases.get(&key)
        else {
            return;
        };
        let round = *round;
        self.sched.forget(key);
        let name = order.input(digest).map(|input| input.name.clone());
        match (end, name) {
            (FetchEnd::Absent, Some(name)) => {
                self.end_lease(key);
                let ran = Ran {
                    result: Err(Failure::InputMissing(name)),
                    worker: self.name.clone(),
                    measured: Measured::default(),
                    stdout: Stream::default(),
                    stderr: Stream::default(),
                    outputs: Vec::new(),
                };
                self.report(key, round, End::Ran(Arc::new(ran)));
            }
            (FetchEnd::Absent | FetchEnd::Failed | FetchEnd::Unkept | FetchEnd::Held, _) => {
                self.lose(key, Loss::NotStaged)
            }
        }
    }
}
