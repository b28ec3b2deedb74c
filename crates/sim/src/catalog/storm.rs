//! Storms: replicas, clients, an operator, and faults drawn from a seed; then healing, and everything must end.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use muster_catalog::What;
use muster_proto::Role;
use muster_proto::catalog::{Answer, Filter, Freshness, Kind, NodeId, Pattern, Query, Standing};

use super::clients::{Clients, names};
use super::happening::Happening;
use super::operator::{OPERATOR, Operator};
use super::weather::{FAIR, Mutant, Weather};
use super::world::{Host, World, peer};
use crate::rng::Rng;
use crate::storm::Failure;

const WEATHER: u64 = 2_000;
const SECOND: u64 = 1_000_000;

/// What a storm was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Calls of clients.
    pub calls: usize,
    /// Processes that were killed.
    pub crashes: usize,
    /// Disks that were lost.
    pub wipes: usize,
    /// Directions that were cut.
    pub cuts: usize,
    /// Hosts that stood still.
    pub pauses: usize,
    /// Changes of membership.
    pub changes: usize,
    /// Changes that the watcher was told of.
    pub watched: usize,
    /// How often the watcher had to list again.
    pub gaps: usize,
    /// Events of the world.
    pub events: u64,
}

/// Whether a fault is planted, or only looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// It is planted.
    Yes,
    /// It is only looked for.
    No,
}

struct Storm {
    world: World,
    /// Which fault the weather is made for.
    slant: Mutant,
    clients: Clients,
    operator: Operator,
    rng: Rng,
    is_over: bool,
    report: Report,
}

impl Storm {
    fn new(seed: u64, slant: Mutant, planted: Planted) -> Self {
        let mutant = if planted == Planted::Yes {
            slant
        } else {
            Mutant::None
        };
        let mut rng = Rng::new(seed ^ 0x5ca1_ab1e);
        let hosts = [1, 3, 3, 3, 5][rng.below(5) as usize];
        // Planted faults show where there is somebody to disagree with.
        let hosts = if slant == Mutant::None { hosts } else { 3 };
        let mut world = World::new(seed, hosts, mutant, FAIR);
        world.compact_entries = [20, 60, 200, 100_000][rng.below(4) as usize];
        if slant == Mutant::ForgetMembership {
            world.compact_entries = 20;
        }
        world.start();
        let operator = Operator::new(&mut world, hosts);
        let (count, keys) = match slant {
            Mutant::None => (rng.between(2, 6) as usize, rng.between(2, 4)),
            Mutant::LeaseRead
            | Mutant::ForgetMembership
            | Mutant::AckBeforeSync
            | Mutant::VoteAfterWipe => (8, 2),
        };
        let clients = Clients::new(&mut world, count, keys);
        Self {
            world,
            slant,
            clients,
            operator,
            rng,
            is_over: false,
            report: Report::default(),
        }
    }

    fn run(&mut self) -> Result<Report, String> {
        let formed = self.world.now + 20 * SECOND;
        self.until(formed, |storm| storm.operator.is_content(&storm.world))?;
        self.demand(
            self.operator.is_content(&self.world),
            "the replicas do not come together",
        )?;
        self.world.weather = self.draw();
        self.world
            .schedule(self.world.now, Happening::Outside { who: WEATHER });
        let end = self.world.now + 25 * SECOND;
        self.until(end, |_| false)?;
        self.heal();
        let healed = self.world.now;
        (self.clients.slowest, self.clients.healed) = (0, healed);
        self.until(healed + 30 * SECOND, |storm| {
            storm.operator.is_content(&storm.world)
        })?;
        self.demand(
            self.operator.is_content(&self.world),
            "the membership is not what it should be after healing",
        )?;
        // Calls that began from here on are answered at once.
        self.until(self.world.now + 5 * SECOND, |_| false)?;
        self.clients.is_closing = true;
        self.until(self.world.now + 10 * SECOND, |storm| {
            storm.clients.are_idle()
        })?;
        self.demand(self.clients.are_idle(), "calls do not return after healing")?;
        self.until(self.world.now + 3 * SECOND, |_| false)?;
        self.finish()
    }

    /// Lets time pass, and looks after those outside, until something is so.
    fn until(&mut self, until: u64, is_so: impl Fn(&Self) -> bool) -> Result<(), String> {
        while !is_so(self) && self.world.step(until) {
            for who in std::mem::take(&mut self.world.due) {
                match who {
                    OPERATOR => self.operator.act(&mut self.world),
                    WEATHER => self.fault(),
                    who => self.clients.act(&mut self.world, who),
                }
            }
            for (ask, answer) in std::mem::take(&mut self.world.answers) {
                self.operator.answered(ask, &answer);
                self.clients.answered(&mut self.world, ask, answer);
            }
            if let Some(broken) = self.world.broken.take() {
                return Err(broken);
            }
        }
        Ok(())
    }

