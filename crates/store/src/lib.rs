//! Bytes on disk: what must survive a crash, and what is dear to fetch again.
//!
//! Brains cannot touch a disk and drivers should not each invent a file format, so everything of Muster that is
//! written to be read by a later process is written here: the [`journal`] of facts (durable, ordered, refused when
//! damaged) and the [`content`] store of files (a cache named by digest, verified, never synced).
//!
//! What is not here: the meaning of a record (the brains'), when to commit or what to evict (the drivers'), any
//! network, any clock, any thread. Every call blocks its caller for as long as the disk takes.

pub mod content;
mod disk;
pub mod journal;
pub mod lock;
mod neighbours;
mod own;

pub use content::{ContentError, ContentStore, HashMemo, Placement, Stamp, Stored, Use, Writer};
pub use journal::{Journal, JournalError, Limits, Recovery, Report, Torn};
pub use lock::{DirLock, LockError};
pub use neighbours::{Claim, Neighbours, Shared};
