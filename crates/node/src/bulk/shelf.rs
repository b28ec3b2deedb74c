//! The one thread that looks into the content store and forgets.
//!
//! Looking, keeping and forgetting happen in the order in which they were asked for, so contents that were forgotten
//! and are wanted again are never found just before they vanish. Large contents are received and sent on threads of
//! their own: they are looked for here first, and forgotten only when they have come, so they need no other order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use muster_proto::Digest;
use muster_store::content::Shape;
use muster_store::{Claim, ContentError, ContentStore, Neighbours, Shared};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::clock::wall_ms;

use super::SMALL_BYTES;
use super::parts::{Arrival, Source};

/// A handle on the thread; it ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Shelf {
    store: Arc<ContentStore>,
    jobs: mpsc::Sender<Job>,
    /// Large contents that are arriving, as long as somebody has to do with them.
    arrivals: Arc<Mutex<BTreeMap<Digest, Weak<Arrival>>>>,
    tidings: Arc<Tidings>,
    /// The stores of the same host, if there may be others.
    neighbours: Option<Arc<Neighbours>>,
}

/// What whoever keeps the index wants to know.
#[derive(Debug, Default)]
struct Tidings {
    /// Contents that somebody asked for in vain.
    missed: Mutex<BTreeSet<Digest>>,
    /// Contents that have begun to arrive.
    begun: Mutex<BTreeSet<Digest>>,
    news: Notify,
}

/// What is to be done about contents that this host may have already.
#[derive(Debug)]
pub(super) enum Sharing {
    /// They are in the own store now.
    Held,
    /// A neighbour is fetching them.
    Wait,
    /// They are to be fetched; with a claim, for all.
    Fetch(Option<Claim>),
}

/// How an attempt to keep contents ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// They are in the store, verified.
    Held,
    /// They are not what their digest names.
    Wrong,
    /// The disk failed or is full.
    Disk,
}

#[derive(Debug)]
enum Job {
    Holds(Vec<Digest>, oneshot::Sender<Vec<bool>>),
    Keep(Vec<(Digest, Vec<u8>)>, oneshot::Sender<Vec<Kept>>),
    Publish(Arc<Arrival>, oneshot::Sender<Result<(), ContentError>>),
    Forget(Vec<Digest>),
}

