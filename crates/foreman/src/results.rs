//! Reports from below: their files are fetched, they are spooled, acknowledged and handed up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_proto::batch::cut;
use muster_proto::limits::RESULTS_HELD_MAX;
use muster_proto::machine::{FetchEnd, Output};
use muster_proto::outcome::{End, Loss, Ran, Report};
use muster_proto::task::FileRef;
use muster_proto::wire::{Reports, Started};
use muster_proto::{Attempt, Digest, LinkId, TaskKey, Time};
use muster_sched::ChildId;

use crate::event::{Event, Spooled};
use crate::leases::Stage;
use crate::{Effect, Foreman};

/// Results that wait for no more company: a batch of so many costs little more than its bytes.
const COMPANY: usize = 256;

/// How often a file of a result is fetched before the result is given up.
const TRIES_MAX: u8 = 3;

/// Files under way from below, and the results that wait for them.
pub(crate) type Fetches = BTreeMap<(LinkId, Digest), Fetch>;

/// One file under way over one link.
#[derive(Debug)]
pub(crate) struct Fetch {
    bytes: u64,
    tries: u8,
    attempts: BTreeSet<Attempt>,
}

/// A result whose files are on their way.
#[derive(Debug)]
pub(crate) struct Arriving {
    child: ChildId,
    link: LinkId,
    ran: Arc<Ran>,
    /// Files that have not come; those that have are pinned.
    missing: BTreeSet<Digest>,
}

impl Arriving {
    /// The link its files come over.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// Whether `child` holds it.
    pub fn is_of(&self, child: ChildId) -> bool {
        self.child == child
    }
}

impl Foreman {
    pub(crate) fn reports(
        &mut self,
        now: Time,
        link: LinkId,
        frame: Reports,
        out: &mut Vec<Effect>,
    ) {
        let Some(child) = self.crew.child_at(link) else {
            return;
        };
        if !self.spool.masters.contains_key(&frame.master) {
            return self.refuse(link, &frame);
        }
        let has_company = frame.reports.len() >= COMPANY;
        let mut results = Vec::new();
        for Report { task, round, end } in frame.reports {
            let attempt = Attempt {
                key: TaskKey {
                    master: frame.master,
                    task,
                },
                round,
            };
            match end {
                End::Lost(loss) => {
                    if self.is_leased(attempt, child) {
                        self.lose(attempt.key, loss);
                    }
                }
                End::Ran(ran) if has_company && self.is_whole(attempt, child, &ran) => {
                    self.sched.ran(now, attempt.key, ran.measured.wall);
                    self.crew.list(child, attempt.key);
                    self.outbox.ack(link, attempt);
                    results.push(Spooled { attempt, ran });
                }
                End::Ran(ran) => self.ran(now, (link, child), attempt, ran, out),
            }
        }
        self.keep(results, out);
    }

    /// Results of a master that nobody has brought: this foreman has lost its spool, and knows nobody to hand them
    /// to. Their holder may drop them; their master has found the leases gone and tries again.
    fn refuse(&mut self, link: LinkId, frame: &Reports) {
        let master = frame.master;
        for Report { task, round, end } in &frame.reports {
            let key = TaskKey {
                master,
                task: *task,
            };
            match end {
                End::Ran(_) => self.outbox.cancel(link, Attempt { key, round: *round }),
                End::Lost(_) => {}
            }
        }
    }

    /// Whether a result is that of a lease and brings no files: all of it is in its report.
    fn is_whole(&self, attempt: Attempt, child: ChildId, ran: &Ran) -> bool {
        let room = self.spool.results.len() + COMPANY < RESULTS_HELD_MAX;
        room && self.is_leased(attempt, child) && ran.files().next().is_none()
    }

