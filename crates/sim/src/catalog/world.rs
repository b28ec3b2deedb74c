//! A world of replicas in virtual time: hosts with disks that lose what was not synced, links that lose, repeat and
//! delay messages in order, cuts one way, pauses. The replicas are those of production.
//!
//! The world watches as well: one leader a term, one state for each position in the log.

use std::collections::{BTreeMap, BTreeSet};

use muster_catalog::{Ask, AskId, Birth, Catalog, Config, Event, Halt, Input, Output, Place, What};
use muster_proto::catalog::raft::{Body, Entry, Membership, Message};
use muster_proto::catalog::{Answer, Freshness, Member, NodeId};
use muster_proto::machine::{Gate, Machine as _, Record as _};
use muster_proto::{Lsn, Peer, Role, Span, Time};

use super::happening::Happening;
use super::weather::{Mutant, Weather};
use crate::rng::Rng;

/// A host with its replica and its disk.
pub struct Host {
    /// The replica, if it lives.
    pub node: Option<Catalog>,
    /// The number of its storage.
    pub id: NodeId,
    /// Who it is.
    pub peer: Peer,
    /// Which life its process is in.
    pub boot: u64,
    /// Until when it stands still.
    pub paused: u64,
    /// Whether it founded the catalog.
    pub founder: bool,
    records: Vec<Vec<u8>>,
    /// The number of the first record.
    first: u64,
    durable: u64,
    syncing: bool,
    rewriting: bool,
    held: Vec<(Lsn, NodeId, Message)>,
    turn_at: Option<u64>,
    linked: BTreeSet<usize>,
}

impl Host {
    /// The last record of its journal.
    pub fn last(&self) -> u64 {
        self.first + self.records.len() as u64 - 1
    }
}

/// The world.
pub struct World {
    /// Its time, in microseconds.
    pub now: u64,
    /// Its chance.
    pub rng: Rng,
    /// Its hosts.
    pub hosts: Vec<Host>,
    /// What is done wrong in it.
    pub mutant: Mutant,
    /// How its network and disks are.
    pub weather: Weather,
    /// Entries after which a replica makes a snapshot.
    pub compact_entries: u64,
    /// Until when a direction is cut.
    pub cuts: BTreeMap<(usize, usize), u64>,
    /// What the world has seen that must never be.
    pub broken: Option<String>,
    /// Answers for those outside.
    pub answers: Vec<(AskId, Answer)>,
    /// Those outside whose time has come.
    pub due: Vec<u64>,
    /// Counts what happens, for the order of calls and returns.
    pub moment: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    numbers: u64,
    /// When the last message of a direction arrives.
    last_arrival: BTreeMap<(usize, usize), u64>,
    leaders: BTreeMap<u64, NodeId>,
    hashes: BTreeMap<u64, u64>,
    founding: Membership,
    seed: u64,
}

impl World {
    /// Hosts of which the first founds a catalog and the others wait to be added.
    pub fn new(seed: u64, hosts: usize, mutant: Mutant, weather: Weather) -> Self {
        let mut world = Self {
            now: 1_000,
            rng: Rng::new(seed),
            hosts: Vec::new(),
            mutant,
            weather,
            compact_entries: 1_000_000,
            cuts: BTreeMap::new(),
            broken: None,
            answers: Vec::new(),
            due: Vec::new(),
            moment: 0,
            agenda: BTreeMap::new(),
            numbers: 0,
            last_arrival: BTreeMap::new(),
            leaders: BTreeMap::new(),
            hashes: BTreeMap::new(),
            founding: Membership::default(),
            seed,
        };
        for number in 0..hosts {
            let id = NodeId(world.rng.next() | 1);
            world.hosts.push(Host {
                node: None,
                id,
                peer: peer(Role::Catalog, &format!("c{number}")),
                boot: 0,
                paused: 0,
                founder: number == 0,
                records: Vec::new(),
                first: 1,
                durable: 0,
                syncing: false,
                rewriting: false,
                held: Vec::new(),
                turn_at: None,
                linked: BTreeSet::new(),
            });
        }
        world.founding.voters = vec![world.hosts[0].id];
        world
    }

    /// Starts every process.
    pub fn start(&mut self) {
        (0..self.hosts.len()).for_each(|host| self.boot(host));
    }

    /// Puts something on the agenda.
    pub fn schedule(&mut self, at: u64, happening: Happening) {
        self.numbers += 1;
        self.agenda
            .insert((at.max(self.now), self.numbers), happening);
    }

