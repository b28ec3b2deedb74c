//! Nobody outlives whoever he works for (W2): parents are killed, and `/proc` tells who is left.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::Daemon;
use crate::home::{Home, Running};
use crate::ledger::Ledger;
use crate::proc;
use crate::wait::{SOON, pass, until_true};

#[test]
fn nothing_outlives_a_run_that_is_killed() {
    let home = Home::new();
    let mut run = run_with_daemons(&home);
    run.child().kill().expect("it lives");
    gone_soon(&home);
}

#[test]
fn an_interrupted_run_ends_with_130_and_leaves_nothing() {
    let home = Home::new();
    let mut run = run_with_daemons(&home);
    signal(&mut run, Signal::INT);
    run.finish(SOON).ended_with(130);
    gone_soon(&home);
}

#[test]
fn nothing_outlives_a_demo_that_is_killed() {
    let home = Home::new();
    let mut demo = Running::start(home.muster(&["demo", "--rounds", "1000"]));
    until_true("the demo's federation works", SOON, || {
        let alive = proc::bearing(&home.mark());
        // Master, two foremen, four workers, and tasks of them.
        alive
            .iter()
            .filter(|alive| alive.line.contains(" worker "))
            .count()
            == 4
            && alive.iter().any(|alive| alive.line.contains("gomodel"))
    });
    demo.child().kill().expect("it lives");
    gone_soon(&home);
}

#[test]
fn an_interrupted_demo_ends_with_130_and_leaves_nothing() {
    let home = Home::new();
    let mut demo = Running::start(home.muster(&["demo", "--rounds", "1000"]));
    until_true("the demo's tasks run", SOON, || {
        proc::bearing(&home.mark())
            .iter()
            .any(|alive| alive.line.contains("gomodel"))
    });
    signal(&mut demo, Signal::INT);
    demo.finish(SOON).ended_with(130);
    gone_soon(&home);
}

#[test]
fn nothing_of_a_worker_that_is_killed_lives_on() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let mut worker = Daemon::worker(&home, "w1", &master.address(), 1);
    let ledger = Ledger::new(&home);
    let script = format!("{DAEMON}; {}", ledger.script("sleep 1000"));
    home.run(
        &[
            "submit",
            "--project",
            "p",
            "--",
            "sh",
            "-c",
            &script,
            "mark",
            &home.mark(),
        ],
        SOON,
    )
    .ended_with(0);
    until_true("the task runs", SOON, || ledger.starts().len() == 1);
    until_true("its daemon runs", SOON, || daemons(&home) == 1);
    worker.kill();
    until_true("no process of the task lives", GONE, || {
        proc::bearing(&home.mark())
            .iter()
            .all(|alive| alive.line.contains(" master "))
    });
}

#[test]
fn a_daemon_that_a_task_leaves_behind_ends_with_it() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let _worker = Daemon::worker(&home, "w1", &master.address(), 1);
    let script = format!("{DAEMON}; sleep 0.3");
    let words = [
        "submit",
        "--project",
        "p",
        "--wait",
        "--",
        "sh",
        "-c",
        &script,
        "mark",
        &home.mark(),
    ];
    home.run(&words, SOON).ended_with(0);
    until_true("the daemon is gone", GONE, || daemons(&home) == 0);
}

/// A run with two tasks, each of which has a daemon; returns when both are there.
fn run_with_daemons(home: &Home) -> Running {
    let ledger = Ledger::new(home);
    let script = format!("{DAEMON}; {}", ledger.script("sleep 1000"));
    let mark = home.mark();
    let words = [
        "run",
        "--workers",
        "2",
        "--array",
        "1-2",
        "--",
        "sh",
        "-c",
        &script,
        "mark",
        &mark,
        "{}",
    ];
    let run = Running::start(home.muster(&words));
    until_true("both tasks run", SOON, || ledger.starts().len() == 2);
    until_true("their daemons run", SOON, || daemons(home) == 2);
    run
}

fn daemons(home: &Home) -> usize {
    let alive = proc::bearing(&home.mark());
    alive
        .iter()
        .filter(|alive| alive.line.starts_with("sh -c sleep 2000;"))
        .count()
}

fn signal(running: &mut Running, signal: Signal) {
    kill_process(Pid::from_child(running.child()), signal).expect("it lives");
}

fn gone_soon(home: &Home) {
    until_true("nobody is left", GONE, || {
        proc::bearing(&home.mark()).is_empty()
    });
    // A process that a dying one was about to start would be here by now.
    pass(Duration::from_millis(200));
    let left = proc::bearing(&home.mark());
    assert!(left.is_empty(), "{left:#?}");
}

/// Starts a process that is nobody's child, in a session and a directory of its own, with no stream to its task; its
/// command line bears the first argument.
const DAEMON: &str = "(cd / && setsid sh -c 'sleep 2000; :' \"$1\" </dev/null >/dev/null 2>&1 &)";
/// How long anything of a dead process may live (W2).
const GONE: Duration = Duration::from_secs(2);
