//! Bringing back what tasks left: outputs to the user's directory, long streams to where they can be read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use muster_node::client::{Client, ClientError, Target};
use muster_proto::outcome::{Outcome, Stream, Verdict};
use muster_proto::task::FileRef;
use muster_proto::{RelPath, TaskId};

/// What a task wrote to its standard streams, all of it.
#[derive(Debug, Default)]
pub struct Written {
    /// To standard output.
    pub stdout: Text,
    /// To standard error.
    pub stderr: Text,
}

/// The bytes of one stream.
#[derive(Debug)]
pub enum Text {
    /// In memory: few.
    Here(Vec<u8>),
    /// In a file of the scratch directory.
    File(PathBuf),
}

impl Default for Text {
    fn default() -> Text {
        Text::Here(Vec::new())
    }
}

impl Text {
    /// Writes it to `sink`, and lets its file go.
    ///
    /// # Errors
    /// The file cannot be read or `sink` not be written.
    pub fn pour(self, sink: &mut impl Write) -> io::Result<()> {
        match self {
            Text::Here(bytes) => sink.write_all(&bytes),
            Text::File(path) => {
                io::copy(&mut File::open(&path)?, sink)?;
                fs::remove_file(&path)
            }
        }
    }
}

/// Brings the outputs of `outcomes` to the directories that `place` says, and their long streams below `scratch`.
///
/// When it returns, everything is there, and the outcomes may be called delivered.
///
/// # Errors
/// A directory cannot be written, or the master is gone for good.
pub async fn bring(
    client: &Client,
    scratch: &Path,
    outcomes: &[Outcome],
    place: impl Fn(TaskId) -> PathBuf,
) -> Result<Vec<Written>, ClientError> {
    let mut wanted: BTreeMap<PathBuf, Vec<Target>> = BTreeMap::new();
    let mut written = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        let Verdict::Ran { ran, .. } = &outcome.verdict else {
            written.push(Written::default());
            continue;
        };
        if !ran.outputs.is_empty() {
            let outputs = ran.outputs.iter().map(|output| Target {
                name: output.name.clone(),
                file: output.file,
                executable: output.executable,
            });
            wanted
                .entry(place(outcome.task))
                .or_default()
                .extend(outputs);
        }
        let mut text = |stream: &Stream, kind| match spilled(outcome.task, stream, kind) {
            None => Text::Here(stream.tail.clone()),
            Some(target) => {
                let path = scratch.join(target.name.as_str());
                wanted.entry(scratch.to_owned()).or_default().push(target);
                Text::File(path)
            }
        };
        written.push(Written {
            stdout: text(&ran.stdout, "stdout"),
            stderr: text(&ran.stderr, "stderr"),
        });
    }
    for (root, targets) in wanted {
        client.get_files(&root, &targets).await?;
    }
    Ok(written)
}

/// Where a stream that is longer than its tail is brought to.
fn spilled(task: TaskId, stream: &Stream, kind: &str) -> Option<Target> {
    Some(Target {
        name: RelPath::new(&format!("{task}.{kind}")).ok()?,
        file: FileRef {
            digest: stream.file?,
            bytes: stream.bytes,
        },
        executable: false,
    })
}
