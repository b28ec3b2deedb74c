//! Which contents are on their way, from whom, and which are to be forgotten when they have come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use muster_proto::machine::FetchEnd;
use muster_proto::{Digest, LinkId};

use crate::bulk::{PACK_BYTES, PACK_FILES, SMALL_BYTES, Wanted};

/// The fetches a machine asked for and has not heard the end of; pure bookkeeping.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    queues: BTreeMap<LinkId, Queue>,
    /// Every digest on its way from anybody, links that are gone included.
    under_way: BTreeMap<Digest, UnderWay>,
    /// Contents to be removed with the next flush.
    forgotten: BTreeSet<Digest>,
    /// Links that may have something to begin.
    touched: BTreeSet<LinkId>,
}

/// The fetches of one link.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Wanted>,
    streams: usize,
    /// How often the machine waits to hear of each digest.
    open: BTreeMap<Digest, u32>,
}

/// A digest on its way.
#[derive(Debug, Default)]
struct UnderWay {
    fetches: u32,
    /// Whether it is to be removed when it has come.
    forget: bool,
}

/// Contents to be asked for on one stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) link: LinkId,
    pub(crate) wanted: Vec<Wanted>,
}

impl Fetches {
    /// The machine wants contents from the peer of `link`.
    pub(crate) fn want(&mut self, link: LinkId, wanted: Wanted) {
        let under_way = self.under_way.entry(wanted.digest).or_default();
        under_way.fetches += 1;
        under_way.forget = false;
        self.forgotten.remove(&wanted.digest);
        let queue = self.queues.entry(link).or_default();
        *queue.open.entry(wanted.digest).or_default() += 1;
        queue.waiting.push_back(wanted);
        self.touched.insert(link);
    }

    /// The machine needs contents no longer: those on their way go when they have come.
    pub(crate) fn forget(&mut self, digest: Digest) {
        match self.under_way.get_mut(&digest) {
            Some(under_way) => under_way.forget = true,
            None => {
                self.forgotten.insert(digest);
            }
        }
    }

    /// What can be begun; call until there is none.
    pub(crate) fn next_order(&mut self) -> Option<Order> {
        while let Some(link) = self.touched.first().copied() {
            if let Some(queue) = self.queues.get_mut(&link)
                && queue.streams < STREAMS_MAX
                && let Some(wanted) = queue.cut()
            {
                queue.streams += 1;
                return Some(Order { link, wanted });
            }
            self.touched.remove(&link);
        }
        None
    }

    /// An order has ended; returns what the machine is to be told, which is nothing if the link is gone.
    pub(crate) fn ended(
        &mut self,
        link: LinkId,
        ends: Vec<(Digest, FetchEnd)>,
    ) -> Vec<(Digest, FetchEnd)> {
        for (digest, _) in &ends {
            self.arrived(*digest);
        }
        let Some(queue) = self.queues.get_mut(&link) else {
            return Vec::new();
        };
        queue.streams -= 1;
        self.touched.insert(link);
        for (digest, _) in &ends {
            queue.close(digest);
        }
        ends
    }

    /// A link is gone; returns what the machine still waits for from it, once for each time it asked.
    pub(crate) fn abandon(&mut self, link: LinkId) -> Vec<Digest> {
        let Some(queue) = self.queues.remove(&link) else {
            return Vec::new();
        };
        for wanted in &queue.waiting {
            self.arrived(wanted.digest);
        }
        let again = |(digest, times): (Digest, u32)| (0..times).map(move |_| digest);
        queue.open.into_iter().flat_map(again).collect()
    }

    /// Takes what is to be removed.
    pub(crate) fn take_forgotten(&mut self) -> Vec<Digest> {
        std::mem::take(&mut self.forgotten).into_iter().collect()
    }

    /// Gives back what could not be removed yet.
    pub(crate) fn put_back(&mut self, digests: Vec<Digest>) {
        self.forgotten.extend(digests);
    }

    /// Whether something waits to be removed.
    pub(crate) fn has_forgotten(&self) -> bool {
        !self.forgotten.is_empty()
    }

    fn arrived(&mut self, digest: Digest) {
        let Some(under_way) = self.under_way.get_mut(&digest) else {
            return;
        };
        under_way.fetches -= 1;
        if under_way.fetches == 0 {
            if under_way.forget {
                self.forgotten.insert(digest);
            }
            self.under_way.remove(&digest);
        }
    }
}

