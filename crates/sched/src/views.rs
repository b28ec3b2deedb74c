//! How things stand, for people: what they ask of a master or foreman, and it of the foremen below.
//!
//! A user asks a master; the master asks its foremen, and they theirs. Whoever does not answer soon is left out and
//! named: a view of most sites now is worth more than one of all sites later.

use muster_proto::machine::Deadline;
use muster_proto::wire::{Explained, SiteStatus, StatusReply};
use muster_proto::{LinkId, Time};

use crate::Crew;
use crate::inquiries::{Asked, Inquiries};

/// Foremen that one note names before it only counts.
const NAMED_MAX: usize = 4;

/// Questions about the sites and about contents.
#[derive(Debug, Default)]
pub struct Views {
    sites: Inquiries<SiteStatus>,
    files: Inquiries<String>,
}

/// A question that is to be answered.
#[derive(Debug)]
pub struct Answer<T> {
    /// Who asked.
    pub link: LinkId,
    /// What was gathered.
    pub rows: Vec<T>,
    /// Who is missing from it, in a sentence.
    pub missing: Option<String>,
}

impl Views {
    /// Somebody asks how things stand; the foremen that are to be asked it.
    pub fn ask_sites(&mut self, now: Time, link: LinkId, crew: &Crew) -> Vec<LinkId> {
        self.sites.ask(now, link, Vec::new(), crew.foremen())
    }

    /// Somebody asks about contents of which `own` is known here; the foremen that are to be asked it.
    pub fn ask_file(&mut self, now: Time, link: LinkId, own: String, crew: &Crew) -> Vec<LinkId> {
        self.files.ask(now, link, vec![own], crew.foremen())
    }

    /// A foreman says how things stand there.
    pub fn site(&mut self, link: LinkId, reply: StatusReply, crew: &Crew) {
        let child = crew.child_at(link);
        if let Some(peer) = child.and_then(|child| crew.peer_of(child)) {
            let own = reply.site(peer.clone());
            let below = reply.sites.into_iter();
            self.sites.answered(link, [own].into_iter().chain(below));
        }
    }

    /// A foreman says what it knows of contents.
    pub fn file(&mut self, link: LinkId, explained: Explained, crew: &Crew) {
        let child = crew.child_at(link);
        if let Some(peer) = child.and_then(|child| crew.peer_of(child)) {
            let lines = explained.lines.into_iter();
            let lines = lines.map(|line| format!("{peer}: {line}"));
            self.files.answered(link, lines);
        }
    }

    /// A link is gone.
    pub fn link_down(&mut self, link: LinkId) {
        self.sites.link_down(link);
        self.files.link_down(link);
    }

    /// Takes the questions about sites that are to be answered now.
    pub fn sites_due(&mut self, now: Time, crew: &Crew) -> Vec<Answer<SiteStatus>> {
        let due = self.sites.take_due(now).into_iter();
        due.map(|asked| Answer::of(asked, crew)).collect()
    }

    /// Takes the questions about contents that are to be answered now, as they are to be answered.
    pub fn files_due(&mut self, now: Time, crew: &Crew) -> Vec<(LinkId, Explained)> {
        let due = self.files.take_due(now).into_iter();
        let answers = due.map(|asked| Answer::of(asked, crew));
        answers
            .map(|answer| {
                let missing = answer.missing.into_iter().collect();
                (answer.link, Explained::cut(answer.rows, missing))
            })
            .collect()
    }

    /// When something is to be answered.
    pub fn deadline(&self) -> Option<Deadline> {
        let deadlines = [self.sites.deadline(), self.files.deadline()];
        deadlines.into_iter().flatten().min()
    }
}

impl<T> Answer<T> {
    fn of(asked: Asked<T>, crew: &Crew) -> Self {
        let count = asked.silent.len() + asked.spared;
        let silent = asked.silent.iter().filter_map(|link| crew.child_at(*link));
        let named: Vec<String> = silent
            .filter_map(|child| crew.peer_of(child))
            .take(NAMED_MAX)
            .map(ToString::to_string)
            .collect();
        let others = match (named.len(), count - named.len()) {
            (_, 0) => String::new(),
            (0, more) => format!("{more} foremen"),
            (_, more) => format!(" and {more} more"),
        };
        Self {
            link: asked.link,
            rows: asked.rows,
            missing: (count > 0).then(|| format!("no answer from {}{others}", named.join(", "))),
        }
    }
}
