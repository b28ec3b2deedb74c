//! The foreman's brain: serves many masters at once for one site.
//!
//! Upwards it is a subordinate like any worker: it offers what its site can run, takes leases, reports how they
//! ended, and keeps every result until it is acknowledged. Downwards it is a superior like any master, with the same
//! scheduler. In between stands the site's file cache: an input is fetched once, whoever needs it; an output is
//! fetched from the worker before its result is spooled.
//!
//! Only the [`Spool`] is durable. Leases live as long as the process; after a crash the workers' inventories tell
//! which attempts still run, and the master leases the rest again. A foreman whose masters are away goes on.
//!
//! Foremen stand under foremen to any depth: nothing here asks whether a superior is a master.

mod admission;
mod event;
mod files;
mod leases;
mod offers;
mod results;
mod spool;
mod subordinates;
mod superiors;
mod views;

pub use event::{Event, Spooled};
pub use spool::Spool;

use std::collections::BTreeMap;

use muster_proto::limits::PLACEMENTS_PER_CALL_MAX;
use muster_proto::machine::{Deadline, Gate, Input, Machine, Never, Output, Side};
use muster_proto::outcome::Loss;
use muster_proto::task::FileRef;
use muster_proto::wire::{CloseCode, Frame, Offer, Subject};
use muster_proto::{Attempt, LinkId, Lsn, MasterId, Peer, TaskKey, Time};
use muster_sched::{Admission, Cache, Crew, Gates, Linger, Outbox, Sched, Views};

use crate::leases::Leases;
use crate::offers::Offers;
use crate::results::{Arriving, Fetches};
use crate::subordinates::Settling;
use crate::superiors::{Known, Superior};

/// What a foreman asks of its driver.
pub type Effect = Output<Event, Never>;

/// What a foreman is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its own name, for reports that it makes itself.
    pub name: String,
    /// Seed of the scheduler's random choices.
    pub seed: u64,
    /// Bytes the site's cache may hold beyond what is needed at the moment.
    pub cache_bytes_max: u64,
}

/// The foreman's brain.
#[derive(Debug)]
pub struct Foreman {
    name: String,
    spool: Spool,
    /// The last record given to the journal.
    lsn: Lsn,
    /// What goes down waits for this record: who brought it and who has it are durable.
    safe: Lsn,
    superiors: BTreeMap<Peer, Superior>,
    by_link: BTreeMap<LinkId, Peer>,
    masters: BTreeMap<MasterId, Known>,
    leases: Leases,
    arriving: BTreeMap<Attempt, Arriving>,
    /// Results whose files are all here and that are not spooled yet.
    landed: Vec<Attempt>,
    /// How long they wait for others while there is other work in hand.
    linger: Linger,
    fetches: Fetches,
    cache: Cache,
    sched: Sched,
    crew: Crew,
    offers: Offers,
    settling: Option<Settling>,
    outbox: Outbox,
    losses: BTreeMap<Loss, u64>,
    attempts: u64,
    /// What people ask.
    views: Views,
    /// Whether the disk had no room for what came last.
    is_full: bool,
    admission: Admission<TaskKey>,
    leaving: bool,
    /// Whether the next tick has something to hand out.
    stirred: bool,
}

/// What a foreman has to offer, for those who look for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strength {
    /// Workers and foremen that are linked below.
    pub subordinates: u32,
    /// Tasks of one core that they can run side by side.
    pub slots: u32,
    /// Masters whose tasks are or were here.
    pub masters: usize,
}

impl Foreman {
    /// A foreman on the facts of its spool and the files of its store; both are empty for a new one.
    pub fn new(
        now: Time,
        config: Config,
        files: impl IntoIterator<Item = FileRef>,
        replay: impl IntoIterator<Item = Event>,
    ) -> Self {
        let mut spool = Spool::default();
        let mut lsn = Lsn(0);
        for event in replay {
            spool.apply(&event);
            lsn.0 += 1;
        }
        let mut cache = Cache::new(config.cache_bytes_max, files);
        spool
            .results
            .values()
            .flat_map(|ran| ran.files())
            .for_each(|file| cache.insert(file));
        let settling = Settling::of(now, &spool);
        Self {
            name: config.name,
            spool,
            lsn,
            safe: Lsn(0),
            superiors: BTreeMap::new(),
            by_link: BTreeMap::new(),
            masters: BTreeMap::new(),
            leases: Leases::default(),
            arriving: BTreeMap::new(),
            landed: Vec::new(),
            linger: Linger::default(),
            fetches: Fetches::default(),
            cache,
            sched: Sched::new(config.seed),
            crew: Crew::default(),
            offers: Offers::default(),
            settling,
            outbox: Outbox::default(),
            losses: BTreeMap::new(),
            attempts: 0,
            views: Views::default(),
            is_full: false,
            admission: Admission::default(),
            leaving: false,
            stirred: true,
        }
    }

    /// What the journal holds, folded.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Who is here below, the tasks of one core they can run side by side, and the masters that are served. O(who is here).
    pub fn strength(&self) -> Strength {
        let mut strength = Strength {
            masters: self.masters.len(),
            ..Strength::default()
        };
        for (child, _, _) in self.crew.here() {
            strength.subordinates += 1;
            strength.slots += self.sched.slots_of(child);
        }
        strength
    }

    /// Whether nothing is held for anyone: no lease, no result, no needed file.
    pub fn is_idle(&self) -> bool {
        self.leases.is_empty()
            && self.arriving.is_empty()
            && self.spool.results.is_empty()
            && self.cache.pinned() == 0
    }

    /// Whether a leaving foreman has handed out all it had to say.
    pub fn is_drained(&self) -> bool {
        self.leaving && !self.stirred
    }

