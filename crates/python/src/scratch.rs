//! A directory for one queue, gone when the queue is closed.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use muster_node::clock::wall_ms;
use muster_store::DirLock;

/// A directory that belongs to this process; removed with the value if it is nobody else's.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    fate: Fate,
    _lock: DirLock,
}

/// What becomes of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes with its queue.
    Removed,
    /// It is a project's, which is taken up again.
    Kept,
}

impl Scratch {
    /// Makes a new directory below `base`, and removes those of processes that were killed.
    ///
    /// # Errors
    /// `base` cannot be used.
    pub fn fresh(base: &Path) -> io::Result<Scratch> {
        make(base)?;
        sweep(base);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", wall_ms(), std::process::id());
        Scratch::at(&base.join(name), Fate::Removed)
    }

    /// Takes the directory `path`, made if it is not there, and keeps it.
    ///
    /// # Errors
    /// It cannot be used, or another process has it.
    pub fn kept(path: &Path) -> io::Result<Scratch> {
        Scratch::at(path, Fate::Kept)
    }

    fn at(path: &Path, fate: Fate) -> io::Result<Scratch> {
        make(path)?;
        let lock = DirLock::acquire(path).map_err(io::Error::other)?;
        Ok(Scratch {
            path: path.to_owned(),
            fate,
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
        let born = name
            .to_str()
            .and_then(|name| name.split_once('-')?.0.parse::<u64>().ok());
        let old = born.is_some_and(|born| born.saturating_add(YOUNG_MS) < wall_ms());
        if old && DirLock::acquire(&entry.path()).is_ok() {
            // Another process may be removing it as well.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// How often a directory is tried to be removed.
const REMOVALS_MAX: u32 = 100;
static NUMBER: AtomicU32 = AtomicU32::new(0);
/// A queue starts in less time than this between making its directory and locking it.
const YOUNG_MS: u64 = 60_000;
/// Directories looked at by one queue, so that none pays for a thousand killed ones.
const SWEEP_MAX: usize = 64;
