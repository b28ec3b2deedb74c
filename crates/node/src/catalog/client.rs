//! A client of the catalog: asks any replica, follows the leader, tries again while there is time.
//!
//! A command goes under a session's number, so that one whose answer got lost is sent again and applied once (C10).
//! When the time is over, [`AskError`] tells whether a change may have happened all the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_proto::catalog::{
    Answer, Change, Command, Fault, Filter, Found, Freshness, Item, Key, Member, Named, Op, Query,
    Refusal, Reply, Reshape, Revision, Standing,
};
use muster_proto::limits::{ASK_WAIT_MAX, PAGE_ITEMS_MAX};
use muster_proto::wire::Inquiry;
use muster_proto::{Span, Time};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::line::{self, Line, Lost, Request, span};
use crate::clock::Clock;
use crate::driver::Backoff;
use crate::identity::Credentials;
use crate::tasks::Tasks;

/// A client; clones are the same one. It dials when it is first asked something, and again whenever it must.
#[derive(Clone, Debug)]
pub struct Client {
    requests: mpsc::Sender<Request>,
    clock: Clock,
    sessions: Arc<Mutex<Vec<Session>>>,
    line: Arc<Tasks>,
}

/// A session that no command is under way in.
#[derive(Clone, Copy, Debug)]
struct Session {
    number: u64,
    /// Of the last command.
    seq: u64,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No replica was reached; nothing was changed.
    #[error("no catalog can be reached: {0}")]
    Unreachable(String),
    /// No majority of replicas was found; nothing was changed.
    #[error("no quorum: too few of the catalog's replicas are in reach of each other")]
    NoQuorum,
    /// The catalog has too much to do, or a change of membership is under way; nothing was changed.
    #[error("the catalog is busy")]
    Busy,
    /// Whether the command was applied is not known.
    #[error("whether the catalog has done it is not known")]
    Unknown,
    /// The changes after the revision are not kept any more.
    #[error("the changes after that revision are no longer kept; the oldest that can be given is after {}", oldest.0)]
    Compacted {
        /// From where a watch can begin.
        oldest: Revision,
    },
    /// The change of membership makes no sense where things stand.
    #[error("the change of membership makes no sense where things stand")]
    Unfit,
    /// The catalog refused.
    #[error("the catalog refused: {}", reason(*.0))]
    Refused(Refusal),
    /// The catalog answered something else than was asked.
    #[error("the catalog gave an answer to something else")]
    Senseless,
}

impl Client {
    /// A client of the replicas at `members`, of which a minority may be away; for peers of the federation that
    /// `credentials` are of.
    ///
    /// # Panics
    /// If there are no members; outside a tokio runtime.
    pub fn new(members: Vec<String>, credentials: Arc<Credentials>) -> Client {
        assert!(!members.is_empty(), "a catalog has a replica");
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        let clock = Clock::start();
        let mut tasks = Tasks::new();
        let line = Line::new(members, credentials, clock, receiver);
        tasks.spawn("catalog client", line.run());
        Client {
            requests,
            clock,
            sessions: Arc::default(),
            line: Arc::new(tasks),
        }
    }

