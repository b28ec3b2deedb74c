//! The worker's side: the mother's keeper.

use std::fs;
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use super::message::{Confinement, Decoder, FromWarden};
use super::mother::Make;
use super::sweep;

/// Where wardens work.
#[derive(Clone, Debug)]
pub struct Places {
    /// The worker's state directory, which exists and which the caller has locked. Slots are made in `slots` there.
    pub state: PathBuf,
    /// The content store, which exists, on the same file system if inputs are to be linked.
    pub store: PathBuf,
    /// The best way of keeping a task's processes together that may be tried. Without a reason to avoid it,
    /// [`Confinement::PidNamespace`].
    pub confinement: Confinement,
}

/// The mother process, as its worker holds it. When it is dropped, every warden and every process of a task is
/// killed, and it returns when they are dead.
#[derive(Debug)]
pub struct Nursery {
    places: Places,
    link: Option<OwnedFd>,
    mother: Child,
}

/// A warden, as its worker holds it: a stream socket that carries [`super::ToWarden`] and [`FromWarden::Ended`].
/// When it is closed, the warden and the processes of its task are killed.
///
/// Whoever writes must read as well: a warden that cannot tell of an end does not take requests.
#[derive(Debug)]
pub struct WardenLink {
    /// The socket, in blocking mode.
    pub stream: UnixStream,
    /// How processes of tasks are kept together.
    pub confinement: Confinement,
}

impl Nursery {
    /// Starts the mother: `program` is a command whose process calls [`super::main_mother`]. Slots that an earlier
    /// worker has left in the state directory are removed first.
    ///
    /// The mother dies with the *thread* that calls this, so call it from one that lives as long as the worker.
    ///
    /// # Errors
    /// The left-overs cannot be removed, a path is not UTF-8, or the program cannot be started.
    pub fn start(mut program: Command, places: Places) -> io::Result<Self> {
        let slots = places.state.join("slots");
        sweep::remove_tree(&slots)?;
        fs::DirBuilder::new().mode(0o700).create(&slots)?;
        let places = Places {
            state: places.state.canonicalize()?,
            store: places.store.canonicalize()?,
            ..places
        };
        let (ours, theirs) = pair(SocketType::SEQPACKET)?;
        let mother = program.stdin(theirs).stdout(Stdio::null()).spawn()?;
        Ok(Self {
            places,
            link: Some(ours),
            mother,
        })
    }

    /// Makes the warden of a slot and waits until it is ready, a few hundred microseconds. A warden that the slot had
    /// before is dead then, with all its processes.
    ///
    /// # Errors
    /// The mother is gone, or the warden cannot serve.
    pub fn warden(&self, slot: u32) -> io::Result<WardenLink> {
        let (ours, theirs) = pair(SocketType::STREAM)?;
        self.ask(slot, &theirs)?;
        // While this end is open in the worker, the death of mother and warden would not close the link.
        drop(theirs);
        let mut stream = UnixStream::from(ours);
        let mut decoder = Decoder::default();
        let mut byte = [0];
        loop {
            // One byte at a time, so that nothing after the first message is lost; it has two.
            if stream.read(&mut byte)? == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            decoder.push(&byte);
            match decoder.take().map_err(io::Error::other)? {
                None => {}
                Some(FromWarden::Ready(confinement)) => {
                    return Ok(WardenLink {
                        stream,
                        confinement,
                    });
                }
                Some(FromWarden::Refused(why)) => return Err(io::Error::other(why)),
                Some(FromWarden::Ended(_)) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// The process number of the mother, for reports.
    pub fn mother(&self) -> u32 {
        self.mother.id()
    }

    fn ask(&self, slot: u32, theirs: &OwnedFd) -> io::Result<()> {
        let make = Make {
            slot,
            directory: text(&self.places.state.join("slots").join(slot.to_string()))?,
            store: text(&self.places.store)?,
            confinement: self.places.confinement,
        };
        let bytes = postcard::to_stdvec(&make).map_err(io::Error::other)?;
        let fds = [theirs.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(
            ancillary.push(SendAncillaryMessage::ScmRights(&fds)),
            "there is space for one"
        );
        let link = self.link.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        rustix::net::sendmsg(
            link,
            &[IoSlice::new(&bytes)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )?;
        Ok(())
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        // Its closing is what ends the mother, which waits for the wardens.
        self.link = None;
        let _ = self.mother.wait();
    }
}

fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        kind,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

fn text(path: &Path) -> io::Result<String> {
    let text = path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    if text.len() > PATH_BYTES_MAX {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    Ok(text.to_owned())
}

/// Linux's `PATH_MAX`.
const PATH_BYTES_MAX: usize = 4_096;

const _: () = assert!(
    2 * PATH_BYTES_MAX + 32 < super::mother::MAKE_BYTES_MAX,
    "a request always fits"
);
