//! The terms between beads far apart along the chain: native contacts attract, all others only keep their distance.

use crate::vector::{Vec3, add, dot, norm, scale, sub};

/// A pair in contact in the native structure: a well of depth eps at the native distance.
pub struct Contact {
    /// The bead nearer to the start of the chain.
    pub first: usize,
    /// The bead nearer to its end.
    pub second: usize,
    /// The native distance, in angstrom.
    pub distance: f64,
}

impl Contact {
    /// Makes the contact that rests at its native distance.
    pub fn resting(native: &[Vec3], first: usize, second: usize) -> Contact {
        Contact {
            first,
            second,
            distance: norm(sub(native[first], native[second])),
        }
    }

    /// Adds the forces of this term and returns its energy.
    pub fn apply(&self, beads: &[Vec3], forces: &mut [Vec3]) -> f64 {
        let apart = sub(beads[self.first], beads[self.second]);
        let square = dot(apart, apart);
        let ratio2 = self.distance * self.distance / square;
        let ratio4 = ratio2 * ratio2;
        let ratio10 = ratio4 * ratio4 * ratio2;
        let push = scale(60.0 * ratio10 * (ratio2 - 1.0) / square, apart);
        forces[self.first] = add(forces[self.first], push);
        forces[self.second] = sub(forces[self.second], push);
        ratio10 * (5.0 * ratio2 - 6.0)
    }
}

/// A pair that is not in native contact.
pub struct Stranger {
    /// The bead nearer to the start of the chain.
    pub first: usize,
    /// The bead nearer to its end.
    pub second: usize,
}

impl Stranger {
    /// Adds the forces of this term and returns its energy.
    ///
    /// There is no cut-off: a protein of a hundred beads has few pairs, and energy is then conserved exactly.
    pub fn apply(&self, beads: &[Vec3], forces: &mut [Vec3]) -> f64 {
        let apart = sub(beads[self.first], beads[self.second]);
        let square = dot(apart, apart);
        let ratio2 = STRANGER_DISTANCE * STRANGER_DISTANCE / square;
        let ratio4 = ratio2 * ratio2;
        let ratio12 = ratio4 * ratio4 * ratio4;
        let push = scale(12.0 * ratio12 / square, apart);
        forces[self.first] = add(forces[self.first], push);
        forces[self.second] = sub(forces[self.second], push);
        ratio12
    }
}

/// The paper's excluded radius, in angstrom.
const STRANGER_DISTANCE: f64 = 4.0;
