//! A user's side of a master: submit, watch, bring files back.
//!
//! A [`Client`] keeps one control connection, and a bulk connection when files move. When the master restarts, or the
//! network is cut, it connects again by itself, says again what was not answered, and goes on: a submit is never
//! counted twice, an outcome is never handed over twice. It gives up with a [`ClientError`] when the master could
//! not be reached for as long as its user's patience.
//!
//! Not here: what to submit (commands and bindings), where masters are (the catalog).

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use muster_proto::limits::{BATCH_MAX, BODY_BYTES_MAX};
use muster_proto::task::{TaskBody, Template};
use muster_proto::wire::{
    CancelTasks, Delivered, Explain, Frame, Outcomes, Refusal, Status, StatusReply, Subject, Submit,
};
use muster_proto::{Digest, TaskId};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::endpoint::{DialError, Ending};
use crate::identity::Credentials;
use crate::tasks::Tasks;

mod files;
mod place;
mod ranges;
mod session;

pub use files::Target;

use session::{Answer, Ask, Session};

/// First and last of consecutive tasks.
pub type Range = (TaskId, TaskId);

/// A connection to a master that outlives the master's restarts.
///
/// Methods take `&self` and may run side by side. [`Client::close`] ends it so that nothing said is lost; dropping it
/// does not wait.
#[derive(Debug)]
pub struct Client {
    asks: mpsc::Sender<Ask>,
    numbers: Mutex<Numbers>,
    files: files::Files,
    failure: Arc<OnceLock<ClientError>>,
    tasks: Tasks,
}

/// What tells this client's submits apart from all others.
#[derive(Debug)]
struct Numbers {
    session: u64,
    sequence: u64,
}

/// Where a master is and how long it may be away.
#[derive(Clone, Debug)]
pub struct Master {
    /// Its address.
    pub address: SocketAddr,
    /// Who is asking; a user.
    pub credentials: Arc<Credentials>,
    /// When a master that cannot be reached is given up, counted from when it was last there.
    pub patience: Duration,
}

/// Why a client could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The master could not be reached for as long as the patience lasted.
    #[error("the master at {address} cannot be reached")]
    Unreachable {
        /// Where it should be.
        address: SocketAddr,
        /// What the last try met.
        #[source]
        why: Arc<DialError>,
    },
    /// The master, or this process, refuses to talk: trying again would not help.
    #[error("the master at {address} and this process cannot talk: {ending}")]
    Refused {
        /// Where it is.
        address: SocketAddr,
        /// How the connection ended.
        ending: Ending,
    },
    /// Master and client are of releases that share no version of the protocol.
    #[error("the master at {address} is of a release that this one cannot talk to")]
    Version {
        /// Where it is.
        address: SocketAddr,
    },
    /// The master did not take the tasks.
    #[error("the master did not take the tasks: {0:?}")]
    NotTaken(Refusal),
    /// A task and its template are together larger than a frame: give it files instead of long arguments.
    #[error("a task of {bytes} bytes; the limit is {BODY_BYTES_MAX} with its template")]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// A file could not be read or written here.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// A file is not what it was when it was hashed (X4).
    #[error("{} changed while it was sent", path.display())]
    InputChanged {
        /// Which.
        path: PathBuf,
    },
    /// The master does not have these contents.
    #[error("the master does not have {digest}")]
    Absent {
        /// Which.
        digest: Digest,
    },
    /// A transfer failed again and again.
    #[error("a transfer failed: {0}")]
    Transfer(#[from] crate::bulk::Stop),
}

