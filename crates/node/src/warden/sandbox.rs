//! The directory a task runs in: empty at its start, its working directory, reused if it is left as it was found.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use muster_proto::task::{FileRef, Form, InputFile};
use muster_proto::{Digest, RelPath};
use muster_store::content::{ContentError, ContentStore, Placement, Stamp, Use};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::path::Arg;

use super::collect;
use super::message::{End, Run};
use super::spares::{SPARES, Spares};
use super::streams::{ERR, OUT};
use super::sweep;
use super::unpack::{Unpacker, Unpacking};

/// What a file of the store is called: its digest and what it is for.
type Name = (Digest, Use);

/// The sandbox of a slot; also the working directory of the warden, so that a task need not change to it.
pub(super) struct Sandbox {
    /// The directory of the slot, which holds the sandbox and the streams.
    slot: OwnedFd,
    dir: OwnedFd,
    path: String,
    /// Copies of large inputs, if links to the store's files are not safe from tasks.
    spares: Option<Spares>,
    /// The store's own files of which the present run has links, and what they were like.
    linked: BTreeMap<Name, Option<Stamp>>,
    /// What [`sweep::entries`] reads into.
    buffer: Vec<MaybeUninit<u8>>,
}

impl Sandbox {
    /// Makes the slot's directory and the sandbox in it, removing what an earlier warden has left, and goes there.
    ///
    /// # Errors
    /// The disk; the directory of the slots is a link.
    pub fn create(slot_path: &str) -> io::Result<Self> {
        let (slots, name) = slot_path.rsplit_once('/').unwrap_or((".", slot_path));
        let slots = open_directory(CWD, slots)?;
        sweep::remove_at(slots.as_fd(), &CString::new(name)?)?;
        rustix::fs::mkdirat(&slots, name, Mode::RWXU)?;
        let slot = open_directory(slots.as_fd(), name)?;
        let spares = match rustix::process::geteuid().is_root() {
            true => Some(Spares::create(slot.try_clone()?)?),
            false => None,
        };
        Ok(Self {
            dir: create_box(&slot)?,
            spares,
            linked: BTreeMap::new(),
            slot,
            path: format!("{slot_path}/{}", BOX.to_string_lossy()),
            buffer: vec![MaybeUninit::uninit(); sweep::BUFFER_BYTES],
        })
    }

    /// Its absolute path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its descriptor.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Another descriptor of the directory of the slot.
    pub fn slot(&self) -> io::Result<OwnedFd> {
        self.slot.try_clone()
    }

    /// Gives up the copies that the present run does not have.
    ///
    /// # Errors
    /// The disk.
    pub fn free(&mut self) -> io::Result<()> {
        self.spares.iter_mut().try_for_each(Spares::free)
    }

    /// Places the inputs of `run`, making the directories in their names.
    pub fn stage(&mut self, store: &ContentStore, run: &Run) -> Result<(), End> {
        self.spares.iter_mut().for_each(Spares::begin);
        self.linked.clear();
        let is_archive = |input: &&InputFile| input.form == Form::Archive;
        for input in run.inputs.iter().filter(|input| !is_archive(input)) {
            if let Err(error) = self
                .parents(&input.name)
                .and_then(|()| self.place(store, input))
            {
                return Err(if collect::is_no_space(&error) {
                    End::NoSpace
                } else {
                    End::StagingFailed {
                        name: input.name.clone(),
                        why: error.to_string(),
                    }
                });
            }
        }
        // Last, for they may hold links, through which nothing else is to be placed.
        let mut archives = run.inputs.iter().filter(is_archive);
        archives.try_for_each(|input| self.unpack(store, run, input))
    }

