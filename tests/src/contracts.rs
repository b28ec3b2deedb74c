//! What scripts rely on: exit codes, JSON, port files, journals.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::home::{Home, Running};
use crate::ledger::Ledger;
use crate::proc;
use crate::wait::{LONG, SOON, until_true};

#[test]
fn the_exit_code_of_a_run_tells_how_it_ended() {
    let home = Home::new();
    for (code, said, words) in [
        (0, "", &["--array", "1-3", "--", "true"][..]),
        (0, "", &["--", "true", ":::"]),
        (
            1,
            "exit code 3",
            &[
                "--array",
                "1-3",
                "--",
                "sh",
                "-c",
                "exit $(({} == 2 ? 3 : 0))",
            ],
        ),
        (1, "not where it ran", &["--", "no-such-program"]),
        (1, "signal 15", &["--", "sh", "-c", "kill -TERM $$"]),
        (
            1,
            "--time-limit",
            &["--time-limit", "1s", "--", "sleep", "1000"],
        ),
        (
            1,
            "did not leave its output wanted",
            &["--output", "wanted", "--", "true"],
        ),
        (2, "", &["--no-such-option", "--", "true"]),
        (2, "", &["--array", "nonsense", "--", "true"]),
        (2, "../up", &["--output", "../up", "--", "true"]),
        (7, "cores", &["--cores", "100000", "--", "true"]),
        (
            8,
            "--max-fails",
            &["--max-fails", "1", "--array", "1-100", "--", "false"],
        ),
    ] {
        let words = [&["run", "--workers", "2"], words].concat();
        let ran = home.run(&words, SOON);
        assert_eq!(ran.code, Some(code), "{words:?}: {ran:#?}");
        assert!(ran.stderr.contains(said), "{words:?}: {ran:#?}");
        assert_eq!(ran.stdout, "", "{words:?}: data, of which there is none");
    }
}

#[test]
fn a_failed_task_is_tried_again_as_often_as_asked() {
    let home = Home::new();
    let tries = home.path("tries");
    let script = format!(
        "echo $MUSTER_ATTEMPT >> {0}; test $(wc -l < {0}) -ge 3",
        tries.display()
    );
    home.run(&["run", "--retries", "1", "--", "sh", "-c", &script], SOON)
        .ended_with(1);
    fs::write(&tries, "").expect("the file is emptied");
    home.run(&["run", "--retries", "2", "--", "sh", "-c", &script], SOON)
        .ended_with(0);
    let attempts = fs::read_to_string(&tries).expect("the file");
    assert_eq!(attempts.lines().count(), 3, "three attempts: {attempts}");
}

#[test]
fn cancelled_tasks_end_and_wait_says_so() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let _worker = Daemon::worker(&home, "w1", &master.address(), 1);
    let ledger = Ledger::new(&home);
    let words = [
        "submit",
        "--project",
        "p",
        "--array",
        "1-3",
        "--",
        "sh",
        "-c",
        &ledger.script("sleep 1000"),
    ];
    home.run(&words, SOON).ended_with(0);
    until_true("one runs", SOON, || ledger.starts().len() == 1);
    let cancelled = home
        .run(&["cancel", "--project", "p", "all"], SOON)
        .ended_with(0);
    assert_eq!(cancelled.stdout, "3\n");
    let waited = home
        .run(&["wait", "--project", "p", "--json"], SOON)
        .ended_with(5);
    let tasks: Vec<Value> = waited.json_lines();
    assert_eq!(tasks.len(), 3, "{tasks:#?}");
    assert!(ledger.ends().is_empty(), "the one that ran was killed");
}

#[test]
fn waiting_has_an_end() {
    let home = Home::new();
    let _master = Daemon::master(&home, "p");
    home.run(&["submit", "--project", "p", "--", "true"], SOON)
        .ended_with(0);
    home.run(&["wait", "--project", "p", "--timeout", "1s"], SOON)
        .ended_with(4);
    home.run(&["wait", "--project", "nobody"], SOON)
        .ended_with(3);
    let status = home
        .run(&["status", "--project", "p", "--json"], SOON)
        .ended_with(0)
        .json();
    assert_eq!(status["schema"], "muster.status/1");
    assert_eq!(status["tasks"]["waiting"], 1);
}

#[test]
fn a_daemon_writes_its_port_file_when_ready_and_removes_it_when_it_leaves() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let mut foreman = Daemon::foreman(&home, "s", &[master.address()]);
    for daemon in [&mut foreman, &mut master] {
        let before = daemon.address();
        assert!(daemon.leave().success(), "{}", daemon.log());
        assert!(!daemon.port_file().exists());
        daemon.start();
        assert_eq!(daemon.address(), before, "others find it where it was");
        assert!(daemon.leave().success(), "{}", daemon.log());
    }
}

#[test]
fn a_second_process_on_one_state_is_refused_in_a_sentence() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let foreman = Daemon::foreman(&home, "s", &[master.address()]);
    let worker = Daemon::worker(&home, "w1", &master.address(), 1);
    let address = master.address();
    // The worker does not say when it has its state.
    until_true("the worker has come", SOON, || links(&home) == 2);
    for (first, words) in [
        (&master, &["master", "--project", "p"][..]),
        (
            &foreman,
            &["foreman", "--site", "s", "--superior", &address],
        ),
        (&worker, &["worker", &address]),
    ] {
        let state = first.state_dir().display().to_string();
        let listen = ["--listen", "127.0.0.1:0", "--state-dir", &state];
        let ran = home.run(&[words, &listen].concat(), SOON).ended_with(1);
        let said = ran.stderr.lines().last().unwrap_or_default();
        assert!(
            said.starts_with("muster: ") && said.contains(&state),
            "{ran:#?}"
        );
    }
    assert_eq!(links(&home), 2, "those who were there stay");
}

