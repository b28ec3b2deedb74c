//! Removing what tasks leave, by descriptors and without following a link.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, IFlags, Mode, OFlags, RawDir, ResolveFlags, SeekFrom, Stat,
};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

/// Removes what is at `path`, a directory with all it holds; nothing there is fine. Links on the way to it are
/// followed, it is not.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let name = CString::new(name.as_encoded_bytes())?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, parent, flags, Mode::empty()) {
        Ok(parent) => remove_at(parent.as_fd(), &name),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes what the directory `parent` calls `name`, a directory with all it holds; nothing there is fine.
///
/// # Errors
/// See [`empty`].
pub(super) fn remove_at(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    match unlink(parent, name) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        removed => return Ok(removed?),
    }
    let Some(top) = enter(parent, name)? else {
        return Ok(());
    };
    empty(top.as_fd())?;
    remove_directory(parent, name)
}

/// Removes all that the directory `top` holds, however deep, with at most [`DEPTH_MAX`] descriptors.
///
/// What is mounted in it is unmounted and never entered: it is another's.
///
/// # Errors
/// The disk, or something that this process has no right to remove.
pub(super) fn empty(top: BorrowedFd<'_>) -> io::Result<()> {
    let mut levels = vec![Level::new(top.try_clone_to_owned()?, CString::default())];
    loop {
        let depth = levels.len();
        let Some(level) = levels.last_mut() else {
            return Ok(());
        };
        let here = &level.fd;
        if level.below.is_empty() {
            level.below = remove_files(here.as_fd())?;
        }
        let Some(name) = level.below.pop() else {
            let done = levels.pop().map(|level| level.name).unwrap_or_default();
            if let Some(parent) = levels.last() {
                remove_directory(parent.fd.as_fd(), &done)?;
            }
            continue;
        };
        // A directory is moved only by who may write to it, which entering sees to.
        let Some(fd) = enter(here.as_fd(), &name)? else {
            continue;
        };
        if depth == DEPTH_MAX {
            // Deeper trees are cut off and brought up, so that depth costs no descriptors.
            rustix::fs::renameat(here, &name, top, fresh_name()?)?;
        } else {
            levels.push(Level::new(fd, name));
        }
    }
}

/// A name that no task has guessed and put something else under.
fn fresh_name() -> io::Result<String> {
    let mut name = [0; 16];
    let drawn = rustix::rand::getrandom(&mut name, rustix::rand::GetRandomFlags::empty())?;
    if drawn < name.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(format!(".hoisted-{:032x}", u128::from_le_bytes(name)))
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
        let removed = match flags {
            AtFlags::REMOVEDIR => rustix::fs::unlinkat(dir, &name, flags),
            _ => unlink(dir, &name),
        };
        match removed {
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
    let remove = || rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR);
    let removed = match remove() {
        Err(Errno::PERM) if thaw(parent) => remove(),
        removed => removed,
    };
    match removed {
        // Hoisting a part of it has left its parent to a later look.
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes a name that is no directory's; nothing there is fine.
fn unlink(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    loop {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY) => unmount(parent, name)?,
            Err(Errno::PERM) if thaw(parent) | thaw_entry(parent, name) => {}
            removed => return removed,
        }
    }
}

/// Opens a directory for emptying, giving its owner the rights that this needs. `None` if there is none after all;
/// what else has its name is removed.
fn enter(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<OwnedFd>> {
    let fd = loop {
        match open(parent, name, OFlags::RDONLY) {
            Ok(fd) => break fd,
            Err(Errno::XDEV) => unmount(parent, name)?,
            Err(Errno::ACCESS) => {
                let path = open(parent, name, OFlags::PATH)?;
                rustix::fs::chmod(format!("/proc/self/fd/{}", path.as_raw_fd()), Mode::RWXU)?;
            }
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                unlink(parent, name)?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
    };
    thaw(fd.as_fd());
    if Mode::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) & Mode::RWXU != Mode::RWXU {
        rustix::fs::fchmod(&fd, Mode::RWXU)?;
    }
    Ok(Some(fd))
}

/// Opens a directory that is no link and on which nothing is mounted.
fn open(parent: BorrowedFd<'_>, name: &CStr, access: OFlags) -> Result<OwnedFd, Errno> {
    let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat2(parent, name, flags, Mode::empty(), ResolveFlags::NO_XDEV)
}

/// What the directory `parent` calls `name`; `XDEV` if something is mounted on it.
pub(super) fn look(parent: BorrowedFd<'_>, name: &CStr) -> Result<Stat, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let within = ResolveFlags::NO_XDEV;
    let found = rustix::fs::openat2(parent, name, flags, Mode::empty(), within)?;
    rustix::fs::fstat(found)
}

/// Lets a file or directory be changed that was made immutable or for appending only; says whether it was.
pub(super) fn thaw(fd: BorrowedFd<'_>) -> bool {
    let frozen = IFlags::IMMUTABLE | IFlags::APPEND;
    // Many file systems have no such flags.
    let found = rustix::fs::ioctl_getflags(fd).unwrap_or(IFlags::empty());
    found.intersects(frozen) && rustix::fs::ioctl_setflags(fd, found - frozen).is_ok()
}

/// The same for an entry of a directory, if it is of a kind that can have such flags.
fn thaw_entry(parent: BorrowedFd<'_>, name: &CStr) -> bool {
    let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    let is_plain = found.is_ok_and(|found| {
        let kind = FileType::from_raw_mode(found.st_mode);
        kind == FileType::RegularFile || kind == FileType::Directory
    });
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = || rustix::fs::openat2(parent, name, flags, Mode::empty(), ResolveFlags::NO_XDEV);
    is_plain && open().is_ok_and(|fd| thaw(fd.as_fd()))
}

/// Takes away what a task that may mount has mounted on a name; what was there stays wherever else it is.
fn unmount(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let mut path = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
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
