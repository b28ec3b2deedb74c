//! What can go wrong with contents.

use std::io;
use std::path::PathBuf;

use muster_proto::Digest;

use crate::disk;

/// Why contents could not be stored or placed. Whatever it was, nothing unverified became visible.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The bytes are not those that were asked for: fetch them elsewhere.
    #[error("contents have digest {found}, wanted {wanted}")]
    WrongDigest {
        /// What was asked for.
        wanted: Digest,
        /// What came.
        found: Digest,
    },
    /// There are more bytes than were announced or allowed.
    #[error("contents have more than {bytes_max} bytes")]
    TooLong {
        /// The bound.
        bytes_max: u64,
    },
    /// The file was written to, or replaced, while it was read: try again when its writer is done.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Only regular files have contents; this is a directory, link, pipe, socket or device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What it was.
        path: PathBuf,
    },
    /// The store does not have these contents, or no longer.
    #[error("contents {digest} are not in the store")]
    Absent {
        /// Their digest.
        digest: Digest,
    },
    /// A part is not of these contents, or some part has not come: fetch it elsewhere.
    #[error("a part of contents {digest} is missing or not theirs")]
    NotProved {
        /// Their digest.
        digest: Digest,
    },
    /// Another process receives these contents: wait for it.
    #[error("contents {digest} are being received by another process")]
    Busy {
        /// Their digest.
        digest: Digest,
    },
    /// There is no room: evict something and try again.
    #[error("no room for contents: {0}")]
    Full(#[source] io::Error),
    /// The disk or a path on it cannot be used.
    #[error("contents cannot be read or written: {0}")]
    Disk(#[source] io::Error),
}

impl From<io::Error> for ContentError {
    fn from(error: io::Error) -> Self {
        if disk::is_full(&error) {
            Self::Full(error)
        } else {
            Self::Disk(error)
        }
    }
}

impl From<rustix::io::Errno> for ContentError {
    fn from(errno: rustix::io::Errno) -> Self {
        io::Error::from(errno).into()
    }
}
