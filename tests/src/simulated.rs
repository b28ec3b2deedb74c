//! What the simulator must show, on the program that people run: the talk's month, and bad scenarios refused.

use std::fs;

use serde_json::Value;

use crate::dice;
use crate::home::Home;
use crate::wait::{LONG, SOON};

/// The talk's table, and how far a figure may be from it: 2 %.
const TABLE: [(&str, f64); 6] = [
    ("/assigned", 283_830.0),
    ("/received", 122_141.0),
    ("/execution_minutes/mean", 125.0),
    ("/execution_minutes/sd", 87.0),
    ("/workers", 5_000.0),
    ("/machines", 370.0),
];

fn month(home: &Home, seed: &str) -> Value {
    let words = ["sim", "run", "folding-at-work", "--seed", seed, "--json"];
    let ran = home.run(&words, LONG);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).expect("one line of JSON")
}

#[test]
fn the_months_figures_emerge_for_any_seed() {
    let home = Home::new();
    let seeds = if dice::soaking() { 10 } else { 1 };
    for seed in 1..=seeds {
        let report = month(&home, &seed.to_string());
        assert_eq!(report["schema"], "muster.sim.run/1");
        for (figure, published) in TABLE {
            let emerged = report.pointer(figure).and_then(Value::as_f64);
            let emerged = emerged.unwrap_or_else(|| panic!("no {figure}"));
            let off = (emerged / published - 1.0).abs();
            assert!(off <= 0.02, "seed {seed}: {figure} is {emerged}");
        }
        let losses = report["losses"].as_object().expect("a ledger");
        let lost: u64 = losses.values().filter_map(Value::as_u64).sum();
        let received = report["received"].as_u64().unwrap_or_default();
        assert_eq!(report["assigned"].as_u64(), Some(received + lost));
    }
}

#[test]
fn a_bad_scenario_is_one_sentence_with_its_line() {
    let home = Home::new();
    let path = home.path("mine.toml");
    let name = path.to_string_lossy().into_owned();
    for (from, to, said) in [
        ("machines = 2", "machine = 2", "line 10: "),
        ("tasks = 10", "tasks = -10", "line 6: "),
        ("run = \"1min\"", "run = \"-1min\"", "line 7: "),
        (
            "run = \"1min\"",
            "run = { trace = \"gone.csv\" }",
            "line 7: ",
        ),
        ("at_once = 2", "at_once", "line 11"),
    ] {
        let bad = GOOD.replacen(from, to, 1);
        fs::write(&path, &bad).expect("a file");
        let ran = home.run(&["sim", "run", &name], SOON);
        assert_eq!(ran.code, Some(2), "{ran:#?}");
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.contains(said), "{to}: {}", ran.stderr);
        assert_eq!(ran.stderr.trim_end().lines().count(), 1, "{}", ran.stderr);
    }
    let ran = home.run(&["sim", "run", "folding-at-wrok"], SOON);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("folding-at-work"), "{}", ran.stderr);
}

/// A scenario with nothing wrong in it.
const GOOD: &str = r#"about = "Ten tasks of a minute on two workers."
[[master]]
name = "m"
[[work]]
category = "c"
tasks = 10
run = "1min"
[[pool]]
name = "p"
machines = 2
at_once = 2
"#;
