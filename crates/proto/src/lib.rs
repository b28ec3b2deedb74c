//! The words of Muster.
mod digest;
mod ids;
pub use digest::{Digest, NotADigest};
pub use ids::{Attempt, Epoch, LinkId, Lsn, MasterId, TaskId, TaskKey, TemplateId, Try};
