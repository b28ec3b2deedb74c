//! A worker.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use muster_proto::limits::RUNS_MAX;
use muster_proto::machine::Side;
use muster_proto::{Resources, Role};
use muster_store::{ContentStore, DirLock, Neighbours};
use muster_worker::{Config, Worker};
use tokio::sync::{mpsc, watch};

use super::discovery::{self, Directory};
use super::{
    Common, DaemonError, Discovery, LEAVE_GRACE, OBSERVED, announce, open_door, runtime, state,
};
use crate::bulk::Shelf;
use crate::catalog::Names;
use crate::clock::Clock;
use crate::driver::{self, Observer, Setup, Superior, Superiors, asked_to_leave};
use crate::hands::{Runner, Surroundings};
use crate::identity::Credentials;
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
    /// Whom it takes work from.
    pub superior: Above,
    /// What it runs at once.
    pub shape: Resources,
    /// Bytes its cache may hold beyond what is needed at the moment.
    pub cache_bytes_max: u64,
    /// The directory in which workers of this host share what they fetch, if they do.
    pub share_dir: Option<ShareDir>,
    /// A command whose process calls [`main_mother`](crate::warden::main_mother).
    pub mother: Command,
}

/// Whom a worker takes work from.
#[derive(Debug)]
pub enum Above {
    /// The foreman or master at this address.
    At(SocketAddr),
    /// A foreman of its site, or else the master of one of these projects, as the catalog knows them.
    Found(Discovery, Names),
}

impl Above {
    /// Whom to dial, and who looks for times when nothing is to do.
    async fn find(
        self,
        directory: &mut Directory,
        credentials: &Arc<Credentials>,
    ) -> (Superiors, Option<Observer<Worker>>) {
        match self {
            Above::At(address) => {
                let superior = Superior::at(address, &[Role::Foreman, Role::Master]);
                (Superiors::fixed(vec![superior]), None)
            }
            Above::Found(discovery, projects) => {
                let (client, _) = discovery::open(&discovery, credentials, None).await;
                let site = credentials.peer().site.clone();
                let (sender, idle) = watch::channel(true);
                let observer = Observer::telling(OBSERVED, sender, Worker::is_idle);
                let superiors = directory.find_one(&client, projects, site, idle);
                (superiors, Some(observer))
            }
        }
    }
}

/// Where workers of one host share what they fetch.
#[derive(Debug)]
pub enum ShareDir {
    /// In this directory.
    At(PathBuf),
    /// In one of the user, the federation and the site, below the directory for temporary files.
    OfUser,
}

impl ShareDir {
    /// Enters `store`. Without neighbours a worker works as well.
    fn join(self, store: &ContentStore, credentials: &Credentials) -> Option<Neighbours> {
        let dir = match self {
            ShareDir::At(dir) => dir,
            ShareDir::OfUser => {
                let user = rustix::process::geteuid().as_raw();
                let federation = credentials.federation();
                let site = &credentials.peer().site;
                env::temp_dir().join(format!("muster-{user}-{federation}-{site}"))
            }
        };
        let name = &credentials.peer().name;
        let joined = Neighbours::join(&dir, store, name);
        joined
            .inspect_err(|why| {
                tracing::warn!(dir = %dir.display(), %why, "files are not shared with other workers of this host");
            })
            .ok()
    }
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
        share_dir,
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
    let neighbours = share_dir.and_then(|dir| dir.join(&store, &credentials));
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
        let port_file = announce(
            &common,
            &credentials,
            door.as_ref().map(|door| &door.listener),
        )?;
        let (ended, local) = mpsc::channel(RUNS_MAX);
        let credentials = Arc::new(credentials);
        let mut directory = Directory::default();
        let (superiors, observer) = superior.find(&mut directory, &credentials).await;
        let setup = Setup {
            clock: Clock::start(),
            credentials,
            journal: None,
            shelf: Shelf::start(store)
                .map_err(DaemonError::System)?
                .among(neighbours),
            link_rate: common.link_rate,
            superiors,
            door,
            observer,
            hands: Runner::new(nursery, Surroundings::of(&site), Tasks::new(), ended),
            local,
            stop,
            drained: Worker::is_drained,
            grace: LEAVE_GRACE,
        };
        driver::run(worker, setup).await?;
        directory.leave().await;
        drop(port_file);
        Ok(())
    })
}
