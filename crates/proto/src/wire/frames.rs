//! The frames themselves, schema 1 of each.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ids::{Attempt, Epoch, MasterId, TaskId, TemplateId, Try};
use crate::limits::{BODY_BYTES_MAX, EXPLAINED_BYTES_MAX, EXPLAINED_MAX};
use crate::outcome::{Outcome, Report};
use crate::peer::Peer;
use crate::resources::Resources;
use crate::task::{TaskBody, Template};
use crate::wire::catalog::{Answered, Desist, Inquire, Raft, Replica};
use crate::wire::wary;

/// Lists the frames once: their numbers, their enum, their codec.
macro_rules! frames {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// The number of a kind of frame; a contract, never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Kind {
            $($(#[$doc])* $name = $number,)*
        }

        impl Kind {
            /// Every kind, by number.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// The kind of this number.
            pub fn of(number: u16) -> Option<Kind> {
                match number {
                    $($number => Some(Kind::$name),)*
                    _ => None,
                }
            }
        }

        /// A frame, decoded.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Frame {
            $($(#[$doc])* $name($name),)*
        }

        impl Frame {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Frame::$name(_) => Kind::$name,)*
                }
            }

            pub(super) fn encode_payload(&self, buffer: Vec<u8>) -> Result<Vec<u8>, postcard::Error> {
                match self {
                    $(Frame::$name(payload) => postcard::to_extend(payload, buffer),)*
                }
            }

            pub(super) fn decode_payload(kind: Kind, payload: &[u8]) -> Result<(Frame, usize), postcard::Error> {
                match kind {
                    $(Kind::$name => {
                        let (payload, left) = wary::take::<$name>(payload)?;
                        Ok((Frame::$name(payload), left))
                    })*
                }
            }
        }

        $(impl From<$name> for Frame {
            fn from(payload: $name) -> Frame {
                Frame::$name(payload)
            }
        })*
    };
}

frames! {
    /// Opens a link, both ways.
    Hello = 1,
    /// What a subordinate can run.
    Offer = 2,
    /// Tasks handed down.
    Assign = 3,
    /// Attempts that ended, handed up.
    Reports = 4,
    /// Reports that are safe with the superior.
    Ack = 5,
    /// Attempts that are no longer wanted.
    Cancel = 6,
    /// What a subordinate holds, on every new link.
    Inventory = 7,
    /// Attempts that began to run, where the superior watches for stragglers.
    Started = 8,
    /// Templates that will not be referred to again.
    Retire = 9,
    /// New tasks from a user.
    Submit = 32,
    /// They are durable, or refused.
    Submitted = 33,
    /// A user wants outcomes.
    Watch = 34,
    /// Outcomes for a user.
    Outcomes = 35,
    /// A user has them.
    Delivered = 36,
    /// A user cancels tasks.
    CancelTasks = 37,
    /// How many were.
    Cancelled = 38,
    /// A user or a superior asks how things stand.
    Status = 39,
    /// How things stand.
    StatusReply = 40,
    /// Somebody asks about one task or file.
    Explain = 41,
    /// What is known of it.
    Explained = 42,
    /// A client wants something of the catalog.
    Inquire = 64,
    /// A client no longer waits for the catalog's answer.
    Desist = 65,
    /// The catalog answers.
    Answered = 66,
    /// Opens a link between two replicas of the catalog, both ways.
    Replica = 67,
    /// A replica says something to another.
    Raft = 68,
}

/// The first frame each way: settles the version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest version of the protocol the sender speaks.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
    /// The sender's release, for people.
    pub release: String,
}

/// What a subordinate can run at once: how many workers of each shape. Replaces the offer before it.
///
/// An offer without shapes asks for nothing new: its sender is leaving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The host, for preferred hosts and block lists.
    pub host: String,
    /// Shapes and how many workers have each.
    pub shapes: Vec<(Resources, u32)>,
}

/// Tasks handed down, all of one master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assign {
    /// Whose they are.
    pub master: MasterId,
    /// That master's epoch; a smaller one than seen before is fenced off.
    pub epoch: Epoch,
    /// Templates the tasks refer to and the link has not carried before.
    pub templates: Vec<(TemplateId, Arc<Template>)>,
    /// The tasks.
    pub tasks: Vec<Assigned>,
}

/// One task handed down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Which.
    pub task: TaskId,
    /// Which try; of the frame's epoch unless it was adopted from an earlier one.
    pub round: Try,
    /// What it has in common with others.
    pub template: TemplateId,
    /// What is its own.
    pub body: TaskBody,
}

