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
mod clock;
mod effects;
mod haunts;
mod held;
mod lanes;
mod links;
mod mutants;
mod process;
mod runs;

use std::collections::{BTreeMap, VecDeque};

use litemap::LiteMap;
use muster_proto::machine::{Input, Output};
use muster_proto::peer::Role;
use muster_proto::wire::Frame;
use muster_proto::{Digest, LinkId, Lsn, Peer, Span, Time};

use crate::agenda::Agenda;
use crate::brain::{ActorId, Brain, Casting, Happening, Launch, Observer, Sight, Wish};
use crate::disk::Journal;
use crate::network::{ConnId, Network, Which};
use crate::program::Program;
use crate::rng::Rng;
use crate::scenario::Dist;
use crate::world::haunts::Haunts;
use crate::world::held::Links;
use crate::world::lanes::{Lane, LaneId};

pub use clock::Clock;
pub use lanes::LanesId;
pub use mutants::Mutant;

/// A world of `B`s watched by an `O`.
#[derive(Debug)]
pub struct World<B: Brain, O> {
    now: Time,
    agenda: Agenda<Event>,
    /// Whose brain is to be woken when nothing else happens at this instant.
    soon: VecDeque<(ActorId, u32)>,
    actors: Vec<Actor<B>>,
    /// Each link's lane down and its lane up, one after the other.
    lanes: Vec<Lane>,
    network: Network,
    haunts: Haunts,
    rng: Rng,
    /// How it is laid out.
    pub layout: Layout,
    /// Who watches.
    pub observer: O,
    inputs_now: u64,
    events: u64,
    /// Outputs of one input, kept for its memory.
    outputs: Vec<Output<Vec<u8>, Wish>>,
    /// Bytes of one frame, likewise.
    scratch: Vec<u8>,
}

/// What a world is like, beyond its actors.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Whether frames pass through the codec, so that its faults show.
    pub codec: Codec,
    /// Shortest and longest fsync, in microseconds.
    pub fsync_us: (u64, u64),
    /// How long an fsync takes, if not that.
    pub fsync: Option<Dist>,
    /// Whether disks keep what records say, for a restart and for those who look.
    pub records: Records,
    /// What tasks do, by the number in their words.
    pub programs: Vec<Program>,
    /// Nanoseconds of a clock outside, to measure what masters' brains cost.
    pub stopwatch: Option<fn() -> u64>,
    /// Chances in a thousand that a fetch fails for no reason.
    pub fetch_fails_permille: u64,
    /// Chances in a thousand that the disk has no room for what was fetched.
    pub unkept_permille: u64,
    /// Bytes per second of one transfer.
    pub bulk_bytes_per_s: u64,
    /// Contents of more bytes are served on while they arrive.
    pub passes_above_bytes: u64,
    /// Chances in a thousand that a packet is lost and sent again.
    pub loss_permille: u64,
    /// Chances in a thousand that a frame comes twice; a link keeps its order all the same.
    pub twice_permille: u64,
    /// Greatest addition to a packet's latency, in percent of it.
    pub jitter_percent: u64,
    /// How often, in inputs of one brain, its invariants are checked.
    pub check_every: u64,
    /// What is done wrong on purpose.
    pub mutant: Option<Mutant>,
}

/// What a disk keeps of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// All of it.
    Kept,
    /// That there was one: nothing starts again on this disk.
    Counted,
}

/// Whether frames become bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// They do, and back.
    On,
    /// They do not: faster.
    Off,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            codec: Codec::On,
            fsync_us: (200, 8_000),
            fsync: None,
            records: Records::Kept,
            programs: Vec::new(),
            stopwatch: None,
            fetch_fails_permille: 0,
            unkept_permille: 0,
            bulk_bytes_per_s: 100_000_000,
            passes_above_bytes: 1 << 20,
            loss_permille: 0,
            twice_permille: 0,
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
    FetchBegin {
        actor: ActorId,
        life: u32,
        fetch: u64,
    },
    Depart {
        lane: LaneId,
        plan: u32,
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
    process: Option<Process<B>>,
    clock: Clock,
    lives: u32,
    paused: bool,
    role: Role,
    /// How fast its machine is; 1 runs a task in its time.
    speed: f64,
    /// What its brain took, by the stopwatch.
    brain_ns: u64,
    /// Inputs that its brain took.
    inputs: u64,
    home: Box<Home<B>>,
}

/// What of a host most events do not look at; apart, so that in a large world what they look at is close together.
#[derive(Debug)]
struct Home<B: Brain> {
    casting: Casting<B::Part>,
    journal: Journal,
    contents: BTreeMap<Digest, u64>,
    /// What has happened to it while it was paused.
    backlog: Vec<Event>,
}

