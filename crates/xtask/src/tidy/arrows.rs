//! The arrows between the crates of the house, checked against the graph that cargo resolved.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Finding;

/// Brains and their words: crates that can do no IO.
pub const PURE: [&str; 8] = [
    "proto", "sched", "master", "foreman", "worker", "catalog", "apps", "sim",
];

/// Roles meet in `proto::wire` and nowhere else.
const ROLES: [&str; 4] = ["master", "foreman", "worker", "catalog"];

/// Crates of the house that touch the world; no pure crate may know them.
const IMPURE: [&str; 4] = ["muster-store", "muster-node", "muster", "muster-python"];

/// Crates from outside that a pure crate may not reach, however indirectly.
const WORLDLY: [&str; 4] = ["tokio", "quinn", "mio", "socket2"];

/// Asynchronous crates, and the packages that may name them.
const ASYNC: [&str; 2] = ["tokio", "quinn"];
const ASYNC_ALLOWED: [&str; 5] = [
    "muster-node",
    "muster",
    "muster-python",
    "muster-tests",
    "muster-benches",
];

/// What the arrows are drawn between.
#[derive(Default)]
pub struct Graph {
    /// Every package of the workspace, with its manifest and the names it depends on, in any way.
    members: BTreeMap<String, Member>,
    /// Every resolved package, by cargo's identifier, with its name and what it is linked with.
    nodes: BTreeMap<String, Node>,
    /// Names of the packages from outside that some manifest of the workspace names.
    pub outside: BTreeSet<String>,
}

struct Member {
    manifest: String,
    id: String,
    direct: BTreeSet<String>,
}

struct Node {
    name: String,
    normal: Vec<String>,
}

impl Graph {
    /// Reads the graph out of what `cargo metadata` answered.
    pub fn read(metadata: &Value) -> Result<Self> {
        let root = metadata["workspace_root"]
            .as_str()
            .context("cargo metadata names no root")?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let inside: BTreeSet<String> = list(&metadata["workspace_members"])
            .iter()
            .map(text)
            .collect();
        let mut graph = Self::default();
        let mut names = BTreeMap::new();
        for package in list(&metadata["packages"]) {
            let (id, name) = (text(&package["id"]), text(&package["name"]));
            names.insert(id.clone(), name.clone());
            if !inside.contains(&id) {
                continue;
            }
            let dependencies = list(&package["dependencies"]);
            let from_outside = dependencies
                .iter()
                .filter(|dependency| !dependency["source"].is_null());
            graph
                .outside
                .extend(from_outside.map(|dependency| text(&dependency["name"])));
            let direct = dependencies
                .iter()
                .map(|dependency| text(&dependency["name"]))
                .collect();
            let manifest = text(&package["manifest_path"]).replace('\\', "/");
            let manifest = manifest
                .trim_start_matches(root)
                .trim_start_matches('/')
                .to_owned();
            graph.members.insert(
                name,
                Member {
                    manifest,
                    id,
                    direct,
                },
            );
        }
        for node in list(&metadata["resolve"]["nodes"]) {
            let id = text(&node["id"]);
            let is_normal = |edge: &Value| {
                list(&edge["dep_kinds"])
                    .iter()
                    .any(|kind| kind["kind"].is_null())
            };
            let normal = list(&node["deps"])
                .iter()
                .filter(|edge| is_normal(edge))
                .map(|edge| text(&edge["pkg"]))
                .collect();
            let name = names.get(&id).cloned().unwrap_or_default();
            graph.nodes.insert(id, Node { name, normal });
        }
        Ok(graph)
    }

    /// Finds the shortest chain of normal dependencies from the package `from` to one called `to`.
    fn chain(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut seen = BTreeSet::from([from]);
        let mut chains = std::collections::VecDeque::from([vec![from]]);
        while let Some(chain) = chains.pop_front() {
            let node = self.nodes.get(*chain.last()?)?;
            if node.name == to {
                return Some(
                    chain
                        .iter()
                        .filter_map(|id| self.nodes.get(*id))
                        .map(|node| node.name.clone())
                        .collect(),
                );
            }
            for next in node
                .normal
                .iter()
                .filter(|next| self.nodes.contains_key(*next))
            {
                if seen.insert(next) {
                    chains.push_back(chain.iter().copied().chain([next.as_str()]).collect());
                }
            }
        }
        None
    }
}

/// Checks every arrow of the house.
pub fn check(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, member) in &graph.members {
        let short = name.strip_prefix("muster-").unwrap_or("");
        if PURE.contains(&short) {
            findings.extend(pure(graph, name, member));
        }
        if ROLES.contains(&short) {
            findings.extend(role(name, member));
        }
        if short == "apps" {
            findings.extend(apps(member));
        }
        if !ASYNC_ALLOWED.contains(&name.as_str()) {
            findings.extend(
                ASYNC
                    .iter()
                    .filter(|outside| member.direct.contains(**outside))
                    .map(|outside| {
                        Finding::of(
                            &member.manifest,
                            format!("remove {outside}: only muster-node is asynchronous."),
                        )
                    }),
            );
        }
    }
    findings
}

fn pure(graph: &Graph, name: &str, member: &Member) -> Vec<Finding> {
    let mut findings = Vec::new();
    for impure in IMPURE
        .iter()
        .filter(|impure| member.direct.contains(**impure))
    {
        let what = format!(
            "remove {impure}: {name} is pure, and arrows point down only (DESIGN, the house)."
        );
        findings.push(Finding::of(&member.manifest, what));
    }
    for worldly in WORLDLY {
        if let Some(chain) = graph.chain(&member.id, worldly) {
            let what = format!(
                "break the chain {}: {name} must not be able to do IO.",
                chain.join(" -> ")
            );
            findings.push(Finding::of(&member.manifest, what));
        }
    }
    findings
}

