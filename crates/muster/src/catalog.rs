//! `muster catalog`: replicas of the catalog, who they are, and what is set in it.
//!
//! Exit codes are those of a key-value store that scripts rely on: 0 done, 1 not done, 3 whether it was done is not
//! known.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use muster_node::catalog::Client;
use muster_node::clock::wall_ms;
use muster_node::daemon::{self, CatalogOptions};
use muster_node::identity::{Authority, Credentials};
use muster_proto::catalog::Freshness;
use muster_proto::{Peer, Role};

use crate::connect::{CatalogArgs, runtime};
use crate::daemon::Standing;
use crate::error::{CliError, Exit};
use crate::places;
use crate::units::parse_name;

mod backup;
pub mod listing;
mod members;
mod settings;

/// The catalog: replicas by which masters, foremen and workers find each other
#[derive(Subcommand, Debug)]
pub enum Catalog {
    /// Run a replica; the first one founds the catalog, others join it
    Start(Box<StartArgs>),
    /// How each replica sees the catalog
    Status(members::StatusArgs),
    /// Who the replicas are
    Members(members::MembersArgs),
    /// Add a replica that was started with --wait
    Add(members::AddArgs),
    /// Remove a replica, whether it runs or not
    Remove(members::RemoveArgs),
    /// Write settings, weights, revocations and invitations to a file
    Snapshot(backup::SnapshotArgs),
    /// Set what a snapshot holds
    Restore(backup::RestoreArgs),
    /// Print a setting
    Get(settings::GetArgs),
    /// Set a setting
    Put(settings::PutArgs),
    /// Set a setting if it has the version that is expected
    Cas(settings::CasArgs),
    /// Remove a setting
    Del(settings::DelArgs),
    /// Print what is set or registered
    List(settings::ListArgs),
    /// Print changes as they happen
    Watch(settings::WatchArgs),
}

impl Catalog {
    /// Whether it is a standing process that logs as JSON; nothing if it is no standing process.
    pub fn log_json(&self) -> Option<bool> {
        match self {
            Catalog::Start(args) => Some(args.standing.log_json),
            Catalog::Status(_)
            | Catalog::Members(_)
            | Catalog::Add(_)
            | Catalog::Remove(_)
            | Catalog::Snapshot(_)
            | Catalog::Restore(_)
            | Catalog::Get(_)
            | Catalog::Put(_)
            | Catalog::Cas(_)
            | Catalog::Del(_)
            | Catalog::List(_)
            | Catalog::Watch(_) => None,
        }
    }
}

/// How a replica is run.
#[derive(Args, Debug)]
pub struct StartArgs {
    /// The site it is at
    #[arg(long, value_name = "NAME", default_value = "home", value_parser = parse_name)]
    site: String,
    /// Its own name [default: the one it had before, or one made of the host's]
    #[arg(long, value_parser = parse_name)]
    name: Option<String>,
    /// Become a part of the catalog that has these replicas
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',')]
    join: Vec<String>,
    /// Wait until muster catalog add makes this replica a part of a catalog
    #[arg(long, conflicts_with = "join")]
    wait: bool,
    /// What to tell others of where this replica can be reached [default: what the system says]
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',')]
    advertise: Vec<String>,
    /// Show projects over HTTP here, as /query.json, to whoever can reach the address
    #[arg(long, value_name = "ADDR:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:9097")]
    http: Option<std::net::SocketAddr>,
    #[command(flatten)]
    standing: Standing,
}

/// Where the catalog is.
#[derive(Args, Debug)]
pub struct Where {
    #[command(flatten)]
    catalog: CatalogArgs,
    /// Where the federation's keys are
    #[arg(long, value_name = "DIR", env = "MUSTER_KEYS")]
    keys: Option<PathBuf>,
    /// Seconds to try for
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    timeout: f64,
}

/// How something is read.
#[derive(Args, Debug)]
pub struct Reading {
    /// Take what any replica knows, which may be old, also without a quorum
    #[arg(long)]
    stale: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

impl Reading {
    /// How old an answer may be.
    fn freshness(&self) -> Freshness {
        if self.stale {
            Freshness::Stale
        } else {
            Freshness::Linearizable
        }
    }
}

impl Where {
    /// A client for a person or a script.
    fn client(&self) -> Result<Client, CliError> {
        let catalog = self.catalog.replicas().ok_or(CliError::NoCatalog)?;
        let credentials = credentials(self.keys.clone())?;
        Ok(Client::new(catalog, Arc::new(credentials)))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.timeout.clamp(0.0, PATIENCE_SECONDS_MAX))
    }

    /// Runs `what` with a client.
    pub fn with<T>(
        &self,
        what: impl AsyncFnOnce(&Client, Duration) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        runtime()?.block_on(async {
            let client = self.client()?;
            let done = what(&client, self.patience()).await;
            client.close().await;
            done
        })
    }
}

/// A user's certificate, for one command.
pub fn credentials(keys: Option<PathBuf>) -> Result<Credentials, CliError> {
    let keys = keys.map_or_else(places::keys, Ok)?;
    let peer = Peer {
        role: Role::User,
        site: "home".to_owned(),
        // Each command has sessions of its own.
        name: format!("command-{}-{}", std::process::id(), wall_ms()),
    };
    Ok(Authority::open_or_create(&keys)?.issue(&peer)?)
}

/// Does what was asked.
pub fn run(command: &Catalog) -> Result<Exit, CliError> {
    match command {
        Catalog::Start(args) => start(args).map(|()| Exit::Ok),
        Catalog::Status(args) => members::status(args),
        Catalog::Members(args) => members::members(args),
        Catalog::Add(args) => members::add(args),
        Catalog::Remove(args) => members::remove(args),
        Catalog::Snapshot(args) => backup::snapshot(args),
        Catalog::Restore(args) => backup::restore(args),
        Catalog::Get(args) => settings::get(args),
        Catalog::Put(args) => settings::put(args),
        Catalog::Cas(args) => settings::cas(args),
        Catalog::Del(args) => settings::del(args),
        Catalog::List(args) => settings::list(args),
        Catalog::Watch(args) => settings::watch(args),
    }
}

fn start(args: &StartArgs) -> Result<(), CliError> {
    let state_dir = args.standing.state_dir(|| {
        let name = args.name.as_deref().unwrap_or("default");
        Ok(places::state()?.join("catalogs").join(name))
    })?;
    daemon::run_catalog(&CatalogOptions {
        common: args.standing.common(state_dir, None)?,
        site: args.site.clone(),
        name: args.name.clone(),
        join: args.join.clone(),
        wait: args.wait,
        advertise: args.advertise.clone(),
        http: args.http,
    })?;
    Ok(())
}

/// As long as anybody waits.
const PATIENCE_SECONDS_MAX: f64 = 86_400.0;
