//! Links of a replica: to the other replicas, which it dials and is dialled by, and of clients.
//!
//! Of two links between the same replicas one stays: the one that the replica with the lower number dialled, unless
//! the other is much younger, for then its dialler has lost the older.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use muster_catalog::Catalog;
use muster_proto::catalog::raft::Message;
use muster_proto::catalog::{Member, NodeId};
use muster_proto::wire::{CloseCode, Desist, Frame, Inquire, Replica};
use muster_proto::{Peer, Role, Span, Time};
use quinn::SendStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::reach::resolve;
use crate::driver::Backoff;
use crate::driver::frames::{End, Frames, greet};
use crate::driver::outbox::{self, Outbox};
use crate::endpoint::{Kind, Link, Listener};
use crate::identity::Credentials;
use crate::tasks::Tasks;

/// A client's link, numbered in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GuestId(u64);

/// A link to a replica, numbered in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PeerLink(u64);

/// What links tell the loop.
#[derive(Debug)]
pub(super) enum News {
    /// A link to a replica stands.
    Came(Box<Arrival>),
    /// A replica says something.
    Said {
        node: NodeId,
        link: PeerLink,
        message: Message,
    },
    /// A link to a replica is gone.
    Gone { node: NodeId, link: PeerLink },
    /// A replica could not be dialled.
    Unreached { node: NodeId },
    /// A client is there.
    Guest {
        guest: GuestId,
        peer: Peer,
        outbox: Arc<Outbox>,
    },
    /// A client wants something.
    Asked { guest: GuestId, inquire: Inquire },
    /// A client no longer waits.
    Desisted { guest: GuestId, ask: u64 },
    /// A client is gone.
    GuestGone { guest: GuestId },
}

/// A link to a replica that waits to be told to the brain.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) node: NodeId,
    pub(super) link: Link,
    number: PeerLink,
    outbox: Arc<Outbox>,
    is_dialled: bool,
}

/// What every task of a link needs.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) news: mpsc::Sender<News>,
    pub(super) credentials: Arc<Credentials>,
    pub(super) own: NodeId,
}

/// What became of an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// There was no link.
    New,
    /// It took the place of another.
    Instead,
    /// The other stays.
    Refused,
}

/// The replicas that are linked, and those that are to be.
#[derive(Debug)]
pub(super) struct Peers {
    around: Surroundings,
    linked: BTreeMap<NodeId, Linked>,
    touched: BTreeSet<NodeId>,
    dials: BTreeMap<NodeId, Dial>,
    tasks: Tasks,
}

#[derive(Debug)]
struct Linked {
    arrival: Arrival,
    since: Time,
}

/// A replica that is dialled as long as it is not linked.
#[derive(Debug)]
struct Dial {
    at: Time,
    backoff: Backoff,
    is_busy: bool,
}

impl Peers {
    pub(super) fn new(around: Surroundings) -> Peers {
        Peers {
            around,
            linked: BTreeMap::new(),
            touched: BTreeSet::new(),
            dials: BTreeMap::new(),
            tasks: Tasks::new(),
        }
    }

    /// When the next replica is to be dialled.
    pub(super) fn deadline(&self) -> Option<Time> {
        let waiting = self.dials.values().filter(|dial| !dial.is_busy);
        waiting.map(|dial| dial.at).min()
    }

    /// Dials the members that are not linked, each when its time has come.
    pub(super) fn dial_missing(&mut self, now: Time, catalog: &Catalog) {
        let membership = catalog.membership();
        let wanted = [
            &membership.voters,
            &membership.outgoing,
            &membership.learners,
        ];
        let wanted = || wanted.into_iter().flatten();
        let is_missing =
            |node: &NodeId| *node != self.around.own && !self.linked.contains_key(node);
        self.dials
            .retain(|node, dial| dial.is_busy || is_missing(node) && wanted().any(|w| w == node));
        for node in wanted().filter(|node| is_missing(node)) {
            let dial = self.dials.entry(*node).or_insert_with(|| Dial {
                at: now,
                backoff: Backoff::default(),
                is_busy: false,
            });
            if dial.is_busy || dial.at > now {
                continue;
            }
            if let Some(member) = catalog.member(*node) {
                dial.is_busy = true;
                let task = call(self.around.clone(), member.clone(), dial.backoff.clone());
                self.tasks.spawn("catalog dial", task);
            }
        }
    }

