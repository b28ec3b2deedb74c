//! What both runs of a workload brought, side by side.

use serde::Serialize;

use crate::report::table::Table;
use crate::sim::amounts;

/// What one run brought.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Side {
    /// From the submit to the last outcome.
    pub makespan_s: f64,
    /// Tasks.
    pub tasks: u64,
    /// Attempts that were handed down.
    pub attempts: u64,
    /// Tasks that did what they should.
    pub results: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// Attempts that were lost.
    pub losses: u64,
    /// What crossed the links of the master and each foreman, by site.
    pub links: Vec<Traffic>,
}

/// Bytes that crossed the link of the master and a foreman. Really they are the payload of all datagrams, and with it
/// what QUIC adds; simulated they are messages and files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// The foreman's site.
    pub site: String,
    /// Bytes down.
    pub down_bytes: u64,
    /// Bytes up.
    pub up_bytes: u64,
}

/// A workload's two runs.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Its name.
    pub workload: String,
    /// What it is.
    pub about: String,
    /// What really happened.
    pub real: Side,
    /// What the simulator says.
    pub simulated: Side,
    /// How long the simulation took.
    pub simulating_s: f64,
}

impl Pair {
    /// The simulated makespan in real ones.
    pub fn ratio(&self) -> f64 {
        self.simulated.makespan_s / self.real.makespan_s
    }

    /// Whether the makespans are within [`NEAR`] of each other.
    pub fn is_near(&self) -> bool {
        (self.ratio() - 1.0).abs() <= NEAR
    }

    /// Both sides as a table, and the verdict.
    pub fn text(&self) -> String {
        let caption = format!("{}: {}", self.workload, self.about);
        let mut table = Table::new(caption, ["", "real", "simulated", "simulated / real"]);
        let (real, simulated) = (&self.real, &self.simulated);
        let mut row = |name: &str, show: &dyn Fn(f64) -> String, real: f64, simulated: f64| {
            let ratio = amounts::ratio(simulated, real);
            table.push([name.to_owned(), show(real), show(simulated), ratio]);
        };
        let time = |seconds: f64| format!("{seconds:.2} s");
        row("makespan", &time, real.makespan_s, simulated.makespan_s);
        let count = |count: f64| format!("{count:.0}");
        for (name, of) in COUNTS {
            row(name, &count, of(real) as f64, of(simulated) as f64);
        }
        for (real, simulated) in real.links.iter().zip(&simulated.links) {
            let (down, up) = (
                format!("bytes to {}", real.site),
                format!("bytes from {}", real.site),
            );
            let bytes = amounts::bytes;
            row(
                &down,
                &bytes,
                real.down_bytes as f64,
                simulated.down_bytes as f64,
            );
            row(&up, &bytes, real.up_bytes as f64, simulated.up_bytes as f64);
        }
        table.plain() + &self.verdict()
    }

    fn verdict(&self) -> String {
        let (off, most) = ((self.ratio() - 1.0) * 100.0, NEAR * 100.0);
        let verdict = match self.is_near() {
            true => "within",
            false => "beyond",
        };
        format!(
            "  the simulated makespan is off by {off:+.1} %, {verdict} {most:.0} %; simulating took {:.2} s\n",
            self.simulating_s
        )
    }
}

/// How far the makespans may be apart, in parts of the real one.
const NEAR: f64 = 0.10;

type Count = fn(&Side) -> u64;

const COUNTS: [(&str, Count); 5] = [
    ("tasks", |side| side.tasks),
    ("attempts", |side| side.attempts),
    ("results", |side| side.results),
    ("failed", |side| side.failed),
    ("losses", |side| side.losses),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(simulated_s: f64) -> Pair {
        let side = |makespan_s| Side {
            makespan_s,
            tasks: 10,
            attempts: 12,
            results: 10,
            failed: 0,
            losses: 2,
            links: vec![Traffic {
                site: "site-a".to_owned(),
                down_bytes: 2_000_000,
                up_bytes: 5_000,
            }],
        };
        Pair {
            workload: "churn".to_owned(),
            about: "ten tasks".to_owned(),
            real: side(10.0),
            simulated: side(simulated_s),
            simulating_s: 0.25,
        }
    }

    #[test]
    fn ten_percent_either_way_is_near() {
        for (simulated_s, is_near) in [(9.01, true), (10.99, true), (8.9, false), (11.1, false)] {
            assert_eq!(pair(simulated_s).is_near(), is_near, "{simulated_s}");
        }
    }

    #[test]
    fn a_pair_reads_like_this() {
        let wanted = "\
churn: ten tasks
                        real  simulated  simulated / real
  makespan           10.00 s    11.20 s             1.120
  tasks                   10         10             1.000
  attempts                12         12             1.000
  results                 10         10             1.000
  failed                   0          0                 -
  losses                   2          2             1.000
  bytes to site-a    2.00 MB    2.00 MB             1.000
  bytes from site-a  5.00 kB    5.00 kB             1.000
  the simulated makespan is off by +12.0 %, beyond 10 %; simulating took 0.25 s
";
        let text = pair(11.2).text();
        assert_eq!(text, wanted, "it is:\n{text}");
    }
}
