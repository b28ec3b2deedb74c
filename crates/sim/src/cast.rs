//! Who may live in the world: the brains of production, and people.

use std::collections::BTreeMap;

use muster_foreman::Foreman;
use muster_master::Master;
use muster_proto::machine::{Deadline, Input, Machine, Never, Output, Record};
use muster_proto::outcome::Ran;
use muster_proto::task::FileRef;
use muster_proto::{Digest, MasterId, Resources, Time};
use muster_worker::{Ask, Local, RunEnd, RunId, RunReport, Worker};

use crate::brain::{Brain, Happening, Launch, Wish};
use crate::user::{Script, User};

/// A brain of any role.
#[derive(Debug)]
pub enum Cast {
    /// A master.
    Master(Box<Master>),
    /// A foreman.
    Foreman(Box<Foreman>),
    /// A worker.
    Worker(Box<Worker>),
    /// A person's command.
    User(Box<User>),
}

/// What a role's brain is made of.
#[derive(Clone, Debug)]
pub enum Part {
    /// A master's.
    Master {
        /// Seed of its scheduler.
        seed: u64,
        /// Its queue's number, if its journal is new.
        queue: MasterId,
    },
    /// A foreman's.
    Foreman {
        /// Its name.
        name: String,
        /// Seed of its scheduler.
        seed: u64,
        /// Limit of its cache.
        cache_bytes_max: u64,
    },
    /// A worker's.
    Worker {
        /// Its name.
        name: String,
        /// The machine that it runs on.
        host: String,
        /// What it can run.
        shape: Resources,
        /// Limit of its cache.
        cache_bytes_max: u64,
    },
    /// A person's.
    User(Script),
}

impl Part {
    /// Bytes that may stay when nothing is needed.
    pub fn cache_bytes_max(&self) -> u64 {
        match self {
            Part::Foreman {
                cache_bytes_max, ..
            }
            | Part::Worker {
                cache_bytes_max, ..
            } => *cache_bytes_max,
            Part::Master { .. } | Part::User(_) => 0,
        }
    }
}

impl Cast {
    /// Whether nothing is held for anyone.
    pub fn is_idle(&self) -> bool {
        match self {
            Cast::Master(master) => {
                master.book().open.is_empty() && master.book().undelivered.is_empty()
            }
            Cast::Foreman(foreman) => foreman.is_idle(),
            Cast::Worker(worker) => worker.is_idle(),
            Cast::User(user) => user.is_content(),
        }
    }

    /// Whether the live book is what the journal's records give; for people if it is not.
    pub fn journal_fault(&self, records: &[Vec<u8>]) -> Option<String> {
        match self {
            Cast::Master(master) => {
                let mut book = muster_master::Book::default();
                facts(records).for_each(|fact| book.apply(&fact));
                book.take_orphans();
                book.take_retired();
                (book != *master.book()).then(|| differ(&book, master.book()))
            }
            Cast::Foreman(foreman) => {
                let mut spool = muster_foreman::Spool::default();
                facts(records).for_each(|fact| spool.apply(&fact));
                (spool != *foreman.spool()).then(|| differ(&spool, foreman.spool()))
            }
            Cast::Worker(_) | Cast::User(_) => None,
        }
    }
}

fn differ(replayed: &impl std::fmt::Debug, live: &impl std::fmt::Debug) -> String {
    format!("replay gives {replayed:?}, the live book is {live:?}")
}

fn facts<E: Record>(records: &[Vec<u8>]) -> impl Iterator<Item = E> {
    records
        .iter()
        .map(|record| E::decode(record).expect("what a brain wrote is a record"))
}

impl Brain for Cast {
    type Part = Part;

    fn start(
        now: Time,
        part: &Part,
        records: &[Vec<u8>],
        contents: &BTreeMap<Digest, u64>,
    ) -> Self {
        let files = contents
            .iter()
            .map(|(&digest, &bytes)| FileRef { digest, bytes });
        match part.clone() {
            Part::Master { seed, queue } => {
                let config = muster_master::Config { seed, fresh: queue };
                Cast::Master(Box::new(Master::new(now, config, files, facts(records))))
            }
            Part::Foreman {
                name,
                seed,
                cache_bytes_max,
            } => {
                let config = muster_foreman::Config {
                    name,
                    seed,
                    cache_bytes_max,
                };
                Cast::Foreman(Box::new(Foreman::new(now, config, files, facts(records))))
            }
            Part::Worker {
                name,
                host,
                shape,
                cache_bytes_max,
            } => {
                let config = muster_worker::Config {
                    host,
                    name,
                    shape,
                    cache_bytes_max,
                };
                Cast::Worker(Box::new(Worker::new(config, files)))
            }
            Part::User(script) => Cast::User(Box::new(User::new(now, &script))),
        }
    }
}

impl Machine for Cast {
    type Input = Input<Happening>;
    type Output = Output<Vec<u8>, Wish>;

