//! The words of the catalog: what is registered in the directory, what clients ask of it, and (in [`raft`]) what its
//! replicas say to each other.
//!
//! A key is a kind and a name; an item is a value with its owner and, if it is leased, the length of its lease. Each
//! change has a [`Revision`]; watchers see changes in that order. A command carries an [`Op`], so that a command sent
//! twice is applied once.

mod bounds;
pub mod raft;

use serde::{Deserialize, Serialize};

use crate::ids::Epoch;
use crate::peer::{Peer, Role};
use crate::time::Span;

/// The storage of one replica: drawn at random when its journal is made, never used again after that journal is lost.
///
/// A replica whose disk was wiped is another node, so it cannot vote as its old self.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct NodeId(pub u64);

/// A change of the directory, counted from 1; `Revision(0)` is before the first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Revision(pub u64);

/// What is registered under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A body of work that a master owns; named by its users.
    Project,
    /// A place with foremen.
    Site,
    /// A foreman of a site, as `site/name`.
    Foreman,
    /// An invitation that can be used once, named by the hash of its secret in hexadecimal.
    Token,
    /// An identity that is no longer trusted, as it is displayed.
    Revocation,
    /// The share of a project where it competes with others.
    Weight,
    /// A setting: bytes under a name.
    Setting,
    /// A replica of the catalog, by its [`NodeId`] in hexadecimal. Only changes of membership write it.
    Member,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Kind; 8] = [
        Kind::Project,
        Kind::Site,
        Kind::Foreman,
        Kind::Token,
        Kind::Revocation,
        Kind::Weight,
        Kind::Setting,
        Kind::Member,
    ];
}

/// What an item is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// What it is.
    pub kind: Kind,
    /// Its name among those of its kind.
    pub name: String,
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// Of [`Kind::Project`].
    Project(Project),
    /// Of [`Kind::Site`].
    Site(Place),
    /// Of [`Kind::Foreman`].
    Foreman(Place),
    /// Of [`Kind::Token`].
    Token(Grant),
    /// Of [`Kind::Revocation`]: why, for people.
    Revocation(String),
    /// Of [`Kind::Weight`], in thousandths of an ordinary share.
    Weight(u32),
    /// Of [`Kind::Setting`].
    Setting(Vec<u8>),
    /// Of [`Kind::Member`].
    Member(Member),
}

impl Value {
    /// The kind of key that it may stand under.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Project(_) => Kind::Project,
            Value::Site(_) => Kind::Site,
            Value::Foreman(_) => Kind::Foreman,
            Value::Token(_) => Kind::Token,
            Value::Revocation(_) => Kind::Revocation,
            Value::Weight(_) => Kind::Weight,
            Value::Setting(_) => Kind::Setting,
            Value::Member(_) => Kind::Member,
        }
    }
}

/// What a master announces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Where it can be dialled.
    pub addresses: Vec<String>,
    /// How often the master has started on its journal; a smaller one is an older process.
    pub epoch: Epoch,
    /// Tasks that wait.
    pub waiting: u64,
    /// Tasks that are leased.
    pub running: u64,
    /// Tasks that have an outcome.
    pub done: u64,
    /// Tasks of one core that those linked below it can run side by side.
    pub slots: u32,
    /// How many more of those it could use.
    pub wanted: u32,
    /// How many it could keep busy in all: its tasks without an outcome.
    pub capacity: u32,
    /// The release that the master is of.
    pub version: String,
}

/// What a foreman announces of its site or of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where it can be dialled.
    pub addresses: Vec<String>,
    /// Workers it has.
    pub workers: u32,
    /// Their cores, in thousandths.
    pub cores: u64,
    /// Projects it serves.
    pub projects: u32,
    /// The release that it is of.
    pub version: String,
}

/// What an invitation entitles to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The role of the certificate.
    pub role: Role,
    /// Its site.
    pub site: String,
    /// Its name, if it is not left to whoever joins.
    pub name: Option<String>,
}

/// A replica of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its storage.
    pub node: NodeId,
    /// Who it is by its certificate.
    pub peer: Peer,
    /// Where it can be dialled.
    pub addresses: Vec<String>,
}

/// A value with what the directory knows about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What was registered.
    pub value: Value,
    /// Who created it; leases and names are theirs until they end.
    pub owner: Peer,
    /// How long it lasts without being renewed.
    pub lease: Option<Span>,
    /// How often the lease was begun or renewed.
    pub renewals: u64,
    /// The change that created it.
    pub created: Revision,
    /// The last change of its value.
    pub changed: Revision,
    /// How often its value was set since it was created.
    pub version: u64,
}

/// Names one command of one client; a repeated command has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Op {
    /// The session, as [`Reply::Opened`] named it.
    pub session: u64,
    /// Counted upwards within the session. A session has one command under way at a time.
    pub seq: u64,
}

/// What must be true of a key for a command to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    /// Nothing.
    Any,
    /// It is not there.
    Absent,
    /// Its item has this version.
    Version(u64),
}

