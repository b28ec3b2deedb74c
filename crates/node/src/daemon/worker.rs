//! A worker.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use muster_proto::limits::RUNS_MAX;
use muster_proto::machine::Side;
use muster_proto::{Resources, Role};
use muster_store::DirLock;
use muster_worker::{Config, Worker};
use tokio::sync::mpsc;

use super::{Common, DaemonError, LEAVE_GRACE, announce, open_door, runtime, state};
use crate::bulk::Shelf;
use crate::clock::Clock;
use crate::driver::{self, Setup, Superior, asked_to_leave};
use crate::hands::{Runner, Surroundings};
use crate::tasks::Tasks;
use crate::warden::{Confinement, Nursery, Places};

/// What a worker is told.
#[derive(Debug)]
pub struct WorkerOptions {
    /// What every daemon is told.
    pub common: Common,
    /// The site it is at.
    pub site: String,
    /// Its name; the one it had before, or one of its host, if it does not matter.
    pub name: Option<String>,
    /// The foreman or master it takes work from.
    pub superior: SocketAddr,
    /// What it runs at once.
    pub shape: Resources,
    /// Bytes its cache may hold beyond what is needed at the moment.
    pub cache_bytes_max: u64,
    /// A command whose process calls [`main_mother`](crate::warden::main_mother).
    pub mother: Command,
}

/// Runs a worker until it is told to leave. The thread that calls has to live as long as the process.
///
/// # Errors
/// See [`DaemonError`].
pub fn run_worker(options: WorkerOptions) -> Result<(), DaemonError> {
    let WorkerOptions {
        common,
        site,
        name,
        superior,
        shape,
        cache_bytes_max,
        mother,
    } = options;
    state::make(&common.state_dir)?;
    let _lock = DirLock::acquire(&common.state_dir).map_err(|source| DaemonError::Taken {
        path: common.state_dir.clone(),
        source,
    })?;
    let wanted = state::Wanted {
        role: Role::Worker,
        site: &site,
        name: name.as_deref(),
    };
    let credentials = state::identity(&common, &wanted)?;
    let (store, files) = state::store(&common.state_dir)?;
    let config = Config {
        name: credentials.peer().name.clone(),
        host: state::host_name(),
        shape,
        cache_bytes_max,
    };
    let worker = Worker::new(config, files);
    let places = Places {
        state: common.state_dir.clone(),
        store: common.state_dir.join("files"),
        confinement: Confinement::PidNamespace,
    };
    let nursery = Nursery::start(mother, places).map_err(DaemonError::System)?;
    runtime()?.block_on(async {
        let door = open_door(&common, &credentials, &[(Role::User, Side::User)])?;
        let stop = asked_to_leave().map_err(DaemonError::System)?;
        let port_file = announce(&common, &credentials, door.as_ref())?;
        let (ended, local) = mpsc::channel(RUNS_MAX);
        let setup = Setup {
            clock: Clock::start(),
            credentials: Arc::new(credentials),
            journal: None,
            shelf: Shelf::start(store).map_err(DaemonError::System)?,
            superiors: vec![Superior {
                address: superior,
                roles: vec![Role::Foreman, Role::Master],
            }],
            door,
            hands: Runner::new(nursery, Surroundings::of(&site), Tasks::new(), ended),
            local,
            stop,
            drained: Worker::is_drained,
            grace: LEAVE_GRACE,
        };
        driver::run(worker, setup).await?;
        drop(port_file);
        Ok(())
    })
}
