//! The tasks that carry links, and greet whoever is admitted at the door.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use muster_proto::machine::{FetchEnd, Side};
use muster_proto::wire::{CloseCode, Frame};
use muster_proto::{Digest, LinkId, Role};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::frames::{Break, End, Frames, GreetError, greet};
use super::outbox::{self, Outbox};
use super::roster::Arrival;
use super::{Door, Superior};
use crate::bulk::serve::serve;
use crate::bulk::{Lines, Shelf};
use crate::endpoint::{DialError, Kind, Link, LinkRate, dial};
use crate::identity::Credentials;
use crate::tasks::Tasks;

/// What links and transfers tell the loop.
#[derive(Debug)]
pub(super) enum News {
    /// A link stands.
    Up(Box<Arrival>),
    /// A frame came.
    Frame {
        /// On which link.
        link: LinkId,
        /// What.
        frame: Frame,
    },
    /// A link is gone; nothing more comes with its number.
    Down {
        /// Which.
        link: LinkId,
    },
    /// A transfer has ended.
    Fetched {
        /// For which link.
        link: LinkId,
        /// How it ended for each of its contents.
        ends: Vec<(Digest, FetchEnd)>,
    },
}

/// What every task of a link needs.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) news: mpsc::Sender<News>,
    pub(super) lines: Arc<Lines>,
    pub(super) shelf: Shelf,
    pub(super) credentials: Arc<Credentials>,
    pub(super) links: Arc<AtomicU32>,
    /// How fast contents may cross its links to other sites.
    pub(super) rate: Option<LinkRate>,
    /// Whether the process is leaving.
    pub(super) leaving: watch::Receiver<bool>,
}

/// Greets whoever comes through the door until the process is leaving.
pub(super) async fn receive(mut chain: Chain, mut door: Door) {
    let (mut controls, mut bulks) = (Tasks::new(), Tasks::new());
    loop {
        let link = tokio::select! {
            link = door.listener.accept() => link,
            _ = chain.leaving.wait_for(|leaving| *leaving) => None,
        };
        let Some(link) = link else { break };
        let role = link.peer().role;
        let side = door.sides.iter().find(|(allowed, _)| *allowed == role);
        match (link.kind(), side) {
            (_, None) => link.close(CloseCode::WrongRole),
            (Kind::Control, Some((_, side))) => {
                let (chain, side) = (chain.clone(), *side);
                controls.spawn("link", async move {
                    let peer = link.peer().clone();
                    if let Err(why) = chain.attend(link, End::Listener, side, None).await {
                        tracing::warn!(%peer, %why, "a connection did not become a link");
                    }
                });
            }
            (Kind::Bulk, Some(_)) => {
                bulks.spawn("bulk connection", chain.clone().carry(link));
            }
        }
    }
    // Links send their last frames by themselves; what has not ended then is ended here.
    timeout(FAREWELL, controls.join()).await.ok();
    let patience = match door.listener.local_address().ip().is_loopback() {
        true => LOOPBACK_FAREWELL,
        false => DOOR_FAREWELL,
    };
    timeout(patience, door.listener.close(CloseCode::Leaving))
        .await
        .ok();
}

impl Chain {
    /// Carries one control connection from its greeting to its end.
    pub(super) async fn attend(
        &self,
        link: Link,
        end: End,
        side: Side,
        superior: Option<(&Superior, SocketAddr)>,
    ) -> Result<(), GreetError> {
        let peer = link.peer().clone();
        let (sending, frames) = greet(&link, end).await?;
        let id = LinkId(self.links.fetch_add(1, Ordering::Relaxed));
        let outbox = Arc::new(Outbox::default());
        let arrival = Arrival {
            id,
            link: link.clone(),
            side,
            outbox: Arc::clone(&outbox),
        };
        if self.news.send(News::Up(Box::new(arrival))).await.is_err() {
            return Ok(());
        }
        let mut tasks = Tasks::new();
        let (writers, writing) = (outbox, link.clone());
        tasks.spawn("link writer", async move {
            outbox::write(&writers, sending, writing).await
        });
        tokio::select! {
            () = self.read(id, frames, &link) => {}
            () = self.keep_bulk(&link, superior) => {}
        }
        if self.news.send(News::Down { link: id }).await.is_err() {
            return Ok(());
        }
        // The peer ends its stream before its connection, and our last frames may still be under way to it.
        if timeout(FAREWELL, link.closed()).await.is_err() {
            link.close(CloseCode::Done);
        }
        let why = link.closed().await;
        tracing::info!(%peer, %why, "a link has ended");
        if end == End::Dialer && *self.leaving.borrow() {
            timeout(FAREWELL, link.finish(CloseCode::Leaving))
                .await
                .ok();
        }
        Ok(())
    }