    /// A number that is not used again.
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A host as the catalog knows it.
    pub fn member(&self, host: usize) -> Member {
        Member {
            node: self.hosts[host].id,
            peer: self.hosts[host].peer.clone(),
            addresses: vec![format!("c{host}:7000")],
        }
    }

    /// The host that leads in the newest term.
    pub fn leader(&self) -> Option<usize> {
        let led = |host: &usize| {
            let node = self.hosts[*host]
                .node
                .as_ref()
                .filter(|node| node.is_leader())?;
            Some((node.standing().term, *host))
        };
        (0..self.hosts.len())
            .filter_map(|host| led(&host))
            .max()
            .map(|(_, host)| host)
    }

    /// The membership that a host would know if it started from what its disk has for certain.
    pub fn durable_membership(&self, number: usize) -> Option<Membership> {
        let host = &self.hosts[number];
        let kept = (host.durable + 1 - host.first) as usize;
        let records = host.records[..kept]
            .iter()
            .map(|bytes| Event::decode(bytes).expect("records are whole"));
        let config = Config {
            lsn: Lsn(host.durable),
            ..self.config(number, 0)
        };
        let mut node = Catalog::new(Time(self.now), config, records.collect::<Vec<_>>()).ok()?;
        node.handle(Time(self.now), Input::Tick, &mut Vec::new());
        Some(node.membership().clone())
    }

    fn config(&self, number: usize, run: u64) -> Config {
        let host = &self.hosts[number];
        let place = if host.founder {
            let addresses = vec![format!("c{number}:7000")];
            Place::Founder { addresses }
        } else {
            Place::Joiner
        };
        Config {
            birth: Birth {
                node: host.id,
                place,
            },
            peer: host.peer.clone(),
            seed: self.seed,
            run,
            lsn: Lsn(host.last()),
            compact_entries: self.compact_entries,
        }
    }

    /// The entries in a host's journal.
    pub fn entries(&self, number: usize) -> Vec<Entry> {
        let records = self.hosts[number].records.iter();
        let events = records.map(|bytes| Event::decode(bytes).expect("records are whole"));
        let entries = events.map(|event| match event {
            Event::Kept(kept) => kept.entries,
            Event::Born(..) => Vec::new(),
        });
        entries.flatten().collect()
    }

    /// Which host has this storage.
    pub fn host_of(&self, id: NodeId) -> Option<usize> {
        self.hosts.iter().position(|host| host.id == id)
    }

    /// Lets time pass until somebody outside is concerned, or until `until`. False when that time has come.
    pub fn step(&mut self, until: u64) -> bool {
        while self.answers.is_empty() && self.due.is_empty() && self.broken.is_none() {
            let Some(((at, _), _)) = self
                .agenda
                .first_key_value()
                .filter(|((at, _), _)| *at <= until)
            else {
                self.now = self.now.max(until);
                return false;
            };
            self.now = self.now.max(*at);
            let (_, happening) = self.agenda.pop_first().expect("it was just seen");
            self.happen(happening);
        }
        true
    }

    fn happen(&mut self, happening: Happening) {
        self.moment += 1;
        if let Some(host) = host_in(&happening)
            && self.hosts[host].paused > self.now
        {
            let until = self.hosts[host].paused;
            return self.schedule(until, happening);
        }
        match happening {
            Happening::Turn { host, boot, at } => {
                // An earlier one may have taken its place.
                if self.hosts[host].boot == boot && self.hosts[host].turn_at == Some(at) {
                    self.hosts[host].turn_at = None;
                    self.feed(host, Input::Tick);
                }
            }
            Happening::Arrive {
                host,
                boot,
                from,
                message,
            } => {
                if self.hosts[host].boot == boot {
                    self.feed(host, Input::Message { from, message });
                }
            }
            Happening::Synced { host, boot, lsn } => self.synced(host, boot, lsn),
            Happening::Rewrite { host, boot } => self.rewrite(host, boot),
            Happening::Linked {
                host,
                boot,
                other,
                other_boot,
            } => self.linked(host, boot, other, other_boot),
            Happening::Lost {
                host,
                boot,
                other,
                other_boot,
                at,
            } => {
                if self.hosts[host].boot == boot
                    && self.hosts[at].boot == other_boot + 1
                    && self.hosts[host].linked.remove(&at)
                {
                    self.feed(host, Input::LinkDown { node: other });
                }
            }
            Happening::Restart { host } => {
                if self.hosts[host].node.is_none() {
                    self.boot(host);
                }
            }
            Happening::Ask { host, ask } => {
                let ask = self.bent(host, ask);
                self.feed(host, Input::Ask(ask));
            }
            Happening::Answered { ask, answer } => self.answers.push((ask, answer)),
            Happening::Outside { who } => self.due.push(who),
        }
    }

