//! What a worker promises its tasks, and keeps from them.

use crate::daemon::Daemon;
use crate::home::Home;
use crate::wait::SOON;

#[test]
fn a_task_sees_its_own_environment_and_nothing_of_the_workers() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let secret = [
        ("AWS_SECRET_ACCESS_KEY", "swordfish"),
        ("MUSTER_FAKE_TOKEN", "swordfish"),
    ];
    let _worker = Daemon::worker_with(&home, "w1", &master.address(), 2, &secret);
    let script = "env; cat /proc/self/cmdline /proc/$PPID/environ 2>/dev/null | tr '\\0' '\\n'; ls /proc/self/fd";
    let words = [
        "submit",
        "--project",
        "p",
        "--wait",
        "--json",
        "--cores",
        "2",
        "--env",
        "GIVEN=it is",
    ];
    let ran = home
        .run(&[&words[..], &["--", "sh", "-c", script]].concat(), SOON)
        .ended_with(0);
    let outcome = ran.last_json();
    let seen = outcome["stdout"].as_str().expect("text");
    for hidden in ["swordfish", "MUSTER_KEYS", "MUSTER_STATE"] {
        assert!(!seen.contains(hidden), "{hidden} is not for tasks: {seen}");
    }
    for shown in [
        "MUSTER_TASK_ID=1",
        "MUSTER_ATTEMPT=1.",
        "MUSTER_CORES=2",
        "CORES=2",
        "OMP_NUM_THREADS=2",
        "GIVEN=it is",
        "MUSTER_SANDBOX=/",
        "WORK_QUEUE_SANDBOX=/",
        "MUSTER_SITE=home",
    ] {
        assert!(
            seen.lines().any(|line| line.starts_with(shown)),
            "{shown} is missing: {seen}"
        );
    }
    // Standard input, output, error, and the directory that ls reads.
    let descriptors = seen
        .lines()
        .filter(|line| line.parse::<u32>().is_ok())
        .count();
    assert_eq!(descriptors, 4, "nothing else is open: {seen}");
}

#[test]
fn a_task_that_writes_into_its_input_does_not_spoil_it_for_the_next() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let _worker = Daemon::worker(&home, "w1", &master.address(), 1);
    home.write("shared.txt", "as it was\n");
    let submit = |script: &str| {
        let words = [
            "submit",
            "--project",
            "p",
            "--wait",
            "--json",
            "--input",
            "shared.txt",
            "--",
            "sh",
            "-c",
            script,
        ];
        let ran = home.run(&words, SOON);
        ran.last_json()["stdout"].as_str().expect("text").to_owned()
    };
    assert_eq!(submit("cat shared.txt"), "as it was\n");
    // A task may fail in trying: what counts is what the next one sees.
    let vandals = [
        "echo spoiled >> shared.txt; true",
        "chmod 666 shared.txt; echo spoiled > shared.txt; true",
        "f=$(readlink -f shared.txt); chmod 666 \"$f\"; echo spoiled >> \"$f\"; true",
        "dd if=/dev/zero of=shared.txt bs=1 count=4 conv=notrunc; truncate -s 0 shared.txt; true",
        "cp -p shared.txt k; printf X | dd of=shared.txt bs=1 conv=notrunc; touch -r k shared.txt; true",
    ];
    let seen = vandals.map(|vandal| {
        submit(vandal);
        (vandal, submit("cat shared.txt"))
    });
    assert_eq!(
        seen,
        vandals.map(|vandal| (vandal, "as it was\n".to_owned()))
    );
    assert_eq!(
        home.read("shared.txt"),
        "as it was\n",
        "nor is the user's own file touched"
    );
}
