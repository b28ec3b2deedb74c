//! A real protein's C-alpha structure-based model with Langevin dynamics: the external program of Muster's demo.
//!
//! One run is one step of one replica: read the native structure and a state, integrate, write the next state, print
//! one line of JSON. The program knows nothing of Muster, of replicas or of exchanges; an ensemble of such runs is
//! what Muster is for.
//!
//! Units are reduced: energy in eps (the depth of one native contact), length in angstrom, mass of a bead 1,
//! Boltzmann's constant 1, so temperature is in eps and time in angstrom * sqrt(mass / eps).
//!
//! Only the standard library is used: plain `rustc` compiles this file. The same build, input and seed give the same
//! bytes.

mod cli;
mod field;
mod langevin;
mod measure;
mod native;
mod random;
mod state;
mod trouble;
mod vector;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    cli::run(words)
}

#[cfg(test)]
mod tests;