    /// Tells the loop what the peer sends until it ends or breaks the rules.
    async fn read(&self, id: LinkId, mut frames: Frames, link: &Link) {
        let peer = link.peer();
        loop {
            match frames.next(peer.role).await {
                Ok(Frame::Hello(_)) => {
                    tracing::warn!(%peer, "closing a link: it was greeted already");
                    link.close(CloseCode::Protocol);
                    return;
                }
                Ok(frame) => {
                    if self
                        .news
                        .send(News::Frame { link: id, frame })
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                Err(Break::Over) => return,
                Err(why @ (Break::Wire(_) | Break::Denied { .. })) => {
                    tracing::warn!(%peer, %why, "closing a link");
                    link.close(CloseCode::Protocol);
                    return;
                }
            }
        }
    }

    /// Keeps a bulk connection beside a link that this process dialled; does nothing, for ever, beside any other.
    async fn keep_bulk(&self, control: &Link, superior: Option<(&Superior, SocketAddr)>) {
        let Some((superior, address)) = superior else {
            return std::future::pending().await;
        };
        let mut backoff = Backoff::default();
        loop {
            match backoff
                .dial(address, &self.credentials, Kind::Bulk, &superior.roles)
                .await
            {
                Ok(link) if link.peer() == control.peer() => {
                    self.clone().carry(link).await;
                    backoff = Backoff::default();
                }
                Ok(link) => link.close(CloseCode::Done),
                Err(why) => tracing::debug!(peer = %control.peer(), %why, "no bulk connection yet"),
            }
            sleep(backoff.next()).await;
        }
    }

    /// Carries one bulk connection to its end.
    async fn carry(self, link: Link) {
        let link = match self.rate.filter(|_| self.leads_away(&link)) {
            Some(rate) => link.limited(rate),
            None => link,
        };
        let _ticket = match link.peer().role {
            // Nothing is ever fetched from a user, and several commands of one may be at work.
            Role::User => None,
            Role::Master | Role::Foreman | Role::Worker | Role::Catalog => {
                Some(self.lines.enter(link.clone()))
            }
        };
        serve(link, self.shelf).await;
    }

    /// Whether a link has a limit: not those within a site, from a foreman to its workers, nor those of users.
    fn leads_away(&self, link: &Link) -> bool {
        match (self.credentials.peer().role, link.peer().role) {
            (_, Role::User) | (Role::Foreman, Role::Worker) => false,
            (_, Role::Master | Role::Foreman | Role::Worker | Role::Catalog) => true,
        }
    }
}

/// How long to wait before the next try: twice as long after each, up to a limit, and never in step with others.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { next: BACKOFF_MIN }
    }
}

impl Backoff {
    /// Dials, and gives up early while tries are young: a handshake whose first packet found nobody repeats it only
    /// after a second, and a superior that has just started would wait that long for its subordinates.
    pub(crate) async fn dial(
        &self,
        address: SocketAddr,
        credentials: &Credentials,
        kind: Kind,
        roles: &[Role],
    ) -> Result<Link, DialError> {
        let dialed = timeout(
            self.next * DIAL_STEPS,
            dial(address, credentials, kind, roles),
        );
        dialed.await.unwrap_or(Err(DialError::NoAnswer { address }))
    }

    /// The next wait: between half of the step and the whole.
    pub(crate) fn next(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(BACKOFF_MAX);
        // The standard library seeds this state from the system's generator.
        let draw = u32::try_from(RandomState::new().hash_one(0) % 1_000).unwrap_or(0);
        step / 2 + step * draw / 2_000
    }
}

/// The first wait: longer than a process needs to start again.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// How many steps a handshake may take: half a second at first, its whole ten seconds after some tries.
const DIAL_STEPS: u32 = 5;
/// The longest wait: a superior that is back has its subordinates within two seconds.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// When a connection whose peer has ended its stream is closed here, and links are no longer waited for in leaving.
const FAREWELL: Duration = Duration::from_millis(600);
/// When peers are no longer waited for to have heard that the door is closed; the address is free again then.
const DOOR_FAREWELL: Duration = Duration::from_millis(900);
/// The same where no packet is lost on its way: peers need to hear it once.
const LOOPBACK_FAREWELL: Duration = Duration::from_millis(20);
