//! The loop itself: wait, take a burst, begin what it asks for, flush.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use muster_proto::limits::{CHILDREN_MAX, INPUTS_PER_TURN_MAX};
use muster_proto::machine::{FetchEnd, Gate, Input, Machine, Output, Record};
use muster_proto::wire::{CloseCode, Frame};
use muster_proto::{Digest, LinkId, Lsn, Time};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::chain::{self, Chain, News};
use super::fetches::{Fetches, Order};
use super::gates::{Gated, Gates};
use super::journal::Keeper;
use super::refusals::{self, Taken};
use super::roster::{Arrival, Roster};
use super::{DriveError, Hands, JournalLost, Observer, Setup, pursuit, status};
use crate::bulk::fetch::fetch;
use crate::bulk::{Lines, Shelf, Wanted};
use crate::clock::Clock;
use crate::tasks::Tasks;

/// A machine and everything it is surrounded by.
pub(super) struct Driver<M, L, E, C, H> {
    machine: M,
    hands: H,
    clock: Clock,
    /// Inputs that the driver itself has for the machine; taken before any other.
    soon: VecDeque<Input<L>>,
    out: Vec<Output<E, C>>,
    roster: Roster,
    gates: Gates<Gated>,
    fetches: Fetches,
    /// Until then no transfer begins: the disk was full.
    full_until: Time,
    journal: Option<Keeper>,
    trouble: Option<String>,
    taken: Taken,
    shelf: Shelf,
    lines: Arc<Lines>,
    inlet: Inlet<L>,
    departure: Departure<M>,
    observer: Option<Observer<M>>,
    /// When the observer is told next.
    observed_next: Time,
    transfers: Tasks,
    chains: Tasks,
}

/// Where inputs come from.
struct Inlet<L> {
    news: mpsc::Receiver<News>,
    /// A sender of the same channel, for transfers.
    sender: mpsc::Sender<News>,
    local: mpsc::Receiver<L>,
}

/// How and when the process leaves.
struct Departure<M> {
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    drained: fn(&M) -> bool,
    grace: Duration,
    /// When to leave drained or not, once the machine has been told to drain.
    until: Option<Time>,
    /// Tells the tasks that make links to make no more.
    leaving: watch::Sender<bool>,
}

/// Why the loop woke up.
enum Woken<L> {
    News(News),
    Local(L),
    Journal,
    Due,
    Room,
    Tidings,
    Stop,
}

