//! `muster bench catalog`: what a catalog bears, with journals, fsync and TLS on.
//!
//! The replicas are processes of their own on loopback. Clients in this process register projects, each registration
//! durable on a majority before it is answered; look them up, each answer holding all that was acknowledged before; and
//! list all of them with a filter.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use muster_node::catalog::Client;
use muster_node::clock::Clock;
use muster_node::tasks::Tasks;
use muster_proto::catalog::{Command, Filter, Freshness, Key, Kind, Pattern, Project, Value};
use muster_proto::{Epoch, Peer, Role, Span};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::connect::runtime;
use crate::embedded::Replicas;
use crate::error::CliError;
use crate::scratch::{Fate, scratch};

/// Options of `bench catalog`.
#[derive(Args, Debug)]
pub struct CatalogArgs {
    /// Replicas
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=11))]
    replicas: u32,
    /// Projects to register
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=40_000))]
    projects: u32,
    /// Lookups to make
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..))]
    lookups: u32,
    /// Clients, each with a connection of its own
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    clients: u32,
    /// Questions that each client has under way at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    depth: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was measured; the contract `muster.bench.catalog/1`.
#[derive(Debug, Serialize)]
struct Measured {
    schema: &'static str,
    replicas: u32,
    clients: u32,
    registrations_per_s: f64,
    /// From question to answer of one registration with nothing else to do, in milliseconds.
    registration_ms: f64,
    lookups_per_s: f64,
    /// The same of one lookup.
    lookup_ms: f64,
    listed: usize,
    list_ms: f64,
}

/// Runs the bench and prints what it measured.
pub fn run(args: &CatalogArgs) -> Result<(), CliError> {
    let measured = runtime()?.block_on(measure(args))?;
    if args.json {
        println!("{}", serde_json::json!(measured));
        return Ok(());
    }
    println!(
        "{} replicas, {} clients\nregistrations: {:.0}/s, one alone {:.2} ms",
        measured.replicas, measured.clients, measured.registrations_per_s, measured.registration_ms
    );
    println!(
        "lookups: {:.0}/s, one alone {:.2} ms\na list of {} of {} projects: {:.1} ms",
        measured.lookups_per_s,
        measured.lookup_ms,
        measured.listed,
        args.projects,
        measured.list_ms
    );
    Ok(())
}

async fn measure(args: &CatalogArgs) -> Result<Measured, CliError> {
    let scratch = scratch(Fate::Removed)?;
    let replicas = Replicas::start(&scratch.path().join("catalog"), args.replicas).await?;
    let clients: Vec<Client> = (0..args.clients)
        .map(|n| client(&replicas, n))
        .collect::<Result<_, _>>()?;
    let first = clients.first().ok_or(CliError::NoCatalog)?;
    while first.standing(PATIENCE).await?.voters.len() < args.replicas as usize {
        sleep(Duration::from_millis(50)).await;
    }
    let clock = Clock::start();
    let registrations_per_s = all(clock, &clients, args.depth, args.projects, register).await?;
    let projects = args.projects;
    let known = move |client, n: u32| look_up(client, n % projects);
    let lookups_per_s = all(clock, &clients, args.depth, args.lookups, known).await?;
    let registration_ms = one(clock, async |n| register(first.clone(), projects + n).await).await?;
    let lookup_ms = one(clock, async |n| look_up(first.clone(), n).await).await?;
    let mut listed = 0;
    let list_ms = one(clock, async |_| {
        let filter = Filter {
            kind: Kind::Project,
            names: Pattern::Glob("bench-*7".to_owned()),
        };
        let list = first.list(&filter, Freshness::Linearizable, PATIENCE);
        listed = list.await?.0.len();
        Ok(())
    })
    .await?;
    for client in clients {
        client.close().await;
    }
    replicas.stop().await;
    Ok(Measured {
        schema: "muster.bench.catalog/1",
        replicas: args.replicas,
        clients: args.clients,
        registrations_per_s,
        registration_ms,
        lookups_per_s,
        lookup_ms,
        listed,
        list_ms,
    })
}

fn client(replicas: &Replicas, n: u32) -> Result<Client, CliError> {
    let credentials = replicas.authority.issue(&Peer {
        role: Role::Master,
        site: "home".to_owned(),
        name: format!("bench-{n}"),
    })?;
    // Each begins with another replica: lookups are answered by all of them.
    let mut addresses = replicas.addresses.clone();
    let count = addresses.len();
    addresses.rotate_left(n as usize % count);
    Ok(Client::new(addresses, Arc::new(credentials)))
}

fn key(n: u32) -> Key {
    Key {
        kind: Kind::Project,
        name: format!("bench-{n}"),
    }
}

async fn register(client: Client, n: u32) -> Result<(), CliError> {
    let value = Value::Project(Project {
        addresses: vec!["192.0.2.1:9123".to_owned()],
        epoch: Epoch(1),
        waiting: u64::from(n),
        version: "bench".to_owned(),
        ..Project::default()
    });
    let command = Command::Register {
        key: key(n),
        value,
        lease: Span::secs(3_600),
    };
    client.command(command, PATIENCE).await?;
    Ok(())
}

async fn look_up(client: Client, n: u32) -> Result<(), CliError> {
    client
        .get(key(n), Freshness::Linearizable, PATIENCE)
        .await?;
    Ok(())
}

/// Does something `count` times, dealt out to the clients, `depth` at once by each; times per second.
async fn all<F>(
    clock: Clock,
    clients: &[Client],
    depth: u32,
    count: u32,
    what: impl Fn(Client, u32) -> F + Clone + Send + 'static,
) -> Result<f64, CliError>
where
    F: Future<Output = Result<(), CliError>> + Send + 'static,
{
    let begun = clock.now();
    let lanes = u32::try_from(clients.len()).unwrap_or(u32::MAX) * depth;
    let (sender, mut ended) = mpsc::channel(1);
    let mut tasks = Tasks::new();
    for (lane, client) in (0..lanes).zip(clients.iter().cycle()) {
        let (client, what, sender) = (client.clone(), what.clone(), sender.clone());
        tasks.spawn("bench lane", async move {
            for n in (lane..count).step_by(lanes as usize) {
                if let Err(error) = what(client.clone(), n).await {
                    // One is enough to give up.
                    sender.send(error).await.ok();
                    return;
                }
            }
        });
    }
    drop(sender);
    match ended.recv().await {
        Some(error) => Err(error),
        None => Ok(f64::from(count) / clock.now().since(begun).as_secs_f64()),
    }
}

/// The median time of something that is done alone, in milliseconds.
async fn one(
    clock: Clock,
    mut what: impl AsyncFnMut(u32) -> Result<(), CliError>,
) -> Result<f64, CliError> {
    let mut times = Vec::new();
    for n in 0..ALONE {
        let begun = clock.now();
        what(n).await?;
        times.push(clock.now().since(begun).0);
    }
    times.sort_unstable();
    Ok(times[times.len() / 2] as f64 / 1e3)
}

/// How often something is done alone.
const ALONE: u32 = 21;
/// How long one question is tried.
const PATIENCE: Duration = Duration::from_secs(30);
