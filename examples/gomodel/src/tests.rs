//! What the tests of the modules share: the protein.

use std::path::Path;

use crate::native;
use crate::random::Random;
use crate::vector::Vec3;

/// The demo's protein.
pub const UBIQUITIN: &str = include_str!("../data/ubiquitin-ca.pdb");

/// All 76 residues.
pub fn ubiquitin() -> Vec<Vec3> {
    native::parse(UBIQUITIN, Path::new("ubiquitin-ca.pdb")).unwrap()
}

/// The first hairpin, residues 1 to 17: a small fold that is quick to sample.
pub fn hairpin() -> Vec<Vec3> {
    ubiquitin()[..17].to_vec()
}

/// Moves every bead by normal deviates of `width` angstrom on each axis.
pub fn shaken(beads: &[Vec3], width: f64, seed: u64) -> Vec<Vec3> {
    let mut random = Random::seeded(seed, 0);
    beads
        .iter()
        .map(|bead| bead.map(|x| x + width * random.normal()))
        .collect()
}

#[test]
fn a_structure_with_a_hole_in_its_chain_is_refused_with_the_place() {
    let holed: String = UBIQUITIN
        .lines()
        .filter(|line| !line.contains("ILE A  30"))
        .map(|l| format!("{l}\n"))
        .collect();
    let trouble = native::parse(&holed, Path::new("holed.pdb")).unwrap_err();
    assert_eq!(
        trouble.to_string(),
        "holed.pdb: CA atoms 29 and 30 are 5.42 angstrom apart, so they are not neighbours in one chain"
    );
}

#[test]
fn a_record_without_coordinates_is_refused_with_its_line() {
    let bad = UBIQUITIN.replace("  26.266", "  26,266");
    let trouble = native::parse(&bad, Path::new("bad.pdb")).unwrap_err();
    assert_eq!(
        trouble.to_string(),
        "bad.pdb line 14: a CA record needs three numbers in columns 31 to 54"
    );
}

#[test]
fn a_file_that_is_no_structure_is_refused() {
    let trouble = native::parse("once upon a time\n", Path::new("tale.txt")).unwrap_err();
    assert_eq!(
        trouble.to_string(),
        "tale.txt has 0 CA atoms; this model takes 4 to 2000"
    );
}

#[test]
fn normal_deviates_have_mean_zero_and_variance_one_and_no_two_streams_agree() {
    let mut random = Random::seeded(7, 0);
    let drawn: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
    let mean = drawn.iter().sum::<f64>() / 1e5;
    let variance = drawn.iter().map(|x| x * x).sum::<f64>() / 1e5;
    let fourth = drawn.iter().map(|x| x.powi(4)).sum::<f64>() / 1e5;
    assert!(mean.abs() < 0.01, "{mean}");
    assert!((variance - 1.0).abs() < 0.02, "{variance}");
    assert!((fourth - 3.0).abs() < 0.1, "{fourth}");
    assert_ne!(Random::seeded(7, 0).normal(), Random::seeded(7, 1).normal());
    assert_ne!(Random::seeded(7, 0).normal(), Random::seeded(8, 0).normal());
}
