//! Files named by what is in them.
//!
//! A cache: `objects/a/<digest>` holds the contents of that digest, read-only; `objects-x/a/<digest>` the same as a
//! program; `tmp/` what is being written, `partial/` what arrives in parts, `proofs/a/<digest>` the hashes by which parts
//! of large contents are proved. A name appears only when its bytes are whole and verified, so several
//! processes (a worker and its wardens) share a store without any lock.
//!
//! Nothing is synced: contents can be fetched again and the disk is slow. A crash may therefore leave an object short
//! or rotten; [`ContentStore::verify`] finds out, and whoever rescans after a crash should ask it.
//!
//! What is not here: which contents are worth keeping, who is using them, how they travel.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use muster_proto::Digest;
use rustix::fs::OFlags;

mod error;
mod list;
mod memo;
mod partial;
mod place;
mod proof;
mod taking;
mod writer;

pub use error::ContentError;
pub use list::{Listing, Stored};
pub use memo::{HashMemo, SETTLED_NS, Stamp};
pub use partial::Partial;
pub use place::{Placement, Use};
pub use proof::{Proving, Shape};
pub use taking::{Brought, Taking};
pub use writer::Writer;

use crate::own::{Dir, Removed};
use writer::{Draft, fanned, fresh_path, is_ours};

/// A directory of contents, shared by any number of processes and threads.
#[derive(Debug)]
pub struct ContentStore {
    root: PathBuf,
    rotten: AtomicU64,
    /// Held while the hashes that prove an object are computed: those who ask at once do it once.
    proving: Mutex<()>,
    /// Files that this process has read and found right, and what they were like then.
    sound: Mutex<BTreeMap<(Digest, Use), Stamp>>,
}

impl ContentStore {
    /// Opens the store in `dir`, or makes one. Removes nothing: see [`sweep`](Self::sweep).
    ///
    /// # Errors
    /// When the directories cannot be made, or are links.
    pub fn open(dir: &Path) -> Result<Self, ContentError> {
        let store = Self {
            root: dir.into(),
            rotten: AtomicU64::new(0),
            proving: Mutex::new(()),
            sound: Mutex::default(),
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for dir in [
            store.objects(Use::Data),
            store.objects(Use::Program),
            store.proofs(),
            store.drafts(),
            store.partials(),
        ] {
            builder.create(&dir)?;
            // A link would have this store change what is elsewhere.
            Dir::open(&dir)?;
        }
        Ok(store)
    }

    /// The directory it is in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Copies these contents of `bytes` from the store in the directory `other`, hashing them on the way.
    ///
    /// # Errors
    /// [`ContentError::Absent`] if it does not have them in a file of that length that this process can open;
    /// [`ContentError::WrongDigest`] or [`ContentError::Changed`] if they have rotted there; the own store's.
    pub fn take_from(&self, other: &Path, digest: Digest, bytes: u64) -> Result<(), ContentError> {
        let path = object_in(other, Use::Data, digest);
        let opened = Source::open(&path, OFlags::NOFOLLOW | OFlags::NONBLOCK);
        // A length that lies is not read to its end, which it may not have.
        let opened = opened.ok().filter(|source| source.stamp.size == bytes);
        let mut source = opened.ok_or(ContentError::Absent { digest })?;
        let mut writer = self.writer(source.stamp.size)?;
        source.copy_to(&mut writer)?;
        writer.finish(Some(digest)).map(drop)
    }

    /// The size of these contents if the store has them. One system call; does not read them.
    pub fn contains(&self, digest: Digest) -> Option<u64> {
        self.path(digest)
            .symlink_metadata()
            .ok()
            .filter(fs::Metadata::is_file)
            .map(|metadata| metadata.len())
    }

    /// What the file of these contents is like, by which one tells whether it was written to; `None` if there is none.
    pub fn stamp(&self, digest: Digest, usage: Use) -> Option<Stamp> {
        let found = self.path_for(digest, usage).symlink_metadata().ok();
        found
            .filter(fs::Metadata::is_file)
            .map(|found| Stamp::of(&found))
    }

    /// Gives the file of these contents its permissions back, if whoever has a link to it has changed them.
    ///
    /// # Errors
    /// The disk.
    pub fn mend(&self, digest: Digest, usage: Use) -> io::Result<()> {
        let path = self.path_for(digest, usage);
        let found = fs::symlink_metadata(&path)?;
        if found.is_file() && found.mode() & 0o7777 != usage.mode() {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file =
                rustix::fs::openat(rustix::fs::CWD, &path, flags, rustix::fs::Mode::empty())?;
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            fs::set_permissions(path, fs::Permissions::from_mode(usage.mode()))?;
        }
        Ok(())
    }

    /// Where these contents are, or would be.
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.path_for(digest, Use::Data)
    }

