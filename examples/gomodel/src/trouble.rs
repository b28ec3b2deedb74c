//! What can be wrong with the input of a run, each as one sentence.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a run brought no result. Its `Display` is the sentence the user reads.
#[derive(Debug)]
pub enum Trouble {
    /// A file cannot be read.
    Read { path: PathBuf, source: io::Error },
    /// A file cannot be written.
    Write { path: PathBuf, source: io::Error },
    /// Standard output is closed.
    Print { source: io::Error },
    /// A C-alpha record has no three coordinates in the columns of the PDB format.
    Record { path: PathBuf, line: usize },
    /// The structure has too few or too many C-alpha atoms for this model.
    Beads { path: PathBuf, found: usize },
    /// Two C-alpha atoms that follow each other are too near or too far apart to be neighbours in one chain.
    Gap {
        path: PathBuf,
        bead: usize,
        length: f64,
    },
    /// A line of a state is not what the format says.
    State {
        path: PathBuf,
        line: usize,
        wanted: &'static str,
    },
    /// The state is of a protein of another length.
    OtherProtein {
        path: PathBuf,
        found: usize,
        wanted: usize,
    },
    /// The numbers grew beyond all bounds: the state or the temperature is not physical.
    BlewUp { step: u64 },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Read { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Trouble::Write { path, source } => {
                write!(f, "cannot write {}: {source}", path.display())
            }
            Trouble::Print { source } => write!(f, "cannot print the result: {source}"),
            Trouble::Record { path, line } => {
                write!(
                    f,
                    "{} line {line}: a CA record needs three numbers in columns 31 to 54",
                    path.display()
                )
            }
            Trouble::Beads { path, found } => write!(
                f,
                "{} has {found} CA atoms; this model takes {} to {}",
                path.display(),
                crate::native::BEADS_MIN,
                crate::native::BEADS_MAX
            ),
            Trouble::Gap { path, bead, length } => write!(
                f,
                "{}: CA atoms {bead} and {} are {length:.2} angstrom apart, so they are not neighbours in one chain",
                path.display(),
                bead + 1
            ),
            Trouble::State { path, line, wanted } => {
                write!(
                    f,
                    "{} line {line}: {wanted} should stand here",
                    path.display()
                )
            }
            Trouble::OtherProtein {
                path,
                found,
                wanted,
            } => {
                write!(
                    f,
                    "{} is a state of {found} beads, but the native structure has {wanted}",
                    path.display()
                )
            }
            Trouble::BlewUp { step } => {
                write!(
                    f,
                    "the integration blew up at step {step}: the state or the temperature is not physical"
                )
            }
        }
    }
}

impl std::error::Error for Trouble {}
