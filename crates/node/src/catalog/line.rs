//! The one connection of a client to the catalog: to some replica, the leader once it is known.
//!
//! A replica that does not answer in time is left for the next. What was asked of it is given back to its askers, who
//! know what may be asked again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::catalog::{Answer, Fault};
use muster_proto::wire::{CloseCode, Desist, Frame, Inquire, Inquiry};
use muster_proto::{Peer, Role, Span, Time};
use quinn::SendStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::reach::resolve;
use crate::clock::Clock;
use crate::driver::Backoff;
use crate::driver::frames::{End, Frames, greet};
use crate::endpoint::{Kind, Link, dial};
use crate::identity::Credentials;
use crate::tasks::Tasks;

/// A question on its way.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) what: Inquiry,
    /// When its asker gives this try up.
    pub(super) until: Time,
    pub(super) tell: oneshot::Sender<Result<Answer, Lost>>,
}

/// Why a question came back without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// It was sent, and nobody knows what became of it.
    Sent,
    /// It was never sent: no replica was reached. Says why the last one was not.
    Unsent(String),
}

/// Where the catalog is and what has been asked of it.
pub(super) struct Line {
    credentials: Arc<Credentials>,
    clock: Clock,
    requests: mpsc::Receiver<Request>,
    /// The replicas as they were given.
    given: Vec<String>,
    /// Which of them was linked last.
    next: usize,
    /// Where the leader is said to be; tried before any other, once.
    hint: Vec<String>,
    /// Taken from the channel and not sent.
    unsent: Vec<Request>,
    open: BTreeMap<u64, Open>,
    number: u64,
    /// How long the next dial is waited for.
    dial: Duration,
    why: String,
}

struct Open {
    until: Time,
    tell: oneshot::Sender<Result<Answer, Lost>>,
}

/// Why a connection is left.
enum Over {
    /// The client is gone.
    Closed,
    /// It ended, or another replica is better.
    Lost,
}

impl Line {
    pub(super) fn new(
        given: Vec<String>,
        credentials: Arc<Credentials>,
        clock: Clock,
        requests: mpsc::Receiver<Request>,
    ) -> Line {
        Line {
            credentials,
            clock,
            requests,
            next: given.len() - 1,
            given,
            hint: Vec::new(),
            unsent: Vec::new(),
            open: BTreeMap::new(),
            number: 1,
            dial: DIAL_MIN,
            why: "no replica was tried yet".to_owned(),
        }
    }

    /// Keeps the connection until the client is gone. Nothing is dialled before something is asked.
    pub(super) async fn run(mut self) {
        let Some(first) = self.requests.recv().await else {
            return;
        };
        self.unsent.push(first);
        let mut backoff = Backoff::default();
        loop {
            match self.connect().await {
                Some((link, streams)) => {
                    self.dial = DIAL_MIN;
                    let begun = self.clock.now();
                    let over = self.converse(streams).await;
                    self.give_back_open();
                    link.finish(CloseCode::Done).await;
                    if let Over::Closed = over {
                        return;
                    }
                    if self.clock.now().since(begun) > STEADY {
                        backoff = Backoff::default();
                    }
                    // The leader is known: there is no reason to wait.
                    if !self.hint.is_empty() {
                        continue;
                    }
                }
                None => {
                    self.dial = (self.dial * 2).min(DIAL_MAX);
                    self.give_back_late();
                }
            }
            let pause = backoff.next().min(PAUSE_MAX);
            if self.gather(pause).await.is_none() {
                return;
            }
        }
    }

    /// Takes questions for a while; nothing when the client is gone.
    async fn gather(&mut self, pause: Duration) -> Option<()> {
        let taken = async {
            while let Some(request) = self.requests.recv().await {
                self.unsent.push(request);
            }
        };
        let is_closed = timeout(pause, taken).await.is_ok();
        self.give_back_late();
        (!is_closed).then_some(())
    }

    /// Tries the leader if it is known; else the replicas, beginning after the one that was linked last, each a moment
    /// after the one before it, and takes the first that answers.
    async fn connect(&mut self) -> Option<(Link, (SendStream, Frames))> {
        let hint = resolve(&std::mem::take(&mut self.hint)).await;
        let dials = hint
            .into_iter()
            .map(|address| (self.next, Duration::ZERO, address));
        if let Some(reached) = self.race(dials.collect()).await {
            return Some(reached);
        }
        let mut dials = Vec::new();
        for turn in 1..=self.given.len() {
            let replica = (self.next + turn) % self.given.len();
            let addresses = resolve(std::slice::from_ref(&self.given[replica])).await;
            if addresses.is_empty() {
                self.why = format!("{} is no address", self.given[replica]);
            }
            let pause = STAGGER * u32::try_from(turn - 1).unwrap_or(u32::MAX);
            dials.extend(
                addresses
                    .into_iter()
                    .map(|address| (replica, pause, address)),
            );
        }
        self.race(dials).await
    }

    /// Dials addresses, each of some replica and after some pause; the first that answers is taken.
    async fn race(
        &mut self,
        dials: Vec<(usize, Duration, SocketAddr)>,
    ) -> Option<(Link, (SendStream, Frames))> {
        let (sender, mut reached) = mpsc::channel(dials.len().max(1));
        let mut tasks = Tasks::new();
        for (replica, pause, address) in dials {
            let (sender, credentials) = (sender.clone(), Arc::clone(&self.credentials));
            let patience = self.dial;
            tasks.spawn("catalog client dial", async move {
                sleep(pause).await;
                let linked = timeout(patience, link_to(address, &credentials)).await;
                let linked = linked.unwrap_or_else(|_| Err(format!("no answer from {address}")));
                // Another address was faster if nobody receives.
                sender.send((replica, linked)).await.ok();
            });
        }
        drop(sender);
        while let Some((replica, linked)) = reached.recv().await {
            match linked {
                Ok(linked) => {
                    self.next = replica;
                    return Some(linked);
                }
                Err(why) => self.why = why,
            }
        }
        None
    }

