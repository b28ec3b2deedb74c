//! Langevin dynamics by the BAOAB splitting of Leimkuhler and Matthews, J. Chem. Phys. 138:174102 (2013).
//!
//! A step is half a kick (B), half a drift (A), an exact Ornstein-Uhlenbeck refresh of the velocities (O), half a drift
//! and half a kick. Positions are then sampled with an error far below that of the velocities at the same time step.

use crate::field::Field;
use crate::random::Random;
use crate::state::State;
use crate::trouble::Trouble;
use crate::vector::{add, dot, scale};

/// The heat bath.
#[derive(Debug, Clone, Copy)]
pub struct Bath {
    /// In eps; Boltzmann's constant is 1.
    pub temperature: f64,
    /// Per unit of time. Zero gives velocity Verlet, which conserves energy.
    pub friction: f64,
}

impl Bath {
    /// The bath of the command line: friction light enough not to slow the search for the fold, strong enough that the
    /// velocities are forgotten ten times over in 5000 steps (100 units of time).
    pub fn at(temperature: f64) -> Bath {
        Bath {
            temperature,
            friction: 0.1,
        }
    }
}

/// What a run of steps was like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    /// The potential energy at the end, in eps.
    pub energy: f64,
    /// The mean potential energy over the steps.
    pub energy_mean: f64,
    /// Twice the mean kinetic energy per degree of freedom: near the temperature of the bath.
    pub kinetic_temperature: f64,
}

/// Advances `state` by `steps` (at least 1) in contact with `bath`. Cost: O(steps * beads^2).
pub fn integrate(
    field: &Field,
    bath: Bath,
    steps: u64,
    state: &mut State,
    random: &mut Random,
) -> Result<Course, Trouble> {
    let keep = (-bath.friction * TIME_STEP).exp();
    let stir = ((1.0 - keep * keep) * bath.temperature).sqrt();
    let mut forces = vec![[0.0; 3]; state.beads.len()];
    let mut energy = field.apply(&state.beads, &mut forces);
    let (mut energy_sum, mut kinetic_sum) = (0.0, 0.0);

    for _ in 0..steps {
        for ((bead, velocity), force) in state
            .beads
            .iter_mut()
            .zip(&mut state.velocities)
            .zip(&forces)
        {
            let kicked = add(*velocity, scale(TIME_STEP / 2.0, *force));
            let halfway = add(*bead, scale(TIME_STEP / 2.0, kicked));
            let noise = [random.normal(), random.normal(), random.normal()];
            *velocity = add(scale(keep, kicked), scale(stir, noise));
            *bead = add(halfway, scale(TIME_STEP / 2.0, *velocity));
        }
        energy = field.apply(&state.beads, &mut forces);
        for (velocity, force) in state.velocities.iter_mut().zip(&forces) {
            *velocity = add(*velocity, scale(TIME_STEP / 2.0, *force));
            kinetic_sum += dot(*velocity, *velocity);
        }
        energy_sum += energy;
        state.steps = state.steps.saturating_add(1);
        if !energy.is_finite() {
            return Err(Trouble::BlewUp { step: state.steps });
        }
    }
    let count = steps as f64;
    let freedom = 3.0 * state.beads.len() as f64;
    Ok(Course {
        energy,
        energy_mean: energy_sum / count,
        kinetic_temperature: kinetic_sum / (count * freedom),
    })
}

/// In angstrom * sqrt(mass / eps). The stiffest motion, two neighbours against each other, turns at most
/// sqrt(4 * 2 * 100) = 28 radian per unit of time; this step takes 0.57 radian of it, well below the limit of 2.
pub const TIME_STEP: f64 = 0.02;

#[cfg(test)]
mod tests;