    /// A question as a replica with a planted fault takes it.
    fn bent(&self, host: usize, mut ask: Ask) -> Ask {
        let leads = self.hosts[host]
            .node
            .as_ref()
            .is_some_and(Catalog::is_leader);
        if self.mutant == Mutant::LeaseRead
            && leads
            && let What::Query(_, freshness) = &mut ask.what
        {
            *freshness = Freshness::Stale;
        }
        ask
    }

    /// Starts a process on what its disk holds.
    pub fn boot(&mut self, number: usize) {
        let run = self.rng.next();
        let config = self.config(number, run);
        let host = &mut self.hosts[number];
        host.boot += 1;
        let records: Vec<Event> = host
            .records
            .iter()
            .map(|bytes| Event::decode(bytes).expect("records are whole"))
            .collect();
        // What a start reads back is durable: the store sees to it.
        host.durable = host.last();
        match Catalog::new(Time(self.now), config, records) {
            Ok(node) => host.node = Some(node),
            Err(why) => self.broken = Some(format!("host {number} does not start: {why}")),
        }
        self.plan_turn(number);
        let boot = self.hosts[number].boot;
        for other in (0..self.hosts.len()).filter(|other| *other != number) {
            if self.hosts[other].node.is_some() {
                let at = self.now + self.rng.between(1, 40) * 1_000;
                let other_boot = self.hosts[other].boot;
                self.schedule(
                    at,
                    Happening::Linked {
                        host: number,
                        boot,
                        other,
                        other_boot,
                    },
                );
                self.schedule(
                    at,
                    Happening::Linked {
                        host: other,
                        boot: other_boot,
                        other: number,
                        other_boot: boot,
                    },
                );
            }
        }
    }

    fn linked(&mut self, host: usize, boot: u64, other: usize, other_boot: u64) {
        let current = (self.hosts[host].boot, self.hosts[other].boot) == (boot, other_boot);
        if !current || self.hosts[other].node.is_none() {
            return;
        }
        let (node, peer) = (self.hosts[other].id, self.hosts[other].peer.clone());
        if !self.hosts[host].linked.insert(other) {
            self.feed(host, Input::LinkDown { node });
        }
        self.feed(host, Input::LinkUp { node, peer });
    }

    /// Kills a process; what was not synced is lost.
    pub fn crash(&mut self, number: usize, back_in: u64) {
        if self.hosts[number].node.is_none() {
            return;
        }
        let pending = self.hosts[number].last() - self.hosts[number].durable;
        let torn = if pending > 0 {
            self.rng.below(pending + 1)
        } else {
            0
        };
        let host = &mut self.hosts[number];
        let kept = (host.durable + torn + 1 - host.first) as usize;
        host.records.truncate(kept);
        host.node = None;
        let (id, boot) = (host.id, host.boot);
        host.boot += 1;
        (host.syncing, host.rewriting, host.turn_at) = (false, false, None);
        host.held.clear();
        host.linked.clear();
        for other in (0..self.hosts.len()).filter(|other| *other != number) {
            let at = self.now + self.rng.between(1, 1_500) * 1_000;
            let other_boot = self.hosts[other].boot;
            self.schedule(
                at,
                Happening::Lost {
                    host: other,
                    boot: other_boot,
                    other: id,
                    other_boot: boot,
                    at: number,
                },
            );
        }
        self.schedule(self.now + back_in, Happening::Restart { host: number });
    }

    /// The disk is gone, and the process with it; it comes back as another.
    pub fn wipe(&mut self, number: usize, back_in: u64) {
        self.crash(number, back_in);
        let host = &mut self.hosts[number];
        host.records.clear();
        (host.first, host.durable, host.founder) = (1, 0, false);
        if self.mutant != Mutant::VoteAfterWipe {
            host.id = NodeId(self.rng.next() | 1);
        }
    }

