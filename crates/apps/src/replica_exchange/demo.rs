//! The ensemble of `muster demo`: ubiquitin just below its folding transition, run by `examples/gomodel`.

use super::{BadLadder, Exchange, Ladder, Plan, RoundTask};

/// One for each of the demo's places.
pub const RUNGS: usize = 8;

/// In units of the depth of one native contact, as all temperatures and energies here.
pub const TEMPERATURE_COLDEST: f64 = 0.55;

/// See above.
pub const TEMPERATURE_HOTTEST: f64 = 0.90;

/// Rounds in all.
pub const ROUNDS: u32 = 30;

/// Not counted.
pub const ROUNDS_EQUILIBRATION: u32 = 4;

/// Of one task.
pub const MD_STEPS: u64 = 5_000;

/// Any other does as well.
pub const SEED: u64 = 1;

/// Returns the demo's ensemble at its start.
pub fn exchange(seed: u64) -> Result<Exchange, BadLadder> {
    let ladder = Ladder::geometric(TEMPERATURE_COLDEST, TEMPERATURE_HOTTEST, RUNGS)?;
    Ok(Exchange::new(Plan {
        ladder,
        seed,
        equilibration_rounds: ROUNDS_EQUILIBRATION,
    }))
}

/// Returns the arguments of `gomodel` for a task.
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