/// What changes the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Begins a session; the only command without an [`Op`], for doing it twice does no harm.
    Open,
    /// Takes a name under a lease, or sets the value of one's own.
    Register {
        /// The name; of a project, site or foreman.
        key: Key,
        /// What is announced.
        value: Value,
        /// How long it lasts without being renewed.
        lease: Span,
    },
    /// Prolongs one's lease, with a new value if there is one.
    Renew {
        /// The name.
        key: Key,
        /// What is announced, if it is something else.
        value: Option<Value>,
    },
    /// Gives up one's own item; users may remove anything but members.
    Remove {
        /// Which.
        key: Key,
    },
    /// Makes an invitation.
    Invite {
        /// The hash of its secret.
        hash: [u8; 32],
        /// What it entitles to.
        grant: Grant,
        /// How long it can be used.
        lease: Span,
    },
    /// Uses an invitation up.
    Redeem {
        /// The hash of its secret.
        hash: [u8; 32],
    },
    /// Sets a setting, weight or revocation.
    Put {
        /// The name.
        key: Key,
        /// What it is set to.
        value: Value,
        /// What must be true before.
        expect: Expect,
    },
    /// Removes a setting, weight or revocation.
    Delete {
        /// The name.
        key: Key,
        /// What must be true before.
        expect: Expect,
    },
    /// From here on commands mean what a newer release makes of them: exactly one more than before.
    Fence {
        /// The number of the meaning.
        meaning: u16,
    },
    /// The catalog's own: a lease that has had this many renewals has run out.
    Expire {
        /// Of which item.
        key: Key,
        /// If it was renewed since, it stays.
        renewals: u64,
    },
    /// The catalog's own: the state after the entry at `index` hashed to this on the leader.
    Check {
        /// The position in the log.
        index: u64,
        /// The hash.
        hash: u64,
    },
}

/// What became of a command that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// A session begins.
    Opened {
        /// Its number.
        session: u64,
    },
    /// It is done.
    Done {
        /// The directory's revision after it.
        revision: Revision,
        /// The version of the item, 0 if it is gone.
        version: u64,
    },
    /// An invitation was used up.
    Granted {
        /// What it entitles to.
        grant: Grant,
    },
    /// Nothing was changed.
    Refused(Refusal),
}

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no such item.
    Absent,
    /// The name belongs to someone else.
    Owned,
    /// The expectation was wrong.
    Mismatch {
        /// The version of the item, 0 if there is none.
        version: u64,
    },
    /// The role may not do this.
    NotAllowed,
    /// The value is of another kind than the key, or beyond its limits.
    Malformed,
    /// A newer process of the same owner has registered, or the meaning is not the next one.
    Fenced,
    /// There is no room: of this kind or in all.
    Full,
    /// The session is not known, or no longer: whether the command was ever applied cannot be told.
    Forgotten,
    /// The session has gone on to a later command.
    Late,
}

/// Which names a list holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pattern {
    /// All of them.
    All,
    /// Those that begin like this.
    Prefix(String),
    /// Those that match wholly; `*` stands for any text, `?` for one character.
    Glob(String),
}

/// Which items are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Of which kind.
    pub kind: Kind,
    /// With which names.
    pub names: Pattern,
}

/// A question to the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// What stands under this key?
    Get(Key),
    /// What matches, in order of names?
    List {
        /// Which items.
        filter: Filter,
        /// Only names after this one.
        after: Option<String>,
        /// How many at the most.
        limit: u32,
    },
    /// How does this replica see the catalog? Needs no quorum.
    Status,
}

/// How old an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Freshness {
    /// It holds everything that was acknowledged before the question.
    Linearizable,
    /// Whatever this replica has, with its revision and age.
    Stale,
}

/// An item with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its key.
    pub key: Key,
    /// What stands there.
    pub item: Item,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The items, in order of names.
    pub items: Vec<Named>,
    /// The name to go on after, if there may be more.
    pub next: Option<String>,
    /// The directory's revision.
    pub revision: Revision,
    /// How long ago this replica last knew that it was up to date.
    pub age: Span,
}

/// A change as watchers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its place in the order of changes.
    pub revision: Revision,
    /// Which key.
    pub key: Key,
    /// What stands there from then on; nothing if it was removed or has run out.
    pub item: Option<Item>,
}

/// How a replica sees the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The replica.
    pub node: NodeId,
    /// The leader, if it knows one.
    pub leader: Option<NodeId>,
    /// The term it is in.
    pub term: u64,
    /// The last entry that it knows to be committed.
    pub committed: u64,
    /// The last entry that it has applied.
    pub applied: u64,
    /// The directory's revision there.
    pub revision: Revision,
    /// The directory's hash there.
    pub hash: u64,
    /// Who votes.
    pub voters: Vec<NodeId>,
    /// Who voted before the change under way, if there is one.
    pub outgoing: Vec<NodeId>,
    /// Who follows without a vote.
    pub learners: Vec<NodeId>,
}

/// A change of membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reshape {
    /// A new replica follows without a vote.
    Learn(Member),
    /// One that follows gets a vote; refused while it is far behind.
    Promote(NodeId),
    /// One leaves.
    Remove(NodeId),
    /// One that follows gets the vote of another, in one step.
    Replace {
        /// Who leaves.
        old: NodeId,
        /// Who votes from then on.
        new: NodeId,
    },
}

/// Where to ask instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// The leader.
    pub node: NodeId,
    /// Its addresses.
    pub addresses: Vec<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// Another replica leads; nothing was changed.
    NotLeader {
        /// Which, if it is known.
        hint: Option<Hint>,
    },
    /// No majority was found before the deadline; nothing was changed.
    NoQuorum,
    /// Whether the command is or will be applied is not known; it can be sent again with the same [`Op`].
    Unknown,
    /// Too much is under way; nothing was changed.
    Busy,
    /// The changes after that revision are no longer kept; list again, and watch from what that says.
    Compacted {
        /// The first revision after which a watch can begin.
        oldest: Revision,
    },
    /// The change of membership makes no sense where things stand.
    Unfit,
}

/// What a replica answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The command was applied.
    Applied(Reply),
    /// What the question found.
    Found(Found),
    /// Changes in order and without gaps, and the revision to go on from.
    Changes {
        /// The changes; none if there were none in time.
        changes: Vec<Change>,
        /// To be given with the next watch.
        revision: Revision,
    },
    /// How this replica sees the catalog.
    Standing(Standing),
    /// The membership is changed.
    Reshaped,
    /// There is no answer.
    Fault(Fault),
}
