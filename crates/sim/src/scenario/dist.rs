//! How long something takes, by chance.

use muster_proto::Span;

use super::portable::{exp, gamma, ln};
use super::{Duration, Trace};
use crate::rng::Rng;

/// A distribution of times. The parameters' bounds are those that the scenario's reader enforces: means are above 0,
/// standard deviations at most [`SPREAD_MAX`] means, shapes within [`SHAPE_MIN`] and [`SHAPE_MAX`].
#[derive(Clone, Debug, PartialEq)]
pub enum Dist {
    /// Always the same.
    Fixed(Duration),
    /// Anything in between, all alike.
    Uniform {
        /// The least.
        low: Duration,
        /// The greatest.
        high: Duration,
    },
    /// What has no memory: evictions by owners who come back whenever they like.
    Exponential {
        /// The mean.
        mean: Duration,
    },
    /// The more likely to end the longer it has lasted if the shape is above 1, the less so below.
    Weibull {
        /// The mean.
        mean: Duration,
        /// The shape.
        shape: f64,
    },
    /// A hump with a tail to the right.
    Gamma {
        /// The mean.
        mean: Duration,
        /// The standard deviation.
        sd: Duration,
    },
    /// A hump with a heavier tail to the right.
    Lognormal {
        /// The mean.
        mean: Duration,
        /// The standard deviation.
        sd: Duration,
    },
    /// One of measured times, all alike.
    Trace(Trace),
}

/// The least shape of a Weibull distribution: its mean is 10! of its scales already.
pub const SHAPE_MIN: f64 = 0.1;
/// The greatest shape of a Weibull distribution, which is next to fixed.
pub const SHAPE_MAX: f64 = 100.0;
/// The most means that a standard deviation is long.
pub const SPREAD_MAX: f64 = 100.0;

impl Dist {
    /// One time.
    pub fn draw(&self, rng: &mut Rng) -> Span {
        match self {
            Dist::Fixed(always) => always.0,
            Dist::Uniform { low, high } => {
                span(low.secs() + even(rng) * (high.secs() - low.secs()))
            }
            Dist::Exponential { mean } => span(-ln(even(rng)) * mean.secs()),
            Dist::Weibull { mean, shape } => {
                let scale = mean.secs() / gamma(1.0 + 1.0 / shape);
                span(scale * exp(ln(-ln(even(rng))) / shape))
            }
            Dist::Gamma { mean, sd } => match sd.0 {
                Span::ZERO => mean.0,
                _ => {
                    let ratio = mean.secs() / sd.secs();
                    let shape = ratio * ratio;
                    span(standard_gamma(rng, shape) * mean.secs() / shape)
                }
            },
            Dist::Lognormal { mean, sd } => {
                let ratio = sd.secs() / mean.secs();
                let variance = ln(1.0 + ratio * ratio);
                span(mean.secs() * exp(variance.sqrt() * normal(rng) - variance / 2.0))
            }
            Dist::Trace(trace) => *rng.pick(trace.values()),
        }
    }

    /// The mean.
    pub fn mean(&self) -> Span {
        match self {
            Dist::Fixed(always) => always.0,
            Dist::Uniform { low, high } => Span(low.0.0.midpoint(high.0.0)),
            Dist::Exponential { mean }
            | Dist::Weibull { mean, .. }
            | Dist::Gamma { mean, .. }
            | Dist::Lognormal { mean, .. } => mean.0,
            Dist::Trace(trace) => trace.mean(),
        }
    }
}

impl Duration {
    fn secs(self) -> f64 {
        self.0.as_secs_f64()
    }
}

fn span(seconds: f64) -> Span {
    // The conversion saturates.
    Span((seconds * 1e6).round() as u64)
}

/// Between 0 and 1, never one of them: an odd multiple of 2^-54. So nothing exponential is longer than 38 means.
fn even(rng: &mut Rng) -> f64 {
    ((rng.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// By Marsaglia's polar method.
fn normal(rng: &mut Rng) -> f64 {
    loop {
        let (x, y) = (2.0 * even(rng) - 1.0, 2.0 * even(rng) - 1.0);
        let square = x * x + y * y;
        if square < 1.0 && square > 0.0 {
            return x * (-2.0 * ln(square) / square).sqrt();
        }
    }
}

/// With scale 1, by Marsaglia and Tsang's method; a shape below 1 is had from the one above.
fn standard_gamma(rng: &mut Rng, shape: f64) -> f64 {
    if shape < 1.0 {
        let boost = exp(ln(even(rng)) / shape);
        return boost * standard_gamma(rng, shape + 1.0);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let root = 1.0 + c * x;
        let v = root * root * root;
        if v > 0.0 && ln(even(rng)) < 0.5 * x * x + d - d * v + d * ln(v) {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_deviations_are_as_asked_for() {
        for (dist, mean, sd) in cases() {
            let (drawn_mean, drawn_sd) = spread(&dist);
            assert!(
                (drawn_mean - mean).abs() <= 0.02 * mean,
                "{dist:?}: mean {drawn_mean}"
            );
            assert!(
                (drawn_sd - sd).abs() <= 0.02 * sd + 1e-3,
                "{dist:?}: sd {drawn_sd}"
            );
            assert!((dist.mean().as_secs_f64() - mean).abs() < 1e-6, "{dist:?}");
        }
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let dist = Dist::Gamma {
            mean: Duration(Span::secs(100)),
            sd: Duration(Span::secs(150)),
        };
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            (0..50).map(|_| dist.draw(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    /// Distributions with their means and standard deviations in seconds.
    fn cases() -> Vec<(Dist, f64, f64)> {
        let [mean, sd] = [600, 1_200].map(|seconds| Duration(Span::secs(seconds)));
        let none = Duration::default();
        let trace = Trace::read("60\n120\n180\n", None).unwrap();
        vec![
            (Dist::Fixed(mean), 600.0, 0.0),
            (
                Dist::Uniform {
                    low: mean,
                    high: sd,
                },
                900.0,
                600.0 / 12_f64.sqrt(),
            ),
            (Dist::Exponential { mean }, 600.0, 600.0),
            (Dist::Weibull { mean, shape: 2.0 }, 600.0, 600.0 * 0.5227),
            (Dist::Weibull { mean, shape: 0.7 }, 600.0, 600.0 * 1.4624),
            (Dist::Gamma { mean: sd, sd: mean }, 1_200.0, 600.0),
            (Dist::Gamma { mean, sd }, 600.0, 1_200.0),
            (Dist::Gamma { mean, sd: none }, 600.0, 0.0),
            (Dist::Lognormal { mean: sd, sd: mean }, 1_200.0, 600.0),
            (Dist::Lognormal { mean, sd: none }, 600.0, 0.0),
            (Dist::Trace(trace), 120.0, 60.0 * (2.0_f64 / 3.0).sqrt()),
        ]
    }

    fn spread(dist: &Dist) -> (f64, f64) {
        let mut rng = Rng::new(1);
        let draws: Vec<f64> = (0..100_000)
            .map(|_| dist.draw(&mut rng).as_secs_f64())
            .collect();
        let count = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / count;
        let square = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
        (mean, square.sqrt())
    }
}
