//! Knowing who is registered.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_proto::catalog::{Filter, Freshness, Item, Kind, Pattern};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{AskError, Client};
use crate::driver::Backoff;

/// Who is registered, by name; nothing until the catalog has answered for the first time.
pub type Known = Option<BTreeMap<String, Item>>;

/// Keeps `known` up to date with what is registered of `kind`, until nobody looks at it.
///
/// While the catalog is away what was known last stays known (C8).
pub async fn seek(client: Client, kind: Kind, known: watch::Sender<Known>) {
    let filter = Filter {
        kind,
        names: Pattern::All,
    };
    let mut backoff = Backoff::default();
    let mut said = None;
    while !known.is_closed() {
        let Err(why) = follow(&client, &filter, &known, &mut said).await else {
            return;
        };
        // More has changed than is kept: all is listed again.
        if matches!(why, AskError::Compacted { .. }) {
            continue;
        }
        if said.as_ref() != Some(&why) {
            tracing::warn!(%why, "the catalog cannot be asked; going on with what is known");
            said = Some(why);
            backoff = Backoff::default();
        }
        sleep(backoff.next().min(PAUSE_MAX)).await;
    }
}

/// Lists and then watches; ends well when nobody looks any more.
async fn follow(
    client: &Client,
    filter: &Filter,
    known: &watch::Sender<Known>,
    said: &mut Option<AskError>,
) -> Result<(), AskError> {
    let (listed, mut revision) = client
        .list(filter, Freshness::Linearizable, PATIENCE)
        .await?;
    *said = None;
    let names = listed.into_iter().map(|named| (named.key.name, named.item));
    known.send_replace(Some(names.collect()));
    loop {
        let (changes, next) = tokio::select! {
            watched = client.watch(revision, filter, WATCH) => watched?,
            () = known.closed() => return Ok(()),
        };
        revision = next;
        if changes.is_empty() {
            continue;
        }
        known.send_modify(|known| {
            let known = known.get_or_insert_default();
            for change in changes {
                match change.item {
                    Some(item) => known.insert(change.key.name, item),
                    None => known.remove(&change.key.name),
                };
            }
        });
    }
}

/// How long one list is tried.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one watch waits for news.
const WATCH: Duration = Duration::from_secs(30);
/// The longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(1);