    fn unpack(&self, store: &ContentStore, run: &Run, input: &InputFile) -> Result<(), End> {
        let digest = input.file.digest;
        let name = || input.name.clone();
        let failed = |why: String| End::StagingFailed { name: name(), why };
        let contents = store.open_object(digest);
        let contents = contents.map_err(|error| failed(error.to_string()))?;
        let mut unpacker = Unpacker::new(self.dir(), &input.name, run);
        match unpacker.unpack(contents, digest) {
            Ok(()) => Ok(()),
            Err(Unpacking::Fault(fault)) => Err(End::BadArchive {
                name: name(),
                fault,
            }),
            Err(Unpacking::Exhausted {
                resource,
                measured,
                limit,
            }) => Err(End::Exhausted {
                resource,
                measured,
                limit,
            }),
            Err(Unpacking::Rotten) => {
                // Out with it, so that it is fetched again.
                let _ = store.verify(digest);
                Err(failed("its contents have rotted".to_owned()))
            }
            Err(Unpacking::Disk(error)) if collect::is_no_space(&error) => Err(End::NoSpace),
            Err(Unpacking::Disk(error)) => Err(failed(error.to_string())),
        }
    }

    /// Looks for inputs written to since they were staged at `staged_ms`, a wall time, and has the store drop what is no
    /// longer what its name says. Returns what that was.
    ///
    /// Large inputs are links to the store's own read-only files, unless root runs the tasks; whoever changes the
    /// permissions can write to them, and take away the name by which it did. So it is the store's files that are
    /// looked at: two system calls each, one for the permissions, which are put right; those that are not as they were,
    /// or new at the time, are hashed.
    pub fn spoiled(&self, store: &ContentStore, staged_ms: u64) -> Vec<Digest> {
        for (digest, usage) in self.linked.keys() {
            // What cannot be mended shows when it is placed again.
            let _ = store.mend(*digest, *usage);
        }
        let is_suspect = |(linked, before): &(&Name, &Option<Stamp>)| {
            let now = store.stamp(linked.0, linked.1);
            let settled_ms = i128::from(staged_ms.saturating_sub(FILE_TIME_SLACK_MS));
            let is_settled = |now: Stamp| now.mtime_ns / 1_000_000 < settled_ms;
            now != **before || !now.is_some_and(is_settled)
        };
        let suspects = self.linked.iter().filter(is_suspect);
        let suspects: BTreeSet<Digest> = suspects.map(|(linked, _)| linked.0).collect();
        let is_spoiled = |digest: &Digest| matches!(store.verify(*digest), Ok(false));
        suspects.into_iter().filter(is_spoiled).collect()
    }

    /// Whether its disk has no room left.
    pub fn is_full(&self) -> io::Result<bool> {
        Ok(free_bytes(self.dir())? < FULL_BYTES)
    }

