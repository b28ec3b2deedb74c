//! The foreman's brain, told as stories: what comes from above and below, and what it owes to whom.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a story looks for the frames it is about"
)]

mod golden;
mod play;
mod site;
mod tenants;
mod views;
