//! A network that fails: links are cut for longer than connections live, or lose and delay what they carry.

use std::time::Duration;

use muster_node::trial::{Conditions, Relay};
use muster_proto::Span;

use crate::daemon::Daemon;
use crate::dice::{Dice, soaking};
use crate::home::Home;
use crate::ledger::{Ledger, Line};
use crate::wait::{LONG, SOON, pass, until_true};

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
