//! The stores of one host: what one of them has, or is about to have, the others need not fetch.
//!
//! Batch systems start many workers on one host, each with a store of its own. Each enters its store in a directory of
//! the host. Whoever wants large contents looks into the others' stores first and takes a copy, verified on the way; if
//! none has them it claims them, and the others wait for the claimant. A claim is a lock on a file, so it ends with its
//! holder, whatever kills that.
//!
//! Copies, not links: a task that spoils its worker's file must not spoil the neighbours'.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, flock, futimens};

use crate::content::{ContentError, ContentStore, Shape};
use crate::own::Dir;

/// A store among those of its host; leaves them when dropped.
#[derive(Debug)]
pub struct Neighbours {
    dir: PathBuf,
    entry: PathBuf,
}

/// What came of asking the neighbours.
#[derive(Debug)]
pub enum Shared {
    /// One of them had the contents; they are in the own store now.
    Taken,
    /// None has them or is about to: they are the caller's to fetch, for all.
    Claimed(Claim),
    /// Somebody has claimed them, and was last heard of at this wall time, in milliseconds since 1970.
    Coming(u64),
}

/// The right to fetch contents for all stores of the host; ends when dropped.
#[derive(Debug)]
pub struct Claim {
    file: File,
    dir: Dir,
    name: String,
}

impl Neighbours {
    /// Enters `store` in `dir`, which is made for its owner alone, under a name that no other store has.
    ///
    /// # Errors
    /// The directory is somebody else's or open to others, or cannot be used.
    pub fn join(dir: &Path, store: &ContentStore, name: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let found = fs::symlink_metadata(dir)?;
        let owner = rustix::process::geteuid().as_raw();
        if !found.is_dir() || found.uid() != owner || found.mode() & 0o077 != 0 {
            return Err(io::Error::other(format!(
                "{} is not this user's alone",
                dir.display()
            )));
        }
        let entry = dir.join(format!("{STORE}{name}"));
        let target = fs::canonicalize(store.root())?;
        match fs::remove_file(&entry) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        std::os::unix::fs::symlink(target, &entry)?;
        Ok(Self {
            dir: dir.to_owned(),
            entry,
        })
    }

    /// Takes a copy of contents from whichever store has them, or claims them.
    ///
    /// # Errors
    /// The own store's, or the claims cannot be used.
    pub fn share(&self, store: &ContentStore, wanted: Shape) -> Result<Shared, ContentError> {
        let dir = Dir::open(&self.dir)?;
        if self.take(&dir, store, wanted)? {
            return Ok(Shared::Taken);
        }
        let name = format!("{CLAIM}{}", wanted.digest);
        let file = dir.open_own(&name)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let found = file.metadata()?;
                let heard = found.mtime() * 1_000 + found.mtime_nsec() / 1_000_000;
                return Ok(Shared::Coming(heard.max(0) as u64));
            }
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
        let claim = Claim { file, dir, name };
        claim.renew()?;
        // A claimant may have finished between the first look and the lock.
        if self.take(&claim.dir, store, wanted)? {
            return Ok(Shared::Taken);
        }
        Ok(Shared::Claimed(claim))
    }

    /// Copies contents from the first store that has them whole.
    fn take(&self, dir: &Dir, store: &ContentStore, wanted: Shape) -> io::Result<bool> {
        for entry in fs::read_dir(dir.path())?.take(ENTRIES_MAX) {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            let is_other = Some(name) != self.entry.file_name();
            if !name.to_string_lossy().starts_with(STORE) || !is_other {
                continue;
            }
            match store.take_from(&path, wanted.digest, wanted.bytes) {
                Ok(()) => return Ok(true),
                Err(ContentError::Absent { .. }) if fs::metadata(&path).is_err() => {
                    // Its store is gone. Whoever else finds that out removes it, too.
                    let _ = fs::remove_file(&path);
                }
                // What is rotten or closed over there is for its owner to find; that the own disk fails is found
                // again by the fetch that follows.
                Err(_) => {}
            }
        }
        Ok(false)
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        // Whoever looks there later finds a store, or removes the entry.
        let _ = fs::remove_file(&self.entry);
        // Not while others are in it.
        let _ = fs::remove_dir(&self.dir);
    }
}

