//! Generators of tasks: what an ensemble runs next, given what has come back.
//!
//! A generator is pure and deterministic: it does no IO, has no clock and seeds its own randomness. A driver submits
//! the tasks it names and hands back their results.

pub mod replica_exchange;
