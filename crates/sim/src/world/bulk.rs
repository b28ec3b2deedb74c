//! Contents move.

use muster_proto::machine::{FetchEnd, Input};
use muster_proto::wire::Frame;
use muster_proto::{Digest, LinkId, Span};

use crate::brain::{ActorId, Brain, Observer, Sight};
use crate::world::{Event, Fetch, World};

/// How long a transfer that a cut holds up waits before it is looked at again.
const STALLED: Span = Span::secs(1);

impl<B: Brain, O: Observer> World<B, O> {
    pub(super) fn fetch(&mut self, actor: ActorId, link: LinkId, digest: Digest, bytes: u64) {
        let host = &self.actors[actor.0];
        let (life, latency_us) = (host.lives, host.casting.latency_us);
        let Some(held) = host
            .process
            .as_ref()
            .and_then(|process| process.links.get(&link))
        else {
            return;
        };
        let peer = held.peer;
        let peer_life = self.actors[peer.0].lives;
        let latency_us = latency_us.max(self.actors[peer.0].casting.latency_us);
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        process.gated.retain(|(_, effect)| !effect.forgets(digest));
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

    /// Contents that are wanted anew before they were given up stay.
    fn take_back(&mut self, actor: ActorId, digest: Digest) {
        if let Some(process) = &mut self.actors[actor.0].process {
            process.gated.retain(|(_, effect)| !effect.forgets(digest));
        }
    }

    /// A user's command puts the files of its tasks into the master's store before it submits them.
    pub(super) fn stock(&mut self, master: ActorId, frame: &Frame) {
        if let Frame::Submit(submit) = frame {
            let own = submit.tasks.iter().flat_map(|task| &task.inputs);
            for input in submit.template.inputs.iter().chain(own) {
                self.put(master, input.file.digest, input.file.bytes);
                self.take_back(master, input.file.digest);
            }
        }
    }

    pub(super) fn fetch_ended(&mut self, actor: ActorId, life: u32, fetch: u64) {
        let Some(asked) = self
            .process(actor, life)
            .and_then(|process| process.fetches.get(&fetch))
        else {
            return;
        };
        let (peer, peer_life, digest, bytes) =
            (asked.peer, asked.peer_life, asked.digest, asked.bytes);
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
        let Some(asked) = host
            .process
            .as_mut()
            .and_then(|process| process.fetches.remove(&fetch))
        else {
            return;
        };
        let (link, digest) = (asked.link, asked.digest);
        if end == FetchEnd::Held {
            host.contents.insert(digest, asked.bytes);
        }
        self.saw(&Sight::Fetched { actor, digest, end });
        self.feed(actor, Input::Fetched { link, digest, end });
    }
}
