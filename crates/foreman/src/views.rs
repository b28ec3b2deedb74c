//! How things stand, for people: here, and at the foremen below, who are asked.

use muster_proto::limits::EXPLAINED_MAX;
use muster_proto::machine::{Gate, Output};
use muster_proto::wire::{
    Explain, Explained, Frame, LinkStatus, SiteStatus, Status, StatusReply, Subject, TaskCounts,
};
use muster_proto::{Digest, LinkId, Peer, Time};
use muster_sched::Asked;

use crate::subordinates::Settling;
use crate::{Effect, Foreman};

impl Foreman {
    /// Somebody asks how things stand.
    pub(crate) fn ask_sites(&mut self, now: Time, link: LinkId, out: &mut Vec<Effect>) {
        let foremen = self.crew.foremen();
        match self.sites_asked.ask(now, link, Vec::new(), foremen.clone()) {
            Ok(()) => foremen
                .into_iter()
                .for_each(|foreman| self.send(foreman, Status {}, out)),
            Err(asked) => self.send(link, self.status(asked.rows), out),
        }
    }

    /// A foreman says how things stand there.
    pub(crate) fn site_answered(&mut self, link: LinkId, reply: StatusReply) {
        let child = self.crew.child_at(link);
        if let Some(peer) = child.and_then(|child| self.crew.peer_of(child)) {
            let own = reply.site(peer.clone());
            self.sites_asked
                .answered(link, [own].into_iter().chain(reply.sites));
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
        let foremen = self.crew.foremen();
        let lines = vec![self.cache.explain(digest)];
        match self.files_asked.ask(now, link, lines, foremen.clone()) {
            Ok(()) => {
                let subject = Subject::File(digest);
                foremen
                    .into_iter()
                    .for_each(|foreman| self.send(foreman, Explain { subject }, out));
            }
            Err(Asked { rows: lines, .. }) => self.send(link, Explained { lines }, out),
        }
    }

    /// A foreman says what it knows of contents.
    pub(crate) fn file_explained(&mut self, link: LinkId, explained: Explained) {
        let child = self.crew.child_at(link);
        if let Some(peer) = child.and_then(|child| self.crew.peer_of(child)) {
            let lines = explained.lines.into_iter();
            let lines = lines.map(|line| format!("{peer}: {line}"));
            self.files_asked.answered(link, lines.collect::<Vec<_>>());
        }
    }

    /// Answers what has all its answers from below, or has waited for them long enough.
    pub(crate) fn answer_due(&mut self, now: Time, out: &mut Vec<Effect>) {
        for Asked { link, rows } in self.sites_asked.take_due(now) {
            self.send(link, self.status(rows), out);
        }
        for Asked { link, rows } in self.files_asked.take_due(now) {
            let lines = rows.into_iter().take(EXPLAINED_MAX).collect();
            self.send(link, Explained { lines }, out);
        }
    }

    fn send(&self, link: LinkId, frame: impl Into<Frame>, out: &mut Vec<Effect>) {
        out.push(Output::Send {
            link,
            frame: frame.into(),
            gate: Gate::Now,
        });
    }

    fn status(&self, sites: Vec<SiteStatus>) -> StatusReply {
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
        let notes = self.settling.iter().map(Settling::note).collect();
        StatusReply {
            epoch: 0,
            rss_bytes: 0,
            tasks,
            losses,
            links: self.links(),
            notes,
            cache: Box::new(self.cache.status()),
            sites,
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
