//! Tests of real processes: what Muster promises, tried on the program that people run.
//!
//! Each test has a directory of its own with its own keys and state, listens on loopback at ports of the system's
//! choice, and leaves no process behind. A test judges by an oracle of its own: a ledger that tasks append to, contents
//! that it computes itself, a look through `/proc`. The program under test is named by `MUSTER_BIN`, and built when it
//! is not. With `MUSTER_SOAK` set, the stories of crashes and cuts are longer.
//!
//! Not here: what one process can show about itself; that is tested beside its code.

#[cfg(test)]
mod catalog;
#[cfg(test)]
mod contracts;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod cut;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod ensembles;
#[cfg(test)]
mod files;
#[cfg(test)]
mod finding;
#[cfg(test)]
mod full;
#[cfg(test)]
mod home;
#[cfg(test)]
mod honesty;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod ledger;
/// The judge of histories that the catalog's own storms have.
#[cfg(test)]
#[path = "../../crates/sim/src/catalog/linear.rs"]
mod linear;
#[cfg(test)]
mod net;
#[cfg(test)]
mod orphans;
#[cfg(test)]
mod proc;
#[cfg(test)]
mod shapes;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod wait;
#[cfg(test)]
mod worker;
