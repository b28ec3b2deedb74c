//! From a scenario to a world with masters, foremen and users in it, and pools that will bring workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_proto::limits::BATCH_MAX;
use muster_proto::task::{
    Algorithm, Command, FileRef, Form, InputFile, Need, OutputFile, Policy, Template, When,
};
use muster_proto::{MasterId, Peer, RelPath, Resources, Role, Span, TaskId, Time};

use crate::brain::{ActorId, Casting};
use crate::cast::{Cast, Part};
use crate::play::{digest, output_name};
use crate::program::{Alike, Program};
use crate::rng::{Rng, mix};
use crate::run::pools::{Place, Pools, Way};
use crate::run::tally::{Level, Tally};
use crate::run::{Asked, KnownWork};
use crate::scenario::{Act, LinkSpec, Scenario, WorkSpec};
use crate::user::{self, Many, Script};
use crate::world::{Codec, LanesId, Layout, Records, World};

/// Masters and foremen by their names.
pub(super) type Names = BTreeMap<String, ActorId>;

/// A world that is ready to begin.
pub(super) struct Built {
    pub world: World<Cast, Tally>,
    pub pools: Pools,
    pub names: Names,
    /// Tasks that will be submitted.
    pub submitted: u64,
}

/// Everything that is made so far.
struct Maker<'a> {
    scenario: &'a Scenario,
    /// What is submitted in place of the scenario's work, if there is any.
    known: &'a [KnownWork],
    world: World<Cast, Tally>,
    names: Names,
    /// Actors of each kind of masters and sites, by the kind's name, with the lane of each.
    kinds: BTreeMap<String, Vec<(ActorId, LanesId)>>,
    rng: Rng,
}

pub(super) fn build(scenario: &Scenario, known: &[KnownWork], asked: &Asked) -> Built {
    let mut rng = Rng::new(asked.seed).fork(17);
    let mut layout = layout(scenario, asked);
    layout.programs.extend(known_programs(known));
    let world = World::new(rng.next(), layout, Tally::new(scenario));
    let mut maker = Maker {
        scenario,
        known,
        world,
        names: Names::new(),
        kinds: BTreeMap::new(),
        rng,
    };
    maker.masters();
    maker.sites();
    let submitted = maker.users();
    let mut pools = Pools::default();
    maker.pools(&mut pools);
    Built {
        world: maker.world,
        pools,
        names: maker.names,
        submitted,
    }
}

fn layout(scenario: &Scenario, asked: &Asked) -> Layout {
    let is_crash = |event: &crate::scenario::EventSpec| matches!(event.act, Act::Crash { .. });
    let program = |work: &WorkSpec| {
        Program::Alike(Alike {
            run: work.run.clone(),
            fails: work.fails,
            output_bytes: work.output.0,
            salt: mix(asked.seed),
        })
    };
    Layout {
        codec: Codec::Off,
        fsync: Some(scenario.disk.fsync.clone()),
        records: match scenario.events.iter().any(is_crash) {
            true => Records::Kept,
            false => Records::Counted,
        },
        programs: scenario.work.iter().map(program).collect(),
        stopwatch: asked.stopwatch,
        check_every: u64::MAX,
        ..Layout::default()
    }
}

/// The programs of known work, in order of its tasks' numbers.
fn known_programs(known: &[KnownWork]) -> Vec<Program> {
    let mut first = 1;
    let mut all = Vec::new();
    for work in known {
        all.push(work.program(TaskId(first)));
        first += work.tasks.len() as u64;
    }
    all
}

