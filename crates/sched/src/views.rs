//! How things stand, for people: what they ask of a master or foreman, and it of the foremen below.
//!
//! A user asks a master; the master asks its foremen, and they theirs. Whoever does not answer soon is left out and
//! named: a view of most sites now is worth more than one of all sites later.

use muster_proto::limits::{NOTES_MAX, NOTES_PER_SITE_MAX};
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
    sites: Inquiries<Told>,
    files: Inquiries<String>,
}

/// What a foreman tells of its site and of those below.
#[derive(Debug)]
enum Told {
    Site(SiteStatus),
    Note(String),
}

/// How the sites stand, for whoever asked.
#[derive(Debug, Default)]
pub struct Sites {
    /// Each of them.
    pub sites: Vec<SiteStatus>,
    /// What people should know of them, and who has not answered, in sentences.
    pub notes: Vec<String>,
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
            let notes = reply.notes.into_iter().take(NOTES_PER_SITE_MAX);
            let notes = notes.map(|note| Told::Note(Explained::line(format!("{peer}: {note}"))));
            let below = reply.sites.into_iter().map(Told::Site);
            let told = [Told::Site(own)].into_iter().chain(notes).chain(below);
            self.sites.answered(link, told);
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
    pub fn sites_due(&mut self, now: Time, crew: &Crew) -> Vec<(LinkId, Sites)> {
        let due = self.sites.take_due(now).into_iter();
        due.map(|asked| {
            let missing = missing(&asked, crew);
            let mut told = Sites::default();
            for row in asked.rows {
                match row {
                    Told::Site(site) => told.sites.push(site),
                    Told::Note(note) => told.notes.push(note),
                }
            }
            let more = told.notes.len().saturating_sub(NOTES_MAX);
            told.notes.truncate(NOTES_MAX);
            told.notes
                .extend((more > 0).then(|| format!("{more} more note(s) of sites")));
            told.notes.extend(missing);
            (asked.link, told)
        })
        .collect()
    }

    /// Takes the questions about contents that are to be answered now, as they are to be answered.
    pub fn files_due(&mut self, now: Time, crew: &Crew) -> Vec<(LinkId, Explained)> {
        let due = self.files.take_due(now).into_iter();
        due.map(|asked| {
            let missing = missing(&asked, crew).into_iter().collect();
            (asked.link, Explained::cut(asked.rows, missing))
        })
        .collect()
    }

    /// When something is to be answered.
    pub fn deadline(&self) -> Option<Deadline> {
        let deadlines = [self.sites.deadline(), self.files.deadline()];
        deadlines.into_iter().flatten().min()
    }
}

/// Who is missing from what was gathered, in a sentence.
fn missing<T>(asked: &Asked<T>, crew: &Crew) -> Option<String> {
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
    (count > 0).then(|| format!("no answer from {}{others}", named.join(", ")))
}
