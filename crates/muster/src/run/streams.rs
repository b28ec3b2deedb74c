//! Passing on what tasks write: whole, one task after the other, in the order they end or were given.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::delivery::{Text, Written};

/// The way of the tasks' streams to our own.
#[derive(Debug)]
pub struct Streams {
    order: Order,
    /// Whether somebody still reads standard output.
    heard: bool,
}

#[derive(Debug)]
enum Order {
    /// As they end.
    Ended,
    /// As they were given: the next to be written, and those that are early.
    Given {
        next: u64,
        early: BTreeMap<u64, Written>,
    },
}

impl Streams {
    /// Streams in the order in which tasks end.
    pub fn as_ended() -> Streams {
        Streams {
            order: Order::Ended,
            heard: true,
        }
    }

    /// Streams in the order in which tasks were given.
    pub fn as_given() -> Streams {
        Streams {
            order: Order::Given {
                next: 0,
                early: BTreeMap::new(),
            },
            heard: true,
        }
    }

    /// Takes what the task at `at`, counted from 0, wrote, and passes on what is due.
    ///
    /// # Errors
    /// Standard output or error cannot be written, other than because nobody reads it any more.
    pub fn take(&mut self, at: u64, written: Written) -> io::Result<()> {
        let mut due = Vec::new();
        match &mut self.order {
            Order::Ended => due.push(written),
            Order::Given { next, early } => {
                early.insert(at, written);
                while let Some(written) = early.remove(next) {
                    due.push(written);
                    *next += 1;
                }
            }
        }
        due.into_iter().try_for_each(|written| self.pass(written))
    }

    /// Passes on what waits for tasks that will not come any more.
    ///
    /// # Errors
    /// See [`Streams::take`].
    pub fn finish(&mut self) -> io::Result<()> {
        let waiting = match &mut self.order {
            Order::Ended => BTreeMap::new(),
            Order::Given { early, .. } => std::mem::take(early),
        };
        waiting
            .into_values()
            .try_for_each(|written| self.pass(written))
    }

    fn pass(&mut self, written: Written) -> io::Result<()> {
        if self.heard && !is_empty(&written.stdout) {
            let mut stdout = io::stdout().lock();
            let poured = written
                .stdout
                .pour(&mut stdout)
                .and_then(|()| stdout.flush());
            match poured {
                // The tasks' files are wanted even if `head` has read enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.heard = false,
                Err(error) => return Err(error),
                Ok(()) => {}
            }
        }
        if is_empty(&written.stderr) {
            return Ok(());
        }
        match written.stderr.pour(&mut io::stderr().lock()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn is_empty(text: &Text) -> bool {
    matches!(text, Text::Here(bytes) if bytes.is_empty())
}
