//! The catalog under fire: replicas killed, stopped and wiped while clients work. The judge knows a plain register and
//! nothing of the catalog.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use muster_node::clock::Clock;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::dice::{Dice, soaking};
use crate::home::{Home, Ran};
use crate::linear::{Call, Deed, Outcome, State, is_linearizable};
use crate::net::Net;
use crate::wait::{SOON, pass, span, until, until_true};

/// A catalog of some replicas.
struct Replicas<'a> {
    home: &'a Home,
    all: Vec<Daemon<'a>>,
    addresses: Vec<String>,
}

impl<'a> Replicas<'a> {
    /// Starts `count` replicas, and waits until all have a vote.
    fn start(home: &'a Home, count: usize) -> Replicas<'a> {
        Replicas::start_at(home, count, |_| ("127.0.0.1".to_owned(), Vec::new()))
    }

    /// The same on hosts, each with the words before a command that runs there.
    fn start_at(
        home: &'a Home,
        count: usize,
        at: impl Fn(usize) -> (String, Vec<String>),
    ) -> Replicas<'a> {
        let mut founder = Daemon::catalog_at(home, "c0", &[], at(0));
        let first = founder.address();
        let mut replicas = Replicas {
            home,
            all: vec![founder],
            addresses: vec![first.clone()],
        };
        for n in 1..count {
            let join = std::slice::from_ref(&first);
            let mut other = Daemon::catalog_at(home, &format!("c{n}"), join, at(n));
            replicas.addresses.push(other.address());
            replicas.all.push(other);
        }
        until_true("all vote", SOON, || replicas.voters() == count);
        replicas
    }

    /// Runs a command against all of them.
    fn run(&self, words: &[&str]) -> Ran {
        ask(self.home, &self.addresses, words)
    }

    /// What each replica says of itself, if it is reached.
    fn status(&self) -> Vec<Value> {
        let status = self.run(&["status", "--json"]).ended_with(0).json();
        status["replicas"].as_array().expect("a list").clone()
    }

    fn voters(&self) -> usize {
        let status = self.status();
        let voters = |replica: &Value| replica["voters"].as_array().map_or(0, Vec::len);
        status.iter().map(voters).max().unwrap_or_default()
    }

    /// Which of them leads.
    fn leader(&self) -> usize {
        until("somebody leads", SOON, || {
            let status = self.status();
            let leader = status.iter().find(|replica| replica["role"] == "leader")?;
            let name = leader["name"].as_str()?;
            name.strip_prefix('c')?.parse().ok()
        })
    }

    /// How long it takes until something can be written.
    fn writable(&self) -> Duration {
        let clock = Clock::start();
        let ran = self.run(&["put", "healed", "1", "--timeout", "30"]);
        ran.ended_with(0);
        Duration::from_micros(clock.now().0)
    }
}

/// Asks the catalog at `addresses`.
fn ask(home: &Home, addresses: &[String], words: &[&str]) -> Ran {
    let addresses = addresses.join(",");
    let mut line = vec!["catalog"];
    line.extend(words);
    line.extend(["--catalog", &addresses]);
    home.run(&line, Duration::from_secs(60))
}

/// Clients at work, and what they saw.
struct Work<'a> {
    home: &'a Home,
    addresses: Vec<String>,
    clock: Clock,
    is_over: AtomicBool,
    next: AtomicU64,
}

/// The names that clients work on.
const KEYS: u64 = 12;

