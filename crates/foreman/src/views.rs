//! How things stand, for people: here, and at the foremen below, who are asked.

use muster_proto::machine::{Gate, Output};
use muster_proto::wire::{Explain, Frame, LinkStatus, Status, StatusReply, Subject, TaskCounts};
use muster_proto::{Digest, LinkId, Peer, Time};
use muster_sched::Sites;

use crate::subordinates::Settling;
use crate::{Effect, Foreman};

impl Foreman {
    /// Somebody asks how things stand.
    pub(crate) fn ask_sites(&mut self, now: Time, link: LinkId, out: &mut Vec<Effect>) {
        for foreman in self.views.ask_sites(now, link, &self.crew) {
            self.send(foreman, Status {}, out);
        }
    }

    /// Somebody asks about contents.
    pub(crate) fn ask_about_file(
        &mut self,
        now: Time,
        link: LinkId,
        digest: Digest,
        out: &mut Vec<Effect>,
    ) {
        let own = self.cache.explain(digest);
        let subject = Subject::File(digest);
        for foreman in self.views.ask_file(now, link, own, &self.crew) {
            self.send(foreman, Explain { subject }, out);
        }
    }

    /// Answers what has all its answers from below, or has waited for them long enough.
    pub(crate) fn answer_due(&mut self, now: Time, out: &mut Vec<Effect>) {
        for (link, sites) in self.views.sites_due(now, &self.crew) {
            self.send(link, self.status(sites), out);
        }
        for (link, explained) in self.views.files_due(now, &self.crew) {
            self.send(link, explained, out);
        }
    }

    fn send(&self, link: LinkId, frame: impl Into<Frame>, out: &mut Vec<Effect>) {
        out.push(Output::Send {
            link,
            frame: frame.into(),
            gate: Gate::Now,
        });
    }

    fn status(&self, below: Sites) -> StatusReply {
        let held = self.spool.results.len() as u64;
        let leased = self.sched.counts().leased + self.arriving.len() as u64;
        let open = self.leases.len() as u64;
        let tasks = TaskCounts {
            submitted: open + held,
            waiting: open.saturating_sub(leased),
            leased,
            accounted: held,
            delivered: 0,
            undelivered: held,
            attempts: self.attempts,
        };
        let losses = self
            .losses
            .iter()
            .map(|(loss, count)| (loss.as_str().to_owned(), *count))
            .collect();
        let notes = self
            .settling
            .iter()
            .map(Settling::note)
            .chain(self.is_full.then(no_room))
            .chain(below.notes)
            .collect();
        StatusReply {
            epoch: 0,
            rss_bytes: 0,
            tasks,
            losses,
            links: self.links(),
            notes,
            cache: Box::new(self.cache.status()),
            sites: below.sites,
        }
        .cut()
    }

    fn links(&self) -> Vec<LinkStatus> {
        let status = |peer: &Peer, is_below, slots, leased| LinkStatus {
            peer: peer.clone(),
            is_below,
            slots,
            leased,
            sent_bytes: 0,
            received_bytes: 0,
            rtt_us: 0,
        };
        let above = self
            .superiors
            .iter()
            .filter(|(_, above)| above.link.is_some())
            .map(|(peer, _)| status(peer, false, 0, 0));
        let below = self.crew.here();
        let below = below.map(|(child, _, peer)| {
            status(
                peer,
                true,
                self.sched.slots_of(child),
                self.sched.leased_of(child),
            )
        });
        above.chain(below).collect()
    }
}

fn no_room() -> String {
    "the disk is full or fails: files wait where they are until there is room".to_owned()
}
