//! A line about how far it is: rewritten in place on a terminal, every ten seconds elsewhere.

use std::io::{self, IsTerminal, Write};

use muster_apps::replica_exchange::Exchange;
use muster_proto::{Span, Time};

use super::record::Record;
use super::summary;

/// Shows progress on standard error.
#[derive(Debug)]
pub struct Progress {
    place: Place,
}

#[derive(Debug)]
enum Place {
    Terminal,
    /// When the last line was written.
    Elsewhere(Time),
}

impl Progress {
    /// Nothing shown yet.
    pub fn new(now: Time) -> Progress {
        let place = if io::stderr().is_terminal() {
            Place::Terminal
        } else {
            Place::Elsewhere(now)
        };
        Progress { place }
    }

    /// Shows how far it is, if it is time to.
    pub fn show(&mut self, now: Time, exchange: &Exchange, record: &Record, rounds: u32) {
        let standing = || summary::standing(exchange, record, rounds);
        match &mut self.place {
            Place::Terminal => write(format_args!("\r\x1b[K{}", standing())),
            Place::Elsewhere(last) if now.since(*last) >= LINE_EVERY => {
                *last = now;
                write(format_args!("{}\n", standing()));
            }
            Place::Elsewhere(_) => {}
        }
    }

    /// Takes the line away.
    pub fn clear(&self) {
        match self.place {
            Place::Terminal => write(format_args!("\r\x1b[K")),
            Place::Elsewhere(_) => {}
        }
    }
}

/// Nobody who cannot read standard error misses anything.
fn write(words: std::fmt::Arguments<'_>) {
    let mut stderr = io::stderr().lock();
    let _unread = stderr.write_fmt(words).and_then(|()| stderr.flush());
}

const LINE_EVERY: Span = Span::secs(10);
