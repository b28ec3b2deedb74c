//! A network that fails: links are cut for longer than connections live, or lose and delay what they carry.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_node::trial::{Conditions, Relay};
use muster_proto::Span;

use crate::daemon::Daemon;
use crate::dice::{Dice, soaking};
use crate::home::{Home, Running};
use crate::ledger::{Ledger, Line};
use crate::wait::{LONG, SOON, pass, until, until_true};

/// F2: a foreman without its master goes on. A connection is given up after 20 s of silence, so it dies in the cut.
#[test]
fn a_cut_between_master_and_foreman_kills_no_task_and_runs_none_twice() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let relay = relay(&mut master, 3);
    let mut foreman = Daemon::foreman(&home, "campus", &[relay.address().to_string()]);
    let _worker = Daemon::worker(&home, "w1", &foreman.address(), 4);
    let ledger = Ledger::new(&home);
    let cut = Duration::from_secs(if soaking() { 55 } else { 30 });

    // Two that run from before the cut until after it; many that begin and end in it.
    let long = cut.as_secs() + 2;
    let script = ledger.script(&format!(
        "if [ {{}} -le 2 ]; then sleep {long}; else sleep 1; fi"
    ));
    let tasks = 30;
    let words = [
        "submit",
        "--project",
        "p",
        "--array",
        "1-30",
        "--",
        "sh",
        "-c",
        &script,
    ];
    home.run(&words, SOON).ended_with(0);
    until_true("four tasks run", SOON, || ledger.starts().len() == 4);

    relay.cut();
    ledger.note("cut");
    pass(cut);
    ledger.note("heal");
    relay.mend();

    let outcomes = home
        .run(&["wait", "--project", "p", "--json"], LONG)
        .ended_with(0)
        .json_lines();
    assert_eq!(outcomes.len(), tasks);
    ledger.assert_each_once(tasks as u64);
    let lines = ledger.lines();
    let during = lines
        .split(|line| matches!(line, Line::Driver(_)))
        .nth(1)
        .expect("the cut");
    let ended = during
        .iter()
        .filter(|line| matches!(line, Line::End { .. }))
        .count();
    assert!(ended >= 2, "work went on while the link was cut: {lines:?}");
    let status = home
        .run(&["status", "--project", "p", "--json"], SOON)
        .ended_with(0)
        .json();
    assert_eq!(
        status["losses"]["link"].as_u64().unwrap_or(0),
        0,
        "nothing counts as lost: {status}"
    );
}

/// X4: whatever the user does to a file that is being sent, nothing runs on it.
#[test]
fn an_input_that_changes_while_it_is_sent_is_a_typed_error() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let relay = relay(&mut master, 11);
    let _worker = Daemon::worker(&home, "w1", &master.address(), 1);
    let changes: [Change; 6] = [
        ("other bytes where it was read", |path| flip(path, 5)),
        ("other bytes ahead", |path| flip(path, LARGE - 5)),
        ("shorter", |path| {
            opened(path).set_len(LARGE - 9).expect("it is cut")
        }),
        ("longer", |path| {
            let file = OpenOptions::new().append(true).open(path);
            file.and_then(|mut file| file.write_all(b"more"))
                .expect("it grows");
        }),
        ("replaced", |path| {
            let new = path.with_extension("new");
            fs::write(&new, Dice::of(99).bytes(LARGE)).expect("another");
            fs::rename(&new, path).expect("it takes its place");
        }),
        ("gone", |path| fs::remove_file(path).expect("removed")),
    ];
    for (n, (what, change)) in changes.into_iter().enumerate() {
        let name = format!("input.{n}");
        home.write(&name, Dice::of(20 + n as u64).bytes(LARGE));
        let path = home.work().join(&name);
        relay.set(Conditions {
            bytes_per_s: Some(SLOW),
            ..Conditions::GOOD
        });
        let before = relay.passed().up;
        let address = relay.address().to_string();
        let script = format!("echo ran >> {}", home.path("ran").display());
        let words = ["run", "--master", &address, "--input", &name];
        let words = [&words[..], &["--", "sh", "-c", &script]].concat();
        let running = Running::start(home.muster(&words));
        until_true("a part of it is sent", SOON, || {
            relay.passed().up - before > 2 << 20
        });
        change(&path);
        relay.set(Conditions::GOOD);
        let ran = running.finish(SOON).ended_with(1);
        assert!(ran.stderr.contains("MU0306"), "{what}: {ran:#?}");
        assert!(ran.stderr.contains(&name), "{what}: {ran:#?}");
        assert!(!home.path("ran").exists(), "{what}: nothing runs on it");
    }
}

