//! One process per directory.
//!
//! The lock is `flock` on a file named `lock`, so the kernel releases it when its holder dies in whatever way, and
//! nothing stale is ever left to clean. The file itself stays: removing it would let two processes lock two files of
//! one name. The process number inside is for the message only.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

/// The exclusive right to a directory, held until dropped.
///
/// A child forked and not yet executed shares it for that moment, so a successor started at once may be refused once.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another opener, perhaps in this very process, holds it.
    #[error("the directory is in use by {}", holder(*by))]
    Held {
        /// The holder's process number, when it could be read.
        by: Option<u32>,
    },
    /// Something else than a file has the lock file's name.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The name.
        path: PathBuf,
    },
    /// The lock file could not be made or locked.
    #[error("the lock file cannot be used: {0}")]
    Disk(#[source] io::Error),
}

impl DirLock {
    /// Locks `dir`, which must exist, without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] when somebody has it; trying again later is reasonable. A link in the place of the lock file
    /// is not followed.
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
        let path = dir.join(LOCK_FILE);
        match std::fs::symlink_metadata(&path) {
            Ok(found) if !found.is_file() => return Err(LockError::NotAFile { path }),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LockError::Disk(error));
            }
            Ok(_) | Err(_) => {}
        }
        let mut file = options.open(path).map_err(LockError::Disk)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LockError::Held {
                    by: pid_in(&mut file),
                });
            }
            Err(errno) => return Err(LockError::Disk(errno.into())),
        }
        // The number only serves a message: on a full disk the lock is as good without it, and what has other names
        // is not to be written to.
        if file.metadata().is_ok_and(|found| found.nlink() == 1) {
            let _ = file
                .set_len(0)
                .and_then(|()| writeln!(file, "{}", std::process::id()));
        }
        Ok(Self { _file: file })
    }
}

pub(crate) fn holder(by: Option<u32>) -> String {
    by.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The file that is locked.
pub(crate) const LOCK_FILE: &str = "lock";
/// A process number has at most 10 digits; the rest is room for a newline.
const PID_BYTES_MAX: u64 = 16;

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_is_told_who_holds_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let held = DirLock::acquire(dir.path()).unwrap();
        let refused = DirLock::acquire(dir.path()).unwrap_err();
        assert!(
            matches!(refused, LockError::Held { by: Some(pid) } if pid == std::process::id()),
            "{refused}"
        );
        drop(held);
        DirLock::acquire(dir.path()).unwrap();
    }
}
