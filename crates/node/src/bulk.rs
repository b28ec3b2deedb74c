//! Bulk connections: how contents move between two processes.
//!
//! A pair of processes has at most one bulk connection, opened by whoever opens their control connection; on it
//! either side asks the other. Each transfer is a stream that says one
//! [`Request`](muster_proto::wire::bulk::Request). What is asked for is asked by `fetch`, what is asked of us is
//! answered by `serve`, both leave large contents to `parts`, and everything that changes the content store goes through
//! one [`Shelf`], in order.
//!
//! A peer's lengths are claims: nothing is allocated by them, and a transfer that is longer than announced, or stands
//! still for 30 seconds, is given up. A wrong digest never becomes visible.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_proto::wire::CloseCode;
use muster_proto::{Digest, Peer};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::endpoint::{Link, Statistics};

pub(crate) mod fetch;
mod parts;
pub(crate) mod serve;
pub(crate) mod shelf;
pub(crate) mod stream;

pub use shelf::Shelf;
pub use stream::{Refused, Stop};

/// The bulk connections that stand, by who is at the other end.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    standing: Mutex<Standing>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Standing {
    by_peer: BTreeMap<Peer, (u64, Link)>,
    /// How many have ever been entered; tells a line from its successor.
    entered: u64,
}

/// A line's place among the lines; dropping it strikes the line out, unless a newer one has taken its place.
#[derive(Debug)]
pub(crate) struct Ticket {
    lines: Arc<Lines>,
    peer: Peer,
    number: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.lines.with(|standing| {
            let line = standing.by_peer.get(&self.peer);
            if line.is_some_and(|(number, _)| *number == self.number) {
                standing.by_peer.remove(&self.peer);
            }
        });
    }
}

impl Lines {
    /// Enters a new line; an older one to the same peer is closed.
    #[must_use]
    pub(crate) fn enter(self: &Arc<Self>, link: Link) -> Ticket {
        let peer = link.peer().clone();
        let (number, older) = self.with(|standing| {
            standing.entered += 1;
            let number = standing.entered;
            (
                number,
                standing.by_peer.insert(peer.clone(), (number, link)),
            )
        });
        if let Some((_, older)) = older {
            older.close(CloseCode::Superseded);
        }
        self.news.notify_waiters();
        let lines = Arc::clone(self);
        Ticket {
            lines,
            peer,
            number,
        }
    }

    /// The line to `peer`, if it stands; waits up to `patience` for one.
    pub(crate) async fn to(&self, peer: &Peer, patience: Duration) -> Option<Link> {
        let found = async {
            loop {
                // Listening begins before looking, so that a line entered in between is not missed.
                let mut news = std::pin::pin!(self.news.notified());
                news.as_mut().enable();
                if let Some(link) = self.get(peer) {
                    return link;
                }
                news.await;
            }
        };
        timeout(patience, found).await.ok()
    }

    /// What has passed over the line to `peer`, if there is one.
    pub(crate) fn statistics(&self, peer: &Peer) -> Option<Statistics> {
        self.get(peer).map(|link| link.statistics())
    }

    /// Closes every line.
    pub(crate) fn close(&self, code: CloseCode) {
        let all = self.with(|standing| std::mem::take(&mut standing.by_peer));
        for (_, link) in all.into_values() {
            link.close(code);
        }
    }

    fn get(&self, peer: &Peer) -> Option<Link> {
        let link = self.with(|standing| standing.by_peer.get(peer).map(|(_, link)| link.clone()));
        link.filter(|link| !link.is_closed())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Standing) -> T) -> T {
        // A panic cannot leave the map half changed, so a poisoned lock is as good as a sound one.
        look(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Contents that are wanted, and how long they are said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

/// Contents up to this length travel packed, are held in memory whole, and are written in one go.
pub(crate) const SMALL_BYTES: u64 = 1 << 20;
/// Bytes of one pack: what one stream's window holds twice.
pub(crate) const PACK_BYTES: u64 = 4 << 20;
/// Files of one pack.
pub(crate) const PACK_FILES: usize = 256;
/// Bytes read from or written to the disk at once.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// When a transfer that stands still is given up (X9: progress counts, not the time in all).
pub(crate) const STILL: Duration = Duration::from_secs(30);
