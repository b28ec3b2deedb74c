//! Where reports are written.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::error::CliError;
use crate::report::drawn::Drawn;

/// Files that a report is written to; those of the same names are written anew, others are left alone.
#[derive(Args, Clone, Debug, Default)]
pub struct Files {
    /// Write a page with figures and tables
    #[arg(short = 'o', long = "output", value_name = "report.html")]
    page: Option<PathBuf>,
    /// Write tables as .csv into this directory
    #[arg(long, value_name = "DIR")]
    csv: Option<PathBuf>,
    /// Write figures as .svg into this directory
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

impl Files {
    /// Nothing but a page.
    pub fn page(page: Option<PathBuf>) -> Files {
        Files {
            page,
            csv: None,
            svg: None,
        }
    }

    /// Makes directories and tries the page's file, so that a month is not simulated for nothing.
    ///
    /// # Errors
    /// If something could not be written there.
    pub fn ready(&self) -> Result<(), CliError> {
        for dir in self.csv.iter().chain(&self.svg) {
            fs::create_dir_all(dir).map_err(|error| CliError::file(dir, error))?;
        }
        if let Some(page) = &self.page {
            let opened = OpenOptions::new().append(true).create(true).open(page);
            opened.map_err(|error| CliError::file(page, error))?;
        }
        Ok(())
    }

    /// Writes what is wanted; the rest is not even made.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn write(
        &self,
        page: impl FnOnce() -> String,
        tables: impl FnOnce() -> Vec<(&'static str, String)>,
        figures: impl FnOnce() -> Vec<(&'static str, Drawn)>,
    ) -> Result<(), CliError> {
        if let Some(path) = &self.page {
            write(path, &page())?;
            eprintln!("muster: report: {}", path.display());
        }
        if let Some(dir) = &self.csv {
            for (name, text) in tables() {
                write(&dir.join(name), &text)?;
            }
            eprintln!("muster: tables: {}", dir.display());
        }
        if let Some(dir) = &self.svg {
            for (name, drawn) in figures() {
                write(&dir.join(format!("{name}.svg")), &drawn.svg())?;
            }
            eprintln!("muster: figures: {}", dir.display());
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    fs::write(path, text).map_err(|error| CliError::file(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    #[test]
    fn others_files_are_left_alone_and_ours_are_written_anew() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = home.path().join("new/csv");
        let files = Files {
            csv: Some(dir.clone()),
            ..Files::default()
        };
        files.ready().expect("directories are made");
        fs::write(dir.join("mine.txt"), "mine").expect("a file of the user's");
        fs::write(dir.join("a.csv"), "a longer text of last week").expect("an old file");
        let write = || vec![("a.csv", "x\r\n".to_owned())];
        files.write(String::new, write, Vec::new).expect("written");
        let read = |name: &str| fs::read_to_string(dir.join(name)).expect("it is there");
        assert_eq!(
            (read("a.csv").as_str(), read("mine.txt").as_str()),
            ("x\r\n", "mine")
        );
    }

    #[test]
    fn a_place_that_takes_nothing_is_one_sentence_before_anything_runs() {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("file");
        fs::write(&file, "").expect("a file");
        let csv = Files {
            csv: Some(file.join("below")),
            ..Files::default()
        };
        for files in [csv, Files::page(Some(home.path().to_owned()))] {
            let error = files.ready().expect_err("nothing can be written there");
            assert_eq!((error.code(), error.exit()), ("MU0102", Exit::Failed));
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
        }
    }
}
