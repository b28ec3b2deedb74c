//! Contents on their way into the store.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use muster_proto::Digest;
use rustix::fs::{FlockOperation, flock};

use super::error::ContentError;
use super::{ContentStore, Use};

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
        loop {
            let path = fresh_path(drafts)?;
            let made = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path);
            match made {
                Ok(file) if is_ours(&file)? => {
                    return Ok(Self {
                        file,
                        path,
                        is_published: false,
                    });
                }
                // A sweeper came between the making and the locking.
                Ok(_) => {}
                // A process of this number, perhaps in another namespace, had the name.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
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

/// Moves a file to its place in the store, making the directory it belongs in.
pub(super) fn move_into(path: &Path, target: &Path) -> io::Result<()> {
    let Err(error) = std::fs::rename(path, target) else {
        return Ok(());
    };
    let Some(dir) = target.parent().filter(|dir| !dir.exists()) else {
        return Err(error);
    };
    std::fs::create_dir_all(dir)?;
    std::fs::rename(path, target)
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
    for entry in std::fs::read_dir(drafts)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        match File::open(entry.path()) {
            Ok(file) if is_ours(&file)? => {
                std::fs::remove_file(entry.path())?;
                swept += 1;
            }
            Ok(_) => {}
            // Published or dropped in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(swept)
}

/// A path among the drafts that nobody uses: the store is shared by processes whose numbers may be equal, since
/// each may be the first of a namespace of its own, so only chance keeps them apart.
pub(super) fn fresh_path(drafts: &Path) -> io::Result<PathBuf> {
    let mut name = [0; 16];
    let drawn = rustix::rand::getrandom(&mut name, rustix::rand::GetRandomFlags::empty())?;
    if drawn < name.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(drafts.join(format!("{:032x}", u128::from_le_bytes(name))))
}

/// Locks a file if nobody has; false if somebody has, or if it has lost its name.
pub(super) fn is_ours(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file.metadata()?.nlink() > 0),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
