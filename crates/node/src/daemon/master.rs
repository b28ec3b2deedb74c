//! A standing master.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use muster_master::{Config, Event, Master};
use muster_proto::machine::{Never, Side};
use muster_proto::{MasterId, Role};
use tokio::sync::mpsc;

use super::{Common, DaemonError, LEAVE_GRACE, announce, open_door, runtime, state};
use crate::bulk::Shelf;
use crate::clock::Clock;
use crate::driver::{self, Setup, asked_to_leave};

/// What a master is told.
#[derive(Clone, Debug)]
pub struct MasterOptions {
    /// What every daemon is told.
    pub common: Common,
    /// The project whose queue it owns.
    pub project: String,
    /// Where its address is written for this user's commands while it can be reached.
    pub register: Option<PathBuf>,
}

/// Who may come in.
const SIDES: [(Role, Side); 3] = [
    (Role::Foreman, Side::Subordinate),
    (Role::Worker, Side::Subordinate),
    (Role::User, Side::User),
];

/// Where this user's commands find the master, as long as it can be reached there.
#[derive(Debug)]
struct Registration(Option<(PathBuf, String)>);

impl Registration {
    fn write(
        path: Option<PathBuf>,
        address: Option<SocketAddr>,
    ) -> Result<Registration, DaemonError> {
        let entry = path.zip(address.map(|address| format!("{address}\n")));
        if let Some((path, text)) = &entry {
            state::write_whole(path, text)?;
        }
        Ok(Registration(entry))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Another master of the project may have taken the entry over; then it is not ours to remove.
        if let Some((path, text)) = &self.0
            && fs::read_to_string(path).is_ok_and(|found| found == *text)
        {
            let _ = fs::remove_file(path);
        }
    }
}

/// Runs a master until it is told to leave.
///
/// # Errors
/// See [`DaemonError`].
pub fn run_master(options: &MasterOptions) -> Result<(), DaemonError> {
    let common = &options.common;
    state::make(&common.state_dir)?;
    let clock = Clock::start();
    let (log, next, events) = state::journal::<Event>(&common.state_dir)?;
    let wanted = state::Wanted {
        role: Role::Master,
        site: "home",
        name: Some(&options.project),
    };
    let credentials = state::identity(common, &wanted)?;
    let (store, files) = state::store(&common.state_dir)?;
    let config = Config {
        seed: state::draw(),
        fresh: MasterId(state::draw()),
    };
    let master = Master::new(clock.now(), config, files, events);
    runtime()?.block_on(async {
        let door = open_door(common, &credentials, &SIDES)?;
        let address = door.as_ref().map(|door| door.listener.local_address());
        let registration = Registration::write(options.register.clone(), address)?;
        let stop = asked_to_leave().map_err(DaemonError::System)?;
        let port_file = announce(common, &credentials, door.as_ref())?;
        let (_nobody, local) = mpsc::channel::<Never>(1);
        let setup = Setup {
            clock,
            credentials: Arc::new(credentials),
            journal: Some((log, next)),
            shelf: Shelf::start(store).map_err(DaemonError::System)?,
            superiors: Vec::new(),
            door,
            hands: (),
            local,
            stop,
            drained: Master::is_drained,
            grace: LEAVE_GRACE,
        };
        driver::run(master, setup).await?;
        drop((port_file, registration));
        Ok(())
    })
}
