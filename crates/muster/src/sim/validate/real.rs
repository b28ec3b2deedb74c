//! A workload, for real: a federation of processes, and a clock.

use std::path::Path;
use std::time::Duration;

use muster_node::client::Client;
use muster_node::clock::Clock;
use muster_proto::wire::StatusReply;
use muster_proto::{Role, Span, TaskId};
use tokio::time::sleep;

use super::files::Staged;
use super::sides::{Side, Traffic};
use super::workload::{SITES, WORKERS, Workload};
use super::{Federation, Plan};
use crate::error::CliError;

/// Runs a workload below `dir`.
///
/// # Errors
/// The federation does not start, or its master is gone for good.
pub async fn run(workload: &Workload, staged: &Staged, dir: &Path) -> Result<Side, CliError> {
    let plan = Plan {
        sites: SITES,
        workers: WORKERS,
        cores_per_worker: workload.cores,
        memory_per_worker: None,
        dir: dir.join("federation"),
    };
    let federation = Federation::start(plan).await?;
    let client = federation.client();
    ready(client, WORKERS * workload.cores).await?;
    client.put_files(&staged.files).await?;
    let before = traffic(&client.status().await?);
    let clock = Clock::start();
    let killing = async {
        for (worker, at) in &workload.kills {
            sleep(Duration::from_micros(at.0.saturating_sub(clock.now().0))).await;
            federation.kill_worker(*worker);
        }
        std::future::pending().await
    };
    let (makespan, results) = tokio::select! {
        ended = work(client, staged, clock) => ended?,
        never = killing => never,
    };
    let status = client.status().await?;
    federation.stop().await;
    Ok(side(&status, &before, makespan, results))
}

/// Waits until the workers that are on their way have come, with all their slots.
///
/// # Errors
/// The master is gone for good.
pub async fn ready(client: &Client, slots: u32) -> Result<(), CliError> {
    loop {
        let status = client.status().await?;
        let there: u32 = status.links.iter().map(|link| link.slots).sum();
        if there >= slots {
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Submits and waits for all outcomes: when the last came, and how many tasks did what they should.
///
/// # Errors
/// The master is gone for good.
pub async fn work(client: &Client, staged: &Staged, clock: Clock) -> Result<(Span, u64), CliError> {
    let begun = clock.now();
    let before = client.status().await?.tasks.submitted;
    let tasks = staged.bodies.len() as u64;
    let all = (TaskId(before + 1), TaskId(before + tasks));
    let mut watching = client.watch(vec![all]).await?;
    client
        .submit(&staged.template, staged.bodies.clone())
        .await?;
    let (mut left, mut done) = (tasks, 0);
    while left > 0 {
        let Some(outcomes) = watching.next().await? else {
            break;
        };
        let outcomes = outcomes.outcomes;
        left = left.saturating_sub(outcomes.len() as u64);
        done += outcomes.iter().filter(|outcome| outcome.is_done()).count() as u64;
        let ended: Vec<TaskId> = outcomes.iter().map(|outcome| outcome.task).collect();
        client.delivered(&ended).await?;
    }
    Ok((clock.now().since(begun), done))
}

/// What crossed the master's links with its foremen since they stand.
fn traffic(status: &StatusReply) -> Vec<Traffic> {
    let links = status.links.iter();
    let links = links.filter(|link| link.peer.role == Role::Foreman);
    let mut links: Vec<Traffic> = links
        .map(|link| Traffic {
            site: link.peer.site.clone(),
            down_bytes: link.sent_bytes,
            up_bytes: link.received_bytes,
        })
        .collect();
    links.sort_by(|a, b| a.site.cmp(&b.site));
    links
}

fn side(status: &StatusReply, before: &[Traffic], makespan: Span, results: u64) -> Side {
    let tasks = &status.tasks;
    // What was sent to find out how long packets may be is no part of the work.
    let mut links = traffic(status);
    for (link, before) in links.iter_mut().zip(before) {
        link.down_bytes = link.down_bytes.saturating_sub(before.down_bytes);
        link.up_bytes = link.up_bytes.saturating_sub(before.up_bytes);
    }
    Side {
        makespan_s: makespan.as_secs_f64(),
        tasks: tasks.submitted,
        attempts: tasks.attempts,
        results,
        failed: tasks.accounted.saturating_sub(results),
        losses: status.losses.iter().map(|(_, count)| count).sum(),
        links,
    }
}

/// Between looks whether all workers have come.
const LOOK_EVERY: Duration = Duration::from_millis(20);
