//! Questions under way: each has a deadline, and an answer in any case.

use std::collections::{BTreeMap, BTreeSet};

use muster_proto::catalog::{
    Answer, Command, Fault, Filter, Freshness, Hint, NodeId, Query, Refusal, Reply, Revision,
};
use muster_proto::limits::{APPEND_BYTES_MAX, ASK_WAIT_MAX, ASKS_MAX};
use muster_proto::machine::Deadline;
use muster_proto::{Span, Time};
use raft::eraftpb::{Message as RaftMessage, MessageType};

use crate::directory::{MEANING, Proposal};
use crate::{Ask, AskId, Catalog, Output, What, map};

/// The questions, how far they are, and when each must be answered.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    table: BTreeMap<AskId, (Time, Stage)>,
    due: BTreeSet<(Time, AskId)>,
    /// Commands that are not proposed yet, in order.
    commands: Vec<AskId>,
    /// By the entry that holds a command: its term, and who asked if it was a client.
    proposed: BTreeMap<u64, (u64, Option<AskId>)>,
    watching: BTreeSet<AskId>,
}

/// How far a question is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// A command that is not proposed yet.
    Waiting(Vec<u8>),
    /// A command, or a change of membership, that may be committed at any time.
    Proposed,
    /// A read that is not confirmed yet.
    Reading(Query),
    /// A watch that has seen everything up to a revision.
    Watching(Revision, Filter),
}

impl Asks {
    pub(crate) fn insert(&mut self, id: AskId, until: Time, stage: Stage) {
        match &stage {
            Stage::Waiting(_) => self.commands.push(id),
            Stage::Watching(..) => {
                self.watching.insert(id);
            }
            Stage::Proposed | Stage::Reading(_) => {}
        }
        self.due.insert((until, id));
        self.table.insert(id, (until, stage));
    }

    pub(crate) fn has_room(&self, id: AskId) -> bool {
        self.table.len() < ASKS_MAX && !self.table.contains_key(&id)
    }

    pub(crate) fn holds(&self, id: AskId) -> bool {
        self.table.contains_key(&id)
    }

    /// Takes a question that is answered, or that nobody waits for.
    pub(crate) fn take(&mut self, id: AskId) -> Option<Stage> {
        let (until, stage) = self.table.remove(&id)?;
        self.due.remove(&(until, id));
        self.watching.remove(&id);
        Some(stage)
    }

    pub(crate) fn forget(&mut self, id: AskId) {
        self.take(id);
    }

    /// Answers a question unless that is done.
    pub(crate) fn answer(&mut self, ask: AskId, answer: Answer, out: &mut Vec<Output>) {
        if self.take(ask).is_some() {
            out.push(Output::Answer { ask, answer });
        }
    }

    /// Answers everything: the replica is at its end.
    pub(crate) fn end(&mut self, out: &mut Vec<Output>) {
        for ask in self.table.keys().copied().collect::<Vec<_>>() {
            let fault = self.take(ask).map_or(Fault::NoQuorum, |stage| late(&stage));
            let answer = Answer::Fault(fault);
            out.push(Output::Answer { ask, answer });
        }
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        let why = "a client waits for its answer";
        self.due.first().map(|(at, _)| Deadline { at: *at, why })
    }

    pub(crate) fn check(&self) {
        assert_eq!(
            self.table.len(),
            self.due.len(),
            "every question has one deadline"
        );
        let due = self
            .due
            .iter()
            .all(|(at, id)| self.table.get(id).is_some_and(|(until, _)| until == at));
        assert!(due, "every deadline is of a question");
    }

    /// Commands that wait, oldest first, up to what one message carries.
    fn batch(&mut self) -> Vec<(AskId, Vec<u8>)> {
        let (mut batch, mut bytes, mut taken) = (Vec::new(), 0, 0);
        for id in &self.commands {
            if bytes > APPEND_BYTES_MAX / 2 {
                break;
            }
            taken += 1;
            if let Some((_, stage)) = self.table.get_mut(id)
                && let Stage::Waiting(command) = stage
            {
                bytes += command.len();
                batch.push((*id, std::mem::take(command)));
                *stage = Stage::Proposed;
            }
        }
        self.commands.drain(..taken);
        batch
    }
}

/// Why a question has no answer at its deadline.
fn late(stage: &Stage) -> Fault {
    match stage {
        Stage::Waiting(_) | Stage::Reading(_) | Stage::Watching(..) => Fault::NoQuorum,
        Stage::Proposed => Fault::Unknown,
    }
}

