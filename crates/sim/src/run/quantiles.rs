//! How long things took, counted so that quantiles can be told without keeping every one.

use muster_proto::Span;

/// Counters for spans, a part in 256 wide each: a quantile is off by 0.4 % at most.
#[derive(Clone, Debug)]
pub(super) struct Quantiles {
    counts: Vec<u64>,
    all: u64,
}

/// Counters for each doubling.
const STEPS: u64 = 256;
/// The first octave that is split; shorter spans have a counter each.
const EXACT_BITS: u32 = 9;

impl Quantiles {
    pub fn new() -> Self {
        Self {
            counts: vec![0; counter(u64::MAX) + 1],
            all: 0,
        }
    }

    pub fn add(&mut self, span: Span) {
        self.counts[counter(span.0)] += 1;
        self.all += 1;
    }

    pub fn count(&self) -> u64 {
        self.all
    }

    /// The span that so many of a thousand do not exceed, in seconds; 0 if there are none.
    pub fn permille(&self, permille: u64) -> f64 {
        let wanted = (self.all * permille).div_ceil(1_000).max(1);
        let mut below = 0;
        for (at, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= wanted {
                return highest(at) as f64 / 1e6;
            }
        }
        0.0
    }

    /// How many lasted up to each of `bars` equal parts of the span that all but one in a thousand do not exceed, and
    /// beyond the part before; the last has the rest. In seconds.
    pub fn bars(&self, bars: u64) -> Vec<(u64, u64)> {
        let width = ((self.permille(999) / bars as f64).ceil() as u64).max(1);
        let bar_of = |us: u64| (us / 1_000_000 / width).min(bars - 1) as usize;
        let mut counts = vec![0; bars as usize];
        for (at, count) in self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            let lowest = at.checked_sub(1).map_or(0, |below| highest(below) + 1);
            // A counter may be wider than a bar: its spans are taken to lie evenly in it.
            let (first, last) = (bar_of(lowest), bar_of(highest(at)));
            let over = (last - first + 1) as u64;
            for (bar, share) in (first..=last).zip(0..) {
                counts[bar] += count * (share + 1) / over - count * share / over;
            }
        }
        let ends = (1..=bars).map(|bar| bar * width);
        ends.zip(counts).collect()
    }
}

fn counter(us: u64) -> usize {
    let bits = 64 - us.leading_zeros();
    if bits <= EXACT_BITS {
        return us as usize;
    }
    let octave = u64::from(bits - EXACT_BITS);
    let step = (us >> (bits - EXACT_BITS)) - STEPS;
    (octave * STEPS + STEPS + step) as usize
}

/// The longest span of a counter, in microseconds.
fn highest(counter: usize) -> u64 {
    let counter = counter as u64;
    if counter < 2 * STEPS {
        return counter;
    }
    let (octave, step) = (counter / STEPS - 1, counter % STEPS);
    ((STEPS + step) << octave) + ((1 << octave) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_span_is_counted_near_its_length() {
        for us in (0..70).chain([1_000, 65_535, 65_536, 7_500_000_000, 1 << 50, u64::MAX]) {
            let at = highest(counter(us));
            assert!(
                at >= us && at - us <= us / 16 + 1,
                "{us} is counted as {at}"
            );
        }
    }

    #[test]
    fn quantiles_of_a_ladder() {
        let mut ladder = Quantiles::new();
        (1..=1_000).for_each(|n| ladder.add(Span::secs(n)));
        for (permille, wanted) in [(500, 500.0), (900, 900.0), (990, 990.0)] {
            let got = ladder.permille(permille);
            assert!(got >= wanted && got < wanted * 1.07, "{permille}: {got}");
        }
        let bars = ladder.bars(10);
        assert_eq!(bars.iter().map(|(_, count)| count).sum::<u64>(), 1_000);
        assert_eq!(Quantiles::new().permille(500), 0.0);
    }
}
