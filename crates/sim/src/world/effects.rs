//! What a brain wants done is done, in order, and not before its gate opens.

use muster_proto::machine::{Gate, Output};
use muster_proto::wire::Frame;
use muster_proto::{Digest, LinkId, Lsn, Span, Time};

use crate::brain::{ActorId, Brain, Observer, Sight, Wish};
use crate::world::links::Farewell;
use crate::world::{Codec, Event, Gated, Records, World};

impl<B: Brain, O: Observer> World<B, O> {
    pub(super) fn perform(&mut self, actor: ActorId, out: &mut Vec<Output<Vec<u8>, Wish>>) {
        let mut has_written = false;
        for output in out.drain(..) {
            match output {
                Output::Record(record) => {
                    self.write(actor, record);
                    has_written = true;
                }
                Output::Send { link, frame, gate } => self.send(actor, link, frame, gate),
                Output::Fetch {
                    link,
                    digest,
                    bytes,
                } => self.fetch(actor, link, digest, bytes),
                Output::Forget { digest, gate } => self.forget(actor, digest, gate),
                Output::Close { link, .. } => self.close(actor, link),
                Output::Local(Wish::Start(launch)) => self.start_run(actor, launch),
                Output::Local(Wish::Recall(run)) => self.recall_run(actor, run),
                Output::Local(Wish::Kill(run)) => self.kill_run(actor, run),
                Output::Local(Wish::Free) => {}
            }
        }
        if has_written {
            self.flush(actor);
        }
    }

    fn write(&mut self, actor: ActorId, record: Vec<u8>) {
        let copies = self.copies(actor);
        let journal = &mut self.actors[actor.0].home.journal;
        for _ in 1..copies {
            journal.append(record.clone());
        }
        if copies > 0 {
            journal.append(record);
        }
    }

    fn flush(&mut self, actor: ActorId) {
        let host = &mut self.actors[actor.0];
        let life = host.lives;
        if host.home.journal.begin_flush() {
            let (low, high) = self.layout.fsync_us;
            let fsync = match &self.layout.fsync {
                Some(fsync) => fsync.draw(&mut self.rng),
                None => Span(self.rng.between(low, high)),
            };
            let at = self.now + fsync;
            self.agenda.enter(at, Event::Flushed { actor, life });
        }
    }

    pub(super) fn flushed(&mut self, actor: ActorId, life: u32) {
        if self.process(actor, life).is_none() {
            return;
        }
        let host = &mut self.actors[actor.0];
        for record in host.home.journal.end_flush() {
            self.observer
                .saw(self.now, &Sight::Durable { actor, record });
        }
        if self.layout.records == Records::Counted {
            self.actors[actor.0].home.journal.count_durable();
        }
        self.flush(actor);
        let durable = self.actors[actor.0].home.journal.durable();
        loop {
            let Some(process) = self.process(actor, life) else {
                return;
            };
            if process.gated.front().is_none_or(|(lsn, _)| *lsn > durable) {
                return;
            }
            match process.gated.pop_front() {
                Some((_, Gated::Frame { link, frame, sent })) => {
                    self.leave(actor, (link, sent), frame)
                }
                Some((_, Gated::Forget(digest))) => self.give_away(actor, digest),
                None => return,
            }
        }
    }

    fn send(&mut self, actor: ActorId, link: LinkId, frame: Frame, gate: Gate) {
        match self.waits_for(actor, gate) {
            Some(lsn) => self.hold(
                actor,
                lsn,
                Gated::Frame {
                    link,
                    frame,
                    sent: self.now,
                },
            ),
            None => self.leave(actor, (link, self.now), frame),
        }
    }

    fn forget(&mut self, actor: ActorId, digest: Digest, gate: Gate) {
        match self.waits_for(actor, gate) {
            Some(lsn) => self.hold(actor, lsn, Gated::Forget(digest)),
            None => self.give_away(actor, digest),
        }
    }

    /// The record that a gate still waits for.
    fn waits_for(&mut self, actor: ActorId, gate: Gate) -> Option<Lsn> {
        let Gate::Durable(lsn) = gate else {
            return None;
        };
        if lsn == Lsn(0) {
            return None;
        }
        let host = &self.actors[actor.0];
        if lsn > host.home.journal.appended() {
            let name = host.home.casting.peer.to_string();
            self.wrong(
                "gate",
                format!("{name} waits for {lsn}, which it has not written"),
            );
            return None;
        }
        (!self.is_rash(actor) && lsn > host.home.journal.durable()).then_some(lsn)
    }

    fn hold(&mut self, actor: ActorId, lsn: Lsn, effect: Gated) {
        if let Some(process) = &mut self.actors[actor.0].process {
            let at = process.gated.partition_point(|(held, _)| *held <= lsn);
            process.gated.insert(at, (lsn, effect));
        }
    }

    pub(super) fn give_away(&mut self, actor: ActorId, digest: Digest) {
        self.actors[actor.0].home.contents.remove(&digest);
        self.saw(&Sight::Forgot { actor, digest });
    }

    /// A frame leaves; if its link is gone it is lost, as its peer's answer would be.
    fn leave(&mut self, actor: ActorId, (link, sent): (LinkId, Time), frame: Frame) {
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        let Some(held) = process.links.get_mut(link) else {
            return;
        };
        let (conn, which, to) = (held.conn, held.which, held.peer);
        let again = held.greeting;
        if let Frame::Inventory(inventory) = &frame {
            held.greeting &= !inventory.last;
        }
        if self.loses(actor, &frame, again) {
            return;
        }
        let bytes = self.measure(&frame);
        let sight = Sight::Left {
            from: actor,
            to,
            frame: &frame,
            sent,
            bytes,
        };
        self.observer.saw(self.now, &sight);
        if self.layout.codec == Codec::On {
            self.haunts.left(actor, to, &frame);
        }
        let parcel = self.wrap(frame, bytes);
        self.post(conn, which, parcel);
    }

    fn close(&mut self, actor: ActorId, link: LinkId) {
        let Some(process) = &self.actors[actor.0].process else {
            return;
        };
        if let Some(held) = process.links.get(link) {
            let (conn, which) = (held.conn, held.which);
            self.give_up(conn, which, Farewell::Said);
        }
    }
}