impl Catalog {
    /// Takes a question.
    pub(crate) fn ask(&mut self, now: Time, asked: Ask, out: &mut Vec<Output>) {
        let Ask {
            ask,
            by,
            wait,
            what,
        } = asked;
        if !self.asks.has_room(ask) {
            let answer = Answer::Fault(Fault::Busy);
            return out.push(Output::Answer { ask, answer });
        }
        // The answer has a way to go too.
        let wait = wait.0.min(ASK_WAIT_MAX.0);
        let until = now + Span(wait - wait / 8);
        match what {
            What::Command(op, command) => {
                self.command(ask, until, Proposal { by, op, command }, out)
            }
            What::Query(query, freshness) => self.query(now, (ask, until), query, freshness, out),
            What::Watch(since, filter) => {
                if filter.is_within() {
                    self.asks.insert(ask, until, Stage::Watching(since, filter));
                    self.show(ask, out);
                } else {
                    out.push(refused(ask, Refusal::Malformed));
                }
            }
            What::Reshape(reshape) if self.may_reshape(&by, &reshape) => {
                self.reshape(ask, until, reshape, out);
            }
            What::Reshape(_) => out.push(refused(ask, Refusal::NotAllowed)),
        }
        self.stirred = true;
    }

    fn command(&mut self, ask: AskId, until: Time, proposal: Proposal, out: &mut Vec<Output>) {
        // A fence beyond this release would stop this replica, and perhaps all.
        if matches!(proposal.command, Command::Fence { meaning } if meaning > MEANING) {
            return out.push(refused(ask, Refusal::Fenced));
        }
        if !proposal.command.is_within() {
            return out.push(refused(ask, Refusal::Malformed));
        }
        self.asks
            .insert(ask, until, Stage::Waiting(sealed(&proposal)));
    }

    fn query(
        &mut self,
        now: Time,
        (ask, until): (AskId, Time),
        query: Query,
        freshness: Freshness,
        out: &mut Vec<Output>,
    ) {
        if !query.is_within() {
            return out.push(refused(ask, Refusal::Malformed));
        }
        match (freshness, &query) {
            (Freshness::Stale, _) | (Freshness::Linearizable, Query::Status) => {
                let answer = self.found(&query, now.since(self.heard));
                out.push(Output::Answer { ask, answer });
            }
            (Freshness::Linearizable, Query::Get(_) | Query::List { .. }) => {
                self.asks.insert(ask, until, Stage::Reading(query));
                self.reads.wait(ask);
            }
        }
    }

    /// What the directory here says.
    pub(crate) fn found(&self, query: &Query, age: Span) -> Answer {
        match query {
            Query::Get(key) => Answer::Found(self.directory.found(key, age)),
            Query::List {
                filter,
                after,
                limit,
            } => Answer::Found(self.directory.list(filter, after.as_deref(), *limit, age)),
            Query::Status => Answer::Standing(self.standing()),
        }
    }

    /// Proposes what waits if this replica leads, all of one turn at once; else says who does.
    pub(crate) fn propose_waiting(&mut self, out: &mut Vec<Output>) {
        if self.is_leader() {
            let own = std::mem::take(&mut self.own);
            let mut batch: Vec<(Option<AskId>, Vec<u8>)> = Vec::new();
            for (ask, command) in own {
                let (by, op) = (self.peer.clone(), None);
                batch.push((ask, sealed(&Proposal { by, op, command })));
            }
            while !batch.is_empty() || !self.asks.commands.is_empty() {
                let clients = self.asks.batch();
                batch.extend(clients.into_iter().map(|(ask, bytes)| (Some(ask), bytes)));
                self.propose(std::mem::take(&mut batch), out);
            }
            return;
        }
        self.own.clear();
        if let Some(hint) = self.hint() {
            for ask in std::mem::take(&mut self.asks.commands) {
                let hint = Some(hint.clone());
                let answer = Answer::Fault(Fault::NotLeader { hint });
                self.asks.answer(ask, answer, out);
            }
        }
    }

