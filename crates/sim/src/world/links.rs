//! Connections come and go, frames cross them.

use muster_proto::machine::{FetchEnd, Input, Side};
use muster_proto::peer::Role;
use muster_proto::wire::{Frame, HEADER_BYTES, Header, allowed};
use muster_proto::{LinkId, Span};

use crate::brain::{ActorId, Brain, Observer, Sight};
use crate::network::{
    ConnId, IDLE, KEEP_ALIVE, Parcel, REDIAL_MAX, REDIAL_MIN, Route, Stage, Which,
};
use crate::world::held::Link;
use crate::world::{Codec, Event, Mutant, World};

/// How an end leaves its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// The other end will notice.
    Silent,
    /// The other end is told, if the way is open.
    Said,
}

impl<B: Brain, O: Observer> World<B, O> {
    /// Enters the next try at a superior.
    pub(super) fn plan_dial(&mut self, actor: ActorId, dial: usize) {
        let host = &mut self.actors[actor.0];
        let (life, latency_us) = (host.lives, host.home.casting.latency_us);
        let Some(process) = &mut host.process else {
            return;
        };
        let pause = process.dials[dial].pause;
        process.dials[dial].pause = (pause + pause).min(REDIAL_MAX);
        // A handshake takes a round trip before the dialler has its link.
        let shake = Span(self.rng.below(pause.0 / 2 + 1) + 2 * latency_us);
        self.agenda
            .enter(self.now + pause + shake, Event::Dial { actor, life, dial });
    }

    pub(super) fn dial(&mut self, actor: ActorId, life: u32, dial: usize) {
        let Some(process) = self.process(actor, life) else {
            return;
        };
        let superior = process.dials[dial].superior;
        let cut = self.network.is_cut(actor, superior) || self.network.is_cut(superior, actor);
        if cut || !self.is_well(superior) {
            return self.plan_dial(actor, dial);
        }
        let Some(process) = self.process(actor, life) else {
            return;
        };
        process.dials[dial].pause = REDIAL_MIN;
        let link = process.links.number();
        let casting = &self.actors[actor.0].home.casting;
        let route = Route {
            latency_us: casting.latency_us,
            loss_ppm: casting.loss_ppm,
        };
        let conn = self.network.connect((actor, link), superior, route);
        self.post(conn, Which::Dialler, Parcel::Established);
        self.link_up(conn, Which::Dialler, link);
    }

    fn link_up(&mut self, conn: ConnId, which: Which, link: LinkId) {
        let Some(connection) = self.network.get(conn) else {
            return;
        };
        let (actor, peer) = (
            connection.ends[which as usize].actor,
            connection.ends[which.other() as usize].actor,
        );
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        let held = Link {
            conn,
            which,
            peer,
            greeting: which == Which::Dialler,
        };
        process.links.enter(link, held);
        let identity = self.actors[peer.0].home.casting.peer.clone();
        let side = match (which, identity.role) {
            (Which::Dialler, _) => Side::Superior,
            (Which::Dialled, Role::User) => Side::User,
            (Which::Dialled, Role::Master | Role::Foreman | Role::Worker | Role::Catalog) => {
                Side::Subordinate
            }
        };
        self.saw(&Sight::LinkUp { actor, peer });
        let peer = identity;
        self.feed(actor, Input::LinkUp { link, peer, side });
    }

    /// Sends `parcel` from an end.
    pub(super) fn post(&mut self, conn: ConnId, from: Which, parcel: Parcel) {
        let Some(connection) = self.network.get(conn) else {
            return;
        };
        let route = connection.route;
        let travel = self.network.travel(route, &mut self.rng);
        let now = self.now;
        if let Some(connection) = self.network.get(conn) {
            connection.ways[from as usize].send(parcel, now, travel);
        }
        self.move_on(conn);
    }

    /// Enters the arrival of the first parcel of each direction that is not cut.
    pub(super) fn move_on(&mut self, conn: ConnId) {
        for from in [Which::Dialler, Which::Dialled] {
            let Some(connection) = self.network.get(conn) else {
                return;
            };
            let (sender, receiver) = (
                connection.ends[from as usize].actor,
                connection.ends[from.other() as usize].actor,
            );
            let way = &mut connection.ways[from as usize];
            let Some((at, _)) = way.parcels.front() else {
                continue;
            };
            let at = *at;
            if way.moving || self.network.is_cut(sender, receiver) {
                continue;
            }
            if let Some(connection) = self.network.get(conn) {
                connection.ways[from as usize].moving = true;
            }
            self.agenda
                .enter(at.max(self.now), Event::Arrive { conn, from });
        }
    }

