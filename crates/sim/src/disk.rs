//! A process's journal as a disk keeps it: what was appended, how much of it an fsync has made safe.
//!
//! Records are bytes here, as on a real disk. A crash keeps everything durable and any prefix of the rest: the
//! kernel may have written more than it was asked to. A record torn in the middle is cut off by whoever reads.

use muster_proto::Lsn;

use crate::rng::Rng;

/// The records of one journal; survives its process.
#[derive(Debug, Default)]
pub struct Journal {
    records: Vec<Vec<u8>>,
    durable: usize,
    /// Durable records before those, of which only the number is left.
    counted: u64,
    /// How many records the fsync under way covers.
    flushing: Option<usize>,
    /// What a crash has left of the record after the last.
    torn: Option<Vec<u8>>,
}

impl Journal {
    /// Appends a record; it is not durable yet.
    pub fn append(&mut self, record: Vec<u8>) {
        self.records.push(record);
    }

    /// The position up to which a crash loses nothing.
    pub fn durable(&self) -> Lsn {
        Lsn(self.counted + self.durable as u64)
    }

    /// The position of the last record appended.
    pub fn appended(&self) -> Lsn {
        Lsn(self.counted + self.records.len() as u64)
    }

    /// Whether a crash would lose something.
    pub fn pending(&self) -> bool {
        self.durable < self.records.len()
    }

    /// Begins an fsync of all that was appended, unless one is under way or there is nothing to do.
    ///
    /// Returns whether it began: the caller says when it has ended.
    pub fn begin_flush(&mut self) -> bool {
        if self.flushing.is_some() || !self.pending() {
            return false;
        }
        self.flushing = Some(self.records.len());
        true
    }

    /// Ends the fsync under way and returns what it made durable.
    pub fn end_flush(&mut self) -> &[Vec<u8>] {
        let from = self.durable;
        self.durable = self.flushing.take().unwrap_or(self.durable);
        &self.records[from..self.durable]
    }

    /// Keeps of the durable records their number alone: nothing can start on this journal again.
    pub fn count_durable(&mut self) {
        self.counted += self.durable as u64;
        self.records.drain(..self.durable);
        self.flushing = self.flushing.map(|flushing| flushing - self.durable);
        self.durable = 0;
    }

    /// The process dies: any prefix of what was not durable survives, and of the record after it a part.
    pub fn crash(&mut self, rng: &mut Rng) {
        let kept = rng.below((self.records.len() - self.durable + 1) as u64) as usize;
        self.torn = self.records.get(self.durable + kept).map(|record| {
            let part = rng.below(record.len() as u64) as usize;
            record.get(..part).unwrap_or_default().to_vec()
        });
        self.records.truncate(self.durable + kept);
        self.flushing = None;
    }

    /// Takes what is left of a torn record for a record, as a reader without checksums would.
    pub fn keep_torn(&mut self) {
        self.records.extend(self.torn.take());
    }

    /// What a crash left although no fsync had made it safe, until a start reads it.
    pub fn rescued(&self) -> &[Vec<u8>] {
        &self.records[self.durable..]
    }

    /// What a process that starts reads; reading cuts the torn record off and makes the rest durable, as a start
    /// truncates and syncs.
    pub fn replay(&mut self) -> &[Vec<u8>] {
        self.torn = None;
        self.durable = self.records.len();
        &self.records
    }

    /// The durable records.
    pub fn durable_records(&self) -> &[Vec<u8>] {
        &self.records[..self.durable]
    }

    /// Every record, durable or not.
    pub fn records(&self) -> &[Vec<u8>] {
        &self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_keeps_what_is_durable_and_any_prefix_of_the_rest() {
        let mut kept = [0; 4];
        for seed in 0..200 {
            let mut journal = Journal::default();
            journal.append(vec![1]);
            assert!(journal.begin_flush());
            journal.append(vec![2]);
            assert!(!journal.begin_flush(), "one fsync at a time");
            assert_eq!(
                journal.end_flush(),
                [vec![1]],
                "the later record is not covered"
            );
            journal.append(vec![3]);
            journal.append(vec![4]);
            journal.crash(&mut Rng::new(seed));
            let records: Vec<u8> = journal.replay().concat();
            assert!(
                [1, 2, 3, 4].starts_with(&records) && !records.is_empty(),
                "{records:?}"
            );
            kept[records.len() - 1] += 1;
            assert!(!journal.pending());
        }
        assert!(
            kept.iter().all(|&n| n > 20),
            "every length of tail survives at times: {kept:?}"
        );
    }

    #[test]
    fn writes_are_grouped() {
        let mut journal = Journal::default();
        assert!(!journal.begin_flush(), "nothing to do");
        for n in 0..3 {
            journal.append(vec![n]);
        }
        assert!(journal.begin_flush());
        assert_eq!(journal.end_flush().len(), 3);
        assert_eq!(journal.durable(), Lsn(3));
    }
}