impl Queue {
    /// Takes what goes on one stream: one large file, or small ones up to a pack.
    fn cut(&mut self) -> Option<Vec<Wanted>> {
        let first = self.waiting.pop_front()?;
        let mut pack = vec![first];
        if first.bytes > SMALL_BYTES {
            return Some(pack);
        }
        let mut bytes = first.bytes;
        while let Some(next) = self.waiting.front() {
            if next.bytes > SMALL_BYTES
                || bytes + next.bytes > PACK_BYTES
                || pack.len() == PACK_FILES
            {
                break;
            }
            bytes += next.bytes;
            pack.extend(self.waiting.pop_front());
        }
        Some(pack)
    }

    fn close(&mut self, digest: &Digest) {
        if let Some(times) = self.open.get_mut(digest) {
            *times -= 1;
            if *times == 0 {
                self.open.remove(digest);
            }
        }
    }
}

/// Streams under way to one peer: as many as fill a connection's window.
const STREAMS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId(7);

    fn file(n: u8, bytes: u64) -> Wanted {
        Wanted {
            digest: Digest([n; 32]),
            bytes,
        }
    }

    fn orders(fetches: &mut Fetches) -> Vec<Order> {
        std::iter::from_fn(|| fetches.next_order()).collect()
    }

    #[test]
    fn small_files_share_a_stream_and_large_ones_do_not() {
        let mut fetches = Fetches::default();
        for n in 0..3 {
            fetches.want(LINK, file(n, 10));
        }
        fetches.want(LINK, file(3, SMALL_BYTES + 1));
        fetches.want(LINK, file(4, u64::MAX));
        for n in 5..11 {
            fetches.want(LINK, file(n, SMALL_BYTES));
        }
        let sizes: Vec<usize> = orders(&mut fetches)
            .iter()
            .map(|order| order.wanted.len())
            .collect();
        assert_eq!(sizes, [3, 1, 1, 4, 2], "packs of at most 4 MiB");
    }

    #[test]
    fn eight_streams_at_a_time() {
        let mut fetches = Fetches::default();
        for n in 0..20 {
            fetches.want(LINK, file(n, SMALL_BYTES + 1));
        }
        let begun = orders(&mut fetches);
        assert_eq!(begun.len(), STREAMS_MAX);
        let digest = begun[0].wanted[0].digest;
        let told = fetches.ended(LINK, vec![(digest, FetchEnd::Held)]);
        assert_eq!(told, [(digest, FetchEnd::Held)]);
        assert_eq!(orders(&mut fetches).len(), 1);
    }

    #[test]
    fn a_lost_link_ends_each_fetch_once() {
        let mut fetches = Fetches::default();
        let twice = file(1, 10);
        fetches.want(LINK, twice);
        let begun = orders(&mut fetches);
        fetches.want(LINK, twice);
        fetches.want(LINK, file(2, 10));
        assert_eq!(
            fetches.abandon(LINK),
            [twice.digest, twice.digest, file(2, 10).digest]
        );
        let late = vec![(begun[0].wanted[0].digest, FetchEnd::Held)];
        assert_eq!(
            fetches.ended(LINK, late),
            [],
            "the machine has heard of its end"
        );
        assert!(fetches.under_way.is_empty());
    }

    #[test]
    fn forgetting_waits_for_what_is_on_its_way_and_gives_way_to_a_new_wish() {
        let mut fetches = Fetches::default();
        let wanted = file(1, 10);
        fetches.want(LINK, wanted);
        orders(&mut fetches);
        fetches.forget(wanted.digest);
        assert!(!fetches.has_forgotten());
        fetches.ended(LINK, vec![(wanted.digest, FetchEnd::Held)]);
        assert!(fetches.has_forgotten());
        fetches.want(LINK, wanted);
        assert!(
            !fetches.has_forgotten(),
            "it is wanted again before it went"
        );
        fetches.forget(wanted.digest);
        fetches.want(LINK, wanted);
        orders(&mut fetches);
        fetches.ended(
            LINK,
            vec![
                (wanted.digest, FetchEnd::Held),
                (wanted.digest, FetchEnd::Held),
            ],
        );
        assert!(!fetches.has_forgotten());
    }
}
