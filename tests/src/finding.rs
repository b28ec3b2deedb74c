//! Discovery: nobody is given an address but the catalog's, and everybody finds everybody.

use std::time::Duration;

use muster_node::clock::Clock;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::home::{Home, finished};
use crate::wait::{LONG, SOON, pass, until_true};

fn master<'a>(home: &'a Home, project: &str, catalog: &str) -> Daemon<'a> {
    let words = ["master", "--project", project, "--catalog", catalog];
    Daemon::listening(home, &format!("master-{project}"), &words)
}

fn foreman<'a>(home: &'a Home, site: &str, catalog: &str, projects: &str) -> Daemon<'a> {
    let words = [
        "foreman",
        "--site",
        site,
        "--name",
        site,
        "--catalog",
        catalog,
        "--projects",
        projects,
    ];
    Daemon::listening(home, &format!("foreman-{site}"), &words)
}

fn worker<'a>(home: &'a Home, name: &str, site: &str, catalog: &str) -> Daemon<'a> {
    let words = [
        "worker",
        "--name",
        name,
        "--site",
        site,
        "--cores",
        "1",
        "--catalog",
        catalog,
    ];
    Daemon::mute(home, &format!("worker-{name}"), &words)
}

/// The slots that a project has, by the names of those that are linked to its master.
fn slots(home: &Home, project: &str, catalog: &str) -> Vec<(String, u64)> {
    let words = [
        "status",
        "--project",
        project,
        "--catalog",
        catalog,
        "--json",
    ];
    let ran = home.run(&words, SOON);
    if ran.code != Some(0) {
        return Vec::new();
    }
    let json = ran.json();
    let links = json["links"].as_array().expect("a list");
    let row = |link: &Value| {
        let name = link["peer"].as_str().unwrap_or_default().to_owned();
        (name, link["slots"].as_u64().unwrap_or_default())
    };
    let mut rows: Vec<(String, u64)> = links.iter().map(row).collect();
    rows.sort();
    rows
}

fn sites(count: u64) -> Vec<(String, u64)> {
    ["a", "b"].map(|site| (site.to_owned(), count)).into()
}

/// Two masters, two foremen and workers, whoever is there first.
#[test]
fn whoever_is_there_first_they_find_each_other_by_name() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let home = Home::new();
        // The catalog's address is known before it is there.
        let mut catalog = Daemon::catalog(&home, "c", &[]);
        let address = catalog.address();
        catalog.kill();
        let mut running = Vec::new();
        for step in order {
            match step {
                0 => catalog.start(),
                1 => running.extend(["p1", "p2"].map(|project| master(&home, project, &address))),
                2 => running.extend(["a", "b"].map(|site| foreman(&home, site, &address, "p[12]"))),
                _ => running.extend(["a", "b"].map(|site| worker(&home, site, site, &address))),
            }
        }
        let clock = Clock::start();
        for project in ["p1", "p2"] {
            until_true("a project has both sites", SOON, || {
                slots(&home, project, &address) == sites(1)
            });
        }
        println!("{order:?}: found after {} ms", clock.now().0 / 1_000);
        for project in ["p1", "p2"] {
            let words = [
                "run",
                "--on",
                project,
                "--catalog",
                &address,
                "--",
                "echo",
                "{}",
                ":::",
                "x",
                "y",
            ];
            home.run(&words, LONG).ended_with(0);
        }
    }
}

/// A project that ends, comes back at another port, or under another name, is followed.
#[test]
fn a_project_is_followed_wherever_it_goes() {
    let home = Home::new();
    let mut catalog = Daemon::catalog(&home, "c", &[]);
    let address = catalog.address();
    let mut first = master(&home, "p1", &address);
    let _foreman = foreman(&home, "a", &address, "p.*");
    let _worker = worker(&home, "a", "a", &address);
    let one = vec![("a".to_owned(), 1)];
    until_true("it is served", SOON, || slots(&home, "p1", &address) == one);
    let before = first.address();
    assert!(first.leave().success());
    until_true("it is gone", SOON, || projects(&home, &address).is_empty());
    // Another port: the one it had is forgotten.
    std::fs::remove_file(first.state_dir().join("port")).expect("it had a port");
    let _squatter = std::net::UdpSocket::bind(&before);
    first.start();
    assert_ne!(first.address(), before);
    until_true("it is served again", SOON, || {
        slots(&home, "p1", &address) == one
    });
    // The same queue under another name.
    assert!(first.leave().success());
    let state = first.state_dir().display().to_string();
    let words = [
        "master",
        "--project",
        "p9",
        "--catalog",
        &address,
        "--state-dir",
        &state,
    ];
    let mut renamed = home.muster(&words);
    renamed.args(["--listen", "127.0.0.1:0"]);
    let mut renamed = crate::home::Running::start(renamed);
    until_true("it is served by its new name", SOON, || {
        slots(&home, "p9", &address) == one
    });
    assert_eq!(projects(&home, &address), ["p9"]);
    renamed.child().kill().expect("it runs");
}

fn projects(home: &Home, catalog: &str) -> Vec<String> {
    let ran = home.run(&["projects", "--catalog", catalog, "--json"], SOON);
    let json = ran.ended_with(0).json();
    let projects = json["projects"].as_array().expect("a list").clone();
    let name = |project: &Value| project["project"].as_str().map(ToOwned::to_owned);
    projects.iter().filter_map(name).collect()
}

