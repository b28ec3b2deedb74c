//! Finding a standing master and talking to it.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use muster_node::catalog::{self, reach};
use muster_node::client::{Client, Master};
use muster_node::identity::Credentials;
use muster_proto::catalog::{Freshness, Key, Kind, Value};
use muster_proto::peer::is_name;

use crate::error::CliError;
use crate::places;

/// Where the catalog is.
#[derive(Args, Clone, Debug)]
pub struct CatalogArgs {
    /// Addresses of the catalog's replicas, by which masters, foremen and workers find each other
    #[arg(
        long,
        value_name = "ADDR:PORT",
        value_delimiter = ',',
        env = "MUSTER_CATALOG"
    )]
    catalog: Vec<String>,
}

impl CatalogArgs {
    /// The replicas that are named, if any are; an empty `MUSTER_CATALOG` names none.
    pub fn replicas(&self) -> Option<Vec<String>> {
        let named = self.catalog.iter().filter(|address| !address.is_empty());
        let named: Vec<String> = named.cloned().collect();
        (!named.is_empty()).then_some(named)
    }
}

/// The runtime of a command: one thread, the one that calls.
///
/// # Errors
/// The system gives none.
pub fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)
}

/// Which master.
#[derive(Args, Debug)]
pub struct MasterArgs {
    /// The project of a master of yours that runs on this host [default: the only one]
    #[arg(long, value_name = "NAME", env = "MUSTER_PROJECT")]
    pub project: Option<String>,
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// A master's address; overrides --project
    #[arg(long, value_name = "ADDR:PORT")]
    pub master: Option<String>,
    /// Where the federation's keys are
    #[arg(long, value_name = "DIR", env = "MUSTER_KEYS")]
    pub keys: Option<PathBuf>,
}

impl MasterArgs {
    /// What to call the master in files and JSON: the project, or the address it was given by.
    ///
    /// # Errors
    /// No project was named and there is not exactly one.
    pub fn name(&self) -> Result<String, CliError> {
        match (&self.master, &self.project) {
            (Some(address), None) => Ok(address.clone()),
            (_, Some(project)) if is_name(project) => Ok(project.clone()),
            (_, Some(project)) => Err(CliError::NoProject {
                name: project.clone(),
            }),
            (None, None) => only_project(),
        }
    }

    /// The project, if that is how the master was found.
    pub fn project_name(&self) -> Option<String> {
        match (&self.master, &self.project) {
            (_, Some(project)) => Some(project.clone()),
            (Some(_), None) => None,
            (None, None) => only_project().ok(),
        }
    }

    /// Where the master is: as it was said, or as this host or the catalog knows.
    ///
    /// # Errors
    /// The address is none, or nobody knows such a project.
    async fn address(&self, credentials: &Arc<Credentials>) -> Result<SocketAddr, CliError> {
        if let Some(text) = &self.master {
            return resolve(text);
        }
        let name = self.name()?;
        if let Some(catalog) = self.catalog.replicas() {
            return registered(catalog, name, credentials).await;
        }
        let path = projects()?.join(&name);
        match fs::read_to_string(&path) {
            Ok(text) => resolve(text.trim()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(CliError::NoProject { name })
            }
            Err(source) => Err(CliError::file(&path, source)),
        }
    }

    /// Connects; a master that is not there is given up soon, one that goes away later after `patience`.
    ///
    /// # Errors
    /// There is no such master, it cannot be reached, or it will not talk.
    pub async fn connect(&self, patience: Duration) -> Result<Client, CliError> {
        let credentials = crate::catalog::credentials(self.keys.clone())?;
        let credentials = Arc::new(credentials);
        let master = Master {
            address: self.address(&credentials).await?,
            credentials,
            patience: SOON,
        };
        let client = Client::connect(master.clone()).await?;
        if patience <= SOON {
            return Ok(client);
        }
        client.close().await;
        Ok(Client::connect(Master { patience, ..master }).await?)
    }
}

/// Where the catalog says that the project's master is.
async fn registered(
    catalog: Vec<String>,
    name: String,
    credentials: &Arc<Credentials>,
) -> Result<SocketAddr, CliError> {
    let client = catalog::Client::new(catalog, Arc::clone(credentials));
    let key = Key {
        kind: Kind::Project,
        name: name.clone(),
    };
    let found = client.get(key, Freshness::Linearizable, SOON).await;
    client.close().await;
    let (item, _) = found?;
    let value = item.map(|item| item.value);
    let Some(Value::Project(project)) = value else {
        return Err(CliError::NotRegistered { name });
    };
    let addresses = reach::resolve(&project.addresses).await;
    let first = addresses.first().copied();
    first.ok_or(CliError::NotRegistered { name })
}

fn projects() -> Result<PathBuf, CliError> {
    Ok(places::state()?.join("projects"))
}

fn only_project() -> Result<String, CliError> {
    let entries = fs::read_dir(projects()?).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_name(name))
        .collect();
    names.sort();
    match &names[..] {
        [name] => Ok(name.clone()),
        _ => Err(CliError::WhichProject { known: names }),
    }
}

/// The address that `text` names; one that means all addresses of this host is reached by loopback.
fn resolve(text: &str) -> Result<SocketAddr, CliError> {
    let resolved = text
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next());
    let mut address = resolved.ok_or_else(|| CliError::NoAddress {
        text: text.to_owned(),
    })?;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

/// When a master that does not answer is given up by a person who waits.
pub const SOON: Duration = Duration::from_secs(5);
/// When a master that was there is given up: its host may have to start again.
pub const LONG: Duration = Duration::from_secs(900);