impl Maker<'_> {
    fn masters(&mut self) {
        for spec in &self.scenario.masters {
            let class = self.world.observer.class(&spec.name, Level::Master);
            for n in 0..spec.count {
                let name = numbered(&spec.name, spec.count, n);
                let lane = self.world.add_lanes(spec.link.bandwidth.0);
                let queue = MasterId(1_001 + self.names.len() as u64);
                let part = Part::Master {
                    seed: self.rng.next(),
                    queue,
                };
                let casting = casting(Role::Master, (&name, &name), part, Vec::new());
                let master = self.enter(&spec.name, name, (casting, class), lane);
                self.world.observer.has_queue(master, queue);
            }
        }
    }

    /// Foremen, those who have others under them first.
    fn sites(&mut self) {
        let mut left: Vec<_> = self.scenario.sites.iter().collect();
        while !left.is_empty() {
            let before = left.len();
            left.retain(|spec| {
                let is_ready = spec
                    .under
                    .as_ref()
                    .is_none_or(|under| self.kinds.contains_key(under));
                if is_ready {
                    self.site(spec);
                }
                !is_ready
            });
            if left.len() == before {
                // A cycle, which the scenario's own checks refuse.
                return;
            }
        }
    }

    fn site(&mut self, spec: &crate::scenario::SiteSpec) {
        let class = self.world.observer.class(&spec.name, Level::Foreman);
        let above: Vec<(ActorId, LanesId)> = match &spec.under {
            Some(under) => self.kinds.get(under).cloned().unwrap_or_default(),
            None => self.masters_lanes(),
        };
        for n in 0..spec.count {
            let name = numbered(&spec.name, spec.count, n);
            let superiors: Vec<(ActorId, LanesId)> = match &spec.under {
                Some(_) => vec![above[n as usize % above.len()]],
                None => above.clone(),
            };
            let lane = self.world.add_lanes(spec.link.bandwidth.0);
            let part = Part::Foreman {
                name: name.clone(),
                seed: self.rng.next(),
                cache_bytes_max: spec.cache.0,
            };
            let dials = superiors.iter().map(|(actor, _)| *actor).collect();
            let mut casting = casting(Role::Foreman, (&name, &name), part, dials);
            casting.latency_us = spec.link.latency.0.0;
            casting.loss_ppm = ppm(&spec.link);
            casting.lanes = superiors.iter().map(|(_, lane)| *lane).collect();
            casting.lanes.push(lane);
            let lan = self.world.add_lanes(spec.lan.bandwidth.0);
            self.enter(&spec.name, name, (casting, class), lan);
        }
    }

    fn enter(
        &mut self,
        kind: &str,
        name: String,
        (casting, class): (Casting<Part>, u16),
        lane: LanesId,
    ) -> ActorId {
        let delay = Span(self.rng.below(1_000));
        let actor = self.world.add(casting, delay);
        self.world.observer.enrol(actor, class);
        self.names.insert(name, actor);
        let kinds = self.kinds.entry(kind.to_owned()).or_default();
        kinds.push((actor, lane));
        actor
    }

    fn masters_lanes(&self) -> Vec<(ActorId, LanesId)> {
        let kinds = self.scenario.masters.iter();
        kinds
            .filter_map(|spec| self.kinds.get(&spec.name))
            .flatten()
            .copied()
            .collect()
    }

    /// One user for each master, who submits all that it is to do. Says how many tasks that are.
    fn users(&mut self) -> u64 {
        let class = self.world.observer.class("users", Level::User);
        let mut submitted = 0;
        for spec in &self.scenario.masters {
            for (master, _) in self.kinds.get(&spec.name).cloned().unwrap_or_default() {
                let session = 1 + master.0 as u64;
                let mut acts = self.known_acts();
                submitted += self
                    .known
                    .iter()
                    .map(|work| work.tasks.len() as u64)
                    .sum::<u64>();
                for (n, work) in self.scenario.work.iter().enumerate() {
                    let wanted = work.master.as_ref();
                    if wanted.is_none_or(|wanted| *wanted == spec.name) && self.known.is_empty() {
                        submitted += work.tasks;
                        acts.extend(submits(n, work, session));
                    }
                }
                acts.sort_by_key(|(at, _)| *at);
                let script = Script {
                    session,
                    acts,
                    asks_every: Span::secs(u64::from(u32::MAX)),
                };
                let name = format!("user{}", master.0 + 1);
                let part = Part::User(script);
                let mut casting = casting(Role::User, ("desk", &name), part, vec![master]);
                casting.latency_us = 50;
                let user = self.world.add(casting, Span::millis(10));
                self.world.observer.enrol(user, class);
            }
        }
        submitted
    }

    /// Known programs stand behind those of the scenario's work.
    fn known_acts(&self) -> Vec<(Time, user::Act)> {
        let numbered = (self.scenario.work.len()..).zip(self.known);
        numbered.flat_map(|(n, work)| work.acts(n)).collect()
    }

    fn pools(&mut self, pools: &mut Pools) {
        let scenario = self.scenario;
        for (n, spec) in scenario.pools.iter().enumerate() {
            let class = self
                .world
                .observer
                .class(&spec.name, Level::Worker { pool: n });
            let site = spec.site.as_ref();
            let site =
                site.and_then(|site| scenario.sites.iter().find(|known| known.name == *site));
            let Some(site) = site else {
                let kinds = scenario.masters.iter();
                let ways = kinds.flat_map(|kind| {
                    let masters = self.kinds.get(&kind.name).into_iter().flatten();
                    masters.map(|master| way(*master, &kind.link))
                });
                let place = Place {
                    site: "direct".to_owned(),
                    ways: ways.collect(),
                };
                pools.open(spec, place, class, self.rng.fork(n as u64));
                continue;
            };
            let foremen = self.kinds.get(&site.name).cloned().unwrap_or_default();
            for (at, foreman) in foremen.into_iter().enumerate() {
                let place = Place {
                    site: numbered(&site.name, site.count, at as u32),
                    ways: vec![way(foreman, &site.lan)],
                };
                pools.open(spec, place, class, self.rng.fork(n as u64));
            }
        }
    }
}

