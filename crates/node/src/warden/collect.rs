//! Taking what a task has left into the content store, without following a link.
//!
//! No process of the task lives by then, so nothing changes underfoot; a task may nevertheless have left anything.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use muster_proto::limits::FILES_PER_TASK_MAX;
use muster_proto::outcome::ReturnedFile;
use muster_proto::task::{FileRef, Need, OutputFile, When};
use muster_proto::{Digest, RelPath};
use muster_store::content::{ContentError, ContentStore};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::glob;
use super::message::{End, Missing, Run, Why};
use super::sweep;

/// Takes the outputs that `run`, which ended so, declares from its sandbox.
///
/// Returns them in the order declared, what one declaration brings by name, and what could not be taken.
pub(super) fn collect(
    store: &ContentStore,
    sandbox: BorrowedFd<'_>,
    run: &Run,
    end: &End,
) -> Result<(Vec<ReturnedFile>, Vec<Missing>), End> {
    let mut harvest = Harvest {
        store,
        sandbox,
        bytes_left: run.output_bytes_max,
        outputs: Vec::new(),
        missing: Vec::new(),
    };
    let ended_well = *end == End::Exited(0);
    let applies = |output: &&OutputFile| match output.when {
        When::Always => true,
        When::Success => ended_well,
        When::Failure => !ended_well,
    };
    for output in run.outputs.iter().filter(applies) {
        harvest.declared(output)?;
    }
    Ok((harvest.outputs, harvest.missing))
}

/// Takes the file that the directory `dir` calls `name` into the store, which may keep the file itself.
///
/// # Errors
/// It is not the regular file `wanted`, or the store fails.
pub(super) fn adopt(
    store: &ContentStore,
    dir: BorrowedFd<'_>,
    name: &str,
    wanted: &Stat,
) -> io::Result<Digest> {
    let found = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if !same_file(&found, wanted) {
        return Err(io::Error::other("another file has taken its place"));
    }
    let path = format!("/proc/self/fd/{}/{name}", dir.as_raw_fd());
    let (digest, _) = store.adopt(path.as_ref()).map_err(store_error)?;
    Ok(digest)
}

/// What the store met on the disk, if it was that.
pub(super) fn store_error(error: ContentError) -> io::Error {
    match error {
        ContentError::Full(error) | ContentError::Disk(error) => error,
        ContentError::WrongDigest { .. }
        | ContentError::TooLong { .. }
        | ContentError::Changed { .. }
        | ContentError::NotAFile { .. }
        | ContentError::Absent { .. }
        | ContentError::NotProved { .. }
        | ContentError::Busy { .. } => io::Error::other(error),
    }
}

/// How a run ends if the store fails it.
pub(super) fn failed(name: &str, error: &io::Error) -> End {
    if is_no_space(error) {
        return End::NoSpace;
    }
    End::CollectingFailed {
        name: name.to_owned(),
        why: error.to_string(),
    }
}

/// Whether another disk would do.
pub(super) fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// What has been found so far.
struct Harvest<'a> {
    store: &'a ContentStore,
    sandbox: BorrowedFd<'a>,
    bytes_left: u64,
    outputs: Vec<ReturnedFile>,
    missing: Vec<Missing>,
}

/// What a directory calls something.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    /// A text.
    Text(String),
    /// Bytes that are no text, escaped.
    Odd(String),
}

/// What there was under a name.
enum Found {
    /// A file, and it is taken.
    File,
    /// A directory, to be looked into.
    Directory,
}

