//! How things stand, as JSON that programs read: the contract `muster.status/1`.

use muster_proto::wire::{CacheStatus, SiteStatus, StatusReply};
use serde_json::{Map, Value, json};

/// The contract `muster.status/1`; `project` is known to whoever asks.
pub fn status(project: Option<&str>, status: &StatusReply) -> Value {
    let tasks = &status.tasks;
    let losses: Map<String, Value> = status
        .losses
        .iter()
        .map(|(cause, count)| (cause.clone(), json!(count)))
        .collect();
    let links: Vec<Value> = status
        .links
        .iter()
        .map(|link| {
            json!({
                "peer": link.peer.name,
                "role": link.peer.role.as_str(),
                "site": link.peer.site,
                "below": link.is_below,
                "slots": link.slots,
                "leased": link.leased,
                "sent_bytes": link.sent_bytes,
                "received_bytes": link.received_bytes,
                "rtt_ms": link.rtt_us as f64 / 1e3,
            })
        })
        .collect();
    json!({
        "schema": "muster.status/1",
        // A foreman has no epoch.
        "role": if status.epoch > 0 { "master" } else { "foreman" },
        "project": project,
        "epoch": status.epoch,
        "rss_bytes": status.rss_bytes,
        "tasks": {
            "submitted": tasks.submitted,
            "waiting": tasks.waiting,
            "leased": tasks.leased,
            "accounted": tasks.accounted,
            "delivered": tasks.delivered,
            "undelivered": tasks.undelivered,
            "attempts": tasks.attempts,
        },
        "losses": losses,
        "links": links,
        "cache": cache_json(&status.cache),
        "sites": status.sites.iter().map(site_json).collect::<Vec<_>>(),
        "notes": status.notes,
    })
}

fn site_json(site: &SiteStatus) -> Value {
    json!({
        "site": site.peer.site,
        "foreman": site.peer.name,
        "subordinates": site.below,
        "slots": site.slots,
        "leased": site.leased,
        "results_held": site.results,
        "sent_bytes": site.sent_bytes,
        "received_bytes": site.received_bytes,
        "rss_bytes": site.rss_bytes,
        "cache": cache_json(&site.cache),
    })
}

fn cache_json(cache: &CacheStatus) -> Value {
    json!({
        "files": cache.files,
        "bytes": cache.bytes,
        "limit_bytes": cache.bytes_max,
        "wanted": cache.wanted,
        "hits": cache.hits,
        "joined": cache.joined,
        "hit_rate": hit_rate(cache),
        "fetches": cache.fetches,
        "fetched_bytes": cache.fetched_bytes,
        "evicted": cache.evicted,
        "evicted_bytes": cache.evicted_bytes,
        "spoiled": cache.spoiled,
    })
}

/// The share of wishes that moved nothing: the file was there, or on its way for another. `None` without wishes.
pub fn hit_rate(cache: &CacheStatus) -> Option<f64> {
    let served = cache.hits.saturating_add(cache.joined);
    (cache.wanted > 0).then(|| served as f64 / cache.wanted as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_has_the_fields_of_its_contract() {
        let reply = StatusReply {
            epoch: 2,
            losses: vec![("evicted".to_owned(), 3)],
            ..StatusReply::default()
        };
        let json = super::status(Some("p"), &reply);
        assert_eq!(json["schema"], "muster.status/1");
        assert_eq!(json["project"], "p");
        assert_eq!(json["losses"]["evicted"], 3);
        for count in [
            "submitted",
            "waiting",
            "leased",
            "accounted",
            "delivered",
            "undelivered",
            "attempts",
        ] {
            assert_eq!(json["tasks"][count], 0, "{count}");
        }
    }
}
