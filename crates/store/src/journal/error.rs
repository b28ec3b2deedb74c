//! What can be wrong with a journal, by what its reader can do about it.

use std::io;
use std::path::PathBuf;

use muster_proto::Lsn;

use crate::disk;
use crate::lock::{LockError, holder};

/// Why a journal could not be opened, read or written.
///
/// A torn tail is none of these: it is what a crash leaves, is cut at opening and reported in
/// [`Recovery`](super::Recovery).
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another opener holds the journal: stop it, or wait for it.
    #[error("the journal {} is in use by {}", dir.display(), holder(*by))]
    Locked {
        /// The journal's directory.
        dir: PathBuf,
        /// The holder's process number, when it could be read.
        by: Option<u32>,
    },
    /// Bytes that had been durable have changed: restore the file from a copy. Nothing has been modified.
    #[error("{} is damaged at byte {at}, record {lsn}: checksum {found:08x}, wanted {wanted:08x}", file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Where the damaged frame or header begins.
        at: u64,
        /// The record that should be there; `Lsn(0)` for a header.
        lsn: Lsn,
        /// The checksum of what is there.
        found: u32,
        /// The checksum that is written there.
        wanted: u32,
    },
    /// Records are missing between two that are whole: restore the file from a copy. Nothing has been modified.
    #[error("{} at byte {at}: record {wanted} is missing, {found} follows", file.display())]
    Gap {
        /// The file in which the sequence breaks.
        file: PathBuf,
        /// Where in it.
        at: u64,
        /// The record that is there.
        found: Lsn,
        /// The record that should be there.
        wanted: Lsn,
    },
    /// A file of the journal is gone: restore it from a copy. Nothing has been modified.
    #[error("{} is missing", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// A file has a journal's name but is of another kind or of another journal. Nothing has been modified.
    #[error("{} does not belong to this journal", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// A later Muster wrote this: run that one.
    #[error("{} has format version {version}, which this program does not know", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its format version.
        version: u16,
    },
    /// There is no room: nothing was acknowledged; free some and commit again.
    #[error("no room for the journal: {0}")]
    Full(#[source] io::Error),
    /// The disk failed: nothing was acknowledged; committing again tries a fresh file.
    #[error("the journal's disk failed: {0}")]
    Disk(#[source] io::Error),
}

impl From<io::Error> for JournalError {
    fn from(error: io::Error) -> Self {
        if disk::is_full(&error) {
            Self::Full(error)
        } else {
            Self::Disk(error)
        }
    }
}

impl JournalError {
    pub(super) fn locked(dir: PathBuf, error: LockError) -> Self {
        match error {
            LockError::Held { by } => Self::Locked { dir, by },
            LockError::NotAFile { .. } => io::Error::other(error).into(),
            LockError::Disk(error) => error.into(),
        }
    }
}
