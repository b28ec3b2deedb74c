//! What a master says of its tasks adds up, and leaves out none that it accepted.

use muster_proto::wire::{Frame, TaskCounts};

use crate::brain::Sight;
use crate::checkers::{Findings, Ledger};

/// Checks every answer to `Status`.
#[derive(Debug, Default)]
pub struct Conservation {
    /// How many were checked.
    pub checked: u64,
}

impl Conservation {
    pub(super) fn saw(&mut self, ledger: &Ledger, sight: &Sight<'_>, findings: &mut Findings<'_>) {
        let Sight::Left { from, frame, .. } = sight else {
            return;
        };
        let (Frame::StatusReply(reply), Some(known)) = (frame, ledger.acknowledged(*from)) else {
            return;
        };
        self.checked += 1;
        let TaskCounts {
            submitted,
            waiting,
            leased,
            accounted,
            delivered,
            undelivered,
            ..
        } = reply.tasks;
        let adds_up =
            submitted == waiting + leased + accounted && accounted == delivered + undelivered;
        if !adds_up {
            findings.add(
                "conservation",
                format!("{:?} does not add up", reply.tasks),
                Vec::new(),
            );
        }
        if submitted < known {
            let what = format!(
                "a master says {submitted} tasks were submitted, users were told of {known}"
            );
            findings.add("conservation", what, Vec::new());
        }
    }
}
