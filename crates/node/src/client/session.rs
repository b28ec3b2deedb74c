//! The task that keeps a client's control connection.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use muster_proto::limits::OUTCOMES_OUT_MAX;
use muster_proto::wire::{CloseCode, Delivered, Frame, Outcomes, Refusal, StatusReply, Watch};
use muster_proto::{Role, TaskId, Time};
use quinn::SendStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::ranges::TaskSet;
use super::{ClientError, Master, Range};
use crate::clock::Clock;
use crate::driver::Backoff;
use crate::driver::frames::{End, Frames, GreetError, greet};
use crate::endpoint::{DialError, Ending, Kind, Link};

/// What a client wants of its session.
#[derive(Debug)]
pub(super) enum Ask {
    /// Send a frame and wait for its answer.
    Frame(Frame, Answer),
    /// Watch these tasks, instead of those before.
    Watch(Vec<Range>, mpsc::Sender<Outcomes>),
    /// The user has these.
    Delivered(Delivered),
}

/// Whom an answer goes to.
#[derive(Debug)]
pub(super) enum Answer {
    /// The submit with this sequence.
    Submitted(u64, oneshot::Sender<Result<(TaskId, u32), Refusal>>),
    /// A cancellation.
    Cancelled(oneshot::Sender<u64>),
    /// A question how things stand.
    Status(oneshot::Sender<StatusReply>),
    /// A question about a task.
    Explained(oneshot::Sender<Vec<String>>),
}

/// Everything that outlives a connection.
#[derive(Debug)]
pub(super) struct Session {
    master: Master,
    asks: mpsc::Receiver<Ask>,
    failure: Arc<OnceLock<ClientError>>,
    clock: Clock,
    /// Frames without an answer, oldest first; said again on a new connection.
    open: VecDeque<(Vec<u8>, Answer)>,
    watch: Option<Watched>,
    /// Tasks the user has; their outcomes are not handed over again, whatever a restarted master remembers.
    delivered: TaskSet,
}

/// A watch that goes on.
#[derive(Debug)]
struct Watched {
    ranges: Vec<Range>,
    sender: mpsc::Sender<Outcomes>,
    /// Tasks whose outcomes have been handed over.
    seen: TaskSet,
}

/// Why a connection is over.
enum Over {
    /// The client was closed.
    Closed,
    /// The connection ended; another may do better.
    Lost(Ending),
}

impl Session {
    pub(super) fn new(
        master: Master,
        asks: mpsc::Receiver<Ask>,
        failure: Arc<OnceLock<ClientError>>,
    ) -> Session {
        Session {
            master,
            asks,
            failure,
            clock: Clock::start(),
            open: VecDeque::new(),
            watch: None,
            delivered: TaskSet::default(),
        }
    }

    /// Connects again and again until the client is closed or there is no use in it.
    pub(super) async fn run(mut self, connected: oneshot::Sender<()>) {
        if let Err(error) = self.carry_on(connected).await {
            // It is set here only, before anything that waits for an answer is dropped.
            self.failure.set(error).ok();
        }
    }

    async fn carry_on(&mut self, connected: oneshot::Sender<()>) -> Result<(), ClientError> {
        let mut connected = Some(connected);
        loop {
            let (link, sending, frames) = self.connect().await?;
            if let Some(connected) = connected.take() {
                connected.send(()).ok();
            }
            match self.converse(&link, sending, frames).await {
                Over::Closed => {
                    link.finish(CloseCode::Done).await;
                    return Ok(());
                }
                Over::Lost(ending) => {
                    tracing::debug!(%ending, "the connection to the master is lost; connecting again");
                    judge(&self.master, ending)?;
                }
            }
        }
    }