    /// Opens these contents for reading; they stay readable through it whatever happens to the store.
    ///
    /// # Errors
    /// [`ContentError::Absent`]; the disk.
    pub fn open_object(&self, digest: Digest) -> Result<File, ContentError> {
        Ok(self.object(digest)?.file)
    }

    /// Begins to receive contents of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// When there is no room for a file, or no right to make one.
    pub fn writer(&self, bytes_max: u64) -> Result<Writer<'_>, ContentError> {
        Writer::new(self, bytes_max)
    }

    /// Copies the file at `path`, which may be a link to one, and returns its digest and size.
    ///
    /// # Errors
    /// [`ContentError::NotAFile`] without waiting for a pipe; [`ContentError::Changed`] if it was written meanwhile.
    pub fn import(&self, path: &Path) -> Result<(Digest, u64), ContentError> {
        let mut source = Source::open(path, OFlags::NONBLOCK)?;
        let mut writer = self.writer(source.stamp.size)?;
        source.copy_to(&mut writer)?;
        let now = fs::metadata(path).map_err(|_| source.changed())?;
        source.check(&now)?;
        writer.finish(None)
    }

    /// Moves the file at `path` into the store, and returns its digest and size.
    ///
    /// A file on another file system, with another name, or locked by somebody is copied and its name removed. The
    /// caller owes that nobody writes to it any more and that `path` leads through no directory others may change.
    ///
    /// # Errors
    /// [`ContentError::NotAFile`] for links, too: what a task names as its output must be its own.
    pub fn adopt(&self, path: &Path) -> Result<(Digest, u64), ContentError> {
        let mut source = Source::open(path, OFlags::NONBLOCK | OFlags::NOFOLLOW)?;
        let is_alone = source.file.metadata()?.nlink() == 1 && is_ours(&source.file)?;
        let draft_path = fresh_path(&self.drafts())?;
        if is_alone {
            let digest = source.hash()?;
            match fs::rename(path, &draft_path) {
                Ok(()) => return self.take_in(source, draft_path, digest),
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
                Err(error) => return Err(error.into()),
            }
            io::Seek::rewind(&mut source.file)?;
        }
        let mut writer = self.writer(source.stamp.size)?;
        source.copy_to(&mut writer)?;
        source.check(&fs::symlink_metadata(path).map_err(|_| source.changed())?)?;
        let stored = writer.finish(None)?;
        fs::remove_file(path)?;
        Ok(stored)
    }

    /// Removes these contents, and says whether there were any. Hard links placed elsewhere stay.
    ///
    /// # Errors
    /// When the directory refuses.
    pub fn remove(&self, digest: Digest) -> Result<bool, ContentError> {
        let mut was_there = false;
        for usage in [Use::Program, Use::Data] {
            let removed = remove(&self.path_for(digest, usage))?;
            was_there |= removed == Removed::Something;
        }
        remove(&self.proof_path(digest))?;
        Ok(was_there)
    }

    /// Reads these contents and says whether they are what their name says; what is rotten is removed and counted.
    ///
    /// # Errors
    /// [`ContentError::Absent`], or trouble with reading, which proves nothing about the contents.
    pub fn verify(&self, digest: Digest) -> Result<bool, ContentError> {
        for usage in [Use::Data, Use::Program] {
            let path = self.path_for(digest, usage);
            let found = match Source::open(&path, OFlags::NOFOLLOW | OFlags::NONBLOCK) {
                Ok(mut source) => Some(source.hash_as_is()?),
                Err(ContentError::Disk(error)) if error.kind() == io::ErrorKind::NotFound => {
                    match usage {
                        Use::Data => return Err(ContentError::Absent { digest }),
                        Use::Program => continue,
                    }
                }
                // A name without a file stands for no contents.
                Err(ContentError::NotAFile { .. }) => None,
                Err(error) => return Err(error),
            };
            if found != Some(digest) {
                self.rotten.fetch_add(1, Ordering::Relaxed);
                self.remove(digest)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How many rotten objects this process has found.
    pub fn rotten(&self) -> u64 {
        self.rotten.load(Ordering::Relaxed)
    }

    /// Removes what interrupted writers left, of whatever process, and returns how many contents that were. What came
    /// in parts stays for a day, for whoever goes on with it.
    ///
    /// # Errors
    /// When the directories cannot be read or changed.
    pub fn sweep(&self) -> Result<u64, ContentError> {
        Ok(writer::sweep(&self.drafts())? + self.sweep_partial(PARTIAL_AGE_MAX)?)
    }

    /// Makes a hashed file that has been moved to the drafts an object, unless it is not the one that was hashed.
    fn take_in(
        &self,
        source: Source,
        draft: PathBuf,
        digest: Digest,
    ) -> Result<(Digest, u64), ContentError> {
        if let Err(changed) = source.check(&fs::symlink_metadata(&draft)?) {
            // Whoever changed it may want it back; otherwise a sweep removes it.
            let _ = fs::rename(&draft, &source.path);
            return Err(changed);
        }
        let size = source.stamp.size;
        Draft::of(source.file, draft).publish(self, digest, Use::Data)?;
        Ok((digest, size))
    }

    fn path_for(&self, digest: Digest, usage: Use) -> PathBuf {
        object_in(&self.root, usage, digest)
    }

    fn objects(&self, usage: Use) -> PathBuf {
        self.root.join(usage.directory())
    }

    fn proof_path(&self, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        self.proofs().join(&name[..1]).join(name)
    }

    fn proofs(&self) -> PathBuf {
        self.root.join("proofs")
    }

    fn drafts(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }
}

/// Where an object is, or would be, in the store at `root`.
fn object_in(root: &Path, usage: Use, digest: Digest) -> PathBuf {
    let name = digest.to_string();
    // Sixteen directories: a small store is soon made and removed, and file systems index large ones.
    let dir = root.join(usage.directory());
    dir.join(&name[..1]).join(name)
}

/// Removes a file of the store whose directories are no links; nothing there is fine.
fn remove(path: &Path) -> io::Result<Removed> {
    let [top, dir, name] = fanned(path)?;
    match Dir::open(top.as_ref()).and_then(|top| top.enter(dir)) {
        Ok(dir) => dir.remove(&name.to_string_lossy()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Removed::Nothing),
        Err(error) => Err(error),
    }
}

/// A regular file being read, with its stamp from before.
struct Source {
    path: PathBuf,
    file: File,
    stamp: Stamp,
}

impl Source {
    fn open(path: &Path, flags: OFlags) -> Result<Self, ContentError> {
        let not_a_file = || ContentError::NotAFile { path: path.into() };
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits() as i32)
            .open(path)
        {
            Ok(file) => file,
            Err(error) => {
                // A link under NOFOLLOW or a socket cannot even be opened.
                let is_file =
                    fs::symlink_metadata(path).map_or(true, |metadata| metadata.is_file());
                let is_link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
                let is_socket =
                    error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error());
                return Err(if !is_file && (is_link || is_socket) {
                    not_a_file()
                } else {
                    error.into()
                });
            }
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(not_a_file());
        }
        Ok(Self {
            path: path.into(),
            file,
            stamp: Stamp::of(&metadata),
        })
    }

    /// Copies exactly the bytes that were there at opening.
    fn copy_to(&mut self, writer: &mut Writer<'_>) -> Result<(), ContentError> {
        let mut bytes = 0;
        let copied = read_pieces(&mut self.file, |piece| {
            bytes += piece.len() as u64;
            writer.write_all(piece)
        });
        match copied {
            Err(ContentError::TooLong { .. }) => return Err(self.changed()),
            Err(error) => return Err(error),
            Ok(()) if bytes != self.stamp.size => return Err(self.changed()),
            Ok(()) => {}
        }
        self.check(&self.file.metadata()?)
    }

    /// The digest, provided that the file did not change meanwhile.
    fn hash(&mut self) -> Result<Digest, ContentError> {
        let digest = self.hash_as_is()?;
        self.check(&self.file.metadata()?)?;
        Ok(digest)
    }

    fn hash_as_is(&mut self) -> Result<Digest, ContentError> {
        let mut hasher = blake3::Hasher::new();
        read_pieces(&mut self.file, |piece| {
            hasher.update(piece);
            Ok(())
        })?;
        Ok(Digest(*hasher.finalize().as_bytes()))
    }

    fn check(&self, metadata: &fs::Metadata) -> Result<(), ContentError> {
        if Stamp::of(metadata) == self.stamp {
            Ok(())
        } else {
            Err(self.changed())
        }
    }

    fn changed(&self) -> ContentError {
        ContentError::Changed {
            path: self.path.clone(),
        }
    }
}

fn read_pieces(
    file: &mut File,
    mut each: impl FnMut(&[u8]) -> Result<(), ContentError>,
) -> Result<(), ContentError> {
    let mut piece = vec![0; READ_BYTES];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => each(&piece[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// When what arrived in parts is given up: whoever wanted it has had a day to ask for the rest.
const PARTIAL_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// One read: long enough that BLAKE3 runs at full width and system calls cost nothing.
const READ_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests;
