//! The one loop that runs a brain against the world.
//!
//! [`run`] owns a machine alone. A turn takes one input, then whatever else has come, up to a bound; begins every
//! output without waiting for any; and ends with one batch for the journal and one wake for each link that got
//! frames. Whatever takes long (a disk, a transfer, a handshake, a process) is a task or a thread whose end comes
//! back as an input, so no turn waits for anything.
//!
//! Every queue is bounded: a machine that is behind is fed by readers that wait, and a peer that does not read is
//! closed. Links are dialled and greeted by `chain`, what they send and receive is in `outbox` and `frames`, the
//! journal's thread is `journal`, transfers are [`bulk`](crate::bulk).
//!
//! Not here: what anything means (the brains), what roles do beyond the chain (their [`Hands`]).

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::machine::{Input, Machine, Never, Output, Record, Side};
use muster_proto::{Lsn, Peer, Role};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::bulk::Shelf;
use crate::clock::Clock;
use crate::endpoint::{LinkRate, Listener};
use crate::identity::Credentials;

mod chain;
mod fetches;
pub(crate) mod frames;
pub(crate) mod gates;
pub(crate) mod journal;
pub(crate) mod outbox;
mod pursuit;
mod refusals;
mod roster;
mod status;
mod turn;

pub(crate) use chain::Backoff;
pub(crate) use fetches::Fetches;
pub use journal::{JournalLost, Log};

/// Everything a machine is given to work with.
pub struct Setup<M, L, H> {
    /// The clock that inputs are stamped with.
    pub clock: Clock,
    /// Who this process is.
    pub credentials: Arc<Credentials>,
    /// Where records go and the number of the next one; `None` for a machine that makes none.
    pub journal: Option<(Box<dyn Log>, Lsn)>,
    /// The content store.
    pub shelf: Shelf,
    /// How fast contents may cross links to other sites.
    pub link_rate: Option<LinkRate>,
    /// Whom to dial.
    pub superiors: Superiors,
    /// Where subordinates and users come in; `None` for a process that nobody dials.
    pub door: Option<Door>,
    /// Who is told how things stand, now and then.
    pub observer: Option<Observer<M>>,
    /// What performs the asks of this role alone.
    pub hands: H,
    /// Where the ends of those asks come back; bounded by whoever makes the channel.
    pub local: mpsc::Receiver<L>,
    /// When this is ready, the machine is told to drain; see [`asked_to_leave`].
    pub stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Whether a machine that was told to drain has nothing left to do.
    pub drained: fn(&M) -> bool,
    /// When a machine that is not drained is left behind: what it holds is in its journal.
    pub grace: Duration,
}

/// Whom to dial, and who of them is linked.
#[derive(Debug)]
pub struct Superiors {
    /// Those to be linked with, at any time: each is dialled for ever. Whoever is no longer listed is not dialled again.
    pub wanted: watch::Receiver<Vec<Superior>>,
    /// Whether the link of whoever is no longer listed is closed, too; otherwise it goes on as long as it stands.
    pub leaves: bool,
    /// Those that are linked.
    pub linked: watch::Sender<BTreeSet<Peer>>,
}

impl Superiors {
    /// The same ones for ever.
    pub fn fixed(superiors: Vec<Superior>) -> Superiors {
        let (_, wanted) = watch::channel(superiors);
        let linked = watch::Sender::default();
        let leaves = false;
        Superiors {
            wanted,
            leaves,
            linked,
        }
    }
}

/// Someone to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superior {
    /// Where, one address after the other.
    pub addresses: Vec<SocketAddr>,
    /// What may answer there.
    pub roles: Vec<Role>,
    /// Who must answer there, if that is known.
    pub peer: Option<Peer>,
}

impl Superior {
    /// One that is known by its address alone.
    pub fn at(address: SocketAddr, roles: &[Role]) -> Superior {
        Superior {
            addresses: vec![address],
            roles: roles.to_vec(),
            peer: None,
        }
    }

    /// Whether `other` is the same, perhaps at other addresses.
    fn is(&self, other: &Superior) -> bool {
        match (&self.peer, &other.peer) {
            (Some(peer), Some(other)) => peer == other,
            (None, None) => self.addresses == other.addresses,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// Looks at a machine between turns.
pub struct Observer<M> {
    /// How long it is not told anew.
    pub every: Duration,
    /// What it does; it must be quick.
    pub look: Box<dyn FnMut(&M) + Send>,
}

impl<M> Observer<M> {
    /// One that tells `seen` what `see` makes of the machine, when that has changed.
    pub fn telling<T>(
        every: Duration,
        seen: watch::Sender<T>,
        see: impl Fn(&M) -> T + Send + 'static,
    ) -> Observer<M>
    where
        T: PartialEq + Send + Sync + 'static,
    {
        let look = move |machine: &M| {
            let now = see(machine);
            seen.send_if_modified(|seen| {
                let is_news = *seen != now;
                *seen = now;
                is_news
            });
        };
        Observer {
            every,
            look: Box::new(look),
        }
    }
}

/// Where others come in.
#[derive(Debug)]
pub struct Door {
    /// The listener, which admits the roles below.
    pub listener: Listener,
    /// What a peer of each role is to this process.
    pub sides: Vec<(Role, Side)>,
}

/// What performs the asks of one role; their ends come back through [`Setup::local`].
pub trait Hands<C> {
    /// Begins `ask` without waiting for it.
    fn perform(&mut self, ask: C);
}

impl Hands<Never> for () {
    fn perform(&mut self, ask: Never) {
        match ask {}
    }
}

/// Why a driver ended before its machine was told to leave.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The system gives no thread for the journal.
    #[error("cannot start the journal's thread")]
    Thread(#[source] io::Error),
    /// The journal's thread died; nothing could be acknowledged any more.
    #[error(transparent)]
    Journal(#[from] JournalLost),
}

/// Runs `machine` until it is stopped and drained, or its grace is over; returns it as it was left.
///
/// Whatever it recorded is durable then, unless the disk refused until the end.
///
/// # Errors
/// See [`DriveError`].
///
/// # Panics
/// Outside a tokio runtime, and if a machine without a journal makes a record.
pub async fn run<M, L, E, C, H>(machine: M, setup: Setup<M, L, H>) -> Result<M, DriveError>
where
    M: Machine<Input = Input<L>, Output = Output<E, C>>,
    E: Record,
    H: Hands<C>,
{
    turn::Driver::start(machine, setup)?.run().await
}

/// Waits until this process is asked to leave, by SIGTERM or SIGINT.
///
/// # Errors
/// The system does not let the signals be watched.
///
/// # Panics
/// Outside a tokio runtime.
pub fn asked_to_leave() -> io::Result<Pin<Box<dyn Future<Output = ()> + Send>>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(Box::pin(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }))
}
