//! M6, X7: disks that have no room, and have it again.
//!
//! A small file system in memory stands for the disk. Only root may mount one; others skip, and say so.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use muster_node::clock::Clock;
use muster_proto::Time;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::home::{Home, Running};
use crate::wait::{LONG, SOON, until_true};

/// A disk of its own at a directory, for as long as it is kept.
struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts `mebibytes` of memory at `at`; nothing, said aloud, if that is not allowed here.
    fn mount(at: PathBuf, mebibytes: u32) -> Option<Disk> {
        fs::create_dir_all(&at).expect("a directory");
        let size = format!("mode=700,size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "none"])
            .arg(&at)
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Disk { at });
        }
        println!("skipped: no file system can be mounted here");
        None
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut file = File::create(self.at.join("filler")).expect("a file");
        let piece = vec![1; 64 << 10];
        while file.write_all(&piece).is_ok() {}
        while file.write_all(&[1]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.at.join("filler")).expect("it was filled");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has files there keeps them until it ends.
        let _unmounted = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

/// M6: what runs goes on, what has ended is held, nothing runs twice, and all of it arrives when there is room.
#[test]
fn a_master_without_room_holds_results_up_and_loses_none() {
    let home = Home::new();
    let Some(disk) = Disk::mount(home.path("master-p"), 32) else {
        return;
    };
    let mut master = Daemon::master(&home, "p");
    let address = master.address();
    let mut foreman = Daemon::foreman(&home, "campus", std::slice::from_ref(&address));
    let _worker = Daemon::worker(&home, "w", &foreman.address(), 2);
    let ledger = home.path("ledger");
    fs::write(&ledger, "").expect("a ledger");
    let script = format!(
        "echo $1 >> '{0}'; until [ -e '{0}.go' ]; do :; done; printf 'result %s' $1 > $1.out",
        ledger.display()
    );
    let line = [
        "run", "--master", &address, "--output", "{}.out", "--", "sh", "-c", &script, "task", "{}",
        ":::", "a", "b",
    ];
    let mut ensemble = home.muster(&line).spawn().expect("the program starts");
    let begun = || {
        fs::read_to_string(&ledger)
            .unwrap_or_default()
            .lines()
            .count()
    };
    until_true("both tasks run", SOON, || begun() == 2);
    disk.fill();
    fs::write(ledger.with_extension("go"), "").expect("a sign");
    let note = "the disk is full";
    until_true("the state is shown", SOON, || {
        let status = home.run(&["status", "--master", &address], SOON);
        status.stdout.contains(note)
    });
    disk.free();
    let mut ended = None;
    until_true("the work goes on without a restart", LONG, || {
        ended = ensemble.try_wait().expect("a child");
        ended.is_some()
    });
    assert!(ended.is_some_and(|status| status.success()));
    for task in ["a", "b"] {
        assert_eq!(home.read(&format!("{task}.out")), format!("result {task}"));
    }
    assert_eq!(begun(), 2, "nothing has run twice");
    let status = home.run(&["status", "--master", &address], SOON);
    assert!(!status.stdout.contains(note), "{}", status.stdout);
}

/// M6: a journal that cannot grow takes no more submits, says so, and takes them again when there is room.
#[test]
fn a_master_whose_journal_is_full_refuses_what_is_submitted() {
    let home = Home::new();
    let Some(disk) = Disk::mount(home.path("master-p"), 96) else {
        return;
    };
    let mut master = Daemon::master(&home, "p");
    let address = master.address();
    disk.fill();
    // More than what the journal keeps in reserve.
    let long = "x".repeat(20_000);
    let many = [
        "submit", "--master", &address, "--array", "1-4000", "--", "echo", "{}", &long,
    ];
    let first = Running::start(home.muster(&many));
    let note = "the journal cannot be written";
    let status = || home.run(&["status", "--master", &address], SOON).stdout;
    until_true("the state is shown", SOON, || status().contains(note));
    let one = ["submit", "--master", &address, "--", "true"];
    let clock = Clock::start();
    let refused = home.run(&one, SOON).ended_with(1);
    assert!(refused.stderr.contains("MU0304"), "{refused:?}");
    assert!(clock.now() < Time(2_000_000), "it is told at once");
    disk.free();
    // What had been taken is there, and was never denied.
    first.finish(LONG).ended_with(0);
    until_true("there is room", SOON, || !status().contains(note));
    home.run(&one, SOON).ended_with(0);
    let all = home.run(&["status", "--master", &address, "--json"], SOON);
    assert_eq!(all.ended_with(0).json()["tasks"]["submitted"], 4_001);
    master.kill_and_start();
    let address = master.address();
    let all = home.run(&["status", "--master", &address, "--json"], SOON);
    assert_eq!(all.ended_with(0).json()["tasks"]["submitted"], 4_001);
}

