//! What only the driver knows of how things stand.

use std::fs;

use muster_proto::wire::{LinkStatus, StatusReply};

use super::roster::Roster;
use crate::bulk::Lines;

/// Fills in what a brain cannot know: memory, traffic, and what keeps the journal from being written.
pub(super) fn fill(reply: &mut StatusReply, roster: &Roster, lines: &Lines, trouble: Option<&str>) {
    reply.rss_bytes = rss_bytes();
    for status in &mut reply.links {
        fill_link(status, roster, lines);
    }
    if let Some(why) = trouble {
        reply
            .notes
            .push(format!("the journal cannot be written: {why}"));
    }
}

fn fill_link(status: &mut LinkStatus, roster: &Roster, lines: &Lines) {
    let control = roster.link_to(&status.peer).map(|link| link.statistics());
    let bulk = lines.statistics(&status.peer);
    for statistics in control.iter().chain(&bulk) {
        status.sent_bytes += statistics.sent_bytes;
        status.received_bytes += statistics.received_bytes;
    }
    if let Some(statistics) = control.or(bulk) {
        status.rtt_us = u64::try_from(statistics.rtt.as_micros()).unwrap_or(u64::MAX);
    }
}

/// Resident memory of this process; zero where the system does not tell. The file is made by the kernel on reading,
/// in microseconds, so that it may be read in the loop.
fn rss_bytes() -> u64 {
    let Ok(text) = fs::read_to_string("/proc/self/status") else {
        return 0;
    };
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
    });
    kib.unwrap_or(0) * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_size() {
        assert!(rss_bytes() > 1 << 20);
    }
}
