//! Waiting for conditions: the one place that lets time pass.

use std::sync::mpsc;
use std::time::Duration;

use muster_node::clock::Clock;
use muster_proto::Span;

/// Looks again and again until `look` finds something, and returns it.
///
/// # Panics
/// When `limit` has passed without.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::start();
    let end = clock.now() + span(limit);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock.now() < end, "{what}: not within {limit:?}");
        pass(PAUSE);
    }
}

/// Waits until `holds`.
///
/// # Panics
/// When `limit` has passed and it still does not.
pub fn until_true(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    until(what, limit, || holds().then_some(()));
}

/// Lets time pass, where time itself is the story: the length of a cut, the instant of a kill.
pub fn pass(time: Duration) {
    let (_nobody, silence) = mpsc::channel::<()>();
    // Nobody ever sends, so this ends by its time alone.
    let _passed = silence.recv_timeout(time).is_err();
}

/// A standard duration in the house's unit.
pub fn span(time: Duration) -> Span {
    Span(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// When a start, an answer or a small ensemble on a loaded machine is given up.
pub const SOON: Duration = Duration::from_secs(30);
/// When an ensemble of many tasks is given up.
pub const LONG: Duration = Duration::from_secs(240);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
