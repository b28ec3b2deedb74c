//! What physics demands of an ensemble, whatever the system.

use super::{Pair, Statistics};

/// Returns what is against physics, a sentence each.
pub fn faults(temperatures: &[f64], energies: &[Statistics], pairs: &[Pair]) -> Vec<String> {
    let mut faults = Vec::new();
    if energies.iter().any(|energy| energy.count() < COUNT_MIN) {
        faults.push(format!(
            "fewer than {COUNT_MIN} rounds were counted, which proves nothing"
        ));
        return faults;
    }
    for (cold, hot) in (0..pairs.len()).map(|rung| (rung, rung + 1)) {
        faults.extend(fall(temperatures, energies, (cold, hot), -FALL_ERRORS_MAX));
        faults.extend(stuck(temperatures, &pairs[cold], cold));
    }
    faults.extend(fall(
        temperatures,
        energies,
        (0, pairs.len()),
        RISE_ERRORS_MIN,
    ));
    faults
}

/// The slope of the mean energy with T is the variance of the energy over T^2: it rises unless nothing moves at all.
fn fall(
    temperatures: &[f64],
    energies: &[Statistics],
    (cold, hot): (usize, usize),
    errors_wanted: f64,
) -> Option<String> {
    let rise = energies[hot].mean() - energies[cold].mean();
    let error = energies[cold]
        .standard_error()
        .hypot(energies[hot].standard_error());
    (rise <= errors_wanted * error).then(|| {
        format!(
            "the mean energy does not rise from temperature {:.4} to {:.4}: {:.3} to {:.3}, each difference good to {error:.3}",
            temperatures[cold],
            temperatures[hot],
            energies[cold].mean(),
            energies[hot].mean(),
        )
    })
}

/// Neighbours that never swap are two ensembles; neighbours that always swap are one temperature.
fn stuck(temperatures: &[f64], pair: &Pair, cold: usize) -> Option<String> {
    let word = match (pair.tried, pair.accepted) {
        (0, _) => "were never tried",
        (_, 0) => "were never accepted",
        (tried, accepted) if tried == accepted => "were always accepted",
        (_, _) => return None,
    };
    let (cold, hot) = (temperatures[cold], temperatures[cold + 1]);
    Some(format!(
        "swaps between temperatures {cold:.4} and {hot:.4} {word} ({} of {})",
        pair.accepted, pair.tried
    ))
}

/// A spread needs two numbers, and says something of ten.
const COUNT_MIN: u32 = 10;

/// Between neighbours: chance exceeds two standard errors once in forty times even if the means were equal.
const FALL_ERRORS_MAX: f64 = 2.0;

/// From end to end: chance alone does this once in 30 000 times.
const RISE_ERRORS_MIN: f64 = 4.0;
