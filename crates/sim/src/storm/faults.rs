//! What goes wrong while a storm rages.

use muster_proto::{Role, Span, Time};

use crate::brain::{ActorId, Observer};
use crate::cast::Cast;
use crate::rng::Rng;
use crate::world::World;

/// Draws faults and lets them happen.
#[derive(Debug)]
pub struct Faults {
    rng: Rng,
    calm: Span,
}

impl Faults {
    /// Faults a mean time of `calm` apart.
    pub fn new(rng: Rng, calm: Span) -> Self {
        Self { rng, calm }
    }

    /// How long until the next fault.
    pub fn pause(&mut self) -> Span {
        Span(self.rng.between(1, 2 * self.calm.0))
    }

    /// Lets one thing go wrong.
    pub fn strike<O: Observer>(&mut self, world: &mut World<Cast, O>) {
        match self.rng.below(10) {
            0..5 => self.kill(world),
            5..8 => self.cut(world),
            8 => self.halt(world),
            _ => world.haunt(&mut self.rng),
        }
    }

    /// Kills a process; of those that can lose something, ten times likelier while writes are pending.
    fn kill<O: Observer>(&mut self, world: &mut World<Cast, O>) {
        let Some(victim) = self.victim(world) else {
            return;
        };
        let keeps = matches!(world.peer(victim).role, Role::Master | Role::Foreman);
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

    /// Cuts the way between an actor and one of its superiors, in one direction or both.
    fn cut<O: Observer>(&mut self, world: &mut World<Cast, O>) {
        let dialling: Vec<ActorId> = world
            .actors()
            .filter(|actor| !world.dials(*actor).is_empty())
            .collect();
        let low = *self.rng.pick(&dialling);
        let high = *self.rng.pick(world.dials(low));
        let (short, long) = *self
            .rng
            .pick(&[(50, 2_000), (2_000, 18_000), (15_000, 70_000)]);
        let heals: Time = world.now() + Span::millis(self.rng.between(short, long));
        let ways = self.rng.below(4);
        if ways != 0 {
            world.cut(low, high, heals);
        }
        if ways != 1 {
            world.cut(high, low, heals);
        }
    }

    fn halt<O: Observer>(&mut self, world: &mut World<Cast, O>) {
        if let Some(victim) = self.victim(world) {
            let (low, high) = *self.rng.pick(&[(20, 2_000), (2_000, 40_000)]);
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
