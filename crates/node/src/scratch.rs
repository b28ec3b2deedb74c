//! Directories that go with their process, however it ends: what a killed one has left, the next removes.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use muster_store::DirLock;

use crate::clock::wall_ms;

/// A directory that belongs to this process; removed with the value unless it is to be kept.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    fate: Fate,
    /// Tells later processes that somebody is still here.
    _lock: DirLock,
}

/// What becomes of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes with its process.
    Removed,
    /// It stays, for a person to look at or to be taken up again.
    Kept,
}

impl Scratch {
    /// Makes a new directory below `base`. If it is one that goes, those of killed processes go now.
    ///
    /// # Errors
    /// `base` cannot be used.
    pub fn fresh(base: &Path, fate: Fate) -> io::Result<Scratch> {
        make(base)?;
        match fate {
            Fate::Removed => sweep(base),
            Fate::Kept => {}
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", wall_ms(), std::process::id());
        // It has its lock before others know it for one that could be swept.
        let unborn = base.join(format!("{UNBORN}{name}"));
        make(&unborn)?;
        let lock = DirLock::acquire(&unborn).map_err(io::Error::other)?;
        let path = base.join(name);
        fs::rename(&unborn, &path)?;
        Ok(Scratch {
            path,
            fate,
            _lock: lock,
        })
    }

    /// Takes the directory `path`, made if it is not there, and keeps it.
    ///
    /// # Errors
    /// It cannot be used, or another process has it.
    pub fn kept(path: &Path) -> io::Result<Scratch> {
        make(path)?;
        let lock = DirLock::acquire(path).map_err(io::Error::other)?;
        Ok(Scratch {
            path: path.to_owned(),
            fate: Fate::Kept,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it and says where it is.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn sub(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        make(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        match self.fate {
            Fate::Kept => {}
            // Killed processes may still be writing there; what stays is removed by a later queue.
            Fate::Removed => {
                let removed = |_| match fs::remove_dir_all(&self.path) {
                    Ok(()) => true,
                    Err(error) => error.kind() == io::ErrorKind::NotFound,
                };
                (0..REMOVALS_MAX).any(removed);
            }
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes the directories that nobody holds. One that is being made has no lock yet, but is not old either.
fn sweep(base: &Path) {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    for entry in entries.take(SWEEP_MAX) {
        let name = entry.file_name();
        let is_left = match name.to_str().and_then(|name| name.strip_prefix(UNBORN)) {
            Some(name) => born_ms(name).is_some_and(|born| born + YOUNG_MS < wall_ms()),
            None => name.to_str().and_then(born_ms).is_some(),
        };
        if is_left && DirLock::acquire(&entry.path()).is_ok() {
            // Another process may be removing it as well.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// When a directory of this name was made.
fn born_ms(name: &str) -> Option<u64> {
    let born: u64 = name.split_once('-')?.0.parse().ok()?;
    (born < u64::MAX / 2).then_some(born)
}

static NUMBER: AtomicU32 = AtomicU32::new(0);
/// What the name of a directory begins with until it is locked.
const UNBORN: &str = ".new-";
/// A process needs less time than this between making its directory and locking it.
const YOUNG_MS: u64 = 60_000;
/// How often a directory is tried to be removed.
const REMOVALS_MAX: u32 = 100;
/// Directories looked at by one process, so that none pays for a thousand killed ones.
const SWEEP_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(base: &Path) -> Vec<String> {
        let entries = fs::read_dir(base).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_nobody_holds_goes_with_the_next() {
        let base = tempfile::tempdir().unwrap();
        let mine = Scratch::fresh(base.path(), Fate::Removed).unwrap();
        let now = wall_ms();
        let killed = base.path().join(format!("{now}-1-0"));
        let starting = base.path().join(format!("{UNBORN}{now}-1-1"));
        let never_started = base.path().join(format!("{UNBORN}1000-1-2"));
        let foreign = base.path().join("notes");
        for path in [&killed, &starting, &never_started, &foreign] {
            make(&path.join("within")).unwrap();
        }
        let next = Scratch::fresh(base.path(), Fate::Removed).unwrap();
        assert!(mine.path().is_dir() && next.path().is_dir());
        assert!(starting.is_dir() && foreign.is_dir());
        assert!(!killed.exists() && !never_started.exists());
        drop((mine, next));
        let kept = Scratch::fresh(base.path(), Fate::Kept).unwrap();
        let stays = kept.path().to_owned();
        drop(kept);
        assert!(stays.is_dir());
        assert_eq!(names(base.path()).len(), 3);
    }
}
