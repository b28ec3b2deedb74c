//! How things stand, for people: at the master, and at the foremen below it, who are asked.

use muster_proto::limits::EXPLAINED_MAX;
use muster_proto::wire::{
    Explain, Explained, LinkStatus, SiteStatus, Status, StatusReply, Subject, TaskCounts,
};
use muster_proto::{Digest, LinkId, Time};
use muster_sched::{Asked, ChildId};

use crate::recovery::Recovery;
use crate::{Effect, Master};

impl Master {
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
        let lines = vec![self.explain_file(digest)];
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

    fn explain_file(&self, digest: Digest) -> String {
        match self.book.references(digest) {
            0 => "this master: nothing that has not ended needs it".to_owned(),
            count => {
                format!("this master: {count} task(s), templates or undelivered results need it")
            }
        }
    }

    fn status(&self, sites: Vec<SiteStatus>) -> StatusReply {
        let leased = self.sched.counts().leased + self.arriving;
        let tasks = TaskCounts {
            submitted: self.book.submitted,
            waiting: self.book.open.len() as u64 - leased,
            leased,
            accounted: self.book.accounted(),
            delivered: self.book.delivered,
            undelivered: self.book.undelivered.len() as u64,
            attempts: self.attempts,
        };
        let losses = self
            .losses
            .iter()
            .map(|(loss, count)| (loss.as_str().to_owned(), *count))
            .collect();
        let notes = self.recovery.iter().map(Recovery::note).collect();
        StatusReply {
            epoch: self.book.epoch.0,
            rss_bytes: 0,
            tasks,
            losses,
            links: self.links(),
            notes,
            cache: Box::default(),
            sites,
        }
        .cut()
    }

    pub(crate) fn links(&self) -> Vec<LinkStatus> {
        let status = |(child, _, peer): (ChildId, LinkId, &muster_proto::Peer)| LinkStatus {
            peer: peer.clone(),
            is_below: true,
            slots: self.sched.slots_of(child),
            leased: self.sched.leased_of(child),
            sent_bytes: 0,
            received_bytes: 0,
            rtt_us: 0,
        };
        self.crew.here().map(status).collect()
    }
}
