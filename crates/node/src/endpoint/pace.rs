//! How fast contents may cross a link: campuses share theirs with others.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Bytes per second of contents that may cross one link, each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkRate(NonZeroU64);

impl LinkRate {
    /// The least there is: slower, transfers that go on side by side would take each other for dead.
    pub const MIN: u64 = 16 << 10;

    /// So many bytes per second; `None` below [`LinkRate::MIN`].
    pub fn new(bytes_per_s: u64) -> Option<LinkRate> {
        NonZeroU64::new(bytes_per_s)
            .filter(|rate| rate.get() >= Self::MIN)
            .map(LinkRate)
    }

    /// Puts `bytes` at the end of a line, and says when it is their turn.
    ///
    /// A line is one time: when all that was let through will have crossed. Transfers so take turns piece by piece, and
    /// an idle link saves up no more than [`BURST`].
    fn queue(self, line: &mut Instant, now: Instant, bytes: usize) -> Instant {
        let takes = Duration::from_secs_f64(bytes as f64 / self.0.get() as f64);
        *line = (*line).max(now) + takes;
        line.checked_sub(BURST).unwrap_or(now)
    }
}

/// Holds contents back on their way over one link, if there is a limit.
#[derive(Debug, Default)]
pub(crate) struct Pace(Option<Ways>);

#[derive(Debug)]
struct Ways {
    rate: LinkRate,
    out: Mutex<Instant>,
    back: Mutex<Instant>,
}

impl Pace {
    /// At most `rate` each way.
    pub(crate) fn of(rate: LinkRate) -> Pace {
        let begun = Instant::now();
        Pace(Some(Ways {
            rate,
            out: Mutex::new(begun),
            back: Mutex::new(begun),
        }))
    }

    /// How many of `bytes` may move in one go: a share of a second small enough for all transfers of a link to have their
    /// turns.
    pub(crate) fn piece(&self, bytes: usize) -> usize {
        self.0.as_ref().map_or(bytes, |ways| {
            let share = usize::try_from(ways.rate.0.get() / PIECES_PER_S);
            bytes.min(share.unwrap_or(PIECE_MAX).clamp(PIECE_MIN, PIECE_MAX))
        })
    }

    /// Waits until `bytes` may be sent.
    pub(crate) async fn send(&self, bytes: usize) {
        if let Some(ways) = &self.0 {
            ways.wait(&ways.out, bytes).await;
        }
    }

    /// Waits until more may be taken in, after `bytes` have been.
    pub(crate) async fn receive(&self, bytes: usize) {
        if let Some(ways) = &self.0 {
            ways.wait(&ways.back, bytes).await;
        }
    }
}

impl Ways {
    /// Takes a place of `bytes` in the line of this way, and waits until its turn has come.
    async fn wait(&self, way: &Mutex<Instant>, bytes: usize) {
        let turn = {
            // A panic cannot leave the time half changed.
            let mut line = way.lock().unwrap_or_else(PoisonError::into_inner);
            self.rate.queue(&mut line, Instant::now(), bytes)
        };
        sleep_until(turn).await;
    }
}

/// What may cross ahead of its time.
const BURST: Duration = Duration::from_millis(50);
/// Pieces in a second, as far as their lengths allow.
const PIECES_PER_S: u64 = 50;
/// Less is not worth a turn.
const PIECE_MIN: usize = 4 << 10;
/// More would be a burst of its own.
const PIECE_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 1 << 20;

    fn line() -> (LinkRate, Instant, Instant) {
        let now = Instant::now();
        (LinkRate::new(RATE).expect("it is enough"), now, now)
    }

    #[test]
    fn what_is_queued_crosses_at_the_rate_and_no_faster() {
        let (rate, mut line, now) = line();
        let turns: Vec<Duration> = (0..64)
            .map(|_| {
                rate.queue(&mut line, now, 64 << 10)
                    .saturating_duration_since(now)
            })
            .collect();
        let whole = Duration::from_secs(4);
        assert_eq!(
            turns[63],
            whole - BURST,
            "64 pieces of a sixteenth of a second"
        );
        assert!(
            turns.windows(2).all(|pair| pair[0] < pair[1]),
            "one after the other"
        );
    }

    #[test]
    fn an_idle_link_saves_nothing_up() {
        let (rate, mut line, begun) = line();
        let later = begun + Duration::from_secs(3_600);
        rate.queue(&mut line, later, 1 << 20);
        let next = rate.queue(&mut line, later, 1 << 20);
        assert_eq!(next, later + Duration::from_secs(2) - BURST);
    }

    #[test]
    fn pieces_are_small_where_the_rate_is() {
        let piece = |rate| Pace::of(LinkRate::new(rate).expect("it is enough")).piece(1 << 20);
        assert_eq!(piece(LinkRate::MIN), PIECE_MIN);
        assert_eq!(piece(10 << 20), 209_715);
        assert_eq!(piece(1 << 40), PIECE_MAX);
        assert_eq!(Pace::default().piece(1 << 20), 1 << 20);
        assert_eq!(LinkRate::new(LinkRate::MIN - 1), None);
    }
}