    /// A dialled replica was not reached.
    pub(super) fn unreached(&mut self, now: Time, node: NodeId) {
        if let Some(dial) = self.dials.get_mut(&node) {
            dial.is_busy = false;
            let pause = dial.backoff.next().min(PAUSE_MAX);
            dial.at = now + Span(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// Takes a link, unless there is a better one.
    pub(super) fn enter(&mut self, now: Time, arrival: Arrival) -> Entry {
        let node = arrival.node;
        if arrival.is_dialled {
            self.dials.remove(&node);
        }
        let is_preferred = |arrival: &Arrival| arrival.is_dialled == (self.around.own < node);
        let older = self.linked.get(&node);
        if let Some(older) = older
            && is_preferred(&older.arrival)
            && !is_preferred(&arrival)
            && now.since(older.since) < RACE
        {
            arrival.link.close(CloseCode::Superseded);
            return Entry::Refused;
        }
        let since = now;
        match self.linked.insert(node, Linked { arrival, since }) {
            Some(older) => {
                older.arrival.link.close(CloseCode::Superseded);
                Entry::Instead
            }
            None => Entry::New,
        }
    }

    /// Whether this is the link to a replica that counts.
    pub(super) fn is(&self, node: NodeId, link: PeerLink) -> bool {
        let linked = self.linked.get(&node);
        linked.is_some_and(|linked| linked.arrival.number == link)
    }

    /// Strikes out a link; `false` if it did not count any more.
    pub(super) fn leave(&mut self, node: NodeId, link: PeerLink) -> bool {
        self.is(node, link) && self.linked.remove(&node).is_some()
    }

    /// Closes a link; its end comes back as news.
    pub(super) fn cut(&self, node: NodeId, code: CloseCode) {
        if let Some(linked) = self.linked.get(&node) {
            linked.arrival.link.close(code);
        }
    }

    /// Queues a frame; a replica that is not linked gets nothing, and hears it all again by and by.
    pub(super) fn send(&mut self, node: NodeId, frame: &Frame) {
        if let Some(linked) = self.linked.get(&node) {
            if linked.arrival.outbox.push(frame).is_err() {
                linked.arrival.link.close(CloseCode::Slow);
            }
            self.touched.insert(node);
        }
    }

    /// Wakes the writer of every link that got frames.
    pub(super) fn flush(&mut self) {
        for node in std::mem::take(&mut self.touched) {
            if let Some(linked) = self.linked.get(&node) {
                linked.arrival.outbox.flush();
            }
        }
    }

    /// Says goodbye to all.
    pub(super) fn close(&mut self) {
        for linked in self.linked.values() {
            linked.arrival.outbox.close(CloseCode::Leaving);
        }
    }
}

/// Dials one replica at each of its addresses, and carries the link to its end.
async fn call(around: Surroundings, member: Member, backoff: Backoff) {
    let node = member.node;
    let mut reached = None;
    for address in resolve(&member.addresses).await {
        let roles = [Role::Catalog];
        let dialled = backoff.dial(address, &around.credentials, Kind::Control, &roles);
        match dialled.await {
            Ok(link) if *link.peer() == member.peer => {
                if let Some(streams) = introduce(&around, &link, node).await {
                    reached = Some((link, streams));
                    break;
                }
                link.close(CloseCode::Done);
            }
            Ok(link) => {
                tracing::warn!(%address, peer = %link.peer(), wanted = %member.peer, "another replica answers there");
                link.close(CloseCode::Done);
            }
            Err(why) => tracing::debug!(%address, %why, "a replica is not reached"),
        }
    }
    match reached {
        Some((link, (sending, frames))) => {
            let streams = (sending, frames);
            around.carry(node, link, streams, true).await;
        }
        // The loop is gone if nobody receives.
        None => drop(around.news.send(News::Unreached { node }).await),
    }
}

/// The dialler's side of the greeting between replicas.
async fn introduce(
    around: &Surroundings,
    link: &Link,
    node: NodeId,
) -> Option<(SendStream, Frames)> {
    let greeted = async {
        let (mut sending, mut frames) = greet(link, End::Dialer).await.ok()?;
        say_who(&mut sending, around.own, node).await?;
        match frames.next(Role::Catalog).await {
            Ok(Frame::Replica(replica)) if replica.from == node => Some((sending, frames)),
            Ok(_) | Err(_) => None,
        }
    };
    timeout(INTRODUCTION, greeted).await.ok().flatten()
}

async fn say_who(sending: &mut SendStream, from: NodeId, to: NodeId) -> Option<()> {
    let mut bytes = Vec::new();
    Frame::from(Replica { from, to }).encode(&mut bytes);
    sending.write_all(&bytes).await.ok()
}

/// Receives replicas and clients until the replica leaves.
pub(super) async fn receive(around: Surroundings, mut listener: Listener) {
    let mut guests = Tasks::new();
    while let Some(link) = listener.accept().await {
        if link.kind() == Kind::Bulk {
            link.close(CloseCode::Protocol);
            continue;
        }
        guests.spawn("catalog link", around.clone().welcome(link));
    }
}

impl Surroundings {
    /// The listener's side: the first frame says who it is.
    async fn welcome(self, link: Link) {
        let Ok((mut sending, mut frames)) = greet(&link, End::Listener).await else {
            return;
        };
        let role = link.peer().role;
        let Ok(Ok(first)) = timeout(INTRODUCTION, frames.next(role)).await else {
            link.close(CloseCode::Protocol);
            return;
        };
        if let Frame::Replica(replica) = first {
            let said = say_who(&mut sending, self.own, replica.from).await;
            // Whoever means the storage that was here before has no business with this one.
            if said.is_some() && replica.to == self.own {
                self.carry(replica.from, link, (sending, frames), false)
                    .await;
            } else {
                timeout(LAST_WORDS, link.closed()).await.ok();
            }
        } else {
            self.attend(link, (sending, frames), first).await;
        }
    }

    /// Carries a link to a replica to its end.
    async fn carry(
        self,
        node: NodeId,
        link: Link,
        (sending, mut frames): (SendStream, Frames),
        is_dialled: bool,
    ) {
        let number = PeerLink(next_number());
        let outbox = Arc::new(Outbox::default());
        let mut tasks = Tasks::new();
        let (writer, writing) = (Arc::clone(&outbox), link.clone());
        tasks.spawn("catalog writer", async move {
            outbox::write(&writer, sending, writing).await;
        });
        let arrival = Arrival {
            node,
            link: link.clone(),
            number,
            outbox,
            is_dialled,
        };
        if self.news.send(News::Came(Box::new(arrival))).await.is_err() {
            return;
        }
        while let Ok(frame) = frames.next(Role::Catalog).await {
            let Frame::Raft(said) = frame else {
                break;
            };
            let message = said.message;
            let news = News::Said {
                node,
                link: number,
                message,
            };
            if self.news.send(news).await.is_err() {
                return;
            }
        }
        link.close(CloseCode::Done);
        let gone = News::Gone { node, link: number };
        self.news.send(gone).await.ok();
    }

    /// Carries the link of a client to its end.
    async fn attend(self, link: Link, (sending, mut frames): (SendStream, Frames), first: Frame) {
        let guest = GuestId(next_number());
        let outbox = Arc::new(Outbox::default());
        let mut tasks = Tasks::new();
        let (writer, writing) = (Arc::clone(&outbox), link.clone());
        tasks.spawn("catalog writer", async move {
            outbox::write(&writer, sending, writing).await;
        });
        let peer = link.peer().clone();
        let role = peer.role;
        let came = News::Guest {
            guest,
            peer,
            outbox,
        };
        if self.news.send(came).await.is_err() {
            return;
        }
        let mut next = Ok(first);
        while let Ok(frame) = next {
            let news = if let Frame::Inquire(inquire) = frame {
                News::Asked { guest, inquire }
            } else if let Frame::Desist(Desist { ask }) = frame {
                News::Desisted { guest, ask }
            } else {
                tracing::warn!(peer = %link.peer(), "closing a link: that is no question");
                link.close(CloseCode::Protocol);
                break;
            };
            if self.news.send(news).await.is_err() {
                return;
            }
            next = frames.next(role).await;
        }
        self.news.send(News::GuestGone { guest }).await.ok();
        // The peer ends its stream first; answers may still be under way to it.
        timeout(LAST_WORDS, link.closed()).await.ok();
    }
}

/// Numbers links of this process.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Two links between the same replicas that are no further apart than this have crossed.
const RACE: Span = Span::secs(2);
/// When a replica that has shaken hands but not said who it is is sent away.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// The longest pause between tries to reach a replica: what is back must vote soon (C2).
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// When a client that has ended its stream is no longer waited for to close.
const LAST_WORDS: Duration = Duration::from_millis(500);
