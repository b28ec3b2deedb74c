//! How long news waits for company.

use muster_proto::Time;
use muster_proto::limits::{COMPANY_MIN, LINGER, LINGER_MAX};
use muster_proto::machine::Deadline;

/// A wait for company: what has gathered leaves after [`LINGER`], or after [`LINGER_MAX`] if company comes so fast that
/// the longer wait is worth it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Linger {
    /// When the first came, and when to look at it again.
    wait: Option<(Time, Time)>,
}

impl Linger {
    /// Whether `gathered` pieces of news have waited long enough; begins the wait if this is the first.
    pub fn is_over(&mut self, now: Time, gathered: usize) -> bool {
        let (since, look) = self.wait.get_or_insert((now, now + LINGER));
        if now >= *look && gathered >= COMPANY_MIN {
            *look = *since + LINGER_MAX;
        }
        now >= *look
    }

    /// Nothing waits any more.
    pub fn end(&mut self) {
        self.wait = None;
    }

    /// When it is to be asked again.
    pub fn deadline(&self) -> Option<Deadline> {
        self.wait.map(|(_, at)| Deadline {
            at,
            why: "news has waited for company",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_leave_soon_and_many_gather_for_longer() {
        let begun = Time(1_000);
        let mut few = Linger::default();
        assert!(!few.is_over(begun, 1));
        assert_eq!(
            few.deadline().map(|deadline| deadline.at),
            Some(begun + LINGER)
        );
        assert!(few.is_over(begun + LINGER, COMPANY_MIN - 1));

        let mut many = Linger::default();
        assert!(!many.is_over(begun, 1));
        assert!(!many.is_over(begun + LINGER, COMPANY_MIN));
        assert_eq!(
            many.deadline().map(|deadline| deadline.at),
            Some(begun + LINGER_MAX)
        );
        assert!(many.is_over(begun + LINGER_MAX, COMPANY_MIN));
        many.end();
        assert_eq!(many.deadline(), None);
    }
}
