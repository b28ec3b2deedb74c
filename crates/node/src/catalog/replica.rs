//! The loop of one replica.
//!
//! A turn takes one piece of news and whatever else has come, up to a bound; lets the brain end the turn; begins every
//! output; and ends with one batch for the journal and one wake for each link that got frames. Like the loop of the
//! other brains it waits for nothing within a turn, except when the journal is rewritten and nothing else is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use muster_catalog::{Ask, AskId, Catalog, Halt, Input, Output, What};
use muster_proto::catalog::raft::Message;
use muster_proto::catalog::{Answer, Fault, NodeId};
use muster_proto::limits::INPUTS_PER_TURN_MAX;
use muster_proto::machine::{Gate, Machine as _, Record as _};
use muster_proto::wire::{Answered, CloseCode, Frame, Inquire, Inquiry, Raft};
use muster_proto::{Lsn, Peer, Span};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::peers::{self, Arrival, GuestId, News, Peers, Surroundings};
use crate::clock::Clock;
use crate::driver::gates::Gates;
use crate::driver::journal::Keeper;
use crate::driver::outbox::Outbox;
use crate::driver::{DriveError, JournalLost, Log};
use crate::endpoint::Listener;
use crate::identity::Credentials;
use crate::tasks::Tasks;

/// Everything a replica is given to work with.
pub struct Setup {
    /// The clock that inputs are stamped with.
    pub clock: Clock,
    /// Who this process is; a catalog.
    pub credentials: Arc<Credentials>,
    /// Where records go and the number of the next one.
    pub journal: (Box<dyn Log>, Lsn),
    /// Where replicas and clients come in.
    pub listener: Listener,
    /// Questions from within this process.
    pub desk: mpsc::Receiver<Inside>,
    /// When this is ready the replica leaves.
    pub stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// A question from within this process.
#[derive(Debug)]
pub struct Inside {
    /// How long its asker waits.
    pub wait: Span,
    /// What it is about.
    pub what: Inquiry,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}

/// Runs `catalog` until it is stopped or at its end; says why if the latter.
///
/// # Errors
/// The system gives no thread for the journal, or the journal's thread died.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn run(catalog: Catalog, setup: Setup) -> Result<Option<Halt>, DriveError> {
    Replica::start(catalog, setup)?.run().await
}

/// A replica and everything it is surrounded by.
struct Replica {
    catalog: Catalog,
    clock: Clock,
    peer: Peer,
    keeper: Keeper,
    out: Vec<Output>,
    gates: Gates<(NodeId, Message)>,
    peers: Peers,
    guests: BTreeMap<GuestId, Guest>,
    asked: BTreeMap<AskId, Asker>,
    next_ask: u64,
    /// Guests that got answers in this turn.
    touched: BTreeSet<GuestId>,
    news: mpsc::Receiver<News>,
    desk: mpsc::Receiver<Inside>,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    wants_compaction: bool,
    halt: Option<Halt>,
    is_leaving: bool,
    door: Tasks,
}

/// A client that is linked.
struct Guest {
    peer: Peer,
    outbox: Arc<Outbox>,
    /// Its questions that are under way, by its own numbers.
    asks: BTreeMap<u64, AskId>,
}

/// Whom an answer goes to.
enum Asker {
    Guest(GuestId, u64),
    Inside(oneshot::Sender<Answer>),
}

/// Why the loop woke up.
enum Woken {
    News(Box<News>),
    Inside(Inside),
    Journal,
    Due,
    Stop,
}

impl Replica {
    fn start(catalog: Catalog, setup: Setup) -> Result<Replica, DriveError> {
        let (log, next) = setup.journal;
        let (sender, news) = mpsc::channel(INPUTS_PER_TURN_MAX);
        let surroundings = Surroundings {
            news: sender,
            credentials: Arc::clone(&setup.credentials),
            own: catalog.id(),
        };
        let mut door = Tasks::new();
        door.spawn(
            "catalog door",
            peers::receive(surroundings.clone(), setup.listener),
        );
        Ok(Replica {
            keeper: Keeper::start(log, next).map_err(DriveError::Thread)?,
            catalog,
            clock: setup.clock,
            peer: setup.credentials.peer().clone(),
            out: Vec::new(),
            gates: Gates::default(),
            peers: Peers::new(surroundings),
            guests: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_ask: 1,
            touched: BTreeSet::new(),
            news,
            desk: setup.desk,
            stop: setup.stop,
            wants_compaction: false,
            halt: None,
            is_leaving: false,
            door,
        })
    }

    async fn run(mut self) -> Result<Option<Halt>, DriveError> {
        self.end_turn()?;
        while self.halt.is_none() && !self.is_leaving {
            let woken = self.wait().await?;
            self.take(woken);
            self.take_burst();
            self.end_turn()?;
            self.compact().await?;
        }
        self.leave().await;
        Ok(self.halt)
    }

