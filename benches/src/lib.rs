//! Benches: one package, one question per bench, one small table each, some seconds.
//!
//! They measure single parts by themselves, so that a slow chain (`muster bench dispatch`, `cargo xtask compare`) can
//! be told apart into its parts. They are compiled with everything else, and run only when somebody asks:
//! `cargo bench -p muster-benches --bench sched` (or `journal`, `codec`). Nothing here decides whether a test passes.

use std::time::{Duration, Instant};

use anyhow::Result;

/// How many times a measurement is repeated; the shortest counts, since noise only ever adds.
const ROUNDS: usize = 5;

/// Returns the shortest of [`ROUNDS`] times that `run` took; what `prepare` makes for each is not timed.
///
/// # Errors
/// The first of `prepare` or `run`.
#[expect(
    clippy::disallowed_methods,
    reason = "a bench reads the clock; no brain is near"
)]
pub fn shortest<T, R>(
    mut prepare: impl FnMut() -> Result<T>,
    mut run: impl FnMut(T) -> Result<R>,
) -> Result<Duration> {
    let mut shortest = Duration::MAX;
    for _ in 0..ROUNDS {
        let prepared = prepare()?;
        let begun = Instant::now();
        // Kept until the clock is read: dropping a result is no part of the question.
        let result = std::hint::black_box(run(prepared)?);
        shortest = shortest.min(begun.elapsed());
        drop(result);
    }
    Ok(shortest)
}

/// Returns the nanoseconds that each of `count` things took.
pub fn ns_each(took: Duration, count: usize) -> f64 {
    took.as_secs_f64() * 1e9 / count as f64
}
