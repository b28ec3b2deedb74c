//! Settings: bytes under names, each with a version that counts its changes.

use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use muster_node::catalog::{AskError, Client};
use muster_proto::catalog::{
    Change, Command, Expect, Filter, Freshness, Key, Kind, Pattern, Refusal, Reply, Revision, Value,
};
use serde_json::{Map, Value as Json, json};

use super::listing::value_json;
use super::{Reading, Where};
use crate::clients::print;
use crate::error::{CliError, Exit};
use crate::text::harmless;

/// Which setting.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// Its name
    key: String,
    #[command(flatten)]
    read: Reading,
}

/// What is set.
#[derive(Args, Debug)]
pub struct PutArgs {
    /// Its name
    key: String,
    /// What to set it to: a text, or for a weight a number such as 2.5, or for a revocation the reason
    value: String,
    /// Set a setting, the weight of a project, or that an identity is no longer trusted
    #[arg(long, value_enum, default_value_t = Settable::Setting)]
    kind: Settable,
    #[command(flatten)]
    write: Writing,
}

/// What is set, if nobody was faster.
#[derive(Args, Debug)]
pub struct CasArgs {
    /// Its name
    key: String,
    /// The version it must have; 0 if it must not be there
    version: u64,
    /// What to set it to
    value: String,
    #[command(flatten)]
    write: Writing,
}

/// What is removed.
#[derive(Args, Debug)]
pub struct DelArgs {
    /// Its name
    key: String,
    /// Only if it has this version
    #[arg(long)]
    version: Option<u64>,
    /// Remove a setting, the weight of a project, or a revocation
    #[arg(long, value_enum, default_value_t = Settable::Setting)]
    kind: Settable,
    #[command(flatten)]
    write: Writing,
}

/// How something is written.
#[derive(Args, Debug)]
struct Writing {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// What is printed.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Which names; * stands for any text, ? for one character
    #[arg(default_value = "*")]
    names: String,
    /// Of which kind
    #[arg(long, value_enum, default_value_t = Sort::Setting)]
    kind: Sort,
    #[command(flatten)]
    read: Reading,
}

/// What is watched.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// Which names; * stands for any text, ? for one character
    #[arg(default_value = "*")]
    names: String,
    /// Of which kind
    #[arg(long, value_enum, default_value_t = Sort::Setting)]
    kind: Sort,
    /// Begin after this revision [default: with what happens from now on]
    #[arg(long)]
    since: Option<u64>,
    /// End after so many changes
    #[arg(long)]
    count: Option<u64>,
    /// Print JSON, a line for each change
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// Kinds of what people set.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Settable {
    Setting,
    Weight,
    Revocation,
}

impl Settable {
    fn key(self, name: &str) -> Key {
        let kind = match self {
            Settable::Setting => Kind::Setting,
            Settable::Weight => Kind::Weight,
            Settable::Revocation => Kind::Revocation,
        };
        let name = name.to_owned();
        Key { kind, name }
    }

    /// The value that `text` says.
    fn value(self, text: &str) -> Result<Value, CliError> {
        match self {
            Settable::Setting => Ok(Value::Setting(text.as_bytes().to_vec())),
            Settable::Revocation => Ok(Value::Revocation(text.to_owned())),
            Settable::Weight => {
                let weight = text.parse().ok().filter(|weight| WEIGHTS.contains(weight));
                let weight: f64 = weight.ok_or_else(|| CliError::NoWeight {
                    text: text.to_owned(),
                })?;
                Ok(Value::Weight((weight * 1_000.0).round() as u32))
            }
        }
    }
}

/// Weights that make a difference.
const WEIGHTS: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;

/// Kinds of names, as commands call them.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Sort {
    Setting,
    Project,
    Site,
    Foreman,
    Token,
    Revocation,
    Weight,
    Member,
}

