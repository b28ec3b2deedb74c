//! The drivers: everything of Muster that touches the world.

pub mod bulk;
pub mod catalog;
pub mod client;
pub mod clock;
pub mod daemon;
pub mod driver;
pub mod endpoint;
pub mod hands;
pub mod identity;
pub mod report;
pub mod scratch;
pub mod tasks;
pub mod trial;
pub mod warden;