/// Attempts that ended, all of one master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reports {
    /// Whose they are.
    pub master: MasterId,
    /// How each ended.
    pub reports: Vec<Report>,
}

/// Reports the superior has made durable; the subordinate may forget them and their files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Whose they are.
    pub master: MasterId,
    /// Which.
    pub attempts: Vec<(TaskId, Try)>,
}

/// Attempts that are no longer wanted: not started, or killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Whose they are.
    pub master: MasterId,
    /// Which.
    pub attempts: Vec<(TaskId, Try)>,
}

/// A part of what a subordinate holds. Its unacknowledged reports precede it on the link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Attempts leased to it that have not ended.
    pub held: Vec<Held>,
    /// Whether this is the last part.
    pub last: bool,
    /// Whether what is not listed is not there: a foreman that has just started waits for its workers first.
    pub settled: bool,
}

/// An attempt that a subordinate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which.
    pub attempt: Attempt,
    /// What it occupies.
    pub resources: Resources,
}

/// Attempts that began to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Whose they are.
    pub master: MasterId,
    /// Which.
    pub attempts: Vec<(TaskId, Try)>,
}

/// Templates that will not be referred to again on this link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retire {
    /// Whose they are.
    pub master: MasterId,
    /// Which.
    pub templates: Vec<TemplateId>,
}

/// New tasks. A repeated `(session, sequence)` is answered as the first was, and adds nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// Drawn at random by the submitting command.
    pub session: u64,
    /// Counted from 1 within the session; one submit is under way at a time.
    pub sequence: u64,
    /// What the tasks have in common; an equal one of an earlier submit is recognised.
    pub template: Arc<Template>,
    /// The tasks.
    pub tasks: Vec<TaskBody>,
}

/// The answer to a submit, when its tasks are durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// The submit's sequence.
    pub sequence: u64,
    /// The first task's number (the others follow) and how many there are.
    pub result: Result<(TaskId, u32), Refusal>,
}

/// Why a user's wish was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The journal cannot be written.
    NoSpace,
    /// The master is leaving.
    Leaving,
    /// A file that a task needs is not in the master's store.
    MissingFile,
}

/// Asks for the outcomes of these tasks, those that are there and those to come; replaces the watch before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// First and last task of each range.
    pub ranges: Vec<(TaskId, TaskId)>,
}

/// Outcomes for a watcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// One for each task, those sent before a crash once more.
    pub outcomes: Vec<Outcome>,
    /// Tasks of the watched ranges that have no outcome yet.
    pub open: u64,
}

/// Outcomes the watcher has, with their files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Which.
    pub tasks: Vec<TaskId>,
}

/// Cancels tasks that have no outcome yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelTasks {
    /// First and last task of each range.
    pub ranges: Vec<(TaskId, TaskId)>,
}

/// How many tasks a cancellation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Tasks.
    pub count: u64,
}

/// Asks how things stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {}

/// How things stand at a master or foreman.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReply {
    /// A master's epoch; 0 at a foreman.
    pub epoch: u32,
    /// Resident memory of the process, filled in by its driver.
    pub rss_bytes: u64,
    /// Where the tasks are.
    pub tasks: TaskCounts,
    /// Attempts lost, by cause, in this epoch.
    pub losses: Vec<(String, u64)>,
    /// The links that stand.
    pub links: Vec<LinkStatus>,
    /// What holds things up, for people; empty if nothing does.
    pub notes: Vec<String>,
    /// Its file cache; a master has none.
    pub cache: Box<CacheStatus>,
    /// The foremen below it, at any depth, that answered in time.
    pub sites: Vec<SiteStatus>,
}

impl StatusReply {
    /// What a foreman that answers this is to those above it.
    #[must_use]
    pub fn site(&self, peer: Peer) -> SiteStatus {
        let sum = |of: fn(&LinkStatus) -> u64| {
            let below = self.links.iter().filter(|link| link.is_below);
            below.map(of).fold(0, u64::saturating_add)
        };
        SiteStatus {
            peer,
            below: sum(|_| 1),
            slots: sum(|link| link.slots.into()),
            leased: sum(|link| link.leased.into()),
            results: self.tasks.undelivered,
            sent_bytes: sum(|link| link.sent_bytes),
            received_bytes: sum(|link| link.received_bytes),
            rss_bytes: self.rss_bytes,
            cache: *self.cache,
        }
    }