impl Work<'_> {
    /// One client's calls, by name, until the work is over.
    fn client(&self, mut dice: Dice) -> Vec<(u64, Call)> {
        let mut calls = Vec::new();
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        while !self.is_over.load(Ordering::Relaxed) {
            let key = dice.below(KEYS);
            let value = self.next.fetch_add(1, Ordering::Relaxed);
            let version = seen.get(&key).copied().unwrap_or_default();
            let deed = match dice.below(20) {
                0..9 => Deed::Get,
                9..15 => Deed::Put {
                    value,
                    expect: None,
                },
                15..19 => Deed::Put {
                    value,
                    expect: Some(version),
                },
                _ => Deed::Delete { expect: None },
            };
            if let Some(call) = self.call(key, deed) {
                if let Some((_, outcome)) = call.ended {
                    seen.insert(key, version_after(outcome));
                }
                calls.push((key, call));
            }
        }
        calls
    }

    /// One call; nothing if the catalog says that it has changed nothing.
    fn call(&self, key: u64, deed: Deed) -> Option<Call> {
        let key = format!("k{key}");
        let text = |number: u64| number.to_string();
        let words: Vec<String> = match deed {
            Deed::Get => vec!["get".into(), key],
            Deed::Put {
                value,
                expect: None,
            } => vec!["put".into(), key, text(value)],
            Deed::Put {
                value,
                expect: Some(version),
            } => vec!["cas".into(), key, text(version), text(value)],
            Deed::Delete { .. } => vec!["del".into(), key],
        };
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push("--json");
        let begun = self.clock.now().0;
        let ran = ask(self.home, &self.addresses, &words);
        let at = self.clock.now().0;
        let told = |outcome| {
            let ended = Some((at, outcome));
            Some(Call { deed, begun, ended })
        };
        if ran.code == Some(3) {
            let ended = None;
            return Some(Call { deed, begun, ended });
        }
        // A get that did not come about prints nothing.
        if ran.stdout.is_empty() {
            assert!(
                ran.stderr.contains("MU0703") || ran.stderr.contains("MU0702"),
                "{ran:?}"
            );
            return None;
        }
        let json = ran.json();
        let version = json["version"].as_u64().unwrap_or_default();
        if matches!(deed, Deed::Get) {
            return told(Outcome::Got(state(&json, version)));
        }
        match (ran.code, json["error"].as_str()) {
            (Some(0), None) => told(Outcome::Done(version)),
            (Some(1), Some(error)) if error.contains("version") => told(Outcome::Mismatch(version)),
            (Some(1), Some(error)) if error.contains("there is no such name") => {
                told(Outcome::Absent)
            }
            (Some(1), Some(error)) => {
                let is_void = error.contains("quorum")
                    || error.contains("no catalog can be reached")
                    || error.contains("busy");
                assert!(is_void, "{error}");
                None
            }
            other => panic!("{other:?}: {ran:?}"),
        }
    }
}

fn state(json: &Value, version: u64) -> State {
    let value = json["value"].as_str()?.parse().expect("a number was set");
    Some((value, version))
}

fn version_after(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Got(state) => state.map_or(0, |(_, version)| version),
        Outcome::Done(version) | Outcome::Mismatch(version) => version,
        Outcome::Absent => 0,
    }
}