    /// Dials until there is a greeted connection or the patience is over.
    async fn connect(&mut self) -> Result<(Link, SendStream, Frames), ClientError> {
        let address = self.master.address;
        let begun = self.clock.now();
        let mut backoff = Backoff::default();
        loop {
            let error = match backoff
                .dial(
                    address,
                    &self.master.credentials,
                    Kind::Control,
                    &[Role::Master],
                )
                .await
            {
                Ok(link) => match greet(&link, End::Dialer).await {
                    Ok((sending, frames)) => return Ok((link, sending, frames)),
                    Err(GreetError::Version { .. }) => {
                        return Err(ClientError::Version { address });
                    }
                    Err(GreetError::Ended(ending)) => {
                        judge(&self.master, ending.clone())?;
                        DialError::Handshake { address, ending }
                    }
                    Err(GreetError::Late | GreetError::NotHello(_)) => {
                        DialError::NoAnswer { address }
                    }
                },
                Err(error) => error,
            };
            give_up(&self.master, self.clock, begun, error)?;
            sleep(backoff.next()).await;
        }
    }

    /// Says what is open and then what is asked, and hands answers over, until the connection ends.
    async fn converse(&mut self, link: &Link, mut sending: SendStream, mut frames: Frames) -> Over {
        let mut bytes = Vec::new();
        if let Some(watch) = &self.watch {
            let ranges = watch.ranges.clone();
            Frame::from(Watch { ranges }).encode(&mut bytes);
        }
        for (frame, _) in &self.open {
            bytes.extend_from_slice(frame);
        }
        loop {
            if sending.write_all(&bytes).await.is_err() {
                return Over::Lost(link.closed().await);
            }
            bytes.clear();
            tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.begin(ask, &mut bytes),
                    None => {
                        if sending.finish().is_ok() {
                            timeout(LAST_WORDS, sending.stopped()).await.ok();
                        }
                        return Over::Closed;
                    }
                },
                frame = frames.next(Role::Master) => match frame {
                    Ok(frame) => if self.hear(frame, &mut bytes).is_err() {
                        link.close(CloseCode::Protocol);
                        return Over::Lost(Ending::Closed(CloseCode::Protocol));
                    },
                    Err(why) => {
                        tracing::debug!(%why, "nothing more comes from the master");
                        if timeout(LAST_WORDS, link.closed()).await.is_err() {
                            link.close(CloseCode::Protocol);
                        }
                        return Over::Lost(link.closed().await);
                    }
                },
            }
        }
    }

    fn begin(&mut self, ask: Ask, bytes: &mut Vec<u8>) {
        match ask {
            Ask::Frame(frame, answer) => {
                let start = bytes.len();
                frame.encode(bytes);
                self.open.push_back((bytes[start..].to_vec(), answer));
            }
            Ask::Watch(ranges, sender) => {
                Frame::from(Watch {
                    ranges: ranges.clone(),
                })
                .encode(bytes);
                self.watch = Some(Watched {
                    ranges,
                    sender,
                    seen: TaskSet::default(),
                });
            }
            Ask::Delivered(delivered) => {
                for task in &delivered.tasks {
                    self.delivered.insert(*task);
                }
                Frame::from(delivered).encode(bytes);
            }
        }
    }

    /// Hands over what came; what makes no sense is an error.
    fn hear(&mut self, frame: Frame, bytes: &mut Vec<u8>) -> Result<(), Senseless> {
        // Whoever asked may have stopped waiting; then nobody wants the answer.
        match frame {
            Frame::Submitted(submitted) => {
                if let Some(Answer::Submitted(_, asker)) =
                    self.answered(|answer| matches!(answer, Answer::Submitted(sequence, _) if *sequence == submitted.sequence))
                {
                    asker.send(submitted.result).ok();
                }
            }
            Frame::Cancelled(cancelled) => {
                if let Some(Answer::Cancelled(asker)) = self.answered(|answer| matches!(answer, Answer::Cancelled(_))) {
                    asker.send(cancelled.count).ok();
                }
            }
            Frame::StatusReply(reply) => {
                if let Some(Answer::Status(asker)) = self.answered(|answer| matches!(answer, Answer::Status(_))) {
                    asker.send(reply).ok();
                }
            }
            Frame::Explained(explained) => {
                if let Some(Answer::Explained(asker)) = self.answered(|answer| matches!(answer, Answer::Explained(_))) {
                    asker.send(explained.lines).ok();
                }
            }
            Frame::Outcomes(outcomes) => return self.hand_over(outcomes, bytes),
            Frame::Hello(_)
            | Frame::Offer(_)
            | Frame::Assign(_)
            | Frame::Reports(_)
            | Frame::Ack(_)
            | Frame::Cancel(_)
            | Frame::Inventory(_)
            | Frame::Started(_)
            | Frame::Retire(_)
            | Frame::Inquire(_)
            | Frame::Desist(_)
            | Frame::Answered(_)
            | Frame::Replica(_)
            | Frame::Raft(_)
            | Frame::Submit(_)
            | Frame::Watch(_)
            | Frame::Delivered(_)
            | Frame::CancelTasks(_)
            | Frame::Status(_)
            | Frame::Explain(_) => return Err(Senseless),
        }
        Ok(())
    }

    /// The oldest open ask that `fits`, which is open no longer.
    fn answered(&mut self, fits: impl Fn(&Answer) -> bool) -> Option<Answer> {
        let at = self.open.iter().position(|(_, answer)| fits(answer))?;
        self.open.remove(at).map(|(_, answer)| answer)
    }

    /// Hands outcomes to the watcher, those it has not had; those that it has for good are acknowledged again.
    fn hand_over(&mut self, mut outcomes: Outcomes, bytes: &mut Vec<u8>) -> Result<(), Senseless> {
        let Some(watch) = &mut self.watch else {
            return Err(Senseless);
        };
        let mut again = Vec::new();
        outcomes.outcomes.retain(|outcome| {
            let task = outcome.task;
            if self.delivered.contains(task) {
                again.push(task);
                return false;
            }
            watch.seen.insert(task)
        });
        if !again.is_empty() {
            Frame::from(Delivered { tasks: again }).encode(bytes);
        }
        let is_empty = outcomes.outcomes.is_empty();
        match watch.sender.try_send(outcomes) {
            // A count of open tasks is out of date by the time a full queue is read.
            Err(mpsc::error::TrySendError::Full(_)) if is_empty => Ok(()),
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            // No more than this many are ever under way without an acknowledgement.
            Err(mpsc::error::TrySendError::Full(_)) => Err(Senseless),
        }
    }
}

