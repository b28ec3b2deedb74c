//! What a storm says in the end.

use std::fmt;

use serde::Serialize;

use crate::checkers::Share;

/// What became of some seeds: the contract `muster.sim.storm/1` less the wall time, which the caller knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// How many seeds were tried.
    pub seeds: u64,
    /// Those that broke a promise.
    pub failures: Vec<Failure>,
    /// What the worst off master got of what several shared, in the worst of all worlds in which they did.
    #[serde(skip)]
    pub share: Option<Share>,
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

    /// Adds what became of other seeds.
    pub fn add(&mut self, more: Report) {
        self.seeds += more.seeds;
        self.failures.extend(more.failures);
        self.events += more.events;
        self.tasks += more.tasks;
        self.runs += more.runs;
        self.share = match (self.share, more.share) {
            (Some(one), Some(other)) => Some(one.worse(other)),
            (one, other) => one.or(other),
        };
    }
}

/// A seed that broke a promise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The name of the profile.
    #[serde(skip)]
    pub profile: &'static str,
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
            profile,
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
            "again: muster sim storm --profile {profile} --first {seed} --seeds 1"
        )
    }
}