    /// Keeps as many sites and links as one frame has room for, and says so if some are not listed.
    #[must_use]
    pub fn cut(mut self) -> StatusReply {
        let mut bytes = 0;
        let mut weigh = |site: &SiteStatus| {
            bytes += site.peer.site.len() + site.peer.name.len() + 192;
            bytes <= BODY_BYTES_MAX / 2
        };
        let listed = self.sites.iter().take_while(|site| weigh(site)).count();
        let left_out = self.sites.len() - listed;
        if left_out > 0 {
            self.sites.truncate(listed);
            self.notes.push(format!("{left_out} more site(s)"));
        }
        let mut weigh = |link: &LinkStatus| {
            bytes += link.weight();
            bytes <= BODY_BYTES_MAX
        };
        let listed = self.links.iter().take_while(|link| weigh(link)).count();
        let left_out = self.links.len() - listed;
        if left_out > 0 {
            self.links.truncate(listed);
            self.notes.push(format!("{left_out} more link(s)"));
        }
        self
    }
}

/// Where the tasks are. `submitted = waiting + leased + accounted`; `accounted = delivered + undelivered`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// Accepted since the journal began.
    pub submitted: u64,
    /// With no attempt under way.
    pub waiting: u64,
    /// With an attempt under way.
    pub leased: u64,
    /// With an outcome.
    pub accounted: u64,
    /// Outcomes that their user has.
    pub delivered: u64,
    /// Outcomes that wait for their user.
    pub undelivered: u64,
    /// Attempts begun in this epoch.
    pub attempts: u64,
}

/// One link of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// Who is at the other end.
    pub peer: Peer,
    /// Whether it is a subordinate.
    pub is_below: bool,
    /// Tasks it can run side by side, one core each.
    pub slots: u32,
    /// Attempts leased to it.
    pub leased: u32,
    /// Bytes sent on all its connections, filled in by the driver.
    pub sent_bytes: u64,
    /// Bytes received on all its connections, filled in by the driver.
    pub received_bytes: u64,
    /// Round trip in microseconds, filled in by the driver.
    pub rtt_us: u64,
}

impl LinkStatus {
    /// An upper bound of its bytes on the wire, whatever its driver fills in: three numbers of at most ten bytes,
    /// two of at most five, the role and two lengths.
    fn weight(&self) -> usize {
        self.peer.site.len() + self.peer.name.len() + 64
    }
}

/// What a file cache holds and has done since its process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStatus {
    /// Files that are here.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes it may hold beyond what is needed at the moment.
    pub bytes_max: u64,
    /// How often a task wanted a file.
    pub wanted: u64,
    /// How often the file was here.
    pub hits: u64,
    /// How often it was on its way for another task already.
    pub joined: u64,
    /// Fetches begun, repeated ones included.
    pub fetches: u64,
    /// Bytes of the files that came.
    pub fetched_bytes: u64,
    /// Files given up for the limit.
    pub evicted: u64,
    /// Their bytes.
    pub evicted_bytes: u64,
    /// Files that were found gone or spoiled.
    pub spoiled: u64,
}

/// A foreman, as those above it see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteStatus {
    /// Who it is.
    pub peer: Peer,
    /// Subordinates connected to it.
    pub below: u64,
    /// Tasks they can run side by side, one core each.
    pub slots: u64,
    /// Attempts leased to them.
    pub leased: u64,
    /// Results that no superior has acknowledged.
    pub results: u64,
    /// Bytes sent to its subordinates on the connections that stand.
    pub sent_bytes: u64,
    /// Bytes received from them.
    pub received_bytes: u64,
    /// Resident memory of its process.
    pub rss_bytes: u64,
    /// Its file cache.
    pub cache: CacheStatus,
}

/// Asks about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explain {
    /// Which.
    pub subject: Subject,
}

/// What can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// A task: what happened to it and where it stands. Only its master knows.
    Task(TaskId),
    /// Contents: where they are, who needs them, how often they were moved.
    File(Digest),
}

/// What is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// Sentences, oldest first.
    pub lines: Vec<String>,
}

impl Explained {
    /// As much of `lines` and of the `last` ones as one frame has room for; over-long ones are cut.
    #[must_use]
    pub fn cut(lines: Vec<String>, last: Vec<String>) -> Explained {
        let room = EXPLAINED_MAX.saturating_sub(last.len());
        let lines = lines.into_iter().take(room).chain(last);
        Explained {
            lines: lines.map(Explained::line).collect(),
        }
    }

    /// As much of a sentence as is said: its first [`EXPLAINED_BYTES_MAX`] bytes.
    #[must_use]
    pub fn line(mut text: String) -> String {
        while text.len() > EXPLAINED_BYTES_MAX {
            text.pop();
        }
        text
    }
}