/// What a crash loses.
#[derive(Debug)]
struct Process<B> {
    brain: B,
    links: Links,
    dials: Vec<Dial>,
    wake: Option<Time>,
    /// Whether it is to be woken at this instant.
    stirred: bool,
    /// What waits for the journal, by record and then by arrival, as the driver keeps it.
    gated: VecDeque<(Lsn, Gated)>,
    fetches: BTreeMap<u64, Fetch>,
    fetches_made: u64,
    /// Fetches of others that have all that has come here so far, by the contents that are still arriving.
    followers: BTreeMap<Digest, Vec<Event>>,
    runs: LiteMap<u64, Box<Launch>>,
    /// Runs that begin one after the other when the one by whose number they are found has ended.
    lined_up: BTreeMap<u64, VecDeque<Launch>>,
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
    /// Whether it is served on while it arrives.
    passes: bool,
    /// The lane that it crosses, and its place there.
    crossing: Option<(LaneId, u128)>,
}

/// Inputs in one instant after which a brain is taken to spin.
const SPIN_MAX: u64 = 100_000;

impl<B: Brain, O: Observer> World<B, O> {
    /// A world in which nothing lives yet; `seed` decides all chance in it.
    pub fn new(seed: u64, layout: Layout, observer: O) -> Self {
        Self {
            now: Time(0),
            agenda: Agenda::new(),
            soon: VecDeque::new(),
            actors: Vec::new(),
            lanes: Vec::new(),
            network: Network::new(layout.loss_permille, layout.jitter_percent),
            haunts: Haunts::default(),
            rng: Rng::new(seed),
            layout,
            observer,
            inputs_now: 0,
            events: 0,
            outputs: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Adds a link of this bandwidth each way, in bytes per second.
    pub fn add_lanes(&mut self, bytes_per_s: u64) -> LanesId {
        let lanes = LanesId(self.lanes.len() as u32 / 2);
        let both = [Lane::new(bytes_per_s), Lane::new(bytes_per_s)];
        self.lanes.extend(both);
        lanes
    }

    /// Adds a host and starts its process after `delay`.
    pub fn add(&mut self, casting: Casting<B::Part>, delay: Span) -> ActorId {
        let actor = self.add_host(casting);
        self.agenda
            .enter(self.now + delay, Event::Restart { actor });
        actor
    }

    /// Adds a host on which nothing runs.
    pub fn add_host(&mut self, casting: Casting<B::Part>) -> ActorId {
        let actor = ActorId(self.actors.len());
        self.actors.push(Actor {
            process: None,
            clock: Clock::TRUE,
            lives: 0,
            paused: false,
            role: casting.peer.role,
            speed: 1.0,
            brain_ns: 0,
            inputs: 0,
            home: Box::new(Home {
                casting,
                journal: Journal::default(),
                contents: BTreeMap::new(),
                backlog: Vec::new(),
            }),
        });
        actor
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Ends the world; what its observer saw is left.
    pub fn into_observer(self) -> O {
        self.observer
    }

    /// The virtual clock.
    pub fn now(&self) -> Time {
        self.now
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<Time> {
        let soon = (!self.soon.is_empty()).then_some(self.now);
        soon.or_else(|| self.agenda.next_at())
    }

    /// Makes the next event happen; false if there is none.
    ///
    /// A brain that is due at once is woken when all else of the instant has happened, as a driver's turn ends when
    /// nothing more has come.
    pub fn step(&mut self) -> bool {
        self.events += 1;
        if self.agenda.next_at().is_none_or(|at| at > self.now)
            && let Some((actor, life)) = self.soon.pop_front()
        {
            self.stir(actor, life);
            return true;
        }
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
            self.actors[actor.0].home.backlog.push(event);
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
            Event::FetchBegin { actor, life, fetch } => self.fetch_begins(actor, life, fetch),
            Event::FetchEnd { actor, life, fetch } => self.fetch_ended(actor, life, fetch),
            Event::Depart { lane, plan } => self.depart(lane, plan),
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
            | Event::FetchBegin { actor, .. }
            | Event::FetchEnd { actor, .. }
            | Event::Flushed { actor, .. }
            | Event::RunEnd { actor, .. }
            | Event::KillEnd { actor, .. }
            | Event::RecallEnd { actor, .. } => Some(actor),
            Event::Arrive { conn, from } => self.end_actor(conn, from.other()),
            Event::Silence { conn, which, .. } => self.end_actor(conn, which),
            Event::Depart { .. }
            | Event::Restart { .. }
            | Event::Resume { .. }
            | Event::Heal { .. } => None,
        }
    }

    fn end_actor(&mut self, conn: ConnId, which: Which) -> Option<ActorId> {
        let connection = self.network.get(conn)?;
        Some(connection.ends[which as usize].actor)
    }

    /// Feeds a brain one input and performs what it wants.
    fn feed(&mut self, actor: ActorId, input: Input<Happening>) {
        let now = self.shown(actor);
        let host = &mut self.actors[actor.0];
        let Some(process) = &mut host.process else {
            return;
        };
        let mut out = std::mem::take(&mut self.outputs);
        let timed = self.layout.stopwatch.filter(|_| host.role == Role::Master);
        let begun = timed.map(|clock| clock());
        process.brain.handle(now, input, &mut out);
        if let (Some(clock), Some(begun)) = (timed, begun) {
            host.brain_ns += clock().saturating_sub(begun);
        }
        host.inputs += 1;
        if host.inputs.is_multiple_of(self.layout.check_every) {
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
        self.perform(actor, &mut out);
        // What a brain wanted may have made the world feed another; then the vector is a new one, and that is all.
        self.outputs = out;
        self.plan_wake(actor);
    }

    fn plan_wake(&mut self, actor: ActorId) {
        let (now, life) = (self.now, self.actors[actor.0].lives);
        let clock = self.actors[actor.0].clock;
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        let Some(deadline) = process.brain.deadline() else {
            return;
        };
        let at = clock.when(deadline.at);
        if at <= now {
            if !std::mem::replace(&mut process.stirred, true) {
                self.soon.push_back((actor, life));
            }
            return;
        }
        if process.wake.is_none_or(|planned| at < planned) {
            process.wake = Some(at);
            self.agenda.enter(at, Event::Wake { actor, life });
        }
    }

    /// Wakes a brain that was due at once; one that was stopped meanwhile is woken when it goes on.
    fn stir(&mut self, actor: ActorId, life: u32) {
        if self.actors[actor.0].paused {
            self.actors[actor.0]
                .home
                .backlog
                .push(Event::Wake { actor, life });
            return;
        }
        let shown = self.shown(actor);
        let Some(process) = self.process(actor, life) else {
            return;
        };
        process.stirred = false;
        match process.brain.deadline() {
            Some(deadline) if deadline.at <= shown => self.feed(actor, Input::Tick),
            Some(_) | None => self.plan_wake(actor),
        }
    }

    fn wake(&mut self, actor: ActorId, life: u32) {
        let (now, shown) = (self.now, self.shown(actor));
        let Some(process) = self.process(actor, life) else {
            return;
        };
        if process.wake.is_none_or(|planned| planned > now) && !process.stirred {
            return;
        }
        (process.wake, process.stirred) = (None, false);
        match process.brain.deadline() {
            Some(deadline) if deadline.at <= shown => self.feed(actor, Input::Tick),
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
        &self.actors[actor.0].home.casting.peer
    }

    /// Whom an actor dials.
    pub fn dials(&self, actor: ActorId) -> &[ActorId] {
        &self.actors[actor.0].home.casting.dials
    }

    /// Its brain, while it is up.
    pub fn brain(&self, actor: ActorId) -> Option<&B> {
        self.actors[actor.0]
            .process
            .as_ref()
            .map(|process| &process.brain)
    }

    /// What its brain took so far: inputs, and nanoseconds by the layout's stopwatch.
    pub fn cost(&self, actor: ActorId) -> (u64, u64) {
        (self.actors[actor.0].inputs, self.actors[actor.0].brain_ns)
    }

    /// Moves a host that is down to another machine: what its brain is made of, and how fast that is.
    pub fn recast(&mut self, actor: ActorId, part: B::Part, speed: f64) {
        let host = &mut self.actors[actor.0];
        (host.home.casting.part, host.speed) = (part, speed);
    }

    /// What it is made of.
    pub fn part(&self, actor: ActorId) -> &B::Part {
        &self.actors[actor.0].home.casting.part
    }

    /// Its journal.
    pub fn journal(&self, actor: ActorId) -> &Journal {
        &self.actors[actor.0].home.journal
    }

    /// The contents it holds and how long they are.
    pub fn held(&self, actor: ActorId) -> &BTreeMap<Digest, u64> {
        &self.actors[actor.0].home.contents
    }

    /// How often its process has started.
    pub fn lives(&self, actor: ActorId) -> u32 {
        self.actors[actor.0].lives
    }

    /// Puts contents on an actor's disk, as a user's command does with inputs.
    pub fn put(&mut self, actor: ActorId, digest: Digest, bytes: u64) {
        self.actors[actor.0].home.contents.insert(digest, bytes);
    }

    /// Whether a crash would lose records.
    pub fn pending(&self, actor: ActorId) -> bool {
        self.actors[actor.0].home.journal.pending()
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
            .flat_map(|process| process.runs.values().map(|launch| &**launch))
    }

    /// The peers its process has links to.
    pub fn linked(&self, actor: ActorId) -> Vec<ActorId> {
        let links = self.actors[actor.0]
            .process
            .iter()
            .flat_map(|process| process.links.iter());
        links.map(|link| link.peer).collect()
    }
}

#[cfg(test)]
mod tests;
