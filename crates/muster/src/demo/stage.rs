//! The program and the protein that this binary carries, and the tasks that use them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use muster_apps::replica_exchange::{RoundTask, demo};
use muster_proto::outcome::ReturnedFile;
use muster_proto::task::{
    Command, FileRef, Form, InputFile, Need, OutputFile, Policy, TaskBody, Template, When, Words,
};
use muster_proto::{Digest, RelPath, Resources};

use crate::error::CliError;

/// The files on disk and the template that names them.
#[derive(Debug)]
pub struct Stage {
    template: Template,
    files: Vec<(Digest, PathBuf)>,
}

impl Stage {
    /// Writes the files to `dir`.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn set(dir: &Path) -> Result<Stage, CliError> {
        let mut files = Vec::new();
        let mut inputs = Vec::new();
        for (name, contents, mode) in [(PROGRAM, GOMODEL, 0o755), (NATIVE, UBIQUITIN, 0o644)] {
            let path = dir.join(name);
            let written = fs::write(&path, contents)
                .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode)));
            written.map_err(|error| CliError::file(&path, error))?;
            let digest = Digest(*blake3::hash(contents).as_bytes());
            inputs.push(InputFile {
                name: named(name),
                file: FileRef {
                    digest,
                    bytes: contents.len() as u64,
                },
                form: if name == PROGRAM {
                    Form::Program
                } else {
                    Form::Data
                },
            });
            files.push((digest, path));
        }
        let template = Template {
            command: Command::Exec(words(&[START.to_owned()])),
            environment: Vec::new(),
            inputs,
            outputs: Vec::new(),
            resources: Resources::cores(1),
            policy: Policy::default(),
            category: "replica".to_owned(),
        };
        Ok(Stage { template, files })
    }

    /// What all tasks have in common.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// What the master must have before the first task.
    pub fn files(&self) -> &[(Digest, PathBuf)] {
        &self.files
    }

    /// What is the own of `task`, whose replica left `state` in the round before.
    pub fn body(&self, task: &RoundTask, state: Option<&ReturnedFile>) -> TaskBody {
        let mut command = vec![START.to_owned()];
        command.extend(demo::arguments(task, NATIVE, demo::MD_STEPS));
        let inputs = state.map(|state| InputFile {
            name: state.name.clone(),
            file: state.file,
            form: Form::Data,
        });
        let output = OutputFile {
            name: named(&task.state_out),
            need: Need::Required,
            when: When::Always,
        };
        TaskBody {
            words: words(&command),
            inputs: inputs.into_iter().collect(),
            outputs: [output].into(),
        }
    }
}

fn named(name: &str) -> RelPath {
    RelPath::new(name).expect("names of the demo are plain")
}

fn words(words: &[String]) -> Words {
    Words::new(words).expect("a few short words without NUL")
}

const PROGRAM: &str = "gomodel";
const START: &str = "./gomodel";
const NATIVE: &str = "ubiquitin-ca.pdb";

/// Compiled by the build script.
const GOMODEL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/gomodel"));
const UBIQUITIN: &[u8] = include_bytes!("../../../../examples/gomodel/data/ubiquitin-ca.pdb");

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn what_the_binary_carries_runs_and_answers() {
        let dir = tempfile::tempdir().expect("a directory");
        let stage = Stage::set(dir.path()).expect("written");
        let task = &demo::exchange(1).round_tasks()[0];
        let body = stage.body(task, None);
        let words: Vec<&str> = body.words.iter().collect();
        let shorter = words
            .iter()
            .map(|word| if *word == "5000" { "50" } else { word });
        let ran = process::Command::new(words[0])
            .args(shorter.skip(1))
            .current_dir(dir.path())
            .output()
            .expect("it starts");
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        assert!(super::super::rounds::Answer::read(&ran.stdout).is_some());
        assert!(dir.path().join(body.outputs[0].name.as_str()).is_file());
    }

    #[test]
    fn a_state_is_named_and_not_sent_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let stage = Stage::set(dir.path()).expect("written");
        let mut exchange = demo::exchange(1);
        exchange
            .finish_round(&[-80.0; demo::RUNGS])
            .expect("a round");
        let task = &exchange.round_tasks()[0];
        let state = ReturnedFile {
            name: named(task.state_in.as_ref().expect("the second round")),
            file: FileRef {
                digest: Digest([7; 32]),
                bytes: 9,
            },
            executable: false,
        };
        let body = stage.body(task, Some(&state));
        assert_eq!(body.inputs[0].file, state.file);
        assert!(
            body.words.iter().any(|word| word == state.name.as_str()),
            "the program is told its name"
        );
        assert_eq!(stage.files().len(), 2);
    }
}
