//! The small process that makes wardens, and its way of trying what the system allows.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use serde::{Deserialize, Serialize};

use super::message::{Confinement, FromWarden, encode};
use super::slot;
use super::sys::{self, Copy, Patience, Reaped, Standard};

/// What the worker asks of the mother, with the warden's end of a stream socket as its ancillary message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Make {
    /// For which slot; a warden that the slot had before is killed first, with all its processes.
    pub slot: u32,
    /// The directory of the slot.
    pub directory: String,
    /// The content store.
    pub store: String,
    /// The best confinement that may be tried.
    pub confinement: Confinement,
}

/// Bytes of one [`Make`]: two paths of Linux's greatest length and the rest.
pub(super) const MAKE_BYTES_MAX: usize = 9_000;

/// Is the mother: makes wardens for the worker at the other end of standard input, and ends when that is gone.
///
/// A program that calls [`super::Nursery::start`] on itself calls this before it starts any thread.
pub fn main_mother() -> ! {
    let code = match Mother::begin().and_then(Mother::serve) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("muster: the mother of wardens gives up: {error}");
            1
        }
    };
    std::process::exit(code)
}

/// A warden, as its mother knows it.
struct Child {
    pid: Pid,
    /// Readable when it has died.
    death: OwnedFd,
}

struct Mother {
    worker: OwnedFd,
    /// A pipe into which nothing is ever written: its end tells wardens that the mother has gone.
    _lifeline: OwnedFd,
    lifeline_watched: OwnedFd,
    wardens: BTreeMap<u32, Child>,
    /// User and group; in a user namespace they cannot be asked for before they are mapped.
    user: (u32, u32),
    /// The best confinement that works here, once tried.
    works: Option<Confinement>,
}

