//! Reading a whole journal in order, without changing it.

use std::io::Read;
use std::path::{Path, PathBuf};

use muster_proto::Lsn;

use super::error::JournalError;
use super::format::{Kind, PLATE_BYTES, Plate, manifest_path};
use super::scan::{SegmentReader, Step, Stop, Verdict, open_file};

/// What a crash left behind the last whole record: of a write that was never acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The last segment.
    pub file: PathBuf,
    /// Where the whole records end.
    pub at: u64,
    /// How much was written behind them.
    pub bytes: u64,
}

/// What a journal holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Files of records.
    pub segments: u64,
    /// Whole records.
    pub records: u64,
    /// Bytes of these, framing included.
    pub bytes: u64,
    /// The last of them; the number before the first one when there is none.
    pub last: Lsn,
    /// What opening the journal would cut.
    pub torn: Option<Torn>,
}

/// Reads all of a journal and checks every byte that matters, without the lock and without changing anything.
///
/// Of a journal in use, the batch being written may look torn, and a compaction may take a file away
/// ([`JournalError::Missing`]): try again.
///
/// # Errors
/// Whatever [`Journal::open`](super::Journal::open) would refuse it for, the lock aside.
pub fn verify(dir: &Path) -> Result<Report, JournalError> {
    let mut replay = Replay::open(dir)?;
    while replay.next()?.is_some() {}
    Ok(replay.report())
}

/// Reads the records of a journal one by one, without the lock and without changing anything; see [`verify`].
///
/// # Errors
/// When the manifest or the first segment cannot be used.
pub fn read(dir: &Path) -> Result<Records, JournalError> {
    Ok(Records {
        replay: Some(Replay::open(dir)?),
    })
}

/// The records of a journal in order; ends after the first error.
pub struct Records {
    replay: Option<Replay>,
}

impl Iterator for Records {
    type Item = Result<(Lsn, Vec<u8>), JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let replay = self.replay.as_mut()?;
        let item = replay
            .next()
            .map(|lsn| lsn.map(|lsn| (lsn, replay.payload().to_vec())))
            .transpose();
        if !matches!(item, Some(Ok(_))) {
            self.replay = None;
        }
        item
    }
}

/// A journal being read from its first record on.
pub(super) struct Replay {
    dir: PathBuf,
    pub(super) manifest: Plate,
    /// The segment being read.
    pub(super) segment: SegmentReader,
    /// The one after it; its first record is where this one's records end, whatever may follow there.
    ahead: Option<SegmentReader>,
    /// The record to be read next.
    pub(super) wanted: Lsn,
    /// Where the last batch begins, if it is in the segment being read.
    pub(super) batch_at: u64,
    /// What the last record says was durable before its batch.
    batch_after: Option<Lsn>,
    records: u64,
    bytes: u64,
    pub(super) torn: Option<Torn>,
}

impl Replay {
    pub(super) fn open(dir: &Path) -> Result<Self, JournalError> {
        let manifest = manifest(dir)?;
        let segment = SegmentReader::open(dir, manifest, 1)?;
        let mut replay = Self {
            dir: dir.into(),
            manifest,
            wanted: segment.plate.lsn,
            segment,
            ahead: None,
            batch_at: PLATE_BYTES as u64,
            batch_after: None,
            records: 0,
            bytes: 0,
            torn: None,
        };
        replay.look_ahead()?;
        Ok(replay)
    }

    /// Reads the next record into [`payload`](Self::payload); `None` at the end, torn or clean.
    pub(super) fn next(&mut self) -> Result<Option<Lsn>, JournalError> {
        while let Some(ahead) = self.ahead.take_if(|ahead| ahead.plate.lsn == self.wanted) {
            self.segment = ahead;
            (self.batch_at, self.batch_after) = (PLATE_BYTES as u64, None);
            self.look_ahead()?;
        }
        let at = self.segment.at;
        match self.segment.step()? {
            Step::Record(frame) if frame.lsn == self.wanted => {
                if self.batch_after != Some(frame.durable) {
                    (self.batch_at, self.batch_after) = (at, Some(frame.durable));
                }
                self.records += 1;
                self.bytes += frame.bytes();
                self.wanted.0 += 1;
                Ok(Some(frame.lsn))
            }
            Step::Record(frame) => Err(self.gap(at, frame.lsn)),
            Step::Stop(stop) => self.end(stop).map(|()| None),
        }
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.segment.payload
    }

    /// What was read so far.
    pub(super) fn report(&self) -> Report {
        Report {
            segments: self.segment.plate.number,
            records: self.records,
            bytes: self.bytes,
            last: Lsn(self.wanted.0 - 1),
            torn: self.torn.clone(),
        }
    }

    /// Decides whether the journal may end here.
    fn end(&mut self, stop: Stop) -> Result<(), JournalError> {
        let at = self.segment.at;
        let verdict = self.segment.judge(self.wanted)?;
        let acknowledged = match &self.ahead {
            Some(ahead) => Some(ahead.plate.lsn),
            None if self.manifest.lsn >= self.wanted => Some(Lsn(self.manifest.lsn.0 + 1)),
            None => None,
        };
        match (verdict, acknowledged) {
            (Verdict::Clean, Some(next)) => Err(self.gap(at, next)),
            (Verdict::Corrupt, _) | (Verdict::Torn(_), Some(_)) => {
                let Stop { found, wanted } = stop;
                Err(JournalError::Corrupt {
                    file: self.segment.path.clone(),
                    at,
                    lsn: self.wanted,
                    found,
                    wanted,
                })
            }
            (Verdict::Clean, None) => Ok(()),
            (Verdict::Torn(bytes), None) => {
                self.torn = Some(Torn {
                    file: self.segment.path.clone(),
                    at,
                    bytes,
                });
                Ok(())
            }
        }
    }

    fn look_ahead(&mut self) -> Result<(), JournalError> {
        let number = self.segment.plate.number;
        if number >= self.manifest.number {
            return Ok(());
        }
        self.ahead = Some(SegmentReader::open(&self.dir, self.manifest, number + 1)?);
        Ok(())
    }

    fn gap(&self, at: u64, found: Lsn) -> JournalError {
        JournalError::Gap {
            file: self.segment.path.clone(),
            at,
            found,
            wanted: self.wanted,
        }
    }
}

fn manifest(dir: &Path) -> Result<Plate, JournalError> {
    let path = manifest_path(dir);
    let mut bytes = Vec::with_capacity(PLATE_BYTES);
    open_file(&path)?
        .take(PLATE_BYTES as u64)
        .read_to_end(&mut bytes)?;
    Plate::decode(Kind::Manifest, &path, &bytes)
}
