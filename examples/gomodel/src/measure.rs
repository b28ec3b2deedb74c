//! How far a structure is from the native one.

use crate::field::Contact;
use crate::vector::{Vec3, add, norm, scale, sub};

/// Returns the fraction of native contacts that are formed, from 0 to 1; 1 if there are none to form.
///
/// A contact is formed while its beads are within 1.2 times their native distance, as in Clementi et al. (2000).
pub fn contacts_formed(contacts: &[Contact], beads: &[Vec3]) -> f64 {
    if contacts.is_empty() {
        return 1.0;
    }
    let formed = contacts.iter().filter(|contact| {
        norm(sub(beads[contact.first], beads[contact.second])) < CONTACT_REACH * contact.distance
    });
    formed.count() as f64 / contacts.len() as f64
}

/// Returns the root mean square distance, in angstrom, after the best rigid superposition.
///
/// Horn, J. Opt. Soc. Am. A 4:629 (1987): the best rotation's score is the largest eigenvalue of a symmetric matrix of
/// four rows made from the correlations of the two structures.
pub fn rmsd(beads: &[Vec3], native: &[Vec3]) -> f64 {
    let (beads, native) = (centred(beads), centred(native));
    let mut spread = 0.0;
    let mut s = [[0.0; 3]; 3];
    for (a, b) in beads.iter().zip(&native) {
        for (row, left) in s.iter_mut().zip(a) {
            for (cell, right) in row.iter_mut().zip(b) {
                *cell += left * right;
            }
        }
        spread += a.iter().chain(b).map(|x| x * x).sum::<f64>();
    }
    let [[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]] = s;
    let key = [
        [xx + yy + zz, yz - zy, zx - xz, xy - yx],
        [yz - zy, xx - yy - zz, xy + yx, zx + xz],
        [zx - xz, xy + yx, yy - xx - zz, yz + zy],
        [xy - yx, zx + xz, yz + zy, zz - xx - yy],
    ];
    let score = largest_eigenvalue(key, spread / 2.0);
    ((spread - 2.0 * score).max(0.0) / beads.len() as f64).sqrt()
}

fn centred(beads: &[Vec3]) -> Vec<Vec3> {
    let sum = beads.iter().fold([0.0; 3], |sum, bead| add(sum, *bead));
    let centre = scale(1.0 / beads.len() as f64, sum);
    beads.iter().map(|bead| sub(*bead, centre)).collect()
}

/// Finds the largest eigenvalue, no eigenvalue being below `-bound`.
///
/// Shifted by the bound the matrix has no negative eigenvalue, and its powers are ruled by the largest one: sixty
/// squarings leave nothing else, whatever the gap to the next. Any column is then the eigenvector.
fn largest_eigenvalue(matrix: Matrix4, bound: f64) -> f64 {
    let mut power = matrix;
    for (i, row) in power.iter_mut().enumerate() {
        row[i] += bound;
    }
    for _ in 0..60 {
        let trace: f64 = (0..4).map(|i| power[i][i]).sum();
        if trace <= 0.0 {
            return -bound;
        }
        power.iter_mut().flatten().for_each(|cell| *cell /= trace);
        power = times(power, power);
    }
    let widest = power
        .iter()
        .max_by(|a, b| square(a).total_cmp(&square(b)))
        .unwrap_or(&power[0]);
    let image = matrix.map(|row| inner(&row, widest));
    inner(&image, widest) / square(widest)
}

fn times(a: Matrix4, b: Matrix4) -> Matrix4 {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..4).map(|k| a[i][k] * b[k][j]).sum()))
}

fn inner(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn square(a: &[f64; 4]) -> f64 {
    inner(a, a)
}

type Matrix4 = [[f64; 4]; 4];

/// See [`contacts_formed`].
const CONTACT_REACH: f64 = 1.2;

#[cfg(test)]
mod tests;
