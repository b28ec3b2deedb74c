//! `muster journal`: looking at the journals of masters, foremen and replicas of the catalog without touching them.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use muster_catalog as catalog;
use muster_foreman as foreman;
use muster_master as master;
use muster_proto::machine::{BadRecord, Record};
use muster_store::journal;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{CliError, Exit};

/// Look at the journal of a master, a foreman or a replica of the catalog
#[derive(Subcommand, Debug)]
pub enum Journal {
    /// Check every record; exit code 4 if it is damaged
    Verify {
        /// A state directory, or the journal in it
        path: PathBuf,
    },
    /// Print a line of JSON for each record
    Export {
        /// A state directory, or the journal in it
        path: PathBuf,
    },
}

/// Does what was asked.
pub fn run(command: &Journal) -> Result<Exit, CliError> {
    match command {
        Journal::Verify { path } => verify(&directory(path)),
        Journal::Export { path } => export(&directory(path)),
    }
}

/// The journal of a state directory, or `path` itself.
pub fn directory(path: &Path) -> PathBuf {
    let inner = path.join("journal");
    if inner.is_dir() {
        inner
    } else {
        path.to_owned()
    }
}

fn verify(dir: &Path) -> Result<Exit, CliError> {
    let report = journal::verify(dir)?;
    let mut line = format!(
        "{} records in {} file(s), {} bytes, the last is {}",
        report.records, report.segments, report.bytes, report.last.0
    );
    if let Some(torn) = report.torn {
        line += &format!(
            "; {} bytes of an unacknowledged write follow at byte {} of {}",
            torn.bytes,
            torn.at,
            torn.file.display()
        );
    }
    crate::clients::print(&format!("{line}\n"))
}

fn export(dir: &Path) -> Result<Exit, CliError> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut owner = None;
    for record in journal::read(dir)? {
        let (lsn, bytes) = record?;
        let owner = *owner.get_or_insert_with(|| Owner::of(&bytes));
        let event = owner.event(&bytes).map_err(|source| CliError::Record {
            path: dir.to_owned(),
            record: lsn.0,
            source,
        })?;
        let line = json!({ "record": lsn.0, "event": event });
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Ok),
            Err(source) => return Err(CliError::file("standard output".as_ref(), source)),
            Ok(()) => {}
        }
    }
    match out.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::file("standard output".as_ref(), error))
        }
        Ok(()) | Err(_) => Ok(Exit::Ok),
    }
}

/// Whose journal it is.
#[derive(Clone, Copy)]
enum Owner {
    Master,
    Foreman,
    Catalog,
}

impl Owner {
    /// A master's journal begins with its opening, a replica's with its birth, whether it was compacted or not; a foreman's
    /// with neither.
    fn of(first: &[u8]) -> Owner {
        match (master::Event::decode(first), catalog::Event::decode(first)) {
            // A replica that founded nothing is born in bytes that open a master's epoch 0, which there is none of.
            (Ok(master::Event::Opened(opened)), _) if opened.epoch.0 > 0 => Owner::Master,
            (_, Ok(catalog::Event::Born(..))) => Owner::Catalog,
            (Ok(_) | Err(_), Ok(_) | Err(_)) => Owner::Foreman,
        }
    }

    fn event(self, bytes: &[u8]) -> Result<Value, BadRecord> {
        match self {
            Owner::Master => master::Event::decode(bytes).and_then(|event| of_master(&event)),
            Owner::Foreman => foreman::Event::decode(bytes).and_then(|event| of_foreman(&event)),
            Owner::Catalog => catalog::Event::decode(bytes).and_then(|event| of_catalog(&event)),
        }
    }
}

fn of_master(event: &master::Event) -> Result<Value, BadRecord> {
    match event {
        master::Event::Opened(opened) => told("opened", opened),
        master::Event::Submitted(submitted) => told("submitted", submitted),
        master::Event::Accounted(outcomes) => told("accounted", outcomes),
        master::Event::Delivered(tasks) => told("delivered", tasks),
        master::Event::Leased(peer) => told("leased", peer),
        master::Event::Cleared(peer) => told("cleared", peer),
    }
}

fn of_foreman(event: &foreman::Event) -> Result<Value, BadRecord> {
    match event {
        foreman::Event::Met(master, superior) => told("met", &(master, superior)),
        foreman::Event::Spooled(results) => told("spooled", results),
        foreman::Event::Released(attempts) => told("released", attempts),
        foreman::Event::Leased(peer) => told("leased", peer),
        foreman::Event::Cleared(peer) => told("cleared", peer),
    }
}

fn of_catalog(event: &catalog::Event) -> Result<Value, BadRecord> {
    match event {
        catalog::Event::Born(node, founder) => told("born", &(node, founder)),
        catalog::Event::Kept(kept) => told("kept", kept),
    }
}

fn told<T: Serialize>(what: &str, payload: &T) -> Result<Value, BadRecord> {
    let mut value = serde_json::to_value(payload).map_err(|_| BadRecord::Malformed)?;
    for_people(&mut value);
    Ok(json!({ what: value }))
}

/// Writes digests in hexadecimal, the ends of streams as text, and command lines as words, as people know them.
fn for_people(value: &mut Value) {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(values) => left.extend(values),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), bytes(value)) {
                        ("digest" | "file", Some(bytes)) => {
                            *value = bytes
                                .iter()
                                .map(|byte| format!("{byte:02x}"))
                                .collect::<String>()
                                .into();
                        }
                        ("tail", Some(bytes)) => *value = String::from_utf8_lossy(&bytes).into(),
                        ("words" | "Exec", _) => {
                            let words = value
                                .as_str()
                                .map(|text| text.split('\0').collect::<Vec<_>>());
                            *value = json!(words);
                        }
                        _ => left.push(value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    let byte = |value: &Value| u8::try_from(value.as_u64()?).ok();
    value.as_array()?.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_proto::task::Words;
    use muster_proto::{Digest, Epoch, MasterId};

    #[test]
    fn a_journal_is_known_by_its_first_record() {
        let mut bytes = Vec::new();
        let opened = master::Opened {
            master: MasterId(7),
            epoch: Epoch(1),
        };
        master::Event::Opened(opened).encode(&mut bytes);
        let owner = Owner::of(&bytes);
        assert!(matches!(owner, Owner::Master));
        assert_eq!(
            owner.event(&bytes),
            Ok(json!({"opened": {"master": 7, "epoch": 1}}))
        );
        bytes.clear();
        catalog::Event::Born(muster_proto::catalog::NodeId(7), None).encode(&mut bytes);
        assert!(matches!(Owner::of(&bytes), Owner::Catalog));
        bytes.clear();
        foreman::Event::Released(Vec::new()).encode(&mut bytes);
        assert!(matches!(Owner::of(&bytes), Owner::Foreman));
    }

    #[test]
    fn digests_and_words_are_written_as_people_know_them() {
        let mut value = json!({
            "file": {"digest": Digest([171; 32]), "bytes": 3},
            "tail": [104, 105],
            "words": Words::new(&["sh", "-c"]).expect("words"),
        });
        for_people(&mut value);
        assert_eq!(
            value,
            json!({"file": {"digest": "ab".repeat(32), "bytes": 3}, "tail": "hi", "words": ["sh", "-c"]})
        );
    }
}
