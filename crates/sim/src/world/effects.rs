//! What a brain wants done is done, in order, and not before its gate opens.

use muster_proto::machine::{Gate, Output};
use muster_proto::peer::Role;
use muster_proto::wire::Frame;
use muster_proto::{Digest, LinkId, Lsn, Span};

use crate::brain::{ActorId, Brain, Observer, Sight, Wish};
use crate::world::links::Farewell;
use crate::world::{Event, Mutant, World};

impl<B: Brain, O: Observer> World<B, O> {
    pub(super) fn perform(&mut self, actor: ActorId, out: Vec<Output<Vec<u8>, Wish>>) {
        for output in out {
            match output {
                Output::Record(record) => self.actors[actor.0].journal.append(record),
                Output::Send { link, frame, gate } => self.send(actor, link, frame, gate),
                Output::Fetch { link, digest, bytes } => self.fetch(actor, link, digest, bytes),
                Output::Forget { digest, gate } => self.forget(actor, digest, gate),
                Output::Close { link, .. } => self.close(actor, link),
                Output::Local(Wish::Start(launch)) => self.start_run(actor, launch),
                Output::Local(Wish::Kill(attempt)) => self.kill_run(actor, attempt),
            }
        }
        self.flush(actor);
    }

    fn flush(&mut self, actor: ActorId) {
        let host = &mut self.actors[actor.0];
        let life = host.lives;
        if host.journal.begin_flush() {
            let (low, high) = self.layout.fsync_us;
            let at = self.now + Span(self.rng.between(low, high));
            self.agenda.enter(at, Event::Flushed { actor, life });
        }
    }

    pub(super) fn flushed(&mut self, actor: ActorId, life: u32) {
        if self.process(actor, life).is_none() {
            return;
        }
        let host = &mut self.actors[actor.0];
        for record in host.journal.end_flush() {
            self.observer.saw(self.now, &Sight::Durable { actor, record });
        }
        self.flush(actor);
        let Some(process) = self.process(actor, life) else {
            return;
        };
        let links: Vec<LinkId> = process.links.keys().copied().collect();
        for link in links {
            self.drain(actor, link);
        }
        let durable = self.actors[actor.0].journal.durable();
        let Some(process) = self.process(actor, life) else {
            return;
        };
        let ready = process.forgets.iter().take_while(|(lsn, _)| *lsn <= durable).count();
        let ready: Vec<Digest> = process.forgets.drain(..ready).map(|(_, digest)| digest).collect();
        for digest in ready {
            self.forget(actor, digest, Gate::Now);
        }
    }

    fn send(&mut self, actor: ActorId, link: LinkId, frame: Frame, gate: Gate) {
        let gate = self.gate(actor, gate);
        if let Gate::Durable(lsn) = gate
            && lsn > self.actors[actor.0].journal.appended()
        {
            self.wrong(
                "gate",
                format!("actor {} waits for {lsn}, which it has not written", actor.0),
            );
        }
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        // A link that went down while the brain was at work: what is sent there is lost.
        if let Some(link) = process.links.get_mut(&link) {
            link.outbox.push_back((gate, frame));
        }
        self.drain(actor, link);
    }

    /// What gates mean; one mutant does not know.
    fn gate(&self, actor: ActorId, gate: Gate) -> Gate {
        let master = self.actors[actor.0].casting.peer.role == Role::Master;
        match self.layout.mutant {
            Some(Mutant::AckBeforeDurable) if master => Gate::Now,
            Some(Mutant::AckBeforeDurable | Mutant::SkipFence | Mutant::ForgetHeld) | None => gate,
        }
    }

    fn is_open(&self, actor: ActorId, gate: Gate) -> bool {
        match gate {
            Gate::Now => true,
            Gate::Durable(lsn) => lsn <= self.actors[actor.0].journal.durable(),
        }
    }

    /// Lets leave what may, in order: a frame that waits holds up those behind it.
    fn drain(&mut self, actor: ActorId, link: LinkId) {
        loop {
            let Some(process) = &self.actors[actor.0].process else {
                return;
            };
            let Some((gate, _)) = process.links.get(&link).and_then(|held| held.outbox.front()) else {
                return;
            };
            if !self.is_open(actor, *gate) {
                return;
            }
            self.leave(actor, link);
        }
    }

    fn leave(&mut self, actor: ActorId, link: LinkId) {
        let mutant = self.layout.mutant;
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        let Some(held) = process.links.get_mut(&link) else {
            return;
        };
        let Some((_, frame)) = held.outbox.pop_front() else {
            return;
        };
        let (conn, which, to) = (held.conn, held.which, held.peer);
        let again = held.greeting;
        if let Frame::Inventory(inventory) = &frame {
            held.greeting &= !inventory.last;
        }
        if again && matches!(frame, Frame::Reports(_)) && mutant == Some(Mutant::ForgetHeld) {
            return;
        }
        let sight = Sight::Left {
            from: actor,
            to,
            frame: &frame,
        };
        self.observer.saw(self.now, &sight);
        let parcel = self.wrap(frame);
        self.post(conn, which, parcel);
    }

    fn forget(&mut self, actor: ActorId, digest: Digest, gate: Gate) {
        let gate = self.gate(actor, gate);
        let waits = match gate {
            Gate::Durable(lsn) if !self.is_open(actor, gate) => Some(lsn),
            Gate::Durable(_) | Gate::Now => None,
        };
        match waits {
            Some(lsn) => self.forget_later(actor, lsn, digest),
            None => {
                self.actors[actor.0].contents.remove(&digest);
                self.saw(&Sight::Forgot { actor, digest });
            }
        }
    }

    fn forget_later(&mut self, actor: ActorId, lsn: Lsn, digest: Digest) {
        if let Some(process) = &mut self.actors[actor.0].process {
            process.forgets.push_back((lsn, digest));
        }
    }

    fn close(&mut self, actor: ActorId, link: LinkId) {
        let Some(process) = &self.actors[actor.0].process else {
            return;
        };
        if let Some(held) = process.links.get(&link) {
            let (conn, which) = (held.conn, held.which);
            self.give_up(conn, which, Farewell::Said);
        }
    }
}
