//! The world: actors on hosts, what happens between them, and the one loop that makes it happen.
//!
//! A next-event simulation on a virtual clock in microseconds. Each actor is a host with a disk (its journal and its
//! contents outlive its process, except a worker's) and, while it is up, a process with one brain. The world does
//! for a brain what the driver does: it dials and dials again, tells of links, carries frames in order, holds back
//! what is gated until the journal is durable, moves contents, starts and ends runs. Everything that happens is
//! shown to an [`Observer`].
//!
//! Not here: who does what and which faults occur; see `storm`.

mod bulk;
mod effects;
mod haunts;
mod links;
mod process;
mod runs;

use std::collections::{BTreeMap, VecDeque};

use muster_proto::machine::{Input, Output};
use muster_proto::wire::Frame;
use muster_proto::{Digest, LinkId, Lsn, Peer, Span, Time};

use crate::agenda::Agenda;
use crate::brain::{ActorId, Brain, Casting, Happening, Launch, Observer, Sight, Wish};
use crate::disk::Journal;
use crate::network::{ConnId, Network, Which};
use crate::rng::Rng;
use crate::world::haunts::Haunts;

/// A world of `B`s watched by an `O`.
#[derive(Debug)]
pub struct World<B: Brain, O> {
    now: Time,
    agenda: Agenda<Event>,
    actors: Vec<Actor<B>>,
    network: Network,
    haunts: Haunts,
    rng: Rng,
    /// How it is laid out.
    pub layout: Layout,
    /// Who watches.
    pub observer: O,
    inputs_now: u64,
}

/// What a world is like, beyond its actors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Whether frames pass through the codec, so that its faults show.
    pub codec: Codec,
    /// Shortest and longest fsync, in microseconds.
    pub fsync_us: (u64, u64),
    /// Chances in a thousand that a fetch fails for no reason.
    pub fetch_fails_permille: u64,
    /// Bytes per second of one transfer.
    pub bulk_bytes_per_s: u64,
    /// Chances in a thousand that a packet is lost and sent again.
    pub loss_permille: u64,
    /// Greatest addition to a packet's latency, in percent of it.
    pub jitter_percent: u64,
    /// How often, in inputs of one brain, its invariants are checked.
    pub check_every: u64,
    /// What is done wrong on purpose.
    pub mutant: Option<Mutant>,
}

/// Whether frames become bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// They do, and back.
    On,
    /// They do not: faster.
    Off,
}

/// A fault planted to see that it is caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Masters' frames and forgettings do not wait for the journal.
    AckBeforeDurable,
    /// An old epoch's late frames pass for the present one's.
    SkipFence,
    /// What a subordinate sends again on a new link, of what it holds, never arrives.
    ForgetHeld,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            codec: Codec::On,
            fsync_us: (200, 8_000),
            fetch_fails_permille: 0,
            bulk_bytes_per_s: 100_000_000,
            loss_permille: 0,
            jitter_percent: 10,
            check_every: 1,
            mutant: None,
        }
    }
}

/// What is on the agenda.
#[derive(Debug)]
enum Event {
    Wake {
        actor: ActorId,
        life: u32,
    },
    Dial {
        actor: ActorId,
        life: u32,
        dial: usize,
    },
    Arrive {
        conn: ConnId,
        from: Which,
    },
    Silence {
        conn: ConnId,
        which: Which,
        silence: u32,
    },
    Flushed {
        actor: ActorId,
        life: u32,
    },
    FetchEnd {
        actor: ActorId,
        life: u32,
        fetch: u64,
    },
    RunEnd {
        actor: ActorId,
        life: u32,
        run: u64,
    },
    KillEnd {
        actor: ActorId,
        life: u32,
        run: u64,
    },
    RecallEnd {
        actor: ActorId,
        life: u32,
        run: u64,
    },
    Restart {
        actor: ActorId,
    },
    Resume {
        actor: ActorId,
    },
    Heal {
        from: ActorId,
        to: ActorId,
    },
}

/// A host: what is constant, what outlives the process, and the process.
#[derive(Debug)]
struct Actor<B: Brain> {
    casting: Casting<B::Part>,
    journal: Journal,
    contents: BTreeMap<Digest, u64>,
    lives: u32,
    process: Option<Process<B>>,
    paused: bool,
    backlog: Vec<Event>,
}

/// What a crash loses.
#[derive(Debug)]
struct Process<B> {
    brain: B,
    links: BTreeMap<LinkId, Link>,
    links_made: u32,
    dials: Vec<Dial>,
    wake: Option<Time>,
    /// What waits for the journal, by record and then by arrival, as the driver keeps it.
    gated: VecDeque<(Lsn, Gated)>,
    fetches: BTreeMap<u64, Fetch>,
    fetches_made: u64,
    runs: BTreeMap<u64, Launch>,
    /// Runs that begin one after the other when the one by whose number they are found has ended.
    lined_up: BTreeMap<u64, VecDeque<Launch>>,
    inputs: u64,
}

