//! Contents move and runs make them.

use muster_proto::machine::{FetchEnd, Input};
use muster_proto::{Attempt, Digest, LinkId, Span};

use crate::brain::{ActorId, Brain, Happening, Launch, Observer, Sight};
use crate::play;
use crate::world::{Event, Fetch, World};

/// How long a transfer that a cut holds up waits before it is looked at again.
const STALLED: Span = Span::secs(1);

impl<B: Brain, O: Observer> World<B, O> {
    pub(super) fn fetch(&mut self, actor: ActorId, link: LinkId, digest: Digest, bytes: u64) {
        let host = &self.actors[actor.0];
        let (life, latency_us) = (host.lives, host.casting.latency_us);
        let Some(held) = host.process.as_ref().and_then(|process| process.links.get(&link)) else {
            return;
        };
        let peer = held.peer;
        let peer_life = self.actors[peer.0].lives;
        let latency_us = latency_us.max(self.actors[peer.0].casting.latency_us);
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        process.fetches_made += 1;
        let fetch = process.fetches_made;
        let asked = Fetch {
            link,
            digest,
            bytes,
            peer,
            peer_life,
        };
        process.fetches.insert(fetch, asked);
        let moving = bytes.saturating_mul(1_000_000) / self.layout.bulk_bytes_per_s.max(1);
        let travel = self.network.travel(2 * latency_us, &mut self.rng) + Span(moving);
        self.agenda
            .enter(self.now + travel, Event::FetchEnd { actor, life, fetch });
    }

    pub(super) fn fetch_ended(&mut self, actor: ActorId, life: u32, fetch: u64) {
        let Some(asked) = self
            .process(actor, life)
            .and_then(|process| process.fetches.get(&fetch))
        else {
            return;
        };
        let (peer, peer_life, digest, bytes) = (asked.peer, asked.peer_life, asked.digest, asked.bytes);
        let host = &self.actors[peer.0];
        let cut = self.network.is_cut(actor, peer) || self.network.is_cut(peer, actor);
        if cut || host.paused {
            return self
                .agenda
                .enter(self.now + STALLED, Event::FetchEnd { actor, life, fetch });
        }
        let end = match host.contents.get(&digest) {
            _ if host.process.is_none() || host.lives != peer_life => FetchEnd::Failed,
            None => FetchEnd::Absent,
            Some(held) if *held > bytes => FetchEnd::Failed,
            Some(_) if self.rng.permille(self.layout.fetch_fails_permille) => FetchEnd::Failed,
            Some(_) => FetchEnd::Held,
        };
        self.end_fetch(actor, fetch, end);
    }

    /// Tells a brain how a fetch ended.
    pub(super) fn end_fetch(&mut self, actor: ActorId, fetch: u64, end: FetchEnd) {
        let host = &mut self.actors[actor.0];
        let Some(asked) = host.process.as_mut().and_then(|process| process.fetches.remove(&fetch)) else {
            return;
        };
        let (link, digest) = (asked.link, asked.digest);
        if end == FetchEnd::Held {
            host.contents.insert(digest, asked.bytes);
        }
        self.saw(&Sight::Fetched { actor, digest, end });
        self.feed(actor, Input::Fetched { link, digest, end });
    }

    pub(super) fn start_run(&mut self, actor: ActorId, launch: Launch) {
        let host = &mut self.actors[actor.0];
        let (life, attempt) = (host.lives, launch.attempt);
        let lacks = launch
            .inputs
            .iter()
            .find(|digest| !host.contents.contains_key(digest))
            .copied();
        let takes = play::wall(&launch);
        let Some(process) = &mut host.process else {
            return;
        };
        process.runs_made += 1;
        let run = process.runs_made;
        let twice = process.runs.values().any(|other| other.attempt == attempt);
        process.runs.insert(run, launch.clone());
        if let Some(digest) = lacks {
            self.wrong("staging", format!("{attempt} starts without {digest:?}"));
        }
        if twice {
            self.wrong("ledger", format!("{attempt} runs twice at once on actor {}", actor.0));
        }
        self.saw(&Sight::Started { actor, launch: &launch });
        self.agenda.enter(self.now + takes, Event::RunEnd { actor, life, run });
    }

    pub(super) fn run_ended(&mut self, actor: ActorId, life: u32, run: u64) {
        let Some(launch) = self.process(actor, life).and_then(|process| process.runs.remove(&run)) else {
            return;
        };
        let attempt = launch.attempt;
        let host = &mut self.actors[actor.0];
        let ran = play::ran(&launch, &host.casting.peer.name);
        host.contents.extend(ran.files().map(|file| (file.digest, file.bytes)));
        let ended = Sight::Ended {
            actor,
            attempt,
            ran: &ran,
        };
        self.observer.saw(self.now, &ended);
        self.feed(actor, Input::Local(Happening::Ended(attempt, Box::new(ran))));
    }

    pub(super) fn kill_run(&mut self, actor: ActorId, attempt: Attempt) {
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        let before = process.runs.len();
        process.runs.retain(|_, launch| launch.attempt != attempt);
        if process.runs.len() < before {
            self.saw(&Sight::Cut { actor, attempt });
        }
    }
}
