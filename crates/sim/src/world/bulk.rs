//! Contents move.

use muster_proto::machine::{FetchEnd, Input};
use muster_proto::wire::Frame;
use muster_proto::{Digest, LinkId, Span};

use crate::brain::{ActorId, Brain, Observer, Sight};
use crate::network::Route;
use crate::world::lanes::LaneId;
use crate::world::{Actor, Event, Fetch, World};

/// How long a transfer that a cut holds up waits before it is looked at again.
const STALLED: Span = Span::secs(1);

impl<B: Brain, O: Observer> World<B, O> {
    pub(super) fn fetch(&mut self, actor: ActorId, link: LinkId, digest: Digest, bytes: u64) {
        let host = &self.actors[actor.0];
        let (life, latency_us) = (host.lives, host.home.casting.latency_us);
        let Some(held) = host
            .process
            .as_ref()
            .and_then(|process| process.links.get(link))
        else {
            return;
        };
        let peer = held.peer;
        let peer_life = self.actors[peer.0].lives;
        let latency_us = latency_us.max(self.actors[peer.0].home.casting.latency_us);
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        process.gated.retain(|(_, effect)| !effect.forgets(digest));
        let mut under_way = process.fetches.values();
        let is_second = under_way.any(|fetch| (fetch.link, fetch.digest) == (link, digest));
        process.fetches_made += 1;
        let fetch = process.fetches_made;
        let asked = Fetch {
            link,
            digest,
            bytes,
            peer,
            peer_life,
            passes: false,
            crossing: None,
        };
        process.fetches.insert(fetch, asked);
        if is_second {
            let what = format!(
                "actor {} fetches {digest:?} twice at once from one peer",
                actor.0
            );
            self.wrong("cache", what);
        }
        let route = Route {
            latency_us: 2 * latency_us,
            loss_ppm: 0,
        };
        let travel = self.network.travel(route, &mut self.rng);
        if self.actors[actor.0].home.contents.contains_key(&digest) {
            // What is in the store already is not asked for.
            let event = Event::FetchEnd { actor, life, fetch };
            return self.agenda.enter(self.now, event);
        }
        if self.has_lane(actor, peer) || self.is_passable(bytes) {
            let event = Event::FetchBegin { actor, life, fetch };
            return self.agenda.enter(self.now + travel, event);
        }
        self.agenda.enter(
            self.now + travel + self.moving(bytes),
            Event::FetchEnd { actor, life, fetch },
        );
    }

    /// How long contents take on a path that nothing else crosses.
    fn moving(&self, bytes: u64) -> Span {
        Span(bytes.saturating_mul(1_000_000) / self.layout.bulk_bytes_per_s.max(1))
    }

    fn is_passable(&self, bytes: u64) -> bool {
        bytes > self.layout.passes_above_bytes
    }

    /// Whether something lies between two actors that transfers share.
    fn has_lane(&self, a: ActorId, b: ActorId) -> bool {
        let lower = self.lower(a, b);
        !self.actors[lower.0].home.casting.lanes.is_empty()
    }

    /// The subordinate of two that have a link.
    fn lower(&self, a: ActorId, b: ActorId) -> ActorId {
        let dials = &self.actors[a.0].home.casting.dials;
        if dials.contains(&b) { a } else { b }
    }

    /// The first bytes of a transfer arrive: it crosses the narrowest lane on its way.
    pub(super) fn fetch_begins(&mut self, actor: ActorId, life: u32, fetch: u64) {
        let (now, asked) = (self.now, self.process(actor, life));
        let Some((peer, bytes)) = asked
            .and_then(|process| process.fetches.get(&fetch))
            .map(|fetch| (fetch.peer, fetch.bytes))
        else {
            return;
        };
        self.passes(actor, fetch);
        let lower = self.lower(actor, peer);
        let lanes = self.actors[lower.0].home.casting.lanes.iter();
        let lanes = lanes.map(|lanes| match lower == peer {
            true => lanes.up(),
            false => lanes.down(),
        });
        let Some(lane) = lanes.min_by_key(|lane| self.lanes[lane.place()].share()) else {
            let event = Event::FetchEnd { actor, life, fetch };
            return self.agenda.enter(now + self.moving(bytes), event);
        };
        let place = self.lanes[lane.place()].enter(now, crossing(actor, fetch), bytes);
        if let Some(asked) = self
            .process(actor, life)
            .and_then(|process| process.fetches.get_mut(&fetch))
        {
            asked.crossing = Some((lane, place));
        }
        self.plan_departure(lane);
    }

    /// If the peer has contents, whole or arriving, what it sends of large ones is served on from now.
    fn passes(&mut self, actor: ActorId, fetch: u64) {
        let process = self.actors[actor.0].process.as_ref();
        let Some(asked) = process.and_then(|process| process.fetches.get(&fetch)) else {
            return;
        };
        let (digest, peer) = (asked.digest, asked.peer);
        let host = &self.actors[peer.0];
        let is_there = host.process.is_some() && host.lives == asked.peer_life && !host.paused;
        let has = host.home.contents.contains_key(&digest) || host.passes(digest);
        let cut = self.network.is_cut(actor, peer) || self.network.is_cut(peer, actor);
        if !self.is_passable(asked.bytes) || !is_there || !has || cut {
            return;
        }
        if let Some(process) = &mut self.actors[actor.0].process
            && let Some(asked) = process.fetches.get_mut(&fetch)
        {
            asked.passes = true;
        }
        self.feed(actor, Input::Arriving { digest });
    }

