//! A journal: facts appended in order, durable when [`Journal::commit`] says so, read back after any crash.
//!
//! A directory of segments, each a file of framed records; a manifest names the segments that count. Masters, foremen
//! and the catalog keep theirs in this one format, byte by byte in `docs/journal.md`.
//!
//! The rules: a record is durable before anything is acknowledged; after a failed write or fsync the descriptor is
//! never used again, the batch stays in memory and goes to a fresh segment; a torn tail is cut and reported; damage
//! before it refuses the start and changes nothing.
//!
//! What a payload means, and which version of it, is its owner's business and stands inside the payload. When to
//! commit or compact is its driver's.

use std::io;
use std::path::{Path, PathBuf};

use muster_proto::Lsn;

use crate::disk;
use crate::lock::DirLock;

mod compact;
mod error;
mod format;
mod replay;
mod scan;
mod segment;

pub use error::JournalError;
pub use format::RECORD_BYTES_MAX;
pub use replay::{Records, Report, Torn, read, verify};

use format::{Name, PLATE_BYTES, Plate, manifest_path, names, seal};
use replay::Replay;
use segment::{Tail, remove_leftovers, stage_manifest, switch_manifest};

/// The bounds of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A batch that would make a segment longer goes to a fresh one; a single batch may be longer.
    pub segment_bytes: u64,
}

/// What opening a journal found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// How many records were replayed.
    pub records: u64,
    /// The last record of the journal; `Lsn(0)` when there has never been one.
    pub last: Lsn,
    /// What was cut: the end of a write that was never acknowledged.
    pub torn: Option<Torn>,
}

/// The one writer of a journal.
///
/// It promises that what [`commit`](Self::commit) has returned survives any crash; it asks that [`append`](Self::append)
/// be followed by a commit before anything depends on the record. Dropping it loses what was not committed.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    limits: Limits,
    _lock: DirLock,
    /// Of the last segment, whether or not it came to be.
    plate: Plate,
    /// `None` when no descriptor is trusted.
    tail: Option<Tail>,
    /// The frames that are not durable.
    batch: Vec<u8>,
    next: Lsn,
    durable: Lsn,
    /// Frames of the live generation.
    bytes: u64,
}

impl Journal {
    /// Opens the journal in `dir`, or makes one, and calls `each` with every record in order.
    ///
    /// Removes what interrupted writing left, and cuts a torn tail. Memory is bounded by the longest record; time is
    /// that of reading all segments. When it returns, all that was replayed is durable.
    ///
    /// # Errors
    /// [`JournalError::Locked`] for a second opener. For damage the others; `each` may then have been called with the
    /// records before it, and nothing on disk has changed.
    pub fn open(
        dir: &Path,
        limits: Limits,
        mut each: impl FnMut(Lsn, &[u8]),
    ) -> Result<(Self, Recovery), JournalError> {
        disk::make_dir(dir)?;
        let lock =
            DirLock::acquire(dir).map_err(|error| JournalError::locked(dir.into(), error))?;
        make_if_new(dir, limits)?;
        let mut replay = Replay::open(dir)?;
        while let Some(lsn) = replay.next()? {
            each(lsn, replay.payload());
        }
        let Report {
            records,
            bytes,
            last,
            torn,
            ..
        } = replay.report();
        let tail = Tail::resume(&replay, limits.segment_bytes)?;
        remove_leftovers(dir, replay.manifest)?;
        disk::sync_dir(dir)?;
        let journal = Self {
            dir: dir.into(),
            limits,
            _lock: lock,
            plate: replay.segment.plate,
            tail: Some(tail),
            batch: Vec::new(),
            next: replay.wanted,
            durable: last,
            bytes,
        };
        Ok((
            journal,
            Recovery {
                records,
                last,
                torn,
            },
        ))
    }

    /// Adds a record to the batch in memory and returns its number; no system call.
    ///
    /// # Panics
    /// If the payload is longer than [`RECORD_BYTES_MAX`].
    pub fn append(&mut self, payload: &[u8]) -> Lsn {
        let lsn = self.next;
        seal(&mut self.batch, self.plate.salt, lsn, self.durable, payload);
        self.next.0 += 1;
        lsn
    }

    /// Makes the batch durable, with one write and one `fdatasync`, and returns the last durable record.
    ///
    /// # Errors
    /// [`JournalError::Full`] or [`JournalError::Disk`]: nothing of the batch counts as durable and all of it is kept.
    /// Committing again, now or after more appends, writes it to a fresh segment, exactly once for any reader.
    pub fn commit(&mut self) -> Result<Lsn, JournalError> {
        if self.batch.is_empty() {
            return Ok(self.durable);
        }
        let bytes = self.batch.len() as u64;
        // Taken out and put back only after success: an error drops the descriptor.
        let mut tail = match self.tail.take().filter(|tail| tail.has_room(0, bytes)) {
            Some(tail) => tail,
            None => self.start_segment()?,
        };
        tail.write(&self.batch)?;
        tail.sync()?;
        self.tail = Some(tail);
        self.batch.clear();
        self.batch.shrink_to(BATCH_BYTES_KEPT);
        self.bytes += bytes;
        self.durable = Lsn(self.next.0 - 1);
        Ok(self.durable)
    }

    /// The last durable record.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Bytes of the batch that waits for a commit; the caller bounds them while the disk is in trouble.
    pub fn pending_bytes(&self) -> u64 {
        self.batch.len() as u64
    }

    /// Bytes of the durable records, framing included: when to compact.
    pub fn live_bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes a segment for the batch: the next one, or again the last one if nothing in it was acknowledged.
    fn start_segment(&mut self) -> io::Result<Tail> {
        if self.plate.lsn <= self.durable {
            self.plate.number += 1;
            self.plate.lsn = Lsn(self.durable.0 + 1);
        }
        let tail = Tail::create(&self.dir, self.plate, self.limits.segment_bytes)?;
        stage_manifest(
            &self.dir,
            Plate {
                lsn: self.durable,
                ..self.plate
            },
        )?;
        switch_manifest(&self.dir)?;
        Ok(tail)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
        }
    }
}

/// Makes the first segment and the manifest where there is no journal.
fn make_if_new(dir: &Path, limits: Limits) -> Result<(), JournalError> {
    let manifest = manifest_path(dir);
    match manifest.symlink_metadata() {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    for (path, name) in names(dir)? {
        // The making may have been interrupted before the manifest: then the first segment is all there is, and empty.
        let is_lost = match name {
            Name::Segment(1, 1) => path.metadata()?.len() > PLATE_BYTES as u64,
            Name::Segment(..) => true,
            Name::Unfinished | Name::Else => false,
        };
        if is_lost {
            return Err(JournalError::Missing { file: manifest });
        }
    }
    let plate = Plate {
        salt: disk::draw()?,
        generation: 1,
        number: 1,
        lsn: Lsn(1),
    };
    Tail::create(dir, plate, limits.segment_bytes)?;
    stage_manifest(
        dir,
        Plate {
            lsn: Lsn(0),
            ..plate
        },
    )?;
    switch_manifest(dir)?;
    Ok(())
}

/// A segment is read in 0.1 s and its room is not missed anywhere.
const SEGMENT_BYTES: u64 = 64 << 20;
/// The batch's memory that is kept for the next one: ten thousand records of 100 bytes.
const BATCH_BYTES_KEPT: usize = 1 << 20;

#[cfg(test)]
mod tests;