    /// Waits for something to do; cancel safe in every arm.
    async fn wait(&mut self) -> Result<Woken, JournalLost> {
        let brain = self.catalog.deadline().map(|deadline| deadline.at);
        let at = brain.into_iter().chain(self.peers.deadline()).min();
        let nap = at.map_or(LONGEST_NAP, |at| self.clock.until(at).min(LONGEST_NAP));
        let is_full = self.keeper.is_full();
        Ok(tokio::select! {
            changed = self.keeper.changed() => {
                changed?;
                Woken::Journal
            }
            Some(news) = self.news.recv(), if !is_full => Woken::News(Box::new(news)),
            Some(inside) = self.desk.recv(), if !is_full => Woken::Inside(inside),
            () = &mut self.stop => Woken::Stop,
            () = sleep(nap) => Woken::Due,
        })
    }

    fn take(&mut self, woken: Woken) {
        match woken {
            Woken::News(news) => self.hear(*news),
            Woken::Inside(inside) => {
                let by = self.peer.clone();
                let asker = Asker::Inside(inside.answer);
                self.ask(asker, by, inside.wait, inside.what);
            }
            Woken::Journal => self.release(),
            Woken::Due => {}
            Woken::Stop => self.is_leaving = true,
        }
    }

    fn take_burst(&mut self) {
        for _ in 0..INPUTS_PER_TURN_MAX {
            if self.keeper.is_full() {
                return;
            }
            match self.news.try_recv() {
                Ok(news) => self.hear(news),
                Err(_) => return,
            }
        }
    }

    /// Lets the brain end its turn, and hands over what it gave.
    fn end_turn(&mut self) -> Result<(), JournalLost> {
        let now = self.clock.now();
        if self
            .catalog
            .deadline()
            .is_some_and(|deadline| deadline.at <= now)
        {
            self.handle(Input::Tick);
        }
        self.keeper.flush()?;
        for guest in std::mem::take(&mut self.touched) {
            if let Some(guest) = self.guests.get(&guest) {
                guest.outbox.flush();
            }
        }
        self.peers.flush();
        self.peers.dial_missing(now, &self.catalog);
        Ok(())
    }

    fn handle(&mut self, input: Input) {
        let mut out = std::mem::take(&mut self.out);
        self.catalog.handle(self.clock.now(), input, &mut out);
        for output in out.drain(..) {
            self.begin(output);
        }
        self.out = out;
    }

    fn begin(&mut self, output: Output) {
        match output {
            Output::Record(event) => self.keeper.record(&event),
            Output::Send {
                node,
                message,
                gate,
            } => match gate {
                Gate::Durable(lsn) if lsn > self.keeper.durable() => {
                    self.gates.hold(lsn, (node, message));
                }
                Gate::Durable(_) | Gate::Now => self.send(node, message),
            },
            Output::Answer { ask, answer } => self.answer(ask, answer),
            Output::Close { node } => self.peers.cut(node, CloseCode::WrongRole),
            Output::Compact => self.wants_compaction = true,
            Output::Halt(why) => self.halt = Some(why),
        }
    }

    fn send(&mut self, node: NodeId, message: Message) {
        self.peers.send(node, &Frame::from(Raft { message }));
    }

    /// The journal is further: the brain hears of it, then what waited for it leaves.
    fn release(&mut self) {
        let lsn = self.keeper.standing().durable;
        self.handle(Input::Durable { lsn });
        while let Some((node, message)) = self.gates.release(lsn) {
            self.send(node, message);
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Came(arrival) => self.arrive(*arrival),
            News::Said {
                node,
                link,
                message,
            } => {
                if self.peers.is(node, link) {
                    let from = node;
                    self.handle(Input::Message { from, message });
                }
            }
            News::Gone { node, link } => {
                if self.peers.leave(node, link) {
                    self.handle(Input::LinkDown { node });
                }
            }
            News::Unreached { node } => self.peers.unreached(self.clock.now(), node),
            News::Guest {
                guest,
                peer,
                outbox,
            } => {
                let asks = BTreeMap::new();
                if self.guests.len() >= GUESTS_MAX {
                    outbox.close(CloseCode::Full);
                    return;
                }
                self.guests.insert(guest, Guest { peer, outbox, asks });
            }
            News::Asked { guest, inquire } => self.asked_by(guest, inquire),
            News::Desisted { guest, ask } => {
                let ask = self
                    .guests
                    .get_mut(&guest)
                    .and_then(|g| g.asks.remove(&ask));
                self.drop_ask(ask);
            }
            News::GuestGone { guest } => {
                let asks = self.guests.remove(&guest).map(|guest| guest.asks);
                for ask in asks.into_iter().flatten() {
                    self.drop_ask(Some(ask.1));
                }
            }
        }
    }

