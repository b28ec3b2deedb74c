//! Keeping a name registered as long as its owner lives.

use std::time::Duration;

use muster_proto::Span;
use muster_proto::catalog::{Command, Key, Refusal, Value};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{AskError, Client};

/// Registers `key` with the value that `values` holds, renews it, and tells of changes, until the sender of the values
/// is gone; then takes the name out again.
///
/// Nothing that goes wrong ends it: a catalog that is away is asked again until it is back, a name that someone else has
/// is taken when it is free. Each reason costs one line of log.
pub async fn announce(client: Client, key: Key, mut values: watch::Receiver<Value>) {
    let mut said = None;
    let mut is_registered = false;
    let mut told: Option<Value> = None;
    loop {
        let value = values.borrow_and_update().clone();
        let news = (told.as_ref() != Some(&value)).then(|| value.clone());
        let command = if is_registered {
            let (key, value) = (key.clone(), news);
            Command::Renew { key, value }
        } else {
            let (key, value, lease) = (key.clone(), value.clone(), LEASE);
            Command::Register { key, value, lease }
        };
        let pause = match client.command(command, PATIENCE).await {
            Ok(_) => {
                if !is_registered {
                    tracing::info!(name = %key.name, "registered with the catalog");
                }
                (is_registered, told, said) = (true, Some(value), None);
                RENEWAL
            }
            // The lease ran out meanwhile.
            Err(AskError::Refused(Refusal::Absent)) if is_registered => {
                is_registered = false;
                continue;
            }
            Err(why) => {
                is_registered = is_registered && !matches!(why, AskError::Refused(_));
                if said.as_ref() != Some(&why) {
                    tracing::warn!(name = %key.name, %why, "cannot register with the catalog; trying on");
                    said = Some(why);
                }
                told = None;
                AGAIN
            }
        };
        if is_over(&mut values, pause).await {
            break;
        }
    }
    if is_registered {
        client.command(Command::Remove { key }, FAREWELL).await.ok();
    }
}

/// Waits for the next change, but no longer than `pause`; a change is told after a moment, several together. Says whether
/// nobody announces anything any more.
async fn is_over(values: &mut watch::Receiver<Value>, pause: Duration) -> bool {
    match timeout(pause, values.changed()).await {
        Ok(Err(_)) => true,
        Ok(Ok(())) => {
            let end = async { while values.changed().await.is_ok() {} };
            let is_over = timeout(GATHER, end).await.is_ok();
            values.mark_changed();
            is_over
        }
        Err(_) => false,
    }
}

/// How long a name stays when its owner is not heard of any more.
const LEASE: Span = Span::secs(30);
/// How often the lease is renewed if nothing changes.
const RENEWAL: Duration = Duration::from_secs(10);
/// The least time between two changes that are told.
const GATHER: Duration = Duration::from_secs(1);
/// The pause after a failure.
const AGAIN: Duration = Duration::from_secs(2);
/// How long one registration is tried.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a process that leaves waits for the catalog to hear of it.
const FAREWELL: Duration = Duration::from_millis(700);