/// A link as its process holds it.
#[derive(Debug)]
struct Link {
    conn: ConnId,
    which: Which,
    peer: ActorId,
    /// Whether the subordinate has not yet said all it holds.
    greeting: bool,
}

/// An effect that must not precede a record.
#[derive(Debug)]
enum Gated {
    Frame {
        link: LinkId,
        frame: Frame,
        sent: Time,
    },
    Forget(Digest),
}

impl Gated {
    fn forgets(&self, what: Digest) -> bool {
        matches!(self, Gated::Forget(digest) if *digest == what)
    }
}

#[derive(Debug)]
struct Dial {
    superior: ActorId,
    pause: Span,
}

#[derive(Debug)]
struct Fetch {
    link: LinkId,
    digest: Digest,
    bytes: u64,
    peer: ActorId,
    peer_life: u32,
}

/// Inputs in one instant after which a brain is taken to spin.
const SPIN_MAX: u64 = 100_000;

impl<B: Brain, O: Observer> World<B, O> {
    /// A world in which nothing lives yet; `seed` decides all chance in it.
    pub fn new(seed: u64, layout: Layout, observer: O) -> Self {
        Self {
            now: Time(0),
            agenda: Agenda::new(),
            actors: Vec::new(),
            network: Network::new(layout.loss_permille, layout.jitter_percent),
            haunts: Haunts::default(),
            rng: Rng::new(seed),
            layout,
            observer,
            inputs_now: 0,
        }
    }

    /// Adds a host and starts its process after `delay`.
    pub fn add(&mut self, casting: Casting<B::Part>, delay: Span) -> ActorId {
        let actor = ActorId(self.actors.len());
        self.actors.push(Actor {
            casting,
            journal: Journal::default(),
            contents: BTreeMap::new(),
            lives: 0,
            process: None,
            paused: false,
            backlog: Vec::new(),
        });
        self.agenda
            .enter(self.now + delay, Event::Restart { actor });
        actor
    }

    /// The virtual clock.
    pub fn now(&self) -> Time {
        self.now
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<Time> {
        self.agenda.next_at()
    }

    /// Makes the next event happen; false if there is none.
    pub fn step(&mut self) -> bool {
        let Some((at, event)) = self.agenda.take() else {
            return false;
        };
        if at > self.now {
            self.inputs_now = 0;
        }
        self.now = self.now.max(at);
        self.happen(event);
        true
    }

    /// Makes everything happen up to and including `until`.
    pub fn run_until(&mut self, until: Time) {
        while self.next_at().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, event: Event) {
        if let Some(actor) = self.owner(&event)
            && self.actors[actor.0].paused
        {
            self.actors[actor.0].backlog.push(event);
            return;
        }
        match event {
            Event::Wake { actor, life } => self.wake(actor, life),
            Event::Dial { actor, life, dial } => self.dial(actor, life, dial),
            Event::Arrive { conn, from } => self.arrive(conn, from),
            Event::Silence {
                conn,
                which,
                silence,
            } => self.silence_lasted(conn, which, silence),
            Event::Flushed { actor, life } => self.flushed(actor, life),
            Event::FetchEnd { actor, life, fetch } => self.fetch_ended(actor, life, fetch),
            Event::RunEnd { actor, life, run } => self.run_ended(actor, life, run),
            Event::KillEnd { actor, life, run } => self.run_killed(actor, life, run),
            Event::RecallEnd { actor, life, run } => self.run_recalled(actor, life, run),
            Event::Restart { actor } => self.start(actor),
            Event::Resume { actor } => self.resume(actor),
            Event::Heal { from, to } => self.heal(from, to),
        }
    }

    /// The actor whose process must run for `event` to be taken up.
    fn owner(&mut self, event: &Event) -> Option<ActorId> {
        match *event {
            Event::Wake { actor, .. }
            | Event::Dial { actor, .. }
            | Event::FetchEnd { actor, .. }
            | Event::Flushed { actor, .. }
            | Event::RunEnd { actor, .. }
            | Event::KillEnd { actor, .. }
            | Event::RecallEnd { actor, .. } => Some(actor),
            Event::Arrive { conn, from } => self.end_actor(conn, from.other()),
            Event::Silence { conn, which, .. } => self.end_actor(conn, which),
            Event::Restart { .. } | Event::Resume { .. } | Event::Heal { .. } => None,
        }
    }

    fn end_actor(&mut self, conn: ConnId, which: Which) -> Option<ActorId> {
        let connection = self.network.get(conn)?;
        Some(connection.ends[which as usize].actor)
    }

    /// Feeds a brain one input and performs what it wants.
    fn feed(&mut self, actor: ActorId, input: Input<Happening>) {
        let now = self.now;
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        let mut out: Vec<Output<Vec<u8>, Wish>> = Vec::new();
        process.brain.handle(now, input, &mut out);
        process.inputs += 1;
        if process.inputs.is_multiple_of(self.layout.check_every) {
            process.brain.check();
        }
        self.inputs_now += 1;
        if self.inputs_now > SPIN_MAX {
            self.inputs_now = 0;
            let why = process.brain.deadline().map(|deadline| deadline.why);
            self.wrong(
                "spin",
                format!("the world stands still; actor {} wants {why:?}", actor.0),
            );
        }
        self.perform(actor, out);
        self.plan_wake(actor);
    }

    fn plan_wake(&mut self, actor: ActorId) {
        let (now, life) = (self.now, self.actors[actor.0].lives);
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        let Some(deadline) = process.brain.deadline() else {
            return;
        };
        let at = deadline.at.max(now);
        if process.wake.is_none_or(|planned| at < planned) {
            process.wake = Some(at);
            self.agenda.enter(at, Event::Wake { actor, life });
        }
    }

    fn wake(&mut self, actor: ActorId, life: u32) {
        let now = self.now;
        let Some(process) = self.process(actor, life) else {
            return;
        };
        if process.wake.is_none_or(|planned| planned > now) {
            return;
        }
        process.wake = None;
        match process.brain.deadline() {
            Some(deadline) if deadline.at <= now => self.feed(actor, Input::Tick),
            Some(_) | None => self.plan_wake(actor),
        }
    }

    fn process(&mut self, actor: ActorId, life: u32) -> Option<&mut Process<B>> {
        let actor = &mut self.actors[actor.0];
        (actor.lives == life)
            .then_some(actor.process.as_mut())
            .flatten()
    }

    fn saw(&mut self, sight: &Sight<'_>) {
        self.observer.saw(self.now, sight);
    }

    fn wrong(&mut self, checker: &'static str, what: String) {
        self.saw(&Sight::Wrong { checker, what });
    }
}

/// What may be asked of a world from outside.
impl<B: Brain, O: Observer> World<B, O> {
    /// Every actor, in order of addition.
    pub fn actors(&self) -> impl Iterator<Item = ActorId> + use<B, O> {
        (0..self.actors.len()).map(ActorId)
    }

