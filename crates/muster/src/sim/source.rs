//! Where scenarios come from: those that ship with Muster, and files.

use std::fs;
use std::path::{Path, PathBuf};

use muster_sim::scenario::{self, Scenario};

use super::error::SimError;

/// A scenario as it is written.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name, in reports.
    pub name: String,
    /// The TOML.
    pub text: String,
    /// What errors call it: its path as given, or its name.
    shown: String,
    /// Where its traces are.
    dir: PathBuf,
}

/// `key=value`, apart.
pub type Change = (String, String);

impl Source {
    /// The scenario of this name or in this file.
    ///
    /// # Errors
    /// If there is none, or its file cannot be read.
    pub fn find(wanted: &str) -> Result<Source, SimError> {
        if let Some(text) = scenario::shipped(wanted) {
            return Ok(Source {
                name: wanted.to_owned(),
                text: text.to_owned(),
                shown: wanted.to_owned(),
                dir: PathBuf::from("."),
            });
        }
        let path = Path::new(wanted);
        let is_path = wanted.contains('/') || path.extension().is_some() || path.exists();
        if !is_path {
            return Err(unknown(wanted));
        }
        let text = fs::read_to_string(path).map_err(|source| SimError::File {
            path: path.to_owned(),
            source,
        })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Source {
            name: name.into_owned(),
            text,
            shown: wanted.to_owned(),
            dir: path.parent().unwrap_or(Path::new(".")).to_owned(),
        })
    }

    /// What is to be simulated, changed as `set` says. Traces are read from beside the file.
    ///
    /// # Errors
    /// If it makes no sense.
    pub fn scenario(&self, set: &[Change]) -> Result<Scenario, SimError> {
        let mut read = |trace: &str| {
            let path = self.dir.join(trace);
            fs::read_to_string(&path).map_err(|error| error.to_string())
        };
        Scenario::load(&self.text, set, &mut read).map_err(|bad| SimError::Scenario {
            path: self.shown.clone(),
            bad,
        })
    }

    /// The variants that it brings, each with its changes.
    ///
    /// # Errors
    /// If they are not written as variants are.
    pub fn variants(&self) -> Result<Vec<(String, Vec<Change>)>, SimError> {
        Scenario::variants(&self.text).map_err(|bad| SimError::Scenario {
            path: self.shown.clone(),
            bad,
        })
    }
}

/// The scenario of this name that ships with Muster.
///
/// # Errors
/// If none has this name.
pub fn shipped(name: &str) -> Result<&'static str, SimError> {
    scenario::shipped(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> SimError {
    let mut near: Vec<(f64, &str)> = scenario::SHIPPED
        .iter()
        .map(|(known, _)| (likeness(name, known), *known))
        .filter(|(likeness, _)| *likeness >= LIKENESS_LEAST)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    SimError::Unknown {
        name: name.to_owned(),
        near: near
            .into_iter()
            .take(3)
            .map(|(_, known)| known.to_owned())
            .collect(),
    }
}

/// The share of pairs of neighbouring letters that two words have in common, from 0 to 1.
fn likeness(a: &str, b: &str) -> f64 {
    let pairs = |word: &str| -> Vec<[char; 2]> {
        let letters: Vec<char> = word.to_lowercase().chars().collect();
        letters.windows(2).map(|pair| [pair[0], pair[1]]).collect()
    };
    let (a, mut left) = (pairs(a), pairs(b));
    let count = a.len() + left.len();
    let mut common = 0;
    for pair in a {
        if let Some(at) = left.iter().position(|other| *other == pair) {
            left.swap_remove(at);
            common += 2;
        }
    }
    f64::from(common) / count.max(1) as f64
}

/// Words with fewer pairs in common are hardly the same word mistyped or cut short.
const LIKENESS_LEAST: f64 = 0.35;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_the_likest() {
        let near = likeness("folding-at-wrok", "folding-at-work");
        assert!(near > likeness("folding-at-wrok", "folding-wide"));
        assert!(likeness("milion", "million") > LIKENESS_LEAST);
        assert!(likeness("", "million") < LIKENESS_LEAST);
        assert!(likeness("zzz", "campuses") < LIKENESS_LEAST);
    }

    #[test]
    fn what_is_not_there_is_said_in_one_sentence() {
        let error = Source::find("folding-at-wrok").expect_err("no such scenario");
        let sentence = error.to_string();
        assert!(sentence.contains("folding-at-work"), "{sentence}");
        assert_eq!(error.code(), "MU0601");
        let error = Source::find("nowhere/x.toml").expect_err("no such file");
        assert!(
            error
                .to_string()
                .starts_with("cannot read nowhere/x.toml: ")
        );
        assert_eq!(error.code(), "MU0602");
    }

    #[test]
    fn a_bad_scenario_is_named_by_its_path() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("bad.toml");
        fs::write(&path, "about = \"x\"\nnonsense\n").expect("a file");
        let source = Source::find(&path.to_string_lossy()).expect("it is there");
        let error = source.scenario(&[]).expect_err("it is nonsense");
        let start = format!("{}: line 2: ", path.display());
        assert!(error.to_string().starts_with(&start), "{error}");
        assert_eq!(error.code(), "MU0603");
    }
}
