//! Compaction: a fresh generation of segments takes the place of all earlier ones.
//!
//! The new segments are complete and durable before the manifest names them; the old ones go only when the manifest
//! that does not name them is durable. So at every system call one whole journal is in force.

use std::path::Path;

use muster_proto::Lsn;

use super::format::{FRAME_BYTES, Plate, seal};
use super::segment::{Tail, remove_generation, remove_leftovers, stage_manifest, switch_manifest};
use super::{Journal, JournalError};
use crate::disk;

impl Journal {
    /// Replaces all records by these, which get the next numbers, and returns the last of those.
    ///
    /// Commits what is pending first. Memory is bounded by the longest record; time by writing all of them.
    ///
    /// # Errors
    /// After any error the journal holds either all the old records or all the new ones, goes on working, and may be
    /// rewritten again.
    ///
    /// # Panics
    /// If a record is longer than [`RECORD_BYTES_MAX`](super::RECORD_BYTES_MAX).
    pub fn rewrite(&mut self, records: impl Iterator<Item = Vec<u8>>) -> Result<Lsn, JournalError> {
        self.commit()?;
        let generation = self.plate.generation + 1;
        let plate = Plate {
            salt: disk::draw()?,
            generation,
            number: 1,
            lsn: self.next,
        };
        let written = write_generation(&self.dir, plate, self.limits.segment_bytes, records);
        let staged =
            written.and_then(|fresh| stage_manifest(&self.dir, fresh.manifest()).map(|()| fresh));
        let fresh = staged.inspect_err(|_| {
            // What cannot be removed is not named by the manifest and goes with the next opening.
            let _ = remove_generation(&self.dir, generation);
        })?;
        self.plate = fresh.plate;
        self.next = fresh.next;
        self.durable = Lsn(fresh.next.0 - 1);
        self.bytes = fresh.bytes;
        // Until the switch is known to be durable nothing may be acknowledged on top of it: without a tail, the next
        // commit switches again.
        self.tail = None;
        switch_manifest(&self.dir)?;
        let manifest = fresh.manifest();
        self.tail = Some(fresh.tail);
        // As above: leftovers do no harm but take room.
        let _ = remove_leftovers(&self.dir, manifest);
        Ok(self.durable)
    }
}

/// A generation on disk that no manifest names yet.
struct Fresh {
    /// Of its last segment.
    plate: Plate,
    tail: Tail,
    next: Lsn,
    bytes: u64,
}

impl Fresh {
    fn manifest(&self) -> Plate {
        Plate {
            lsn: Lsn(self.next.0 - 1),
            ..self.plate
        }
    }
}

fn write_generation(
    dir: &Path,
    first: Plate,
    segment_bytes: u64,
    records: impl Iterator<Item = Vec<u8>>,
) -> std::io::Result<Fresh> {
    let mut fresh = Fresh {
        plate: first,
        tail: Tail::create(dir, first, segment_bytes)?,
        next: first.lsn,
        bytes: 0,
    };
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    for record in records {
        let more = (FRAME_BYTES + record.len()) as u64;
        let is_full = !fresh.tail.has_room(buffer.len() as u64, more);
        if is_full || buffer.len() >= BUFFER_BYTES {
            fresh.tail.write(&buffer)?;
            buffer.clear();
        }
        if is_full {
            fresh.tail.sync()?;
            fresh.plate = Plate {
                number: fresh.plate.number + 1,
                lsn: fresh.next,
                ..first
            };
            fresh.tail = Tail::create(dir, fresh.plate, segment_bytes)?;
        }
        // Each record counts as a batch of its own: all are durable before any reader can see one.
        seal(
            &mut buffer,
            first.salt,
            fresh.next,
            Lsn(fresh.next.0 - 1),
            &record,
        );
        fresh.next.0 += 1;
        fresh.bytes += more;
    }
    fresh.tail.write(&buffer)?;
    fresh.tail.sync()?;
    Ok(fresh)
}

/// Records written at a time.
const BUFFER_BYTES: usize = 1 << 20;
