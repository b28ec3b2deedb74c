//! How things stand, as JSON for Python.

use muster_proto::wire::{CacheStatus, StatusReply};
use serde_json::{Map, Value, json};

/// The fields of `muster.status/1` that Python asks for.
pub fn json(status: &StatusReply) -> String {
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
    let sites: Vec<Value> = status
        .sites
        .iter()
        .map(|site| {
            json!({
                "site": site.peer.site,
                "foreman": site.peer.name,
                "workers": site.below,
                "slots": site.slots,
                "leased": site.leased,
                "results": site.results,
                "sent_bytes": site.sent_bytes,
                "received_bytes": site.received_bytes,
                "rss_bytes": site.rss_bytes,
                "cache": cache(&site.cache),
            })
        })
        .collect();
    let whole = json!({
        "schema": "muster.status/1",
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
        "sites": sites,
        "notes": status.notes,
    });
    whole.to_string()
}

fn cache(cache: &CacheStatus) -> Value {
    json!({
        "files": cache.files,
        "bytes": cache.bytes,
        "wanted": cache.wanted,
        "hits": cache.hits,
        "joined": cache.joined,
        "fetches": cache.fetches,
        "fetched_bytes": cache.fetched_bytes,
    })
}
