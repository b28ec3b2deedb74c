//! The frames of a control connection.
//!
//! A frame is `length u32 | kind u16 | schema u16 | payload`, little-endian, the payload in postcard; `length`
//! counts the payload only. Kinds and schemas are numbers written by hand. A released payload is frozen: its
//! successor gets the next schema number. `Hello` is the first frame each way and settles the version of a link.
//!
//! Decoding trusts nothing: a payload longer than `limits::FRAME_BYTES_MAX`, an unknown kind or schema, bytes that
//! are left over, a sequence beyond `limits::BATCH_MAX` or a text beyond its limit are all a [`WireError`], and no
//! input makes it panic or allocate more than a small multiple of the payload.

mod bounds;
pub mod bulk;
mod catalog;
mod codec;
mod frames;
mod wary;

pub use catalog::{Answered, Desist, Inquire, Inquiry, Raft, Replica};
pub use codec::{HEADER_BYTES, Header, WireError};
pub use frames::{
    Ack, Assign, Assigned, CacheStatus, Cancel, CancelTasks, Cancelled, Delivered, Explain,
    Explained, Frame, Held, Hello, Inventory, Kind, LinkStatus, Offer, Outcomes, Refusal, Reports,
    Retire, SiteStatus, Started, Status, StatusReply, Subject, Submit, Submitted, TaskCounts,
    Watch,
};

use crate::peer::Role;

/// The versions of the protocol this release speaks, oldest and newest.
pub const VERSIONS: (u16, u16) = (1, 1);

/// Why a link is closed; the numbers are a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CloseCode {
    /// Both sides are done.
    Done = 0,
    /// The peer's role has no business here.
    WrongRole = 1,
    /// The certificate is not of this federation or not well-formed.
    Alien = 2,
    /// A frame that cannot be decoded, is not allowed to the role, or makes no sense.
    Protocol = 3,
    /// The peer reads too slowly.
    Slow = 4,
    /// There is no version both sides speak.
    Version = 5,
    /// The same peer has a newer link.
    Superseded = 6,
    /// The process is leaving.
    Leaving = 7,
    /// There are too many links.
    Full = 8,
}

/// Whether a peer of `role` may send frames of `kind`; what is not said here is denied.
///
/// The match has no default arm: a new kind without a row does not build.
pub fn allowed(role: Role, kind: Kind) -> bool {
    let superior = matches!(role, Role::Master | Role::Foreman);
    let subordinate = matches!(role, Role::Foreman | Role::Worker);
    match kind {
        // Everybody may look for others, a replica that wants to join included.
        Kind::Hello | Kind::Inquire | Kind::Desist => true,
        Kind::Assign | Kind::Ack | Kind::Cancel | Kind::Retire => superior,
        Kind::Offer | Kind::Reports | Kind::Inventory | Kind::Started => subordinate,
        Kind::Submit | Kind::Watch | Kind::Delivered | Kind::CancelTasks => role == Role::User,
        Kind::Explain | Kind::Status => role == Role::User || superior,
        Kind::Submitted | Kind::Outcomes | Kind::Cancelled => role == Role::Master,
        Kind::Explained => superior,
        Kind::StatusReply => superior || subordinate,
        Kind::Answered | Kind::Replica | Kind::Raft => role == Role::Catalog,
    }
}