/// X5: whatever becomes of what has come of an input, its task reads what was sent.
#[test]
fn an_input_that_is_spoiled_while_it_arrives_reaches_no_task() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let relay = relay(&mut master, 12);
    let worker = Daemon::worker(&home, "w1", &relay.address().to_string(), 1);
    let spoils: [Change; 3] = [
        ("scribbled", |path| flip(path, 5)),
        ("truncated", |path| {
            opened(path).set_len(0).expect("it is cut")
        }),
        ("removed", |path| fs::remove_file(path).expect("removed")),
    ];
    for (n, (what, spoil)) in spoils.into_iter().enumerate() {
        let name = format!("input.{n}");
        home.write(&name, Dice::of(40 + n as u64).bytes(LARGE));
        relay.set(Conditions {
            bytes_per_s: Some(SLOW),
            ..Conditions::GOOD
        });
        let running = Running::start(home.muster(&reading(&master.address(), &name)));
        spoil(&arrived(&worker, 2 << 20));
        relay.set(Conditions::GOOD);
        let ran = running.finish(SOON).ended_with(0);
        assert_eq!(ran.stdout, home.sum_of(&name), "{what}");
    }
}

/// X3: what has come survives its receiver, to the last hundredth.
#[test]
fn a_receiver_that_is_killed_just_before_the_end_is_sent_the_rest() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let relay = relay(&mut master, 13);
    let mut worker = Daemon::worker(&home, "w1", &relay.address().to_string(), 1);
    home.write("input", Dice::of(50).bytes(LARGE));
    let at = |bytes_per_s| {
        relay.set(Conditions {
            bytes_per_s: Some(bytes_per_s),
            ..Conditions::GOOD
        });
    };
    at(8 << 20);
    let running = Running::start(home.muster(&reading(&master.address(), "input")));
    arrived(&worker, LARGE - LARGE / 20);
    at(256 << 10);
    arrived(&worker, LARGE - LARGE / 100);
    worker.kill();
    let before = relay.passed().down;
    relay.set(Conditions::GOOD);
    worker.start();
    let ran = running.finish(LONG).ended_with(0);
    assert_eq!(ran.stdout, home.sum_of("input"));
    let again = relay.passed().down - before;
    assert!(again < (1 << 20) + LARGE / 100, "{again} bytes");
}

/// A task that reads an input.
fn reading<'a>(master: &'a str, name: &'a str) -> [&'a str; 9] {
    [
        "run", "--quiet", "--master", master, "--input", name, "--", "cksum", name,
    ]
}

/// Where the contents are that a worker receives, when so many bytes of them have come.
fn arrived(worker: &Daemon, bytes: u64) -> PathBuf {
    let find = || -> Option<PathBuf> {
        let partials = worker.state_dir().join("files/partial");
        let entries = fs::read_dir(partials).ok()?.flatten();
        let mut files = entries.filter(|entry| entry.path().extension().is_none());
        let found = files.find(|entry| {
            let metadata = entry.metadata();
            metadata.is_ok_and(|metadata| metadata.blocks() * 512 >= bytes)
        });
        found.map(|entry| entry.path())
    };
    until("a part of it has come", SOON, find)
}

/// What is done to an input, and its name.
type Change = (&'static str, fn(&Path));

fn opened(path: &Path) -> fs::File {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.expect("a file to change")
}

fn flip(path: &Path, at: u64) {
    let file = opened(path);
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("a byte");
    file.write_all_at(&[!byte[0]], at).expect("another");
}

/// Bytes of a file that takes long enough to be changed on its way.
const LARGE: u64 = 16 << 20;
/// Bytes a second at which it goes there.
const SLOW: u64 = 4 << 20;

#[test]
fn a_network_that_loses_and_reorders_changes_no_result() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let relay = relay(&mut master, 4);
    relay.set(Conditions {
        lost_permille: 50,
        jitter: Span::millis(20),
        ..Conditions::GOOD
    });
    let mut foreman = Daemon::foreman(&home, "campus", &[relay.address().to_string()]);
    let _worker = Daemon::worker(&home, "w1", &foreman.address(), 2);
    let ledger = Ledger::new(&home);
    // 300 kB up and down for each of some tasks: hundreds of datagrams, of which one in twenty is lost.
    let contents: Vec<u8> = (0..300_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    home.write("input.bin", &contents);
    let script = ledger.script("cp input.bin out.{}; echo {} >> out.{}");
    let words = [
        "submit",
        "--project",
        "p",
        "--array",
        "1-20",
        "--input",
        "input.bin",
        "--output",
        "out.{}",
    ];
    home.run(&[&words[..], &["--", "sh", "-c", &script]].concat(), SOON)
        .ended_with(0);
    home.run(&["wait", "--project", "p"], LONG).ended_with(0);
    ledger.assert_each_once(20);
    for task in 1..=20 {
        let bytes =
            std::fs::read(home.work().join(format!("out.{task}"))).expect("the output is here");
        let wanted = [&contents[..], format!("{task}\n").as_bytes()].concat();
        assert!(bytes == wanted, "out.{task} is what the task made");
    }
}

/// A network of ours before `master`.
fn relay(master: &mut Daemon, seed: u64) -> Relay {
    let target = master.address().parse().expect("an address");
    Relay::before(target, Dice::thrown(seed).below(u64::MAX)).expect("a relay")
}
