//! The native structure: the C-alpha atoms of a PDB file.
//!
//! Only the first model, the first chain and the first of alternate positions count.

use std::fs;
use std::path::Path;

use crate::trouble::Trouble;
use crate::vector::{Vec3, norm, sub};

/// A dihedral needs four beads.
pub const BEADS_MIN: usize = 4;

/// Pairs grow with the square of the beads: two million of them still fit in a step of tens of milliseconds.
pub const BEADS_MAX: usize = 2000;

/// Reads the C-alpha positions, in angstrom, in the order of the chain.
pub fn read(path: &Path) -> Result<Vec<Vec3>, Trouble> {
    let text = fs::read_to_string(path).map_err(|source| Trouble::Read {
        path: path.into(),
        source,
    })?;
    parse(&text, path)
}

/// Reads the C-alpha positions from the text of a PDB file; `path` is for the sentences of errors.
pub fn parse(text: &str, path: &Path) -> Result<Vec<Vec3>, Trouble> {
    let mut beads = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("ENDMDL") || (line.starts_with("TER") && !beads.is_empty()) {
            break;
        }
        if !is_alpha_carbon(line) {
            continue;
        }
        beads.push(position(line).ok_or(Trouble::Record {
            path: path.into(),
            line: index + 1,
        })?);
        if beads.len() > BEADS_MAX {
            break;
        }
    }
    if !(BEADS_MIN..=BEADS_MAX).contains(&beads.len()) {
        return Err(Trouble::Beads {
            path: path.into(),
            found: beads.len(),
        });
    }
    for (index, pair) in beads.windows(2).enumerate() {
        let length = norm(sub(pair[1], pair[0]));
        if !(BOND_LENGTH_MIN..=BOND_LENGTH_MAX).contains(&length) {
            return Err(Trouble::Gap {
                path: path.into(),
                bead: index + 1,
                length,
            });
        }
    }
    Ok(beads)
}

/// The columns of the PDB format: 1-6 record, 13-16 atom, 17 alternate position.
fn is_alpha_carbon(line: &str) -> bool {
    let alternate = line.get(16..17);
    line.starts_with("ATOM  ")
        && line.get(12..16) == Some(" CA ")
        && matches!(alternate, Some(" " | "A"))
}

/// The columns of the PDB format: 31-38 x, 39-46 y, 47-54 z.
fn position(line: &str) -> Option<Vec3> {
    let mut at = [0.0; 3];
    for (axis, value) in at.iter_mut().enumerate() {
        let number: f64 = line
            .get(30 + 8 * axis..38 + 8 * axis)?
            .trim()
            .parse()
            .ok()?;
        *value = Some(number).filter(|n| n.is_finite())?;
    }
    Some(at)
}

/// A trans peptide holds its C-alpha atoms 3.8 angstrom apart, a cis peptide 2.9: both, with room for poor structures.
const BOND_LENGTH_MIN: f64 = 2.4;
/// See [`BOND_LENGTH_MIN`]; a missing residue leaves a gap of five angstrom and more.
const BOND_LENGTH_MAX: f64 = 4.6;
