//! Who the replicas are.

use std::time::Duration;

use clap::Args;
use muster_node::catalog::{AskError, Client};
use muster_proto::catalog::{
    Filter, Freshness, Kind, Member, Named, NodeId, Pattern, Reshape, Standing, Value,
};
use serde_json::{Value as Json, json};
use tokio::time::sleep;

use super::{Where, credentials};
use crate::clients::print;
use crate::error::{CliError, Exit};
use crate::text::harmless;

/// What is shown of the catalog as a whole.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// What is shown of its replicas.
#[derive(Args, Debug)]
pub struct MembersArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// Which replica is added.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// Where it can be reached
    #[arg(value_name = "ADDR:PORT")]
    address: String,
    #[command(flatten)]
    place: Where,
}

/// Which replica is removed.
#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// Its name, its address or its number, as muster catalog members prints them
    member: String,
    #[command(flatten)]
    place: Where,
}

async fn listed(client: &Client, patience: Duration) -> Result<Vec<Member>, AskError> {
    let filter = Filter {
        kind: Kind::Member,
        names: Pattern::All,
    };
    // Which replicas there are may be asked of a minority too, and just then it matters.
    let (items, _) = client.list(&filter, Freshness::Stale, patience).await?;
    Ok(items.into_iter().filter_map(member).collect())
}

fn member(named: Named) -> Option<Member> {
    if let Value::Member(member) = named.item.value {
        Some(member)
    } else {
        None
    }
}

/// Asks each replica how it sees the catalog, and prints that.
pub fn status(args: &StatusArgs) -> Result<Exit, CliError> {
    let credentials = std::sync::Arc::new(credentials(args.place.keys.clone())?);
    let rows = args.place.with(async |client: &Client, patience| {
        let members = listed(client, patience).await?;
        let mut rows: Vec<(Member, Option<Standing>)> = Vec::new();
        for member in members {
            let own = Client::new(member.addresses.clone(), credentials.clone());
            let standing = own.standing(EACH.min(patience)).await.ok();
            own.close().await;
            // Another replica may answer there by now.
            let standing = standing.filter(|standing| standing.node == member.node);
            rows.push((member, standing));
        }
        Ok(rows)
    })?;
    if args.json {
        let replicas: Vec<Json> = rows
            .iter()
            .map(|(m, s)| replica_json(m, s.as_ref()))
            .collect();
        let text = json!({ "schema": "muster.catalog.status/1", "replicas": replicas });
        return print(&format!("{text}\n"));
    }
    let mut text = format!(
        "{:<20} {:<22} {:<9} {:>6} {:>10} {:>10}  state\n",
        "replica", "address", "role", "term", "applied", "revision"
    );
    for (member, standing) in &rows {
        let address = member.addresses.first().map_or("", String::as_str);
        text += &match standing {
            Some(s) => format!(
                "{:<20} {:<22} {:<9} {:>6} {:>10} {:>10}  {:016x}\n",
                member.peer.name,
                harmless(address),
                part(s),
                s.term,
                s.applied,
                s.revision.0,
                s.hash
            ),
            None => format!(
                "{:<20} {:<22} not reached\n",
                member.peer.name,
                harmless(address)
            ),
        };
    }
    print(&text)
}

/// What a replica is to the catalog.
fn part(standing: &Standing) -> &'static str {
    if standing.leader == Some(standing.node) {
        "leader"
    } else if standing.voters.contains(&standing.node) {
        "voter"
    } else {
        "learner"
    }
}

fn replica_json(member: &Member, standing: Option<&Standing>) -> Json {
    let mut json = member_json(member);
    json["reached"] = json!(standing.is_some());
    if let Some(standing) = standing {
        json["role"] = json!(part(standing));
        json["leader"] = json!(standing.leader.map(number));
        json["term"] = json!(standing.term);
        json["committed"] = json!(standing.committed);
        json["applied"] = json!(standing.applied);
        json["revision"] = json!(standing.revision.0);
        json["hash"] = json!(format!("{:016x}", standing.hash));
        json["voters"] = json!(
            standing
                .voters
                .iter()
                .copied()
                .map(number)
                .collect::<Vec<_>>()
        );
        json["learners"] = json!(
            standing
                .learners
                .iter()
                .copied()
                .map(number)
                .collect::<Vec<_>>()
        );
    }
    json
}

fn member_json(member: &Member) -> Json {
    json!({
        "node": number(member.node),
        "name": member.peer.name,
        "site": member.peer.site,
        "addresses": member.addresses,
    })
}

fn number(node: NodeId) -> String {
    format!("{:016x}", node.0)
}

/// Prints who the replicas are.
pub fn members(args: &MembersArgs) -> Result<Exit, CliError> {
    let members = args
        .place
        .with(async |client: &Client, patience| Ok(listed(client, patience).await?))?;
    if args.json {
        let members: Vec<Json> = members.iter().map(member_json).collect();
        let text = json!({ "schema": "muster.catalog.members/1", "members": members });
        return print(&format!("{text}\n"));
    }
    let mut text = String::new();
    for member in &members {
        let addresses = harmless(&member.addresses.join(" "));
        text += &format!(
            "{}  {:<20} {addresses}\n",
            number(member.node),
            member.peer.name
        );
    }
    print(&text)
}

/// Makes a replica that waits a part of the catalog.
pub fn add(args: &AddArgs) -> Result<Exit, CliError> {
    let credentials = std::sync::Arc::new(credentials(args.place.keys.clone())?);
    args.place.with(async |client: &Client, patience| {
        let met = Client::meet(&args.address, &credentials, patience).await?;
        let node = met.node;
        match client.reshape(Reshape::Learn(met), patience).await {
            // An earlier try came as far as this.
            Ok(()) | Err(AskError::Unfit | AskError::Unknown) => {}
            Err(why) => return Err(why.into()),
        }
        // It has to catch up first.
        let mut left = patience;
        loop {
            match client.reshape(Reshape::Promote(node), patience).await {
                Ok(()) => return Ok(()),
                Err(_) if is_voter(client, node).await => return Ok(()),
                Err(AskError::Unfit | AskError::Busy | AskError::Unknown) if !left.is_zero() => {
                    left = left.saturating_sub(PAUSE);
                    sleep(PAUSE).await;
                }
                Err(why) => return Err(why.into()),
            }
        }
    })?;
    Ok(Exit::Ok)
}

async fn is_voter(client: &Client, node: NodeId) -> bool {
    let standing = client.standing(EACH).await;
    standing.is_ok_and(|standing| standing.voters.contains(&node))
}

/// Removes a replica.
pub fn remove(args: &RemoveArgs) -> Result<Exit, CliError> {
    args.place.with(async |client: &Client, patience| {
        let members = listed(client, patience).await?;
        let is_meant = |member: &&Member| {
            member.peer.name == args.member
                || number(member.node) == args.member
                || member.addresses.contains(&args.member)
        };
        let mut meant = members.iter().filter(is_meant);
        let (Some(member), None) = (meant.next(), meant.next()) else {
            return Err(CliError::NoMember {
                text: args.member.clone(),
            });
        };
        client
            .reshape(Reshape::Remove(member.node), patience)
            .await?;
        Ok(Exit::Ok)
    })
}

/// How long a single replica is asked.
const EACH: Duration = Duration::from_secs(1);
/// The pause while a newcomer catches up.
const PAUSE: Duration = Duration::from_millis(100);
