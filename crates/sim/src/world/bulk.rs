//! Contents move and runs make them.

use muster_proto::machine::{FetchEnd, Input};
use muster_proto::wire::Frame;
use muster_proto::{Digest, LinkId, Span};

use crate::brain::{ActorId, Brain, Happening, Launch, Observer, Sight};
use crate::play;
use crate::world::{Event, Fetch, World};

/// How long a transfer that a cut holds up waits before it is looked at again.
const STALLED: Span = Span::secs(1);
/// How long a killed run's processes may take to end.
const KILL_US_MAX: u64 = 300_000;

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

    pub(super) fn start_run(&mut self, actor: ActorId, launch: Launch) {
        let host = &mut self.actors[actor.0];
        let (life, attempt, run) = (host.lives, launch.attempt, launch.run);
        let lacks = launch
            .inputs
            .iter()
            .find(|digest| !host.contents.contains_key(digest))
            .copied();
        let Some(process) = &mut host.process else {
            return;
        };
        let again = process.runs.insert(run, launch.clone()).is_some();
        if let Some(digest) = lacks {
            self.wrong("staging", format!("{attempt} starts without {digest:?}"));
        }
        if again {
            self.wrong(
                "ledger",
                format!("actor {} uses the number of a run twice", actor.0),
            );
        }
        self.saw(&Sight::Started {
            actor,
            launch: &launch,
        });
        let at = self.now + play::wall(&launch);
        self.agenda.enter(at, Event::RunEnd { actor, life, run });
    }

    pub(super) fn run_ended(&mut self, actor: ActorId, life: u32, run: u64) {
        let Some(launch) = self
            .process(actor, life)
            .and_then(|process| process.runs.remove(&run))
        else {
            return;
        };
        let attempt = launch.attempt;
        let host = &mut self.actors[actor.0];
        let ran = play::ran(&launch, &host.casting.peer.name);
        host.contents
            .extend(ran.files().map(|file| (file.digest, file.bytes)));
        let ended = Sight::Ended {
            actor,
            attempt,
            ran: &ran,
        };
        self.observer.saw(self.now, &ended);
        self.feed(actor, Input::Local(Happening::Ended(run, Box::new(ran))));
    }

    /// A kill takes its time, and the run may end by itself meanwhile.
    pub(super) fn kill_run(&mut self, actor: ActorId, run: u64) {
        let life = self.actors[actor.0].lives;
        let at = self.now + Span(self.rng.between(500, KILL_US_MAX));
        self.agenda.enter(at, Event::KillEnd { actor, life, run });
    }

    pub(super) fn run_killed(&mut self, actor: ActorId, life: u32, run: u64) {
        let Some(launch) = self
            .process(actor, life)
            .and_then(|process| process.runs.remove(&run))
        else {
            return;
        };
        let attempt = launch.attempt;
        self.saw(&Sight::Cut { actor, attempt });
        self.feed(actor, Input::Local(Happening::Killed(run)));
    }
}
