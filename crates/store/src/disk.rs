//! The system calls that change a journal, one function each.
//!
//! They are gathered here so that tests can make any one of them fail, or all of them from some point on, which is
//! what a crash looks like to the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

/// Makes an empty file that only its owner may read, taking the name from what had it, be it a link.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    step()?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Writes all of `bytes` at offset `at`.
pub(crate) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    if let Err(fault) = step() {
        file.write_all_at(&bytes[..bytes.len() / 2], at)?;
        return Err(fault);
    }
    file.write_all_at(bytes, at)
}

/// Cuts or extends a file.
pub(crate) fn set_len(file: &File, bytes: u64) -> io::Result<()> {
    step()?;
    file.set_len(bytes)
}

/// Makes the contents durable, and the size as far as reading them needs it.
pub(crate) fn sync_data(file: &File) -> io::Result<()> {
    step()?;
    file.sync_data()
}

/// Makes contents, size and attributes durable.
pub(crate) fn sync_all(file: &File) -> io::Result<()> {
    step()?;
    file.sync_all()
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    step()?;
    File::open(dir)?.sync_all()
}

/// Gives a file another name, replacing atomically what had it.
pub(crate) fn rename(source: &Path, target: &Path) -> io::Result<()> {
    step()?;
    std::fs::rename(source, target)
}

/// Removes a name.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    step()?;
    std::fs::remove_file(path)
}

/// Makes a directory and its parents, for the owner only; one that exists is left as it is.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    step()?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        Some(_) | None => sync_dir(Path::new(".")),
    }
}

/// Reserves zeroed room after `at`, which makes small commits a third faster; where it cannot be had, files just grow.
pub(crate) fn reserve(file: &File, at: u64, bytes: u64) {
    let _ = fallocate(file, FallocateFlags::empty(), at, bytes);
}

/// Draws a number that nobody who writes payloads can guess.
pub(crate) fn draw() -> io::Result<u32> {
    let mut bytes = [0; 4];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Tells "no room" (free some and try again) from other trouble.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

#[cfg(not(test))]
fn step() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
use fault::step;

/// Faults of this thread's disk, for tests.
#[cfg(test)]
pub(crate) mod fault {
    use std::cell::Cell;
    use std::io;

    /// Which of the coming steps fail, counted from 0.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Plan {
        /// Only the one of this number.
        Once(u32),
        /// This one and all that follow: the process is dead to the disk.
        From(u32),
    }

    thread_local! {
        static PLAN: Cell<Option<(Plan, rustix::io::Errno)>> = const { Cell::new(None) };
        static STEPS: Cell<u32> = const { Cell::new(0) };
    }

    /// Starts counting steps again and fails them by `plan` with `errno`, while `during` runs.
    ///
    /// Returns what `during` returned and how many steps it took.
    pub(crate) fn with<T>(
        plan: Plan,
        errno: rustix::io::Errno,
        during: impl FnOnce() -> T,
    ) -> (T, u32) {
        STEPS.set(0);
        PLAN.set(Some((plan, errno)));
        let result = during();
        PLAN.set(None);
        (result, STEPS.get())
    }

    pub(super) fn step() -> io::Result<()> {
        let step = STEPS.get();
        STEPS.set(step + 1);
        match PLAN.get() {
            Some((Plan::Once(at), errno)) if at == step => Err(errno.into()),
            Some((Plan::From(at), errno)) if at <= step => Err(errno.into()),
            Some(_) | None => Ok(()),
        }
    }
}