    fn handle(&mut self, now: Time, input: Self::Input, out: &mut Vec<Self::Output>) {
        match self {
            Cast::Master(master) => shared(&mut **master, now, input, out),
            Cast::Foreman(foreman) => shared(&mut **foreman, now, input, out),
            Cast::Worker(worker) => {
                let mut own = Vec::new();
                let input = match input {
                    Input::Local(happening) => Input::Local(local(happening)),
                    Input::Tick => Input::Tick,
                    Input::LinkUp { link, peer, side } => Input::LinkUp { link, peer, side },
                    Input::LinkDown { link } => Input::LinkDown { link },
                    Input::Frame { link, frame } => Input::Frame { link, frame },
                    Input::Fetched { link, digest, end } => Input::Fetched { link, digest, end },
                    Input::Arriving { digest } => Input::Arriving { digest },
                    Input::Missed { digest } => Input::Missed { digest },
                    Input::Drain => Input::Drain,
                };
                worker.handle(now, input, &mut own);
                out.extend(own.into_iter().map(|output| common(output, wish)));
            }
            Cast::User(user) => user.handle(now, input, out),
        }
    }

    fn deadline(&self) -> Option<Deadline> {
        match self {
            Cast::Master(master) => master.deadline(),
            Cast::Foreman(foreman) => foreman.deadline(),
            Cast::Worker(worker) => worker.deadline(),
            Cast::User(user) => user.deadline(),
        }
    }

    fn check(&self) {
        match self {
            Cast::Master(master) => master.check(),
            Cast::Foreman(foreman) => foreman.check(),
            Cast::Worker(worker) => worker.check(),
            Cast::User(user) => user.check(),
        }
    }
}

/// Lets a brain without local business handle an input.
fn shared<M, E>(
    brain: &mut M,
    now: Time,
    input: Input<Happening>,
    out: &mut Vec<Output<Vec<u8>, Wish>>,
) where
    M: Machine<Input = Input<Never>, Output = Output<E, Never>>,
    E: Record,
{
    let input = match input {
        Input::Local(_) => return,
        Input::Tick => Input::Tick,
        Input::LinkUp { link, peer, side } => Input::LinkUp { link, peer, side },
        Input::LinkDown { link } => Input::LinkDown { link },
        Input::Frame { link, frame } => Input::Frame { link, frame },
        Input::Fetched { link, digest, end } => Input::Fetched { link, digest, end },
        Input::Arriving { digest } => Input::Arriving { digest },
        Input::Missed { digest } => Input::Missed { digest },
        Input::Drain => Input::Drain,
    };
    let mut own = Vec::new();
    brain.handle(now, input, &mut own);
    out.extend(
        own.into_iter()
            .map(|output| common(output, |never| match never {})),
    );
}

/// Room for a record of one outcome, so that most are written without growing.
const RECORD_BYTES: usize = 128;

/// An output as the world takes it: its record as bytes, its local wish by `wish`.
fn common<E: Record, C>(output: Output<E, C>, wish: impl Fn(C) -> Wish) -> Output<Vec<u8>, Wish> {
    match output {
        Output::Record(fact) => {
            let mut bytes = Vec::with_capacity(RECORD_BYTES);
            fact.encode(&mut bytes);
            Output::Record(bytes)
        }
        Output::Send { link, frame, gate } => Output::Send { link, frame, gate },
        Output::Fetch {
            link,
            digest,
            bytes,
        } => Output::Fetch {
            link,
            digest,
            bytes,
        },
        Output::Forget { digest, gate } => Output::Forget { digest, gate },
        Output::Close { link, code } => Output::Close { link, code },
        Output::Local(own) => Output::Local(wish(own)),
    }
}

fn wish(ask: Ask) -> Wish {
    match ask {
        Ask::Kill(RunId(run)) => Wish::Kill(run),
        Ask::Recall(RunId(run)) => Wish::Recall(run),
        Ask::Free => Wish::Free,
        Ask::Start(start) => Wish::Start(Launch {
            run: start.run.0,
            after: start.after.map(|ahead| ahead.0),
            attempt: start.attempt,
            words: start.words,
            resources: start.resources,
            inputs: start.inputs.iter().map(|input| input.file.digest).collect(),
            wall_max: start.wall_max,
        }),
    }
}

fn local(happening: Happening) -> Local {
    let (run, end) = match happening {
        Happening::Killed(run) => (run, RunEnd::Killed),
        Happening::Unbegun(run) => (run, RunEnd::Unbegun),
        Happening::Ended(run, ran) => (run, RunEnd::Ran(Box::new(report(*ran)))),
    };
    Local::Ended {
        run: RunId(run),
        end,
        spoiled: Vec::new(),
    }
}

fn report(ran: Ran) -> RunReport {
    let Ran {
        result,
        worker: _,
        measured,
        stdout,
        stderr,
        outputs,
    } = ran;
    RunReport {
        result,
        measured,
        stdout,
        stderr,
        outputs,
    }
}
