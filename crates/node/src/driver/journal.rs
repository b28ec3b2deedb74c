//! The journal's thread: the loop hands records over and goes on; durability comes back as news.
//!
//! Everything that waits is committed at once (group commit): while one commit is at the disk, the next batch
//! gathers. A disk that refuses is asked again every second, and until it gives in nothing
//! behind it is durable, so nothing is acknowledged (M6).

use std::io;
use std::iter;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, Thread};
use std::time::Duration;

use muster_proto::Lsn;
use muster_proto::machine::Record;
use muster_store::Journal;
use tokio::sync::{oneshot, watch};

/// Where records become durable: the store's journal, or a test's.
pub trait Log: Send + 'static {
    /// Takes a record behind those before it; it is durable after the next commit that succeeds.
    fn append(&mut self, record: &[u8]);

    /// Makes everything appended durable.
    ///
    /// # Errors
    /// Says for people why the disk refused. What was appended is kept, and committing is tried again later.
    fn commit(&mut self) -> Result<(), String>;

    /// Replaces everything by these records, which get the next numbers, and returns the last of those.
    ///
    /// # Errors
    /// Says for people why the disk refused. Then either the old records are there or the new ones, whole.
    fn rewrite(&mut self, records: Vec<Vec<u8>>) -> Result<Lsn, String>;
}

impl Log for Journal {
    fn append(&mut self, record: &[u8]) {
        Journal::append(self, record);
    }

    fn commit(&mut self) -> Result<(), String> {
        Journal::commit(self)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn rewrite(&mut self, records: Vec<Vec<u8>>) -> Result<Lsn, String> {
        Journal::rewrite(self, records.into_iter()).map_err(|error| error.to_string())
    }
}

/// Encoded records, in order.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Where each record ends in `bytes`.
    ends: Vec<usize>,
}

impl Batch {
    /// The records, oldest first.
    fn records(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.bytes[*start..*end])
    }

    fn push(&mut self, record: &impl Record) {
        record.encode(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }
}

/// What the thread is given to do, in order.
enum Work {
    /// Make these durable.
    Batch(Batch),
    /// Put these in the place of all records, and say the number of the last.
    Rewrite(Vec<Vec<u8>>, oneshot::Sender<Lsn>),
}

/// How the journal stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Every record up to this one is on the disk.
    pub(crate) durable: Lsn,
    /// Why nothing can be written, for people.
    pub(crate) trouble: Option<String>,
}

/// The loop's end of the journal.
#[derive(Debug)]
pub(crate) struct Keeper {
    pending: Batch,
    /// The last record handed to [`Keeper::record`].
    last: Lsn,
    work: SyncSender<Work>,
    standing: watch::Receiver<Standing>,
    /// Tells the thread that a disk that refuses is not to be waited for.
    leaving: Arc<AtomicBool>,
    thread: Thread,
}

/// The journal's thread is gone: it panicked, which the log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal's thread has ended")]
pub struct JournalLost;

