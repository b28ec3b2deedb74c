//! Two ends and a path between them, to measure what moving contents costs and to see how it bears a bad network.
//!
//! The ends are those of the chain: the same endpoints, bulk streams and content stores. Beside them stand the same
//! connection without anything around it, and TCP with TLS, so that what is ours can be told from what is not.

mod beside;
mod relay;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;

use muster_proto::machine::FetchEnd;
use muster_proto::{LinkId, Peer, Role};
use muster_store::{ContentError, ContentStore};
use tokio::runtime::{Builder, Runtime};

use crate::bulk::fetch::fetch;
use crate::bulk::serve::serve;
use crate::bulk::{Lines, Shelf, Wanted};
use crate::clock::{Clock, processor_seconds};
use crate::driver::Fetches;
use crate::endpoint::{DialError, Ending, EndpointError, Kind, Link, dial, listen};
use crate::identity::{Authority, Credentials, IdentityError};
use crate::tasks::Tasks;

pub use beside::{bare, tcp};
pub use relay::{Conditions, Passed, QUEUE, Relay, Way};

/// What one transfer took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From the first request to the last byte in its place.
    pub seconds: f64,
    /// Of all processors, on both ends and the path, in seconds.
    pub processor_seconds: f64,
}

/// Why there is nothing to tell.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// No identities for the two ends.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No socket.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] Ending),
    /// No place for the contents.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The system did not give what was needed.
    #[error("the trial could not be made: {0}")]
    System(#[from] io::Error),
    /// The two ends do not understand each other's TLS.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// Contents did not arrive.
    #[error("{missing} of the files did not arrive")]
    Missing {
        /// How many.
        missing: usize,
    },
}

/// Moves new files of these lengths from one store to another, verified, as a foreman does for its site.
///
/// With `conditions` a relay stands between the two. The directory `dir` holds both stores afterwards.
///
/// # Errors
/// See [`TrialError`].
pub fn contents(
    dir: &Path,
    conditions: Option<Conditions>,
    lengths: &[u64],
) -> Result<Took, TrialError> {
    let source = Arc::new(ContentStore::open(&dir.join("source"))?);
    let target = Arc::new(ContentStore::open(&dir.join("target"))?);
    let wanted: Result<Vec<Wanted>, ContentError> = (0..)
        .zip(lengths)
        .map(|(number, bytes)| make(&source, number, *bytes))
        .collect();
    let wanted = wanted?;
    let (far, near) = (Shelf::start(source)?, Shelf::start(target)?);
    between(
        conditions,
        move |link| serve(link, far),
        async |link| {
            let lines = Arc::new(Lines::default());
            let peer = link.peer().clone();
            let _ticket = lines.enter(link);
            let missing = bring(&lines, &near, &peer, &wanted).await;
            match missing {
                0 => Ok(()),
                missing => Err(TrialError::Missing { missing }),
            }
        },
    )
}

/// Puts contents of this length, which nothing can compress and no other number has, into `store`.
fn make(store: &ContentStore, number: u64, bytes: u64) -> Result<Wanted, ContentError> {
    let mut stream = blake3::Hasher::new()
        .update(&number.to_le_bytes())
        .finalize_xof();
    let mut writer = store.writer(bytes)?;
    let mut piece = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let length = left.min(piece.len() as u64) as usize;
        stream.fill(&mut piece[..length]);
        writer.write_all(&piece[..length])?;
        left -= length as u64;
    }
    let (digest, bytes) = writer.finish(None)?;
    // As after its first use: the hashes that prove its parts are there.
    store.prove(digest, &[])?;
    Ok(Wanted { digest, bytes })
}

/// Fetches as the driver does, and says how many did not arrive.
async fn bring(lines: &Arc<Lines>, shelf: &Shelf, peer: &Peer, wanted: &[Wanted]) -> usize {
    let link = LinkId(1);
    let mut fetches = Fetches::default();
    wanted.iter().for_each(|file| fetches.want(link, *file));
    let (sender, mut ended) = tokio::sync::mpsc::channel(1);
    let mut transfers = Tasks::new();
    let (mut left, mut missing) = (wanted.len(), 0);
    while left > 0 {
        while let Some(order) = fetches.next_order() {
            let (lines, shelf) = (Arc::clone(lines), shelf.clone());
            let (peer, sender) = (peer.clone(), sender.clone());
            transfers.spawn("transfer", async move {
                let ends = fetch(&lines, &shelf, &peer, &order.wanted).await;
                let digests = order.wanted.iter().map(|file| file.digest);
                // Nobody receives when the trial has been given up.
                sender.send(digests.zip(ends).collect()).await.ok();
            });
        }
        let Some(ends) = ended.recv().await else {
            break;
        };
        for (_, end) in fetches.ended(link, ends) {
            left -= 1;
            missing += usize::from(end != FetchEnd::Held);
        }
    }
    missing
}

/// Runs the two ends of a bulk connection, each with a thread of its own, and measures the near one.
fn between<F: Future<Output = ()>>(
    conditions: Option<Conditions>,
    far: impl FnOnce(Link) -> F + Send + 'static,
    near: impl AsyncFnOnce(Link) -> Result<(), TrialError>,
) -> Result<Took, TrialError> {
    let authority = Authority::ephemeral()?;
    let master = issue(&authority, Role::Master)?;
    let worker = issue(&authority, Role::Worker)?;
    let (sender, receiver) = mpsc::channel();
    let far_end = thread::spawn(move || -> Result<(), TrialError> {
        runtime()?.block_on(async {
            let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let mut listener = listen(here, &master, &[Role::Worker])?;
            // Nobody receives when the other end could not begin.
            sender.send(listener.local_address()).ok();
            if let Some(link) = listener.accept().await {
                far(link).await;
            }
            Ok(())
        })
    });
    let Ok(address) = receiver.recv() else {
        let failed = far_end.join().unwrap_or(Ok(()));
        failed?;
        return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
    };
    let relay = conditions.map(|conditions| {
        let relay = Relay::before(address, 1)?;
        relay.set(conditions);
        Ok::<Relay, io::Error>(relay)
    });
    let relay = relay.transpose()?;
    let address = relay.as_ref().map_or(address, Relay::address);
    let took = runtime()?.block_on(async {
        let link = dial(address, &worker, Kind::Bulk, &[Role::Master]).await?;
        let (clock, before) = (Clock::start(), processor_seconds());
        let (begun, ends) = (clock.now(), link.clone());
        near(link).await?;
        let took = Took {
            seconds: clock.now().since(begun).as_secs_f64(),
            processor_seconds: processor_seconds() - before,
        };
        ends.finish(muster_proto::wire::CloseCode::Done).await;
        Ok::<Took, TrialError>(took)
    })?;
    // It ends with the connection.
    far_end.join().unwrap_or(Ok(()))?;
    Ok(took)
}

fn issue(authority: &Authority, role: Role) -> Result<Credentials, IdentityError> {
    authority.issue(&Peer {
        role,
        site: "trial".to_owned(),
        name: role.to_string(),
    })
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
