//! The temperatures of an ensemble.

use std::fmt;

/// Rising temperatures, at least two.
#[derive(Debug, Clone, PartialEq)]
pub struct Ladder {
    temperatures: Vec<f64>,
}

impl Ladder {
    /// Makes a ladder of `rungs` temperatures from `coldest` to `hottest`, each the same multiple of the one before.
    ///
    /// Equal ratios give equal acceptance where the heat capacity is constant (Kofke, J. Chem. Phys. 117:6911, 2002).
    pub fn geometric(coldest: f64, hottest: f64, rungs: usize) -> Result<Ladder, BadLadder> {
        if !(2..=RUNGS_MAX).contains(&rungs) {
            return Err(BadLadder::Rungs { rungs });
        }
        if !(coldest > 0.0 && coldest < hottest && hottest.is_finite()) {
            return Err(BadLadder::Ends { coldest, hottest });
        }
        let ratio = hottest / coldest;
        let last = (rungs - 1) as f64;
        let temperatures: Vec<f64> = (0..rungs)
            .map(|rung| coldest * ratio.powf(rung as f64 / last))
            .collect();
        // Ends so near that a float cannot hold the rungs between them are as bad as equal ends.
        if !temperatures.is_sorted_by(|cold, hot| cold < hot) {
            return Err(BadLadder::Ends { coldest, hottest });
        }
        Ok(Ladder { temperatures })
    }

    /// Returns the temperatures, coldest first.
    pub fn temperatures(&self) -> &[f64] {
        &self.temperatures
    }
}

/// Why there is no such ladder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BadLadder {
    /// Fewer than two rungs, or more than [`RUNGS_MAX`].
    Rungs {
        /// As asked for.
        rungs: usize,
    },
    /// The temperatures are not finite, above zero and rising.
    Ends {
        /// As asked for.
        coldest: f64,
        /// As asked for.
        hottest: f64,
    },
}

impl fmt::Display for BadLadder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadLadder::Rungs { rungs } => {
                write!(f, "a ladder has 2 to {RUNGS_MAX} temperatures, not {rungs}")
            }
            BadLadder::Ends { coldest, hottest } => {
                write!(
                    f,
                    "a ladder rises between two temperatures above zero, not from {coldest} to {hottest}"
                )
            }
        }
    }
}

impl std::error::Error for BadLadder {}

/// A replica is a task in flight; a round of more than this is a mistake.
pub const RUNGS_MAX: usize = 10_000;