    fn demand(&self, is_so: bool, sentence: &str) -> Result<(), String> {
        is_so.then_some(()).ok_or_else(|| {
            let short = |nodes: &[NodeId]| nodes.iter().map(|node| format!("{:04x}", node.0 >> 48)).collect::<Vec<_>>().join(" ");
            let standing = |host: &Host| {
                let id = short(&[host.id]);
                host.node.as_ref().map_or(format!("{id} is down"), |node| {
                    let s = node.standing();
                    let Standing { term, committed, applied, .. } = s;
                    let leader = short(&Vec::from_iter(s.leader));
                    let (voters, outgoing, learners) = (short(&s.voters), short(&s.outgoing), short(&s.learners));
                    format!("{id} follows {leader} in {term}, {applied} of {committed}, [{voters}] [{outgoing}] [{learners}]")
                })
            };
            let standings: Vec<String> = self.world.hosts.iter().map(standing).collect();
            format!("{sentence}:\n{}", standings.join("\n"))
        })
    }

    fn draw(&mut self) -> Weather {
        let rng = &mut self.rng;
        Weather {
            loss: [0, 0, 10, 100, 300][rng.below(5) as usize],
            repeats: [0, 20, 200][rng.below(3) as usize],
            latency: [(1, 3), (1, 40), (30, 90)][rng.below(3) as usize],
            sync: [(1, 2), (1, 30), (5, 100)][rng.below(3) as usize],
        }
    }

    fn fault(&mut self) {
        if self.is_over {
            return;
        }
        let gap = self.rng.between(200, 2_500) * 1_000;
        self.world
            .schedule(self.world.now + gap, Happening::Outside { who: WEATHER });
        let hosts = self.world.hosts.len() as u64;
        let host = self.rng.below(hosts) as usize;
        let leader = self.world.leader();
        // Leaders are hit more often than others.
        let often = match self.slant {
            Mutant::LeaseRead => 900,
            Mutant::None
            | Mutant::ForgetMembership
            | Mutant::AckBeforeSync
            | Mutant::VoteAfterWipe => 400,
        };
        let host = if self.rng.permille(often) {
            leader.unwrap_or(host)
        } else {
            host
        };
        // Planted faults are looked for where they can show.
        let kinds: &[u64] = match self.slant {
            Mutant::None => &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
            Mutant::LeaseRead => &[3, 5],
            Mutant::ForgetMembership => &[0, 5, 9],
            Mutant::AckBeforeSync => &[0, 10, 11],
            Mutant::VoteAfterWipe => &[0, 5, 8],
        };
        match kinds[self.rng.below(kinds.len() as u64) as usize] {
            0..=2 => {
                self.report.crashes += 1;
                let away = self.rng.between(1, 4_000) * 1_000;
                self.world.crash(host, away);
            }
            3..=4 => {
                self.report.pauses += 1;
                self.world.hosts[host].paused =
                    self.world.now + self.rng.between(100, 5_000) * 1_000;
            }
            5..=7 => self.cut(host, hosts),
            8 => self.wipe(host),
            9 => self.operator.unwanted = self.is_whole().then_some(host),
            10 => self.black_out(),
            _ => self.world.weather = self.draw(),
        }
    }

    /// A majority, or all, lose power at once: what was acknowledged is on their disks or nowhere.
    fn black_out(&mut self) {
        let spared = self.rng.below(2 * self.world.hosts.len() as u64) as usize;
        for host in (0..self.world.hosts.len()).filter(|host| *host != spared) {
            self.report.crashes += 1;
            let away = self.rng.between(1, 2_000) * 1_000;
            self.world.crash(host, away);
        }
    }

    fn cut(&mut self, host: usize, hosts: u64) {
        self.report.cuts += 1;
        let until = self.world.now + self.rng.between(300, 6_000) * 1_000;
        let (ways, one) = (self.rng.below(3), self.rng.permille(300));
        let only = self.rng.below(hosts) as usize;
        for other in (0..hosts as usize).filter(|other| *other != host && (!one || *other == only))
        {
            if ways != 0 {
                self.world.cuts.insert((host, other), until);
            }
            if ways != 1 {
                self.world.cuts.insert((other, host), until);
            }
        }
    }

    /// A disk is lost only where all others are whole and the lost one has been replaced: a minority.
    fn wipe(&mut self, host: usize) {
        if self.is_whole() && self.world.hosts.len() >= 3 {
            self.report.wipes += 1;
            self.operator.unwanted = None;
            let away = self.rng.between(2_000, 4_000) * 1_000;
            self.world.wipe(host, away);
        }
    }

