//! A site's foreman.

use std::net::SocketAddr;
use std::sync::Arc;

use muster_foreman::{Config, Event, Foreman, Strength};
use muster_proto::Role;
use muster_proto::catalog::{Key, Kind, Place, Value};
use muster_proto::machine::{Never, Side};
use tokio::sync::mpsc;

use super::discovery::{self, Directory};
use super::{
    Common, DaemonError, Discovery, LEAVE_GRACE, OBSERVED, announce, open_door, runtime, state,
};
use crate::bulk::Shelf;
use crate::catalog::{Client, Names};
use crate::clock::Clock;
use crate::driver::{self, Observer, Setup, Superior, Superiors, asked_to_leave};

/// What a foreman is told.
#[derive(Clone, Debug)]
pub struct ForemanOptions {
    /// What every daemon is told.
    pub common: Common,
    /// The site it serves.
    pub site: String,
    /// Its name; the one it had before, or one of its host, if it does not matter.
    pub name: Option<String>,
    /// The masters and foremen it takes work from in any case.
    pub superiors: Vec<SocketAddr>,
    /// Where others find it, and where it finds the masters of these projects, if of any.
    pub discovery: Option<(Discovery, Option<Names>)>,
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
    let superior = |address: &SocketAddr| Superior::at(*address, &[Role::Master, Role::Foreman]);
    let given: Vec<Superior> = options.superiors.iter().map(superior).collect();
    runtime()?.block_on(async {
        let door = open_door(common, &credentials, &SIDES)?;
        let stop = asked_to_leave().map_err(DaemonError::System)?;
        let port_file = announce(
            common,
            &credentials,
            door.as_ref().map(|door| &door.listener),
        )?;
        let (_nobody, local) = mpsc::channel::<Never>(1);
        let address = door.as_ref().map(|door| door.listener.local_address());
        let credentials = Arc::new(credentials);
        let mut directory = Directory::default();
        let (superiors, observer) = match &options.discovery {
            Some((discovery, projects)) => {
                let (client, addresses) = discovery::open(discovery, &credentials, address).await;
                let name = format!("{}/{}", options.site, credentials.peer().name);
                let observer = register(&mut directory, &client, name, addresses);
                let superiors = match projects {
                    Some(projects) => directory.find_masters(&client, projects.clone(), given),
                    None => Superiors::fixed(given),
                };
                (superiors, Some(observer))
            }
            None => (Superiors::fixed(given), None),
        };
        let setup = Setup {
            clock,
            credentials,
            journal: Some((log, next)),
            shelf: Shelf::start(store).map_err(DaemonError::System)?,
            link_rate: common.link_rate,
            superiors,
            door,
            observer,
            hands: (),
            local,
            stop,
            drained: Foreman::is_drained,
            grace: LEAVE_GRACE,
        };
        driver::run(foreman, setup).await?;
        directory.leave().await;
        drop(port_file);
        Ok(())
    })
}

/// Registers the foreman, and tells of who is below as that changes.
fn register(
    directory: &mut Directory,
    client: &Client,
    name: String,
    addresses: Vec<String>,
) -> Observer<Foreman> {
    let place = move |strength: &Strength| {
        Value::Foreman(Place {
            addresses: addresses.clone(),
            workers: strength.subordinates,
            cores: u64::from(strength.slots) * 1_000,
            projects: u32::try_from(strength.masters).unwrap_or(u32::MAX),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    };
    let kind = Kind::Foreman;
    let values = directory.announce(client, Key { kind, name }, place(&Strength::default()));
    Observer::telling(OBSERVED, values, move |foreman: &Foreman| {
        place(&foreman.strength())
    })
}
