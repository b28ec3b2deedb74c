//! What goes wrong while a storm rages.

use std::collections::BTreeSet;

use muster_proto::{Role, Span, Time};

use crate::brain::{ActorId, Observer};
use crate::cast::Cast;
use crate::rng::Rng;
use crate::storm::weather::{Strike, Weather};
use crate::world::World;

/// Draws faults and lets them happen.
#[derive(Debug)]
pub struct Faults {
    rng: Rng,
    weather: Weather,
    strikes_at: Time,
    /// Cuts to come of links that flap.
    flaps: BTreeSet<(Time, Flap)>,
}

/// A cut to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flap {
    low: ActorId,
    high: ActorId,
    heals: Time,
    ways: u64,
}

impl Faults {
    /// Faults as the weather has them.
    pub fn new(rng: Rng, weather: Weather) -> Self {
        let mut faults = Self {
            rng,
            weather,
            strikes_at: Time(0),
            flaps: BTreeSet::new(),
        };
        faults.plan(Time(0));
        faults
    }

    /// When something goes wrong next.
    pub fn next_at(&self) -> Time {
        let flap = self.flaps.first().map(|(at, _)| *at);
        flap.map_or(self.strikes_at, |at| at.min(self.strikes_at))
    }

    /// Lets everything go wrong that is due.
    pub fn strike<O: Observer>(&mut self, world: &mut World<Cast, O>) {
        let now = world.now();
        while let Some((_, flap)) = self.flaps.first().copied().filter(|(at, _)| *at <= now) {
            self.flaps.pop_first();
            cut(world, flap);
        }
        if self.strikes_at > now {
            return;
        }
        match self.pick() {
            Some(Strike::Crash) => {
                self.crash(world);
            }
            Some(Strike::LostDisk) => self.lose_disk(world),
            Some(Strike::Cut) => self.cut(world),
            Some(Strike::Flap) => self.flap(world),
            Some(Strike::Pause) => self.pause(world),
            Some(Strike::Ghost) => world.haunt(&mut self.rng),
            Some(Strike::Rot) => self.rot(world),
            None => {}
        }
        self.plan(world.now());
    }

    fn plan(&mut self, now: Time) {
        self.strikes_at = now + Span(self.rng.between(1, 2 * self.weather.calm.0));
    }

    fn pick(&mut self) -> Option<Strike> {
        let sum = self.weather.strikes.iter().map(|(_, weight)| weight).sum();
        let mut at = self.rng.below(sum);
        for (strike, weight) in &self.weather.strikes {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return Some(*strike),
            }
        }
        None
    }

    /// Kills a process; of those that can lose something, ten times likelier while writes are pending.
    fn crash<O: Observer>(&mut self, world: &mut World<Cast, O>) {
        if let Some(victim) = self.victim(world) {
            let keeps = matches!(world.peer(victim).role, Role::Master | Role::Foreman);
            self.kill(world, victim, keeps);
        }
    }

    fn kill<O: Observer>(&mut self, world: &mut World<Cast, O>, victim: ActorId, keeps: bool) {
        if keeps && self.rng.permille(900) {
            let patience = world.now() + Span::secs(3);
            while !world.pending(victim) && world.next_at().is_some_and(|at| at < patience) {
                world.step();
            }
        }
        let away = [(10, 300), (300, 3_000), (3_000, 25_000), (25_000, 90_000)];
        let (low, high) = *self.rng.pick(&away);
        let back = Span::millis(self.rng.between(low, high));
        world.kill(victim, Some(back));
    }

    /// A foreman dies and comes back without spool and store. A worker loses its disk with each death anyway; what a
    /// master's disk holds is nowhere else, and nothing is promised without it.
    fn lose_disk<O: Observer>(&mut self, world: &mut World<Cast, O>) {
        let well = world.actors().filter(|actor| world.is_well(*actor));
        let foremen: Vec<ActorId> = well
            .filter(|actor| world.peer(*actor).role == Role::Foreman)
            .collect();
        if !foremen.is_empty() {
            let victim = *self.rng.pick(&foremen);
            self.kill(world, victim, true);
            world.wipe(victim);
        }
    }

    /// Contents in the store of a foreman are spoiled, unless only it has them.
    fn rot<O: Observer>(&mut self, world: &mut World<Cast, O>) {
        let foremen: Vec<ActorId> = world
            .actors()
            .filter(|actor| world.peer(*actor).role == Role::Foreman)
            .collect();
        if !foremen.is_empty() {
            let victim = *self.rng.pick(&foremen);
            world.rot(victim, |below| self.rng.below(below));
        }
    }

    /// An actor and one of its superiors.
    fn pair<O: Observer>(&mut self, world: &World<Cast, O>) -> (ActorId, ActorId) {
        let dialling: Vec<ActorId> = world
            .actors()
            .filter(|actor| !world.dials(*actor).is_empty())
            .collect();
        let low = *self.rng.pick(&dialling);
        (low, *self.rng.pick(world.dials(low)))
    }

    /// Cuts the way between an actor and one of its superiors, in one direction or both.
    fn cut<O: Observer>(&mut self, world: &mut World<Cast, O>) {
        let (low, high) = self.pair(world);
        let lasts = [(50, 2_000), (2_000, 18_000), (15_000, 70_000)];
        let (short, long) = *self.rng.pick(&lasts);
        let heals = world.now() + Span::millis(self.rng.between(short, long));
        let ways = self.rng.below(4);
        let flap = Flap {
            low,
            high,
            heals,
            ways,
        };
        cut(world, flap);
    }

    /// Cuts one way again and again, now shorter and now longer than a link bears.
    fn flap<O: Observer>(&mut self, world: &World<Cast, O>) {
        let (low, high) = self.pair(world);
        let (ways, longest) = (self.rng.below(4), *self.rng.pick(&[500, 3_000, 30_000]));
        let mut at = world.now();
        for _ in 0..self.rng.between(2, 10) {
            let heals = at + Span::millis(self.rng.between(20, longest));
            let flap = Flap {
                low,
                high,
                heals,
                ways,
            };
            self.flaps.insert((at, flap));
            at = heals + Span::millis(self.rng.between(1, longest));
        }
    }

    fn pause<O: Observer>(&mut self, world: &mut World<Cast, O>) {
        if let Some(victim) = self.victim(world) {
            let (low, high) = *self
                .rng
                .pick(&[(20, 2_000), (2_000, 40_000), (40_000, 150_000)]);
            world.pause(victim, Span::millis(self.rng.between(low, high)));
        }
    }

    /// Someone who is well and no user; masters and foremen are as likely as all their workers.
    fn victim<O: Observer>(&mut self, world: &World<Cast, O>) -> Option<ActorId> {
        let of = |roles: &[Role]| -> Vec<ActorId> {
            let well = world.actors().filter(|actor| world.is_well(*actor));
            well.filter(|actor| roles.contains(&world.peer(*actor).role))
                .collect()
        };
        let keepers = of(&[Role::Master, Role::Foreman]);
        let workers = of(&[Role::Worker]);
        let some = if self.rng.permille(600) {
            &keepers
        } else {
            &workers
        };
        (!some.is_empty()).then(|| *self.rng.pick(some))
    }
}

fn cut<O: Observer>(world: &mut World<Cast, O>, flap: Flap) {
    let Flap {
        low,
        high,
        heals,
        ways,
    } = flap;
    if ways != 0 {
        world.cut(low, high, heals);
    }
    if ways != 1 {
        world.cut(high, low, heals);
    }
}