impl Mother {
    fn begin() -> io::Result<Self> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // If the worker died before that call, the first receive finds its socket closed.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        // Away from the terminal's signals. A process that leads a group already has a session to itself or shares
        // the one of whoever wanted that.
        let _ = rustix::process::setsid();
        let worker = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
        // SAFETY: this is the beginning of the process; nothing owns any descriptor yet.
        unsafe { sys::close_others(&[worker.as_fd()])? };
        sys::block_signals()?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        sys::redirect(Standard::In, null.as_fd())?;
        sys::redirect(Standard::Out, null.as_fd())?;
        let (lifeline_watched, lifeline) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        Ok(Self {
            worker,
            _lifeline: lifeline,
            lifeline_watched,
            wardens: BTreeMap::new(),
            user: (
                rustix::process::getuid().as_raw(),
                rustix::process::getgid().as_raw(),
            ),
            works: None,
        })
    }

    fn serve(mut self) -> io::Result<()> {
        loop {
            let mut fds = vec![PollFd::new(&self.worker, PollFlags::IN)];
            fds.extend(
                self.wardens
                    .values()
                    .map(|warden| PollFd::new(&warden.death, PollFlags::IN)),
            );
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                polled => polled?,
            };
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            let slots: Vec<u32> = self.wardens.keys().copied().collect();
            for (slot, _) in slots
                .into_iter()
                .zip(&ready[1..])
                .filter(|(_, died)| **died)
            {
                self.end(slot)?;
            }
            if ready[0] {
                match receive(&self.worker)? {
                    Some((make, link)) => self.make(&make, link)?,
                    None => return self.end_all(),
                }
            }
        }
    }

    /// Sees to it that a slot has no warden and no process of its task lives. A namespace is dead when its first
    /// process can be reaped: the kernel waits for the others.
    fn end(&mut self, slot: u32) -> io::Result<()> {
        let Some(warden) = self.wardens.remove(&slot) else {
            return Ok(());
        };
        // It may have died already.
        let _ = rustix::process::kill_process(warden.pid, Signal::KILL);
        sys::reap(Some(warden.pid), Patience::Endless)?;
        if self.works == Some(Confinement::Subreaper) {
            self.end_strangers()?;
        }
        Ok(())
    }

    /// Kills the processes that wardens which were only subreapers have left to this one.
    fn end_strangers(&self) -> io::Result<()> {
        loop {
            let mut strangers = sys::children()?;
            strangers
                .retain(|stranger| self.wardens.values().all(|warden| warden.pid != *stranger));
            if strangers.is_empty() {
                return Ok(());
            }
            for stranger in strangers {
                let _ = rustix::process::kill_process(stranger, Signal::KILL);
                sys::reap(Some(stranger), Patience::Endless)?;
            }
        }
    }

    /// Makes a warden; it or its absence is told through `link`.
    fn make(&mut self, make: &Make, link: UnixStream) -> io::Result<()> {
        self.end(make.slot)?;
        let confinement = self.confinement(make.confinement);
        // SAFETY: this process has no other thread, or in tests one that waits for this one; the copy never returns.
        match unsafe { sys::copy_process(confinement) } {
            Ok(Copy::Original(pid)) => {
                let death = pidfd_open(pid, PidfdFlags::empty())?;
                self.wardens.insert(make.slot, Child { pid, death });
            }
            Ok(Copy::New) => self.become_warden(make, confinement, &link),
            Err(error) => refuse(&link, &format!("a warden cannot be made: {error}")),
        }
        Ok(())
    }

    /// Is the copy that a warden is made of.
    fn become_warden(&self, make: &Make, confinement: Confinement, link: &UnixStream) -> ! {
        let lived = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the owners of the other descriptors are in frames that are never returned to.
            unsafe { sys::close_others(&[link.as_fd(), self.lifeline_watched.as_fd()])? };
            if confinement == Confinement::UserNamespace {
                sys::map_user(self.user)?;
            }
            slot::live(make, confinement, link, self.lifeline_watched.as_fd())
        }));
        match lived {
            Ok(Ok(())) => sys::leave(0),
            Ok(Err(error)) => {
                refuse(link, &format!("slot {}: {error}", make.slot));
                sys::leave(1)
            }
            Err(_) => {
                refuse(link, &format!("slot {}: its warden panicked", make.slot));
                sys::leave(101)
            }
        }
    }

    /// The best confinement that works, but none better than `best`.
    fn confinement(&mut self, best: Confinement) -> Confinement {
        *self.works.get_or_insert_with(|| {
            [Confinement::PidNamespace, Confinement::UserNamespace]
                .into_iter()
                .find(|&confinement| confinement >= best && works(confinement, self.user))
                .unwrap_or(Confinement::Subreaper)
        })
    }

    fn end_all(mut self) -> io::Result<()> {
        while let Some(&slot) = self.wardens.keys().next() {
            self.end(slot)?;
        }
        Ok(())
    }
}

/// Tries `confinement` on a process that does nothing else.
fn works(confinement: Confinement, user: (u32, u32)) -> bool {
    // SAFETY: as in `make`; the copy leaves at once.
    match unsafe { sys::copy_process(confinement) } {
        Ok(Copy::New) => {
            let mapped = confinement != Confinement::UserNamespace || sys::map_user(user).is_ok();
            sys::leave(i32::from(!mapped))
        }
        Ok(Copy::Original(pid)) => {
            matches!(sys::reap(Some(pid), Patience::Endless), Ok(Reaped::Child(dead)) if dead.code == Ok(0))
        }
        Err(_) => false,
    }
}

fn refuse(mut link: &UnixStream, why: &str) {
    let mut frame = Vec::new();
    encode(&FromWarden::Refused(why.to_owned()), &mut frame);
    // If the worker is gone there is nobody to tell.
    let _ = link.write_all(&frame);
}

/// Takes one request; `None` if the worker has gone.
fn receive(worker: &OwnedFd) -> io::Result<Option<(Make, UnixStream)>> {
    let mut bytes = [0; MAKE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        worker,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    );
    let length = match received {
        Ok(message) if message.bytes > 0 => message.bytes,
        Ok(_) | Err(Errno::CONNRESET) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let make = postcard::from_bytes(&bytes[..length]).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut link = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            link = fds.last();
        }
    }
    let link = link.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some((make, UnixStream::from(link))))
}