    pub(super) fn arrive(&mut self, conn: ConnId, from: Which) {
        let Some(connection) = self.network.get(conn) else {
            return;
        };
        connection.ways[from as usize].moving = false;
        let (sender, receiver) = (
            connection.ends[from as usize].actor,
            connection.ends[from.other() as usize].actor,
        );
        let stage = connection.ends[from.other() as usize].stage;
        if stage == Stage::Gone {
            connection.ways[from as usize].parcels.clear();
            return;
        }
        if self.network.is_cut(sender, receiver) {
            return;
        }
        let parcel = self
            .network
            .get(conn)
            .and_then(|connection| connection.ways[from as usize].parcels.pop_front());
        self.move_on(conn);
        match (parcel, stage) {
            (Some((_, Parcel::Established)), Stage::Opening) => self.accept(conn),
            (Some((_, Parcel::Coded(bytes))), Stage::Open(link)) => {
                let frame = self.decode(&bytes);
                self.deliver((sender, receiver), link, frame, bytes.len());
            }
            (Some((_, Parcel::Plain(frame, bytes))), Stage::Open(link)) => {
                self.deliver((sender, receiver), link, *frame, bytes)
            }
            (Some((_, Parcel::Closed)), _) => self.give_up(conn, from.other(), Farewell::Silent),
            (Some(_) | None, Stage::Opening | Stage::Open(_) | Stage::Gone) => {}
        }
    }

    /// The dialled end learns of the connection; an older one of the same peer ends first.
    fn accept(&mut self, conn: ConnId) {
        let Some(connection) = self.network.get(conn) else {
            return;
        };
        let (dialler, dialled) = (connection.ends[0].actor, connection.ends[1].actor);
        for older in self.network.between(dialler, dialled) {
            if older < conn {
                self.give_up(older, Which::Dialled, Farewell::Said);
            }
        }
        let Some(process) = &mut self.actors[dialled.0].process else {
            return;
        };
        let link = process.links.number();
        if let Some(connection) = self.network.get(conn) {
            connection.ends[1].stage = Stage::Open(link);
        }
        self.link_up(conn, Which::Dialled, link);
    }

    /// The length of a frame on the wire.
    pub(super) fn measure(&mut self, frame: &Frame) -> usize {
        self.scratch.clear();
        frame.encode(&mut self.scratch);
        self.scratch.len()
    }

    /// Gives a frame of so many bytes to the codec, if the layout says so.
    pub(super) fn wrap(&self, frame: Frame, bytes: usize) -> Parcel {
        match self.layout.codec {
            Codec::Off => Parcel::Plain(Box::new(frame), bytes),
            Codec::On => {
                let mut bytes = Vec::new();
                frame.encode(&mut bytes);
                Parcel::Coded(bytes)
            }
        }
    }

    fn decode(&self, bytes: &[u8]) -> Frame {
        let (header, payload) = bytes.split_at(HEADER_BYTES);
        let header = header
            .try_into()
            .expect("the slice was split at the header's length");
        let header = Header::read(header).expect("what a brain sends has a good header");
        Frame::decode(header, payload).expect("what a brain sends decodes")
    }

    fn deliver(
        &mut self,
        (from, to): (ActorId, ActorId),
        link: LinkId,
        frame: Frame,
        bytes: usize,
    ) {
        let role = self.actors[from.0].role;
        if !allowed(role, frame.kind()) {
            self.wrong("roles", format!("a {role} sent {:?}", frame.kind()));
        }
        let twice = self.layout.twice_permille;
        let is_twice = twice > 0 && self.rng.permille(twice);
        if is_twice {
            self.hand_in((from, to), link, frame.clone(), bytes);
        }
        self.hand_in((from, to), link, frame, bytes);
    }