impl Claim {
    /// Tells those who wait that the contents are still coming.
    ///
    /// # Errors
    /// The disk.
    pub fn renew(&self) -> io::Result<()> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        Ok(futimens(&self.file, &times)?)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Somebody who opened it in time may lock it once more, and fetches what another fetches, too: no harm.
        let _ = self.dir.remove(&self.name);
    }
}

/// How the entry of a store begins.
const STORE: &str = "store-";
/// How a claim begins.
const CLAIM: &str = "claim-";
/// Entries looked at: far more than a host has workers.
const ENTRIES_MAX: usize = 4_096;

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use muster_proto::Digest;

    use super::*;

    /// Two stores of one host.
    struct Host {
        dir: tempfile::TempDir,
        stores: [ContentStore; 2],
        neighbours: [Neighbours; 2],
    }

    impl Host {
        fn new() -> Host {
            let dir = tempfile::tempdir().unwrap();
            let stores = ["a", "b"].map(|name| ContentStore::open(&dir.path().join(name)).unwrap());
            let shared = dir.path().join("shared");
            let [a, b] = &stores;
            let neighbours = [(a, "a"), (b, "b")]
                .map(|(store, name)| Neighbours::join(&shared, store, name).unwrap());
            Host {
                dir,
                stores,
                neighbours,
            }
        }

        fn share(&self, at: usize, digest: Digest) -> Shared {
            let bytes = b"contents".len() as u64;
            self.neighbours[at]
                .share(&self.stores[at], Shape { digest, bytes })
                .unwrap()
        }

        fn put(&self, at: usize, contents: &[u8]) -> Digest {
            let mut writer = self.stores[at].writer(contents.len() as u64).unwrap();
            writer.write_all(contents).unwrap();
            writer.finish(None).unwrap().0
        }
    }

    #[test]
    fn what_one_store_has_the_other_takes() {
        let host = Host::new();
        let digest = host.put(0, b"contents");
        assert!(matches!(host.share(1, digest), Shared::Taken));
        assert_eq!(fs::read(host.stores[1].path(digest)).unwrap(), b"contents");
        assert!(
            fs::read_dir(host.dir.path().join("shared"))
                .unwrap()
                .count()
                == 2,
            "nothing but the two entries"
        );
    }

    #[test]
    fn what_none_has_is_fetched_by_one() {
        let host = Host::new();
        let digest = Digest(*blake3::hash(b"contents").as_bytes());
        let Shared::Claimed(claim) = host.share(0, digest) else {
            panic!("nobody has it");
        };
        assert!(matches!(host.share(1, digest), Shared::Coming(_)));
        host.put(0, b"contents");
        drop(claim);
        assert!(matches!(host.share(1, digest), Shared::Taken));
    }

    #[test]
    fn a_claim_that_brings_nothing_passes_on() {
        let host = Host::new();
        let digest = Digest([7; 32]);
        drop(host.share(0, digest));
        assert!(matches!(host.share(1, digest), Shared::Claimed(_)));
    }

    #[test]
    fn what_has_rotted_over_there_is_not_taken() {
        let host = Host::new();
        let digest = host.put(0, b"contents");
        let path = host.stores[0].path(digest);
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"c0ntents").unwrap();
        assert!(matches!(host.share(1, digest), Shared::Claimed(_)));
        assert_eq!(host.stores[1].contains(digest), None);
    }

    #[test]
    fn stores_that_are_gone_are_struck_out() {
        let host = Host::new();
        fs::remove_dir_all(host.stores[0].root()).unwrap();
        assert!(matches!(host.share(1, Digest([7; 32])), Shared::Claimed(_)));
        let entries = fs::read_dir(host.dir.path().join("shared")).unwrap();
        assert_eq!(entries.count(), 1);
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(&dir.path().join("a")).unwrap();
        let open = dir.path().join("open");
        DirBuilder::new().mode(0o777).create(&open).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&open, mode).unwrap();
        assert!(Neighbours::join(&open, &store, "a").is_err());
    }
}
