//! X1, X5, X6: what is sent once, and bytes that turn where they are kept.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use muster_node::clock::Clock;
use muster_proto::Time;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::dice::Dice;
use crate::home::Home;
use crate::wait::{LONG, SOON};

const BYTES: usize = 16 << 20;

/// A master, a foreman, and an input that is worth sharing, with the sum that tasks have to find.
struct Site<'a> {
    home: &'a Home,
    address: String,
    _master: Daemon<'a>,
    foreman: Daemon<'a>,
    sum: String,
}

impl<'a> Site<'a> {
    fn new(home: &'a Home) -> Site<'a> {
        let mut master = Daemon::master(home, "p");
        let address = master.address();
        let foreman = Daemon::foreman(home, "campus", std::slice::from_ref(&address));
        let contents: Vec<u8> = (0..BYTES as u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        home.write("large", contents);
        let mut sum = Command::new("cksum");
        let sum = sum.arg("large").current_dir(home.work()).output();
        let sum = String::from_utf8(sum.expect("POSIX has it").stdout).expect("text");
        Site {
            home,
            address,
            _master: master,
            foreman,
            sum,
        }
    }

    /// Runs `count` tasks that read the input, and sees what they have read.
    fn reads(&self, count: usize) {
        let last = format!("1-{count}");
        let line = [
            "run",
            "--quiet",
            "--master",
            &self.address,
            "--array",
            &last,
        ];
        let words = line
            .into_iter()
            .chain(["--input", "large", "--", "sh", "-c"]);
        let words: Vec<&str> = words.chain(["cksum large; : {}"]).collect();
        let ran = self.home.run(&words, LONG).ended_with(0);
        assert_eq!(ran.stdout, self.sum.repeat(count));
    }

    /// How the site stands.
    fn status(&self) -> Value {
        let line = ["status", "--master", &self.address, "--json"];
        let status = self.home.run(&line, SOON).ended_with(0).json();
        status["sites"][0].clone()
    }
}

/// Turns a bit in every kept file below `dir` that is as long as the input; says in how many.
fn turn(dir: &Path) -> usize {
    let mut turned = 0;
    let mut left: Vec<PathBuf> = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(found) = fs::symlink_metadata(&path) else {
            continue;
        };
        if found.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if found.is_file() && found.len() == BYTES as u64 {
            fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("ours");
            let file = OpenOptions::new().read(true).write(true).open(&path);
            let file = file.expect("ours");
            let mut byte = [0];
            file.read_exact_at(&mut byte, 9_999_999)
                .expect("long enough");
            file.write_all_at(&[byte[0] ^ 1], 9_999_999).expect("room");
            turned += 1;
        }
    }
    turned
}

/// X6: one copy to the site, one to the host.
#[test]
fn workers_of_one_host_have_a_large_file_fetched_once() {
    let home = Home::new();
    let mut site = Site::new(&home);
    let foreman = site.foreman.address();
    let _workers: Vec<Daemon<'_>> = ["w1", "w2", "w3", "w4"]
        .map(|name| Daemon::worker(&home, name, &foreman, 1))
        .into();
    site.reads(12);
    let status = site.status();
    for bytes in ["sent_bytes", "fetched_bytes"] {
        let place = if bytes == "sent_bytes" {
            &status
        } else {
            &status["cache"]
        };
        let moved = place[bytes].as_u64().expect("a number");
        assert!(
            (BYTES as u64..BYTES as u64 * 3 / 2).contains(&moved),
            "{bytes} {moved}: {status}"
        );
    }
}

/// X5: what turns in the cache of a site, or of a worker, reaches no task, and is counted.
#[test]
fn bytes_that_turn_in_a_cache_reach_no_task() {
    let home = Home::new();
    let mut site = Site::new(&home);
    let foreman = site.foreman.address();
    let mut first = Daemon::worker(&home, "w1", &foreman, 1);
    site.reads(2);
    assert!(first.leave().success());
    assert_eq!(turn(&site.foreman.state_dir()), 1);
    let second = Daemon::worker(&home, "w2", &foreman, 1);
    site.reads(2);
    let spoiled = site.status()["cache"]["spoiled"].as_u64();
    assert_eq!(spoiled, Some(1), "{}", site.status());
    assert!(turn(&second.state_dir()) > 0);
    site.reads(2);
}

/// A link with a limit: contents keep to it both ways, large and small, and arrive whole.
#[test]
fn files_cross_a_link_no_faster_than_its_rate() {
    let home = Home::new();
    let words = ["master", "--project", "p", "--link-rate", "2M"];
    let mut master = Daemon::listening(&home, "master-p", &words);
    let mut foreman = Daemon::foreman(&home, "campus", &[master.address()]);
    let _worker = Daemon::worker(&home, "w1", &foreman.address(), 1);
    let mut dice = Dice::of(7);
    home.write("large", dice.bytes(3 << 20));
    for n in 1..=10 {
        home.write(&format!("small.{n}"), dice.bytes(100 << 10));
    }
    let address = master.address();
    let words = ["run", "--quiet", "--master", &address, "--array", "1-10"];
    let files = [
        "--input", "large", "--input", "small.{}", "--output", "out.{}",
    ];
    let task = [
        "--",
        "sh",
        "-c",
        "cat small.{} large | head -c 310000 > out.{}",
    ];
    let clock = Clock::start();
    let words = [&words[..], &files, &task].concat();
    home.run(&words, LONG).ended_with(0);
    // 4 MB down in 2 s and 3 MB up in 1.5 s; the first results go up while the last inputs come.
    let took = clock.now();
    assert!(took >= Time(2_700_000), "it took {took:?}");
    let large = fs::read(home.work().join("large")).expect("it is there");
    for n in 1..=10 {
        let read = |name: String| fs::read(home.work().join(name)).expect("it is there");
        let wanted = [read(format!("small.{n}")), large.clone()].concat();
        assert_eq!(read(format!("out.{n}")), wanted[..310_000], "out.{n}");
    }
}

/// A rate that no transfer would live through is refused.
#[test]
fn a_rate_has_to_be_one() {
    let home = Home::new();
    for (rate, why) in [
        ("3", "the least is 16K a second"),
        ("fast", "a size is a number"),
    ] {
        let ran = home.run(&["master", "--project", "p", "--link-rate", rate], SOON);
        assert!(ran.ended_with(2).stderr.contains(why), "{rate}");
    }
}
