//! From numbers to places on an axis.

/// The numbers an axis shows, from its low end to its high end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The number at the low end.
    pub low: f64,
    /// The number at the high end; greater.
    pub high: f64,
}

/// Marks at round numbers along an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticks {
    /// The numbers, rising.
    pub at: Vec<f64>,
    decimals: usize,
}

impl Scale {
    /// A scale from `low` to `high`; one that holds a single number, or none, is widened so that it has a length.
    pub fn new(low: f64, high: f64) -> Scale {
        let whole = low.is_finite() && high.is_finite();
        let (low, high) = if whole { (low, high) } else { (0.0, 1.0) };
        let high = if high > low { high } else { low + 1.0 };
        Scale { low, high }
    }

    /// A scale that holds all of `numbers`, with ends that are round.
    pub fn around(numbers: impl IntoIterator<Item = f64>) -> Scale {
        let ends = numbers
            .into_iter()
            .filter(|number| number.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| {
                (low.min(number), high.max(number))
            });
        let tight = Scale::new(ends.0, ends.1);
        let step = tight.step(TICKS_USUAL);
        Scale::new(
            (tight.low / step).floor() * step,
            (tight.high / step).ceil() * step,
        )
    }

    /// Where `number` is: 0 at the low end, 1 at the high end.
    pub fn share(&self, number: f64) -> f64 {
        (number - self.low) / (self.high - self.low)
    }

    /// About `count` marks at multiples of 1, 2 or 5 times a power of ten.
    pub fn ticks(&self, count: u32) -> Ticks {
        let step = self.step(count);
        let (first, last) = (
            (self.low / step - NEAR).ceil(),
            (self.high / step + NEAR).floor(),
        );
        let marks = (last - first).max(0.0) as u32;
        Ticks {
            at: (0..=marks)
                .map(|mark| (first + f64::from(mark)) * step)
                .collect(),
            decimals: (-step.log10()).ceil().max(0.0) as usize,
        }
    }

    /// Marks at whole numbers only, for counts.
    pub fn ticks_whole(&self, count: u32) -> Ticks {
        let ticks = self.ticks(count);
        if ticks.decimals == 0 {
            return ticks;
        }
        let whole = (self.low.ceil() as i64)..=(self.high.floor() as i64);
        Ticks {
            at: whole.map(|number| number as f64).collect(),
            decimals: 0,
        }
    }

    fn step(&self, count: u32) -> f64 {
        let rough = (self.high - self.low) / f64::from(count.max(1));
        let power = 10_f64.powf(rough.log10().floor());
        let factor = [1.0, 2.0, 5.0]
            .into_iter()
            .find(|factor| factor * power >= rough * (1.0 - NEAR));
        factor.unwrap_or(10.0) * power
    }
}

impl Ticks {
    /// A mark's number as written at the axis, with as many decimals as its neighbours differ in.
    pub fn label(&self, number: f64) -> String {
        let decimals = self.decimals;
        // Adding zero makes of a negative zero a plain one.
        let written = format!("{:.decimals$}", number + 0.0);
        written.replace('-', "\u{2212}")
    }
}

/// Marks that an axis of a few hundred pixels has room for.
const TICKS_USUAL: u32 = 5;

/// Of a step: division of decimal fractions is off by far less.
const NEAR: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scale: Scale, wanted: &str) {
        let ticks = scale.ticks(5);
        let labels: Vec<_> = ticks.at.iter().map(|at| ticks.label(*at)).collect();
        assert_eq!(labels.join(" "), wanted, "{scale:?}");
    }

    #[test]
    fn marks_are_at_round_numbers() {
        check(Scale::new(0.0, 1.0), "0.0 0.2 0.4 0.6 0.8 1.0");
        check(Scale::new(0.0, 240.0), "0 50 100 150 200");
        check(
            Scale::new(-90.0, -10.0),
            "\u{2212}80 \u{2212}60 \u{2212}40 \u{2212}20",
        );
        check(Scale::new(0.52, 0.93), "0.6 0.7 0.8 0.9");
        check(Scale::new(0.0, 0.03), "0.00 0.01 0.02 0.03");
    }

    #[test]
    fn counts_have_no_fractions() {
        let ticks = Scale::new(0.0, 2.0).ticks_whole(5);
        assert_eq!(ticks.at, [0.0, 1.0, 2.0]);
        assert_eq!(ticks.label(1.0), "1");
    }

    #[test]
    fn a_scale_always_has_a_length() {
        for scale in [
            Scale::new(3.0, 3.0),
            Scale::new(2.0, 1.0),
            Scale::new(f64::NAN, 1.0),
            Scale::around([]),
            Scale::around([7.0]),
        ] {
            assert!(
                scale.high > scale.low && !scale.ticks(5).at.is_empty(),
                "{scale:?}"
            );
        }
        assert_eq!(Scale::around([-83.0, -12.0]), Scale::new(-100.0, 0.0));
        assert_eq!(Scale::around([0.0, 240.0]).share(125.0), 0.5);
    }
}
