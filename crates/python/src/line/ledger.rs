//! What the tasks of a project are, for another life of it: where their outputs go, and a note of Python's.
//!
//! A line is written before its tasks are submitted, under the numbers they will get, since nobody else submits to the
//! master of a project that a process has opened. It is not synced: it outlives the process, not the machine.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use muster_proto::TaskId;
use serde_json::{Value, json};

use crate::shared::Pending;
use crate::spec::Landing;

/// What was written of one task.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Where its outputs go.
    pub landings: Vec<Landing>,
    /// Python's note.
    pub note: Option<String>,
}

/// Where it is written.
#[derive(Debug)]
pub struct Ledger(Option<File>);

impl Ledger {
    /// Nothing is remembered.
    pub fn none() -> Ledger {
        Ledger(None)
    }

    /// Opens the file at `path` and reads it, if any task is `open`; else it begins anew.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn open(path: &Path, open: u64) -> io::Result<(Ledger, BTreeMap<TaskId, Entry>)> {
        let text = match fs::read_to_string(path) {
            Ok(text) if open > 0 => text,
            Ok(_) => String::new(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut options = OpenOptions::new();
        let file = match open {
            0 => options.write(true).create(true).truncate(true).open(path)?,
            _ => options.append(true).create(true).open(path)?,
        };
        Ok((Ledger(Some(file)), text.lines().filter_map(entry).collect()))
    }

    /// Remembers tasks that will be submitted with numbers from `first` on.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(&mut self, first: TaskId, tasks: &[Pending]) -> io::Result<()> {
        let Some(file) = &mut self.0 else {
            return Ok(());
        };
        let mut text = String::new();
        for (task, number) in tasks.iter().zip(first.0..) {
            let landings: Vec<Value> = task
                .landings
                .iter()
                .map(|landing| json!([landing.name, landing.path, landing.required]))
                .collect();
            text += &json!({"task": number, "outputs": landings, "note": task.note}).to_string();
            text.push('\n');
        }
        file.write_all(text.as_bytes())
    }
}

/// Reads a line; a torn one is none. Later lines replace earlier ones of the same number.
fn entry(line: &str) -> Option<(TaskId, Entry)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let landing = |value: &Value| {
        Some(Landing {
            name: value[0].as_str()?.to_owned(),
            path: value[1].as_str().map(PathBuf::from),
            required: value[2].as_bool()?,
        })
    };
    let entry = Entry {
        landings: line["outputs"]
            .as_array()?
            .iter()
            .filter_map(landing)
            .collect(),
        note: line["note"].as_str().map(str::to_owned),
    };
    Some((TaskId(line["task"].as_u64()?), entry))
}
