//! The simulator beside reality: a workload both ways, and a real run's journal replayed.

use serde_json::Value;

use crate::daemon::Daemon;
use crate::home::Home;
use crate::wait::SOON;

#[test]
fn a_workload_runs_for_real_and_simulated() {
    let home = Home::new();
    let words = [
        "sim",
        "validate",
        "--workload",
        "churn",
        "--tasks",
        "200",
        "--keep",
        "kept",
        "--json",
    ];
    let ran = home.run(&words, SOON);
    // Whether the makespans are near is for a quiet machine to say, not for one that runs tests.
    assert!(matches!(ran.code, Some(0 | 1)), "{ran:#?}");
    let line = ran.json();
    assert_eq!(line["schema"], "muster.sim.validate/1");
    for side in ["real", "simulated"] {
        let side = &line[side];
        assert_eq!(
            (&side["results"], &side["failed"]),
            (&200.into(), &0.into())
        );
        let count = |name: &str| side[name].as_u64().unwrap_or_default();
        assert!(count("losses") > 0, "workers were killed: {side}");
        assert_eq!(count("attempts"), 200 + count("losses"), "{side}");
        assert!(side["makespan_s"].as_f64() > Some(2.0), "{side}");
    }
    let again = ["sim", "run", "kept/churn.toml", "--json"];
    let again = home.run(&again, SOON).ended_with(0).json();
    assert_eq!(
        (&again["received"], &again["is_complete"]),
        (&200.into(), &true.into())
    );
}

#[test]
fn a_journal_tells_what_happened_and_what_might_have() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let _worker = Daemon::worker(&home, "w1", &master.address(), 2);
    let script = "test {} != 3 && sleep 0.1";
    let words = [
        "run", "--on", "p", "--array", "1-20", "--", "sh", "-c", script,
    ];
    home.run(&words, SOON).ended_with(1);
    master.kill();
    let state = master.state_dir().display().to_string();
    let words = [
        "sim",
        "replay",
        &state,
        "--cores",
        "2",
        "--set",
        "fast_abort=none,2",
        "--json",
    ];
    let ran = home.run(&words, SOON).ended_with(0);
    let lines: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let [facts, simulated @ ..] = lines.as_slice() else {
        panic!("{ran:#?}");
    };
    let facts = &facts["facts"];
    assert_eq!((&facts["done"], &facts["failed"]), (&19.into(), &1.into()));
    assert!(
        facts["sites"]["home"]["w1"]["core_s"].as_f64() > Some(1.8),
        "{facts}"
    );
    assert_eq!(simulated.len(), 3);
    for report in simulated {
        assert_eq!(
            (&report["received"], &report["failed"]),
            (&19.into(), &1.into())
        );
        // 1.9 s of sleep on two cores.
        assert!(report["makespan_s"].as_f64() > Some(0.95), "{report}");
    }
}
