//! The master's brain, told as stories: what goes in, what comes out, and what may never happen in between.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a story looks for the frames it is about"
)]

mod chain;
mod golden;
mod play;
mod restart;
mod results;
mod users;
