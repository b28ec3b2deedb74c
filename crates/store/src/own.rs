//! Names that may have come to mean something else: opened by descriptor, through no link, without waiting.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;

/// A directory that stays the same one whatever happens to its name.
#[derive(Debug)]
pub(crate) struct Dir(OwnedFd);

impl Dir {
    /// Opens the directory at `path`, which is no link; links on the way to it are whoever's who named it.
    ///
    /// # Errors
    /// `NotADirectory` if it is a link or no directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(openat(CWD, path, DIRECTORY, Mode::empty())?))
    }

    /// Opens its directory `name`, which is no link.
    ///
    /// # Errors
    /// `NotFound`; `NotADirectory`.
    pub fn enter(&self, name: &OsStr) -> io::Result<Self> {
        Ok(Self(openat(self, name, DIRECTORY, Mode::empty())?))
    }

    /// Opens its directory `name`, made if missing.
    pub fn make(&self, name: &OsStr) -> io::Result<Self> {
        match mkdirat(self, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => self.enter(name),
            Err(error) => Err(error.into()),
        }
    }

    /// A path to it, as long as it is open.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    /// Removes what is called `name`, unless it is a directory; nothing there is fine.
    pub fn remove(&self, name: &str) -> io::Result<Removed> {
        match unlinkat(self, name, AtFlags::empty()) {
            Ok(()) => Ok(Removed::Something),
            Err(Errno::NOENT) => Ok(Removed::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the file `name` for reading and writing, for its owner alone and made if missing.
    ///
    /// What is no file, or one that has other names, is not this directory's to write to: the name is taken from it.
    pub fn open_own(&self, name: &str) -> io::Result<File> {
        match statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if is_own(&found) => {}
            Ok(_) => drop(self.remove(name)?),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let file = openat(self, name, flags, Mode::RUSR | Mode::WUSR)?;
        if is_own(&fstat(&file)?) {
            Ok(file.into())
        } else {
            // Somebody is changing it at this very moment.
            Err(Errno::STALE.into())
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How a directory is opened.
const DIRECTORY: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// What became of a name that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// There was something.
    Something,
    /// There was nothing.
    Nothing,
}

/// Whether it is a file without other names; it may have lost its own.
fn is_own(found: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_nlink <= 1
}
