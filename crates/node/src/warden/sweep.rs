//! Removing what tasks leave, by descriptors and without following a link.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

/// Removes the directory at `path` with all it holds; nothing there is fine.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        found => found?,
    };
    let name = CString::new(path.as_os_str().as_encoded_bytes())?;
    let top = open(CWD, &name)?;
    empty(top.as_fd())?;
    Ok(rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
}

/// Removes all that the directory `top` holds, however deep, with at most [`DEPTH_MAX`] descriptors.
///
/// # Errors
/// Something cannot be removed: a mount point, a file made immutable.
pub(super) fn empty(top: BorrowedFd<'_>) -> io::Result<()> {
    let mut levels = vec![Level::new(top.try_clone_to_owned()?, CString::default())];
    let mut hoisted = 0_u32;
    while let Some(level) = levels.last_mut() {
        if level.below.is_empty() {
            level.below = remove_files(level.fd.as_fd())?;
        }
        let Some(name) = level.below.pop() else {
            let done = levels.pop().map(|level| level.name).unwrap_or_default();
            if let Some(parent) = levels.last() {
                remove_directory(parent.fd.as_fd(), &done)?;
            }
            continue;
        };
        if levels.len() < DEPTH_MAX {
            let fd = open(levels[levels.len() - 1].fd.as_fd(), &name)?;
            levels.push(Level::new(fd, name));
        } else {
            // Deeper trees are cut off and brought up, so that depth costs no descriptors.
            hoisted += 1;
            let here = &levels[levels.len() - 1].fd;
            // A directory is moved only by who may write to it, which opening sees to.
            drop(open(here.as_fd(), &name)?);
            rustix::fs::renameat(
                here,
                &name,
                top,
                format!(".hoisted-{hoisted}-{}", rustix::process::getpid()),
            )?;
        }
    }
    Ok(())
}

/// Calls `each` with every entry's name and type until it says false. The buffer is the caller's to reuse.
pub(super) fn entries(
    dir: BorrowedFd<'_>,
    buffer: &mut [MaybeUninit<u8>],
    mut each: impl FnMut(&CStr, FileType) -> bool,
) -> io::Result<()> {
    rustix::fs::seek(dir, SeekFrom::Start(0))?;
    let mut entries = RawDir::new(dir, buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." && !each(name, entry.file_type()) {
            break;
        }
    }
    Ok(())
}

/// Bytes that [`entries`] wants: some hundreds of names per system call.
pub(super) const BUFFER_BYTES: usize = 16 << 10;

/// A directory that is being emptied.
struct Level {
    fd: OwnedFd,
    /// What its parent calls it.
    name: CString,
    /// Directories found in it and not yet removed.
    below: Vec<CString>,
}

impl Level {
    fn new(fd: OwnedFd, name: CString) -> Self {
        Self {
            fd,
            name,
            below: Vec::new(),
        }
    }
}

/// Removes all that is no directory and returns what remains.
fn remove_files(dir: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
    let mut names = Vec::new();
    entries(dir, &mut buffer, |name, kind| {
        names.push((name.to_owned(), kind));
        true
    })?;
    let mut below = Vec::new();
    for (name, kind) in names {
        let flags = if kind == FileType::Directory {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        match rustix::fs::unlinkat(dir, &name, flags) {
            Ok(()) | Err(Errno::NOENT) => {}
            // A file system that does not tell types says "unknown" of directories.
            Err(_) if kind == FileType::Directory => below.push(name),
            Err(Errno::ISDIR | Errno::PERM) if kind == FileType::Unknown => below.push(name),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(below)
}

fn remove_directory(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        // Hoisting a part of it has left its parent to a later look.
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a directory for emptying, giving its owner the rights that this needs.
fn open(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(parent, name, flags | OFlags::RDONLY, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let path = rustix::fs::openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
            rustix::fs::chmod(format!("/proc/self/fd/{}", path.as_raw_fd()), Mode::RWXU)?;
            rustix::fs::openat(parent, name, flags | OFlags::RDONLY, Mode::empty())?
        }
        opened => opened?,
    };
    if Mode::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) & Mode::RWXU != Mode::RWXU {
        rustix::fs::fchmod(&fd, Mode::RWXU)?;
    }
    Ok(fd)
}

/// Directories open at a time.
const DEPTH_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_deep_tree_with_closed_doors_and_links_goes_and_what_the_links_name_stays() {
        let base = std::env::temp_dir().join(format!("muster-sweep-{}", std::process::id()));
        let top = base.join("top");
        fs::create_dir_all(&top).expect("a directory");
        fs::write(base.join("kept"), "kept").expect("a file");
        let mut dir = rustix::fs::openat(CWD, &top, OFlags::RDONLY, Mode::empty()).expect("open");
        for depth in 0..3 * DEPTH_MAX {
            rustix::fs::symlinkat("../kept", &dir, "link").expect("a link");
            rustix::fs::symlinkat(&base, &dir, "way out").expect("a link");
            rustix::fs::mkdirat(&dir, "empty", Mode::RWXU).expect("mkdir");
            rustix::fs::mkdirat(&dir, "down", Mode::RWXU).expect("mkdir");
            let next =
                rustix::fs::openat(&dir, "down", OFlags::RDONLY, Mode::empty()).expect("open");
            if depth % 5 == 0 {
                rustix::fs::fchmod(&dir, Mode::empty()).expect("chmod");
            }
            dir = next;
        }
        remove_tree(&top).expect("removed");
        assert!(!top.exists());
        assert_eq!(
            fs::read_to_string(base.join("kept")).expect("still there"),
            "kept"
        );
        remove_tree(&top).expect("nothing to remove");
        remove_tree(&base).expect("removed");
    }
}