impl Client {
    /// Connects to `master`.
    ///
    /// # Errors
    /// It could not be reached within its patience, or will not talk.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(master: Master) -> Result<Client, ClientError> {
        let (asks, receiver) = mpsc::channel(ASKS_MAX);
        let failure = Arc::new(OnceLock::new());
        let (connected, is_connected) = oneshot::channel();
        let session = Session::new(master.clone(), receiver, Arc::clone(&failure));
        let mut tasks = Tasks::new();
        tasks.spawn("client", session.run(connected));
        let client = Client {
            asks,
            numbers: Mutex::new(Numbers {
                session: RandomState::new().hash_one(0),
                sequence: 0,
            }),
            files: files::Files::new(master),
            failure,
            tasks,
        };
        is_connected.await.map_err(|_| client.why())?;
        Ok(client)
    }

    /// Submits tasks that share `template`; when it returns they are durable at the master (M1).
    ///
    /// Many tasks travel in several frames; what is returned are their numbers in order, as few ranges as possible.
    ///
    /// # Errors
    /// The master refused, or is gone for good; frames before the one refused have been taken.
    pub async fn submit(
        &self,
        template: &Template,
        tasks: Vec<TaskBody>,
    ) -> Result<Vec<Range>, ClientError> {
        self.submit_with(template, tasks, &[]).await
    }

    /// The same for tasks that need `files`: contents that the master gave up, because nothing had referred to them
    /// for a while, are put there once more.
    ///
    /// # Errors
    /// As [`Client::submit`] and [`Client::put_files`].
    pub async fn submit_with(
        &self,
        template: &Template,
        tasks: Vec<TaskBody>,
        files: &[(Digest, PathBuf)],
    ) -> Result<Vec<Range>, ClientError> {
        let template = Arc::new(template.clone());
        let mut ranges: Vec<Range> = Vec::new();
        for tasks in cut(&template, tasks)? {
            let (first, count) = self.submit_part(&template, tasks, files).await?;
            let last = TaskId(first.0 + u64::from(count).saturating_sub(1));
            match ranges.last_mut() {
                Some((_, before)) if before.0 + 1 == first.0 => *before = last,
                Some(_) | None => ranges.push((first, last)),
            }
        }
        Ok(ranges)
    }

    /// Submits what fits a frame.
    async fn submit_part(
        &self,
        template: &Arc<Template>,
        mut tasks: Vec<TaskBody>,
        files: &[(Digest, PathBuf)],
    ) -> Result<(TaskId, u32), ClientError> {
        let mut tries = if files.is_empty() {
            0
        } else {
            SUBMIT_TRIES_MAX
        };
        loop {
            let sent = match tries {
                0 => std::mem::take(&mut tasks),
                _ => tasks.clone(),
            };
            match self.submit_frame(template, sent).await? {
                Ok(taken) => return Ok(taken),
                Err(Refusal::MissingFile) if tries > 0 => {
                    tries -= 1;
                    self.put_files(files).await?;
                }
                Err(refusal) => return Err(ClientError::NotTaken(refusal)),
            }
        }
    }

    async fn submit_frame(
        &self,
        template: &Arc<Template>,
        tasks: Vec<TaskBody>,
    ) -> Result<Result<(TaskId, u32), Refusal>, ClientError> {
        // The master takes the submits of a session in their order.
        let mut numbers = self.numbers.lock().await;
        numbers.sequence += 1;
        let sequence = numbers.sequence;
        let frame = Frame::from(Submit {
            session: numbers.session,
            sequence,
            template: Arc::clone(template),
            tasks,
        });
        self.ask(frame, |answer| Answer::Submitted(sequence, answer))
            .await
    }

    /// Asks for the outcomes of `ranges`, those that are there and those to come. It replaces an earlier watch, which
    /// ends.
    ///
    /// # Errors
    /// The master is gone for good.
    pub async fn watch(&self, ranges: Vec<Range>) -> Result<Watching, ClientError> {
        let (sender, receiver) = mpsc::channel(session::OUTCOMES_WAITING_MAX);
        self.tell(Ask::Watch(ranges, sender)).await?;
        Ok(Watching {
            receiver,
            failure: Arc::clone(&self.failure),
        })
    }

    /// Says that the outcomes of `tasks`, and the files that were wanted, are safe with the user.
    ///
    /// # Errors
    /// The master is gone for good.
    pub async fn delivered(&self, tasks: &[TaskId]) -> Result<(), ClientError> {
        for part in tasks.chunks(BATCH_MAX) {
            let tasks = part.to_vec();
            self.tell(Ask::Delivered(Delivered { tasks })).await?;
        }
        Ok(())
    }

    /// Cancels the tasks of `ranges` that have no outcome; says how many there were.
    ///
    /// # Errors
    /// The master is gone for good.
    pub async fn cancel(&self, ranges: Vec<Range>) -> Result<u64, ClientError> {
        self.ask(CancelTasks { ranges }.into(), Answer::Cancelled)
            .await
    }

    /// How things stand.
    ///
    /// # Errors
    /// The master is gone for good.
    pub async fn status(&self) -> Result<StatusReply, ClientError> {
        self.ask(Status {}.into(), Answer::Status).await
    }

    /// What is known of one task, oldest first, or of contents.
    ///
    /// # Errors
    /// The master is gone for good.
    pub async fn explain(&self, subject: Subject) -> Result<Vec<String>, ClientError> {
        self.ask(Explain { subject }.into(), Answer::Explained)
            .await
    }

    /// Makes sure that the master has these contents: asks which it lacks, and sends those.
    ///
    /// # Errors
    /// A file cannot be read or is not what its digest names, or the master is gone for good.
    pub async fn put_files(&self, files: &[(Digest, PathBuf)]) -> Result<(), ClientError> {
        self.files.put(files).await
    }

    /// Brings contents from the master to their names below `root`, verified; each appears whole or not at all.
    ///
    /// # Errors
    /// The master lacks one, a name cannot be written, or the master is gone for good. Files before are there.
    pub async fn get_files(&self, root: &Path, targets: &[Target]) -> Result<(), ClientError> {
        self.files.get(root, targets).await
    }

    /// Ends the connection when the master has what it was told.
    pub async fn close(mut self) {
        drop(self.asks);
        self.tasks.join().await;
        self.files.close().await;
    }

    async fn ask<T>(
        &self,
        frame: Frame,
        answer: impl FnOnce(oneshot::Sender<T>) -> Answer,
    ) -> Result<T, ClientError> {
        let (sender, receiver) = oneshot::channel();
        self.tell(Ask::Frame(frame, answer(sender))).await?;
        receiver.await.map_err(|_| self.why())
    }

    async fn tell(&self, ask: Ask) -> Result<(), ClientError> {
        self.asks.send(ask).await.map_err(|_| self.why())
    }

    fn why(&self) -> ClientError {
        why(&self.failure)
    }
}

