//! What the catalog knows of projects and sites, as tables and as JSON.

use std::collections::BTreeMap;

use clap::Args;
use muster_node::catalog::{Client, Names};
use muster_proto::catalog::{Filter, Kind, Named, Pattern, Value};
use serde_json::{Map, Value as Json, json};

use super::Reading;
use crate::clients::print;
use crate::error::{CliError, Exit};
use crate::text::harmless;

/// Projects that the catalog knows
#[derive(Args, Debug)]
pub struct ProjectsArgs {
    /// Only names that match this regular expression from beginning to end
    #[arg(value_name = "REGEX")]
    names: Option<Names>,
    #[command(flatten)]
    read: Reading,
}

/// Sites that the catalog knows, and their foremen
#[derive(Args, Debug)]
pub struct SitesArgs {
    #[command(flatten)]
    read: Reading,
}

fn listed(read: &Reading, kind: Kind) -> Result<Vec<Named>, CliError> {
    let filter = Filter {
        kind,
        names: Pattern::All,
    };
    read.place.with(async |client: &Client, patience| {
        Ok(client.list(&filter, read.freshness(), patience).await?.0)
    })
}

/// Prints the projects.
pub fn projects(args: &ProjectsArgs) -> Result<Exit, CliError> {
    let mut items = listed(&args.read, Kind::Project)?;
    if let Some(names) = &args.names {
        items.retain(|named| names.hold(&named.key.name));
    }
    if args.read.json {
        let projects: Vec<Json> = items
            .iter()
            .map(|named| {
                let mut project = Map::new();
                project.insert("project".to_owned(), json!(named.key.name));
                project.insert("owner".to_owned(), json!(named.item.owner.to_string()));
                project.extend(value_json(&named.item.value));
                Json::Object(project)
            })
            .collect();
        let text = json!({ "schema": "muster.projects/1", "projects": projects });
        return print(&format!("{text}\n"));
    }
    let mut text = format!(
        "{:<28} {:<24} {:>9} {:>9} {:>9} {:>8} {:>8}  release\n",
        "project", "address", "waiting", "running", "done", "slots", "wanted"
    );
    for named in &items {
        if let Value::Project(project) = &named.item.value {
            let address = project.addresses.first().map_or("", String::as_str);
            text += &format!(
                "{:<28} {:<24} {:>9} {:>9} {:>9} {:>8} {:>8}  {}\n",
                harmless(&named.key.name),
                harmless(address),
                project.waiting,
                project.running,
                project.done,
                project.slots,
                project.wanted,
                harmless(&project.version),
            );
        }
    }
    print(&text)
}

/// What the foremen of one site have together.
#[derive(Default)]
struct Site {
    foremen: Vec<Json>,
    names: Vec<String>,
    workers: u64,
    cores: u64,
}

/// Prints the sites.
pub fn sites(args: &SitesArgs) -> Result<Exit, CliError> {
    let mut sites: BTreeMap<String, Site> = BTreeMap::new();
    for named in listed(&args.read, Kind::Foreman)? {
        let Value::Foreman(place) = &named.item.value else {
            continue;
        };
        let (name, foreman) = named
            .key
            .name
            .split_once('/')
            .unwrap_or((&named.key.name, ""));
        let site = sites.entry(name.to_owned()).or_default();
        site.workers += u64::from(place.workers);
        site.cores += place.cores / 1_000;
        site.names.push(foreman.to_owned());
        let mut json = Map::new();
        json.insert("foreman".to_owned(), json!(foreman));
        json.extend(value_json(&named.item.value));
        site.foremen.push(Json::Object(json));
    }
    if args.read.json {
        let sites: Vec<Json> = sites
            .into_iter()
            .map(|(name, site)| {
                json!({
                    "site": name,
                    "workers": site.workers,
                    "cores": site.cores,
                    "foremen": site.foremen,
                })
            })
            .collect();
        let text = json!({ "schema": "muster.sites/1", "sites": sites });
        return print(&format!("{text}\n"));
    }
    let mut text = format!("{:<24} {:>8} {:>8}  foremen\n", "site", "workers", "cores");
    for (name, site) in &sites {
        text += &format!(
            "{:<24} {:>8} {:>8}  {}\n",
            harmless(name),
            site.workers,
            site.cores,
            harmless(&site.names.join(" "))
        );
    }
    print(&text)
}

/// What stands under a name, as fields.
pub fn value_json(value: &Value) -> Map<String, Json> {
    let json = match value {
        Value::Project(project) => json!({
            "addresses": project.addresses,
            "epoch": project.epoch.0,
            "tasks_waiting": project.waiting,
            "tasks_running": project.running,
            "tasks_done": project.done,
            "slots": project.slots,
            "slots_wanted": project.wanted,
            "capacity": project.capacity,
            "release": project.version,
        }),
        Value::Site(place) | Value::Foreman(place) => json!({
            "addresses": place.addresses,
            "workers": place.workers,
            "cores": place.cores / 1_000,
            "projects": place.projects,
            "release": place.version,
        }),
        Value::Token(grant) => json!({
            "role": grant.role.as_str(),
            "site": grant.site,
            "name": grant.name,
        }),
        Value::Revocation(why) => json!({ "why": why }),
        Value::Weight(weight) => json!({ "weight": f64::from(*weight) / 1_000.0 }),
        Value::Setting(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!({ "value": text }),
            Err(_) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                json!({ "value_hex": hex })
            }
        },
        Value::Member(member) => json!({
            "node": format!("{:016x}", member.node.0),
            "name": member.peer.name,
            "addresses": member.addresses,
        }),
    };
    if let Json::Object(fields) = json {
        fields
    } else {
        Map::new()
    }
}
