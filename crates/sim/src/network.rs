//! Connections between processes: what is on its way, who hears whom, which ways are cut.
//!
//! A connection behaves like QUIC over a bad network. Frames of one direction arrive in order; a lost packet shows
//! as delay; a cut holds frames back until it heals or the connection ends. Either end gives up for itself when it
//! has heard nothing for [`IDLE`], so the two ends of a broken connection learn of it at different times.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use litemap::LiteMap;
use muster_proto::wire::Frame;
use muster_proto::{LinkId, Span, Time};

use crate::brain::ActorId;
use crate::rng::Rng;

/// When an end that hears nothing gives its connection up; the driver's idle time-out.
pub const IDLE: Span = Span::secs(20);
/// The driver's keep-alive: how long before a silence began the last packet may have come.
pub const KEEP_ALIVE: Span = Span::secs(5);
/// The first pause before a superior is dialled again; doubled each time.
pub const REDIAL_MIN: Span = Span::millis(100);
/// The longest pause before a superior is dialled again.
pub const REDIAL_MAX: Span = Span::secs(2);

/// Which end of a connection: the one that dialled, or the one that was dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// It dialled.
    Dialler = 0,
    /// It was dialled.
    Dialled = 1,
}

impl Which {
    /// The other end.
    pub fn other(self) -> Which {
        match self {
            Which::Dialler => Which::Dialled,
            Which::Dialled => Which::Dialler,
        }
    }
}

/// A connection's number in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(pub u32);

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// What its packets go through.
    pub route: Route,
    /// Both ends, by [`Which`].
    pub ends: [End; 2],
    /// What is under way from each end.
    pub ways: [Way; 2],
}

/// What packets between two hosts go through.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Microseconds that a packet takes.
    pub latency_us: u64,
    /// Chances in a million that it is lost, beyond those of the network.
    pub loss_ppm: u64,
}

/// One end of a connection.
#[derive(Debug)]
pub struct End {
    /// Whose it is.
    pub actor: ActorId,
    /// What the end knows.
    pub stage: Stage,
    /// How often it fell silent or was heard again; tells an old silence from the present one.
    pub silence: u32,
    /// Whether it hears nothing.
    pub deaf: bool,
}

/// What an end knows of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The other end has it, this one not yet.
    Opening,
    /// It stands, under this number.
    Open(LinkId),
    /// This end has given it up.
    Gone,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub struct Way {
    /// What has been sent and has not arrived, with the earliest time it may.
    pub parcels: VecDeque<(Time, Parcel)>,
    /// Whether its first parcel's arrival is on the agenda.
    pub moving: bool,
    last: Time,
}

/// What travels.
#[derive(Debug)]
pub enum Parcel {
    /// The handshake's end: the dialled end stands from here on.
    Established,
    /// A frame's bytes, as the codec writes them.
    Coded(Vec<u8>),
    /// A frame as it is, and its length on the wire.
    Plain(Box<Frame>, usize),
    /// The sender has closed the connection.
    Closed,
}

impl Way {
    /// Puts `parcel` on its way; it arrives after all before it.
    pub fn send(&mut self, parcel: Parcel, now: Time, travel: Span) {
        let at = (now + travel).max(self.last);
        self.last = at;
        self.parcels.push_back((at, parcel));
    }

    /// The sender is gone: what a cut holds is lost, of the rest only a prefix was in time.
    pub fn abandon(&mut self, cut: bool, rng: &mut Rng) {
        let kept = match cut {
            true => 0,
            false => rng.below(self.parcels.len() as u64 + 1) as usize,
        };
        self.parcels.truncate(kept);
    }
}

/// Every connection and cut.
#[derive(Debug, Default)]
pub struct Network {
    /// By number; numbers are not used again, and what is over keeps an empty place.
    connections: Vec<Option<Connection>>,
    /// The connections that each actor has not given up.
    by_actor: Vec<LiteMap<ConnId, ()>>,
    /// The connections that are not over, by who dialled whom.
    by_pair: BTreeMap<(ActorId, ActorId), Vec<ConnId>>,
    cuts: BTreeSet<(ActorId, ActorId)>,
    /// Chances in a thousand that a packet is lost and sent again.
    pub loss_permille: u64,
    /// Greatest addition to a packet's latency, in percent of it.
    pub jitter_percent: u64,
}