    /// Who runs the replica at `address`: its storage, and its identity by its certificate.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn meet(
        address: &str,
        credentials: &Arc<Credentials>,
        patience: Duration,
    ) -> Result<Member, AskError> {
        let addresses = vec![address.to_owned()];
        let client = Client::new(addresses.clone(), Arc::clone(credentials));
        let standing = client.standing(patience).await?;
        client.close().await;
        let peer = line::peer_at(address, credentials).await;
        Ok(Member {
            node: standing.node,
            peer: peer.map_err(AskError::Unreachable)?,
            addresses,
        })
    }

    /// Changes the directory.
    ///
    /// # Errors
    /// See [`AskError`]; [`AskError::Refused`] when it was understood and not done.
    pub async fn command(&self, command: Command, patience: Duration) -> Result<Reply, AskError> {
        let until = self.until(patience);
        loop {
            let mut session = match self.free_session() {
                Some(session) => session,
                None => self.open_session(until).await?,
            };
            session.seq += 1;
            let op = Op {
                session: session.number,
                seq: session.seq,
            };
            let what = Inquiry::Command(Some(op), command.clone());
            let (answer, is_first) = self.ask(what, until).await?;
            let Answer::Applied(reply) = answer else {
                return Err(senseless(&answer));
            };
            match reply {
                // Forgotten for want of room before this command came: another session can do it.
                Reply::Refused(Refusal::Forgotten) if is_first => continue,
                Reply::Refused(Refusal::Forgotten) => return Err(AskError::Unknown),
                Reply::Refused(_)
                | Reply::Opened { .. }
                | Reply::Done { .. }
                | Reply::Granted { .. } => {}
            }
            self.with_sessions(|sessions| sessions.push(session));
            return match reply {
                Reply::Refused(refusal) => Err(AskError::Refused(refusal)),
                Reply::Opened { .. } | Reply::Done { .. } | Reply::Granted { .. } => Ok(reply),
            };
        }
    }

    /// What stands under a key, with the revision and age of the answer.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn get(
        &self,
        key: Key,
        freshness: Freshness,
        patience: Duration,
    ) -> Result<(Option<Item>, Found), AskError> {
        let until = self.until(patience);
        let mut found = self.page(Query::Get(key), freshness, until).await?;
        let item = found.items.pop().map(|named| named.item);
        Ok((item, found))
    }

    /// Everything that matches, page by page, and the revision from which a watch sees every later change.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn list(
        &self,
        filter: &Filter,
        freshness: Freshness,
        patience: Duration,
    ) -> Result<(Vec<Named>, Revision), AskError> {
        let until = self.until(patience);
        let (mut all, mut after, mut first) = (Vec::new(), None, None);
        loop {
            let query = Query::List {
                filter: filter.clone(),
                after: after.take(),
                limit: u32::try_from(PAGE_ITEMS_MAX).unwrap_or(u32::MAX),
            };
            let found = self.page(query, freshness, until).await?;
            // What changes while pages are read is seen by a watch from the first page's revision on.
            let revision = *first.get_or_insert(found.revision);
            all.extend(found.items);
            match found.next {
                Some(next) => after = Some(next),
                None => return Ok((all, revision)),
            }
        }
    }

    /// What changes after a revision, in order and without gaps, and the revision to go on from. No changes if there
    /// were none within `patience`, which is cut to a minute.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn watch(
        &self,
        since: Revision,
        filter: &Filter,
        patience: Duration,
    ) -> Result<(Vec<Change>, Revision), AskError> {
        let until = self.until(patience.min(Duration::from_micros(ASK_WAIT_MAX.0)));
        let what = Inquiry::Watch(since, filter.clone());
        match self.once(what, until).await {
            Ok(Answer::Changes { changes, revision }) => Ok((changes, revision)),
            Ok(answer) => Err(senseless(&answer)),
            Err(Lost::Sent) => Ok((Vec::new(), since)),
            Err(Lost::Unsent(why)) => Err(AskError::Unreachable(why)),
        }
    }

    /// How the replica that this client is linked to sees the catalog.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn standing(&self, patience: Duration) -> Result<Standing, AskError> {
        let what = Inquiry::Query(Query::Status, Freshness::Stale);
        let answer = self.ask(what, self.until(patience)).await?.0;
        let Answer::Standing(standing) = answer else {
            return Err(senseless(&answer));
        };
        Ok(standing)
    }

    /// Changes the membership.
    ///
    /// # Errors
    /// See [`AskError`]. A change whose answer got lost is [`AskError::Unknown`]: look at the members.
    pub async fn reshape(&self, reshape: Reshape, patience: Duration) -> Result<(), AskError> {
        let what = Inquiry::Reshape(reshape);
        let answer = self.ask(what, self.until(patience)).await?.0;
        if answer == Answer::Reshaped {
            Ok(())
        } else {
            Err(senseless(&answer))
        }
    }

    /// Takes leave of the catalog, unless there are clones: without it the replica keeps the link until it hears nothing
    /// for a while.
    pub async fn close(self) {
        drop(self.requests);
        if let Some(mut line) = Arc::into_inner(self.line) {
            timeout(FAREWELL, line.join()).await.ok();
        }
    }

    fn until(&self, patience: Duration) -> Time {
        self.clock.now() + span(patience)
    }

    fn with_sessions<T>(&self, look: impl FnOnce(&mut Vec<Session>) -> T) -> T {
        look(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn free_session(&self) -> Option<Session> {
        self.with_sessions(Vec::pop)
    }

    async fn open_session(&self, until: Time) -> Result<Session, AskError> {
        let what = Inquiry::Command(None, Command::Open);
        let answer = self.ask(what, until).await?.0;
        let Answer::Applied(Reply::Opened { session: number }) = answer else {
            return Err(senseless(&answer));
        };
        Ok(Session { number, seq: 0 })
    }

    async fn page(
        &self,
        query: Query,
        freshness: Freshness,
        until: Time,
    ) -> Result<Found, AskError> {
        let what = Inquiry::Query(query, freshness);
        let answer = self.ask(what, until).await?.0;
        let Answer::Found(found) = answer else {
            return Err(senseless(&answer));
        };
        Ok(found)
    }

    /// Asks until there is an answer or the time is over; also says whether the answer is that to the first try.
    async fn ask(&self, what: Inquiry, until: Time) -> Result<(Answer, bool), AskError> {
        let may_repeat = !matches!(what, Inquiry::Reshape(_));
        let changes = matches!(what, Inquiry::Command(Some(_), _) | Inquiry::Reshape(_));
        let mut backoff = Backoff::default();
        let mut is_first = true;
        let mut is_open = false;
        loop {
            let tried = self
                .once(what.clone(), until.min(self.clock.now() + TRY))
                .await;
            let why = match tried {
                Ok(Answer::Fault(Fault::NotLeader { .. } | Fault::NoQuorum)) => AskError::NoQuorum,
                Ok(Answer::Fault(Fault::Busy)) => AskError::Busy,
                Ok(Answer::Fault(Fault::Unknown)) | Err(Lost::Sent) => {
                    is_open |= changes;
                    AskError::NoQuorum
                }
                Ok(answer) => return Ok((answer, is_first)),
                Err(Lost::Unsent(why)) => AskError::Unreachable(why),
            };
            if is_open && !may_repeat {
                return Err(AskError::Unknown);
            }
            let pause = backoff.next().min(PAUSE_MAX);
            if self.clock.now() + span(pause) >= until {
                return Err(if is_open { AskError::Unknown } else { why });
            }
            is_first = false;
            sleep(pause).await;
        }
    }

    /// Asks once.
    async fn once(&self, what: Inquiry, until: Time) -> Result<Answer, Lost> {
        let (tell, told) = oneshot::channel();
        let gone = || Lost::Unsent("the client is closed".to_owned());
        let request = Request { what, until, tell };
        self.requests.send(request).await.map_err(|_| gone())?;
        told.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// An answer that does not fit the question: a fault or refusal that does, or nonsense.
fn senseless(answer: &Answer) -> AskError {
    match answer {
        Answer::Fault(Fault::Compacted { oldest }) => AskError::Compacted { oldest: *oldest },
        Answer::Fault(Fault::Unfit) => AskError::Unfit,
        Answer::Fault(Fault::NoQuorum | Fault::NotLeader { .. }) => AskError::NoQuorum,
        Answer::Fault(Fault::Busy) => AskError::Busy,
        Answer::Fault(Fault::Unknown) => AskError::Unknown,
        Answer::Applied(Reply::Refused(refusal)) => AskError::Refused(*refusal),
        Answer::Applied(Reply::Opened { .. } | Reply::Done { .. } | Reply::Granted { .. })
        | Answer::Found(_)
        | Answer::Changes { .. }
        | Answer::Standing(_)
        | Answer::Reshaped => AskError::Senseless,
    }
}

/// Why the catalog refused, for people.
fn reason(refusal: Refusal) -> String {
    let reason = match refusal {
        Refusal::Absent => "there is no such name",
        Refusal::Owned => "the name belongs to someone else",
        Refusal::Mismatch { version: 0 } => "there is no such name, another version was expected",
        Refusal::Mismatch { version } => {
            return format!("its version is {version}, not the one expected");
        }
        Refusal::NotAllowed => "this role may not do that",
        Refusal::Malformed => "a name or a value is not well-formed or too long",
        Refusal::Fenced => "a newer process of the same name has registered",
        Refusal::Full => "there is no room for more names",
        Refusal::Forgotten => "the session is not known any more",
        Refusal::Late => "the session has gone on",
    };
    reason.to_owned()
}

/// Questions that wait to be sent.
const REQUESTS_MAX: usize = 4_096;
/// When a replica that does not answer is left for another: longer than an election takes at most.
const TRY: Span = Span::secs(2);
/// When a client that takes leave is no longer waited for.
const FAREWELL: Duration = Duration::from_millis(500);
/// The longest pause between tries.
const PAUSE_MAX: Duration = Duration::from_millis(500);
