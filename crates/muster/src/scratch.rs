//! A directory for one command, below the user's state, gone when the command ends.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use muster_node::clock::wall_ms;
use muster_store::DirLock;

use crate::error::CliError;
use crate::places;

/// A directory that belongs to this process.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    fate: Fate,
    /// Tells a later command that somebody is still here.
    _lock: DirLock,
}

/// What becomes of a scratch directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes with its process.
    Removed,
    /// It stays, for a person to look at.
    Kept,
}

impl Scratch {
    /// Makes a directory, and removes those of processes that were killed.
    ///
    /// # Errors
    /// The state directory cannot be used.
    pub fn new(fate: Fate) -> Result<Scratch, CliError> {
        let state = places::state()?;
        let runs = state.join("runs");
        sweep(&runs);
        let base = match fate {
            Fate::Removed => runs,
            Fate::Kept => state.join("kept"),
        };
        let path = base.join(format!("{}-{}", wall_ms(), std::process::id()));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|source| CliError::file(&path, source))?;
        let lock = DirLock::acquire(&path)
            .map_err(|error| CliError::file(&path, std::io::Error::other(error)))?;
        Ok(Scratch {
            path,
            fate,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        match self.fate {
            Fate::Kept => {}
            // What cannot be removed is tried again by the next command.
            Fate::Removed => drop(fs::remove_dir_all(&self.path)),
        }
    }
}

/// Removes the directories that nobody holds. One that is being made has no lock yet, but is not old either.
fn sweep(runs: &Path) {
    let Ok(entries) = fs::read_dir(runs) else {
        return;
    };
    for entry in entries.flatten().take(SWEEP_MAX) {
        let born = entry.file_name().to_str().and_then(born_ms);
        let old = born.is_some_and(|born| born.saturating_add(YOUNG_MS) < wall_ms());
        if old && DirLock::acquire(&entry.path()).is_ok() {
            // Another command may be removing it as well.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

fn born_ms(name: &str) -> Option<u64> {
    name.split_once('-')?.0.parse().ok()
}

/// A command starts in less time than this between making its directory and locking it.
const YOUNG_MS: u64 = 60_000;
/// Directories looked at by one command, so that no command pays for a thousand killed ones.
const SWEEP_MAX: usize = 64;
