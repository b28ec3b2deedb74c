//! Questions that are handed down the chain, and answered when the answers have come.
//!
//! A user asks a master how things stand; the master asks its foremen, and they theirs. Whoever does not answer soon is
//! left out: a view of most sites now is worth more than one of all sites later.

use std::collections::BTreeSet;

use muster_proto::limits::{INQUIRIES_MAX, INQUIRY_WAIT};
use muster_proto::machine::Deadline;
use muster_proto::{LinkId, Time};

/// Questions under way, each gathering rows of `T`.
#[derive(Debug)]
pub struct Inquiries<T> {
    open: Vec<Inquiry<T>>,
}

#[derive(Debug)]
struct Inquiry<T> {
    asked: Asked<T>,
    awaited: BTreeSet<LinkId>,
    until: Time,
}

/// A question that is to be answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked<T> {
    /// Who asked.
    pub link: LinkId,
    /// What was gathered.
    pub rows: Vec<T>,
}

impl<T> Default for Inquiries<T> {
    fn default() -> Self {
        Self { open: Vec::new() }
    }
}

impl<T> Inquiries<T> {
    /// Notes a question from `link`, on which the caller asks every link of `awaited`; with none of them, or with too
    /// many questions under way, it is to be answered at once, and the caller asks nobody.
    pub fn ask(
        &mut self,
        now: Time,
        link: LinkId,
        rows: Vec<T>,
        awaited: BTreeSet<LinkId>,
    ) -> Result<(), Asked<T>> {
        let asked = Asked { link, rows };
        if awaited.is_empty() || self.open.len() >= INQUIRIES_MAX {
            return Err(asked);
        }
        self.open.push(Inquiry {
            asked,
            awaited,
            until: now + INQUIRY_WAIT,
        });
        Ok(())
    }

    /// An answer over `link`, to the oldest question that waits for one from there: links keep the order.
    pub fn answered(&mut self, link: LinkId, rows: impl IntoIterator<Item = T>) {
        let mut open = self.open.iter_mut();
        if let Some(inquiry) = open.find(|inquiry| inquiry.awaited.contains(&link)) {
            inquiry.awaited.remove(&link);
            inquiry.asked.rows.extend(rows);
        }
    }

    /// A link is gone: it neither asks nor answers.
    pub fn link_down(&mut self, link: LinkId) {
        self.open.retain(|inquiry| inquiry.asked.link != link);
        for inquiry in &mut self.open {
            inquiry.awaited.remove(&link);
        }
    }

    /// Takes the questions that have all their answers, or have waited long enough.
    pub fn take_due(&mut self, now: Time) -> Vec<Asked<T>> {
        let is_due = |inquiry: &mut Inquiry<T>| inquiry.awaited.is_empty() || inquiry.until <= now;
        let due = self.open.extract_if(.., is_due);
        due.map(|inquiry| inquiry.asked).collect()
    }

    /// When [`Inquiries::take_due`] has something.
    pub fn deadline(&self) -> Option<Deadline> {
        let due = self.open.iter().map(|inquiry| {
            let is_answered = inquiry.awaited.is_empty();
            if is_answered { Time(0) } else { inquiry.until }
        });
        due.min().map(|at| Deadline {
            at,
            why: "a question is to be answered",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: LinkId = LinkId(1);

    fn links<const N: usize>(links: [u32; N]) -> BTreeSet<LinkId> {
        links.map(LinkId).into()
    }

    #[test]
    fn a_question_waits_for_everyone_asked_but_not_for_ever() {
        let mut inquiries = Inquiries::default();
        assert_eq!(
            inquiries.ask(Time(0), ASKER, vec![0], links([2, 3])),
            Ok(())
        );
        inquiries.answered(LinkId(2), [20]);
        assert_eq!(inquiries.take_due(Time(0)), []);
        let until = inquiries.deadline().expect("it waits").at;
        let rows = vec![0, 20];
        assert_eq!(inquiries.take_due(until), [Asked { link: ASKER, rows }]);
        assert_eq!(inquiries.deadline(), None);
    }

    #[test]
    fn answers_go_to_the_oldest_question_and_gone_links_are_not_awaited() {
        let mut inquiries = Inquiries::default();
        for _ in 0..2 {
            assert_eq!(inquiries.ask(Time(0), ASKER, vec![], links([2, 3])), Ok(()));
        }
        inquiries.answered(LinkId(2), [1]);
        inquiries.answered(LinkId(2), [2]);
        inquiries.answered(LinkId(2), [3]);
        inquiries.link_down(LinkId(3));
        let due: Vec<Vec<i32>> = inquiries
            .take_due(Time(0))
            .into_iter()
            .map(|asked| asked.rows)
            .collect();
        assert_eq!(due, [[1], [2]]);
    }

    #[test]
    fn who_has_nobody_to_ask_answers_at_once() {
        let mut inquiries = Inquiries::default();
        let at_once = inquiries.ask(Time(0), ASKER, vec![7], links([]));
        let rows = vec![7];
        assert_eq!(at_once, Err(Asked { link: ASKER, rows }));
    }
}