/// Lets clients work while `nemesis` has its way, and judges what they saw. Returns how many calls there were.
fn judged(
    replicas: &mut Replicas<'_>,
    clients: u64,
    nemesis: impl FnOnce(&mut Replicas<'_>),
) -> usize {
    let work = Work {
        home: replicas.home,
        addresses: replicas.addresses.clone(),
        clock: Clock::start(),
        is_over: AtomicBool::new(false),
        next: AtomicU64::new(1),
    };
    let mut by_key: BTreeMap<u64, Vec<Call>> = BTreeMap::new();
    thread::scope(|scope| {
        let work = &work;
        let at_work: Vec<_> = (0..clients)
            .map(|n| scope.spawn(move || work.client(Dice::thrown(100 + n))))
            .collect();
        nemesis(replicas);
        let healed = replicas.writable();
        assert!(
            healed < Duration::from_secs(5),
            "writes resume after {healed:?}"
        );
        work.is_over.store(true, Ordering::Relaxed);
        for client in at_work {
            for (key, call) in client.join().expect("no client panics") {
                by_key.entry(key).or_default().push(call);
            }
        }
    });
    let mut count = 0;
    assert!(!by_key.is_empty(), "clients were answered");
    for (key, calls) in &mut by_key {
        // What is there in the end is a call too: nothing that was acknowledged is lost.
        calls.extend(work.call(*key, Deed::Get));
        count += calls.len();
        assert!(is_linearizable(calls), "k{key}: {calls:#?}");
    }
    assert!(count > 40, "there was work: only {count} calls");
    count
}

/// C1, C2: whoever is killed or stopped, every key has one history.
#[test]
fn clients_see_one_history_whoever_is_killed_or_stopped() {
    let home = Home::new();
    let mut replicas = Replicas::start(&home, 3);
    let (faults, pause) = if soaking() { (45, 1_000) } else { (5, 300) };
    let mut dice = Dice::thrown(7);
    let calls = judged(&mut replicas, 8, |replicas| {
        for n in 0..faults {
            pass(Duration::from_millis(pause + dice.below(2 * pause)));
            // Rather the leader than another.
            let victim = match dice.below(2) {
                0 => replicas.leader(),
                _ => usize::try_from(dice.below(3)).expect("few replicas"),
            };
            let down = Duration::from_millis(200 + dice.below(1_800));
            if n % 2 == 0 {
                replicas.all[victim].kill();
                pass(down);
                replicas.all[victim].start();
            } else {
                replicas.all[victim].pause(down);
            }
        }
    });
    println!("{calls} calls");
    if soaking() {
        assert!(calls >= 4_000, "only {calls} calls");
    }
    agree(&replicas, 3);
}

/// The contract of settings: JSON with its schema, and exit codes.
#[test]
fn settings_have_versions_and_watchers() {
    let home = Home::new();
    let replicas = Replicas::start(&home, 1);
    let none = replicas.run(&["get", "a", "--json"]).ended_with(1).json();
    assert_eq!(
        (&none["found"], &none["version"]),
        (&json!(false), &json!(0))
    );
    let put = replicas
        .run(&["put", "a", "x y", "--json"])
        .ended_with(0)
        .json();
    assert_eq!((&put["ok"], &put["version"]), (&json!(true), &json!(1)));
    let first = put["revision"].as_u64().expect("a revision") - 1;
    assert_eq!(replicas.run(&["get", "a"]).ended_with(0).stdout, "x y\n");
    let cas = ["cas", "a", "1", "z", "--json"];
    assert_eq!(replicas.run(&cas).ended_with(0).json()["version"], 2);
    let again = replicas.run(&cas).ended_with(1).json();
    assert_eq!(
        (&again["ok"], &again["version"]),
        (&json!(false), &json!(2))
    );
    replicas.run(&["cas", "b", "0", "new"]).ended_with(0);
    replicas.run(&["del", "a", "--version", "7"]).ended_with(1);
    replicas.run(&["del", "a"]).ended_with(0);
    replicas.run(&["del", "a"]).ended_with(1);
    let list = replicas.run(&["list", "--json"]).ended_with(0).json();
    assert_eq!(list["items"][0]["key"], "b");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    let since = first.to_string();
    let watch = ["watch", "--since", &since, "--count", "4", "--json"];
    let changes = replicas.run(&watch).ended_with(0).json_lines();
    let told: Vec<(&str, Option<&str>)> = changes
        .iter()
        .map(|change| {
            (
                change["key"].as_str().expect("a key"),
                change["value"].as_str(),
            )
        })
        .collect();
    let wanted = [
        ("a", Some("x y")),
        ("a", Some("z")),
        ("b", Some("new")),
        ("a", None),
    ];
    assert_eq!(told, wanted);
}

/// Weights, a catalog that is not there, and a journal that people look at.
#[test]
fn weights_are_numbers_and_journals_can_be_read() {
    let home = Home::new();
    let replicas = Replicas::start(&home, 1);
    replicas
        .run(&["put", "p", "2.5", "--kind", "weight"])
        .ended_with(0);
    let weights = replicas
        .run(&["list", "--kind", "weight", "--json"])
        .ended_with(0)
        .json();
    assert_eq!(weights["items"][0]["weight"], 2.5);
    replicas
        .run(&["put", "p", "heavy", "--kind", "weight"])
        .ended_with(2);
    let lost = ask(
        &home,
        &["127.0.0.1:9".to_owned()],
        &["get", "a", "--timeout", "0.5"],
    );
    assert!(lost.ended_with(1).stderr.contains("MU0702"));
    let journal = replicas.all[0].state_dir().display().to_string();
    home.run(&["journal", "verify", &journal], SOON)
        .ended_with(0);
    let export = home
        .run(&["journal", "export", &journal], SOON)
        .ended_with(0);
    assert!(export.json_lines()[0]["event"]["born"].is_array());
}

/// C2: one replica that is killed again and again forgets nothing that it has acknowledged.
#[test]
fn one_replica_that_is_killed_loses_nothing_acknowledged() {
    let home = Home::new();
    let mut replicas = Replicas::start(&home, 1);
    let faults = if soaking() { 20 } else { 4 };
    let mut dice = Dice::thrown(13);
    judged(&mut replicas, 4, |replicas| {
        for _ in 0..faults {
            pass(Duration::from_millis(200 + dice.below(500)));
            replicas.all[0].kill_and_start();
        }
    });
}

/// C1, C2: the same on hosts of their own, of which one after the other is cut off.
#[test]
fn clients_see_one_history_whoever_is_cut_off() {
    let Some(net) = Net::new(3) else {
        return;
    };
    let home = Home::new();
    let host = |n: usize| u8::try_from(n).expect("few replicas");
    let mut replicas = Replicas::start_at(&home, 3, |n| (net.host(host(n)), net.within(host(n))));
    let faults = if soaking() { 30 } else { 3 };
    let mut dice = Dice::thrown(11);
    let calls = judged(&mut replicas, 8, |replicas| {
        for _ in 0..faults {
            pass(Duration::from_millis(300 + dice.below(700)));
            let victim = match dice.below(3) {
                0 => host(usize::try_from(dice.below(3)).expect("few replicas")),
                _ => host(replicas.leader()),
            };
            net.cut(victim);
            pass(Duration::from_millis(1_000 + dice.below(2_000)));
            net.mend(victim);
        }
    });
    println!("{calls} calls");
    agree(&replicas, 3);
}

/// C2, C3: five replicas go on without two of them; with three gone nobody answers, and says so in time.
#[test]
fn two_of_five_may_be_lost_and_a_minority_says_so() {
    let home = Home::new();
    let mut replicas = Replicas::start(&home, 5);
    judged(&mut replicas, 4, |replicas| {
        let leader = replicas.leader();
        let other = (leader + 1) % 5;
        replicas.all[leader].kill();
        replicas.all[other].kill();
        let healed = replicas.writable();
        assert!(
            healed < Duration::from_secs(5),
            "writes resume after {healed:?}"
        );
        pass(Duration::from_secs(if soaking() { 20 } else { 1 }));
        replicas.all[leader].start();
        replicas.all[other].start();
    });
    for n in 0..3 {
        replicas.all[n].kill();
    }
    let clock = Clock::start();
    let ran = replicas
        .run(&["get", "healed", "--timeout", "4"])
        .ended_with(1);
    assert!(ran.stderr.contains("MU0703"), "{ran:?}");
    assert!(clock.now().0 < span(Duration::from_millis(5_000)).0);
    let put = replicas.run(&["put", "healed", "2", "--timeout", "3"]);
    assert!(matches!(put.code, Some(1 | 3)), "{put:?}");
    let stale = replicas.run(&["get", "healed", "--stale"]).ended_with(0);
    assert_eq!(
        stale.stdout, "1\n",
        "what was known last is told on request"
    );
    for n in 0..3 {
        replicas.all[n].start();
    }
    replicas.writable();
    agree(&replicas, 5);
}

/// C1: a leader that slept while another was chosen does not answer from memory.
#[test]
fn a_leader_that_slept_tells_no_old_news() {
    let home = Home::new();
    let replicas = Replicas::start(&home, 3);
    for round in 0..3 {
        let leader = replicas.leader();
        let others: Vec<String> = (0..3)
            .filter(|n| *n != leader)
            .map(|n| replicas.addresses[n].clone())
            .collect();
        replicas.run(&["put", "x", "old"]).ended_with(0);
        replicas.all[leader].signal(Signal::STOP);
        let new = format!("new-{round}");
        ask(&home, &others, &["put", "x", &new, "--timeout", "10"]).ended_with(0);
        // The question is there before the sleeper wakes.
        let old = std::slice::from_ref(&replicas.addresses[leader]);
        let asked = thread::scope(|scope| {
            let asked = scope.spawn(|| ask(&home, old, &["get", "x", "--timeout", "10"]));
            pass(Duration::from_millis(100));
            replicas.all[leader].signal(Signal::CONT);
            asked.join().expect("no panic")
        });
        assert_eq!(asked.ended_with(0).stdout, format!("{new}\n"));
    }
}

/// C4: a replica that has lost its disk comes back as another, in the place of its old self.
#[test]
fn a_wiped_replica_takes_the_place_of_its_old_self() {
    let home = Home::new();
    let mut replicas = Replicas::start(&home, 3);
    replicas.run(&["put", "x", "1"]).ended_with(0);
    let before = nodes(&replicas);
    replicas.all[2].kill();
    fs::remove_dir_all(replicas.all[2].state_dir().join("journal")).expect("a journal");
    replicas.all[2].start();
    until_true("it has a vote again", SOON, || {
        let now = nodes(&replicas);
        now.len() == 3 && now != before && replicas.voters() == 3
    });
    replicas.all[0].kill();
    assert_eq!(replicas.run(&["get", "x"]).ended_with(0).stdout, "1\n");
    replicas.run(&["put", "x", "2"]).ended_with(0);
    replicas.all[0].start();
    agree(&replicas, 3);
}

/// Replicas are added and removed by hand while there is work; the one that is removed ends.
#[test]
fn replicas_are_added_and_removed_by_hand() {
    let home = Home::new();
    let mut replicas = Replicas::start(&home, 1);
    replicas.run(&["put", "x", "1"]).ended_with(0);
    for n in 1..3 {
        let name = format!("c{n}");
        let words = ["catalog", "start", "--name", &name, "--wait"];
        let mut other = Daemon::listening(&home, &format!("catalog-{name}"), &words);
        let address = other.address();
        replicas.run(&["add", &address]).ended_with(0);
        replicas.addresses.push(address);
        replicas.all.push(other);
    }
    assert_eq!(replicas.voters(), 3);
    let removed = replicas.leader();
    replicas.run(&["remove", &format!("c{removed}"), "--timeout", "20"]);
    until_true("two are left", SOON, || nodes(&replicas).len() == 2);
    assert_eq!(replicas.run(&["get", "x"]).ended_with(0).stdout, "1\n");
    let wrong = replicas.run(&["remove", "nobody"]).ended_with(2);
    assert!(wrong.stderr.contains("MU0711"), "{wrong:?}");
    let file = home.path("snapshot").display().to_string();
    replicas.run(&["snapshot", &file]).ended_with(0);
    let other = Home::new();
    let fresh = Replicas::start(&other, 1);
    fresh.run(&["restore", &file]).ended_with(0);
    assert_eq!(fresh.run(&["get", "x"]).ended_with(0).stdout, "1\n");
}

/// The numbers of the replicas' storages.
fn nodes(replicas: &Replicas<'_>) -> Vec<String> {
    let members = replicas.run(&["members", "--json"]).ended_with(0).json();
    let members = members["members"].as_array().expect("a list").clone();
    let node = |member: &Value| member["node"].as_str().map(ToOwned::to_owned);
    members.iter().filter_map(node).collect()
}

/// Waits until `count` replicas have applied the same, and checks that they have the same state (C7).
fn agree(replicas: &Replicas<'_>, count: usize) {
    let all = until("all have applied the same", SOON, || {
        let status = replicas.status();
        let applied: Vec<&Value> = status.iter().map(|replica| &replica["applied"]).collect();
        let is_same =
            applied.len() == count && applied.iter().all(|one| one.is_u64() && *one == applied[0]);
        is_same.then_some(status)
    });
    for replica in &all {
        assert_eq!(replica["hash"], all[0]["hash"], "{all:#?}");
    }
}