impl Harvest<'_> {
    /// Takes what one declaration names: a file, a directory's files at any depth, or all that match a pattern.
    fn declared(&mut self, output: &OutputFile) -> Result<(), End> {
        let name = &output.name;
        let (parent, last) = name
            .as_str()
            .rsplit_once('/')
            .unwrap_or(("", name.as_str()));
        let dir = match self.descend(parent) {
            Ok(dir) => dir,
            Err(why) => return self.miss(name.as_str(), why, output.need),
        };
        let mut pending = vec![];
        match self.take(dir.as_fd(), name)? {
            Ok(Found::File) => {}
            Ok(Found::Directory) => pending.push(name.clone()),
            Err(Why::Absent) if glob::is_pattern(last) => {
                let names = self.list(dir.as_fd(), name.as_str(), |found| {
                    glob::matches(last, found)
                })?;
                if names.is_empty() && !self.has_taken(|taken| glob::matches(last, taken), parent) {
                    self.miss(name.as_str(), Why::Absent, output.need)?;
                }
                self.members(dir.as_fd(), parent, names, (output.need, &mut pending))?;
            }
            Err(why) => self.miss(name.as_str(), why, output.need)?,
        }
        while let Some(name) = pending.pop() {
            let dir = match self.descend(name.as_str()) {
                Ok(dir) => dir,
                Err(why) => {
                    self.miss(name.as_str(), why, output.need)?;
                    continue;
                }
            };
            let names = self.list(dir.as_fd(), name.as_str(), |_| true)?;
            self.members(
                dir.as_fd(),
                name.as_str(),
                names,
                (output.need, &mut pending),
            )?;
        }
        Ok(())
    }

    /// Takes the entries `names` of the directory `dir`, called `parent`; directories among them go to `pending`.
    fn members(
        &mut self,
        dir: BorrowedFd<'_>,
        parent: &str,
        names: BTreeSet<Entry>,
        (need, pending): (Need, &mut Vec<RelPath>),
    ) -> Result<(), End> {
        let first = pending.len();
        let full = |name: &str| match parent {
            "" => name.to_owned(),
            _ => format!("{parent}/{name}"),
        };
        for name in names {
            let (shown, name) = match &name {
                Entry::Text(name) => {
                    let full = full(name);
                    (full.escape_default().to_string(), RelPath::new(&full).ok())
                }
                Entry::Odd(shown) => (full(shown), None),
            };
            let Some(name) = name else {
                self.miss(&shown, Why::BadName, need)?;
                continue;
            };
            match self.take(dir, &name)? {
                Ok(Found::File) => {}
                Ok(Found::Directory) => pending.push(name),
                Err(why) => self.miss(name.as_str(), why, need)?,
            }
        }
        // The last is looked into first.
        pending[first..].reverse();
        Ok(())
    }

    /// Looks at the entry of `dir` that the last component of `name` names, and takes it if it is a file.
    fn take(&mut self, dir: BorrowedFd<'_>, name: &RelPath) -> Result<Result<Found, Why>, End> {
        let last = name.as_str().rsplit('/').next().unwrap_or_default();
        let found = match rustix::fs::statat(dir, last, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            // An earlier declaration that names it too has moved it into the store.
            Err(Errno::NOENT) if self.outputs.iter().any(|output| output.name == *name) => {
                return Ok(Ok(Found::File));
            }
            Err(Errno::NOENT) => return Ok(Err(Why::Absent)),
            // The task took away the right to look into the directory.
            Err(Errno::ACCESS) => return Ok(Err(Why::Unreadable)),
            Err(error) => return Err(failed(name.as_str(), &error.into())),
        };
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Ok(Ok(Found::Directory)),
            FileType::Symlink => return Ok(Err(Why::Link)),
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice => {
                return Ok(Err(Why::Irregular));
            }
            FileType::Unknown => return Ok(Err(Why::Irregular)),
        }
        let bytes = found.st_size as u64;
        if bytes > self.bytes_left || self.outputs.len() >= FILES_PER_TASK_MAX {
            return Err(End::TooMuchOutput);
        }
        self.bytes_left -= bytes;
        let digest = match adopt(self.store, dir, last, &found) {
            Ok(digest) => digest,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(Err(Why::Unreadable));
            }
            // A file mounted there cannot be moved or lose its name.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                return Ok(Err(Why::Link));
            }
            Err(error) => return Err(failed(name.as_str(), &error)),
        };
        self.outputs.push(ReturnedFile {
            name: name.clone(),
            file: FileRef { digest, bytes },
            executable: Mode::from_raw_mode(found.st_mode).contains(Mode::XUSR),
        });
        Ok(Ok(Found::File))
    }

    /// Whether an earlier declaration has taken a file of the directory `parent` with such a name.
    fn has_taken(&self, mut wanted: impl FnMut(&str) -> bool, parent: &str) -> bool {
        self.outputs.iter().any(|output| {
            let (dir, last) = output
                .name
                .as_str()
                .rsplit_once('/')
                .unwrap_or(("", output.name.as_str()));
            dir == parent && wanted(last)
        })
    }

    /// Opens the directory `name` of the sandbox one component after the other; the empty name is the sandbox. What is
    /// mounted there is not of the sandbox.
    fn descend(&self, name: &str) -> Result<OwnedFd, Why> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let within = ResolveFlags::NO_XDEV;
        let open = |dir: BorrowedFd<'_>, part: &str| match rustix::fs::openat2(
            dir,
            part,
            flags,
            Mode::empty(),
            within,
        ) {
            Ok(dir) => Ok(dir),
            Err(Errno::XDEV) => Err(Why::Link),
            Err(Errno::ACCESS) => Err(Why::Unreadable),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                match rustix::fs::statat(dir, part, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Symlink => {
                        Err(Why::Link)
                    }
                    _ => Err(Why::Absent),
                }
            }
            Err(_) => Err(Why::Absent),
        };
        let mut dir = open(self.sandbox, ".")?;
        for part in name.split('/').filter(|part| !part.is_empty()) {
            dir = open(dir.as_fd(), part)?;
        }
        Ok(dir)
    }

    /// The entries of `dir`, called `name`, that are `wanted`, in order; those that are no text as they can be shown.
    fn list(
        &self,
        dir: BorrowedFd<'_>,
        name: &str,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Result<BTreeSet<Entry>, End> {
        let mut buffer = [MaybeUninit::uninit(); sweep::BUFFER_BYTES];
        let mut names = BTreeSet::new();
        let listed = sweep::entries(dir, &mut buffer, |entry: &CStr, _| {
            if wanted(&entry.to_string_lossy()) {
                let text = entry.to_str().map(str::to_owned);
                let odd = || entry.to_bytes().escape_ascii().to_string();
                names.insert(text.map_or_else(|_| Entry::Odd(odd()), Entry::Text));
            }
            names.len() <= FILES_PER_TASK_MAX
        });
        listed.map_err(|error| failed(name, &error))?;
        if names.len() > FILES_PER_TASK_MAX {
            return Err(End::TooMuchOutput);
        }
        Ok(names)
    }

    /// Notes what could not be taken, if it was wanted.
    fn miss(&mut self, name: &str, why: Why, need: Need) -> Result<(), End> {
        match need {
            Need::Optional => Ok(()),
            Need::Required if self.missing.len() >= FILES_PER_TASK_MAX => Err(End::TooMuchOutput),
            Need::Required => {
                self.missing.push(Missing {
                    name: name.to_owned(),
                    why,
                });
                Ok(())
            }
        }
    }
}

fn same_file(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino, a.st_mode) == (b.st_dev, b.st_ino, b.st_mode)
}
