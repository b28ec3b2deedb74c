//! Reads: all that came in a turn wait for one confirmation by a majority, and then until the log is applied so far.
//!
//! The library forgets a read that comes at a bad moment without a word, so each round is asked again after a while,
//! under a new name, for as long as somebody waits.

use std::collections::VecDeque;

use muster_proto::catalog::NodeId;
use muster_proto::{Span, Time};
use raft::ReadState;

use crate::asks::Stage;
use crate::{AskId, Catalog, Output};

/// Reads and how far they are.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    waiting: Vec<AskId>,
    /// Asked and not confirmed, oldest first.
    rounds: VecDeque<Round>,
    /// Confirmed: to be answered when the log is applied so far.
    confirmed: Vec<(u64, Vec<AskId>)>,
    /// The last round.
    number: u64,
}

#[derive(Debug)]
struct Round {
    number: u64,
    since: Time,
    asks: Vec<AskId>,
}

impl Reads {
    pub(crate) fn wait(&mut self, ask: AskId) {
        self.waiting.push(ask);
    }
}

impl Catalog {
    /// Asks for a confirmation of the reads that wait, if there is anyone to ask.
    pub(crate) fn confirm_reads(&mut self, now: Time) {
        while let Some(round) = self.reads.rounds.front()
            && now.since(round.since) >= READ_RETRY
        {
            let asks = self.reads.rounds.pop_front().map(|round| round.asks);
            self.reads.waiting.extend(asks.into_iter().flatten());
        }
        let asks = &self.asks;
        self.reads.waiting.retain(|ask| asks.holds(*ask));
        let leader = NodeId(self.raw.raft.leader_id);
        let can = if self.is_leader() {
            // Before that the library would drop it.
            self.raw.raft.commit_to_current_term()
        } else {
            self.links.contains(&leader)
        };
        if self.reads.waiting.is_empty() || !can {
            return;
        }
        self.reads.number += 1;
        let number = self.reads.number;
        self.raw.read_index(self.context(number));
        self.reads.rounds.push_back(Round {
            number,
            since: now,
            asks: std::mem::take(&mut self.reads.waiting),
        });
    }

    /// The name of a read: nobody else's, no earlier process's, no earlier round's.
    fn context(&self, number: u64) -> Vec<u8> {
        [self.id.0, self.run, number]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect()
    }

    pub(crate) fn confirmed(&mut self, now: Time, states: Vec<ReadState>) {
        for state in states {
            let rounds = &self.reads.rounds;
            let named = |round: &Round| self.context(round.number) == state.request_ctx;
            if let Some(place) = rounds.iter().position(named)
                && let Some(round) = self.reads.rounds.remove(place)
            {
                self.reads.confirmed.push((state.index, round.asks));
                self.heard = now;
            }
        }
    }

    /// Answers what is confirmed up to where the log is applied.
    pub(crate) fn answer_reads(&mut self, out: &mut Vec<Output>) {
        let applied = self.applied.0;
        let (due, later) = std::mem::take(&mut self.reads.confirmed)
            .into_iter()
            .partition(|(index, _)| *index <= applied);
        self.reads.confirmed = later;
        let due: Vec<(u64, Vec<AskId>)> = due;
        for ask in due.into_iter().flat_map(|(_, asks)| asks) {
            if let Some(Stage::Reading(query)) = self.asks.take(ask) {
                let answer = self.found(&query, Span::ZERO);
                out.push(Output::Answer { ask, answer });
            }
        }
    }
}

/// When a read is asked again: several round trips between campuses.
const READ_RETRY: Span = Span::millis(500);
