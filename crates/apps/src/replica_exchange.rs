//! Replica exchange: copies of one system at a ladder of temperatures, which trade places by Metropolis' rule.
//!
//! Each round runs every replica once at its temperature, then tries to swap neighbours on the ladder: the even pairs
//! (0-1, 2-3, ...) in even rounds, the odd pairs in odd rounds. A hot replica crosses barriers that hold a cold one,
//! and swaps carry what it found down the ladder, while every rung keeps sampling its own canonical ensemble
//! (Sugita and Okamoto, Chem. Phys. Lett. 314:141, 1999).
//!
//! An [`Exchange`] says which tasks a round needs and takes their energies. All randomness is drawn from the seed, the
//! round and the place, not from a running generator, so an exchange that is fed the same energies again stands where
//! it stood. What the tasks run is the driver's matter; [`demo`] has the ensemble that `muster demo` runs.

pub mod demo;
mod draw;
mod ladder;
mod physics;
mod statistics;

pub use ladder::{BadLadder, Ladder, RUNGS_MAX};
pub use statistics::Statistics;

use std::fmt;

/// What an ensemble is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The temperatures; there are as many replicas.
    pub ladder: Ladder,
    /// Of all randomness: the tasks' and the swaps'.
    pub seed: u64,
    /// The first rounds, in which replicas swap but nothing is counted: they still remember how they were started.
    pub equilibration_rounds: u32,
}

/// A replica exchange ensemble between two rounds.
///
/// It promises that rung `i` always has temperature `i` of the ladder and exactly one replica. The caller owes each
/// round's energies in the order of its tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    plan: Plan,
    round: u32,
    /// The replica on each rung.
    replicas: Vec<usize>,
    energies: Vec<Statistics>,
    pairs: Vec<Pair>,
    walks: Vec<Vec<usize>>,
}

impl Exchange {
    /// Starts with replica `i` on rung `i`.
    pub fn new(plan: Plan) -> Exchange {
        let rungs = plan.ladder.temperatures().len();
        Exchange {
            plan,
            round: 0,
            replicas: (0..rungs).collect(),
            energies: vec![Statistics::default(); rungs],
            pairs: vec![Pair::default(); rungs - 1],
            walks: (0..rungs).map(|rung| vec![rung]).collect(),
        }
    }

    /// Names the tasks of this round, one a rung, coldest first. Asking twice gives the same tasks.
    pub fn round_tasks(&self) -> Vec<RoundTask> {
        let temperatures = self.plan.ladder.temperatures();
        let tasks = self.replicas.iter().zip(temperatures).enumerate();
        tasks
            .map(|(rung, (replica, temperature))| self.task(rung, *replica, *temperature))
            .collect()
    }

    fn task(&self, rung: usize, replica: usize, temperature: f64) -> RoundTask {
        let round = self.round;
        RoundTask {
            round,
            rung,
            replica,
            temperature,
            seed: draw::word(self.plan.seed, draw::Use::Task { round, replica }),
            state_in: round
                .checked_sub(1)
                .map(|before| state_name(replica, before)),
            state_out: state_name(replica, round),
        }
    }

    /// Ends the round: tries the swaps and moves to the next round.
    ///
    /// `energies` are the potential energies at the end of the round's tasks, in the order of
    /// [`round_tasks`](Exchange::round_tasks). On an error nothing has changed.
    pub fn finish_round(&mut self, energies: &[f64]) -> Result<Swaps, BadRound> {
        if energies.len() != self.replicas.len() {
            return Err(BadRound::Count {
                found: energies.len(),
                wanted: self.replicas.len(),
            });
        }
        if let Some(rung) = energies.iter().position(|energy| !energy.is_finite()) {
            return Err(BadRound::NotFinite { rung });
        }
        let counted = self.round >= self.plan.equilibration_rounds;
        if counted {
            for (statistics, energy) in self.energies.iter_mut().zip(energies) {
                statistics.add(*energy);
            }
        }
        let first = (self.round % 2) as usize;
        let tried: Vec<Swap> = (first..self.pairs.len())
            .step_by(2)
            .map(|rung| self.attempt(rung, energies))
            .collect();
        for swap in &tried {
            if counted {
                self.pairs[swap.rung].count(swap);
            }
            if swap.verdict == Verdict::Accepted {
                self.replicas.swap(swap.rung, swap.rung + 1);
            }
        }
        for (rung, replica) in self.replicas.iter().enumerate() {
            self.walks[*replica].push(rung);
        }
        let round = self.round;
        self.round += 1;
        Ok(Swaps { round, tried })
    }