#[test]
fn journals_are_verified() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let worker = Daemon::worker(&home, "w1", &master.address(), 1);
    let words = [
        "submit",
        "--project",
        "p",
        "--wait",
        "--array",
        "1-50",
        "--",
        "true",
    ];
    home.run(&words, SOON).ended_with(0);
    drop(worker);
    assert!(master.leave().success());
    let state = master.state_dir();
    let verify =
        |state: &Path| home.run(&["journal", "verify", &state.display().to_string()], SOON);
    verify(&state).ended_with(0);
    let export = home
        .run(&["journal", "export", &state.display().to_string()], SOON)
        .ended_with(0);
    let delivered = export
        .json_lines()
        .iter()
        .filter_map(|line| line["event"]["delivered"].as_array().map(Vec::len))
        .sum::<usize>();
    assert_eq!(delivered, 50);

    // The end of an unfinished write is no damage: it is reported, and cut by the next start.
    let segment = segment(&state);
    let mut bytes = fs::read(&segment).expect("a segment");
    let used = 1 + bytes.iter().rposition(|byte| *byte != 0).expect("records");
    bytes[used + GAP..used + GAP + 13].fill(0x55);
    fs::write(&segment, bytes).expect("the segment is written");
    let ran = verify(&state).ended_with(0);
    assert!(ran.stdout.contains("unacknowledged"), "{ran:#?}");
    master.start();
    assert!(
        master.log().contains("cut the torn end"),
        "{}",
        master.log()
    );
    assert!(master.leave().success());
    verify(&state).ended_with(0);

    // A wrong byte before the end is: file, offset and sequence are named, and nobody starts on it.
    let mut bytes = fs::read(&segment).expect("a segment");
    bytes[used / 2] ^= 0x40;
    fs::write(&segment, bytes).expect("the segment is written");
    let ran = verify(&state).ended_with(4);
    assert!(
        ran.stderr.contains(&segment.display().to_string()),
        "{ran:#?}"
    );
    let again = home.run(
        &[
            "master",
            "--project",
            "p",
            "--listen",
            "127.0.0.1:0",
            "--state-dir",
            &state.display().to_string(),
        ],
        SOON,
    );
    assert_ne!(again.code, Some(0), "{again:#?}");
    assert!(
        again.stderr.contains(&segment.display().to_string()),
        "{again:#?}"
    );
}

#[test]
fn the_storm_tells_what_its_contract_says() {
    let home = Home::new();
    let storm = home
        .run(&["sim", "storm", "--seeds", "3", "--json"], LONG)
        .ended_with(0)
        .json();
    assert_eq!(storm["schema"], "muster.sim.storm/1");
    assert_eq!(storm["seeds"], 3);
    assert_eq!(storm["failures"], Value::Array(Vec::new()));
    assert!(
        storm["wall_s"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0)
    );
}

#[test]
fn the_bench_tells_what_its_contract_says() {
    let home = Home::new();
    let words = ["bench", "dispatch", "--tasks", "200", "--json"];
    let null = home
        .run(&[&words[..], &["--null"]].concat(), LONG)
        .ended_with(0)
        .json();
    let real = home.run(&words, LONG).ended_with(0).json();
    for bench in [&null, &real] {
        assert_eq!(bench["schema"], "muster.bench.dispatch/1");
        assert_eq!(bench["tasks"], 200);
        assert_eq!(bench["failed"], 0);
        for positive in ["seconds", "tasks_per_s"] {
            assert!(
                bench[positive].as_f64().is_some_and(|value| value > 0.0),
                "{positive}: {bench}"
            );
        }
    }
    for compared in ["spawn_limit_per_s", "ratio"] {
        assert!(
            null.get(compared).is_some_and(Value::is_null),
            "nothing was spawned: {null}"
        );
        assert!(
            real[compared].as_f64().is_some_and(|value| value > 0.0),
            "{compared}: {real}"
        );
    }
}

#[test]
fn an_interrupted_wait_leaves_the_tasks_alone() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    home.run(&["submit", "--project", "p", "--", "true"], SOON)
        .ended_with(0);
    let mut waiting = Running::start(home.muster(&["wait", "--project", "p"]));
    let pid = Pid::from_child(waiting.child());
    until_true("it listens for signals", SOON, || {
        proc::catches(pid, Signal::INT)
    });
    kill_process(pid, Signal::INT).expect("it lives");
    waiting.finish(SOON).ended_with(130);
    let _worker = Daemon::worker(&home, "w1", &master.address(), 1);
    home.run(&["wait", "--project", "p"], SOON).ended_with(0);
}

fn links(home: &Home) -> usize {
    let status = home
        .run(&["status", "--project", "p", "--json"], SOON)
        .ended_with(0)
        .json();
    let links = status["links"].as_array().expect("links").iter();
    links.filter(|link| link["role"] != "user").count()
}

/// The last segment of the journal in a state directory.
fn segment(state: &Path) -> PathBuf {
    let entries = fs::read_dir(state.join("journal"))
        .expect("a journal")
        .flatten();
    let files = entries.map(|entry| entry.path());
    let filled = files.filter(|path| fs::metadata(path).is_ok_and(|file| file.len() > 100));
    filled.max().expect("a segment")
}

/// Bytes between the last that is not zero and where the next record might be: records may end in some zeros.
const GAP: usize = 16;