impl Shelf {
    /// Starts the thread of `store`; a process starts one.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(store: Arc<ContentStore>) -> io::Result<Shelf> {
        let (jobs, receiver) = mpsc::channel(JOBS_MAX);
        let keeper = Arc::clone(&store);
        let builder = thread::Builder::new().name("shelf".to_owned());
        builder.spawn(move || work(&keeper, receiver))?;
        Ok(Shelf {
            store,
            jobs,
            arrivals: Arc::default(),
            tidings: Arc::default(),
            neighbours: None,
        })
    }

    /// Has it share with `neighbours` what it fetches.
    #[must_use]
    pub fn among(mut self, neighbours: Option<Neighbours>) -> Shelf {
        self.neighbours = neighbours.map(Arc::new);
        self
    }

    /// Asks the neighbours for large contents; without any, they are to be fetched.
    pub(super) async fn share(&self, wanted: Shape) -> Sharing {
        let Some(neighbours) = self.neighbours.clone() else {
            return Sharing::Fetch(None);
        };
        let store = Arc::clone(&self.store);
        let shared = spawn_blocking(move || neighbours.share(&store, wanted)).await;
        match shared {
            Ok(Ok(Shared::Taken)) => Sharing::Held,
            Ok(Ok(Shared::Claimed(claim))) => Sharing::Fetch(Some(claim)),
            Ok(Ok(Shared::Coming(heard_ms))) if wall_ms() < heard_ms + SILENT_MS_MAX => {
                Sharing::Wait
            }
            Ok(Ok(Shared::Coming(_))) => Sharing::Fetch(None),
            Ok(Err(error)) => {
                tracing::warn!(digest = %wanted.digest, why = %error, "the neighbours cannot be asked");
                Sharing::Fetch(None)
            }
            Err(_) => Sharing::Fetch(None),
        }
    }

    /// Which of `digests` are here, in order.
    ///
    /// # Errors
    /// The thread has ended.
    pub(crate) async fn holds(&self, digests: Vec<Digest>) -> io::Result<Vec<bool>> {
        self.ask(|answer| Job::Holds(digests, answer)).await
    }

    /// Verifies and keeps small contents; says for each how it went, in order.
    pub(crate) async fn keep(&self, files: Vec<(Digest, Vec<u8>)>) -> Vec<Kept> {
        let count = files.len();
        let kept = self.ask(|answer| Job::Keep(files, answer)).await;
        kept.unwrap_or_else(|_| vec![Kept::Disk; count])
    }

    /// Begins to receive contents of `bytes`, too many to be held in memory.
    pub(crate) fn receive(&self, digest: Digest, bytes: u64) -> Incoming {
        let store = Arc::clone(&self.store);
        let (pieces, receiver) = mpsc::channel(PIECES_MAX);
        let kept = spawn_blocking(move || receive(&store, digest, bytes, receiver));
        Incoming { pieces, kept }
    }

    /// Begins to receive large contents in parts, or joins whoever does.
    ///
    /// # Errors
    /// See [`ContentStore::partial`].
    pub(super) async fn arrive(&self, shape: Shape) -> Result<Arc<Arrival>, ContentError> {
        if let Some(arrival) = self.arriving(shape.digest) {
            return Ok(arrival);
        }
        let store = Arc::clone(&self.store);
        let arrival = spawn_blocking(move || store.partial(shape).map(Arrival::new)).await;
        let arrival = Arc::new(arrival.map_err(io::Error::other)??);
        let mut arrivals = lock(&self.arrivals);
        arrivals.retain(|_, arrival| arrival.strong_count() > 0);
        arrivals.insert(shape.digest, Arc::downgrade(&arrival));
        Ok(arrival)
    }

    /// How many bytes of arriving contents have come.
    pub(super) fn come(&self, digest: Digest) -> u64 {
        self.arriving(digest).map_or(0, |arrival| arrival.come())
    }

    fn arriving(&self, digest: Digest) -> Option<Arc<Arrival>> {
        lock(&self.arrivals).get(&digest)?.upgrade()
    }

    /// Makes large contents visible, all parts of which have come.
    ///
    /// # Errors
    /// See [`ContentStore::publish`].
    pub(super) async fn publish(&self, arrival: &Arc<Arrival>) -> Result<(), ContentError> {
        let digest = arrival.partial().shape().digest;
        let published = self.ask(|answer| Job::Publish(Arc::clone(arrival), answer));
        published.await??;
        lock(&self.arrivals).remove(&digest);
        Ok(())
    }

    /// Begins to send parts of large contents that are here or arriving; `None` if they are neither.
    ///
    /// # Errors
    /// The disk.
    pub(super) async fn prove(
        &self,
        digest: Digest,
        ranges: Vec<Range<u64>>,
    ) -> io::Result<Option<Source>> {
        let (store, wanted) = (Arc::clone(&self.store), ranges.clone());
        let proved = spawn_blocking(move || store.prove(digest, &wanted)).await;
        match proved.map_err(io::Error::other)? {
            Ok(proving) => Ok(Some(Source {
                proving,
                news: None,
            })),
            Err(ContentError::Absent { .. }) => {
                if let Some(arrival) = self.arriving(digest) {
                    return Ok(Some(Source::arriving(&arrival, &ranges)));
                }
                // What had come whole when the store was asked is there by now.
                let held = self.holds(vec![digest]).await?;
                if held == [true] {
                    return Box::pin(self.prove(digest, ranges)).await;
                }
                self.miss(digest);
                Ok(None)
            }
            Err(ContentError::WrongDigest { .. }) => {
                tracing::warn!(%digest, "contents had rotted and are removed");
                self.miss(digest);
                Ok(None)
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Reads contents that a peer says are wrong; what has rotted is removed.
    pub(super) async fn doubt(&self, digest: Digest) {
        let store = Arc::clone(&self.store);
        let verified = spawn_blocking(move || store.verify(digest)).await;
        if let Ok(Ok(false)) = verified {
            tracing::warn!(%digest, "contents had rotted and are removed");
            self.miss(digest);
        }
    }

    /// Notes that contents are not here.
    pub(super) fn miss(&self, digest: Digest) {
        lock(&self.tidings.missed).insert(digest);
        self.tidings.news.notify_one();
    }

    /// Notes that the first bytes of large contents are here, to be served on.
    pub(super) fn begin(&self, digest: Digest) {
        lock(&self.tidings.begun).insert(digest);
        self.tidings.news.notify_one();
    }

    /// Waits until [`Shelf::take_missed`] or [`Shelf::take_begun`] has something; cancel safe.
    pub(crate) async fn tidings(&self) {
        self.tidings.news.notified().await;
    }

    /// Which large contents have begun to arrive since the last call.
    pub(crate) fn take_begun(&self) -> BTreeSet<Digest> {
        std::mem::take(&mut lock(&self.tidings.begun))
    }

    /// Which contents were asked for in vain since the last call.
    pub(crate) fn take_missed(&self) -> BTreeSet<Digest> {
        std::mem::take(&mut lock(&self.tidings.missed))
    }

    /// Begins to send the first of `digests`, up to about `bytes` of small contents; at least one.
    ///
    /// # Errors
    /// The disk.
    pub(crate) async fn read(&self, digests: Vec<Digest>, bytes: u64) -> io::Result<Vec<Outgoing>> {
        let store = Arc::clone(&self.store);
        blocking(move || {
            let mut pack = Vec::new();
            let mut gathered = 0;
            for digest in digests {
                let file = Outgoing::open(&store, digest)?;
                gathered += file.bytes();
                pack.push(file);
                if gathered >= bytes {
                    break;
                }
            }
            Ok(pack)
        })
        .await
    }

    /// Removes contents; what is not there is no matter. Nothing waits: `digests` come back if there is no room.
    pub(crate) fn try_forget(&self, digests: Vec<Digest>) -> Result<(), Vec<Digest>> {
        match self.jobs.try_send(Job::Forget(digests)) {
            Err(mpsc::error::TrySendError::Full(Job::Forget(digests))) => Err(digests),
            // A thread that has ended is found out by whoever asks it something next.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Waits until [`Shelf::try_forget`] may succeed; cancel safe.
    pub(crate) async fn room(&self) {
        self.jobs.reserve().await.ok();
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> io::Result<T> {
        let gone = || io::Error::other("the content store's thread has ended");
        let (answer, answered) = oneshot::channel();
        self.jobs.send(job(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

/// Contents that arrive in pieces; dropped before they are published, they leave nothing.
#[derive(Debug)]
pub(crate) struct Incoming {
    pieces: mpsc::Sender<Piece>,
    kept: JoinHandle<Kept>,
}

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// The disk failed or is full; [`Incoming::publish`] says so too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiskFailed;

impl Incoming {
    /// Appends `chunk`; waits while the disk is behind.
    pub(crate) async fn write(&mut self, chunk: Vec<u8>) -> Result<(), DiskFailed> {
        let sent = self.pieces.send(Piece::Bytes(chunk)).await;
        sent.map_err(|_| DiskFailed)
    }

    /// Verifies the whole and makes it visible.
    pub(crate) async fn publish(self) -> Kept {
        // A thread that has given up already says why.
        self.pieces.send(Piece::End).await.ok();
        self.kept.await.unwrap_or(Kept::Disk)
    }
}

/// Contents on their way out.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// They are not here.
    Absent(Digest),
    /// All of them.
    Small(Vec<u8>),
    /// A file that is read in pieces.
    Large(Reading),
}

/// A file that is being read.
#[derive(Debug)]
pub(crate) struct Reading {
    file: Arc<File>,
    left: u64,
}

impl Outgoing {
    fn open(store: &ContentStore, digest: Digest) -> io::Result<Outgoing> {
        let mut file = match store.open_object(digest) {
            Ok(file) => file,
            Err(ContentError::Absent { .. }) => return Ok(Outgoing::Absent(digest)),
            Err(error) => return Err(io::Error::other(error)),
        };
        let left = file.metadata()?.len();
        if left > SMALL_BYTES {
            let file = Arc::new(file);
            return Ok(Outgoing::Large(Reading { file, left }));
        }
        let mut contents = Vec::new();
        file.read_to_end(&mut contents)?;
        if *blake3::hash(&contents).as_bytes() != digest.0
            && matches!(store.verify(digest), Ok(false))
        {
            tracing::warn!(%digest, "contents had rotted and are removed");
            return Ok(Outgoing::Absent(digest));
        }
        Ok(Outgoing::Small(contents))
    }

    fn bytes(&self) -> u64 {
        match self {
            Outgoing::Absent(_) | Outgoing::Large(_) => 0,
            Outgoing::Small(contents) => contents.len() as u64,
        }
    }
}

impl Reading {
    /// How many bytes are still to be read.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Reads the next bytes, at most `most` of them and at least one.
    ///
    /// # Errors
    /// The disk, or the file is shorter than it was.
    pub(crate) async fn read(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let file = Arc::clone(&self.file);
        let most = self.left.min(most as u64);
        let chunk = blocking(move || {
            let mut chunk = Vec::new();
            (&*file).take(most).read_to_end(&mut chunk)?;
            Ok(chunk)
        })
        .await?;
        if chunk.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= chunk.len() as u64;
        Ok(chunk)
    }
}

/// Runs `work`, which waits for a disk, off the loop.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

fn work(store: &ContentStore, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        // An asker that has gone away wants no answer.
        match job {
            Job::Holds(digests, answer) => {
                let held = digests
                    .iter()
                    .map(|digest| store.contains(*digest).is_some())
                    .collect();
                answer.send(held).ok();
            }
            Job::Keep(files, answer) => {
                let kept = files
                    .iter()
                    .map(|(digest, contents)| keep(store, *digest, contents))
                    .collect();
                answer.send(kept).ok();
            }
            Job::Publish(arrival, answer) => {
                answer.send(store.publish(arrival.partial())).ok();
            }
            Job::Forget(digests) => digests.into_iter().for_each(|digest| forget(store, digest)),
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is changed in one step, so a poisoned one is as good as a sound one.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn forget(store: &ContentStore, digest: Digest) {
    let removed = store.remove(digest).and_then(|_| store.abandon(digest));
    if let Err(why) = removed {
        tracing::warn!(%digest, %why, "contents could not be removed");
    }
}

fn keep(store: &ContentStore, digest: Digest, contents: &[u8]) -> Kept {
    let kept = store.writer(contents.len() as u64).and_then(|mut writer| {
        writer.write_all(contents)?;
        writer.finish(Some(digest))
    });
    judge(kept)
}

fn receive(
    store: &ContentStore,
    digest: Digest,
    bytes: u64,
    mut pieces: mpsc::Receiver<Piece>,
) -> Kept {
    let written = store.writer(bytes).and_then(|mut writer| {
        while let Some(piece) = pieces.blocking_recv() {
            match piece {
                Piece::Bytes(bytes) => writer.write_all(&bytes)?,
                Piece::End => return writer.finish(Some(digest)),
            }
        }
        // Nobody hears this: the transfer was given up.
        Err(ContentError::Absent { digest })
    });
    judge(written)
}

fn judge(kept: Result<(Digest, u64), ContentError>) -> Kept {
    match kept {
        Ok(_) => Kept::Held,
        Err(ContentError::WrongDigest { .. } | ContentError::TooLong { .. }) => Kept::Wrong,
        Err(
            ContentError::Full(_)
            | ContentError::Disk(_)
            | ContentError::Changed { .. }
            | ContentError::NotAFile { .. }
            | ContentError::Absent { .. }
            | ContentError::NotProved { .. }
            | ContentError::Busy { .. },
        ) => Kept::Disk,
    }
}

/// How long a neighbour may be silent about what it has claimed.
const SILENT_MS_MAX: u64 = 15_000;
/// Jobs that wait for the thread; a job is at most one pack.
const JOBS_MAX: usize = 64;
/// Pieces of one transfer that wait for the disk; a piece is a quarter of a mebibyte.
const PIECES_MAX: usize = 4;
