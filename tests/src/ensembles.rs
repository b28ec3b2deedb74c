//! `muster run` on an embedded federation: what comes back is what the machine itself would have made.

use std::fs;
use std::process::Command;

use crate::dice::{Dice, soaking};
use crate::home::Home;
use crate::proc;
use crate::wait::LONG;

#[test]
fn checksums_over_two_sites_are_those_of_this_machine_byte_for_byte() {
    let home = Home::new();
    let files = if soaking() { 1_000 } else { 300 };
    let names: Vec<String> = (0..files).map(|n| format!("in/data {n:04}.bin")).collect();
    fs::create_dir(home.work().join("in")).expect("a directory");
    let mut dice = Dice::thrown(1);
    for name in &names {
        let bytes: Vec<u8> = (0..dice.below(20_000))
            .map(|_| dice.below(256) as u8)
            .collect();
        home.write(name, bytes);
    }

    let mut words = vec![
        "run",
        "--quiet",
        "--sites",
        "2",
        "--workers",
        "4",
        "--output",
        "{/}.sum",
        "--",
    ];
    words.extend(["sh", "-c", "sha256sum '{}' > '{/}.sum'", ":::"]);
    words.extend(names.iter().map(String::as_str));
    let ran = home.run(&words, LONG).ended_with(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));

    let local = Command::new("sha256sum")
        .args(&names)
        .current_dir(home.work())
        .output();
    let local = String::from_utf8(local.expect("sha256sum runs").stdout).expect("text");
    assert_eq!(local.lines().count(), names.len());
    for (name, line) in names.iter().zip(local.lines()) {
        let sum = format!("{}.sum", name.trim_start_matches("in/"));
        assert_eq!(home.read(&sum), format!("{line}\n"), "{name}");
    }
    assert!(
        proc::bearing(&home.mark()).is_empty(),
        "nothing is left: {:#?}",
        proc::bearing(&home.mark())
    );
}

#[test]
fn what_tasks_write_comes_in_the_order_asked_for() {
    let home = Home::new();
    let words = [
        "run",
        "--quiet",
        "--workers",
        "2",
        "--keep-order",
        "--array",
        "1-20",
        "--",
    ];
    let words = [
        &words[..],
        &["sh", "-c", "sleep 0.0$((20 - {})); echo {}; echo to {} >&2"],
    ]
    .concat();
    let ran = home.run(&words, LONG).ended_with(0);
    let numbers = |prefix: &str| {
        (1..=20)
            .map(|n| format!("{prefix}{n}\n"))
            .collect::<String>()
    };
    assert_eq!(ran.stdout, numbers(""));
    assert_eq!(ran.stderr, numbers("to "));
}
