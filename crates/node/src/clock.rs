//! The one place that reads a clock.
//!
//! Brains are told the time; drivers read it here, so that a test can see at a glance that nothing else does.
//! Monotonic time orders things and measures spans; wall time is only for people and for certificates.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use muster_proto::Time;

/// The monotonic clock of this process; copies share one beginning.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts a clock at `Time(0)`; a process starts one and hands out copies.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the door by which monotonic time comes in"
    )]
    pub fn start() -> Clock {
        Clock {
            start: Instant::now(),
        }
    }

    /// The time since the start; never runs backwards.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the door by which monotonic time comes in"
    )]
    pub fn now(&self) -> Time {
        let elapsed = Instant::now().saturating_duration_since(self.start);
        Time(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
    }

    /// How long it is until `at`; zero if `at` is past. A driver sleeps this long for a machine's deadline.
    pub fn until(&self, at: Time) -> Duration {
        Duration::from_micros(at.since(self.now()).0)
    }
}

/// Wall time in milliseconds since 1970; zero on a clock set before that. It may jump either way.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the door by which wall time comes in"
)]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What all processors have spent on this process so far, in seconds.
pub fn processor_seconds() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use muster_proto::Span;

    use super::*;

    #[test]
    fn time_runs_forwards_and_deadlines_are_measured_from_now() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(clock.now() >= first);
        assert_eq!(clock.until(first), Duration::ZERO);
        let left = clock.until(clock.now() + Span::secs(60));
        assert!(
            left > Duration::from_secs(50) && left <= Duration::from_secs(60),
            "{left:?}"
        );
        assert!(
            clock.until(Time(u64::MAX)) > Duration::from_secs(u64::MAX / 2_000_000),
            "no overflow at the end of time"
        );
    }

    #[test]
    fn wall_time_is_of_this_century() {
        assert!(wall_ms() > 1_700_000_000_000);
    }
}
