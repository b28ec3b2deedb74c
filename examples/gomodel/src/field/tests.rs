use super::*;
use crate::tests::{hairpin, shaken, ubiquitin};

/// Compares the forces of one kind of term with the slope of its energy, bead by bead and axis by axis.
fn slopes_agree(term: impl Fn(&[Vec3], &mut [Vec3]) -> f64, beads: &[Vec3]) {
    let reach = 1e-5;
    let mut forces = vec![[0.0; 3]; beads.len()];
    term(beads, &mut forces);
    let mut strongest: f64 = 0.0;
    for bead in 0..beads.len() {
        for axis in 0..3 {
            let energy_at = |shift: f64| {
                let mut moved = beads.to_vec();
                moved[bead][axis] += shift;
                term(&moved, &mut vec![[0.0; 3]; beads.len()])
            };
            let slope = (energy_at(reach) - energy_at(-reach)) / (2.0 * reach);
            let force = forces[bead][axis];
            strongest = strongest.max(force.abs());
            assert!(
                (force + slope).abs() < 1e-5 * (1.0 + slope.abs()),
                "bead {bead} axis {axis}: {force} {slope}"
            );
        }
    }
    assert!(
        strongest > 1e-3,
        "the structure is not at rest, so the term must push"
    );
    let sum = forces
        .iter()
        .fold([0.0; 3], |sum, force| crate::vector::add(sum, *force));
    assert!(
        norm(sum) < 1e-9 * (1.0 + strongest),
        "forces within a protein cancel: {sum:?}"
    );
}

fn strained() -> (Field, Vec<Vec3>) {
    let native = hairpin();
    (Field::of(&native), shaken(&native, 0.4, 3))
}

#[test]
fn bonds_push_down_their_energy() {
    let (field, beads) = strained();
    slopes_agree(
        |x, f| field.bonds.iter().map(|term| term.apply(x, f)).sum(),
        &beads,
    );
}

#[test]
fn angles_push_down_their_energy() {
    let (field, beads) = strained();
    slopes_agree(
        |x, f| field.angles.iter().map(|term| term.apply(x, f)).sum(),
        &beads,
    );
}

#[test]
fn dihedrals_push_down_their_energy() {
    let (field, beads) = strained();
    slopes_agree(
        |x, f| field.dihedrals.iter().map(|term| term.apply(x, f)).sum(),
        &beads,
    );
}

#[test]
fn contacts_push_down_their_energy() {
    let (field, beads) = strained();
    slopes_agree(
        |x, f| field.contacts.iter().map(|term| term.apply(x, f)).sum(),
        &beads,
    );
}

#[test]
fn strangers_push_down_their_energy() {
    let (field, beads) = strained();
    let crowded: Vec<Vec3> = beads
        .iter()
        .map(|bead| crate::vector::scale(0.6, *bead))
        .collect();
    slopes_agree(
        |x, f| field.strangers.iter().map(|term| term.apply(x, f)).sum(),
        &crowded,
    );
}

#[test]
fn all_terms_together_push_down_the_whole_energy() {
    let (field, beads) = strained();
    slopes_agree(|x, f| field.apply(x, f), &beads);
}

#[test]
fn the_native_structure_has_the_energy_of_its_contacts() {
    let native = ubiquitin();
    let field = Field::of(&native);
    let energy = field.apply(&native, &mut vec![[0.0; 3]; native.len()]);
    let contacts = field.contacts().len();
    assert_eq!((native.len(), field.bond_count(), contacts), (76, 75, 151));
    assert!(energy > -(contacts as f64), "strangers only cost energy");
    assert!(
        energy < 0.1 - contacts as f64,
        "and in the native structure hardly any: {energy}"
    );
}

#[test]
fn every_pair_far_apart_along_the_chain_is_a_contact_or_a_stranger() {
    let field = Field::of(&ubiquitin());
    assert_eq!(field.contacts.len() + field.strangers.len(), 72 * 73 / 2);
}

#[test]
fn a_dihedral_costs_the_sum_of_both_periods() {
    // Four beads bent at right angles, native in the plane (cis), then turned by a right angle.
    let native = [
        [0.0, 3.8, 0.0],
        [0.0, 0.0, 0.0],
        [3.8, 0.0, 0.0],
        [3.8, 3.8, 0.0],
    ];
    let mut turned = native;
    turned[3] = [3.8, 0.0, 3.8];
    let energy = Dihedral::resting(&native, 0).apply(&turned, &mut [[0.0; 3]; 4]);
    assert!(
        (energy - 1.5).abs() < 1e-12,
        "1 - cos 90 + (1 - cos 270) / 2 = 1.5, not {energy}"
    );
    turned[3] = [3.8, -3.8, 0.0];
    let energy = Dihedral::resting(&native, 0).apply(&turned, &mut [[0.0; 3]; 4]);
    assert!(
        (energy - 3.0).abs() < 1e-12,
        "1 - cos 180 + (1 - cos 540) / 2 = 3, not {energy}"
    );
}