/// C8: without its catalog everything goes on, and what is lost meanwhile comes back.
#[test]
fn work_goes_on_without_the_catalog() {
    let home = Home::new();
    let mut catalog = Daemon::catalog(&home, "c", &[]);
    let address = catalog.address();
    let mut master = master(&home, "p", &address);
    let _foreman = foreman(&home, "a", &address, ".*");
    let _worker = worker(&home, "a", "a", &address);
    let one = vec![("a".to_owned(), 1)];
    until_true("it is served", SOON, || slots(&home, "p", &address) == one);
    catalog.kill();
    let here = master.address();
    let work = |count: &str| {
        let words = ["run", "--master", &here, "--array", count, "--", "true"];
        home.run(&words, LONG).ended_with(0);
    };
    work("1-50");
    // A master that starts again meanwhile is found where it was.
    master.kill_and_start();
    work("1-50");
    pass(Duration::from_millis(500));
    catalog.start();
    until_true("all are registered again", SOON, || {
        slots(&home, "p", &address) == one
    });
    let sites = home.run(&["sites", "--catalog", &address, "--json"], SOON);
    assert_eq!(sites.ended_with(0).json()["sites"][0]["site"], "a");
}

/// A worker whose site has no foreman goes to a master; one whose master ends goes to another.
#[test]
fn a_worker_without_a_foreman_goes_where_there_is_work() {
    let home = Home::new();
    let mut catalog = Daemon::catalog(&home, "c", &[]);
    let address = catalog.address();
    let _worker = worker(&home, "w", "lonely", &address);
    let mut first = master(&home, "p1", &address);
    let alone = vec![("w".to_owned(), 1)];
    until_true("it goes to the master", SOON, || {
        slots(&home, "p1", &address) == alone
    });
    let _second = master(&home, "p2", &address);
    assert!(first.leave().success());
    until_true("it goes to the other", SOON, || {
        slots(&home, "p2", &address) == alone
    });
}

/// Whoever was not told whom to work for is told what can be said; a catalog named by nothing is none.
#[test]
fn who_has_nobody_to_work_for_is_told_what_to_say() {
    let home = Home::new();
    for words in [&["foreman", "--site", "a"][..], &["worker"]] {
        for catalog in [None, Some("")] {
            let mut command = home.muster(words);
            command.envs(catalog.map(|catalog| ("MUSTER_CATALOG", catalog)));
            let ran = finished(command, SOON).ended_with(2);
            assert!(ran.stderr.contains("MU0714"), "{ran:?}");
        }
    }
    let ran = home.run(&["projects"], SOON).ended_with(2);
    assert!(ran.stderr.contains("MU0701"), "{ran:?}");
}

/// A foreman that is registered and not reached does not keep a worker from working.
#[test]
fn a_worker_leaves_a_foreman_that_it_does_not_reach() {
    let home = Home::new();
    let mut catalog = Daemon::catalog(&home, "c", &[]);
    let address = catalog.address();
    let words = [
        "foreman",
        "--site",
        "far",
        "--name",
        "far",
        "--catalog",
        &address,
        "--advertise",
        "127.0.0.1:9",
    ];
    let _foreman = Daemon::listening(&home, "foreman-far", &words);
    until_true("the foreman is registered", SOON, || {
        let sites = home.run(&["sites", "--catalog", &address], SOON);
        sites.stdout.contains("far")
    });
    let _worker = worker(&home, "w", "far", &address);
    let _master = master(&home, "p", &address);
    let both = vec![("far".to_owned(), 0), ("w".to_owned(), 1)];
    until_true("it works for the master", SOON, || {
        slots(&home, "p", &address) == both
    });
}

/// The gateway shows projects to whoever speaks HTTP, and nothing else.
#[test]
fn projects_are_shown_over_http() {
    use std::io::{Read, Write};

    let home = Home::new();
    let words = ["catalog", "start", "--name", "c", "--http", "127.0.0.1:0"];
    let mut catalog = Daemon::listening(&home, "catalog-c", &words);
    let address = catalog.address();
    let _master = master(&home, "shown", &address);
    until_true("it is registered", SOON, || {
        !projects(&home, &address).is_empty()
    });
    let log = catalog.log();
    let line = log.lines().find(|line| line.contains("over HTTP"));
    let http = line
        .and_then(|line| line.split("address=").nth(1))
        .expect("it says where");
    let ask = |request: &str| {
        let mut stream = std::net::TcpStream::connect(http.trim()).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        text
    };
    let answer = ask("GET /query.json HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let records: Value = serde_json::from_str(body).expect("it is JSON");
    assert_eq!(records[0]["type"], "wq_master");
    assert_eq!(records[0]["project"], "shown");
    for field in [
        "owner",
        "tasks_waiting",
        "tasks_running",
        "workers",
        "port",
        "name",
    ] {
        assert!(!records[0][field].is_null(), "{field}: {records}");
    }
    assert!(ask("GET /../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(ask("DELETE /query.json HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 405"));
    assert!(ask("no http\r\n\r\n").starts_with("HTTP/1.1 400"));
    until_true("it still answers", SOON, || {
        ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").contains("shown")
    });
}
