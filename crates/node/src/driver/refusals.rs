//! Submits while the journal cannot be written: refused at once, but for those that the brain has taken before and that
//! a user says again on a new link.

use std::collections::VecDeque;

use muster_proto::Lsn;
use muster_proto::limits::SESSIONS_MAX;
use muster_proto::wire::{Frame, Refusal, Submit, Submitted};

/// Submits that were taken and are not known to be durable, with the last record behind them.
#[derive(Debug, Default)]
pub(super) struct Taken {
    submits: VecDeque<(Lsn, u64, u64)>,
}

impl Taken {
    /// The answer to a submit that cannot be taken; nothing for all that the brain may hear.
    pub(super) fn refuse(&self, frame: &Frame, is_in_trouble: bool) -> Option<Frame> {
        let submit = submit_in(frame).filter(|_| is_in_trouble)?;
        let is_taken = self.submits.iter().any(|(_, session, sequence)| {
            (*session, *sequence) == (submit.session, submit.sequence)
        });
        (!is_taken).then(|| {
            Frame::from(Submitted {
                sequence: submit.sequence,
                result: Err(Refusal::NoSpace),
            })
        })
    }

    /// The brain has heard a submit, and had recorded up to `last` then; what it records of it is behind that.
    pub(super) fn took(&mut self, submit: Option<(u64, u64)>, last: Lsn) {
        if let Some((session, sequence)) = submit {
            self.submits.push_back((Lsn(last.0 + 1), session, sequence));
        }
        // Those that the brain refused have no record to wait for.
        if self.submits.len() > SESSIONS_MAX {
            self.submits.pop_front();
        }
    }

    /// The journal is durable up to a record.
    pub(super) fn settle(&mut self, durable: Lsn) {
        while self
            .submits
            .front()
            .is_some_and(|(last, ..)| *last <= durable)
        {
            self.submits.pop_front();
        }
    }
}

/// Whose submit a frame is, if it is one: its session and its sequence.
pub(super) fn name_of(frame: &Frame) -> Option<(u64, u64)> {
    submit_in(frame).map(|submit| (submit.session, submit.sequence))
}

fn submit_in(frame: &Frame) -> Option<&Submit> {
    if let Frame::Submit(submit) = frame {
        Some(submit)
    } else {
        None
    }
}