    fn propose(&mut self, batch: Vec<(Option<AskId>, Vec<u8>)>, out: &mut Vec<Output>) {
        // The library panics on a proposal without entries.
        if batch.is_empty() {
            return;
        }
        let (asks, entries): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|(ask, bytes)| (ask, map::data_entry(bytes)))
            .unzip();
        let next = self.raw.raft.raft_log.last_index() + 1;
        let term = self.raw.raft.term;
        let mut m = RaftMessage::default();
        m.set_msg_type(MessageType::MsgPropose);
        m.from = self.id.0;
        m.set_entries(entries.into());
        // Refused as a whole if too much is uncommitted.
        let is_taken = self.raw.step(m).is_ok();
        for (index, ask) in (next..).zip(asks) {
            if is_taken {
                self.asks.proposed.insert(index, (term, ask));
            } else if let Some(ask) = ask {
                self.asks.answer(ask, Answer::Fault(Fault::Busy), out);
            }
        }
    }

    /// Answers whoever proposed the entry that was applied at `index`; an entry of another term took the place of the
    /// one they proposed, which is then nowhere.
    pub(crate) fn settle(
        &mut self,
        (index, term): (u64, u64),
        reply: Option<Reply>,
        out: &mut Vec<Output>,
    ) {
        let Some((proposed, Some(ask))) = self.asks.proposed.remove(&index) else {
            return;
        };
        let is_reshape = self.reshaping.take_if(|change| change.ask == ask).is_some();
        let answer = match reply {
            Some(_) if proposed == term && is_reshape => Answer::Reshaped,
            Some(reply) if proposed == term => Answer::Applied(reply),
            Some(_) | None if is_reshape => Answer::Fault(Fault::Unknown),
            Some(_) | None => Answer::Fault(Fault::NotLeader { hint: self.hint() }),
        };
        self.asks.answer(ask, answer, out);
    }

    /// What became of the entries up to a snapshot's is not told by it.
    pub(crate) fn settle_unknown(&mut self, upto: u64, out: &mut Vec<Output>) {
        let later = self.asks.proposed.split_off(&(upto + 1));
        for (_, ask) in std::mem::replace(&mut self.asks.proposed, later).into_values() {
            if let Some(ask) = ask {
                self.asks.answer(ask, Answer::Fault(Fault::Unknown), out);
            }
        }
    }

    /// Answers what is due.
    pub(crate) fn answer_late(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some((at, ask)) = self.asks.due.first().copied() {
            if at > now {
                break;
            }
            let Some(stage) = self.asks.take(ask) else {
                break;
            };
            let answer = match stage {
                Stage::Watching(revision, _) => Answer::Changes {
                    changes: Vec::new(),
                    revision,
                },
                Stage::Waiting(_) | Stage::Proposed | Stage::Reading(_) => {
                    Answer::Fault(late(&stage))
                }
            };
            out.push(Output::Answer { ask, answer });
        }
    }

    /// Shows watchers what has changed since they looked.
    pub(crate) fn show_all(&mut self, out: &mut Vec<Output>) {
        if self.told == self.directory.revision() {
            return;
        }
        self.told = self.directory.revision();
        for ask in self.asks.watching.iter().copied().collect::<Vec<_>>() {
            self.show(ask, out);
        }
    }

    fn show(&mut self, ask: AskId, out: &mut Vec<Output>) {
        let Some((_, Stage::Watching(since, filter))) = self.asks.table.get_mut(&ask) else {
            return;
        };
        let answer = match self.directory.changes(*since, filter) {
            Ok((changes, revision)) if changes.is_empty() => {
                *since = revision;
                return;
            }
            Ok((changes, revision)) => Answer::Changes { changes, revision },
            Err(oldest) => Answer::Fault(Fault::Compacted { oldest }),
        };
        self.asks.answer(ask, answer, out);
    }

    /// Who leads, as far as this replica knows.
    pub(crate) fn hint(&self) -> Option<Hint> {
        let node = NodeId(self.raw.raft.leader_id);
        (node.0 != 0 && node != self.id).then(|| Hint {
            node,
            addresses: self
                .member(node)
                .map_or_else(Vec::new, |member| member.addresses.clone()),
        })
    }
}

fn refused(ask: AskId, refusal: Refusal) -> Output {
    let answer = Answer::Applied(Reply::Refused(refusal));
    Output::Answer { ask, answer }
}

/// A proposal as the bytes of an entry, its schema first.
fn sealed(proposal: &Proposal) -> Vec<u8> {
    let bytes = vec![PROPOSAL_SCHEMA];
    postcard::to_extend(proposal, bytes).expect("plain data always serializes")
}

/// The proposal in an entry, if it is of this release.
pub(crate) fn unsealed(bytes: &[u8]) -> Option<Proposal> {
    let (schema, payload) = bytes.split_first()?;
    let Ok((proposal, [])) = postcard::take_from_bytes(payload) else {
        return None;
    };
    (*schema == PROPOSAL_SCHEMA).then_some(proposal)
}

const PROPOSAL_SCHEMA: u8 = 1;