/// The master said something that no master says to a user.
struct Senseless;

/// Whether another try may do better after a connection has ended like this.
pub(super) fn judge(master: &Master, ending: Ending) -> Result<(), ClientError> {
    let address = master.address;
    match ending {
        Ending::Closed(CloseCode::Version) => Err(ClientError::Version { address }),
        Ending::Closed(CloseCode::WrongRole | CloseCode::Alien | CloseCode::Protocol)
        | Ending::ClosedUnknown(_)
        | Ending::Refused { .. }
        | Ending::Rejected(_) => Err(ClientError::Refused { address, ending }),
        Ending::Closed(
            CloseCode::Done
            | CloseCode::Slow
            | CloseCode::Superseded
            | CloseCode::Leaving
            | CloseCode::Full,
        )
        | Ending::Here
        | Ending::Silent
        | Ending::Restarted
        | Ending::Failed(_) => Ok(()),
    }
}

/// Whether to dial on after `error`, having begun at `begun`.
pub(super) fn give_up(
    master: &Master,
    clock: Clock,
    begun: Time,
    error: DialError,
) -> Result<(), ClientError> {
    let address = master.address;
    let hopeless = match &error {
        DialError::Endpoint(_) | DialError::Address { .. } | DialError::Denied { .. } => true,
        DialError::NoAnswer { .. } => false,
        DialError::Handshake { ending, .. } => judge(master, ending.clone()).is_err(),
    };
    let waited = Duration::from_micros(clock.now().since(begun).0);
    if hopeless || waited >= master.patience {
        let why = Arc::new(error);
        return Err(ClientError::Unreachable { address, why });
    }
    Ok(())
}

/// Frames of outcomes that wait for the watcher: a master sends no more outcomes without an acknowledgement.
pub(super) const OUTCOMES_WAITING_MAX: usize = OUTCOMES_OUT_MAX;
/// When the master has had its time to acknowledge what was said last, or to say why it closed.
const LAST_WORDS: Duration = Duration::from_millis(500);
