//! Standard output and error of a slot: two files, opened once, emptied between tasks.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use muster_proto::outcome::Stream;
use muster_store::content::ContentStore;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::collect;
use super::message::{End, Run};
use super::sys::{self, Standard};

/// The files behind this process's standard streams, which tasks inherit.
pub(super) struct Streams {
    /// The directory of the slot.
    slot: OwnedFd,
    out: Tape,
    err: Tape,
}

impl Streams {
    /// Makes them in the slot's directory and puts them in place of this process's standard output and error.
    pub fn create(slot: OwnedFd) -> io::Result<Self> {
        let out = Tape::create(slot.as_fd(), "out")?;
        let err = Tape::create(slot.as_fd(), "err")?;
        sys::redirect(Standard::Out, out.file.as_fd())?;
        sys::redirect(Standard::Err, err.file.as_fd())?;
        Ok(Self { slot, out, err })
    }

    /// Whether one of them has outgrown the limit of `run`.
    pub fn exceed(&self, run: &Run) -> io::Result<bool> {
        Ok(self.out.bytes()?.max(self.err.bytes()?) > run.stream_bytes_max)
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
        Ok(match (out.stream, err.stream) {
            (Ok(out), Ok(err)) => Ok((out, err)),
            (Err(end), _) | (_, Err(end)) => Err(end),
        })
    }
}

/// One stream's file.
struct Tape {
    file: File,
    /// What the slot's directory calls it.
    name: &'static str,
}

/// What [`Tape::take`] found.
struct Taken {
    stream: Result<Stream, End>,
    /// Whether the tape has another file afterwards.
    is_renewed: bool,
}

impl Tape {
    fn create(slot: BorrowedFd<'_>, name: &'static str) -> io::Result<Self> {
        match rustix::fs::unlinkat(slot, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(slot, name, flags, Mode::RUSR | Mode::WUSR)?.into();
        Ok(Self { file, name })
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.file)?.st_size as u64)
    }

    fn take(&mut self, store: &ContentStore, slot: BorrowedFd<'_>, run: &Run) -> io::Result<Taken> {
        let bytes = self.bytes()?;
        // The task shares this open file and may have changed its flags.
        rustix::fs::fcntl_setfl(&self.file, OFlags::APPEND)?;
        if bytes == 0 {
            return Ok(Taken {
                stream: Ok(Stream::default()),
                is_renewed: false,
            });
        }
        let mut tail = vec![0; bytes.min(run.tail_bytes_max as u64) as usize];
        let head_bytes = bytes - tail.len() as u64;
        self.file.read_exact_at(&mut tail, head_bytes)?;
        if head_bytes == 0 {
            rustix::fs::ftruncate(&self.file, 0)?;
            return Ok(Taken {
                stream: Ok(Stream {
                    bytes,
                    tail,
                    file: None,
                }),
                is_renewed: false,
            });
        }
        let stream = match collect::adopt(store, slot, self.name, &rustix::fs::fstat(&self.file)?) {
            Ok(digest) => Ok(Stream {
                bytes,
                tail,
                file: Some(digest),
            }),
            Err(error) => Err(collect::failed(self.name, &error)),
        };
        // The store may have kept the file itself.
        *self = Self::create(slot, self.name)?;
        Ok(Taken {
            stream,
            is_renewed: true,
        })
    }
}