    /// Records a fact: first in the spool, then in the journal.
    fn record(&mut self, event: Event, out: &mut Vec<Effect>) {
        self.spool.apply(&event);
        self.lsn.0 += 1;
        out.push(Output::Record(event));
    }

    /// The end of a turn: hands out what its inputs called for.
    fn turn(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.stirred = false;
        self.expire(now, out);
        self.give_up_stragglers(now);
        self.admit(now, out);
        if !self.leaving {
            self.place(now, PLACEMENTS_PER_CALL_MAX, out);
        }
        self.keep_landed(now, out);
        self.offer(out);
        self.outbox.flush(
            Gates {
                recorded: self.lsn,
                safe: self.safe,
            },
            out,
        );
        // After the reports: a result that has just come is not missed by the inventory that follows it.
        self.settle(now, out);
        let evicted = match self.is_full {
            true => self.cache.squeeze(),
            false => self.cache.evict(),
        };
        for digest in evicted {
            out.push(Output::Forget {
                digest,
                gate: Gate::Durable(self.lsn),
            });
        }
        self.answer_due(now, out);
    }

    fn frame(&mut self, now: Time, link: LinkId, frame: Frame, out: &mut Vec<Effect>) {
        match frame {
            Frame::Assign(assign) => self.assigned(now, link, assign, out),
            Frame::Ack(ack) => self.acknowledged(link, &ack, out),
            Frame::Cancel(cancel) => self.cancelled(link, &cancel, out),
            Frame::Retire(retire) => self.retired(link, &retire),
            Frame::Offer(offer) => self.offered(link, offer),
            Frame::Inventory(inventory) => self.inventory(now, link, &inventory),
            Frame::Reports(reports) => self.reports(now, link, reports, out),
            Frame::Started(started) => self.started(now, link, &started),
            Frame::Status(_) => self.ask_sites(now, link, out),
            Frame::StatusReply(reply) => self.views.site(link, reply, &self.crew),
            Frame::Explain(explain) => match explain.subject {
                Subject::File(digest) => self.ask_about_file(now, link, digest, out),
                Subject::Task(_) => out.push(Output::Close {
                    link,
                    code: CloseCode::Protocol,
                }),
            },
            Frame::Explained(explained) => self.views.file(link, explained, &self.crew),
            Frame::Hello(_)
            | Frame::Submit(_)
            | Frame::Submitted(_)
            | Frame::Watch(_)
            | Frame::Outcomes(_)
            | Frame::Delivered(_)
            | Frame::CancelTasks(_)
            | Frame::Inquire(_)
            | Frame::Desist(_)
            | Frame::Answered(_)
            | Frame::Replica(_)
            | Frame::Raft(_)
            | Frame::Cancelled(_) => out.push(Output::Close {
                link,
                code: CloseCode::Protocol,
            }),
        }
    }

    fn link_down(&mut self, now: Time, link: LinkId) {
        self.outbox.drop_link(link);
        self.views.link_down(link);
        if let Some(peer) = self.by_link.remove(&link) {
            let ahead = self.cache.disconnect(link);
            self.stalled(ahead);
            if let Some(superior) = self.superiors.get_mut(&peer) {
                superior.link = None;
            }
        } else {
            if let Some(child) = self.crew.link_down(now, link, &mut self.sched) {
                self.offers.left(child);
            }
            self.fetches.retain(|(from, _), _| *from != link);
        }
    }
}

impl Machine for Foreman {
    type Input = Input<Never>;
    type Output = Effect;

    fn handle(&mut self, now: Time, input: Self::Input, out: &mut Vec<Self::Output>) {
        match input {
            Input::Tick => return self.turn(now, out),
            Input::LinkUp { link, peer, side } => match side {
                Side::Superior => self.superior_up(link, peer, out),
                Side::Subordinate => {
                    let child = self.crew.link_up(link, peer, &mut self.sched);
                    self.offers.came(child);
                }
                Side::User => {}
            },
            Input::LinkDown { link } => self.link_down(now, link),
            Input::Frame { link, frame } => self.frame(now, link, frame, out),
            Input::Fetched { link, digest, end } => self.fetched(now, link, digest, end, out),
            Input::Arriving { digest } => self.passes(now, digest),
            Input::Missed { digest } => self.missed(digest, out),
            Input::Drain => self.leaving = true,
            Input::Local(never) => match never {},
        }
        self.stirred = true;
    }

    fn deadline(&self) -> Option<Deadline> {
        let stirred = self.stirred.then_some(Deadline {
            at: Time(0),
            why: "a turn has something to hand out",
        });
        let settling = self.settling.as_ref().map(Settling::deadline);
        [
            stirred,
            self.linger.deadline(),
            settling,
            self.views.deadline(),
            self.crew.deadline(),
            self.sched.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn check(&self) {
        self.sched.check();
        self.cache.check();
        self.check_leases();
    }
}

impl Foreman {
    /// Tells superiors what the site can run, when it has changed.
    fn offer(&mut self, out: &mut Vec<Effect>) {
        let is_news = self.offers.take_news();
        let is_awaited =
            |superior: &Superior| superior.link.is_some() && superior.offered.is_none();
        if !is_news && !self.leaving && !self.superiors.values().any(is_awaited) {
            return;
        }
        let shapes = match self.leaving {
            true => Vec::new(),
            false => self.offers.sum(),
        };
        for superior in self.superiors.values_mut() {
            let Some(link) = superior.link else { continue };
            if superior.offered.as_ref() != Some(&shapes) {
                superior.offered = Some(shapes.clone());
                let frame = Frame::from(Offer {
                    host: self.name.clone(),
                    shapes: shapes.clone(),
                });
                out.push(Output::Send {
                    link,
                    frame,
                    gate: Gate::Now,
                });
            }
        }
    }
}