    fn is_whole(&self) -> bool {
        self.operator.unwanted.is_none() && self.operator.is_safe(&self.world)
    }

    fn heal(&mut self) {
        self.is_over = true;
        self.operator.unwanted = None;
        self.world.weather = FAIR;
        self.world.cuts.clear();
        for host in 0..self.world.hosts.len() {
            self.world.resume(host);
            if self.world.hosts[host].node.is_none() {
                self.world
                    .schedule(self.world.now, Happening::Restart { host });
            }
        }
    }

    /// Everything is quiet: replicas are equal, the watcher has seen it all, and the judge has the histories.
    fn finish(&mut self) -> Result<Report, String> {
        self.world.check();
        let hashes = self
            .world
            .hosts
            .iter()
            .filter_map(|host| host.node.as_ref())
            .map(|node| node.directory().hash());
        let hashes: Vec<u64> = hashes.collect();
        let are_equal =
            hashes.len() == self.world.hosts.len() && hashes.iter().all(|hash| *hash == hashes[0]);
        self.demand(are_equal, "the replicas are not equal after healing")?;
        let query = Query::List {
            filter: Filter {
                kind: Kind::Setting,
                names: Pattern::All,
            },
            after: None,
            limit: 1_000,
        };
        let what = What::Query(query, Freshness::Linearizable);
        let found = self.world.answer(0, &peer(Role::User, "last"), what);
        let Some(Answer::Found(found)) = found else {
            return Err(format!("the last list is {found:?}"));
        };
        if names(&found.items) != self.clients.watcher.seen {
            return Err(format!(
                "the watcher has folded {:?} and not {:?}",
                self.clients.watcher.seen,
                names(&found.items)
            ));
        }
        self.clients.judge()?;
        if self.clients.slowest > 5 * SECOND {
            let late = self.clients.slowest / 1_000;
            self.demand(
                self.report.wipes > 0 || late < 6_500,
                &format!("a call took {late} ms around the healing"),
            )?;
        }
        Ok(Report {
            calls: self.clients.calls(),
            changes: self.operator.changes,
            watched: self.clients.watcher.changes,
            gaps: self.clients.watcher.gaps,
            events: self.world.moment,
            ..self.report.clone()
        })
    }
}

/// Runs a storm; what goes wrong is a sentence.
///
/// # Errors
/// A promise is broken, or a replica panicked.
pub fn storm(seed: u64, slant: Mutant, planted: Planted) -> Result<Report, String> {
    run(seed, slant, planted).map_err(|(_, what)| what)
}

/// Runs a storm; what goes wrong has its time in microseconds.
fn run(seed: u64, slant: Mutant, planted: Planted) -> Result<Report, (u64, String)> {
    let mut storm = Storm::new(seed, slant, planted);
    let ran = catch_unwind(AssertUnwindSafe(|| storm.run()));
    let ended = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.unwrap_or_else(|| "a panic".to_owned()))
    });
    ended.map_err(|what| (storm.world.now, what))
}

/// What becomes of one seed, as other storms tell it.
pub fn told(seed: u64, profile: &'static str) -> crate::storm::Report {
    let (events, failures) = match run(seed, Mutant::None, Planted::No) {
        Ok(report) => (report.events, Vec::new()),
        Err((at, what)) => {
            let failure = Failure {
                seed,
                profile,
                checker: "catalog".to_owned(),
                at: at as f64 / 1e6,
                what,
                drawn: options(seed),
                story: Vec::new(),
            };
            (0, vec![failure])
        }
    };
    crate::storm::Report {
        seeds: 1,
        failures,
        events,
        ..crate::storm::Report::default()
    }
}

/// Who there is under `seed`, for people.
pub fn options(seed: u64) -> String {
    let storm = Storm::new(seed, Mutant::None, Planted::No);
    format!(
        "{} replica(s), a snapshot every {} entries, {} client(s)",
        storm.world.hosts.len(),
        storm.world.compact_entries,
        storm.clients.count()
    )
}

/// Runs storms and adds them up.
///
/// # Panics
/// At the first that goes wrong.
pub fn storms(seeds: Range<u64>) -> Report {
    let mut sum = Report::default();
    for seed in seeds {
        let report = storm(seed, Mutant::None, Planted::No);
        let report = report.unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        sum.calls += report.calls;
        sum.crashes += report.crashes;
        sum.wipes += report.wipes;
        sum.cuts += report.cuts;
        sum.pauses += report.pauses;
        sum.changes += report.changes;
        sum.watched += report.watched;
        sum.gaps += report.gaps;
        sum.events += report.events;
    }
    sum
}
