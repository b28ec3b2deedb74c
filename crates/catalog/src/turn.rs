//! Turns: what comes in is gathered, and the tick at the end hands out.

use muster_proto::catalog::raft::{Body, Message};
use muster_proto::catalog::{NodeId, Standing};
use muster_proto::limits::APPEND_BYTES_MAX;
use muster_proto::{Peer, Span, Time};
use raft::{ProgressState, SnapshotStatus};

use crate::wary::{self, Bearing};
use crate::{Catalog, ELECTION_TICKS, Output, TICK, map};

impl Catalog {
    /// The end of a turn.
    pub(crate) fn turn(&mut self, now: Time, out: &mut Vec<Output>) {
        self.stirred = false;
        if std::mem::take(&mut self.unborn) {
            self.lsn.0 += 1;
            out.push(Output::Record(self.born.clone()));
        }
        if now >= self.next_tick {
            self.beat(now);
        }
        self.drain(now, out);
        if self.halted {
            return;
        }
        self.answer_late(now, out);
        if self.is_leader() {
            let run_out = self.leases.run_out(now);
            self.own
                .extend(run_out.into_iter().map(|command| (None, command)));
            self.leave_joint();
        }
        self.propose_waiting(out);
        self.confirm_reads(now);
        self.drain(now, out);
        if self.halted {
            return;
        }
        self.answer_reads(out);
        self.show_all(out);
    }

    /// The library's unit of time has passed. Time that was slept through does not count: a replica that wakes first
    /// hears what has come meanwhile.
    fn beat(&mut self, now: Time) {
        // Whoever renews has waited as well, and is heard first.
        if self.is_leader() && now.since(self.next_tick) >= LATE {
            self.leases.begin(now, &self.directory);
        }
        self.next_tick = now + TICK;
        let is_alone = self.membership.voters == [self.id] && self.membership.outgoing.is_empty();
        if self.is_leader() {
            self.raw.tick();
        } else if self.is_settled() && is_alone {
            // Refused only while a change of membership is not applied; the next beat tries again.
            let _ = self.raw.campaign();
        } else if self.is_settled() {
            self.raw.tick();
        }
        if is_alone {
            self.heard = now;
        }
        let prs = self.raw.raft.prs();
        let is_sending = |node: &NodeId| {
            let progress = prs.get(node.0);
            progress.is_some_and(|progress| progress.state == ProgressState::Snapshot)
        };
        self.sending.retain(|node, _| is_sending(node));
        let slow = self.sending.iter().filter(|(_, until)| **until <= now);
        for node in slow.map(|(node, _)| *node).collect::<Vec<_>>() {
            self.sending.remove(&node);
            self.raw.report_snapshot(node.0, SnapshotStatus::Failure);
        }
    }

    /// When this replica next stands for election, if it hears of no leader: drawn from the seed, the node and the
    /// term. The library draws by itself, from the thread's chance, in many places; this is called after each.
    pub(crate) fn time_election(&mut self) {
        let drawn = scatter(self.seed ^ scatter(self.id.0 ^ scatter(self.raw.raft.term)));
        let ticks = ELECTION_TICKS + (drawn % ELECTION_TICKS as u64) as usize;
        self.raw.raft.set_randomized_election_timeout(ticks);
    }

    pub(crate) fn link_up(&mut self, node: NodeId, peer: &Peer, out: &mut Vec<Output>) {
        let is_other = self.member(node).is_some_and(|member| member.peer != *peer);
        if is_other || node == self.id || node.0 == 0 {
            return out.push(Output::Close { node });
        }
        self.links.insert(node);
        self.stirred = true;
    }

    pub(crate) fn link_down(&mut self, node: NodeId) {
        self.links.remove(&node);
        // Without these the library would wait for answers for ever.
        self.raw.report_unreachable(node.0);
        if self.sending.remove(&node).is_some() {
            self.raw.report_snapshot(node.0, SnapshotStatus::Failure);
        }
        self.stirred = true;
    }

    pub(crate) fn message(
        &mut self,
        now: Time,
        from: NodeId,
        message: Message,
        out: &mut Vec<Output>,
    ) {
        let raft = &self.raw.raft;
        let bearing = Bearing {
            id: self.id,
            last: raft.raft_log.last_index(),
            leader: NodeId(raft.leader_id),
            is_leader: self.is_leader(),
            is_settled: self.is_settled(),
            reads: raft.pending_read_count(),
            matched: raft
                .prs()
                .get(from.0)
                .map_or(0, |progress| progress.matched),
        };
        if !wary::is_fit(&message, from, &bearing) {
            return;
        }
        let (term, is_answer) = (message.term, is_answer(&message.body));
        match message.body {
            Body::Part(part) => self.part(now, from, term, part, out),
            Body::Append { .. }
            | Body::Appended { .. }
            | Body::Mismatched { .. }
            | Body::Heartbeat { .. }
            | Body::Alive { .. }
            | Body::Ballot { .. }
            | Body::Vote { .. }
            | Body::Read { .. }
            | Body::ReadAt { .. } => self.step(now, message, out),
        }
        let raft = &self.raw.raft;
        let is_led = raft.leader_id == from.0 || self.is_leader() && is_answer;
        if term == raft.term && is_led {
            self.heard = now;
        }
        self.stirred = true;
    }

    fn step(&mut self, now: Time, message: Message, out: &mut Vec<Output>) {
        if let Body::Append { entries, .. } = &message.body {
            self.stepped += entries.iter().map(|entry| entry.data.len()).sum::<usize>();
        }
        if let Some(m) = map::message_in(message) {
            // An error is an answer from somebody who is no member: late, and of no use.
            let _ = self.raw.step(m);
        }
        // What one turn steps must fit a record.
        if self.stepped > 4 * APPEND_BYTES_MAX {
            self.drain(now, out);
        }
    }

    /// How this replica sees the catalog.
    pub fn standing(&self) -> Standing {
        let raft = &self.raw.raft;
        Standing {
            node: self.id,
            leader: (raft.leader_id != 0).then_some(NodeId(raft.leader_id)),
            term: raft.term,
            committed: raft.raft_log.committed,
            applied: self.applied.0,
            revision: self.directory.revision(),
            hash: self.directory.hash(),
            voters: self.membership.voters.clone(),
            outgoing: self.membership.outgoing.clone(),
            learners: self.membership.learners.clone(),
        }
    }
}

fn is_answer(body: &Body) -> bool {
    matches!(body, Body::Appended { .. } | Body::Alive { .. })
}

/// Scatters the bits of `x`: the mixer of SplitMix64.
fn scatter(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// When a replica has slept, or could not get at its processor: leases are counted anew.
const LATE: Span = Span::secs(1);