    fn hand_in(
        &mut self,
        (from, to): (ActorId, ActorId),
        link: LinkId,
        frame: Frame,
        bytes: usize,
    ) {
        self.saw(&Sight::Came {
            from,
            to,
            frame: &frame,
            bytes,
        });
        if self.layout.codec == Codec::On {
            self.haunts.came(from, to, &frame);
        }
        self.stock(to, &frame);
        if let Some(frame) = self.twisted(to, link, frame) {
            self.feed(to, Input::Frame { link, frame });
        }
    }

    /// One end leaves the connection; its process, if it lives, is told.
    pub(super) fn give_up(&mut self, conn: ConnId, which: Which, farewell: Farewell) {
        let Some(connection) = self.network.get(conn) else {
            return;
        };
        let (actor, peer) = (
            connection.ends[which as usize].actor,
            connection.ends[which.other() as usize].actor,
        );
        let stage = std::mem::replace(&mut connection.ends[which as usize].stage, Stage::Gone);
        if stage == Stage::Gone {
            return;
        }
        self.network.left(actor, conn);
        let cut = self.network.is_cut(actor, peer);
        let mut rng = self.rng.fork(u64::from(conn.0));
        if let Some(connection) = self.network.get(conn) {
            connection.ways[which as usize].abandon(cut, &mut rng);
        }
        if farewell == Farewell::Said && !cut {
            self.post(conn, which, Parcel::Closed);
        }
        self.listen_at(conn, which.other());
        self.network.tidy(conn);
        if let Stage::Open(link) = stage {
            self.link_down(actor, peer, link);
        }
    }

    fn link_down(&mut self, actor: ActorId, peer: ActorId, link: LinkId) {
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        // What was asked of the peer ends before the link does: nothing bears a link's number after its end.
        let lost: Vec<u64> = process
            .fetches
            .iter()
            .filter(|(_, fetch)| fetch.link == link)
            .map(|(id, _)| *id)
            .collect();
        for fetch in lost {
            self.end_fetch(actor, fetch, FetchEnd::Failed);
        }
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        process.links.remove(link);
        process.fetches.retain(|_, fetch| fetch.link != link);
        let dial = process.dials.iter().position(|dial| dial.superior == peer);
        self.loses_link(actor);
        self.saw(&Sight::LinkDown { actor, peer });
        self.feed(actor, Input::LinkDown { link });
        if let Some(dial) = dial {
            self.plan_dial(actor, dial);
        }
    }

    /// Looks again at what an actor's connections hear, at both ends.
    pub(super) fn listen(&mut self, actor: ActorId) {
        for (conn, which) in self.network.of(actor) {
            self.listen_at(conn, which);
            self.listen_at(conn, which.other());
        }
    }

    fn listen_at(&mut self, conn: ConnId, which: Which) {
        let Some(connection) = self.network.get(conn) else {
            return;
        };
        let (end, other) = (
            &connection.ends[which as usize],
            &connection.ends[which.other() as usize],
        );
        if end.stage == Stage::Gone {
            return;
        }
        let (actor, peer, gone, was_deaf) =
            (end.actor, other.actor, other.stage == Stage::Gone, end.deaf);
        let stopped =
            |host: ActorId| self.actors[host.0].process.is_none() || self.actors[host.0].paused;
        let deaf = gone || stopped(actor) || stopped(peer) || self.network.is_cut(peer, actor);
        if deaf == was_deaf {
            return;
        }
        let Some(connection) = self.network.get(conn) else {
            return;
        };
        let end = &mut connection.ends[which as usize];
        end.deaf = deaf;
        end.silence += 1;
        let silence = end.silence;
        if deaf {
            let heard_before = Span(self.rng.below(KEEP_ALIVE.0));
            let at = self.now + (IDLE - heard_before);
            self.agenda.enter(
                at,
                Event::Silence {
                    conn,
                    which,
                    silence,
                },
            );
        }
    }

    pub(super) fn silence_lasted(&mut self, conn: ConnId, which: Which, silence: u32) {
        let Some(connection) = self.network.get(conn) else {
            return;
        };
        let end = &connection.ends[which as usize];
        if end.deaf && end.silence == silence && !self.has(Mutant::NeverIdle) {
            self.give_up(conn, which, Farewell::Silent);
        }
    }
}
