//! Seeded chance: the same seed kills the same processes after the same pauses.

use std::env;

/// A small generator (SplitMix64).
pub struct Dice(u64);

impl Dice {
    /// Begins at `MUSTER_SEED`, or at `seed` if there is none, and prints it for whoever repeats a failure.
    pub fn thrown(seed: u64) -> Dice {
        let named = env::var("MUSTER_SEED").ok();
        let seed = named.and_then(|text| text.parse().ok()).unwrap_or(seed);
        println!("MUSTER_SEED={seed}");
        Dice(seed)
    }

    /// Begins at `seed`, for contents that are to differ from others'.
    pub fn of(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Bytes without pattern, so many.
    pub fn bytes(&mut self, count: u64) -> Vec<u8> {
        let words = (0..count.div_ceil(8)).flat_map(|_| self.below(u64::MAX).to_le_bytes());
        let mut bytes: Vec<u8> = words.collect();
        bytes.truncate(usize::try_from(count).expect("as much as memory holds"));
        bytes
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Whether the stories are to be long.
pub fn soaking() -> bool {
    env::var_os("MUSTER_SOAK").is_some()
}
