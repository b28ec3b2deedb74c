//! What goes wrong, by chance and on purpose.

/// What is done wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Nothing.
    None,
    /// A replica that believes it leads answers reads by itself.
    LeaseRead,
    /// Snapshots carry the membership of the beginning.
    ForgetMembership,
    /// Messages do not wait for the disk, and the replica is told that all is durable.
    AckBeforeSync,
    /// A wiped replica comes back under its old number.
    VoteAfterWipe,
}

/// How bad the network and the disks are.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Messages in a thousand that are lost, and their link with them.
    pub loss: u64,
    /// Messages in a thousand that come twice.
    pub repeats: u64,
    /// Milliseconds one way.
    pub latency: (u64, u64),
    /// Milliseconds until a disk has what it was given.
    pub sync: (u64, u64),
}

/// A good network and good disks.
pub const FAIR: Weather = Weather {
    loss: 0,
    repeats: 0,
    latency: (1, 3),
    sync: (1, 2),
};
