//! Remembering digests, so that a file is hashed once however many tasks name it.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use muster_proto::Digest;

/// By what a file is taken for unchanged without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Length in bytes.
    pub size: u64,
    /// When the contents were last written, in nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Which file of its file system it is.
    pub inode: u64,
    /// Which file system.
    pub device: u64,
}

impl Stamp {
    /// The stamp of a file.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            mtime_ns: i128::from(metadata.mtime()) * 1_000_000_000
                + i128::from(metadata.mtime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }

    /// How long ago it was written; `None` if that is to come, or before 1970.
    pub fn age(&self) -> Option<Duration> {
        let written = Duration::from_nanos(u64::try_from(self.mtime_ns).ok()?);
        (SystemTime::UNIX_EPOCH + written).elapsed().ok()
    }
}

/// The digests of files that were hashed, as long as their stamps stay the same.
///
/// Holds a bounded number of files; the one asked for least recently goes first.
#[derive(Debug)]
pub struct HashMemo {
    files: BTreeMap<PathBuf, Known>,
    /// The files by the turn of their last use.
    turns: BTreeMap<u64, PathBuf>,
    turn: u64,
    files_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    stamp: Stamp,
    digest: Digest,
    turn: u64,
}

impl HashMemo {
    /// A memo of at most `files_max` files.
    pub fn new(files_max: usize) -> Self {
        Self {
            files: BTreeMap::new(),
            turns: BTreeMap::new(),
            turn: 0,
            files_max,
        }
    }

    /// The digest of `path` if it was remembered with this stamp; a file with another stamp is forgotten. O(log n).
    pub fn get(&mut self, path: &Path, stamp: Stamp) -> Option<Digest> {
        let known = self.forget(path)?;
        if known.stamp != stamp {
            return None;
        }
        self.insert(path.to_owned(), stamp, known.digest);
        Some(known.digest)
    }

    /// Remembers what was hashed, `wall_ns` being the wall clock when the hashing began. O(log n).
    ///
    /// A file written within [`SETTLED_NS`] before is not remembered: another write of the same length could leave the
    /// same stamp.
    pub fn remember(&mut self, wall_ns: i128, path: &Path, stamp: Stamp, digest: Digest) {
        self.forget(path);
        if stamp.mtime_ns.saturating_add(SETTLED_NS) <= wall_ns && self.files_max > 0 {
            if self.files.len() >= self.files_max
                && let Some((_, oldest)) = self.turns.pop_first()
            {
                self.files.remove(&oldest);
            }
            self.insert(path.to_owned(), stamp, digest);
        }
    }

    /// How many files are remembered.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether no file is remembered.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn forget(&mut self, path: &Path) -> Option<Known> {
        let known = self.files.remove(path)?;
        self.turns.remove(&known.turn);
        Some(known)
    }

    fn insert(&mut self, path: PathBuf, stamp: Stamp, digest: Digest) {
        self.turn += 1;
        self.turns.insert(self.turn, path.clone());
        self.files.insert(
            path,
            Known {
                stamp,
                digest,
                turn: self.turn,
            },
        );
    }
}

/// The coarsest time stamps in use are those of FAT: 2 s.
pub const SETTLED_NS: i128 = 2_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        size: 1,
        mtime_ns: 5,
        inode: 2,
        device: 3,
    };
    const LATER: i128 = 5 + SETTLED_NS;

    #[test]
    fn a_changed_file_is_hashed_again() {
        let mut memo = HashMemo::new(8);
        let (path, digest) = (Path::new("input"), Digest([7; 32]));
        memo.remember(LATER, path, STAMP, digest);
        assert_eq!(memo.get(path, STAMP), Some(digest));
        for other in [
            Stamp { size: 2, ..STAMP },
            Stamp {
                mtime_ns: 6,
                ..STAMP
            },
            Stamp { inode: 4, ..STAMP },
            Stamp { device: 4, ..STAMP },
        ] {
            memo.remember(LATER + 1, path, STAMP, digest);
            assert_eq!(memo.get(path, other), None);
            assert_eq!(
                memo.get(path, STAMP),
                None,
                "and the old digest is forgotten"
            );
        }
        assert!(memo.is_empty() && memo.turns.is_empty());
    }

    #[test]
    fn a_file_written_just_before_is_not_trusted_to_its_stamp() {
        let mut memo = HashMemo::new(8);
        memo.remember(LATER - 1, Path::new("fresh"), STAMP, Digest([7; 32]));
        assert_eq!(memo.get(Path::new("fresh"), STAMP), None);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut memo = HashMemo::new(2);
        for name in ["a", "b"] {
            memo.remember(LATER, Path::new(name), STAMP, Digest([1; 32]));
        }
        assert!(memo.get(Path::new("a"), STAMP).is_some());
        memo.remember(LATER, Path::new("c"), STAMP, Digest([1; 32]));
        assert_eq!(memo.get(Path::new("b"), STAMP), None);
        assert!(
            memo.get(Path::new("a"), STAMP).is_some() && memo.get(Path::new("c"), STAMP).is_some()
        );
        assert_eq!((memo.len(), memo.turns.len()), (2, 2));
    }
}
