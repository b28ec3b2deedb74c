//! The tasks of a workload as they are submitted, and their files on disk.

use std::fs;
use std::path::{Path, PathBuf};

use muster_proto::task::{
    Command, FileRef, Form, InputFile, Need, OutputFile, Policy, TaskBody, Template, When, Words,
};
use muster_proto::{Digest, RelPath, Resources, Span};
use muster_sim::rng::Rng;

use super::workload::Workload;
use crate::error::CliError;

/// Tasks, and the files that the master must have before the first of them.
#[derive(Debug)]
pub struct Staged {
    /// What all tasks have in common.
    pub template: Template,
    /// The tasks.
    pub bodies: Vec<TaskBody>,
    /// Their inputs.
    pub files: Vec<(Digest, PathBuf)>,
    /// How long each sleeps.
    pub lengths: Vec<Span>,
}

/// Writes the inputs of a workload to `dir`, which it makes.
///
/// # Errors
/// They cannot be written.
pub fn stage(workload: &Workload, dir: &Path) -> Result<Staged, CliError> {
    fs::create_dir_all(dir).map_err(|error| CliError::file(dir, error))?;
    let mut files = Vec::new();
    let mut input = |name: &str, bytes: u64, seed: u64| -> Result<InputFile, CliError> {
        let contents = contents(bytes, seed);
        let path = dir.join(seed.to_string());
        fs::write(&path, &contents).map_err(|error| CliError::file(&path, error))?;
        let digest = Digest(*blake3::hash(&contents).as_bytes());
        files.push((digest, path));
        Ok(InputFile {
            name: named(name),
            file: FileRef { digest, bytes },
            form: Form::Data,
        })
    };
    let mut template = template(workload.name.to_string());
    if let Some(wanted) = workload.files {
        template
            .inputs
            .push(input("shared", wanted.shared_bytes, 0)?);
        template.outputs.push(OutputFile {
            name: named(OUTPUT),
            need: Need::Required,
            when: When::Always,
        });
    }
    let mut bodies = Vec::new();
    for (n, length) in workload.lengths.iter().enumerate() {
        let own = workload.files.map(|wanted| wanted.own_bytes);
        let inputs = own.map(|bytes| input("own", bytes, 1 + n as u64));
        bodies.push(TaskBody {
            words: words(&seconds(*length), own.is_some()),
            inputs: inputs.transpose()?.into_iter().collect(),
            outputs: Box::default(),
        });
    }
    Ok(Staged {
        template,
        bodies,
        files,
        lengths: workload.lengths.clone(),
    })
}

/// A template of one core, whose tasks bring their words.
pub fn template(category: String) -> Template {
    Template {
        command: Command::Noop,
        environment: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        resources: Resources::cores(1),
        policy: Policy::default(),
        category,
    }
}

/// What a task does: sleep, and write a file that no other has if it is to write one.
pub fn words(seconds: &str, writes: bool) -> Words {
    let words = match writes {
        true => Words::new(&["/bin/sh", "-c", SCRIPT, "task", seconds]),
        false => Words::new(&["/bin/sleep", seconds]),
    };
    words.expect("a few short words without NUL")
}

/// Bytes of what [`SCRIPT`] writes for an input of so many bytes.
pub fn output_bytes(own_bytes: u64, length: Span) -> u64 {
    own_bytes + seconds(length).len() as u64 + 1
}

/// A length as `sleep` takes it.
pub fn seconds(length: Span) -> String {
    format!("{:.3}", length.as_secs_f64())
}

/// Bytes that do not compress and that `seed` tells from others.
fn contents(bytes: u64, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut contents: Vec<u8> = (0..bytes.div_ceil(8))
        .flat_map(|_| rng.next().to_le_bytes())
        .collect();
    contents.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
    contents
}

fn named(name: &str) -> RelPath {
    RelPath::new(name).expect("names of the workloads are plain")
}

/// What tasks write.
pub const OUTPUT: &str = "out";
const SCRIPT: &str = "/bin/sleep $1; cat own > out; echo $1 >> out";

#[cfg(test)]
mod tests {
    use std::process;

    use super::super::workload::Name;
    use super::*;

    #[test]
    fn a_task_writes_as_much_as_the_model_says() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut workload = Workload::new(Name::Files, Some(1), 0);
        workload.lengths[0] = Span::millis(1);
        let staged = stage(&workload, dir.path()).expect("written");
        fs::copy(&staged.files[1].1, dir.path().join("own")).expect("copied");
        let words: Vec<&str> = staged.bodies[0].words.iter().collect();
        let ended = process::Command::new(words[0])
            .args(&words[1..])
            .current_dir(dir.path())
            .status();
        assert!(ended.expect("it starts").success());
        let own = workload.files.expect("files").own_bytes;
        let written = fs::metadata(dir.path().join(OUTPUT)).expect("an output");
        assert_eq!(written.len(), output_bytes(own, workload.lengths[0]));
    }
}
