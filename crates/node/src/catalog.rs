//! The catalog as a service, and everything that finds others by it.
//!
//! [`replica`] runs one replica's brain: links to the other replicas, questions of clients, the journal. [`Client`] asks
//! any replica and follows the leader. On top of a client, [`announce`] keeps a name registered as long as its owner
//! lives, and [`seek`] knows at any time who is registered, also while the catalog is away (C8). [`gateway`] shows
//! projects to whoever speaks HTTP.
//!
//! Not here: what the directory is and how replicas agree (`muster-catalog`).

pub mod announce;
pub mod client;
pub mod gateway;
mod line;
mod names;
mod peers;
pub mod reach;
pub mod replica;
pub mod seek;

pub use client::{AskError, Client};
pub use names::{BadNames, Names};