    /// Whether its path, which tasks are told, still leads to it.
    pub fn is_in_place(&self) -> io::Result<bool> {
        let own = rustix::fs::fstat(&self.dir)?;
        let found = rustix::fs::statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW);
        Ok(found.is_ok_and(|found| same(&found, &own)))
    }

    /// Removes all that its slot holds, wherever that is.
    pub fn abandon(self) -> io::Result<()> {
        match rustix::fs::fstat(&self.slot)?.st_nlink {
            0 => Ok(()),
            _ => sweep::empty(self.slot.as_fd()),
        }
    }

    /// Takes back the directory of the slot, which the last task may have closed. No process of that task lives.
    pub fn reclaim(&self) -> io::Result<()> {
        if self.spares.is_some() {
            // Root's tasks may have made it immutable.
            sweep::thaw(self.slot.as_fd());
        }
        let found = rustix::fs::fstat(&self.slot)?;
        if Mode::from_raw_mode(found.st_mode) != Mode::RWXU {
            rustix::fs::fchmod(&self.slot, Mode::RWXU)?;
        }
        Ok(())
    }

    /// Makes it empty and as it was made, whatever the last task did to it. No process of that task lives.
    ///
    /// Costs a few system calls, and no change of any directory, if the task left nothing.
    pub fn restore(&mut self) -> io::Result<()> {
        if let Some(spares) = &mut self.spares {
            sweep::thaw(self.dir.as_fd());
            spares.take_back()?;
        }
        self.restore_box()?;
        self.clear_slot()?;
        self.spares.iter_mut().try_for_each(Spares::settle)
    }

    fn restore_box(&mut self) -> io::Result<()> {
        let own = rustix::fs::fstat(&self.dir)?;
        match sweep::look(self.slot.as_fd(), BOX) {
            Ok(found) if same(&found, &own) => {
                if Mode::from_raw_mode(own.st_mode) != Mode::RWXU {
                    rustix::fs::fchmod(&self.dir, Mode::RWXU)?;
                }
                return self.empty();
            }
            // The task has put something else in its place.
            Ok(_) | Err(Errno::XDEV) => sweep::remove_at(self.slot.as_fd(), BOX)?,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        if rustix::fs::fstat(&self.dir)?.st_nlink > 0 {
            // It has been moved away and takes its contents nowhere.
            self.empty()?;
        }
        self.dir = create_box(&self.slot)?;
        Ok(())
    }

    /// Removes what the task has left beside its sandbox.
    fn clear_slot(&mut self) -> io::Result<()> {
        let mut strangers = Vec::new();
        sweep::entries(self.slot.as_fd(), &mut self.buffer, |name, _| {
            if ![BOX, SPARES, OUT, ERR].contains(&name) {
                strangers.push(name.to_owned());
            }
            true
        })?;
        let mut strangers = strangers.iter();
        strangers.try_for_each(|name| sweep::remove_at(self.slot.as_fd(), name))
    }

    fn empty(&mut self) -> io::Result<()> {
        let mut left = false;
        sweep::entries(self.dir.as_fd(), &mut self.buffer, |_, _| {
            left = true;
            false
        })?;
        if left {
            sweep::empty(self.dir.as_fd())?;
        }
        Ok(())
    }

    /// Places one input so that whatever the task does to it stays in the sandbox: what is small is copied, which
    /// verifies it on the way, what is large is linked, or lent to root.
    fn place(&mut self, store: &ContentStore, input: &InputFile) -> io::Result<()> {
        let FileRef { digest, bytes } = input.file;
        let usage = usage_of(input.form);
        let name = input.name.as_ref();
        let placed = match &mut self.spares {
            _ if bytes <= COPIED_BYTES_MAX => store.place(digest, name, Placement::Copy, usage),
            Some(spares) => spares.lend(store, self.dir.as_fd(), input),
            None => store
                .place(digest, name, Placement::HardLink, usage)
                .map(|()| {
                    let stamp = store.stamp(digest, usage);
                    self.linked.insert((digest, usage), stamp);
                }),
        };
        if let Err(ContentError::WrongDigest { .. }) = &placed {
            // It has rotted: out with it, so that it is fetched again.
            let _ = store.verify(digest);
        }
        placed.map_err(collect::store_error)
    }

    /// Makes the directories that a name needs. Only this warden has put anything here so far, and no links.
    fn parents(&self, name: &RelPath) -> io::Result<()> {
        for (slash, _) in name.as_str().match_indices('/') {
            match rustix::fs::mkdirat(&self.dir, &name.as_str()[..slash], Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// How far file times lag behind the clock: one tick of a kernel that ticks a hundred times a second.
const FILE_TIME_SLACK_MS: u64 = 10;

/// The room on the disk of `dir`.
pub(super) fn free_bytes(dir: BorrowedFd<'_>) -> io::Result<u64> {
    let disk = rustix::fs::fstatvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// A disk with less room than this is full: a file of a byte takes a block.
const FULL_BYTES: u64 = 64 << 10;

/// What the sandbox is called in its slot.
const BOX: &CStr = c"box";

fn create_box(slot: &OwnedFd) -> io::Result<OwnedFd> {
    rustix::fs::mkdirat(slot, BOX, Mode::RWXU)?;
    let dir = open_directory(slot.as_fd(), BOX)?;
    rustix::process::fchdir(&dir)?;
    Ok(dir)
}

pub(super) fn open_directory(parent: BorrowedFd<'_>, name: impl Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// How a file of the store is used by whoever has it as an input.
pub(super) fn usage_of(form: Form) -> Use {
    match form {
        Form::Program => Use::Program,
        Form::Data | Form::Archive => Use::Data,
    }
}

fn same(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

/// Bytes of an input that is copied although it could be linked: a copy of so much costs what a link does, several
/// times over at worst.
const COPIED_BYTES_MAX: u64 = 64 << 10;
