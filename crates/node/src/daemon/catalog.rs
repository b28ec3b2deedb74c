//! A replica of the catalog.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster_catalog::{Birth, Catalog, Config, Event, Halt, Place};
use muster_proto::catalog::{Filter, Freshness, Kind, Member, NodeId, Pattern, Reshape, Value};
use muster_proto::{Lsn, Role};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{Common, DaemonError, announce, open_listener, runtime, state};
use crate::catalog::reach::{addresses_of, resolve};
use crate::catalog::replica::{self, Setup};
use crate::catalog::{AskError, Client, gateway};
use crate::clock::Clock;
use crate::driver::asked_to_leave;
use crate::identity::Credentials;
use crate::tasks::Tasks;

/// What a replica is told.
#[derive(Clone, Debug)]
pub struct CatalogOptions {
    /// What every daemon is told.
    pub common: Common,
    /// The site it is at.
    pub site: String,
    /// Its name; the one it had before, or one of its host, if it does not matter.
    pub name: Option<String>,
    /// Replicas of the catalog that it becomes a part of; none: a new storage founds a catalog of its own.
    pub join: Vec<String>,
    /// Whether it waits to be added by somebody else instead.
    pub wait: bool,
    /// What it tells others of where it can be reached; none: what the system says.
    pub advertise: Vec<String>,
    /// Where projects are shown to whoever speaks HTTP; `None`: nowhere.
    pub http: Option<SocketAddr>,
}

/// Who may come in: everybody of the federation may look for others.
const ROLES: [Role; 5] = [
    Role::Catalog,
    Role::Master,
    Role::Foreman,
    Role::Worker,
    Role::User,
];

/// Runs a replica until it is told to leave, or is at its end.
///
/// # Errors
/// See [`DaemonError`]. A replica that was removed ends well.
pub fn run_catalog(options: &CatalogOptions) -> Result<(), DaemonError> {
    let common = &options.common;
    state::make(&common.state_dir)?;
    let clock = Clock::start();
    let (log, next, events) = state::journal::<Event>(&common.state_dir)?;
    let wanted = state::Wanted {
        role: Role::Catalog,
        site: &options.site,
        name: options.name.as_deref(),
    };
    let credentials = Arc::new(state::identity(common, &wanted)?);
    runtime()?.block_on(async {
        let address = common.listen.unwrap_or(EVERYWHERE);
        let listener = open_listener(common, address, &credentials, &ROLES)?;
        let address = listener.local_address();
        let addresses = match &options.advertise[..] {
            [] => addresses_of(address, &resolve(&options.join).await),
            told => told.to_vec(),
        };
        let config = config(options, &credentials, next, &addresses);
        let catalog = Catalog::new(clock.now(), config, events);
        let catalog = catalog.map_err(|_| DaemonError::Misfit(common.state_dir.clone()))?;
        let stop = asked_to_leave().map_err(DaemonError::System)?;
        let mut tasks = Tasks::new();
        if !options.join.is_empty() {
            let client = Client::new(options.join.clone(), Arc::clone(&credentials));
            let own = Member {
                node: catalog.id(),
                peer: credentials.peer().clone(),
                addresses,
            };
            tasks.spawn("joiner", join(client, own));
        }
        let (asks, desk) = mpsc::channel(DESK_MAX);
        if let Some(http) = options.http {
            let gateway = gateway::open(http).await.map_err(DaemonError::System)?;
            tracing::info!(address = %gateway.address(), "projects are shown over HTTP");
            tasks.spawn("gateway", gateway.serve(asks.clone()));
        }
        let port_file = announce(common, &credentials, Some(&listener))?;
        let setup = Setup {
            clock,
            credentials,
            journal: (log, next),
            listener,
            desk,
            stop,
        };
        let halt = replica::run(catalog, setup).await?;
        drop((tasks, asks, port_file));
        match halt {
            Some(Halt::Removed) => {
                tracing::info!("this replica was removed from the catalog");
                Ok(())
            }
            Some(why @ (Halt::Newer { .. } | Halt::Diverged { .. })) => {
                Err(DaemonError::Halted(why))
            }
            None => Ok(()),
        }
    })
}

fn config(
    options: &CatalogOptions,
    credentials: &Credentials,
    next: Lsn,
    addresses: &[String],
) -> Config {
    let place = if options.join.is_empty() && !options.wait {
        let addresses = addresses.to_vec();
        Place::Founder { addresses }
    } else {
        Place::Joiner
    };
    Config {
        birth: Birth {
            // Zero is nobody.
            node: NodeId(state::draw().max(1)),
            place,
        },
        peer: credentials.peer().clone(),
        seed: state::draw(),
        run: state::draw(),
        lsn: Lsn(next.0 - 1),
        compact_entries: COMPACT_ENTRIES,
    }
}

/// Becomes a part of the catalog: learns, then votes; in the place of what it was before, if it had lost its disk.
async fn join(client: Client, own: Member) {
    let mut said = None;
    loop {
        match step(&client, &own).await {
            Ok(Step::Voter) => {
                tracing::info!("this replica is a part of the catalog");
                return;
            }
            Ok(Step::Further) => said = None,
            Err(why) => {
                if said.as_ref() != Some(&why) {
                    tracing::info!(%why, "not yet a part of the catalog; trying on");
                    said = Some(why);
                }
            }
        }
        sleep(JOIN_PAUSE).await;
    }
}

/// How far a newcomer is.
enum Step {
    Further,
    Voter,
}

async fn step(client: &Client, own: &Member) -> Result<Step, AskError> {
    let standing = client.standing(JOIN_PATIENCE).await?;
    if standing.voters.contains(&own.node) {
        return Ok(Step::Voter);
    }
    if !standing.learners.contains(&own.node) {
        client
            .reshape(Reshape::Learn(own.clone()), JOIN_PATIENCE)
            .await?;
        return Ok(Step::Further);
    }
    let filter = Filter {
        kind: Kind::Member,
        names: Pattern::All,
    };
    let (members, _) = client
        .list(&filter, Freshness::Linearizable, JOIN_PATIENCE)
        .await?;
    let older = members.iter().find_map(|named| match &named.item.value {
        Value::Member(member)
            if member.peer == own.peer && standing.voters.contains(&member.node) =>
        {
            Some(member.node)
        }
        Value::Member(_)
        | Value::Project(_)
        | Value::Site(_)
        | Value::Foreman(_)
        | Value::Token(_)
        | Value::Revocation(_)
        | Value::Weight(_)
        | Value::Setting(_) => None,
    });
    let new = own.node;
    let reshape = older.map_or(Reshape::Promote(new), |old| Reshape::Replace { old, new });
    client.reshape(reshape, JOIN_PATIENCE).await?;
    Ok(Step::Further)
}

/// Where a replica listens if it is told nothing.
const EVERYWHERE: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(
    std::net::Ipv4Addr::UNSPECIFIED,
    CATALOG_PORT,
));
/// The port of Work Queue's family, where its users look for a catalog.
pub const CATALOG_PORT: u16 = 9097;
/// Entries after which a snapshot takes their place: some seconds of a full load.
const COMPACT_ENTRIES: u64 = 10_000;
/// Questions from within that wait.
const DESK_MAX: usize = 64;
/// The pause between steps of joining.
const JOIN_PAUSE: Duration = Duration::from_millis(200);
/// How long a step of joining is tried.
const JOIN_PATIENCE: Duration = Duration::from_secs(5);
