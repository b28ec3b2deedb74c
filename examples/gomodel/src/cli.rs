//! The command line: `step` and `describe`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::field::Field;
use crate::langevin::{self, Bath};
use crate::measure;
use crate::native;
use crate::random::Random;
use crate::state::State;
use crate::trouble::Trouble;

/// Runs the command in `words` (without the program's name).
///
/// The exit code is 0 for a result, 1 for bad input (one sentence on stderr), 2 for a wrong command line.
pub fn run(words: Vec<OsString>) -> ExitCode {
    let answer = match Command::parse(words) {
        Ok(Command::Help) => Ok(USAGE.to_owned()),
        Ok(Command::Step(step)) => step.run(),
        Ok(Command::Describe { native }) => describe(&native),
        Err(misuse) => {
            eprintln!("gomodel: {misuse}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let printed = answer.and_then(|line| {
        writeln!(io::stdout().lock(), "{line}").map_err(|source| Trouble::Print { source })
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("gomodel: {trouble}");
            ExitCode::FAILURE
        }
    }
}

enum Command {
    Help,
    Step(Step),
    Describe { native: PathBuf },
}

struct Step {
    native: PathBuf,
    state: Option<PathBuf>,
    out: PathBuf,
    temperature: f64,
    steps: u64,
    seed: u64,
}

impl Command {
    fn parse(words: Vec<OsString>) -> Result<Command, String> {
        let mut words = words.into_iter();
        let Some(verb) = words.next() else {
            return Err("a command is missing".to_owned());
        };
        let rest: Vec<OsString> = words.collect();
        match verb.to_string_lossy().as_ref() {
            "-h" | "--help" | "help" => Ok(Command::Help),
            "step" => Step::parse(Flags::parse(rest, &STEP_FLAGS)?).map(Command::Step),
            "describe" => {
                let mut flags = Flags::parse(rest, &["--native"])?;
                Ok(Command::Describe {
                    native: flags.need("--native")?.into(),
                })
            }
            other => Err(format!("there is no command {other}")),
        }
    }
}

impl Step {
    fn parse(mut flags: Flags) -> Result<Step, String> {
        Ok(Step {
            native: flags.need("--native")?.into(),
            state: flags.take("--state").map(PathBuf::from),
            out: flags.need("--out")?.into(),
            temperature: flags.number("--temperature", "a number above 0", |t: &f64| {
                t.is_finite() && *t > 0.0
            })?,
            steps: flags.number("--steps", "a count from 1 to 1000000000", |n| {
                (1..=STEPS_MAX).contains(n)
            })?,
            seed: flags.number("--seed", "a whole number below 2^64", |_| true)?,
        })
    }

    fn run(&self) -> Result<String, Trouble> {
        let native = native::read(&self.native)?;
        let field = Field::of(&native);
        let (mut state, mut random) = self.start(&native)?;
        let course = langevin::integrate(
            &field,
            Bath::at(self.temperature),
            self.steps,
            &mut state,
            &mut random,
        )?;
        state.write(&self.out)?;
        Ok(format!(
            "{{\"energy\":{},\"energy_mean\":{},\"kinetic_temperature\":{},\"contacts\":{},\"rmsd\":{},\"steps\":{},\
             \"temperature\":{}}}",
            course.energy,
            course.energy_mean,
            course.kinetic_temperature,
            measure::contacts_formed(field.contacts(), &state.beads),
            measure::rmsd(&state.beads, &native),
            self.steps,
            self.temperature,
        ))
    }

    /// The stream of noise is numbered by the steps already done, so one seed may serve a whole chain of runs.
    fn start(&self, native: &[[f64; 3]]) -> Result<(State, Random), Trouble> {
        if let Some(path) = &self.state {
            let mut state = State::read(path, native.len())?;
            state.move_to(self.temperature);
            let random = Random::seeded(self.seed, state.steps);
            return Ok((state, random));
        }
        let mut random = Random::seeded(self.seed, 0);
        Ok((State::native(native, self.temperature, &mut random), random))
    }
}

fn describe(path: &std::path::Path) -> Result<String, Trouble> {
    let native = native::read(path)?;
    let field = Field::of(&native);
    let energy = field.apply(&native, &mut vec![[0.0; 3]; native.len()]);
    Ok(format!(
        "{{\"residues\":{},\"bonds\":{},\"contacts\":{},\"native_energy\":{energy}}}",
        native.len(),
        field.bond_count(),
        field.contacts().len(),
    ))
}

/// The flags of one command, each with its value, each at most once.
struct Flags {
    pairs: Vec<(&'static str, OsString)>,
}

impl Flags {
    fn parse(words: Vec<OsString>, known: &[&'static str]) -> Result<Flags, String> {
        let mut pairs: Vec<(&'static str, OsString)> = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let Some(flag) = known.iter().find(|flag| word == **flag) else {
                return Err(format!("there is no flag {}", word.to_string_lossy()));
            };
            if pairs.iter().any(|(seen, _)| seen == flag) {
                return Err(format!("{flag} is given twice"));
            }
            let value = words
                .next()
                .ok_or_else(|| format!("{flag} needs a value"))?;
            pairs.push((flag, value));
        }
        Ok(Flags { pairs })
    }

    fn take(&mut self, flag: &str) -> Option<OsString> {
        let index = self.pairs.iter().position(|(name, _)| *name == flag)?;
        Some(self.pairs.swap_remove(index).1)
    }

    fn need(&mut self, flag: &str) -> Result<OsString, String> {
        self.take(flag).ok_or_else(|| format!("{flag} is missing"))
    }

    fn number<T: std::str::FromStr>(
        &mut self,
        flag: &str,
        wanted: &str,
        fits: impl FnOnce(&T) -> bool,
    ) -> Result<T, String> {
        let word = self.need(flag)?;
        let number = word
            .to_str()
            .and_then(|word| word.parse().ok())
            .filter(fits);
        number.ok_or_else(|| format!("{flag} {} is not {wanted}", word.to_string_lossy()))
    }
}

const STEP_FLAGS: [&str; 6] = [
    "--native",
    "--state",
    "--out",
    "--temperature",
    "--steps",
    "--seed",
];

/// Hours of one core for a small protein: more in one run is a mistake.
const STEPS_MAX: u64 = 1_000_000_000;

const USAGE: &str = "\
usage: gomodel step --native FILE [--state FILE] --out FILE --temperature T --steps N --seed S
       gomodel describe --native FILE

step      integrates N steps of Langevin dynamics at temperature T, writes the state and prints one line of JSON
  --native FILE       a PDB file; its CA atoms are the native structure
  --state FILE        the state to start from; without it, the native structure
  --out FILE          where the state at the end goes
  --temperature T     in units of the depth of one contact
  --steps N           steps of dynamics
  --seed S            of the noise: the same input and seed give the same bytes
describe  prints what the native structure gives: residues, bonds, contacts, energy";
