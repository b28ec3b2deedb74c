//! Storms of the catalog: its replicas in a world of their own.
//!
//! The catalog has other inputs than the chain, so its world is smaller than [`world`](crate::world): hosts with disks,
//! ordered links, clients, an operator. [`storm`] draws all of it from a seed; [`linear`] judges what clients saw, key by
//! key; the world itself watches that each term has one leader and each position of the log one state.

pub mod clients;
pub mod happening;
pub mod linear;
pub mod operator;
pub mod storm;
pub mod weather;
pub mod world;
