//! Hosts' clocks: monotonic, each at a rate of its own.
//!
//! What is `now` to a brain is what its host's clock shows, and a deadline is kept when that clock shows it; nobody
//! else can tell. A brain sees no wall clock, so that a jump of one is no fault that could be made here.

use muster_proto::{Span, Time};

use crate::brain::{ActorId, Brain, Observer};
use crate::world::World;

/// A host's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Milliseconds that it shows for each second.
    pub rate_permille: u64,
    /// How far it is ahead of one that runs at its rate from the start.
    pub ahead: Span,
}

impl Clock {
    /// A clock that shows the world's time.
    pub const TRUE: Clock = Clock {
        rate_permille: 1_000,
        ahead: Span(0),
    };

    /// What it shows at an instant of the world.
    pub fn shows(self, now: Time) -> Time {
        Time(now.0 * self.rate_permille / 1_000) + self.ahead
    }

    /// The first instant of the world at which it shows `shown`.
    pub fn when(self, shown: Time) -> Time {
        Time((shown.0.saturating_sub(self.ahead.0) * 1_000).div_ceil(self.rate_permille.max(1)))
    }
}

impl<B: Brain, O: Observer> World<B, O> {
    /// Gives a host a clock; before its process starts, since a clock never runs backwards.
    pub fn set_clock(&mut self, actor: ActorId, clock: Clock) {
        self.actors[actor.0].clock = clock;
    }

    /// What an actor's clock shows.
    pub fn shown(&self, actor: ActorId) -> Time {
        self.actors[actor.0].clock.shows(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_kept_at_the_first_instant_at_which_the_clock_shows_it() {
        for rate_permille in [900, 1_000, 1_037, 1_100] {
            let clock = Clock {
                rate_permille,
                ahead: Span(5),
            };
            for shown in [5, 6, 7, 1_000_003, 77_777_777] {
                let at = clock.when(Time(shown));
                assert!(clock.shows(at) >= Time(shown));
                assert!(at.0 == 0 || clock.shows(Time(at.0 - 1)) < Time(shown));
            }
        }
    }
}
