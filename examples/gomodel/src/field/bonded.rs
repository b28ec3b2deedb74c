//! The terms along the chain: bonds, angles and dihedrals, at rest in the native structure.

use crate::vector::{Vec3, add, cross, dot, norm, scale, sub};

/// A harmonic bond between bead `first` and the next.
pub struct Bond {
    first: usize,
    length: f64,
}

impl Bond {
    /// Makes the bond that rests at its native length.
    pub fn resting(native: &[Vec3], first: usize) -> Bond {
        Bond {
            first,
            length: norm(sub(native[first + 1], native[first])),
        }
    }

    /// Adds the forces of this term and returns its energy.
    pub fn apply(&self, beads: &[Vec3], forces: &mut [Vec3]) -> f64 {
        let [i, j] = [self.first, self.first + 1];
        let along = sub(beads[j], beads[i]);
        let length = norm(along);
        let stretch = length - self.length;
        let pull = scale(2.0 * BOND_STIFFNESS * stretch / length, along);
        forces[i] = add(forces[i], pull);
        forces[j] = sub(forces[j], pull);
        BOND_STIFFNESS * stretch * stretch
    }
}

/// A harmonic angle at the bead after `first`.
pub struct Angle {
    first: usize,
    angle: f64,
}

impl Angle {
    /// Makes the angle that rests at its native value.
    pub fn resting(native: &[Vec3], first: usize) -> Angle {
        let a = sub(native[first], native[first + 1]);
        let b = sub(native[first + 2], native[first + 1]);
        Angle {
            first,
            angle: cosine(a, b).acos(),
        }
    }

    /// Adds the forces of this term and returns its energy.
    pub fn apply(&self, beads: &[Vec3], forces: &mut [Vec3]) -> f64 {
        let [i, j, k] = [self.first, self.first + 1, self.first + 2];
        let a = sub(beads[i], beads[j]);
        let b = sub(beads[k], beads[j]);
        let cosine = cosine(a, b);
        let bend = cosine.acos() - self.angle;
        // A straight angle has no plane to bend in; the floor keeps its force finite.
        let sine = (1.0 - cosine * cosine).sqrt().max(SINE_MIN);
        let torque = 2.0 * ANGLE_STIFFNESS * bend / sine;
        let across = 1.0 / (norm(a) * norm(b));
        let on_i = scale(torque, sub(scale(across, b), scale(cosine / dot(a, a), a)));
        let on_k = scale(torque, sub(scale(across, a), scale(cosine / dot(b, b), b)));
        forces[i] = add(forces[i], on_i);
        forces[k] = add(forces[k], on_k);
        forces[j] = sub(forces[j], add(on_i, on_k));
        ANGLE_STIFFNESS * bend * bend
    }
}

/// A dihedral about the bond after bead `first`, with terms of period one and three.
pub struct Dihedral {
    first: usize,
    cosine: f64,
    sine: f64,
}

impl Dihedral {
    /// Makes the dihedral that rests at its native value.
    pub fn resting(native: &[Vec3], first: usize) -> Dihedral {
        let twist = Twist::of(native, first);
        Dihedral {
            first,
            cosine: twist.cosine,
            sine: twist.sine,
        }
    }

    /// Adds the forces of this term and returns its energy.
    ///
    /// The gradient is that of Blondel and Karplus, J. Comput. Chem. 17:1132 (1996), which does not divide by the sine
    /// of the dihedral. Sums and multiples of angles are formed from sines and cosines: no inverse functions.
    pub fn apply(&self, beads: &[Vec3], forces: &mut [Vec3]) -> f64 {
        let twist = Twist::of(beads, self.first);
        let cosine = twist.cosine * self.cosine + twist.sine * self.sine;
        let sine = twist.sine * self.cosine - twist.cosine * self.sine;
        let cosine_thrice = (4.0 * cosine * cosine - 3.0) * cosine;
        let sine_thrice = (3.0 - 4.0 * sine * sine) * sine;
        let slope = DIHEDRAL_ONCE * sine + 3.0 * DIHEDRAL_THRICE * sine_thrice;

        let middle = norm(twist.b);
        let on_0 = scale(slope * middle / dot(twist.m, twist.m), twist.m);
        let on_3 = scale(-slope * middle / dot(twist.n, twist.n), twist.n);
        let lean_a = dot(twist.a, twist.b) / (middle * middle);
        let lean_c = dot(twist.c, twist.b) / (middle * middle);
        let shear = sub(scale(lean_a, on_0), scale(lean_c, on_3));
        let i = self.first;
        forces[i] = add(forces[i], on_0);
        forces[i + 1] = sub(forces[i + 1], add(on_0, shear));
        forces[i + 2] = add(forces[i + 2], sub(shear, on_3));
        forces[i + 3] = add(forces[i + 3], on_3);
        DIHEDRAL_ONCE * (1.0 - cosine) + DIHEDRAL_THRICE * (1.0 - cosine_thrice)
    }
}

/// The geometry of four beads: three bonds, the normals of their planes, and the angle between these.
struct Twist {
    a: Vec3,
    b: Vec3,
    c: Vec3,
    m: Vec3,
    n: Vec3,
    cosine: f64,
    sine: f64,
}

impl Twist {
    fn of(beads: &[Vec3], i: usize) -> Twist {
        let a = sub(beads[i + 1], beads[i]);
        let b = sub(beads[i + 2], beads[i + 1]);
        let c = sub(beads[i + 3], beads[i + 2]);
        let m = cross(a, b);
        let n = cross(b, c);
        let size = norm(m) * norm(n);
        Twist {
            a,
            b,
            c,
            m,
            n,
            cosine: dot(m, n) / size,
            sine: norm(b) * dot(a, n) / size,
        }
    }
}

fn cosine(a: Vec3, b: Vec3) -> f64 {
    (dot(a, b) / (norm(a) * norm(b))).clamp(-1.0, 1.0)
}

// The constants of Clementi, Nymeyer and Onuchic (2000), in eps, angstrom and radian.
const BOND_STIFFNESS: f64 = 100.0;
const ANGLE_STIFFNESS: f64 = 20.0;
const DIHEDRAL_ONCE: f64 = 1.0;
const DIHEDRAL_THRICE: f64 = 0.5;

/// Far below the sine of any angle that the stiffness lets occur.
const SINE_MIN: f64 = 1e-6;