    /// Metropolis' rule for the pair of `rung` and the next: p = min(1, exp((1/T_i - 1/T_j)(E_i - E_j))).
    fn attempt(&self, rung: usize, energies: &[f64]) -> Swap {
        let temperatures = self.plan.ladder.temperatures();
        let inverse_gap = 1.0 / temperatures[rung] - 1.0 / temperatures[rung + 1];
        let probability = (inverse_gap * (energies[rung] - energies[rung + 1]))
            .exp()
            .min(1.0);
        let drawn = draw::unit(
            self.plan.seed,
            draw::Use::Swap {
                round: self.round,
                rung,
            },
        );
        let verdict = if drawn < probability {
            Verdict::Accepted
        } else {
            Verdict::Refused
        };
        Swap {
            rung,
            replica_cold: self.replicas[rung],
            replica_hot: self.replicas[rung + 1],
            probability,
            verdict,
        }
    }

    /// Says whether the ensemble behaves as physics demands, or what does not, a sentence each.
    ///
    /// The mean energy must rise from rung to rung (a fall within twice its standard error is chance) and beyond doubt
    /// from the coldest to the hottest; every pair of neighbours must have swapped, and must have refused to.
    pub fn check_physics(&self) -> Result<(), Vec<String>> {
        let faults = physics::faults(self.plan.ladder.temperatures(), &self.energies, &self.pairs);
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults)
        }
    }

    /// Returns the plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the number of rounds finished, which is also the number of the round to run next.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// Returns the replica on each rung, coldest first.
    pub fn replicas(&self) -> &[usize] {
        &self.replicas
    }

    /// Returns the statistics of the energy on each rung, coldest first, since equilibration.
    pub fn energies(&self) -> &[Statistics] {
        &self.energies
    }

    /// Returns the swaps counted between each rung and the next, coldest first, since equilibration.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Returns the rungs each replica stood on: at the start and after each round. Indexed by replica; one
    /// entry a round.
    pub fn walks(&self) -> &[Vec<usize>] {
        &self.walks
    }
}

/// One run of the external program: one replica at one temperature.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundTask {
    /// Counted from 0.
    pub round: u32,
    /// The place on the ladder, 0 the coldest.
    pub rung: usize,
    /// The replica, named by the rung it started on.
    pub replica: usize,
    /// Of the rung.
    pub temperature: f64,
    /// Of the run's noise: no two tasks of an ensemble share one.
    pub seed: u64,
    /// The name of the state this replica left in the round before; none in the first round.
    pub state_in: Option<String>,
    /// The name of the state to leave.
    pub state_out: String,
}

fn state_name(replica: usize, round: u32) -> String {
    format!("replica-{replica}.round-{round}.state")
}

/// The swaps tried at the end of a round.
#[derive(Debug, Clone, PartialEq)]
pub struct Swaps {
    /// The round that ended.
    pub round: u32,
    /// Coldest pair first.
    pub tried: Vec<Swap>,
}

/// One swap tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Swap {
    /// The colder rung of the pair.
    pub rung: usize,
    /// The replica on it before the swap.
    pub replica_cold: usize,
    /// The replica on the next rung before the swap.
    pub replica_hot: usize,
    /// Of acceptance, by Metropolis' rule.
    pub probability: f64,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The replicas trade places.
    Accepted,
    /// They stay.
    Refused,
}

/// The swaps counted between a rung and the next.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pair {
    /// Swaps tried.
    pub tried: u32,
    /// Of these, accepted.
    pub accepted: u32,
    /// The sum of their probabilities.
    pub probability_sum: f64,
}

impl Pair {
    /// Returns the accepted fraction; none if nothing was tried.
    pub fn acceptance(&self) -> Option<f64> {
        (self.tried > 0).then(|| f64::from(self.accepted) / f64::from(self.tried))
    }

    /// Returns the mean probability of acceptance, a less noisy estimate of the same number; none if nothing was tried.
    pub fn acceptance_expected(&self) -> Option<f64> {
        (self.tried > 0).then(|| self.probability_sum / f64::from(self.tried))
    }

    fn count(&mut self, swap: &Swap) {
        self.tried += 1;
        self.accepted += u32::from(swap.verdict == Verdict::Accepted);
        self.probability_sum += swap.probability;
    }
}

/// Why energies do not end a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadRound {
    /// There is not one energy for each task.
    Count {
        /// Energies given.
        found: usize,
        /// Tasks of a round.
        wanted: usize,
    },
    /// The task of this rung reported no finite number.
    NotFinite {
        /// The first such rung.
        rung: usize,
    },
}

impl fmt::Display for BadRound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadRound::Count { found, wanted } => {
                write!(
                    f,
                    "a round of {wanted} tasks needs as many energies, not {found}"
                )
            }
            BadRound::NotFinite { rung } => write!(
                f,
                "the task on rung {rung} reported an energy that is no number"
            ),
        }
    }
}

impl std::error::Error for BadRound {}

#[cfg(test)]
mod tests;