/// M6 at a site: a foreman whose journal cannot grow holds results back, says so, and hands them up when there is room.
#[test]
fn a_foreman_whose_journal_is_full_loses_no_result() {
    let home = Home::new();
    let Some(disk) = Disk::mount(home.path("foreman-campus"), 96) else {
        return;
    };
    let mut master = Daemon::master(&home, "p");
    let address = master.address();
    let mut foreman = Daemon::foreman(&home, "campus", std::slice::from_ref(&address));
    let _worker = Daemon::worker(&home, "w", &foreman.address(), 2);
    let first = ["run", "--master", &address, "--", "true"];
    home.run(&first, SOON).ended_with(0);
    disk.fill();
    // More than what the journal keeps in reserve: 8 KiB of each result.
    let (tasks, script) = (1_200, "printf %4096s {}; printf %4096s {} >&2");
    let all = format!("1-{tasks}");
    let words = [
        "submit", "--master", &address, "--array", &all, "--", "sh", "-c", script,
    ];
    home.run(&words, SOON).ended_with(0);
    let note = "the journal cannot be written";
    let status = || home.run(&["status", "--master", &address], SOON).stdout;
    until_true("the state is shown", LONG, || status().contains(note));
    disk.free();
    let ended = home.run(&["wait", "--master", &address, "all", "--json"], LONG);
    let ended = ended.ended_with(0).json_lines();
    assert_eq!(ended.len(), tasks);
    let once = |outcome: &Value| outcome["attempts"] == 1;
    assert!(ended.iter().all(once), "nothing has run twice");
    until_true("there is room", SOON, || !status().contains(note));
}

/// X7: eight inputs of 8 MiB through a site with 24 MiB.
#[test]
fn inputs_larger_than_the_disk_of_a_site_pass_it_in_turn() {
    let home = Home::new();
    let Some(_disk) = Disk::mount(home.path("foreman-campus"), 24) else {
        return;
    };
    let mut master = Daemon::master(&home, "p");
    let address = master.address();
    let mut foreman = Daemon::foreman(&home, "campus", std::slice::from_ref(&address));
    let _worker = Daemon::worker(&home, "w", &foreman.address(), 2);
    eight_pass(&home, &address);
}

/// W4: the same through a worker with room for three, one of which is the sandbox's.
#[test]
fn inputs_larger_than_the_disk_of_a_worker_pass_it_in_turn() {
    let home = Home::new();
    let Some(_disk) = Disk::mount(home.path("worker-w"), 30) else {
        return;
    };
    let mut master = Daemon::master(&home, "p");
    let address = master.address();
    let _worker = Daemon::worker(&home, "w", &address, 2);
    eight_pass(&home, &address);
    let status = home.run(&["status", "--master", &address, "--json"], SOON);
    let losses = &status.ended_with(0).json()["losses"];
    assert_eq!(losses["no_space"].as_u64().unwrap_or(0), 0, "{losses}");
}

/// W4: what a worker can never hold is not sent there in vain, and runs where there is room.
#[test]
fn an_input_larger_than_the_disk_of_a_worker_runs_at_another() {
    let home = Home::new();
    let Some(_disk) = Disk::mount(home.path("worker-small"), 6) else {
        return;
    };
    let mut master = Daemon::master(&home, "p");
    let address = master.address();
    let _small = Daemon::worker(&home, "small", &address, 1);
    home.write("in", contents(0));
    let words = ["run", "--master", &address, "--input", "in", "--"];
    let words = [&words[..], &["cksum", "in"]].concat();
    let running = Running::start(home.muster(&words));
    let status = || {
        let status = home.run(&["status", "--master", &address, "--json"], SOON);
        status.ended_with(0).json()
    };
    until_true("it is handed back", SOON, || {
        status()["losses"]["no_space"].as_u64().unwrap_or(0) > 1
    });
    let sent = status()["links"][0]["sent_bytes"].as_u64();
    assert!(sent.is_some_and(|sent| sent < 1 << 20), "{sent:?}");
    let _large = Daemon::worker(&home, "large", &address, 1);
    let ran = running.finish(LONG).ended_with(0);
    assert_eq!(ran.stdout, home.sum_of("in"));
    assert!(ran.stderr.contains("lost before: no_space"), "{ran:?}");
}

/// Eight inputs of 8 MiB, each for a task of its own, which reads it right.
fn eight_pass(home: &Home, master: &str) {
    let names: Vec<String> = (0..8).map(|n| format!("in{n}")).collect();
    for (n, name) in (0..).zip(&names) {
        home.write(name, contents(n));
    }
    let wanted: String = names.iter().map(|name| home.sum_of(name)).collect();
    let line = ["run", "--quiet", "--keep-order", "--master", master, "--"];
    let words = line.into_iter().chain(["cksum", "{}", ":::"]);
    let words: Vec<&str> = words.chain(names.iter().map(String::as_str)).collect();
    let ran = home.run(&words, LONG).ended_with(0);
    assert_eq!(ran.stdout, wanted);
}

/// 8 MiB that nothing else is like.
fn contents(n: u8) -> Vec<u8> {
    (0..8_u32 << 20)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8 ^ n)
        .collect()
}