    /// An actor's identity.
    pub fn peer(&self, actor: ActorId) -> &Peer {
        &self.actors[actor.0].casting.peer
    }

    /// Whom an actor dials.
    pub fn dials(&self, actor: ActorId) -> &[ActorId] {
        &self.actors[actor.0].casting.dials
    }

    /// Its brain, while it is up.
    pub fn brain(&self, actor: ActorId) -> Option<&B> {
        self.actors[actor.0]
            .process
            .as_ref()
            .map(|process| &process.brain)
    }

    /// What it is made of.
    pub fn part(&self, actor: ActorId) -> &B::Part {
        &self.actors[actor.0].casting.part
    }

    /// Its journal.
    pub fn journal(&self, actor: ActorId) -> &Journal {
        &self.actors[actor.0].journal
    }

    /// The contents it holds and how long they are.
    pub fn held(&self, actor: ActorId) -> &BTreeMap<Digest, u64> {
        &self.actors[actor.0].contents
    }

    /// How often its process has started.
    pub fn lives(&self, actor: ActorId) -> u32 {
        self.actors[actor.0].lives
    }

    /// Puts contents on an actor's disk, as a user's command does with inputs.
    pub fn put(&mut self, actor: ActorId, digest: Digest, bytes: u64) {
        self.actors[actor.0].contents.insert(digest, bytes);
    }

    /// Whether a crash would lose records.
    pub fn pending(&self, actor: ActorId) -> bool {
        self.actors[actor.0].journal.pending()
    }

    /// Whether its process lives and is not paused.
    pub fn is_well(&self, actor: ActorId) -> bool {
        let actor = &self.actors[actor.0];
        actor.process.is_some() && !actor.paused
    }

    /// The runs under way at a worker.
    pub fn runs(&self, actor: ActorId) -> impl Iterator<Item = &Launch> {
        self.actors[actor.0]
            .process
            .iter()
            .flat_map(|process| process.runs.values())
    }

    /// The peers its process has links to.
    pub fn linked(&self, actor: ActorId) -> Vec<ActorId> {
        let links = self.actors[actor.0]
            .process
            .iter()
            .flat_map(|process| process.links.values());
        links.map(|link| link.peer).collect()
    }
}

#[cfg(test)]
mod tests;