impl Keeper {
    /// Starts the thread on `log`, whose next record will be `next`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(log: Box<dyn Log>, next: Lsn) -> io::Result<Keeper> {
        let last = Lsn(next.0.saturating_sub(1));
        let (work, receiver) = sync_channel(BATCHES_MAX);
        let (sender, standing) = watch::channel(Standing {
            durable: last,
            trouble: None,
        });
        let leaving = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&leaving);
        let builder = thread::Builder::new().name("journal".to_owned());
        let thread = builder.spawn(move || keep(log, &receiver, &sender, &told))?;
        Ok(Keeper {
            pending: Batch::default(),
            last,
            work,
            standing,
            leaving,
            thread: thread.thread().clone(),
        })
    }

    /// Takes a record, which gets the next number.
    pub(crate) fn record(&mut self, record: &impl Record) {
        self.pending.push(record);
        self.last.0 += 1;
    }

    /// Hands the records of this turn over, unless the thread has enough to do; then they go with the next.
    pub(crate) fn flush(&mut self) -> Result<(), JournalLost> {
        if self.pending.ends.is_empty() {
            return Ok(());
        }
        match self
            .work
            .try_send(Work::Batch(mem::take(&mut self.pending)))
        {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(Work::Batch(batch))) => {
                self.pending = batch;
                Ok(())
            }
            Err(TrySendError::Full(Work::Rewrite(..)) | TrySendError::Disconnected(_)) => {
                Err(JournalLost)
            }
        }
    }

    /// Puts `records` in the place of all that were recorded so far, and waits until they are durable; the last one's
    /// number, or nothing if the disk refused, which leaves the old ones.
    ///
    /// Nothing may be recorded meanwhile.
    pub(crate) async fn rewrite(
        &mut self,
        records: Vec<Vec<u8>>,
    ) -> Result<Option<Lsn>, JournalLost> {
        loop {
            self.flush()?;
            if self.is_settled() {
                break;
            }
            self.changed().await?;
        }
        let (sender, done) = oneshot::channel();
        // Everything is settled, so there is room.
        let sent = self.work.try_send(Work::Rewrite(records, sender));
        sent.map_err(|_| JournalLost)?;
        let last = done.await.ok();
        self.last = last.unwrap_or(self.last);
        Ok(last)
    }

    /// Waits until the standing has changed since it was last looked at; cancel safe.
    pub(crate) async fn changed(&mut self) -> Result<(), JournalLost> {
        self.standing.changed().await.map_err(|_| JournalLost)
    }

    /// How the journal stands.
    pub(crate) fn standing(&mut self) -> Standing {
        self.standing.borrow_and_update().clone()
    }

    /// Up to which record the journal is durable.
    pub(crate) fn durable(&self) -> Lsn {
        self.standing.borrow().durable
    }

    /// The last record that was taken.
    pub(crate) fn last(&self) -> Lsn {
        self.last
    }

    /// Whether every record is on the disk.
    pub(crate) fn is_settled(&self) -> bool {
        self.durable() == self.last
    }

    /// Whether so much waits that no more should be taken in.
    pub(crate) fn is_full(&self) -> bool {
        self.pending.bytes.len() > PENDING_BYTES_MAX
    }

    /// Ends the thread once it has written what it has, or once the disk has refused.
    pub(crate) async fn close(mut self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.thread.unpark();
        while self.flush().is_ok() && !self.pending.ends.is_empty() {
            if self.changed().await.is_err() {
                return;
            }
        }
        drop(self.work);
        while self.standing.changed().await.is_ok() {}
    }
}

/// Commits what comes until nothing comes any more, or nobody is there to hear of it.
fn keep(
    mut log: Box<dyn Log>,
    work: &Receiver<Work>,
    standing: &watch::Sender<Standing>,
    leaving: &AtomicBool,
) {
    while let Ok(first) = work.recv() {
        let mut records = 0;
        let mut rewrite = None;
        for work in iter::once(first).chain(work.try_iter()) {
            match work {
                Work::Batch(batch) => {
                    batch.records().for_each(|record| log.append(record));
                    records += batch.ends.len() as u64;
                }
                Work::Rewrite(facts, done) => {
                    rewrite = Some((facts, done));
                    break;
                }
            }
        }
        while let Err(why) = log.commit() {
            complain(standing, why);
            if leaving.load(Ordering::Relaxed) || standing.is_closed() {
                return;
            }
            thread::park_timeout(RETRY);
        }
        standing.send_modify(|standing| {
            if standing.trouble.take().is_some() {
                tracing::info!("the journal can be written again");
            }
            standing.durable.0 += records;
        });
        if let Some((facts, done)) = rewrite {
            compact(log.as_mut(), facts, done, standing);
        }
    }
}

/// Rewrites the journal; whoever waits hears nothing if the disk refuses.
fn compact(
    log: &mut dyn Log,
    facts: Vec<Vec<u8>>,
    done: oneshot::Sender<Lsn>,
    standing: &watch::Sender<Standing>,
) {
    match log.rewrite(facts) {
        Ok(last) => {
            standing.send_modify(|standing| standing.durable = last);
            // The loop may have left meanwhile.
            done.send(last).ok();
        }
        Err(why) => tracing::warn!(%why, "the journal cannot be compacted; it goes on as it is"),
    }
}

/// Says what the trouble is, in the log only when it is news.
fn complain(standing: &watch::Sender<Standing>, why: String) {
    standing.send_if_modified(|standing| {
        let news = standing.trouble.as_ref() != Some(&why);
        if news {
            tracing::warn!(%why, "the journal cannot be written; nothing is acknowledged until it can");
            standing.trouble = Some(why);
        }
        news
    });
}

/// Batches under way to the thread; while one is being written a few gather, and more would only be copied.
const BATCHES_MAX: usize = 8;
/// When a disk that refused is asked again (M6: work resumes without a restart).
const RETRY: Duration = Duration::from_secs(1);
/// Bytes of records that wait while the disk refuses, before links are no longer read: a million small records.
const PENDING_BYTES_MAX: usize = 128 << 20;
