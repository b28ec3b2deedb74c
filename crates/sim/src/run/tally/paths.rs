//! Kinds of actors, and what passes between them.

use crate::run::report::LinkReport;

/// Where a kind of actors stands in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) enum Level {
    Master,
    Foreman,
    /// Workers of the scenario's pool of this number.
    Worker {
        pool: usize,
    },
    User,
}

/// Kinds by number, and a count for each pair of them.
#[derive(Debug, Default)]
pub(super) struct Paths {
    kinds: Vec<(String, Level)>,
    /// What passed between two kinds, by the number of the upper one and then of the lower; kinds are made from the
    /// top down.
    pairs: Vec<LinkReport>,
}

/// Kinds of actors in one scenario; more share the last.
const KINDS_MAX: usize = 64;

impl Paths {
    pub fn class(&mut self, name: &str, level: Level) -> u16 {
        if self.kinds.len() < KINDS_MAX {
            self.kinds.push((name.to_owned(), level));
        }
        self.pairs
            .resize_with(KINDS_MAX * KINDS_MAX, LinkReport::default);
        (self.kinds.len() - 1) as u16
    }

    pub fn level(&self, class: u16) -> Level {
        self.kinds[usize::from(class)].1
    }

    /// Whether the first of two kinds stands above the second.
    pub fn is_above(&self, (upper, lower): (u16, u16)) -> bool {
        upper <= lower
    }

    pub fn message(&mut self, (from, to): (u16, u16), bytes: usize) {
        let down = from <= to;
        let pair = self.pair(from, to);
        let (messages, sum) = match down {
            true => (&mut pair.messages_down, &mut pair.bytes_down),
            false => (&mut pair.messages_up, &mut pair.bytes_up),
        };
        *messages += 1;
        *sum += bytes as u64;
    }

    pub fn file(&mut self, (from, to): (u16, u16), bytes: u64) {
        let down = from <= to;
        let pair = self.pair(from, to);
        match down {
            true => pair.files_down += bytes,
            false => pair.files_up += bytes,
        }
    }

    fn pair(&mut self, a: u16, b: u16) -> &mut LinkReport {
        &mut self.pairs[usize::from(a.min(b)) * KINDS_MAX + usize::from(a.max(b))]
    }

    /// What passed between each two kinds that spoke, users excepted; and messages and bytes of masters among it.
    pub fn reports(&self) -> (Vec<LinkReport>, (u64, u64)) {
        let (mut links, mut top) = (Vec::new(), (0, 0));
        for (upper, (upper_name, level)) in self.kinds.iter().enumerate() {
            for (lower, (lower_name, below)) in self.kinds.iter().enumerate().skip(upper) {
                let pair = &self.pairs[upper * KINDS_MAX + lower];
                let messages = pair.messages_down + pair.messages_up;
                let bytes = pair.bytes_down + pair.bytes_up + pair.files_down + pair.files_up;
                let is_silent = messages == 0 && bytes == 0;
                if is_silent || *below == Level::User || *level == Level::User {
                    continue;
                }
                if *level == Level::Master {
                    top = (top.0 + messages, top.1 + bytes);
                }
                links.push(LinkReport {
                    upper: upper_name.clone(),
                    lower: lower_name.clone(),
                    ..pair.clone()
                });
            }
        }
        (links, top)
    }
}
