//! What a storm says in the end.

use std::fmt;

use serde::Serialize;

/// What became of some seeds: the contract `muster.sim.storm/1` less the wall time, which the caller knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// How many seeds were tried.
    pub seeds: u64,
    /// Those that broke a promise.
    pub failures: Vec<Failure>,
    /// Events seen in all worlds.
    #[serde(skip)]
    pub events: u64,
    /// Tasks acknowledged in all worlds.
    #[serde(skip)]
    pub tasks: u64,
    /// Runs started in all worlds.
    #[serde(skip)]
    pub runs: u64,
}

impl Report {
    /// The contract's name, which its printer puts first.
    pub const SCHEMA: &'static str = "muster.sim.storm/1";
}

/// A seed that broke a promise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Who found it.
    pub checker: String,
    /// When, in seconds of the world's clock.
    pub at: f64,
    /// What, in a sentence.
    #[serde(skip)]
    pub what: String,
    /// How the world was drawn.
    #[serde(skip)]
    pub drawn: String,
    /// What happened to the tasks concerned, oldest first.
    #[serde(skip)]
    pub story: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure {
            seed,
            checker,
            at,
            what,
            drawn,
            story,
        } = self;
        writeln!(f, "seed {seed}: {drawn}")?;
        for line in story {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "seed {seed} broke {checker} at {at:.6} s: {what}")?;
        writeln!(
            f,
            "again: cargo run --release -p muster-sim --example storm -- {seed} {}",
            seed + 1
        )
    }
}