impl Network {
    /// No connections, no cuts.
    pub fn new(loss_permille: u64, jitter_percent: u64) -> Self {
        Self {
            loss_permille,
            jitter_percent,
            ..Self::default()
        }
    }

    /// Makes a connection that stands for its dialler.
    pub fn connect(
        &mut self,
        (dialler, link): (ActorId, LinkId),
        dialled: ActorId,
        route: Route,
    ) -> ConnId {
        let id = ConnId(self.connections.len() as u32);
        let end = |actor, stage| End {
            actor,
            stage,
            silence: 0,
            deaf: false,
        };
        let ends = [
            end(dialler, Stage::Open(link)),
            end(dialled, Stage::Opening),
        ];
        let ways = [Way::default(), Way::default()];
        self.connections
            .push(Some(Connection { route, ends, ways }));
        for actor in [dialler, dialled] {
            if self.by_actor.len() <= actor.0 {
                self.by_actor.resize_with(actor.0 + 1, LiteMap::new);
            }
            self.by_actor[actor.0].insert(id, ());
        }
        self.by_pair.entry((dialler, dialled)).or_default().push(id);
        id
    }

    /// A connection, unless both ends have given it up and nothing is under way.
    pub fn get(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.connections.get_mut(id.0 as usize)?.as_mut()
    }

    /// An end has given its connection up.
    pub fn left(&mut self, actor: ActorId, id: ConnId) {
        if let Some(own) = self.by_actor.get_mut(actor.0) {
            own.remove(&id);
        }
    }

    /// Drops a connection that no one has any more.
    pub fn tidy(&mut self, id: ConnId) {
        if let Some(place) = self.connections.get_mut(id.0 as usize) {
            let is_over = |connection: &Connection| {
                let ends = &connection.ends;
                ends.iter().all(|end| end.stage == Stage::Gone)
            };
            let Some(over) = place.take_if(|connection| is_over(connection)) else {
                return;
            };
            let pair = (over.ends[0].actor, over.ends[1].actor);
            if let Some(ids) = self.by_pair.get_mut(&pair) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.by_pair.remove(&pair);
                }
            }
        }
    }

    /// The connections of `actor` that it has not given up, with its end.
    pub fn of(&self, actor: ActorId) -> Vec<(ConnId, Which)> {
        let own = self
            .by_actor
            .get(actor.0)
            .into_iter()
            .flat_map(LiteMap::keys);
        own.filter_map(|id| {
            let ends = &self.connections.get(id.0 as usize)?.as_ref()?.ends;
            let which = [Which::Dialler, Which::Dialled]
                .into_iter()
                .find(|which| ends[*which as usize].actor == actor)?;
            Some((*id, which))
        })
        .collect()
    }

    /// The connections between two actors that at least one of them has not given up.
    pub fn between(&self, a: ActorId, b: ActorId) -> Vec<ConnId> {
        let both = [self.by_pair.get(&(a, b)), self.by_pair.get(&(b, a))];
        both.into_iter().flatten().flatten().copied().collect()
    }

    /// Cuts or heals one direction.
    pub fn set_cut(&mut self, from: ActorId, to: ActorId, cut: Cut) {
        match cut {
            Cut::Cut => self.cuts.insert((from, to)),
            Cut::Healed => self.cuts.remove(&(from, to)),
        };
    }

    /// Whether nothing passes from one to the other.
    pub fn is_cut(&self, from: ActorId, to: ActorId) -> bool {
        self.cuts.contains(&(from, to))
    }

    /// Every direction that is cut.
    pub fn cuts(&self) -> Vec<(ActorId, ActorId)> {
        self.cuts.iter().copied().collect()
    }

    /// How long one packet takes: latency, jitter, and a time-out for each loss.
    pub fn travel(&self, route: Route, rng: &mut Rng) -> Span {
        let latency_us = route.latency_us;
        let mut travel = latency_us + rng.below(latency_us * self.jitter_percent / 100 + 1);
        let mut wait = 3 * latency_us + 1_000;
        let loss_ppm = route.loss_ppm + 1_000 * self.loss_permille;
        while loss_ppm > 0 && rng.below(1_000_000) < loss_ppm && wait < IDLE.0 / 4 {
            travel += wait;
            wait *= 2;
        }
        Span(travel)
    }
}

/// Whether a direction carries anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing.
    Cut,
    /// Everything.
    Healed,
}
