//! Copies of large inputs, kept from one run of a slot to the next.
//!
//! A link to the store's own file is read-only by its mode alone, which is nothing to root. So root's tasks get copies;
//! a copy of a large file for every run would cost more than most runs. A copy is therefore lent: the sandbox gets a
//! link to it, nobody else does, and after the run it is kept only if it is untouched to the last attribute.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use muster_proto::Digest;
use muster_proto::task::{Form, InputFile};
use muster_store::content::{ContentError, ContentStore, Placement, Use};
use rustix::fs::{AtFlags, Mode, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use crate::clock::wall_ms;

use super::sandbox::open_directory;
use super::{sandbox, sweep};

/// The copies of one slot.
pub(super) struct Spares {
    /// The directory of the slot.
    slot: OwnedFd,
    dir: OwnedFd,
    kept: BTreeMap<Name, Spare>,
    runs: u64,
}

/// A digest, and whether the copy may be executed.
type Name = (Digest, bool);

struct Spare {
    bytes: u64,
    /// The run that last had it.
    run: u64,
    state: State,
}

/// Where a copy is, and what it was like when this process last looked.
enum State {
    /// Nowhere but here.
    Kept(Stat),
    /// In the sandbox, too.
    Lent(Stat),
    /// It was untouched when its run had ended, and loses a name with the sandbox.
    Returned,
}

impl Spares {
    /// Makes their directory in that of a slot, where there is none.
    pub fn create(slot: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            dir: create_directory(slot.as_fd())?,
            slot,
            kept: BTreeMap::new(),
            runs: 0,
        })
    }

    /// Begins another run.
    pub fn begin(&mut self) {
        self.runs += 1;
    }

    /// Puts a copy of `input` into the sandbox.
    ///
    /// # Errors
    /// See [`ContentStore::place`].
    pub fn lend(
        &mut self,
        store: &ContentStore,
        sandbox: BorrowedFd<'_>,
        input: &InputFile,
    ) -> Result<(), ContentError> {
        let name = (input.file.digest, input.form == Form::Program);
        if !self.is_kept(name) {
            self.drop(name)?;
            self.make(store, name, input.file.bytes)?;
        }
        let file = file_name(name);
        rustix::fs::linkat(
            &self.dir,
            &file,
            sandbox,
            input.name.as_str(),
            AtFlags::empty(),
        )
        .map_err(io::Error::from)?;
        let spare = Spare {
            bytes: input.file.bytes,
            run: self.runs,
            state: State::Lent(self.look(name).map_err(io::Error::from)?),
        };
        self.kept.insert(name, spare);
        Ok(())
    }

    /// Looks at what the last run was lent and drops what it has touched, then the longest unused beyond the limits.
    /// To be followed by [`settle`](Self::settle) when the sandbox is empty.
    pub fn take_back(&mut self) -> io::Result<()> {
        let mut touched = Vec::new();
        for (name, spare) in &mut self.kept {
            let State::Lent(before) = &spare.state else {
                continue;
            };
            let now = rustix::fs::statat(&self.dir, file_name(*name), AtFlags::SYMLINK_NOFOLLOW);
            if now.is_ok_and(|now| is_same(before, &now)) {
                spare.state = State::Returned;
            } else {
                touched.push(*name);
            }
        }
        touched.into_iter().try_for_each(|name| self.drop(name))?;
        if sandbox::free_bytes(self.dir.as_fd())? < self.bytes() {
            // Where room is scarce it is not for copies.
            let kept: Vec<Name> = self.kept.keys().copied().collect();
            return kept.into_iter().try_for_each(|name| self.drop(name));
        }
        while self.kept.len() > COUNT_MAX || self.bytes() > BYTES_MAX {
            let unused = self.kept.iter().filter(|(_, spare)| spare.run < self.runs);
            let Some((name, _)) = unused.min_by_key(|(_, spare)| spare.run) else {
                break;
            };
            let name = *name;
            self.drop(name)?;
        }
        Ok(())
    }

    /// Notes what the copies are like that the sandbox had, and begins anew if the task has taken their directory.
    pub fn settle(&mut self) -> io::Result<()> {
        sweep::thaw(self.dir.as_fd());
        let own = rustix::fs::fstat(&self.dir)?;
        let found = sweep::look(self.slot.as_fd(), SPARES);
        if !found.is_ok_and(|found| (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)) {
            self.kept.clear();
            if own.st_nlink > 0 {
                sweep::empty(self.dir.as_fd())?;
            }
            sweep::remove_at(self.slot.as_fd(), SPARES)?;
            self.dir = create_directory(self.slot.as_fd())?;
            return Ok(());
        }
        for (name, spare) in &mut self.kept {
            if let State::Returned = spare.state {
                spare.state = State::Kept(rustix::fs::statat(
                    &self.dir,
                    file_name(*name),
                    AtFlags::SYMLINK_NOFOLLOW,
                )?);
            }
        }
        Ok(())
    }

    /// Whether there is a copy that nobody has touched since it was last looked at: tasks know where they are.
    fn is_kept(&self, name: Name) -> bool {
        match self.kept.get(&name).map(|spare| &spare.state) {
            Some(State::Kept(before) | State::Lent(before)) => {
                self.look(name).is_ok_and(|now| is_same(before, &now))
            }
            Some(State::Returned) | None => false,
        }
    }

    fn look(&self, name: Name) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.dir, file_name(name), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Makes a copy; if the disk is full, all that the present run does not have gives way to it.
    fn make(&mut self, store: &ContentStore, name: Name, bytes: u64) -> Result<(), ContentError> {
        match self.copy(store, name) {
            Err(ContentError::Full(_)) => {}
            copied => return copied,
        }
        tracing::debug!(
            bytes,
            "no space for an input; the copies of others are dropped"
        );
        self.free()?;
        self.copy(store, name)
    }

    /// Drops all copies but those that the present run has.
    pub fn free(&mut self) -> io::Result<()> {
        let is_idle = |spare: &Spare| !matches!(spare.state, State::Lent(_));
        let others = self.kept.iter().filter(|(_, spare)| is_idle(spare));
        let others: Vec<Name> = others.map(|(name, _)| *name).collect();
        others.into_iter().try_for_each(|name| self.drop(name))
    }

    fn copy(&self, store: &ContentStore, name: Name) -> Result<(), ContentError> {
        let (digest, executable) = name;
        let usage = if executable { Use::Program } else { Use::Data };
        let file = file_name(name);
        // By the descriptor: where the slot was, a task may have put a link.
        let path = format!("/proc/self/fd/{}/{file}", self.dir.as_raw_fd());
        store.place(digest, path.as_ref(), Placement::Copy, usage)?;
        // Whatever is written to it from now on shows, even within the tick of the clock in which it was made.
        let before = Timespec {
            tv_sec: wall_ms() as i64 / 1_000 - 1,
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: before,
            last_modification: before,
        };
        rustix::fs::utimensat(&self.dir, &file, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(io::Error::from)?;
        Ok(())
    }

    fn drop(&mut self, name: Name) -> io::Result<()> {
        self.kept.remove(&name);
        // Whatever the task has made of it.
        sweep::remove_at(self.dir.as_fd(), &CString::new(file_name(name))?)
    }

    fn bytes(&self) -> u64 {
        let each = self.kept.values().map(|spare| spare.bytes);
        each.fold(0, u64::saturating_add)
    }
}

fn create_directory(slot: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    rustix::fs::mkdirat(slot, SPARES, Mode::RWXU)?;
    open_directory(slot, SPARES)
}

fn file_name((digest, executable): Name) -> String {
    format!("{digest}{}", if executable { "-x" } else { "" })
}

/// Whether nobody has written to a file, changed its attributes, or linked or unlinked it.
fn is_same(a: &Stat, b: &Stat) -> bool {
    let stamp = |stat: &Stat| {
        (
            (stat.st_ino, stat.st_nlink, stat.st_mode, stat.st_size),
            (stat.st_mtime, stat.st_mtime_nsec),
            (stat.st_ctime, stat.st_ctime_nsec),
        )
    };
    stamp(a) == stamp(b)
}

/// What the directory of the copies is called in its slot.
pub(super) const SPARES: &CStr = c"spares";
/// Copies of a slot, beyond those of the run under way.
const COUNT_MAX: usize = 256;
/// Their bytes: a large database, for each slot.
const BYTES_MAX: u64 = 4 << 30;
