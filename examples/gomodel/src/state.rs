//! The state of a replica between two runs, and its file.
//!
//! The file is text, one value or one bead a line; numbers are written so that reading them back gives the same bits:
//!
//! ```text
//! gomodel state 1
//! steps 5000
//! temperature 0.8
//! beads 76
//! x y z vx vy vz
//! ...
//! ```

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::random::Random;
use crate::trouble::Trouble;
use crate::vector::{Vec3, scale};

/// Positions and velocities of all beads after some steps.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Steps integrated since the native structure.
    pub steps: u64,
    /// The temperature of the bath the velocities come from.
    pub temperature: f64,
    /// In angstrom.
    pub beads: Vec<Vec3>,
    /// In sqrt(eps / mass); as many as there are beads.
    pub velocities: Vec<Vec3>,
}

impl State {
    /// Starts from the native structure with velocities of Maxwell's distribution at `temperature`.
    pub fn native(native: &[Vec3], temperature: f64, random: &mut Random) -> State {
        let speed = temperature.sqrt();
        let velocities = native
            .iter()
            .map(|_| scale(speed, [random.normal(), random.normal(), random.normal()]))
            .collect();
        State {
            steps: 0,
            temperature,
            beads: native.to_vec(),
            velocities,
        }
    }

    /// Reads the state of a protein of `bead_count` beads.
    pub fn read(path: &Path, bead_count: usize) -> Result<State, Trouble> {
        let text = fs::read_to_string(path).map_err(|source| Trouble::Read {
            path: path.into(),
            source,
        })?;
        State::parse(&text, path, bead_count)
    }

    /// Writes the state: the file is whole under its name, or not there.
    pub fn write(&self, path: &Path) -> Result<(), Trouble> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let written = fs::write(&part, self.text()).and_then(|()| fs::rename(&part, path));
        written.map_err(|source| Trouble::Write {
            path: path.into(),
            source,
        })
    }

    /// Brings the velocities from the temperature they come from to another, as an exchange of replicas asks for.
    ///
    /// Source: Sugita and Okamoto, Chem. Phys. Lett. 314:141 (1999), equation 11.
    pub fn move_to(&mut self, temperature: f64) {
        if temperature != self.temperature {
            let factor = (temperature / self.temperature).sqrt();
            self.velocities
                .iter_mut()
                .for_each(|velocity| *velocity = scale(factor, *velocity));
            self.temperature = temperature;
        }
    }

    /// Returns the file's text.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{TITLE}\nsteps {}\ntemperature {}\nbeads {}\n",
            self.steps,
            self.temperature,
            self.beads.len()
        );
        for ([x, y, z], [vx, vy, vz]) in self.beads.iter().zip(&self.velocities) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{x} {y} {z} {vx} {vy} {vz}");
        }
        text
    }

    /// Reads the file's text; `path` is for the sentences of errors.
    pub fn parse(text: &str, path: &Path, bead_count: usize) -> Result<State, Trouble> {
        let mut lines = Lines {
            lines: text.lines(),
            number: 0,
            path,
        };
        lines.next(TITLE, |line| (line == TITLE).then_some(()))?;
        let steps = lines.next("steps and a count", |line| {
            line.strip_prefix("steps ")?.parse().ok()
        })?;
        let temperature = lines.next("temperature and a number above 0", |line| {
            finite(line.strip_prefix("temperature ")?).filter(|t| *t > 0.0)
        })?;
        let found: usize = lines.next("beads and a count", |line| {
            line.strip_prefix("beads ")?.parse().ok()
        })?;
        if found != bead_count {
            return Err(Trouble::OtherProtein {
                path: path.into(),
                found,
                wanted: bead_count,
            });
        }
        let mut state = State {
            steps,
            temperature,
            beads: Vec::new(),
            velocities: Vec::new(),
        };
        for _ in 0..bead_count {
            let [x, y, z, vx, vy, vz] = lines.next("six numbers", six)?;
            state.beads.push([x, y, z]);
            state.velocities.push([vx, vy, vz]);
        }
        match lines.lines.next() {
            None => Ok(state),
            Some(_) => Err(Trouble::State {
                path: path.into(),
                line: lines.number + 1,
                wanted: "the end of the file",
            }),
        }
    }
}

/// The lines of a state that is being read, counted for the sentences of errors.
struct Lines<'a> {
    lines: std::str::Lines<'a>,
    number: usize,
    path: &'a Path,
}

impl Lines<'_> {
    fn next<T>(
        &mut self,
        wanted: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Trouble> {
        self.number += 1;
        let line = self.lines.next().and_then(read);
        line.ok_or_else(|| Trouble::State {
            path: self.path.into(),
            line: self.number,
            wanted,
        })
    }
}

fn six(line: &str) -> Option<[f64; 6]> {
    let mut words = line.split(' ');
    let mut numbers = [0.0; 6];
    for number in &mut numbers {
        *number = finite(words.next()?)?;
    }
    words.next().is_none().then_some(numbers)
}

fn finite(word: &str) -> Option<f64> {
    word.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The first line: what the file is, and the version of its format.
const TITLE: &str = "gomodel state 1";

#[cfg(test)]
mod tests;
