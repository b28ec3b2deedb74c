//! What is on the agenda of the world.

use muster_catalog::{Ask, AskId};
use muster_proto::Lsn;
use muster_proto::catalog::raft::Message;
use muster_proto::catalog::{Answer, NodeId};

/// What will happen.
#[derive(Debug)]
pub enum Happening {
    /// A replica has its turn.
    Turn {
        /// Where.
        host: usize,
        /// In which life of its process.
        boot: u64,
        /// When it wanted it.
        at: u64,
    },
    /// A message arrives.
    Arrive {
        /// Where.
        host: usize,
        /// In which life of its process.
        boot: u64,
        /// Who sent it.
        from: NodeId,
        /// What it says.
        message: Message,
    },
    /// A disk has what it was given.
    Synced {
        /// Where.
        host: usize,
        /// In which life of its process.
        boot: u64,
        /// Up to which record.
        lsn: Lsn,
    },
    /// A journal is rewritten.
    Rewrite {
        /// Where.
        host: usize,
        /// In which life of its process.
        boot: u64,
    },
    /// Two replicas are linked.
    Linked {
        /// The one.
        host: usize,
        /// In which life.
        boot: u64,
        /// The other.
        other: usize,
        /// In which life.
        other_boot: u64,
    },
    /// A link is lost.
    Lost {
        /// For whom.
        host: usize,
        /// In which life.
        boot: u64,
        /// To whom.
        other: NodeId,
        /// In which life.
        other_boot: u64,
        /// On which host the other was.
        at: usize,
    },
    /// A process starts again.
    Restart {
        /// Where.
        host: usize,
    },
    /// A question arrives.
    Ask {
        /// Where.
        host: usize,
        /// What.
        ask: Ask,
    },
    /// An answer arrives.
    Answered {
        /// To which question.
        ask: AskId,
        /// What.
        answer: Answer,
    },
    /// Somebody outside wants to do something: clients and operators have numbers.
    Outside {
        /// Who.
        who: u64,
    },
}
