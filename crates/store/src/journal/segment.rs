//! Writing segments and the manifest.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::format::{
    Kind, Name, PLATE_BYTES, Plate, manifest_path, names, segment_path, unfinished,
};
use super::replay::Replay;
use super::scan::SegmentReader;
use crate::disk;

/// The end of a segment, where records are appended through a descriptor that has never failed.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    /// Where the next frame goes.
    at: u64,
    /// How far the file is allocated, or cannot be.
    reserved: u64,
    /// Where the segment is full.
    segment_bytes: u64,
}

impl Tail {
    /// Makes the segment of `plate`, durable and empty, replacing one of that number.
    pub(super) fn create(dir: &Path, plate: Plate, segment_bytes: u64) -> io::Result<Self> {
        let path = segment_path(dir, plate.generation, plate.number);
        let file = stage(&path, &plate.encode(Kind::Segment))?;
        disk::rename(&unfinished(&path), &path)?;
        disk::sync_dir(dir)?;
        Ok(Self {
            file,
            at: PLATE_BYTES as u64,
            reserved: PLATE_BYTES as u64,
            segment_bytes,
        })
    }

    /// Takes up the segment that `replay` has ended in, cuts it behind the whole records, and makes it durable.
    ///
    /// The last batch is written once more: an earlier process may have seen its fsync fail, after which the kernel
    /// takes pages for clean that never reached the disk.
    pub(super) fn resume(replay: &Replay, segment_bytes: u64) -> io::Result<Self> {
        let SegmentReader { path, at, .. } = &replay.segment;
        let (mut from, at) = (replay.batch_at, *at);
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if replay.torn.is_some() {
            disk::set_len(&file, at)?;
        }
        let mut piece = vec![0; PIECE_BYTES];
        while from < at {
            let count = PIECE_BYTES.min((at - from) as usize);
            file.read_exact_at(&mut piece[..count], from)?;
            disk::write_at(&file, &piece[..count], from)?;
            from += count as u64;
        }
        disk::sync_all(&file)?;
        Ok(Self {
            file,
            at,
            reserved: at,
            segment_bytes,
        })
    }

    /// Whether `more` bytes go here after `pending` ones that are not written yet; an empty segment takes any.
    pub(super) fn has_room(&self, pending: u64, more: u64) -> bool {
        let end = self.at + pending;
        end == PLATE_BYTES as u64 || end + more <= self.segment_bytes
    }

    /// Writes at the end; after an error the tail must be given up.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.at + bytes.len() as u64;
        if end > self.reserved {
            let left = self.segment_bytes.saturating_sub(self.reserved);
            let more = RESERVE_BYTES.min(left).max(end - self.reserved);
            disk::reserve(&self.file, self.reserved, more);
            self.reserved += more;
        }
        disk::write_at(&self.file, bytes, self.at)?;
        self.at = end;
        Ok(())
    }

    /// Makes what was written durable; after an error the tail must be given up.
    pub(super) fn sync(&self) -> io::Result<()> {
        disk::sync_data(&self.file)
    }
}

/// Writes a manifest beside the one in force.
pub(super) fn stage_manifest(dir: &Path, plate: Plate) -> io::Result<()> {
    stage(&manifest_path(dir), &plate.encode(Kind::Manifest)).map(drop)
}

/// Puts the staged manifest in force; after an error it is unknown which one a crash would leave.
pub(super) fn switch_manifest(dir: &Path) -> io::Result<()> {
    let path = manifest_path(dir);
    disk::rename(&unfinished(&path), &path)?;
    disk::sync_dir(dir)
}

/// Removes what `manifest` does not name: interrupted files, segments of other generations or not yet in force.
pub(super) fn remove_leftovers(dir: &Path, manifest: Plate) -> io::Result<()> {
    remove_names(dir, |name| match name {
        Name::Segment(generation, number) => {
            generation != manifest.generation || number > manifest.number
        }
        Name::Unfinished => true,
        Name::Else => false,
    })
}

/// Removes the segments of a generation, and interrupted files.
pub(super) fn remove_generation(dir: &Path, gone: u64) -> io::Result<()> {
    remove_names(dir, |name| match name {
        Name::Segment(generation, _) => generation == gone,
        Name::Unfinished => true,
        Name::Else => false,
    })
}

fn remove_names(dir: &Path, is_gone: impl Fn(Name) -> bool) -> io::Result<()> {
    for (path, name) in names(dir)? {
        if is_gone(name) {
            disk::remove(&path)?;
        }
    }
    Ok(())
}

/// Writes `bytes` durably under the unfinished name of `path`.
fn stage(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let file = disk::create(&unfinished(path))?;
    disk::write_at(&file, bytes, 0)?;
    disk::sync_all(&file)?;
    Ok(file)
}

/// Room reserved at a time: a thousand small commits' worth, and bearable on a small tmpfs.
const RESERVE_BYTES: u64 = 4 << 20;
/// One read and write of the last batch.
const PIECE_BYTES: usize = 1 << 20;
