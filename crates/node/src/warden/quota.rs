//! What a task occupies on the disk, looked at while it runs and once more when it has ended.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use muster_proto::outcome::Resource;
use muster_proto::{Span, Time};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::clock::Clock;

use super::message::{End, Run};
use super::sweep;

/// The limits of one run.
pub(super) struct Quota {
    bytes_max: Option<u64>,
    files_max: u64,
    /// Files that the worker has put there and that cost nothing, and how long they were.
    given: Vec<(Identity, u64)>,
    next: Time,
}

/// Device and inode.
type Identity = (u64, u64);

impl Quota {
    /// The quota of `run`, whose inputs have just been placed in `sandbox`.
    pub fn of(run: &Run, sandbox: BorrowedFd<'_>, now: Time) -> Self {
        let limited = run.inputs.iter().filter(|_| run.disk_bytes_max.is_some());
        let given = limited.filter_map(|input| {
            let name = input.name.as_str();
            let found = rustix::fs::statat(sandbox, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            Some((identity(&found), input.file.bytes))
        });
        Self {
            bytes_max: run.disk_bytes_max,
            files_max: run.files_max,
            given: given.collect(),
            next: now + LOOK_EVERY,
        }
    }

    /// Looks if it is time to: whether the task occupies more than it may.
    pub fn look(&mut self, clock: &Clock, sandbox: BorrowedFd<'_>) -> io::Result<Option<End>> {
        let begun = clock.now();
        if begun < self.next {
            return Ok(None);
        }
        let end = self.exceeded(sandbox)?;
        let now = clock.now();
        let took = now.since(begun);
        self.next = now + LOOK_EVERY.max(Span(took.0.saturating_mul(REST)));
        Ok(end)
    }

    /// How the run ends if it has left more than a limit of bytes that it was given.
    pub fn left(&self, sandbox: BorrowedFd<'_>) -> io::Result<Option<End>> {
        match self.bytes_max {
            Some(_) => self.exceeded(sandbox),
            None => Ok(None),
        }
    }

    fn exceeded(&self, sandbox: BorrowedFd<'_>) -> io::Result<Option<End>> {
        let used = self.measure(sandbox)?;
        let bytes_max = self.bytes_max.unwrap_or(u64::MAX);
        let over = [
            (Resource::Disk, used.bytes, bytes_max),
            (Resource::Files, used.files, self.files_max),
        ];
        let over = over.into_iter().find(|(_, used, max)| used > max);
        Ok(over.map(|(resource, measured, limit)| End::Exhausted {
            resource,
            measured,
            limit,
        }))
    }

    /// What the sandbox holds, down to [`DEPTH_MAX`] levels. The task may change it meanwhile; what goes while one
    /// looks is not counted.
    fn measure(&self, sandbox: BorrowedFd<'_>) -> io::Result<Used> {
        let mut used = Used::default();
        let read = |fd| Level::read(fd, self.files_max);
        let mut levels = vec![read(open(sandbox, c".")?)?];
        loop {
            let depth = levels.len();
            let Some(level) = levels.last_mut() else {
                break;
            };
            if used.files > self.files_max {
                break;
            }
            let Some((name, kind)) = level.left.pop() else {
                levels.pop();
                continue;
            };
            used.files += 1;
            let dir = level.fd.as_fd();
            if kind != FileType::Directory {
                match rustix::fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(found) => used.add(&found, &self.given),
                    Err(Errno::NOENT | Errno::ACCESS) => {}
                    Err(error) => return Err(error.into()),
                }
            } else if depth < DEPTH_MAX
                // One that the task has closed to itself is closed to what it writes as well.
                && let Ok(below) = open(dir, &name).and_then(read)
            {
                levels.push(below);
            }
        }
        Ok(used)
    }
}

/// What was counted.
#[derive(Default)]
struct Used {
    bytes: u64,
    files: u64,
    /// Files with several names that have been counted.
    linked: BTreeSet<Identity>,
}

impl Used {
    fn add(&mut self, found: &Stat, given: &[(Identity, u64)]) {
        let identity = identity(found);
        if found.st_nlink > 1 && !self.linked.insert(identity) {
            return;
        }
        // A file with holes takes what is in it.
        let bytes = found.st_blocks as u64 * 512;
        let given = given.iter().find(|(known, _)| *known == identity);
        let free = given.map_or(0, |(_, bytes)| bytes.next_multiple_of(BLOCK_BYTES));
        self.bytes += bytes.saturating_sub(free);
    }
}

/// A directory that is being looked at.
struct Level {
    fd: OwnedFd,
    left: Vec<(CString, FileType)>,
}

impl Level {
    /// Reads the names in a directory, as many as matter.
    fn read(fd: OwnedFd, files_max: u64) -> io::Result<Self> {
        let mut buffer = [MaybeUninit::uninit(); sweep::BUFFER_BYTES];
        let mut left = Vec::new();
        sweep::entries(fd.as_fd(), &mut buffer, |name, kind| {
            left.push((name.to_owned(), kind));
            left.len() as u64 <= files_max
        })?;
        Ok(Self { fd, left })
    }
}

fn open(dir: BorrowedFd<'_>, name: &std::ffi::CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

fn identity(found: &Stat) -> Identity {
    (found.st_dev, found.st_ino)
}

/// How often it is looked at.
const LOOK_EVERY: Span = Span::secs(1);
/// How much longer than a look takes one waits for the next: large sandboxes cost 2 % of a processor.
const REST: u64 = 50;
/// Directories in each other, each of which costs a descriptor.
const DEPTH_MAX: usize = 256;
/// Disks count in these.
const BLOCK_BYTES: u64 = 4_096;
