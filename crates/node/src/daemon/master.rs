//! A standing master.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use muster_master::{Config, Event, Master};
use muster_proto::catalog::{Key, Kind, Project, Value};
use muster_proto::machine::{Never, Side};
use muster_proto::{MasterId, Role};
use tokio::sync::mpsc;

use super::discovery::{self, Directory};
use super::{
    Common, DaemonError, Discovery, LEAVE_GRACE, OBSERVED, announce, open_door, runtime, state,
};
use crate::bulk::Shelf;
use crate::catalog::Client;
use crate::clock::Clock;
use crate::driver::{self, Observer, Setup, Superiors, asked_to_leave};

/// What a master is told.
#[derive(Clone, Debug)]
pub struct MasterOptions {
    /// What every daemon is told.
    pub common: Common,
    /// The project whose queue it owns.
    pub project: String,
    /// Where its address is written for this user's commands while it can be reached.
    pub register: Option<PathBuf>,
    /// Where others find it.
    pub discovery: Option<Discovery>,
}

/// What ends a master.
type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

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

/// Runs a master until it is told to leave, by a signal.
///
/// # Errors
/// See [`DaemonError`].
pub fn run_master(options: &MasterOptions) -> Result<(), DaemonError> {
    let stop = || asked_to_leave().map_err(DaemonError::System);
    run(options, stop, |_| {})
}

/// Runs a master on the calling thread of a program that does other things as well, until `stop` is ready; no signal
/// is listened for. Tells `ready` its address when it can be reached.
///
/// # Errors
/// See [`DaemonError`].
pub fn host_master(
    options: &MasterOptions,
    stop: impl Future<Output = ()> + Send + 'static,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), DaemonError> {
    run(options, || Ok(Box::pin(stop) as Stop), ready)
}

fn run(
    options: &MasterOptions,
    stop: impl FnOnce() -> Result<Stop, DaemonError>,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), DaemonError> {
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
        let stop = stop()?;
        let port_file = announce(
            common,
            &credentials,
            door.as_ref().map(|door| &door.listener),
        )?;
        if let Some(address) = address {
            ready(address);
        }
        let (_nobody, local) = mpsc::channel::<Never>(1);
        let credentials = Arc::new(credentials);
        let mut directory = Directory::default();
        let observer = match &options.discovery {
            Some(discovery) => {
                let (client, addresses) = discovery::open(discovery, &credentials, address).await;
                let key = Key {
                    kind: Kind::Project,
                    name: options.project.clone(),
                };
                Some(register(&mut directory, &client, key, addresses, &master))
            }
            None => None,
        };
        let setup = Setup {
            clock,
            credentials,
            journal: Some((log, next)),
            shelf: Shelf::start(store).map_err(DaemonError::System)?,
            link_rate: common.link_rate,
            superiors: Superiors::fixed(Vec::new()),
            door,
            observer,
            hands: (),
            local,
            stop,
            drained: Master::is_drained,
            grace: LEAVE_GRACE,
        };
        driver::run(master, setup).await?;
        directory.leave().await;
        drop((port_file, registration));
        Ok(())
    })
}

/// Registers the project, and tells of what is to do as it changes.
fn register(
    directory: &mut Directory,
    client: &Client,
    key: Key,
    addresses: Vec<String>,
    master: &Master,
) -> Observer<Master> {
    let project = move |master: &Master| {
        let counts = master.counts();
        let few = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let (open, slots) = (counts.waiting + counts.leased, master.slots());
        Value::Project(Project {
            addresses: addresses.clone(),
            epoch: master.book().epoch,
            waiting: counts.waiting,
            running: counts.leased,
            done: counts.accounted,
            slots: few(slots),
            wanted: few(open.saturating_sub(slots)),
            capacity: few(open),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    };
    let values = directory.announce(client, key, project(master));
    Observer::telling(OBSERVED, values, project)
}
