//! Contents on their way into the store.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use muster_proto::Digest;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat, renameat};
use rustix::io::Errno;

use super::error::ContentError;
use super::{ContentStore, Use};
use crate::own::Dir;

/// Contents being received: hashed as they are written, visible only when whole and verified.
///
/// Dropping it unfinished removes what was written.
#[derive(Debug)]
pub struct Writer<'a> {
    store: &'a ContentStore,
    draft: Draft,
    hasher: blake3::Hasher,
    bytes: u64,
    bytes_max: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn new(store: &'a ContentStore, bytes_max: u64) -> Result<Self, ContentError> {
        let draft = Draft::create(&store.drafts())?;
        Ok(Self {
            store,
            draft,
            hasher: blake3::Hasher::new(),
            bytes: 0,
            bytes_max,
        })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// [`ContentError::TooLong`] before anything beyond the bound is written; what came so far is worth nothing then.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        if bytes.len() as u64 > self.bytes_max - self.bytes {
            return Err(ContentError::TooLong {
                bytes_max: self.bytes_max,
            });
        }
        self.draft.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Makes the contents visible under their digest, and returns it with their size.
    ///
    /// # Errors
    /// [`ContentError::WrongDigest`] if they are not what was `expected`.
    pub fn finish(self, expected: Option<Digest>) -> Result<(Digest, u64), ContentError> {
        self.finish_for(expected, Use::Data)
    }

    pub(super) fn finish_for(
        self,
        expected: Option<Digest>,
        usage: Use,
    ) -> Result<(Digest, u64), ContentError> {
        let found = Digest(*self.hasher.finalize().as_bytes());
        if let Some(wanted) = expected
            && wanted != found
        {
            return Err(ContentError::WrongDigest { wanted, found });
        }
        self.draft.publish(self.store, found, usage)?;
        Ok((found, self.bytes))
    }
}

/// A file among the drafts, removed when dropped unpublished.
///
/// It is locked as long as its maker lives, by which [`sweep`] tells it from a leftover whatever process made it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) file: File,
    pub(super) path: PathBuf,
    is_published: bool,
}

impl Draft {
    pub(super) fn create(drafts: &Path) -> io::Result<Self> {
        let dir = Dir::open(drafts)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        loop {
            let name = fresh_name()?;
            match openat(&dir, &name, flags, Mode::RUSR | Mode::WUSR).map(File::from) {
                Ok(file) if is_ours(&file)? => {
                    return Ok(Self {
                        file,
                        path: drafts.join(name),
                        is_published: false,
                    });
                }
                // A sweeper came between the making and the locking.
                Ok(_) => {}
                // A process of this number, perhaps in another namespace, had the name.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes in a file that has been moved to a [`fresh_path`] and is locked.
    pub(super) fn of(file: File, path: PathBuf) -> Self {
        Self {
            file,
            path,
            is_published: false,
        }
    }

    /// Gives the draft its name in the store, replacing what had it: that had the same bytes, or is rotten.
    pub(super) fn publish(
        self,
        store: &ContentStore,
        digest: Digest,
        usage: Use,
    ) -> io::Result<()> {
        self.publish_as(&store.path_for(digest, usage), usage.mode())
    }

    /// Gives the draft a name and permissions.
    pub(super) fn publish_as(mut self, target: &Path, mode: u32) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(mode))?;
        move_into(&self.path, target)?;
        self.is_published = true;
        Ok(())
    }
}

/// Moves a file to its place in the store, making the directory it belongs in, which is no link.
pub(super) fn move_into(path: &Path, target: &Path) -> io::Result<()> {
    let [top, dir, name] = fanned(target)?;
    let top = Dir::open(top.as_ref())?;
    let dir = match top.enter(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => top.make(dir)?,
        opened => opened?,
    };
    Ok(renameat(CWD, path, &dir, name)?)
}

/// The path of a file of the store taken apart: the path of what is fanned out, the directory of its digit, its name.
pub(super) fn fanned(path: &Path) -> io::Result<[&OsStr; 3]> {
    let dir = path.parent();
    let parts = [
        dir.and_then(Path::parent).map(Path::as_os_str),
        dir.and_then(Path::file_name),
        path.file_name(),
    ];
    match parts {
        [Some(top), Some(dir), Some(name)] => Ok([top, dir, name]),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_published {
            // What cannot be removed is swept later.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes the drafts whose makers are dead, and returns how many.
pub(super) fn sweep(drafts: &Path) -> io::Result<u64> {
    let mut swept = 0;
    let dir = Dir::open(drafts)?;
    for entry in std::fs::read_dir(dir.path())? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat(&dir, entry.file_name(), flags, Mode::empty()).map(File::from) {
            Ok(file) if is_ours(&file)? => {
                std::fs::remove_file(entry.path())?;
                swept += 1;
            }
            Ok(_) => {}
            // Published or dropped in the meantime.
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(swept)
}

/// A path among the drafts that nobody uses: the store is shared by processes whose numbers may be equal, since
/// each may be the first of a namespace of its own, so only chance keeps them apart.
pub(super) fn fresh_path(drafts: &Path) -> io::Result<PathBuf> {
    Ok(drafts.join(fresh_name()?))
}

fn fresh_name() -> io::Result<String> {
    let mut name = [0; 16];
    let drawn = rustix::rand::getrandom(&mut name, rustix::rand::GetRandomFlags::empty())?;
    if drawn < name.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(format!("{:032x}", u128::from_le_bytes(name)))
}

/// Locks a file if nobody has; false if somebody has, or if it has lost its name.
pub(super) fn is_ours(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file.metadata()?.nlink() > 0),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
