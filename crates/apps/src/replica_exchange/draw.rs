//! Random numbers by place: the same seed and use give the same number, in whatever order they are asked for.

/// What a number is drawn for.
#[derive(Debug, Clone, Copy)]
pub enum Use {
    /// The seed of a task.
    Task { round: u32, replica: usize },
    /// The verdict on a swap.
    Swap { round: u32, rung: usize },
}

/// Draws a word.
pub fn word(seed: u64, usage: Use) -> u64 {
    let (kind, round, place) = match usage {
        Use::Task { round, replica } => (1, round, replica),
        Use::Swap { round, rung } => (2, round, rung),
    };
    [kind, u64::from(round), place as u64]
        .into_iter()
        .fold(mixed(seed), |word, part| mixed(word ^ part))
}

/// Draws from [0, 1): the upper 53 bits, as many as a float holds.
pub fn unit(seed: u64, usage: Use) -> f64 {
    (word(seed, usage) >> 11) as f64 / (1u64 << 53) as f64
}

/// The step of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): one to one, and every bit of input moves half of the
/// output.
fn mixed(word: u64) -> u64 {
    let word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
