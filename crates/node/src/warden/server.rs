//! A server: a program that stays in a slot and is handed one call after another.
//!
//! Its standard input is a socket that both sides write to; `docs/servers.md` has the bytes. Nothing it says is trusted
//! further than a task's exit code is: whatever it does, it and all it has started die with the slot's next other run.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use muster_proto::Span;
use muster_proto::task::Words;
use rustix::event::PollFlags;
use rustix::process::Pid;

use super::execute::Starter;
use super::message::{End, Run};
use super::sys::{self, Standard};

/// A living server, with a call under way or without.
pub(super) struct Server {
    pid: Pid,
    link: UnixStream,
    words: Words,
    environment: Vec<(String, String)>,
    /// The number of the last call.
    call: u32,
    /// Of that call, what the socket has not taken yet.
    unsent: Vec<u8>,
    /// Of its answer, what has come.
    answer: [u8; ANSWER_BYTES],
    heard: usize,
    /// Processor time it had used before.
    used_before: Span,
}

/// What came of listening to a server.
pub(super) enum Turn {
    /// It has not answered yet.
    Waits,
    /// Its answer.
    Answered {
        /// In place of an exit code.
        code: i32,
        /// Whether it can be called again.
        stays: bool,
        /// Processor time that the call took, without that of processes which the server has started.
        used: Span,
    },
    /// What it says makes no sense, or it has closed the socket.
    Broken,
}

impl Server {
    /// Starts the server of `run`; it is not called yet.
    pub fn start(starter: &mut Starter, run: &Run, sandbox: &str) -> Result<Self, End> {
        let system = |error: io::Error| End::CannotStart(error.raw_os_error().unwrap_or(libc::EIO));
        let (ours, theirs) = UnixStream::pair().map_err(system)?;
        ours.set_nonblocking(true).map_err(system)?;
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(system)?;
        sys::redirect(Standard::In, theirs.as_fd()).map_err(system)?;
        let started = starter.start(run, sandbox);
        sys::redirect(Standard::In, input.as_fd()).map_err(system)?;
        Ok(Self {
            pid: started?,
            link: ours,
            words: run.words.clone(),
            environment: run.environment.clone(),
            call: 0,
            unsent: Vec::new(),
            answer: [0; ANSWER_BYTES],
            heard: 0,
            used_before: Span::ZERO,
        })
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it is the one that `run` calls.
    pub fn serves(&self, run: &Run) -> bool {
        run.call.is_some() && run.words == self.words && run.environment == self.environment
    }

    /// Begins a call of the words. The one before has been answered.
    pub fn begin(&mut self, words: &Words) {
        let text = words.as_str().as_bytes();
        self.call = self.call.wrapping_add(1);
        self.heard = 0;
        self.used_before = sys::processor_time(self.pid);
        self.unsent.clear();
        self.unsent.extend(self.call.to_le_bytes());
        // The limit of words is far below what four bytes hold.
        self.unsent.extend((text.len() as u32).to_le_bytes());
        self.unsent.extend(text);
    }

    /// The socket, and what it is waited for.
    pub fn interest(&self) -> (BorrowedFd<'_>, PollFlags) {
        let flags = match self.unsent.is_empty() {
            true => PollFlags::IN,
            false => PollFlags::IN | PollFlags::OUT,
        };
        (self.link.as_fd(), flags)
    }

    /// Says and hears what can be without waiting.
    pub fn turn(&mut self) -> Turn {
        match self.exchange() {
            Ok(true) => self.answered(),
            Ok(false) => Turn::Waits,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Turn::Waits,
            Err(_) => Turn::Broken,
        }
    }

    /// Whether the answer is whole.
    fn exchange(&mut self) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            match self.link.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        while self.heard < ANSWER_BYTES {
            match self.link.read(&mut self.answer[self.heard..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.heard += read,
            }
        }
        Ok(true)
    }

    fn answered(&self) -> Turn {
        let [a, b, c, d, code @ .., stays] = self.answer;
        if u32::from_le_bytes([a, b, c, d]) != self.call || !self.unsent.is_empty() {
            return Turn::Broken;
        }
        Turn::Answered {
            code: i32::from_le_bytes(code),
            stays: stays == 1,
            used: Span(sys::processor_time(self.pid).0 - self.used_before.0),
        }
    }
}

/// An answer: the call's number, a code, and 1 if the server stays.
const ANSWER_BYTES: usize = 9;

/// The exit code of a call whose server ended, or closed its socket, before it had answered: `EX_SOFTWARE` of
/// `sysexits.h`, unless it has one of its own.
pub(super) const UNANSWERED: i32 = 70;
