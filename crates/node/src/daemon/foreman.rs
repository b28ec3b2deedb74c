//! A site's foreman.

use std::net::SocketAddr;
use std::sync::Arc;

use muster_foreman::{Config, Event, Foreman};
use muster_proto::Role;
use muster_proto::machine::{Never, Side};
use tokio::sync::mpsc;

use super::{Common, DaemonError, LEAVE_GRACE, announce, open_door, runtime, state};
use crate::bulk::Shelf;
use crate::clock::Clock;
use crate::driver::{self, Setup, Superior, asked_to_leave};

/// What a foreman is told.
#[derive(Clone, Debug)]
pub struct ForemanOptions {
    /// What every daemon is told.
    pub common: Common,
    /// The site it serves.
    pub site: String,
    /// Its name; the one it had before, or one of its host, if it does not matter.
    pub name: Option<String>,
    /// The masters and foremen it takes work from.
    pub superiors: Vec<SocketAddr>,
    /// Bytes its cache may hold beyond what is needed at the moment.
    pub cache_bytes_max: u64,
}

/// Who may come in.
const SIDES: [(Role, Side); 3] = [
    (Role::Foreman, Side::Subordinate),
    (Role::Worker, Side::Subordinate),
    (Role::User, Side::User),
];

/// Runs a foreman until it is told to leave.
///
/// # Errors
/// See [`DaemonError`].
pub fn run_foreman(options: &ForemanOptions) -> Result<(), DaemonError> {
    let common = &options.common;
    state::make(&common.state_dir)?;
    let clock = Clock::start();
    let (log, next, events) = state::journal::<Event>(&common.state_dir)?;
    let wanted = state::Wanted {
        role: Role::Foreman,
        site: &options.site,
        name: options.name.as_deref(),
    };
    let credentials = state::identity(common, &wanted)?;
    let (store, files) = state::store(&common.state_dir)?;
    let config = Config {
        name: credentials.peer().name.clone(),
        seed: state::draw(),
        cache_bytes_max: options.cache_bytes_max,
    };
    let foreman = Foreman::new(clock.now(), config, files, events);
    let roles = vec![Role::Master, Role::Foreman];
    let superior = |address: &SocketAddr| Superior {
        address: *address,
        roles: roles.clone(),
    };
    runtime()?.block_on(async {
        let door = open_door(common, &credentials, &SIDES)?;
        let stop = asked_to_leave().map_err(DaemonError::System)?;
        let port_file = announce(common, &credentials, door.as_ref())?;
        let (_nobody, local) = mpsc::channel::<Never>(1);
        let setup = Setup {
            clock,
            credentials: Arc::new(credentials),
            journal: Some((log, next)),
            shelf: Shelf::start(store).map_err(DaemonError::System)?,
            superiors: options.superiors.iter().map(superior).collect(),
            door,
            hands: (),
            local,
            stop,
            drained: Foreman::is_drained,
            grace: LEAVE_GRACE,
        };
        driver::run(foreman, setup).await?;
        drop(port_file);
        Ok(())
    })
}
