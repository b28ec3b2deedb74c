//! The shapes a federation can have: several masters under one foreman, chains of foremen, no foreman at all.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::home::Home;
use crate::wait::SOON;

#[test]
fn a_worker_works_directly_under_a_master() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let _worker = Daemon::worker(&home, "w1", &master.address(), 2);
    assert_eq!(
        come_back(&home, "p", 40),
        BTreeSet::from(["home".to_owned()])
    );
}

#[test]
fn several_masters_share_one_foreman_and_each_gets_its_own_back() {
    let home = Home::new();
    let projects = ["red", "green", "blue"];
    let mut masters = projects.map(|project| Daemon::master(&home, project));
    let addresses: Vec<String> = masters.iter_mut().map(Daemon::address).collect();
    let mut foreman = Daemon::foreman(&home, "campus", &addresses);
    let _workers = ["w1", "w2"].map(|name| Daemon::worker(&home, name, &foreman.address(), 1));
    for project in projects {
        submit(&home, project, 40);
    }
    for project in projects {
        assert_eq!(
            came_back(&home, project, 40),
            BTreeSet::from(["campus".to_owned()])
        );
    }
}

#[test]
fn a_foreman_works_under_a_foreman() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let mut upper = Daemon::foreman(&home, "campus", &[master.address()]);
    let mut lower = Daemon::foreman(&home, "cluster", &[upper.address()]);
    let _worker = Daemon::worker(&home, "w1", &lower.address(), 2);
    assert_eq!(come_back(&home, "p", 40).len(), 1);
}

fn come_back(home: &Home, project: &str, tasks: u64) -> BTreeSet<String> {
    submit(home, project, tasks);
    came_back(home, project, tasks)
}

fn submit(home: &Home, project: &str, tasks: u64) {
    home.write("input.txt", "all tasks have it\n");
    let array = format!("1-{tasks}");
    let script = format!("cat input.txt; echo {project} {{}} | tee out.{project}.{{}}");
    let words = [
        "submit",
        "--project",
        project,
        "--array",
        &array,
        "--input",
        "input.txt",
    ];
    let output = format!("out.{project}.{{}}");
    home.run(
        &[
            &words[..],
            &["--output", &output, "--", "sh", "-c", &script],
        ]
        .concat(),
        SOON,
    )
    .ended_with(0);
}

/// Waits for the tasks, looks at what they made, and returns the sites that ran them.
fn came_back(home: &Home, project: &str, tasks: u64) -> BTreeSet<String> {
    let outcomes = home
        .run(&["wait", "--project", project, "--json"], SOON)
        .ended_with(0)
        .json_lines();
    let numbers: Vec<u64> = outcomes
        .iter()
        .filter_map(|outcome| outcome["task"].as_u64())
        .collect();
    assert_eq!(numbers.len() as u64, tasks, "one outcome for each");
    assert_eq!(BTreeSet::from_iter(numbers), (1..=tasks).collect());
    for outcome in &outcomes {
        let task = &outcome["task"];
        assert_eq!(
            outcome["stdout"],
            Value::from(format!("all tasks have it\n{project} {task}\n"))
        );
        assert_eq!(
            home.read(&format!("out.{project}.{task}")),
            format!("{project} {task}\n")
        );
    }
    outcomes
        .iter()
        .map(|outcome| outcome["site"].as_str().expect("a site").to_owned())
        .collect()
}
