//! The words of Muster: what masters, foremen, workers and users say to each other, and in what shape they think.
//!
//! Everything here is plain data with its rules: identifiers, time, resources, tasks, outcomes, the limits of
//! everything, the frames of the wire, and the trait that every brain implements. Nothing here does anything: there
//! is no clock, no socket, no file and no random number, so every other crate may depend on this one.
//!
//! Start with [`task`] and [`outcome`] (what goes down and what comes up), then [`wire`] (how), then [`machine`]
//! (who handles it).

pub mod batch;
pub mod catalog;
mod digest;
mod ids;
pub mod limits;
pub mod machine;
pub mod outcome;
mod path;
pub mod peer;
pub mod record;
mod resources;
pub mod task;
mod time;
pub mod wire;

pub use digest::{Digest, NotADigest};
pub use ids::{Attempt, Epoch, LinkId, Lsn, MasterId, TaskId, TaskKey, TemplateId, Try};
pub use path::{BadPath, RelPath};
pub use peer::{Peer, Role};
pub use resources::Resources;
pub use time::{Span, Time};
