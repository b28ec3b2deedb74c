//! The scheduler, tried by scripts that a scientist can check and by random operations.

#![allow(
    clippy::unwrap_used,
    reason = "a script that cannot be read fails its test"
)]

mod property;
mod script;