    /// A link to a replica stands; of two between the same replicas one stays.
    fn arrive(&mut self, arrival: Arrival) {
        let (node, peer) = (arrival.node, arrival.link.peer().clone());
        match self.peers.enter(self.clock.now(), arrival) {
            peers::Entry::Refused => return,
            peers::Entry::Instead => self.handle(Input::LinkDown { node }),
            peers::Entry::New => {}
        }
        tracing::info!(%peer, node = node.0, "a replica is linked");
        self.handle(Input::LinkUp { node, peer });
    }

    fn asked_by(&mut self, id: GuestId, inquire: Inquire) {
        let Some(guest) = self.guests.get(&id) else {
            return;
        };
        if guest.asks.contains_key(&inquire.ask) {
            guest.outbox.close(CloseCode::Protocol);
            return;
        }
        if guest.asks.len() >= ASKS_PER_GUEST_MAX {
            let answer = Answer::Fault(Fault::Busy);
            return self.tell(id, inquire.ask, answer);
        }
        let by = guest.peer.clone();
        self.ask(
            Asker::Guest(id, inquire.ask),
            by,
            inquire.wait,
            inquire.what,
        );
    }

    fn ask(&mut self, asker: Asker, by: Peer, wait: Span, what: Inquiry) {
        let ask = AskId(self.next_ask);
        self.next_ask += 1;
        if let Asker::Guest(id, number) = &asker
            && let Some(guest) = self.guests.get_mut(id)
        {
            guest.asks.insert(*number, ask);
        }
        self.asked.insert(ask, asker);
        let what = match what {
            Inquiry::Command(op, command) => What::Command(op, command),
            Inquiry::Query(query, freshness) => What::Query(query, freshness),
            Inquiry::Watch(since, filter) => What::Watch(since, filter),
            Inquiry::Reshape(reshape) => What::Reshape(reshape),
        };
        self.handle(Input::Ask(Ask {
            ask,
            by,
            wait,
            what,
        }));
    }

    fn drop_ask(&mut self, ask: Option<AskId>) {
        if let Some(ask) = ask {
            self.asked.remove(&ask);
            self.handle(Input::Drop { ask });
        }
    }

    fn answer(&mut self, ask: AskId, answer: Answer) {
        match self.asked.remove(&ask) {
            Some(Asker::Guest(id, number)) => {
                if let Some(guest) = self.guests.get_mut(&id) {
                    guest.asks.remove(&number);
                }
                self.tell(id, number, answer);
            }
            // Whoever asked may have left.
            Some(Asker::Inside(asker)) => drop(asker.send(answer)),
            None => {}
        }
    }

    fn tell(&mut self, id: GuestId, ask: u64, answer: Answer) {
        if let Some(guest) = self.guests.get(&id) {
            let frame = Frame::from(Answered { ask, answer });
            if guest.outbox.push(&frame).is_err() {
                guest.outbox.close(CloseCode::Slow);
            }
            self.touched.insert(id);
        }
    }

    /// Rewrites the journal if the brain wants it and nothing is on its way to the disk.
    async fn compact(&mut self) -> Result<(), JournalLost> {
        if !self.wants_compaction || !self.keeper.is_settled() {
            return Ok(());
        }
        self.wants_compaction = false;
        let encoded = self.catalog.facts().into_iter().map(|event| {
            let mut bytes = Vec::new();
            event.encode(&mut bytes);
            bytes
        });
        if let Some(lsn) = self.keeper.rewrite(encoded.collect()).await? {
            self.handle(Input::Rewritten { lsn });
            self.release();
            self.end_turn()?;
        }
        Ok(())
    }

    /// Closes every link and waits for the journal.
    async fn leave(&mut self) {
        for guest in self.guests.values() {
            guest.outbox.close(CloseCode::Leaving);
        }
        self.peers.close();
        // What was said last may still be under way; nobody is waited for longer than this.
        let drain = async { while self.news.recv().await.is_some() {} };
        timeout(FAREWELL, drain).await.ok();
        self.door.stop().await;
        while !self.keeper.is_settled() {
            let flushed = self.keeper.flush();
            let changed = timeout(JOURNAL_FAREWELL, self.keeper.changed()).await;
            if flushed.is_err() || !matches!(changed, Ok(Ok(()))) {
                break;
            }
        }
    }
}

/// Clients that are linked at once; as many as a directory has names.
const GUESTS_MAX: usize = 16_384;
/// Questions of one client under way at once.
const ASKS_PER_GUEST_MAX: usize = 2_048;
/// When a brain without a deadline is looked after all the same.
const LONGEST_NAP: Duration = Duration::from_secs(60);
/// When peers are no longer waited for to have heard that this replica leaves.
const FAREWELL: Duration = Duration::from_millis(600);
/// When the disk is no longer waited for.
const JOURNAL_FAREWELL: Duration = Duration::from_millis(500);
