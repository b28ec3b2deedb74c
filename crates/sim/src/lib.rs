//! A world in which the brains of Muster live as in production, but in virtual time and out of one seed.
//!
//! [`world`] is a next-event simulation of hosts, disks and a network; the crates that it drives are the very ones
//! that production runs. [`checkers`] watch it with books of their own; [`storm`] draws worlds, work and faults from
//! seeds, lets them rage, heals them, and says which seed broke which promise. The same seed gives the same event
//! log, byte for byte.
//!
//! Nothing here knows real time, sockets, files or threads.

pub mod agenda;
pub mod brain;
pub mod cast;
pub mod catalog;
pub mod checkers;
pub mod disk;
pub mod network;
pub mod play;
pub mod program;
pub mod rng;
pub mod run;
pub mod scenario;
pub mod storm;
pub mod trace;
pub mod user;
pub mod world;