fn casting(
    role: Role,
    (site, name): (&str, &str),
    part: Part,
    dials: Vec<ActorId>,
) -> Casting<Part> {
    Casting {
        peer: Peer {
            role,
            site: site.to_owned(),
            name: name.to_owned(),
        },
        part,
        dials,
        latency_us: 0,
        loss_ppm: 0,
        lanes: Vec::new(),
        shape: Resources::default(),
    }
}

fn way((superior, lane): (ActorId, LanesId), link: &LinkSpec) -> Way {
    Way {
        superior,
        lane,
        latency_us: link.latency.0.0,
        loss_ppm: ppm(link),
    }
}

fn ppm(link: &LinkSpec) -> u64 {
    (link.loss * 1e6) as u64
}

fn numbered(kind: &str, count: u32, n: u32) -> String {
    match count {
        1 => kind.to_owned(),
        _ => format!("{kind}{}", n + 1),
    }
}

/// What a user submits of one body of work, in as many submits as it takes.
fn submits(n: usize, work: &WorkSpec, session: u64) -> impl Iterator<Item = (Time, user::Act)> {
    let template = Arc::new(template(n, work));
    let (own, at) = (work.own_input.0, Time(0) + work.at.0);
    let each = BATCH_MAX as u64 / if own > 0 { 2 } else { 1 };
    let tasks = work.tasks;
    (0..tasks.div_ceil(each)).map(move |part| {
        let many = Many {
            tasks: each.min(tasks - part * each) as u32,
            input_bytes: own,
            salt: mix(session << 40 | (n as u64) << 32 | part),
        };
        (at, user::Act::SubmitMany(template.clone(), many))
    })
}

fn template(n: usize, work: &WorkSpec) -> Template {
    let shared = work.shared_inputs.iter().zip(0_u64..);
    let inputs = shared.map(|(bytes, at)| InputFile {
        name: RelPath::new(&format!("shared{at}")).expect("a word and a number are a path"),
        file: FileRef {
            digest: digest(mix(1 << 60 | (n as u64) << 32 | at)),
            bytes: bytes.0,
        },
        form: Form::Data,
    });
    let output = (work.output.0 > 0).then(|| OutputFile {
        name: output_name(0),
        need: Need::Required,
        when: When::Always,
    });
    Template {
        command: Command::Exec(Program::words(n).unwrap_or_default()),
        environment: Vec::new(),
        inputs: inputs.collect(),
        outputs: output.into_iter().collect(),
        resources: Resources {
            cores_milli: work.cores * 1_000,
            gpus: 0,
            memory_bytes: work.memory.0,
            disk_bytes: 0,
        },
        policy: Policy {
            priority: work.priority,
            retries: work.retries,
            fast_abort_percent: work.fast_abort.map(|times| (times * 100.0) as u32),
            algorithm: work.algorithm.unwrap_or(Algorithm::FirstCome),
            ..Policy::default()
        },
        category: work.category.clone(),
    }
}
