//! The one place of this package that reads a clock: steps and comparisons are timed for people.

use std::time::{Duration, Instant};

/// A stopwatch that runs from its making.
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts a stopwatch.
    #[expect(
        clippy::disallowed_methods,
        reason = "tools time themselves; no brain is near"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns the time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
