//! Runs a shipped scenario, or one from a file, and prints what came of it: `scenario NAME [SEED [KEY=VALUE]...]`.
//!
//! For profiling; people use `muster sim run`.

use std::env;
use std::fs;

use muster_sim::run::{Asked, run};
use muster_sim::scenario::{Scenario, shipped};

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let name = words.first().map_or("folding-at-work", String::as_str);
    let text = match shipped(name) {
        Some(text) => text.to_owned(),
        None => fs::read_to_string(name).expect("the scenario's file"),
    };
    let seed = words.get(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let set: Vec<(String, String)> = words
        .iter()
        .skip(2)
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let mut read = |path: &str| fs::read_to_string(path).map_err(|error| error.to_string());
    let scenario = match Scenario::load(&text, &set, &mut read) {
        Ok(scenario) => scenario,
        Err(bad) => return eprintln!("{name}: {bad}"),
    };
    let asked = Asked {
        name: name.to_owned(),
        seed,
        ..Asked::default()
    };
    let mut report = run(&scenario, &asked);
    report.timeline.clear();
    report.about.clear();
    println!("{report:#?}");
}
