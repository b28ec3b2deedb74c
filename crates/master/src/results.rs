//! Reports from below: which count, which files they bring, what follows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use muster_proto::batch::cut;
use muster_proto::limits::UNNEEDED_GRACE;
use muster_proto::machine::{Deadline, FetchEnd, Gate, Output};
use muster_proto::outcome::{End, Loss, Outcome, Ran, Report, Verdict};
use muster_proto::wire::{Reports, Started};
use muster_proto::{Digest, LinkId, TaskId, Time, Try};
use muster_sched::ChildId;

use crate::leases::{Arriving, Live, Stage};
use crate::story::Happening;
use crate::{Effect, Event, Master, Wanted};

/// How often a file of a result is fetched before the result is given up.
const TRIES_MAX: u8 = 3;

/// Files under way, and the tasks whose results wait for them.
pub(crate) type Fetches = BTreeMap<Wanted, Fetch>;

/// One file under way over one link.
#[derive(Debug)]
pub(crate) struct Fetch {
    bytes: u64,
    tries: u8,
    /// Whether the disk had no room for it when it was last tried.
    pub(crate) is_unkept: bool,
    tasks: BTreeSet<TaskId>,
}

/// Files that nothing refers to, by when they may be given up.
#[derive(Debug, Default)]
pub(crate) struct Unneeded {
    queue: VecDeque<(Time, Digest)>,
    /// When each was last noted; an earlier place in the queue means nothing.
    due: BTreeMap<Digest, Time>,
}

impl Unneeded {
    fn note(&mut self, now: Time, digest: Digest) {
        let due = now + UNNEEDED_GRACE;
        self.queue.push_back((due, digest));
        self.due.insert(digest, due);
    }

    /// The next file whose while is over by `now`.
    fn due(&mut self, now: Time) -> Option<Digest> {
        while let Some((due, digest)) = self.queue.front().copied().filter(|(due, _)| *due <= now) {
            self.queue.pop_front();
            if self.due.get(&digest) == Some(&due) {
                self.due.remove(&digest);
                return Some(digest);
            }
        }
        None
    }

    /// When the first while ends.
    pub fn deadline(&self) -> Option<Deadline> {
        self.queue.front().map(|(at, _)| Deadline {
            at: *at,
            why: "files that nothing refers to may go",
        })
    }
}

