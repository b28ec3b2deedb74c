//! How things stand, for people: at the master, and at the foremen below it, who are asked.

use muster_proto::wire::{Explain, LinkStatus, Status, StatusReply, Subject, TaskCounts};
use muster_proto::{Digest, LinkId, Time};
use muster_sched::{ChildId, Sites};

use crate::recovery::Recovery;
use crate::{Effect, Master};

impl Master {
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
        let own = self.explain_file(digest);
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

    /// What is said while the disk has no room for results.
    fn no_room(&self) -> Option<String> {
        let unkept = self
            .fetches
            .values()
            .filter(|fetch| fetch.is_unkept)
            .count();
        (unkept > 0).then(|| {
            format!("the disk is full or fails: {unkept} file(s) of results wait where they are until there is room")
        })
    }

    fn explain_file(&self, digest: Digest) -> String {
        match self.book.references(digest) {
            0 => "this master: nothing that has not ended needs it".to_owned(),
            count => {
                format!("this master: {count} task(s), templates or undelivered results need it")
            }
        }
    }

    /// Tasks of one core that those linked below can run side by side. O(who is linked).
    pub fn slots(&self) -> u64 {
        let slots = |(child, ..): (ChildId, LinkId, &muster_proto::Peer)| {
            u64::from(self.sched.slots_of(child))
        };
        self.crew.here().map(slots).sum()
    }

    /// Where the tasks are. O(1).
    pub fn counts(&self) -> TaskCounts {
        let leased = self.sched.counts().leased + self.arriving;
        TaskCounts {
            submitted: self.book.submitted,
            waiting: self.book.open.len() as u64 - leased,
            leased,
            accounted: self.book.accounted(),
            delivered: self.book.delivered,
            undelivered: self.book.undelivered.len() as u64,
            attempts: self.attempts,
        }
    }

    fn status(&self, below: Sites) -> StatusReply {
        let tasks = self.counts();
        let losses = self
            .losses
            .iter()
            .map(|(loss, count)| (loss.as_str().to_owned(), *count))
            .collect();
        let notes = self
            .recovery
            .iter()
            .map(Recovery::note)
            .chain(self.no_room())
            .chain(below.notes)
            .collect();
        StatusReply {
            epoch: self.book.epoch.0,
            rss_bytes: 0,
            tasks,
            losses,
            links: self.links(),
            notes,
            cache: Box::default(),
            sites: below.sites,
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