impl Sort {
    fn kind(self) -> Kind {
        match self {
            Sort::Setting => Kind::Setting,
            Sort::Project => Kind::Project,
            Sort::Site => Kind::Site,
            Sort::Foreman => Kind::Foreman,
            Sort::Token => Kind::Token,
            Sort::Revocation => Kind::Revocation,
            Sort::Weight => Kind::Weight,
            Sort::Member => Kind::Member,
        }
    }
}

fn setting(name: &str) -> Key {
    Key {
        kind: Kind::Setting,
        name: name.to_owned(),
    }
}

/// Prints a setting; exit code 1 if it is not there.
pub fn get(args: &GetArgs) -> Result<Exit, CliError> {
    let key = setting(&args.key);
    let (item, found) = args.read.place.with(async |client: &Client, patience| {
        Ok(client.get(key, args.read.freshness(), patience).await?)
    })?;
    if args.read.json {
        let mut line = Map::new();
        line.insert("schema".to_owned(), json!("muster.catalog.get/1"));
        line.insert("key".to_owned(), json!(args.key));
        line.insert("found".to_owned(), json!(item.is_some()));
        if let Some(item) = &item {
            line.extend(value_json(&item.value));
            line.insert("version".to_owned(), json!(item.version));
        } else {
            line.insert("value".to_owned(), Json::Null);
            line.insert("version".to_owned(), json!(0));
        }
        line.insert("revision".to_owned(), json!(found.revision.0));
        line.insert("age_ms".to_owned(), json!(found.age.0 / 1_000));
        print(&format!("{}\n", Json::Object(line)))?;
    } else if let Some(Value::Setting(bytes)) = item.as_ref().map(|item| &item.value) {
        // As it was set, whatever it is: standard output is data.
        let mut out = io::stdout().lock();
        let written = out.write_all(bytes).and_then(|()| out.write_all(b"\n"));
        written.map_err(|source| CliError::file("standard output".as_ref(), source))?;
    } else {
        eprintln!("muster: there is no setting {}", harmless(&args.key));
    }
    Ok(if item.is_some() {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

/// Sets a setting.
pub fn put(args: &PutArgs) -> Result<Exit, CliError> {
    let value = args.kind.value(&args.value)?;
    change(args.kind.key(&args.key), &args.write, |key| Command::Put {
        key,
        value,
        expect: Expect::Any,
    })
}

/// Sets a setting that has the version that is expected; exit code 1 if it has another.
pub fn cas(args: &CasArgs) -> Result<Exit, CliError> {
    let value = Value::Setting(args.value.clone().into_bytes());
    change(setting(&args.key), &args.write, |key| Command::Put {
        key,
        value,
        expect: expected(args.version),
    })
}

/// Removes a setting; exit code 1 if it is not there.
pub fn del(args: &DelArgs) -> Result<Exit, CliError> {
    change(args.kind.key(&args.key), &args.write, |key| {
        Command::Delete {
            key,
            expect: args.version.map_or(Expect::Any, expected),
        }
    })
}

fn expected(version: u64) -> Expect {
    match version {
        0 => Expect::Absent,
        version => Expect::Version(version),
    }
}

fn change(
    key: Key,
    write: &Writing,
    command: impl FnOnce(Key) -> Command,
) -> Result<Exit, CliError> {
    let name = key.name.clone();
    let command = command(key);
    let replied = write
        .place
        .with(async |client: &Client, patience| Ok(client.command(command, patience).await))?;
    let mut line = Map::new();
    line.insert("schema".to_owned(), json!("muster.catalog.write/1"));
    line.insert("key".to_owned(), json!(name));
    let error = match replied {
        Ok(Reply::Done { revision, version }) => {
            line.insert("ok".to_owned(), json!(true));
            line.insert("version".to_owned(), json!(version));
            line.insert("revision".to_owned(), json!(revision.0));
            None
        }
        Ok(Reply::Opened { .. } | Reply::Granted { .. } | Reply::Refused(_)) => {
            Some(AskError::Senseless)
        }
        Err(error) => Some(error),
    };
    if let Some(error) = &error {
        line.insert("ok".to_owned(), json!(false));
        line.insert("error".to_owned(), json!(error.to_string()));
        line.insert("unknown".to_owned(), json!(*error == AskError::Unknown));
        if let AskError::Refused(Refusal::Mismatch { version }) = error {
            line.insert("version".to_owned(), json!(version));
        }
    }
    if write.json {
        print(&format!("{}\n", Json::Object(line)))?;
    }
    match error {
        Some(error) => Err(error.into()),
        None => Ok(Exit::Ok),
    }
}

/// Prints what is there.
pub fn list(args: &ListArgs) -> Result<Exit, CliError> {
    let filter = filter(args.kind, &args.names);
    let (items, revision) = args.read.place.with(async |client: &Client, patience| {
        Ok(client
            .list(&filter, args.read.freshness(), patience)
            .await?)
    })?;
    if args.read.json {
        let items: Vec<Json> = items
            .iter()
            .map(|named| {
                let mut item = Map::new();
                item.insert("key".to_owned(), json!(named.key.name));
                item.extend(value_json(&named.item.value));
                item.insert("owner".to_owned(), json!(named.item.owner.to_string()));
                item.insert("version".to_owned(), json!(named.item.version));
                Json::Object(item)
            })
            .collect();
        let all = json!({
            "schema": "muster.catalog.list/1",
            "revision": revision.0,
            "items": items,
        });
        return print(&format!("{all}\n"));
    }
    let mut text = String::new();
    for named in &items {
        text += &format!(
            "{}\t{}\n",
            harmless(&named.key.name),
            harmless(&shown(&named.item.value))
        );
    }
    print(&text)
}

/// What stands there, for people, on one line.
fn shown(value: &Value) -> String {
    if let Value::Setting(bytes) = value {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    Json::Object(value_json(value)).to_string()
}

fn filter(sort: Sort, names: &str) -> Filter {
    Filter {
        kind: sort.kind(),
        names: match names {
            "*" => Pattern::All,
            glob => Pattern::Glob(glob.to_owned()),
        },
    }
}

/// Prints changes until there were enough of them, or nobody reads any more.
pub fn watch(args: &WatchArgs) -> Result<Exit, CliError> {
    let filter = filter(args.kind, &args.names);
    args.place.with(async |client: &Client, patience| {
        let mut since = match args.since {
            Some(since) => Revision(since),
            None => {
                client
                    .list(&filter, Freshness::Linearizable, patience)
                    .await?
                    .1
            }
        };
        let mut left = args.count.unwrap_or(u64::MAX);
        while left > 0 {
            let (changes, next) = match client.watch(since, &filter, WATCH).await {
                // The catalog may be back soon; nothing is missed meanwhile.
                Err(AskError::Unreachable(_) | AskError::NoQuorum | AskError::Busy) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                watched => watched?,
            };
            since = next;
            for change in changes
                .iter()
                .take(usize::try_from(left).unwrap_or(usize::MAX))
            {
                left -= 1;
                print(&told(change, args.json))?;
            }
        }
        Ok(Exit::Ok)
    })
}

fn told(change: &Change, json: bool) -> String {
    let name = &change.key.name;
    if json {
        let mut line = Map::new();
        line.insert("schema".to_owned(), json!("muster.catalog.change/1"));
        line.insert("revision".to_owned(), json!(change.revision.0));
        line.insert("key".to_owned(), json!(name));
        line.insert("found".to_owned(), json!(change.item.is_some()));
        if let Some(item) = &change.item {
            line.extend(value_json(&item.value));
            line.insert("version".to_owned(), json!(item.version));
        }
        return format!("{}\n", Json::Object(line));
    }
    let value = change.item.as_ref().map(|item| shown(&item.value));
    let value = value.map_or_else(|| "(removed)".to_owned(), |value| harmless(&value));
    format!("{}\t{}\t{value}\n", change.revision.0, harmless(name))
}

/// How long one watch waits for news.
const WATCH: Duration = Duration::from_secs(30);
/// The pause while the catalog is away.
const PAUSE: Duration = Duration::from_millis(500);