    /// Sends questions and hands answers over, until the connection ends or another is better.
    async fn converse(&mut self, (mut sending, mut frames): (SendStream, Frames)) -> Over {
        let mut bytes = Vec::new();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for request in std::mem::take(&mut self.unsent) {
            self.begin(request, &mut bytes);
        }
        loop {
            if sending.write_all(&bytes).await.is_err() {
                return Over::Lost;
            }
            bytes.clear();
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(request) => {
                        self.begin(request, &mut bytes);
                        while bytes.len() < BURST_BYTES && let Ok(more) = self.requests.try_recv() {
                            self.begin(more, &mut bytes);
                        }
                    }
                    None => return Over::Closed,
                },
                frame = frames.next(Role::Catalog) => match frame {
                    Ok(Frame::Answered(answered)) => {
                        if !self.hear(answered.ask, answered.answer) {
                            return Over::Lost;
                        }
                    }
                    Ok(_) | Err(_) => {
                        self.why = "the connection to the catalog ended".to_owned();
                        return Over::Lost;
                    }
                },
                _ = look.tick() => {
                    if self.is_mute(&mut bytes) {
                        self.why = "a replica does not answer".to_owned();
                        return Over::Lost;
                    }
                }
            }
        }
    }

    fn begin(&mut self, request: Request, bytes: &mut Vec<u8>) {
        let Request { what, until, tell } = request;
        let ask = self.number;
        self.number += 1;
        let wait = until.since(self.clock.now());
        Frame::from(Inquire { ask, wait, what }).encode(bytes);
        self.open.insert(ask, Open { until, tell });
    }

    /// Hands an answer over; `false` if the replica is to be left, for it knows a better one or has no quorum.
    fn hear(&mut self, ask: u64, answer: Answer) -> bool {
        let is_useless = match &answer {
            Answer::Fault(Fault::NotLeader { hint }) => {
                self.hint = hint
                    .as_ref()
                    .map_or_else(Vec::new, |hint| hint.addresses.clone());
                true
            }
            Answer::Fault(Fault::NoQuorum) => true,
            Answer::Fault(_)
            | Answer::Applied(_)
            | Answer::Found(_)
            | Answer::Changes { .. }
            | Answer::Standing(_)
            | Answer::Reshaped => false,
        };
        if let Some(open) = self.open.remove(&ask) {
            // Its asker may have stopped waiting.
            open.tell.send(Ok(answer)).ok();
        }
        !is_useless
    }

    /// Whether the replica has let a question go unanswered; forgets those whose askers have gone.
    fn is_mute(&mut self, bytes: &mut Vec<u8>) -> bool {
        let gone = self.open.iter().filter(|(_, open)| open.tell.is_closed());
        for ask in gone.map(|(ask, _)| *ask).collect::<Vec<_>>() {
            self.open.remove(&ask);
            Frame::from(Desist { ask }).encode(bytes);
        }
        let now = self.clock.now();
        self.open.values().any(|open| open.until <= now)
    }

    /// What was sent on a connection that is over comes back.
    fn give_back_open(&mut self) {
        for (_, open) in std::mem::take(&mut self.open) {
            open.tell.send(Err(Lost::Sent)).ok();
        }
    }

    /// What could not be sent in time comes back.
    fn give_back_late(&mut self) {
        let now = self.clock.now();
        let (late, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unsent)
            .into_iter()
            .partition(|request| request.until <= now);
        self.unsent = waiting;
        self.unsent.retain(|request| !request.tell.is_closed());
        for request in late {
            request.tell.send(Err(Lost::Unsent(self.why.clone()))).ok();
        }
    }
}

async fn link_to(
    address: SocketAddr,
    credentials: &Credentials,
) -> Result<(Link, (SendStream, Frames)), String> {
    let dialled = dial(address, credentials, Kind::Control, &[Role::Catalog]);
    let link = dialled.await.map_err(|why| why.to_string())?;
    let streams = greet(&link, End::Dialer).await;
    let streams = streams.map_err(|why| why.to_string())?;
    Ok((link, streams))
}

/// Who answers at `address`, by its certificate.
pub(super) async fn peer_at(address: &str, credentials: &Credentials) -> Result<Peer, String> {
    let mut why = format!("{address} is no address");
    for address in resolve(&[address.to_owned()]).await {
        match link_to(address, credentials).await {
            Ok((link, _)) => {
                let peer = link.peer().clone();
                link.finish(CloseCode::Done).await;
                return Ok(peer);
            }
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// How long `patience` is on the clock of brains.
pub(super) fn span(patience: Duration) -> Span {
    Span(u64::try_from(patience.as_micros()).unwrap_or(u64::MAX))
}

/// When a replica that was dialled is given up for the next, at first: a handshake whose first packet found nobody
/// repeats it only after a second, and a replica that has just started would wait that long for its clients.
const DIAL_MIN: Duration = Duration::from_millis(300);
/// The same after some rounds of tries.
const DIAL_MAX: Duration = Duration::from_secs(3);
/// The pause before the next replica is dialled too: several times a round trip within a site.
const STAGGER: Duration = Duration::from_millis(50);
/// The longest pause between rounds of tries: what is found again should be found within two seconds.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A connection that lasted as long as this was a good one.
const STEADY: Span = Span::secs(5);
/// How often it is looked whether a question should have been answered, or its asker has gone.
const LOOK: Duration = Duration::from_millis(250);
/// Bytes of questions that are sent together.
const BURST_BYTES: usize = 64 << 10;
