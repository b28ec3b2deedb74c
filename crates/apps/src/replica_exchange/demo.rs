//! The ensemble of `muster demo`: ubiquitin below its folding transition, run by `examples/gomodel`.
//!
//! Energies and temperatures are in units of the depth of one native contact. The model unfolds between 0.9 and 1.0:
//! from the native structure, 200 000 steps at 0.9 end with 89 % of the contacts formed, at 1.0 with 30 %. Across the
//! transition the energy jumps by 90 and takes far longer than a demo to come to rest, so the ladder ends just below
//! it: there the hot replicas already open the fold and close it again within a few rounds.
//!
//! A run of 160 rounds measured, with the acceptance between each rung and the next:
//!
//! | temperature | mean energy | spread | contacts | acceptance |
//! |-------------|-------------|--------|----------|------------|
//! | 0.5500      | -84.0       | 5.9    | 0.98     | 0.56       |
//! | 0.5901      | -77.7       | 7.0    | 0.97     | 0.54       |
//! | 0.6331      | -71.2       | 6.8    | 0.96     | 0.54       |
//! | 0.6792      | -65.1       | 8.6    | 0.95     | 0.55       |
//! | 0.7288      | -57.9       | 9.3    | 0.93     | 0.51       |
//! | 0.7819      | -49.0       | 10.6   | 0.91     | 0.49       |
//! | 0.8389      | -38.7       | 12.4   | 0.89     | 0.47       |
//! | 0.9000      | -24.8       | 15.7   | 0.85     |            |
//!
//! Thirty rounds of eight tasks of 0.09 s are 21 s of processor time.

use super::{Exchange, Ladder, Plan, RoundTask};

/// The most that keep two cores busy without letting a round outlast a second.
pub const RUNGS: usize = 8;

/// Here 98 % of the contacts are formed.
pub const TEMPERATURE_COLDEST: f64 = 0.55;

/// Just below the transition: 85 % of the contacts are formed. Eight rungs up to here leave a ratio of 1.073 between
/// neighbours, and the acceptances of the table above.
pub const TEMPERATURE_HOTTEST: f64 = 0.90;

/// Each pair of neighbours is tried in half of the rounds that count: 13 times. At an acceptance of one half, a pair
/// that swaps always or never comes by chance once in 4096 times.
pub const ROUNDS: u32 = 30;

/// All replicas start native and fall to rest from there: four tasks are 400 units of time, forty times the memory of
/// the velocities.
pub const ROUNDS_EQUILIBRATION: u32 = 4;

/// Of one task: 100 units of time and 0.09 s of one core.
pub const MD_STEPS: u64 = 5_000;

/// Of the ensemble. No better than others: fourteen seeds were run, and all fourteen pass
/// [`Exchange::check_physics`] with energies that rise strictly.
pub const SEED: u64 = 4;

/// Returns the demo's ensemble at its start.
///
/// # Panics
///
/// Never: the constants above make a ladder.
pub fn exchange(seed: u64) -> Exchange {
    let ladder = Ladder::geometric(TEMPERATURE_COLDEST, TEMPERATURE_HOTTEST, RUNGS);
    let ladder = ladder.expect("the demo's temperatures rise from one above zero");
    Exchange::new(Plan {
        ladder,
        seed,
        equilibration_rounds: ROUNDS_EQUILIBRATION,
    })
}

/// Returns the arguments of `gomodel` for `task`, run where `native` and the states of the round before are.
pub fn arguments(task: &RoundTask, native: &str, md_steps: u64) -> Vec<String> {
    let mut words = vec!["step".to_owned(), "--native".to_owned(), native.to_owned()];
    if let Some(state) = &task.state_in {
        words.extend(["--state".to_owned(), state.clone()]);
    }
    words.extend(["--out".to_owned(), task.state_out.clone()]);
    words.extend(["--temperature".to_owned(), task.temperature.to_string()]);
    words.extend(["--steps".to_owned(), md_steps.to_string()]);
    words.extend(["--seed".to_owned(), task.seed.to_string()]);
    words
}

const _: () = assert!(ROUNDS_EQUILIBRATION < ROUNDS);

#[cfg(test)]
mod tests;
