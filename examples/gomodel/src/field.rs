//! The force field: which terms a native structure gives, and the energy and forces of any other structure.
//!
//! The model is that of Clementi, Nymeyer and Onuchic, J. Mol. Biol. 298:937 (2000), equation 1, with its constants:
//!
//! ```text
//! E = sum bonds     K_r (r - r0)^2                       K_r = 100 eps / A^2
//!   + sum angles    K_t (t - t0)^2                       K_t = 20 eps / rad^2
//!   + sum dihedrals K_1 (1 - cos d) + K_3 (1 - cos 3d)   d = p - p0, K_1 = eps, K_3 = eps / 2
//!   + sum contacts  eps (5 (s/r)^12 - 6 (s/r)^10)        s = native distance
//!   + sum strangers eps (4 A / r)^12                     every other pair
//! ```
//!
//! Bonds, angles and dihedrals run along the chain and rest at their native values. Contacts and strangers are pairs
//! more than three residues apart. The paper chooses contacts from all heavy atoms; a file of C-alpha atoms has none,
//! so here a pair in native contact is one nearer than [`CONTACT_DISTANCE_MAX`].

mod bonded;
mod pairs;

pub use pairs::Contact;

use crate::vector::{Vec3, norm, sub};
use bonded::{Angle, Bond, Dihedral};
use pairs::Stranger;

/// The terms of one protein. Beads are numbered along the chain, from 0.
pub struct Field {
    bonds: Vec<Bond>,
    angles: Vec<Angle>,
    dihedrals: Vec<Dihedral>,
    contacts: Vec<Contact>,
    strangers: Vec<Stranger>,
}

impl Field {
    /// Builds the terms for which `native` is the ground state.
    ///
    /// The structure has at least [`crate::native::BEADS_MIN`] beads. Cost: O(beads^2).
    pub fn of(native: &[Vec3]) -> Field {
        let mut field = Field {
            bonds: (0..native.len() - 1)
                .map(|i| Bond::resting(native, i))
                .collect(),
            angles: (0..native.len() - 2)
                .map(|i| Angle::resting(native, i))
                .collect(),
            dihedrals: (0..native.len() - 3)
                .map(|i| Dihedral::resting(native, i))
                .collect(),
            contacts: Vec::new(),
            strangers: Vec::new(),
        };
        for first in 0..native.len() {
            for second in first + SEPARATION_MIN..native.len() {
                if norm(sub(native[first], native[second])) < CONTACT_DISTANCE_MAX {
                    field.contacts.push(Contact::resting(native, first, second));
                } else {
                    field.strangers.push(Stranger { first, second });
                }
            }
        }
        field
    }

    /// Overwrites `forces` with those on `beads` and returns the potential energy, in eps. Cost: O(beads^2).
    pub fn apply(&self, beads: &[Vec3], forces: &mut [Vec3]) -> f64 {
        forces.fill([0.0; 3]);
        let mut energy = 0.0;
        energy += self
            .bonds
            .iter()
            .map(|term| term.apply(beads, forces))
            .sum::<f64>();
        energy += self
            .angles
            .iter()
            .map(|term| term.apply(beads, forces))
            .sum::<f64>();
        energy += self
            .dihedrals
            .iter()
            .map(|term| term.apply(beads, forces))
            .sum::<f64>();
        energy += self
            .contacts
            .iter()
            .map(|term| term.apply(beads, forces))
            .sum::<f64>();
        energy += self
            .strangers
            .iter()
            .map(|term| term.apply(beads, forces))
            .sum::<f64>();
        energy
    }

    /// Returns the number of bonds.
    pub fn bond_count(&self) -> usize {
        self.bonds.len()
    }

    /// Returns the native contacts.
    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }
}

/// Pairs nearer along the chain are held by bonds, angles and dihedrals.
const SEPARATION_MIN: usize = 4;

/// In angstrom. The first shell of neighbours in the distribution of C-alpha distances of folded proteins ends here.
const CONTACT_DISTANCE_MAX: f64 = 8.0;

#[cfg(test)]
mod tests;
