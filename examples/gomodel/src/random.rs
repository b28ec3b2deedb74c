//! The generator of the noise: xoshiro256++ filled by SplitMix64, and Box and Muller's normal deviates.
//!
//! Sources: Blackman and Vigna, ACM Trans. Math. Softw. 47:36 (2021); Steele, Lea and Flood, OOPSLA 2014; Box and
//! Muller, Ann. Math. Stat. 29:610 (1958).

use std::f64::consts::TAU;

/// A stream of random numbers, wholly determined by its seed and its stream number.
#[derive(Debug, Clone)]
pub struct Random {
    words: [u64; 4],
    spare: Option<f64>,
}

impl Random {
    /// Starts the stream. Different stream numbers under one seed give unrelated noise.
    pub fn seeded(seed: u64, stream: u64) -> Random {
        let mut at = split_mix(&mut { seed }) ^ stream;
        let words = std::array::from_fn(|_| split_mix(&mut at));
        Random { words, spare: None }
    }

    /// Draws a normal deviate of mean 0 and variance 1.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 1 - u lies in (0, 1], so that the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let (sine, cosine) = (TAU * self.unit()).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }

    /// Draws from [0, 1): the upper 53 bits, as many as a float holds.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.words;
        let drawn = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.words = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        drawn
    }
}

/// Advances `at` and returns the next word of SplitMix64.
fn split_mix(at: &mut u64) -> u64 {
    *at = at.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut word = *at;
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