fn role(name: &str, member: &Member) -> Vec<Finding> {
    let others = ROLES
        .iter()
        .map(|role| format!("muster-{role}"))
        .filter(|other| other != name);
    let met = others.filter(|other| member.direct.contains(other));
    met.map(|other| {
        Finding::of(
            &member.manifest,
            format!("remove {other}: roles meet in muster-proto's wire only."),
        )
    })
    .collect()
}

fn apps(member: &Member) -> Vec<Finding> {
    let inside = member
        .direct
        .iter()
        .filter(|name| *name == "muster" || name.starts_with("muster-"));
    let wrong = inside.filter(|name| *name != "muster-proto");
    wrong
        .map(|name| {
            Finding::of(
                &member.manifest,
                format!("remove {name}: muster-apps knows muster-proto only."),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Draws a graph from lines such as `muster-sim -> rand tokio`; a name that begins with muster is a member.
    fn drawn(arrows: &str) -> Graph {
        let is_member = |name: &str| name == "muster" || name.starts_with("muster-");
        let (mut packages, mut nodes, mut members) = (Vec::new(), Vec::new(), Vec::new());
        for line in arrows.lines() {
            let (name, targets) = line.trim().split_once(" ->").unwrap();
            let targets: Vec<(&str, Value)> = targets.split_whitespace().map(kind).collect();
            let source = |to: &str| {
                if is_member(to) {
                    json!(null)
                } else {
                    json!("registry")
                }
            };
            let dependencies = targets
                .iter()
                .map(|(to, kind)| json!({"name": to, "kind": kind, "source": source(to)}));
            let dependencies: Vec<Value> = dependencies.collect();
            let manifest = format!(
                "/tree/crates/{}/Cargo.toml",
                name.trim_start_matches("muster-")
            );
            packages.push(json!({"id": name, "name": name, "manifest_path": manifest, "dependencies": dependencies}));
            let deps = targets
                .iter()
                .map(|(to, kind)| json!({"pkg": to, "dep_kinds": [{"kind": kind}]}));
            nodes.push(json!({"id": name, "deps": deps.collect::<Vec<_>>()}));
            if is_member(name) {
                members.push(name);
            }
        }
        let resolve = json!({"nodes": nodes});
        let metadata = json!({
            "workspace_root": "/tree", "workspace_members": members, "packages": packages, "resolve": resolve,
        });
        Graph::read(&metadata).unwrap()
    }

    /// A target written `dev:name` is a dependency of tests only.
    fn kind(target: &str) -> (&str, Value) {
        target
            .strip_prefix("dev:")
            .map_or((target, json!(null)), |name| (name, json!("dev")))
    }

    fn found(arrows: &str) -> Vec<String> {
        check(&drawn(arrows))
            .iter()
            .map(Finding::to_string)
            .collect()
    }

    #[test]
    fn the_house_as_designed_has_no_findings() {
        let house = "muster -> muster-node muster-sim muster-apps tokio
            muster-node -> muster-store muster-master quinn tokio
            muster-store -> muster-proto
            muster-sim -> muster-master muster-foreman
            muster-master -> muster-sched
            muster-foreman -> muster-sched
            muster-sched -> muster-proto
            muster-apps -> muster-proto
            muster-proto -> serde
            serde ->
            quinn -> tokio
            tokio -> mio
            mio ->";
        assert_eq!(found(house), [""; 0]);
    }

    #[test]
    fn a_brain_that_reaches_the_world_through_others_is_shown_the_whole_chain() {
        let findings =
            found("muster-sim -> muster-sched\nmuster-sched -> rand\nrand -> mio\nmio ->");
        assert_eq!(
            findings,
            [
                "crates/sched/Cargo.toml: break the chain muster-sched -> rand -> mio: muster-sched must not be able to do IO.",
                "crates/sim/Cargo.toml: break the chain muster-sim -> muster-sched -> rand -> mio: muster-sim must not be able to do IO.",
            ]
        );
    }

    #[test]
    fn what_only_tests_link_does_not_make_a_brain_worldly() {
        assert_eq!(
            found("muster-proto -> dev:proptest\nproptest -> mio\nmio ->"),
            [""; 0]
        );
    }

    #[test]
    fn roles_do_not_know_each_other_even_in_tests() {
        let findings = found("muster-master -> dev:muster-worker\nmuster-worker -> ");
        assert_eq!(
            findings,
            [
                "crates/master/Cargo.toml: remove muster-worker: roles meet in muster-proto's wire only."
            ]
        );
    }

    #[test]
    fn a_pure_crate_may_not_name_one_that_touches_the_world() {
        let findings = found("muster-sched -> muster-store\nmuster-store ->");
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0]
                .starts_with("crates/sched/Cargo.toml: remove muster-store: muster-sched is pure")
        );
    }

    #[test]
    fn only_the_drivers_are_asynchronous() {
        let findings = found("muster-store -> tokio\nmuster-node -> tokio\ntokio ->");
        assert_eq!(
            findings,
            ["crates/store/Cargo.toml: remove tokio: only muster-node is asynchronous."]
        );
    }

    #[test]
    fn the_abstractions_speak_only_the_common_words() {
        let findings = found("muster-apps -> muster-sched\nmuster-sched ->");
        assert_eq!(
            findings,
            ["crates/apps/Cargo.toml: remove muster-sched: muster-apps knows muster-proto only."]
        );
    }

    #[test]
    fn packages_from_outside_are_collected_from_every_manifest() {
        let graph =
            drawn("muster-proto -> serde dev:proptest\nserde -> derive\nproptest ->\nderive ->");
        assert_eq!(
            graph.outside.into_iter().collect::<Vec<_>>(),
            ["proptest", "serde"]
        );
    }
}
