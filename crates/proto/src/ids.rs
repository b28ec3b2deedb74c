//! Names of things: small numbers that cannot be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares an identifier: a copyable number with an order and a prefix under which people meet it.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// A master's queue: drawn at random when its journal is made, constant for the life of that journal.
    MasterId(u64), "m"
);
id!(
    /// A task of one master, numbered from 1 in order of submission.
    TaskId(u64), "t"
);
id!(
    /// What many tasks of one master have in common; numbered by that master, never used twice.
    TemplateId(u32), "k"
);
id!(
    /// How often a master has started on its journal; a greater one fences a smaller one.
    Epoch(u32), "e"
);
id!(
    /// One connection of the chain, numbered by the process that holds it and meaningless elsewhere.
    LinkId(u32), "l"
);
id!(
    /// The position of a record in a journal, counted from 1; `Lsn(0)` is before the first.
    Lsn(u64), "j"
);

/// A task among the tasks of all masters: what foremen and workers file things under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// Whose task it is.
    pub master: MasterId,
    /// Which of that master's tasks.
    pub task: TaskId,
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}/{}", self.master.0, self.task)
    }
}

/// Which try at a task: ordered first by the master's epoch, then by the number within it.
///
/// Displayed as `epoch.n`, the form tasks see in `MUSTER_ATTEMPT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Try {
    /// The epoch of the master that leased it.
    pub epoch: Epoch,
    /// Counted from 1 within the epoch.
    pub n: u32,
}

impl fmt::Display for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch.0, self.n)
    }
}

/// One try at a task. Late news of a lesser attempt is recognised by comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// The task tried.
    pub key: TaskKey,
    /// Which try.
    pub round: Try,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.key, self.round)
    }
}
