//! The worker's brain, told as stories: what it stages, what it runs, what it holds until it is safe above.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a story looks for the frames it is about"
)]

mod lines;
mod links;
mod play;
mod running;
