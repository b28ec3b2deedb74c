use super::*;
use crate::field::Field;
use crate::tests::{shaken, ubiquitin};

/// Turns by `angle` about a skew axis and shifts.
fn carried(beads: &[Vec3], angle: f64) -> Vec<Vec3> {
    let axis = [2.0 / 3.0, -1.0 / 3.0, 2.0 / 3.0];
    let (sine, cosine) = angle.sin_cos();
    let turned = |bead: Vec3| {
        let along = scale(crate::vector::dot(axis, bead) * (1.0 - cosine), axis);
        add(
            add(
                scale(cosine, bead),
                scale(sine, crate::vector::cross(axis, bead)),
            ),
            along,
        )
    };
    beads
        .iter()
        .map(|bead| add(turned(*bead), [10.0, -20.0, 30.0]))
        .collect()
}

#[test]
fn a_protein_that_only_turned_and_moved_has_no_distance_to_itself() {
    let native = ubiquitin();
    for angle in [0.0, 0.3, 1.5, 3.1, std::f64::consts::PI] {
        let distance = rmsd(&carried(&native, angle), &native);
        assert!(distance < 1e-5, "turned by {angle}: {distance}");
    }
}

#[test]
fn the_distance_does_not_see_turning_but_sees_shaking_and_mirrors() {
    let native = ubiquitin();
    let shaken = shaken(&native, 0.5, 8);
    let distance = rmsd(&shaken, &native);
    assert!((distance - 0.5 * 3f64.sqrt()).abs() < 0.1, "{distance}");
    assert!((rmsd(&carried(&shaken, 2.0), &native) - distance).abs() < 1e-9);
    let mirrored: Vec<Vec3> = native.iter().map(|[x, y, z]| [-x, *y, *z]).collect();
    assert!(rmsd(&mirrored, &native) > 5.0);
}

#[test]
fn contacts_are_all_formed_when_native_and_none_when_stretched() {
    let native = ubiquitin();
    let field = Field::of(&native);
    assert_eq!(contacts_formed(field.contacts(), &native), 1.0);
    let line: Vec<Vec3> = (0..76).map(|i| [3.8 * f64::from(i), 0.0, 0.0]).collect();
    assert_eq!(contacts_formed(field.contacts(), &line), 0.0);
    let nearly: Vec<Vec3> = native.iter().map(|bead| scale(1.19, *bead)).collect();
    assert_eq!(contacts_formed(field.contacts(), &nearly), 1.0);
}
