//! The drivers: everything of Muster that touches the world.

pub mod clock;
pub mod endpoint;
pub mod identity;
pub mod tasks;
pub mod warden;
