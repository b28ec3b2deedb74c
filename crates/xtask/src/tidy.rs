//! `cargo xtask tidy`: the rules of the house that neither the compiler nor clippy can see.
//!
//! Every check is a plain function over a graph or over text, so that it is itself tested on planted violations; this
//! file only gathers the tree and hands it to them. A finding is one sentence, with file and line, that says what to
//! do.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::cargo;

mod arrows;
mod ignored;
mod papers;
mod sources;

/// One broken rule: where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    path: String,
    line: Option<usize>,
    what: String,
}

impl Finding {
    fn at(file: &File, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: file.path.clone(),
            line: Some(line),
            what: what.into(),
        }
    }

    fn of(path: &str, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.what),
            None => write!(f, "{}: {}", self.path, self.what),
        }
    }
}

/// A text file of the tree.
pub struct File {
    /// Relative to the root of the workspace, with forward slashes.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Lines of the file with their numbers, from one.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }
}

/// Prints every finding and fails if there is one.
pub fn run() -> Result<ExitCode> {
    let findings = findings()?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} findings", findings.len());
    Ok(ExitCode::FAILURE)
}

/// Checks the whole tree; the findings come sorted.
fn findings() -> Result<Vec<Finding>> {
    let files = files(&cargo::root())?;
    let graph = arrows::Graph::read(&cargo::metadata()?)?;
    let mut findings = arrows::check(&graph);
    findings.extend(files.iter().flat_map(sources::check));
    findings.extend(papers::check(&files, &graph.outside));
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// Reads every text file below `root` that `.gitignore` does not name. Needs no git.
fn files(root: &Path) -> Result<Vec<File>> {
    let rules = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let ignored = ignored::Ignored::read(&rules);
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))
            .with_context(|| format!("{folder} cannot be listed"))?
        {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() {
                name
            } else {
                format!("{folder}/{name}")
            };
            let kind = entry.file_type()?;
            if ignored.covers(&path) {
                continue;
            } else if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && let Ok(text) = String::from_utf8(fs::read(entry.path())?)
            {
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let findings = findings().unwrap();
        let shown: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(
            shown.is_empty(),
            "cargo xtask tidy finds:\n{}",
            shown.join("\n")
        );
    }

    #[test]
    fn the_walk_sees_hidden_folders_and_skips_what_is_ignored() {
        let files = files(&cargo::root()).unwrap();
        let seen = |path: &str| files.iter().any(|file| file.path == path);
        assert!(seen(".cargo/config.toml") && seen("crates/xtask/src/tidy.rs"));
        assert!(
            !files
                .iter()
                .any(|file| file.path.starts_with(".git/") || file.path.starts_with("target/"))
        );
    }
}