impl<M, L, E, C, H> Driver<M, L, E, C, H>
where
    M: Machine<Input = Input<L>, Output = Output<E, C>>,
    E: Record,
    H: Hands<C>,
{
    /// Starts the journal's thread and the tasks that make links.
    pub(super) fn start(machine: M, setup: Setup<M, L, H>) -> Result<Self, DriveError> {
        let journal = match setup.journal {
            Some((log, next)) => Some(Keeper::start(log, next).map_err(DriveError::Thread)?),
            None => None,
        };
        let (sender, news) = mpsc::channel(INPUTS_PER_TURN_MAX);
        let (leaver, leaving) = watch::channel(false);
        let chain = Chain {
            news: sender.clone(),
            lines: Arc::new(Lines::default()),
            shelf: setup.shelf.clone(),
            credentials: setup.credentials,
            links: Arc::new(AtomicU32::new(1)),
            rate: setup.link_rate,
            leaving,
        };
        let lines = Arc::clone(&chain.lines);
        let mut chains = Tasks::new();
        let superiors = pursuit::follow(chain.clone(), setup.superiors);
        chains.spawn("superiors", superiors);
        if let Some(entrance) = setup.door {
            chains.spawn("door", chain::receive(chain, entrance));
        }
        Ok(Driver {
            machine,
            hands: setup.hands,
            clock: setup.clock,
            soon: VecDeque::new(),
            out: Vec::new(),
            roster: Roster::default(),
            gates: Gates::default(),
            fetches: Fetches::default(),
            full_until: Time(0),
            journal,
            trouble: None,
            taken: Taken::default(),
            shelf: setup.shelf,
            lines,
            inlet: Inlet {
                news,
                sender,
                local: setup.local,
            },
            departure: Departure {
                stop: setup.stop,
                drained: setup.drained,
                grace: setup.grace,
                until: None,
                leaving: leaver,
            },
            observer: setup.observer,
            observed_next: Time(0),
            transfers: Tasks::new(),
            chains,
        })
    }

    /// Turns until the process is to leave, and leaves.
    pub(super) async fn run(mut self) -> Result<M, DriveError> {
        while !self.is_over() {
            let woken = self.wait().await?;
            self.take(woken);
            self.take_burst();
            self.tick();
            self.flush()?;
            self.be_observed();
        }
        Ok(self.leave().await)
    }

    /// Waits for something to do; cancel safe in every arm.
    async fn wait(&mut self) -> Result<Woken<L>, JournalLost> {
        let due = self.machine.deadline().map(|deadline| deadline.at);
        let observed = self.observer.as_ref().map(|_| self.observed_next);
        let due = due
            .into_iter()
            .chain(self.departure.until)
            .chain(observed)
            .min();
        let is_staying = self.departure.until.is_none();
        let longest = if is_staying { LONGEST_NAP } else { LEAVING_NAP };
        let nap = due.map_or(longest, |at| self.clock.until(at).min(longest));
        let is_full = self.journal.as_ref().is_some_and(Keeper::is_full);
        let has_forgotten = self.fetches.has_forgotten();
        let durable = async {
            match &mut self.journal {
                Some(journal) => journal.changed().await,
                None => std::future::pending().await,
            }
        };
        Ok(tokio::select! {
            changed = durable => {
                changed?;
                Woken::Journal
            }
            Some(news) = self.inlet.news.recv(), if !is_full => Woken::News(news),
            Some(local) = self.inlet.local.recv() => Woken::Local(local),
            () = self.shelf.room(), if has_forgotten => Woken::Room,
            () = self.shelf.tidings() => Woken::Tidings,
            () = &mut self.departure.stop, if is_staying => Woken::Stop,
            () = sleep(nap) => Woken::Due,
        })
    }

    fn take(&mut self, woken: Woken<L>) {
        match woken {
            Woken::News(news) => self.hear(news),
            Woken::Local(local) => self.handle(Input::Local(local)),
            Woken::Journal => self.release(),
            Woken::Due | Woken::Room => {}
            Woken::Tidings => {
                for digest in self.shelf.take_begun() {
                    self.handle(Input::Arriving { digest });
                }
                for digest in self.shelf.take_missed() {
                    self.handle(Input::Missed { digest });
                }
            }
            Woken::Stop => {
                self.departure.until = Some(self.clock.now() + span(self.departure.grace));
                tracing::info!("leaving");
                self.handle(Input::Drain);
            }
        }
    }

    /// Takes what has come in the meantime, from both sources in turn so that neither starves.
    fn take_burst(&mut self) {
        let is_full = self.journal.as_ref().is_some_and(Keeper::is_full);
        for _ in 0..INPUTS_PER_TURN_MAX / 2 {
            let local = self.inlet.local.try_recv().ok();
            let news = if is_full {
                None
            } else {
                self.inlet.news.try_recv().ok()
            };
            if local.is_none() && news.is_none() {
                return;
            }
            if let Some(local) = local {
                self.handle(Input::Local(local));
            }
            if let Some(news) = news {
                self.hear(news);
            }
        }
    }

    /// Ends a turn for the machine, if it wanted to be woken by now.
    fn tick(&mut self) {
        let now = self.clock.now();
        if self
            .machine
            .deadline()
            .is_some_and(|deadline| deadline.at <= now)
        {
            self.handle(Input::Tick);
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Up(arrival) => self.arrive(*arrival),
            News::Frame { link, frame } if self.roster.has(link) => self.hear_frame(link, frame),
            // The machine has heard of this link's end already.
            News::Frame { .. } => {}
            News::Down { link } => {
                self.depart(link);
                self.handle_soon();
            }
            News::Fetched { link, ends } => {
                let is_full = ends.iter().any(|(_, end)| *end == FetchEnd::Unkept);
                if is_full {
                    // It is asked for again at once, and a full disk does not empty itself.
                    self.full_until = self.clock.now() + span(FULL_PAUSE);
                }
                for (digest, end) in self.fetches.ended(link, ends) {
                    self.handle(Input::Fetched { link, digest, end });
                }
            }
        }
    }

    fn hear_frame(&mut self, link: LinkId, frame: Frame) {
        if let Some(refusal) = self.taken.refuse(&frame, self.trouble.is_some()) {
            if self.roster.send(link, &refusal).is_err() {
                self.overflow(link);
            }
            return;
        }
        let last = self.journal.as_ref().map_or(Lsn(0), Keeper::last);
        self.taken.took(refusals::name_of(&frame), last);
        self.handle(Input::Frame { link, frame });
    }

    /// A link stands: an older one of the same peer leaves first.
    fn arrive(&mut self, arrival: Arrival) {
        if let Some(older) = self.roster.older(&arrival) {
            self.roster.cut(older, CloseCode::Superseded);
            self.depart(older);
            self.handle_soon();
        }
        if self.roster.len() >= LINKS_MAX || self.departure.until.is_some() {
            let leaving = self.departure.until.is_some();
            arrival.link.close(if leaving {
                CloseCode::Leaving
            } else {
                CloseCode::Full
            });
            return;
        }
        let input = Input::LinkUp {
            link: arrival.id,
            peer: arrival.link.peer().clone(),
            side: arrival.side,
        };
        tracing::info!(link = %arrival.id, peer = %arrival.link.peer(), side = ?arrival.side, "a link stands");
        self.roster.enter(arrival);
        self.handle(input);
    }

    /// Strikes out a link and lets the machine hear the end of everything it had on it, last of all its own.
    fn depart(&mut self, link: LinkId) {
        if !self.roster.leave(link) {
            return;
        }
        for digest in self.fetches.abandon(link) {
            let end = FetchEnd::Failed;
            self.soon.push_back(Input::Fetched { link, digest, end });
        }
        self.soon.push_back(Input::LinkDown { link });
    }

    /// Gives the machine an input, and then what came of it inside the driver.
    fn handle(&mut self, input: Input<L>) {
        self.step(input);
        self.handle_soon();
    }

    fn handle_soon(&mut self) {
        while let Some(input) = self.soon.pop_front() {
            self.step(input);
        }
    }

    fn step(&mut self, input: Input<L>) {
        let mut out = std::mem::take(&mut self.out);
        self.machine.handle(self.clock.now(), input, &mut out);
        for output in out.drain(..) {
            self.begin(output);
        }
        self.out = out;
    }

    /// Begins an output; nothing here waits.
    fn begin(&mut self, output: Output<E, C>) {
        match output {
            Output::Record(record) => {
                let journal = self.journal.as_mut();
                journal
                    .expect("a machine that makes records has a journal")
                    .record(&record);
            }
            Output::Send { link, frame, gate } => self.send(link, frame, gate),
            Output::Fetch {
                link,
                digest,
                bytes,
            } => self.want(link, Wanted { digest, bytes }),
            Output::Forget { digest, gate } => self.pass(gate, Gated::Forget(digest)),
            Output::Close { link, code } => {
                self.roster.dismiss(link, code);
                self.depart(link);
            }
            Output::Local(ask) => self.hands.perform(ask),
        }
    }

    fn send(&mut self, link: LinkId, mut frame: Frame, gate: Gate) {
        if !self.roster.has(link) {
            return;
        }
        if let Frame::StatusReply(reply) = &mut frame {
            status::fill(reply, &self.roster, &self.lines, self.trouble.as_deref());
        }
        if self.is_open(gate) {
            if self.roster.send(link, &frame).is_err() {
                self.overflow(link);
            }
        } else {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            self.pass(gate, Gated::Frame { link, bytes });
        }
    }

    fn want(&mut self, link: LinkId, wanted: Wanted) {
        if self.roster.has(link) {
            self.gates.keep(wanted.digest);
            self.fetches.want(link, wanted);
        } else {
            // The machine asked in the same call in which the link was closed; every fetch has its end.
            tracing::debug!(%link, digest = %wanted.digest, "a fetch from a link that is gone");
            let (digest, end) = (wanted.digest, FetchEnd::Failed);
            self.soon.push_back(Input::Fetched { link, digest, end });
        }
    }

    /// Lets `effect` happen, at once or when its gate opens.
    fn pass(&mut self, gate: Gate, effect: Gated) {
        match gate {
            Gate::Durable(lsn) if !self.is_open(gate) => self.gates.hold(lsn, effect),
            Gate::Durable(_) | Gate::Now => self.happen(effect),
        }
    }

    fn happen(&mut self, effect: Gated) {
        match effect {
            Gated::Forget(digest) => self.fetches.forget(digest),
            Gated::Frame { link, bytes } => {
                if self.roster.send_encoded(link, &bytes).is_err() {
                    self.overflow(link);
                }
            }
        }
    }

    fn is_open(&self, gate: Gate) -> bool {
        match gate {
            Gate::Now => true,
            Gate::Durable(lsn) => self
                .journal
                .as_ref()
                .is_none_or(|journal| lsn <= journal.durable()),
        }
    }

    /// Lets happen what waited for records that are durable by now.
    fn release(&mut self) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let standing = journal.standing();
        self.trouble = standing.trouble;
        self.taken.settle(standing.durable);
        while let Some(effect) = self.gates.release(standing.durable) {
            self.happen(effect);
        }
        self.handle_soon();
    }

    /// Closes a link whose peer reads too slowly.
    fn overflow(&mut self, link: LinkId) {
        if let Some(peer) = self.roster.peer(link) {
            tracing::warn!(%link, %peer, "closing a link: its peer reads too slowly");
        }
        self.roster.cut(link, CloseCode::Slow);
        self.depart(link);
    }

    /// Ends a turn: one batch for the journal, one wake for each link, transfers begun, contents forgotten.
    fn flush(&mut self) -> Result<(), JournalLost> {
        if let Some(journal) = &mut self.journal {
            journal.flush()?;
        }
        self.roster.flush();
        while let Some(order) = self.fetches.next_order() {
            self.transfer(order);
        }
        let forgotten = self.fetches.take_forgotten();
        if !forgotten.is_empty()
            && let Err(digests) = self.shelf.try_forget(forgotten)
        {
            self.fetches.put_back(digests);
        }
        Ok(())
    }

    fn transfer(&mut self, order: Order) {
        let Some(peer) = self.roster.peer(order.link).cloned() else {
            return;
        };
        let (lines, shelf, news) = (
            Arc::clone(&self.lines),
            self.shelf.clone(),
            self.inlet.sender.clone(),
        );
        let pause = self.clock.until(self.full_until);
        self.transfers.spawn("transfer", async move {
            sleep(pause).await;
            let ends = fetch(&lines, &shelf, &peer, &order.wanted).await;
            let digests = order.wanted.iter().map(|wanted| wanted.digest);
            let ends: Vec<(Digest, FetchEnd)> = digests.zip(ends).collect();
            // The loop is gone if nobody receives; then nobody waits for this either.
            news.send(News::Fetched {
                link: order.link,
                ends,
            })
            .await
            .ok();
        });
    }

    /// Shows the machine to its observer, unless that was a moment ago.
    fn be_observed(&mut self) {
        let now = self.clock.now();
        if let Some(observer) = &mut self.observer
            && now >= self.observed_next
        {
            (observer.look)(&self.machine);
            self.observed_next = now + span(observer.every);
        }
    }

    /// Whether it is time to leave.
    fn is_over(&self) -> bool {
        let Some(until) = self.departure.until else {
            return false;
        };
        let is_settled = self.journal.as_ref().is_none_or(Keeper::is_settled);
        let is_done = (self.departure.drained)(&self.machine)
            && is_settled
            && self.gates.is_empty()
            && self.roster.is_flushed();
        is_done || self.clock.now() >= until
    }

    /// Closes every link, ends every task, and waits for the journal.
    async fn leave(mut self) -> M {
        for link in self.roster.ids() {
            self.roster.dismiss(link, CloseCode::Leaving);
        }
        self.departure.leaving.send_replace(true);
        // News is taken on so that no reader waits for the loop while it should be closing.
        let drain = async { while self.inlet.news.recv().await.is_some() {} };
        timeout(FAREWELL, async {
            tokio::select! {
                () = drain => {}
                () = self.chains.join() => {}
            }
        })
        .await
        .ok();
        self.lines.close(CloseCode::Leaving);
        self.chains.stop().await;
        self.transfers.stop().await;
        if let Some(journal) = self.journal {
            let closed = timeout(JOURNAL_FAREWELL, journal.close()).await;
            if closed.is_err() {
                tracing::warn!("leaving although the journal's disk does not answer");
            }
        }
        self.machine
    }
}

fn span(duration: Duration) -> muster_proto::Span {
    muster_proto::Span(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// Links of one process: its subordinates, as many users again as could be at work, and superiors.
const LINKS_MAX: usize = CHILDREN_MAX + 1_024;
/// When a machine without a deadline is looked after all the same; a bound for the timer, not a need.
const LONGEST_NAP: Duration = Duration::from_secs(3_600);
/// When a process that leaves looks again whether everything has been sent: writers do not tell the loop.
const LEAVING_NAP: Duration = Duration::from_millis(20);
/// When a process that leaves no longer waits for its peers.
const FAREWELL: Duration = Duration::from_millis(1_500);
/// When it then no longer waits for its disk: with a grace of 8 seconds it is gone within 10 (D2).
const JOURNAL_FAREWELL: Duration = Duration::from_millis(500);
/// How long nothing is fetched after the disk had no room for something.
const FULL_PAUSE: Duration = Duration::from_secs(1);
