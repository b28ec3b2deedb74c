use super::*;
use crate::tests::{hairpin, ubiquitin};
use crate::vector::Vec3;

fn run(native: &[Vec3], bath: Bath, steps: u64, seed: u64) -> (Course, State) {
    let mut random = Random::seeded(seed, 0);
    let mut state = State::native(native, bath.temperature, &mut random);
    let course = integrate(&Field::of(native), bath, steps, &mut state, &mut random).unwrap();
    (course, state)
}

#[test]
fn every_degree_of_freedom_holds_half_the_temperature() {
    for temperature in [0.4, 0.8] {
        let (course, _) = run(
            &hairpin(),
            Bath {
                temperature,
                friction: 1.0,
            },
            60_000,
            11,
        );
        let ratio = course.kinetic_temperature / temperature;
        // The velocities of the stiffest bonds are a few percent too slow at this time step; positions are not.
        assert!((0.95..1.02).contains(&ratio), "at {temperature}: {ratio}");
    }
}

#[test]
fn mean_potential_energy_rises_with_temperature() {
    let native = hairpin();
    let means: Vec<f64> = [0.3, 0.5, 0.7, 0.9, 1.1]
        .into_iter()
        .map(|temperature| run(&native, Bath::at(temperature), 20_000, 5).0.energy_mean)
        .collect();
    assert!(means.is_sorted_by(|cold, hot| cold < hot), "{means:?}");
}

#[test]
fn without_friction_energy_is_conserved() {
    let native = ubiquitin();
    let field = Field::of(&native);
    let bath = Bath {
        temperature: 0.5,
        friction: 0.0,
    };
    let mut random = Random::seeded(2, 0);
    let mut state = State::native(&native, bath.temperature, &mut random);
    let total = |state: &State, potential: f64| {
        potential + state.velocities.iter().map(|v| dot(*v, *v)).sum::<f64>() / 2.0
    };
    let mut forces = vec![[0.0; 3]; native.len()];
    let start = total(&state, field.apply(&state.beads, &mut forces));
    for _ in 0..10 {
        let course = integrate(&field, bath, 200, &mut state, &mut random).unwrap();
        let drift = total(&state, course.energy) - start;
        assert!(
            drift.abs() < 1.0,
            "of {} eps in motion, {drift} went astray",
            0.75 * native.len() as f64
        );
    }
}

#[test]
fn same_seed_same_state_to_the_last_bit() {
    let native = ubiquitin();
    let (first_course, first) = run(&native, Bath::at(0.8), 200, 42);
    let (second_course, second) = run(&native, Bath::at(0.8), 200, 42);
    let (_, other) = run(&native, Bath::at(0.8), 200, 43);
    assert_eq!(first_course, second_course);
    assert_eq!(first.text(), second.text());
    assert_ne!(first.text(), other.text());
}

#[test]
fn a_state_beyond_physics_is_reported_and_not_printed_as_a_result() {
    let native = hairpin();
    let mut random = Random::seeded(1, 0);
    let mut state = State::native(&native, 0.5, &mut random);
    state.beads[3] = state.beads[10];
    let blown = integrate(
        &Field::of(&native),
        Bath::at(0.5),
        10,
        &mut state,
        &mut random,
    )
    .unwrap_err();
    assert!(
        blown
            .to_string()
            .starts_with("the integration blew up at step 1:"),
        "{blown}"
    );
}