    /// Attempts run at whoever holds them.
    pub(crate) fn started(&mut self, now: Time, link: LinkId, frame: &Started) {
        let Some(child) = self.crew.child_at(link) else {
            return;
        };
        for (task, round) in &frame.attempts {
            let master = frame.master;
            let key = TaskKey {
                master,
                task: *task,
            };
            if self.is_leased(Attempt { key, round: *round }, child) {
                self.sched.started(now, key);
            }
        }
    }

    /// An attempt ran. Its result has landed when all its files are here.
    fn ran(
        &mut self,
        now: Time,
        (link, child): (LinkId, ChildId),
        attempt: Attempt,
        ran: Arc<Ran>,
        out: &mut Vec<Effect>,
    ) {
        if self.spool.results.contains_key(&attempt) {
            return self.outbox.ack(link, attempt);
        }
        // Late news of another round says nothing of the one that is leased.
        let leased = self.leases.get(&attempt.key);
        if leased.is_none_or(|lease| lease.round == attempt.round) {
            self.crew.list(child, attempt.key);
        }
        if self.is_leased(attempt, child) {
            self.sched.ran(now, attempt.key, ran.measured.wall);
            if let Some(lease) = self.leases.get_mut(&attempt.key) {
                lease.stage = Stage::Arriving;
            }
        }
        let files: BTreeMap<Digest, u64> =
            ran.files().map(|file| (file.digest, file.bytes)).collect();
        if files.is_empty() {
            self.landed.push(attempt);
        }
        let arriving = Arriving {
            child,
            link,
            ran,
            missing: files.keys().copied().collect(),
        };
        if let Some(before) = self.arriving.insert(attempt, arriving) {
            self.unpin_arrived(&before);
        }
        self.crew.arriving(child, attempt.key);
        for (digest, bytes) in files {
            let fetch = self.fetches.entry((link, digest)).or_insert_with(|| {
                out.push(Output::Fetch {
                    link,
                    digest,
                    bytes,
                });
                Fetch {
                    bytes,
                    tries: 0,
                    attempts: BTreeSet::new(),
                }
            });
            fetch.attempts.insert(attempt);
        }
    }

    /// Makes landed results durable, acknowledges them below and hands them up: at once when there is no other work
    /// in hand, else when they have waited for company.
    pub(crate) fn keep_landed(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.landed.is_empty() || self.spool.results.len() >= RESULTS_HELD_MAX {
            self.linger.end();
            return;
        }
        let counts = self.sched.counts();
        let is_busy = counts.leased + counts.ready > 0 && !self.leaving;
        let is_over = self.linger.is_over(now, self.landed.len());
        if is_busy && !is_over && self.landed.len() < COMPANY {
            return;
        }
        self.linger.end();
        // What the spool has no room for stays with whoever ran it, unacknowledged, until a superior takes some.
        let room = RESULTS_HELD_MAX.saturating_sub(self.spool.results.len());
        let rest = self.landed.split_off(room.min(self.landed.len()));
        let mut results = Vec::new();
        for attempt in std::mem::replace(&mut self.landed, rest) {
            // It may have been cancelled, or come again without all its files, since it landed.
            let landed = self.arriving.get(&attempt);
            if landed.is_none_or(|arriving| !arriving.missing.is_empty()) {
                continue;
            }
            let Some(arriving) = self.arriving.remove(&attempt) else {
                continue;
            };
            self.crew.arrived(arriving.child, attempt.key);
            let files: BTreeSet<FileRef> = arriving.ran.files().collect();
            arriving
                .ran
                .files()
                .for_each(|file| self.cache.insert(file));
            files.iter().for_each(|file| self.cache.unpin(file.digest));
            self.outbox.ack(arriving.link, attempt);
            let ran = arriving.ran;
            results.push(Spooled { attempt, ran });
        }
        self.keep(results, out);
    }

