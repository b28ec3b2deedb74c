//! Contents on their way into a sandbox.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use muster_proto::Digest;
use rustix::fs::OFlags;

use super::{ContentError, ContentStore, Source, Stamp};

/// How contents appear at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Another name of the store's own read-only file: costs no bytes. Where links cannot be made, a read-only copy.
    ///
    /// A task under the store's own user could still give itself the right to write, and spoil the store: tasks that
    /// are not trusted get copies, or another user.
    HardLink,
    /// A file of its own, which its owner may write.
    Copy,
}

/// What contents are to be at a path; a property of the name, not of the contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// To be read.
    Data,
    /// To be executed.
    ///
    /// The first execution may meet `ETXTBSY` while a child of another thread, forked during the copy, has not
    /// executed yet: trying again is right.
    Program,
}

impl ContentStore {
    /// Puts contents at `target`, where there must be nothing.
    ///
    /// Programs are linked to a variant of the object that may be executed, made (and verified) once per store.
    ///
    /// # Errors
    /// [`ContentError::Absent`]; [`ContentError::WrongDigest`] when a copy turns out rotten (nothing is at `target`
    /// then: [`verify`](Self::verify) removes the object); [`ContentError::Disk`] if `target` exists.
    pub fn place(
        &self,
        digest: Digest,
        target: &Path,
        placement: Placement,
        usage: Use,
    ) -> Result<(), ContentError> {
        match placement {
            Placement::Copy => self.copy(digest, target, usage.mode() | OWNER_MAY_WRITE),
            Placement::HardLink => match self.link(digest, target, usage) {
                Err(ContentError::Disk(error)) if cannot_link(&error) => {
                    self.copy(digest, target, usage.mode())
                }
                placed => placed,
            },
        }
    }

    fn link(&self, digest: Digest, target: &Path, usage: Use) -> Result<(), ContentError> {
        let object = self.path_for(digest, usage);
        if usage == Use::Program && fs::symlink_metadata(&object).is_err() {
            self.make_program(digest)?;
        }
        self.vouch(digest, usage)?;
        fs::hard_link(&object, target)?;
        if fs::symlink_metadata(target)?.is_file() {
            return Ok(());
        }
        // Links are not followed here, but whoever finds one at the target would.
        fs::remove_file(target)?;
        Err(ContentError::Absent { digest })
    }

    /// Makes sure that a file of which a link is to be made holds its contents: it is read once in this process, and
    /// again whenever it looks written to.
    fn vouch(&self, digest: Digest, usage: Use) -> Result<(), ContentError> {
        let mut source = self.opened(digest, usage)?;
        let stamp = source.stamp;
        if self.sound().get(&(digest, usage)) == Some(&stamp) {
            return Ok(());
        }
        let found = source.hash_as_is()?;
        if found != digest {
            let wanted = digest;
            return Err(ContentError::WrongDigest { wanted, found });
        }
        let mut sound = self.sound();
        if sound.len() >= SOUND_MAX {
            sound.clear();
        }
        // What is written within the same tick of a file system's clock would look the same.
        if stamp.age().is_some_and(|age| age >= TICK) {
            sound.insert((digest, usage), stamp);
        }
        Ok(())
    }

    fn sound(&self) -> MutexGuard<'_, BTreeMap<(Digest, Use), Stamp>> {
        // It is changed in one step, so a poisoned lock is as good as a sound one.
        self.sound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the variant of an object that may be executed.
    fn make_program(&self, digest: Digest) -> Result<(), ContentError> {
        let mut source = self.object(digest)?;
        let mut writer = self.writer(source.stamp.size)?;
        source.copy_to(&mut writer)?;
        writer.finish_for(Some(digest), Use::Program).map(drop)
    }

    /// Copies an object, hashing it on the way.
    fn copy(&self, digest: Digest, target: &Path, mode: u32) -> Result<(), ContentError> {
        let mut source = self.object(digest)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(target)?;
        let copied = copy_verified(&mut source, &mut file, digest)
            .and_then(|()| Ok(file.set_permissions(Permissions::from_mode(mode))?));
        copied.inspect_err(|_| {
            // The sandbox goes with the attempt anyway; unverified bytes should go at once.
            let _ = fs::remove_file(target);
        })
    }

    /// Opens an object; what has its name and is no file is none.
    pub(super) fn object(&self, digest: Digest) -> Result<Source, ContentError> {
        self.opened(digest, Use::Data)
    }

    fn opened(&self, digest: Digest, usage: Use) -> Result<Source, ContentError> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        match Source::open(&self.path_for(digest, usage), flags) {
            Err(ContentError::Disk(error)) if error.kind() == io::ErrorKind::NotFound => {
                Err(ContentError::Absent { digest })
            }
            Err(ContentError::NotAFile { .. }) => Err(ContentError::Absent { digest }),
            opened => opened,
        }
    }
}

impl Use {
    /// The directory of its objects in a store.
    pub(super) fn directory(self) -> &'static str {
        match self {
            Self::Data => "objects",
            Self::Program => "objects-x",
        }
    }

    /// The permissions of an object: nobody may write, whoever reaches it may read.
    pub(super) fn mode(self) -> u32 {
        match self {
            Self::Data => 0o444,
            Self::Program => 0o555,
        }
    }
}

fn copy_verified(
    source: &mut Source,
    target: &mut fs::File,
    wanted: Digest,
) -> Result<(), ContentError> {
    let mut hasher = blake3::Hasher::new();
    super::read_pieces(&mut source.file, |piece| {
        hasher.update(piece);
        Ok(io::Write::write_all(target, piece)?)
    })?;
    let found = Digest(*hasher.finalize().as_bytes());
    if found == wanted {
        Ok(())
    } else {
        Err(ContentError::WrongDigest { wanted, found })
    }
}

/// Other file systems, full link counts, and kernels or file systems that forbid links.
fn cannot_link(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    use rustix::io::Errno;
    matches!(
        errno,
        Some(Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::OPNOTSUPP)
    )
}

/// Added to the permissions of a private copy.
const OWNER_MAY_WRITE: u32 = 0o200;

/// Files that are remembered as sound; then they are read once more.
const SOUND_MAX: usize = 65_536;
/// How far the times of files may lag behind the clock: the kernel's tick several times over.
const TICK: Duration = Duration::from_millis(50);
