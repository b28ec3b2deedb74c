//! The links of one process.

use muster_proto::LinkId;

use crate::brain::ActorId;
use crate::network::{ConnId, Which};

/// A link as its process holds it.
#[derive(Debug)]
pub(super) struct Link {
    pub conn: ConnId,
    pub which: Which,
    pub peer: ActorId,
    /// Whether the subordinate has not yet said all it holds.
    pub greeting: bool,
}

/// Links by their numbers, which are never used again: what has ended keeps an empty place, for looking one up has to
/// be as dear in a world of a million as in a small one.
#[derive(Debug, Default)]
pub(super) struct Links {
    by_number: Vec<Option<Link>>,
}

impl Links {
    /// The number of the next link, the first being 1; it is that link's whether or not it is entered.
    pub fn number(&mut self) -> LinkId {
        self.by_number.push(None);
        LinkId(self.by_number.len() as u32)
    }

    /// Enters a link under its number.
    pub fn enter(&mut self, id: LinkId, link: Link) {
        if let Some(free) = self.by_number.get_mut(place(id)) {
            *free = Some(link);
        }
    }

    pub fn get(&self, id: LinkId) -> Option<&Link> {
        self.by_number.get(place(id))?.as_ref()
    }

    pub fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.by_number.get_mut(place(id))?.as_mut()
    }

    pub fn remove(&mut self, id: LinkId) {
        if let Some(link) = self.by_number.get_mut(place(id)) {
            *link = None;
        }
    }

    /// Those that stand, in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.by_number.iter().flatten()
    }
}

fn place(id: LinkId) -> usize {
    (id.0 as usize).wrapping_sub(1)
}