/// The outcomes of watched tasks, as they come.
#[derive(Debug)]
pub struct Watching {
    receiver: mpsc::Receiver<Outcomes>,
    failure: Arc<OnceLock<ClientError>>,
}

impl Watching {
    /// Waits for more outcomes; `None` when another watch has replaced this one. Cancel safe.
    ///
    /// An outcome is handed over once in the life of a watch, however often the master repeats it.
    ///
    /// # Errors
    /// The master is gone for good.
    pub async fn next(&mut self) -> Result<Option<Outcomes>, ClientError> {
        match self.receiver.recv().await {
            Some(outcomes) => Ok(Some(outcomes)),
            None if self.failure.get().is_some() => Err(why(&self.failure)),
            None => Ok(None),
        }
    }
}

fn why(failure: &OnceLock<ClientError>) -> ClientError {
    let failure = failure.get().cloned();
    failure.expect("a session ends by failing, or by a close that takes the client away")
}

/// Cuts tasks into frames: each at most [`BATCH_MAX`] tasks, and with the template at most [`BODY_BYTES_MAX`] bytes.
fn cut(template: &Template, tasks: Vec<TaskBody>) -> Result<Vec<Vec<TaskBody>>, ClientError> {
    let base = template.weight();
    let mut frames: Vec<Vec<TaskBody>> = Vec::new();
    let mut bytes = 0;
    for task in tasks {
        let weight = task.weight();
        if base + weight > BODY_BYTES_MAX {
            return Err(ClientError::TooLarge {
                bytes: base + weight,
            });
        }
        match frames.last_mut() {
            Some(frame) if frame.len() < BATCH_MAX && bytes + weight <= BODY_BYTES_MAX => {
                frame.push(task);
                bytes += weight;
            }
            Some(_) | None => {
                frames.push(vec![task]);
                bytes = base + weight;
            }
        }
    }
    Ok(frames)
}

/// Wishes that wait for the session; more wait at whoever has them.
const ASKS_MAX: usize = 64;

/// Tries at a submit whose files the master has meanwhile given up.
const SUBMIT_TRIES_MAX: u32 = 3;
