//! What of the catalog nobody would register again: settings, weights, revocations, invitations.
//!
//! Projects and foremen are not in it: they register again by themselves. A catalog that has lost all its disks is
//! founded anew and given its last snapshot.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use muster_node::catalog::Client;
use muster_proto::Span;
use muster_proto::catalog::{Command, Expect, Filter, Freshness, Key, Kind, Pattern, Value};
use serde::{Deserialize, Serialize};

use super::Where;
use crate::error::{CliError, Exit};

/// Where the snapshot goes.
#[derive(Args, Debug)]
pub struct SnapshotArgs {
    /// The file to write
    file: PathBuf,
    #[command(flatten)]
    place: Where,
}

/// Where the snapshot is.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// The file that muster catalog snapshot wrote
    file: PathBuf,
    #[command(flatten)]
    place: Where,
}

/// A snapshot as a file.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    schema: String,
    revision: u64,
    items: Vec<Kept>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    key: Key,
    value: Value,
    lease: Option<Span>,
}

/// Writes what would be lost. Each kind is as it was at one moment.
pub fn snapshot(args: &SnapshotArgs) -> Result<Exit, CliError> {
    let snapshot = args.place.with(async |client: &Client, patience| {
        let (mut items, mut at) = (Vec::new(), 0);
        for kind in [Kind::Setting, Kind::Weight, Kind::Revocation, Kind::Token] {
            let filter = Filter {
                kind,
                names: Pattern::All,
            };
            let (listed, revision) = client
                .list(&filter, Freshness::Linearizable, patience)
                .await?;
            at = at.max(revision.0);
            items.extend(listed.into_iter().map(|named| Kept {
                key: named.key,
                value: named.item.value,
                lease: named.item.lease,
            }));
        }
        Ok(Snapshot {
            schema: SCHEMA.to_owned(),
            revision: at,
            items,
        })
    })?;
    let text = serde_json::to_string(&snapshot).map_err(CliError::Json)?;
    let temporary = args.file.with_extension("new");
    fs::write(&temporary, text + "\n")
        .and_then(|()| fs::rename(&temporary, &args.file))
        .map_err(|source| CliError::file(&args.file, source))?;
    eprintln!(
        "muster: {} item(s) at revision {}",
        snapshot.items.len(),
        snapshot.revision
    );
    Ok(Exit::Ok)
}

/// Sets everything that a snapshot holds; what is there and not in it stays.
pub fn restore(args: &RestoreArgs) -> Result<Exit, CliError> {
    let text =
        fs::read_to_string(&args.file).map_err(|source| CliError::file(&args.file, source))?;
    let snapshot: Snapshot = serde_json::from_str(&text)
        .ok()
        .filter(|snapshot: &Snapshot| snapshot.schema == SCHEMA)
        .ok_or_else(|| CliError::NoSnapshot {
            path: args.file.clone(),
        })?;
    let count = snapshot.items.len();
    args.place.with(async |client: &Client, patience| {
        for Kept { key, value, lease } in snapshot.items {
            let command = match (hash_of(&key), value) {
                (Some(hash), Value::Token(grant)) => Command::Invite {
                    hash,
                    grant,
                    lease: lease.unwrap_or(Span::secs(3_600)),
                },
                (_, value) => Command::Put {
                    key,
                    value,
                    expect: Expect::Any,
                },
            };
            client.command(command, patience).await?;
        }
        Ok(())
    })?;
    eprintln!("muster: {count} item(s) set");
    Ok(Exit::Ok)
}

/// The hash that names an invitation.
fn hash_of(key: &Key) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if key.kind != Kind::Token || key.name.len() != 64 {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(key.name.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

const SCHEMA: &str = "muster.catalog.snapshot/1";