impl Master {
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
        if frame.master != self.book.master {
            return;
        }
        let mut outcomes = Vec::new();
        for Report { task, round, end } in frame.reports {
            match end {
                End::Lost(loss) => {
                    if self.is_leased(task, round, child) {
                        self.lose(now, task, loss, out);
                    }
                }
                End::Ran(ran) => {
                    outcomes.extend(self.ran(now, (link, child), (task, round), ran, out))
                }
            }
        }
        self.account(now, outcomes, out);
    }

    pub(crate) fn started(&mut self, now: Time, link: LinkId, frame: &Started) {
        let Some(child) = self.crew.child_at(link) else {
            return;
        };
        for (task, round) in &frame.attempts {
            if frame.master == self.book.master && self.is_leased(*task, *round, child) {
                self.sched.started(now, self.key(*task));
            }
        }
    }

    /// Records outcomes, and tells those who watch. A task that one turn gives two outcomes keeps the first.
    pub(crate) fn account(&mut self, now: Time, mut outcomes: Vec<Outcome>, out: &mut Vec<Effect>) {
        let mut told = BTreeSet::new();
        outcomes.retain(|outcome| told.insert(outcome.task));
        for outcomes in cut(outcomes, Outcome::weight) {
            for outcome in &outcomes {
                self.live.remove(&outcome.task);
                self.story.tell(now, outcome.task, Happening::Accounted);
                self.watchers
                    .values_mut()
                    .for_each(|watcher| watcher.accounted(outcome.task));
            }
            self.record(Event::Accounted(outcomes), out);
        }
    }

    /// An attempt ran. Returns the outcome if it is one already.
    fn ran(
        &mut self,
        now: Time,
        (link, child): (LinkId, ChildId),
        (task, round): (TaskId, Try),
        ran: Arc<Ran>,
        out: &mut Vec<Effect>,
    ) -> Option<Outcome> {
        let key = self.key(task);
        let current = self.is_leased(task, round, child);
        if current {
            self.sched.ran(now, key, ran.measured.wall);
        } else if !self.counts_late(task, round, child, &ran) {
            self.outbox.ack(link, self.attempt(task, round));
            return None;
        }
        self.crew.list(child, key);
        let files: BTreeMap<Digest, u64> =
            ran.files().map(|file| (file.digest, file.bytes)).collect();
        if files.is_empty() {
            return self.settle(now, (link, child), (task, round), ran);
        }
        if !current {
            self.supersede(task, round);
        }
        for file in ran.files() {
            *self.landing.entry(file.digest).or_default() += 1;
        }
        let arriving = Arriving {
            round,
            child,
            link,
            ran,
            missing: files.keys().copied().collect(),
        };
        self.live.or_default(task).stage = Stage::Arriving(Box::new(arriving));
        self.arriving += 1;
        self.crew.arriving(child, key);
        self.story.tell(now, task, Happening::Arriving(round));
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
                    is_unkept: false,
                    tasks: BTreeSet::new(),
                }
            });
            fetch.tasks.insert(task);
        }
        None
    }

    /// Whether the report of an attempt that is not the current lease counts nevertheless: there is no outcome, it
    /// succeeded (a failure says little while another attempt is under way), and nothing better is arriving.
    fn counts_late(&self, task: TaskId, round: Try, child: ChildId, ran: &Ran) -> bool {
        let arriving = match self.live.get(&task).map(|live| &live.stage) {
            Some(Stage::Arriving(arriving)) => Some((arriving.round, arriving.child)),
            Some(Stage::Ready | Stage::Leased { .. }) | None => None,
        };
        let again = arriving == Some((round, child));
        let unclaimed = !self.live.contains_key(&task);
        self.book.open.contains_key(&task)
            && self.was_made(task, round)
            && (again || arriving.is_none())
            && (again || unclaimed || ran.result.is_ok())
    }

    /// Whether an attempt may ever have been made: those of earlier epochs are forgotten, those of this one counted.
    pub(crate) fn was_made(&self, task: TaskId, round: Try) -> bool {
        let made = self.live.get(&task).map_or(0, |live| live.n);
        round.epoch < self.book.epoch || (round.epoch == self.book.epoch && round.n <= made)
    }

    /// Ends every other attempt of `task`: a result of `round` is coming in.
    fn supersede(&mut self, task: TaskId, round: Try) {
        let live = self
            .live
            .get(&task)
            .map_or((0, 0, 0), |live| (live.n, live.failures, live.losses));
        let again = matches!(
            self.live.get(&task).map(|live| &live.stage),
            Some(Stage::Arriving(arriving)) if arriving.round == round
        );
        if !again {
            self.recall(task);
        } else if let Some(Stage::Arriving(before)) = self.live.remove(&task).map(|live| live.stage)
        {
            self.landed(task, &before);
        }
        let (n, failures, losses) = live;
        self.live.insert(
            task,
            Live {
                n,
                failures,
                losses,
                given_up: None,
                stage: Stage::Ready,
            },
        );
    }

    /// A result with all its files here becomes an outcome, unless it failed and may be tried again.
    fn settle(
        &mut self,
        now: Time,
        (link, child): (LinkId, ChildId),
        (task, round): (TaskId, Try),
        ran: Arc<Ran>,
    ) -> Option<Outcome> {
        self.outbox.ack(link, self.attempt(task, round));
        let template = self.book.open.get(&task)?.template;
        let retries = self
            .book
            .templates
            .get(&template)
            .map_or(0, |kept| kept.template.policy.retries);
        let live = self.live.or_default(task);
        if ran.result.is_err() && live.failures < retries {
            live.failures += 1;
            live.stage = Stage::Ready;
            self.story.tell(now, task, Happening::Retried(round));
            self.requeue(now, task, Some(child));
            return None;
        }
        let attempts = live.n.max(1);
        if !matches!(live.stage, Stage::Leased { round: current, .. } if current == round) {
            self.recall(task);
        }
        let site = self
            .crew
            .peer_of(child)
            .map_or_else(Arc::default, |peer| Arc::from(peer.site.as_str()));
        Some(Outcome {
            task,
            verdict: Verdict::Ran { round, ran },
            attempts,
            site,
        })
    }

    pub(crate) fn fetched(
        &mut self,
        now: Time,
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
                self.strays.push(digest);
                let done: Vec<Outcome> = fetch
                    .tasks
                    .into_iter()
                    .filter_map(|task| self.arrived(now, (link, digest), task))
                    .collect();
                self.account(now, done, out);
            }
            FetchEnd::Failed | FetchEnd::Unkept
                if end == FetchEnd::Unkept || fetch.tries + 1 < TRIES_MAX =>
            {
                // The result is safe where it is; it waits there until there is room.
                fetch.is_unkept = end == FetchEnd::Unkept;
                fetch.tries += u8::from(end == FetchEnd::Failed);
                out.push(Output::Fetch {
                    link,
                    digest,
                    bytes: fetch.bytes,
                });
                self.fetches.insert((link, digest), fetch);
            }
            FetchEnd::Failed | FetchEnd::Unkept | FetchEnd::Absent => {
                for task in fetch.tasks {
                    self.give_up_result(now, (link, digest), task, out);
                }
            }
        }
    }

    /// One of the files that the result of `task` waited for is here.
    fn arrived(&mut self, now: Time, (link, digest): Wanted, task: TaskId) -> Option<Outcome> {
        let live = self.live.get_mut(&task)?;
        let Stage::Arriving(arriving) = &mut live.stage else {
            return None;
        };
        if arriving.link != link {
            return None;
        }
        if !arriving.missing.remove(&digest) || !arriving.missing.is_empty() {
            return None;
        }
        let Stage::Arriving(arriving) = std::mem::take(&mut live.stage) else {
            return None;
        };
        self.landed(task, &arriving);
        self.settle(
            now,
            (link, arriving.child),
            (task, arriving.round),
            arriving.ran,
        )
    }

    /// A result is on its way no more: it is here, or not wanted.
    pub(crate) fn landed(&mut self, task: TaskId, arriving: &Arriving) {
        self.arriving -= 1;
        self.crew.arrived(arriving.child, self.key(task));
        for file in arriving.ran.files() {
            self.strays.push(file.digest);
            if let Some(results) = self.landing.get_mut(&file.digest) {
                *results -= 1;
                if *results == 0 {
                    self.landing.remove(&file.digest);
                }
            }
        }
    }

    /// Gives up files that neither the book nor a result on its way has referred to for a while.
    ///
    /// The while is for users who were told that a file is here and are about to submit tasks that need it.
    pub(crate) fn forget_files(&mut self, now: Time, out: &mut Vec<Effect>) {
        let mut unneeded = std::mem::take(&mut self.strays);
        unneeded.extend(self.book.take_orphans());
        unneeded.sort_unstable();
        unneeded.dedup();
        for digest in unneeded {
            self.unneeded.note(now, digest);
        }
        while let Some(digest) = self.unneeded.due(now) {
            if !self.book.refers(digest) && !self.landing.contains_key(&digest) {
                out.push(Output::Forget {
                    digest,
                    gate: Gate::Durable(self.lsn),
                });
            }
        }
    }

    /// The files of a result cannot be had: its holder may drop it, the task is tried again.
    fn give_up_result(
        &mut self,
        now: Time,
        (link, digest): Wanted,
        task: TaskId,
        out: &mut Vec<Effect>,
    ) {
        if let Some(Live {
            stage: Stage::Arriving(arriving),
            ..
        }) = self.live.get(&task)
            && arriving.link == link
            && arriving.missing.contains(&digest)
        {
            self.outbox.cancel(link, self.attempt(task, arriving.round));
            self.lose(now, task, Loss::NotStaged, out);
        }
    }

    fn is_leased(&self, task: TaskId, round: Try, child: ChildId) -> bool {
        matches!(
            self.live.get(&task),
            Some(Live { stage: Stage::Leased { round: r, child: c }, .. }) if *r == round && *c == child
        )
    }
}