    fn keep(&mut self, results: Vec<Spooled>, out: &mut Vec<Effect>) {
        for results in cut(results, |result| result.ran.weight() + 40) {
            for Spooled { attempt, ran } in &results {
                if self
                    .leases
                    .get(&attempt.key)
                    .is_some_and(|lease| lease.round == attempt.round)
                {
                    self.end_lease(attempt.key);
                }
                self.report(attempt.key, attempt.round, End::Ran(ran.clone()));
            }
            self.record(Event::Spooled(results), out);
        }
    }

    /// A fetch from below has ended.
    pub(crate) fn output_fetched(
        &mut self,
        link: LinkId,
        digest: Digest,
        end: FetchEnd,
        out: &mut Vec<Effect>,
    ) {
        let Some(mut fetch) = self.fetches.remove(&(link, digest)) else {
            return;
        };
        match end {
            FetchEnd::Held => {
                self.is_full = false;
                let bytes = fetch.bytes;
                let file = FileRef { digest, bytes };
                for attempt in fetch.attempts {
                    self.output_arrived(link, attempt, file);
                }
                // If nobody waits for it any more, it is the cache's to give up.
                self.cache.insert(file);
                self.cache.unpin(digest);
            }
            FetchEnd::Failed | FetchEnd::Unkept
                if end == FetchEnd::Unkept || fetch.tries + 1 < TRIES_MAX =>
            {
                // The result is safe where it is; it waits there until there is room.
                self.is_full = end == FetchEnd::Unkept;
                fetch.tries += u8::from(end == FetchEnd::Failed);
                out.push(Output::Fetch {
                    link,
                    digest,
                    bytes: fetch.bytes,
                });
                self.fetches.insert((link, digest), fetch);
            }
            FetchEnd::Failed | FetchEnd::Unkept | FetchEnd::Absent => {
                fetch
                    .attempts
                    .into_iter()
                    .for_each(|attempt| self.give_up_result(link, attempt));
            }
        }
    }

    /// One of the files that a result waited for is here; with the last one it has landed.
    fn output_arrived(&mut self, link: LinkId, attempt: Attempt, file: FileRef) {
        let arriving = self.arriving.get_mut(&attempt);
        let Some(arriving) = arriving.filter(|arriving| arriving.link == link) else {
            return;
        };
        if arriving.missing.remove(&file.digest) {
            self.cache.insert(file);
            if arriving.missing.is_empty() {
                self.landed.push(attempt);
            }
        }
    }

    /// Takes back the pins of a result that is on its way no more.
    pub(crate) fn unpin_arrived(&mut self, arriving: &Arriving) {
        let files: BTreeSet<Digest> = arriving.ran.files().map(|file| file.digest).collect();
        for digest in files.difference(&arriving.missing) {
            self.cache.unpin(*digest);
        }
    }

    /// The files of a result cannot be had: its holder may drop it, its master tries again.
    fn give_up_result(&mut self, link: LinkId, attempt: Attempt) {
        if self
            .arriving
            .get(&attempt)
            .is_some_and(|arriving| arriving.link == link)
        {
            self.drop_arriving(attempt);
            if self
                .leases
                .get(&attempt.key)
                .is_some_and(|lease| lease.round == attempt.round)
            {
                self.lose(attempt.key, Loss::NotStaged);
            } else {
                self.report(attempt.key, attempt.round, End::Lost(Loss::NotStaged));
            }
        }
    }

    /// A result on its way is not wanted; its holder is told.
    pub(crate) fn drop_arriving(&mut self, attempt: Attempt) {
        if let Some(arriving) = self.arriving.remove(&attempt) {
            self.unpin_arrived(&arriving);
            self.crew.arrived(arriving.child, attempt.key);
            if self.crew.link_of(arriving.child) == Some(arriving.link) {
                self.outbox.cancel(arriving.link, attempt);
            }
        }
    }

    fn is_leased(&self, attempt: Attempt, child: ChildId) -> bool {
        let lease = self.leases.get(&attempt.key);
        lease.is_some_and(|lease| {
            lease.round == attempt.round && lease.stage == Stage::Leased { child }
        })
    }
}
