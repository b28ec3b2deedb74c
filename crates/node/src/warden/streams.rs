//! Standard output and error of a slot: two files, opened once, emptied between tasks.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use muster_proto::Digest;
use muster_proto::outcome::Stream;
use muster_store::content::ContentStore;
use rustix::fs::{AtFlags, Mode, OFlags, Stat};

use super::collect;
use super::message::{End, Run};
use super::sweep;
use super::sys::{self, Standard};

/// The files behind this process's standard streams, which tasks inherit.
pub(super) struct Streams {
    /// The directory of the slot.
    slot: OwnedFd,
    out: Tape,
    err: Tape,
    /// Whether programs started before the last [`Streams::take`] write to files that are not these any more.
    renewed: bool,
}

impl Streams {
    /// Makes them in the slot's directory and puts them in place of this process's standard output and error.
    pub fn create(slot: OwnedFd) -> io::Result<Self> {
        let out = Tape::create(slot.as_fd(), OUT)?;
        let err = Tape::create(slot.as_fd(), ERR)?;
        sys::redirect(Standard::Out, out.file.as_fd())?;
        sys::redirect(Standard::Err, err.file.as_fd())?;
        Ok(Self {
            slot,
            out,
            err,
            renewed: false,
        })
    }

    /// Whether one of them has outgrown the limit of `run`.
    pub fn exceed(&self, run: &Run) -> io::Result<bool> {
        Ok(self.out.bytes()?.max(self.err.bytes()?) > run.stream_bytes_max)
    }

    /// Whether what a program writes that was there before the last [`Streams::take`] is lost.
    pub fn is_renewed(&self) -> bool {
        self.renewed
    }

    /// What the task has written, both emptied for the next. Contents longer than the tail go to the store.
    pub fn take(
        &mut self,
        store: &ContentStore,
        run: &Run,
    ) -> io::Result<Result<(Stream, Stream), End>> {
        let out = self.out.take(store, self.slot.as_fd(), run)?;
        if out.is_renewed {
            sys::redirect(Standard::Out, self.out.file.as_fd())?;
        }
        let err = self.err.take(store, self.slot.as_fd(), run)?;
        if err.is_renewed {
            sys::redirect(Standard::Err, self.err.file.as_fd())?;
        }
        self.renewed = out.is_renewed || err.is_renewed;
        Ok(match (out.stream, err.stream) {
            (Ok(out), Ok(err)) => Ok((out, err)),
            (Err(end), _) | (_, Err(end)) => Err(end),
        })
    }
}

/// What the files are called in the directory of the slot.
pub(super) const OUT: &CStr = c"out";
/// See [`OUT`].
pub(super) const ERR: &CStr = c"err";

/// One stream's file.
struct Tape {
    file: File,
    /// What the slot's directory calls it.
    name: &'static CStr,
}

/// What [`Tape::take`] found.
struct Taken {
    stream: Result<Stream, End>,
    /// Whether the tape has another file afterwards.
    is_renewed: bool,
}

impl Tape {
    fn create(slot: BorrowedFd<'_>, name: &'static CStr) -> io::Result<Self> {
        sweep::remove_at(slot, name)?;
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(slot, name, flags, Mode::RUSR | Mode::WUSR)?.into();
        Ok(Self { file, name })
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.file)?.st_size as u64)
    }

    fn take(&mut self, store: &ContentStore, slot: BorrowedFd<'_>, run: &Run) -> io::Result<Taken> {
        let own = rustix::fs::fstat(&self.file)?;
        let bytes = own.st_size as u64;
        // The task shares this open file and may have changed its flags.
        rustix::fs::fcntl_setfl(&self.file, OFlags::APPEND)?;
        let mut tail = vec![0; bytes.min(run.tail_bytes_max as u64) as usize];
        let head_bytes = bytes - tail.len() as u64;
        self.file.read_exact_at(&mut tail, head_bytes)?;
        let is_excessive = bytes > run.stream_bytes_max;
        let file = if head_bytes == 0 || is_excessive {
            // What is too long is not worth reading, which could take for ever if it is all hole.
            Ok(None)
        } else {
            self.keep(store, slot, &own).map(Some)
        };
        let is_renewed = head_bytes > 0
            || !self.is_as_made(slot, &own)
            || (bytes > 0 && rustix::fs::ftruncate(&self.file, 0).is_err());
        if is_renewed {
            // The store may have kept the file itself, or the task has kept it or put something else in its place.
            *self = Self::create(slot, self.name)?;
        }
        let stream = file.map(|file| Stream { bytes, tail, file });
        let name = self.name.to_string_lossy();
        Ok(Taken {
            stream: stream.map_err(|error| collect::failed(&name, &error)),
            is_renewed,
        })
    }

    /// Puts what was written into the store, whatever the task has done to the file's name.
    fn keep(&self, store: &ContentStore, slot: BorrowedFd<'_>, own: &Stat) -> io::Result<Digest> {
        if self.is_as_made(slot, own) {
            // Root's tasks may have made it immutable.
            sweep::thaw(self.file.as_fd());
            return collect::adopt(store, slot, &self.name.to_string_lossy(), own);
        }
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let imported = store.import(path.as_ref());
        Ok(imported.map_err(collect::store_error)?.0)
    }

    /// Whether the file, which is like `own`, still has its name, no other, and its permissions.
    fn is_as_made(&self, slot: BorrowedFd<'_>, own: &Stat) -> bool {
        let found = rustix::fs::statat(slot, self.name, AtFlags::SYMLINK_NOFOLLOW);
        let mode = Mode::from_raw_mode(own.st_mode);
        own.st_nlink == 1
            && mode == Mode::RUSR | Mode::WUSR
            && found.is_ok_and(|found| (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino))
    }
}
