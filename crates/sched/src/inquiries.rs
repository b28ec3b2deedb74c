//! Questions that are handed down the chain, and answered when the answers have come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use muster_proto::limits::{INQUIRIES_MAX, INQUIRY_ROWS_MAX, INQUIRY_WAIT};
use muster_proto::machine::Deadline;
use muster_proto::{LinkId, Time};

/// Questions of one kind, each gathering rows of `T`.
#[derive(Debug)]
pub(crate) struct Inquiries<T> {
    open: Vec<Inquiry<T>>,
    /// The questions that each link has not answered, oldest first: links keep the order. An answer that comes after
    /// its question was closed is counted off here and goes nowhere.
    unanswered: BTreeMap<LinkId, VecDeque<u64>>,
    /// Asked so far; the number of the latest.
    made: u64,
}

#[derive(Debug)]
struct Inquiry<T> {
    number: u64,
    asked: Asked<T>,
    until: Time,
}

/// A question with what is known so far.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked<T> {
    /// Who asked.
    pub link: LinkId,
    /// What was gathered.
    pub rows: Vec<T>,
    /// Who has not answered.
    pub silent: BTreeSet<LinkId>,
    /// Who was not even asked: too many questions are under way.
    pub spared: usize,
}

impl<T> Default for Inquiries<T> {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            unanswered: BTreeMap::new(),
            made: 0,
        }
    }
}

impl<T> Inquiries<T> {
    /// Notes a question from `link`; the caller hands it to every link that is returned, which are those of `below`
    /// unless too many questions are under way.
    pub fn ask(
        &mut self,
        now: Time,
        link: LinkId,
        rows: Vec<T>,
        below: BTreeSet<LinkId>,
    ) -> Vec<LinkId> {
        let everyone = below.len();
        let is_busy = |link: &LinkId| {
            let unanswered = self.unanswered.get(link);
            unanswered.is_some_and(|unanswered| unanswered.len() >= INQUIRIES_MAX)
        };
        let mut silent = below;
        silent.retain(|link| self.open.len() < INQUIRIES_MAX && !is_busy(link));
        self.made += 1;
        for link in &silent {
            self.unanswered
                .entry(*link)
                .or_default()
                .push_back(self.made);
        }
        let asked = silent.iter().copied().collect();
        self.open.push(Inquiry {
            number: self.made,
            asked: Asked {
                link,
                rows,
                spared: everyone - silent.len(),
                silent,
            },
            until: now + INQUIRY_WAIT,
        });
        asked
    }

    /// An answer over `link`, to the oldest question that it has not answered.
    pub fn answered(&mut self, link: LinkId, rows: impl IntoIterator<Item = T>) {
        let unanswered = self.unanswered.get_mut(&link);
        let question = unanswered.and_then(VecDeque::pop_front);
        if let Some(Inquiry { asked, .. }) = question.and_then(|number| self.open_mut(number)) {
            asked.silent.remove(&link);
            let room = INQUIRY_ROWS_MAX.saturating_sub(asked.rows.len());
            asked.rows.extend(rows.into_iter().take(room));
        }
    }

    /// A link is gone: it neither asks nor answers.
    pub fn link_down(&mut self, link: LinkId) {
        self.open.retain(|inquiry| inquiry.asked.link != link);
        for number in self.unanswered.remove(&link).unwrap_or_default() {
            if let Some(inquiry) = self.open_mut(number) {
                inquiry.asked.silent.remove(&link);
            }
        }
    }

    /// Takes the questions that have all their answers, or have waited long enough.
    pub fn take_due(&mut self, now: Time) -> Vec<Asked<T>> {
        let due = self.open.extract_if(.., |inquiry| inquiry.due() <= now);
        due.map(|inquiry| inquiry.asked).collect()
    }

    /// When [`Inquiries::take_due`] has something.
    pub fn deadline(&self) -> Option<Deadline> {
        self.open.iter().map(Inquiry::due).min().map(|at| Deadline {
            at,
            why: "a question is to be answered",
        })
    }

    fn open_mut(&mut self, number: u64) -> Option<&mut Inquiry<T>> {
        self.open
            .iter_mut()
            .find(|inquiry| inquiry.number == number)
    }
}

impl<T> Inquiry<T> {
    fn due(&self) -> Time {
        if self.asked.silent.is_empty() {
            Time(0)
        } else {
            self.until
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: LinkId = LinkId(1);

    fn links<const N: usize>(links: [u32; N]) -> BTreeSet<LinkId> {
        links.map(LinkId).into()
    }

    fn rows(inquiries: &mut Inquiries<i32>, now: Time) -> Vec<Vec<i32>> {
        let due = inquiries.take_due(now).into_iter();
        due.map(|asked| asked.rows).collect()
    }

    #[test]
    fn a_question_waits_for_everyone_asked_but_not_for_ever() {
        let mut inquiries = Inquiries::default();
        let asked = inquiries.ask(Time(0), ASKER, vec![0], links([2, 3]));
        assert_eq!(asked, [2, 3].map(LinkId));
        inquiries.answered(LinkId(2), [20]);
        assert_eq!(inquiries.take_due(Time(0)), []);
        let until = inquiries.deadline().expect("it waits").at;
        let told = Asked {
            link: ASKER,
            rows: vec![0, 20],
            silent: links([3]),
            spared: 0,
        };
        assert_eq!(inquiries.take_due(until), [told]);
        assert_eq!(inquiries.deadline(), None);
    }

    #[test]
    fn an_answer_goes_to_the_question_it_was_given_for() {
        let mut inquiries = Inquiries::default();
        for row in [0, 1] {
            inquiries.ask(Time(0), ASKER, vec![row], links([2, 3]));
        }
        inquiries.answered(LinkId(2), [20]);
        inquiries.answered(LinkId(2), [21]);
        inquiries.answered(LinkId(2), [22]);
        inquiries.link_down(LinkId(3));
        assert_eq!(rows(&mut inquiries, Time(0)), [[0, 20], [1, 21]]);
    }

    #[test]
    fn an_answer_that_comes_too_late_is_not_taken_for_the_next() {
        let mut inquiries = Inquiries::default();
        inquiries.ask(Time(0), ASKER, vec![0], links([2]));
        let late = Time(0) + INQUIRY_WAIT;
        assert_eq!(rows(&mut inquiries, late), [[0]]);
        inquiries.ask(late, ASKER, vec![1], links([2]));
        inquiries.answered(LinkId(2), [20]);
        assert_eq!(rows(&mut inquiries, late), [[]; 0]);
        inquiries.answered(LinkId(2), [21]);
        assert_eq!(rows(&mut inquiries, late), [[1, 21]]);
    }

    #[test]
    fn who_has_nobody_to_ask_answers_at_once() {
        let mut inquiries = Inquiries::default();
        assert_eq!(inquiries.ask(Time(0), ASKER, vec![7], links([])), []);
        assert_eq!(rows(&mut inquiries, Time(0)), [[7]]);
    }

    #[test]
    fn one_that_never_answers_is_not_asked_for_ever() {
        let mut inquiries = Inquiries::<i32>::default();
        for _ in 0..INQUIRIES_MAX {
            inquiries.ask(Time(0), ASKER, vec![], links([2]));
            inquiries.take_due(Time(0) + INQUIRY_WAIT);
        }
        assert_eq!(inquiries.ask(Time(0), ASKER, vec![], links([2])), []);
        let told = inquiries.take_due(Time(0));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].spared, 1);
    }
}