    /// Hands an input to a replica, and takes what it gives.
    pub fn feed(&mut self, host: usize, input: Input) {
        let now = Time(self.now);
        let Some(node) = self.hosts[host].node.as_mut() else {
            return;
        };
        let mut out = Vec::new();
        node.handle(now, input, &mut out);
        self.carry(host, out);
        self.observe(host);
        self.plan_turn(host);
    }

    /// Ends a pause.
    pub fn resume(&mut self, number: usize) {
        self.hosts[number].paused = 0;
        self.hosts[number].turn_at = None;
        self.plan_turn(number);
    }

    fn plan_turn(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        let Some(deadline) = host.node.as_ref().and_then(|node| node.deadline()) else {
            return;
        };
        // A turn gathers what comes within fifty microseconds.
        let at = deadline.at.0.max(self.now + 50);
        if host.turn_at.is_none_or(|planned| planned > at) {
            host.turn_at = Some(at);
            let boot = host.boot;
            self.schedule(
                at,
                Happening::Turn {
                    host: number,
                    boot,
                    at,
                },
            );
        }
    }

    fn carry(&mut self, number: usize, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Record(event) => {
                    let mut bytes = Vec::new();
                    event.encode(&mut bytes);
                    self.hosts[number].records.push(bytes);
                }
                Output::Send {
                    node,
                    message,
                    gate,
                } => {
                    let host = &mut self.hosts[number];
                    match gate {
                        Gate::Durable(lsn)
                            if lsn.0 > host.durable && self.mutant != Mutant::AckBeforeSync =>
                        {
                            host.held.push((lsn, node, message));
                        }
                        Gate::Durable(_) | Gate::Now => self.transmit(number, node, message),
                    }
                }
                Output::Answer { ask, answer } => {
                    let at = self.now + self.rng.between(1, 10) * 1_000;
                    self.schedule(at, Happening::Answered { ask, answer });
                }
                Output::Close { .. } => {}
                Output::Compact => {
                    let host = &mut self.hosts[number];
                    if !std::mem::replace(&mut host.rewriting, true) {
                        let boot = host.boot;
                        let at = self.now + self.rng.between(1, 300) * 1_000;
                        self.schedule(at, Happening::Rewrite { host: number, boot });
                    }
                }
                Output::Halt(Halt::Removed) => return self.wipe(number, 2_000_000),
                Output::Halt(why) => self.broken = Some(format!("host {number} halts: {why}")),
            }
        }
        self.plan_sync(number);
        if self.mutant == Mutant::AckBeforeSync
            && self.hosts[number].last() > self.hosts[number].durable
        {
            let lsn = Lsn(self.hosts[number].last());
            let mut out = Vec::new();
            if let Some(node) = self.hosts[number].node.as_mut() {
                node.handle(Time(self.now), Input::Durable { lsn }, &mut out);
            }
            assert!(out.is_empty(), "news of durability only stirs");
        }
    }

    fn plan_sync(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        if host.syncing || host.last() <= host.durable {
            return;
        }
        host.syncing = true;
        let (boot, lsn) = (host.boot, Lsn(host.last()));
        let (low, high) = self.weather.sync;
        let slow = if self.rng.permille(10) { 150_000 } else { 0 };
        let at = self.now + self.rng.between(low * 300, high * 1_000) + slow;
        self.schedule(
            at,
            Happening::Synced {
                host: number,
                boot,
                lsn,
            },
        );
    }

    fn synced(&mut self, number: usize, boot: u64, lsn: Lsn) {
        let host = &mut self.hosts[number];
        if host.boot != boot {
            return;
        }
        host.syncing = false;
        host.durable = host.durable.max(lsn.0);
        self.feed(number, Input::Durable { lsn });
        self.release(number);
        self.plan_sync(number);
    }

    fn release(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        let durable = host.durable;
        let (ready, held): (Vec<_>, Vec<_>) = std::mem::take(&mut host.held)
            .into_iter()
            .partition(|(lsn, _, _)| lsn.0 <= durable);
        host.held = held;
        for (_, node, message) in ready {
            self.transmit(number, node, message);
        }
    }

    fn rewrite(&mut self, number: usize, boot: u64) {
        let host = &mut self.hosts[number];
        let Some(node) = host.node.as_ref().filter(|_| host.boot == boot) else {
            return;
        };
        let mut facts = node.facts();
        if self.mutant == Mutant::ForgetMembership {
            for fact in &mut facts {
                if let Event::Kept(kept) = fact
                    && let Some(snapshot) = &mut kept.snapshot
                {
                    snapshot.membership = self.founding.clone();
                }
            }
        }
        let host = &mut self.hosts[number];
        host.first = host.last() + 1;
        host.records = facts
            .iter()
            .map(|fact| {
                let mut bytes = Vec::new();
                fact.encode(&mut bytes);
                bytes
            })
            .collect();
        host.durable = host.last();
        host.rewriting = false;
        let lsn = Lsn(host.last());
        self.feed(number, Input::Rewritten { lsn });
        self.release(number);
    }

    fn transmit(&mut self, from: usize, to: NodeId, mut message: Message) {
        let Some(host) = self.host_of(to) else {
            return;
        };
        let is_cut = self
            .cuts
            .get(&(from, host))
            .is_some_and(|until| *until > self.now);
        if is_cut || self.rng.permille(self.weather.loss) || self.hosts[host].node.is_none() {
            return;
        }
        if self.mutant == Mutant::ForgetMembership
            && let Body::Part(part) = &mut message.body
        {
            part.membership = self.founding.clone();
            part.membership.learners = vec![to];
            part.membership
                .learners
                .retain(|node| !self.founding.voters.contains(node));
        }
        let times = 1 + u64::from(self.rng.permille(self.weather.repeats));
        let from_id = self.hosts[from].id;
        for _ in 0..times {
            let (low, high) = self.weather.latency;
            let at = self.now + self.rng.between(low * 300, high * 1_000);
            let last = self.last_arrival.entry((from, host)).or_insert(0);
            *last = at.max(*last);
            let (at, boot) = (*last, self.hosts[host].boot);
            let message = message.clone();
            self.schedule(
                at,
                Happening::Arrive {
                    host,
                    boot,
                    from: from_id,
                    message,
                },
            );
        }
    }

    /// What must hold at any moment.
    fn observe(&mut self, number: usize) {
        let Some(node) = self.hosts[number].node.as_ref() else {
            return;
        };
        let standing = node.standing();
        if node.is_leader() {
            let other = *self.leaders.entry(standing.term).or_insert(standing.node);
            if other != standing.node {
                self.broken = Some(format!(
                    "{other:?} and {:?} lead in term {}",
                    standing.node, standing.term
                ));
            }
        }
        let hash = *self.hashes.entry(standing.applied).or_insert(standing.hash);
        if standing.applied > 0 && hash != standing.hash {
            self.broken = Some(format!(
                "host {number} has another state after entry {}",
                standing.applied
            ));
        }
    }

    /// Asks a host something; the answer comes with its number.
    pub fn ask(&mut self, host: usize, by: &Peer, wait: Span, what: What) -> AskId {
        let ask = AskId(self.number());
        let at = self.now + self.rng.between(1, 10) * 1_000;
        let by = by.clone();
        self.schedule(
            at,
            Happening::Ask {
                host,
                ask: Ask {
                    ask,
                    by,
                    wait,
                    what,
                },
            },
        );
        ask
    }

    /// Asks a host and waits for the answer.
    pub fn answer(&mut self, host: usize, by: &Peer, what: What) -> Option<Answer> {
        let asked = self.ask(host, by, Span::secs(5), what);
        let until = self.now + 10_000_000;
        while self.step(until) {
            self.due.clear();
            if let Some((_, answer)) = std::mem::take(&mut self.answers)
                .into_iter()
                .find(|(ask, _)| *ask == asked)
            {
                return Some(answer);
            }
            if self.broken.is_some() {
                break;
            }
        }
        None
    }

    /// Checks every replica.
    pub fn check(&self) {
        self.hosts
            .iter()
            .filter_map(|host| host.node.as_ref())
            .for_each(|node| node.check());
    }
}

fn host_in(happening: &Happening) -> Option<usize> {
    match happening {
        Happening::Turn { host, .. }
        | Happening::Arrive { host, .. }
        | Happening::Synced { host, .. }
        | Happening::Rewrite { host, .. }
        | Happening::Linked { host, .. }
        | Happening::Lost { host, .. }
        | Happening::Ask { host, .. } => Some(*host),
        Happening::Restart { .. } | Happening::Answered { .. } | Happening::Outside { .. } => None,
    }
}

/// An identity.
pub fn peer(role: Role, name: &str) -> Peer {
    let (site, name) = ("campus".to_owned(), name.to_owned());
    Peer { role, site, name }
}