    fn plan_departure(&mut self, lane: LaneId) {
        if let Some((at, plan)) = self.lanes[lane.place()].next() {
            self.agenda.enter(at, Event::Depart { lane, plan });
        }
    }

    /// Transfers have crossed their lane.
    pub(super) fn depart(&mut self, lane: LaneId, plan: u32) {
        let now = self.now;
        let Some(gone) = self.lanes[lane.place()].depart(now, plan) else {
            return;
        };
        self.plan_departure(lane);
        for crossing in gone {
            let (actor, fetch) = (ActorId((crossing >> 32) as usize), crossing & LOW);
            let life = self.actors[actor.0].lives;
            if let Some(process) = &mut self.actors[actor.0].process
                && let Some(asked) = process.fetches.get_mut(&fetch)
            {
                asked.crossing = None;
            }
            if self.actors[actor.0].paused {
                let backlog = &mut self.actors[actor.0].home.backlog;
                backlog.push(Event::FetchEnd { actor, life, fetch });
            } else {
                self.fetch_ended(actor, life, fetch);
            }
        }
    }

    /// A process is gone: its transfers stop.
    pub(super) fn drop_crossings(&mut self, actor: ActorId) {
        let process = self.actors[actor.0].process.as_ref();
        let fetches = process.into_iter().flat_map(|process| &process.fetches);
        let crossings: Vec<_> = fetches
            .filter_map(|(fetch, asked)| Some((*fetch, asked.crossing?)))
            .collect();
        for (fetch, crossing) in crossings {
            self.leave_lane(actor, fetch, crossing);
        }
    }

    fn leave_lane(&mut self, actor: ActorId, fetch: u64, (lane, place): (LaneId, u128)) {
        let now = self.now;
        self.lanes[lane.place()].leave(now, place, crossing(actor, fetch));
        self.plan_departure(lane);
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
        if self.actors[actor.0].home.contents.contains_key(&digest) {
            return self.end_fetch(actor, fetch, FetchEnd::Held);
        }
        let host = &self.actors[peer.0];
        let cut = self.network.is_cut(actor, peer) || self.network.is_cut(peer, actor);
        if cut || host.paused {
            return self
                .agenda
                .enter(self.now + STALLED, Event::FetchEnd { actor, life, fetch });
        }
        if host.lives == peer_life
            && host.passes(digest)
            && !host.home.contents.contains_key(&digest)
        {
            // All that has come there has come here; the rest follows it.
            if let Some(process) = &mut self.actors[peer.0].process {
                let event = Event::FetchEnd { actor, life, fetch };
                process.followers.entry(digest).or_default().push(event);
            }
            return;
        }
        let end = match host.home.contents.get(&digest) {
            _ if host.process.is_none() || host.lives != peer_life => FetchEnd::Failed,
            None => FetchEnd::Absent,
            Some(held) if *held > bytes => FetchEnd::Failed,
            Some(_) if self.rng.permille(self.layout.fetch_fails_permille) => FetchEnd::Failed,
            Some(_) if self.rng.permille(self.layout.unkept_permille) => FetchEnd::Unkept,
            Some(_) => FetchEnd::Held,
        };
        if end == FetchEnd::Absent {
            self.feed(peer, Input::Missed { digest });
        }
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
        let (link, digest, peer, bytes) = (asked.link, asked.digest, asked.peer, asked.bytes);
        let process = host.process.as_mut();
        let followers = process.and_then(|process| process.followers.remove(&digest));
        if end == FetchEnd::Held {
            host.home.contents.insert(digest, bytes);
        }
        if let Some(crossing) = asked.crossing {
            self.leave_lane(actor, fetch, crossing);
        }
        for event in followers.into_iter().flatten() {
            self.agenda.enter(self.now, event);
        }
        self.saw(&Sight::Fetched {
            actor,
            peer,
            digest,
            bytes,
            end,
        });
        let end = self.believed(end);
        self.feed(actor, Input::Fetched { link, digest, end });
        self.stored(actor, digest);
    }
}

impl<B: Brain> Actor<B> {
    /// Whether contents are arriving and served on.
    fn passes(&self, digest: Digest) -> bool {
        let process = self.process.iter();
        let mut fetches = process.flat_map(|process| process.fetches.values());
        fetches.any(|fetch| fetch.passes && fetch.digest == digest)
    }
}

/// A transfer's number among all that cross a lane: its process's host and its number there.
fn crossing(actor: ActorId, fetch: u64) -> u64 {
    (actor.0 as u64) << 32 | (fetch & LOW)
}

/// The part of a crossing's number that is the process's own.
const LOW: u64 = 0xffff_ffff;
