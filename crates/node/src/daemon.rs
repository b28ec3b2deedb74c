//! What `muster master`, `muster foreman` and `muster worker` run: a brain, its state directory, its links.
//!
//! A daemon locks its state directory, so that no two processes share one, and finds there who it is, what it has
//! recorded and what its store holds. It writes its port file when it can be reached and removes it when it leaves.

mod catalog;
mod discovery;
mod foreman;
mod master;
mod state;
mod worker;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use muster_proto::Role;
use muster_proto::machine::{BadRecord, Side};
use muster_store::{ContentError, JournalError, LockError};

use crate::driver::{Door, DriveError};
use crate::endpoint::{EndpointError, LinkRate, Listener, listen};
use crate::identity::{Credentials, IdentityError};

pub use catalog::{CatalogOptions, run_catalog};
pub use foreman::{ForemanOptions, run_foreman};
pub use master::{MasterOptions, host_master, run_master};
pub use worker::{Above, ShareDir, WorkerOptions, run_worker};

/// What every daemon is told.
#[derive(Clone, Debug)]
pub struct Common {
    /// Where it keeps its state; made if it is not there.
    pub state_dir: PathBuf,
    /// Where the authority is that issues its certificate.
    pub keys_dir: PathBuf,
    /// Where it can be reached; port 0 is the port it had before, or any. `None`: it cannot be.
    pub listen: Option<SocketAddr>,
    /// Where its port is written while it can be reached.
    pub port_file: Option<PathBuf>,
    /// How fast contents may cross its links to other sites; a foreman's workers are at its own.
    pub link_rate: Option<LinkRate>,
}

/// How a daemon uses the catalog.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// Addresses of the catalog's replicas; none: the daemon is not to be found and finds nobody.
    pub catalog: Vec<String>,
    /// What it tells others of where it can be reached; none: what the system says.
    pub advertise: Vec<String>,
}

/// Why a daemon could not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Its state directory cannot be used.
    #[error("the state directory {} cannot be used: {source}", path.display())]
    State {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process uses its state directory.
    #[error("the state directory {} is taken: {source}", path.display())]
    Taken {
        /// Which.
        path: PathBuf,
        /// By whom.
        source: LockError,
    },
    /// Its journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its journal holds what this release cannot read.
    #[error("record {record} of the journal in {}: {source}", path.display())]
    Record {
        /// The journal's directory.
        path: PathBuf,
        /// The record's number.
        record: u64,
        /// What is wrong with it.
        source: BadRecord,
    },
    /// Its content store cannot be used.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// It has no identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// It cannot be reached where it should.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The system does not give it what it needs to run.
    #[error("cannot start: {0}")]
    System(#[source] io::Error),
    /// Its loop ended.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// The facts in its journal are not those of one replica.
    #[error("the journal in {} is not that of one replica of a catalog", .0.display())]
    Misfit(PathBuf),
    /// Its replica of the catalog is at its end.
    #[error(transparent)]
    Halted(muster_catalog::Halt),
}

/// When a daemon that was told to leave goes although it is not drained; within the ten seconds of D2.
const LEAVE_GRACE: Duration = Duration::from_secs(8);

/// How often a daemon looks what it could tell the catalog.
const OBSERVED: Duration = Duration::from_secs(1);

/// A port file that goes when its process does.
#[derive(Debug)]
struct PortFile(Option<PathBuf>);

impl PortFile {
    /// Writes the port for those who wait for it.
    fn write(path: Option<PathBuf>, port: u16) -> Result<PortFile, DaemonError> {
        if let Some(path) = &path {
            state::write_whole(path, &format!("{port}\n"))?;
        }
        Ok(PortFile(path))
    }
}

impl Drop for PortFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Whoever reads it later finds nobody at that port either way.
            let _ = fs::remove_file(path);
        }
    }
}

/// Opens the door of a daemon at the address it had, if it may choose.
fn open_door(
    common: &Common,
    credentials: &Credentials,
    sides: &[(Role, Side)],
) -> Result<Option<Door>, DaemonError> {
    let Some(address) = common.listen else {
        return Ok(None);
    };
    let roles: Vec<Role> = sides.iter().map(|(role, _)| *role).collect();
    Ok(Some(Door {
        listener: open_listener(common, address, credentials, &roles)?,
        sides: sides.to_vec(),
    }))
}

/// Listens at `address`; at the port that the daemon had before, if it may choose.
fn open_listener(
    common: &Common,
    address: SocketAddr,
    credentials: &Credentials,
    roles: &[Role],
) -> Result<Listener, EndpointError> {
    match state::last_port(&common.state_dir).filter(|_| address.port() == 0) {
        Some(port) => listen(SocketAddr::new(address.ip(), port), credentials, roles)
            .or_else(|_| listen(address, credentials, roles)),
        None => listen(address, credentials, roles),
    }
}

/// Tells those who wait for the daemon that it is ready: the last thing before its loop, when all else is in place.
fn announce(
    common: &Common,
    credentials: &Credentials,
    listener: Option<&Listener>,
) -> Result<PortFile, DaemonError> {
    let Some(listener) = listener else {
        return Ok(PortFile(None));
    };
    let address = listener.local_address();
    state::remember_port(&common.state_dir, address.port())?;
    let port_file = PortFile::write(common.port_file.clone(), address.port())?;
    tracing::info!(%address, who = %credentials.peer(), "ready");
    Ok(port_file)
}

/// The runtime of a daemon: one thread, the one that calls.
fn runtime() -> Result<tokio::runtime::Runtime, DaemonError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DaemonError::System)
}
