//! From a seed: who there is, what is to be done, what goes wrong.

mod shared;

use std::fmt;
use std::sync::Arc;

use muster_proto::task::{
    Algorithm, Command, Form, InputFile, Need, OutputFile, Policy, TaskBody, Template, When,
};
use muster_proto::task::{FileRef, Words};
use muster_proto::{MasterId, Peer, RelPath, Resources, Role, Span, Time};

use crate::brain::{ActorId, Casting};
use crate::cast::Part;
use crate::checkers::Roll;
use crate::play::{Play, digest, output_name};
use crate::rng::Rng;
use crate::storm::weather::Weather;
use crate::storm::{Profile, Scene};
use crate::user::{Act, Script};
use crate::world::{Clock, Codec, Layout, Mutant};

/// A world as drawn.
#[derive(Debug)]
pub struct Drawn {
    /// How it is laid out.
    pub layout: Layout,
    /// Who lives in it, in order of their numbers.
    pub castings: Vec<Casting<Part>>,
    /// Who is who.
    pub roll: Roll,
    /// The clocks of their hosts, likewise.
    pub clocks: Vec<Clock>,
    /// What goes wrong.
    pub weather: Weather,
    /// How long all tasks take, one after the other, with every retry.
    pub work: Span,
    /// How long the longest run takes.
    pub longest: Span,
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.weather)?;
        let who = self.castings.iter().enumerate().map(|(n, casting)| {
            let dials = casting.dials.iter().map(|dial| dial.0.to_string());
            let dials: Vec<String> = dials.collect();
            format!("{n} {} -> {}", casting.peer.role, dials.join(" "))
        });
        let mut who: Vec<String> = who.collect();
        let more = who.len().saturating_sub(NAMED_MAX);
        who.truncate(NAMED_MAX);
        write!(f, "{}", who.join(", "))?;
        match more {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Draws a world.
pub fn draw(seed: u64, profile: &Profile) -> Drawn {
    let mut rng = Rng::new(seed).fork(1);
    let weather = Weather::draw(&mut rng.fork(5), &profile.climate);
    let mut cast = Casts {
        wrong_shapes: profile.mutant == Some(Mutant::OverCommit),
        ..Casts::default()
    };
    match profile.scene {
        Scene::Swarm | Scene::Catalog => cast.swarm(&mut rng, profile),
        Scene::Shared => cast.shared(&mut rng, profile),
    }
    let layout = Layout {
        codec: Codec::On,
        fsync_us: weather.fsync_us,
        fetch_fails_permille: weather.fetch_fails_permille,
        unkept_permille: weather.unkept_permille,
        bulk_bytes_per_s: weather.bulk_bytes_per_s,
        passes_above_bytes: weather.passes_above_bytes,
        loss_permille: weather.loss_permille,
        twice_permille: weather.twice_permille,
        jitter_percent: weather.jitter_percent,
        check_every: 7,
        mutant: profile.mutant,
        ..Layout::default()
    };
    let drift = weather.drift_permille;
    let mut clock = || Clock {
        rate_permille: 1_000 + rng.below(2 * drift + 1) - drift,
        ahead: Span(rng.below(1_000_000)),
    };
    Drawn {
        layout,
        clocks: cast.castings.iter().map(|_| clock()).collect(),
        castings: cast.castings,
        roll: cast.roll,
        weather,
        work: cast.work,
        longest: cast.longest,
    }
}

/// Actors that a description names.
const NAMED_MAX: usize = 40;

#[derive(Debug, Default)]
struct Casts {
    castings: Vec<Casting<Part>>,
    roll: Roll,
    masters: Vec<ActorId>,
    foremen: Vec<ActorId>,
    uids: u64,
    work: Span,
    longest: Span,
    /// Whether workers offer twice what they have.
    wrong_shapes: bool,
}

impl Casts {
    fn swarm(&mut self, rng: &mut Rng, profile: &Profile) {
        self.masters(rng, profile);
        self.foremen(rng, profile);
        self.workers(rng, profile);
        self.users(rng, profile);
    }

    fn cast(&mut self, role: Role, part: Part, dials: Vec<ActorId>, latency_us: u64) -> ActorId {
        let actor = ActorId(self.castings.len());
        self.castings.push(Casting {
            peer: Peer {
                role,
                site: format!("site{}", actor.0 % 3),
                name: format!("{role}{}", actor.0),
            },
            part,
            dials,
            latency_us,
            loss_ppm: 0,
            lanes: Vec::new(),
            shape: Resources::default(),
        });
        actor
    }

    fn masters(&mut self, rng: &mut Rng, profile: &Profile) {
        for _ in 0..rng.between(1, profile.masters_max) {
            let queue = MasterId(1_000 + self.castings.len() as u64);
            let part = Part::Master {
                seed: rng.next(),
                queue,
            };
            let master = self.cast(Role::Master, part, Vec::new(), 0);
            self.masters.push(master);
            self.roll.masters.push((master, queue));
        }
    }

    /// Foremen serve some of the masters, or stand under another foreman.
    fn foremen(&mut self, rng: &mut Rng, profile: &Profile) {
        for _ in 0..rng.between(profile.foremen_min, profile.foremen_max) {
            let under_foreman = !self.foremen.is_empty() && rng.permille(300);
            let dials = if under_foreman {
                vec![*rng.pick(&self.foremen)]
            } else {
                some_of(&self.masters, rng)
            };
            let part = Part::Foreman {
                name: format!("foreman{}", self.castings.len()),
                seed: rng.next(),
                cache_bytes_max: *rng.pick(&[0, 50_000, 1 << 30]),
            };
            let latency_us = *rng.pick(&[300, 5_000, 40_000, 120_000]);
            let foreman = self.cast(Role::Foreman, part, dials, latency_us);
            self.foremen.push(foreman);
            self.roll.foremen.push(foreman);
        }
    }

    /// Every superior has a worker, so that whatever is submitted can run; the others stand anywhere.
    fn workers(&mut self, rng: &mut Rng, profile: &Profile) {
        let superiors: Vec<ActorId> = self.masters.iter().chain(&self.foremen).copied().collect();
        let more = rng.between(0, profile.workers_max);
        for n in 0..superiors.len() as u64 + more {
            let superior = match superiors.get(n as usize) {
                Some(superior) => *superior,
                None => *rng.pick(&superiors),
            };
            let shape = Resources {
                cores_milli: 1_000 * rng.between(1, 4) as u32,
                gpus: u32::from(rng.permille(300)),
                memory_bytes: rng.between(2, 8) << 30,
                disk_bytes: 100 << 30,
            };
            self.worker(rng, superior, shape);
        }
    }

    fn worker(&mut self, rng: &mut Rng, superior: ActorId, shape: Resources) {
        let told = if self.wrong_shapes {
            shape.plus(&shape)
        } else {
            shape
        };
        let name = format!("worker{}", self.castings.len());
        let part = Part::Worker {
            host: name.clone(),
            name,
            shape: told,
            cache_bytes_max: *rng.pick(&[0, 50_000, 1 << 30]),
        };
        let worker = self.cast(Role::Worker, part, vec![superior], rng.between(100, 2_000));
        self.castings[worker.0].shape = shape;
        self.roll.workers.push((worker, shape));
    }

    fn users(&mut self, rng: &mut Rng, profile: &Profile) {
        for master in self.masters.clone() {
            for _ in 0..rng.between(1, 2) {
                let largest = self.worker_under(master);
                let mut acts = Vec::new();
                for _ in 0..rng.between(1, profile.submits_max) {
                    let at = Time(rng.below(60_000_000));
                    let (template, tasks) = self.submit(rng, profile, largest);
                    acts.push((at, Act::Submit(Arc::new(template), tasks)));
                }
                if rng.permille(400) {
                    let of = rng.between(2, 9);
                    let rest = rng.below(of);
                    acts.push((Time(rng.below(90_000_000)), Act::Cancel { of, rest }));
                }
                acts.sort_by_key(|(at, _)| *at);
                let script = Script {
                    session: rng.next(),
                    acts,
                    asks_every: Span::secs(rng.between(3, 30)),
                };
                let latency_us = rng.between(500, 50_000);
                self.cast(Role::User, Part::User(script), vec![master], latency_us);
            }
        }
    }

    /// The shape of the worker that stands directly under a master; there is one.
    fn worker_under(&self, master: ActorId) -> Resources {
        let direct = self
            .castings
            .iter()
            .filter(|casting| casting.peer.role == Role::Worker);
        let mut direct = direct.filter(|casting| casting.dials.contains(&master));
        direct
            .next()
            .map(|casting| casting.shape)
            .unwrap_or_default()
    }

    fn submit(
        &mut self,
        rng: &mut Rng,
        profile: &Profile,
        largest: Resources,
    ) -> (Template, Vec<TaskBody>) {
        let outputs = *rng.pick(&[0, 0, 1, 3]);
        let slow = *rng.pick(&[4_000, 20_000, 500_000, 4_000_000, 20_000_000]);
        let fails_permille = *rng.pick(&[0, 0, 100, 500]);
        let template = Template {
            command: Command::Exec(Words::new(&["play"]).unwrap_or_default()),
            environment: Vec::new(),
            inputs: files(rng, "t"),
            outputs: (0..outputs).map(declared).collect(),
            resources: request(rng, largest),
            policy: Policy {
                priority: rng.between(0, 4) as i32 - 2,
                retries: rng.between(0, 3) as u16,
                wall_max: rng.permille(200).then_some(Span(slow)),
                fast_abort_percent: rng.permille(200).then_some(400),
                algorithm: rng.pick(&Algorithm::ALL).0,
                preferred: vec!["site1".to_owned()],
            },
            // A task much slower than the rest of its category would be given up as a straggler each time.
            category: format!("c{}", self.uids),
        };
        let mut tasks = Vec::new();
        for _ in 0..rng.between(1, profile.tasks_max) {
            self.uids += 1;
            let play = Play {
                uid: self.uids,
                wall_us: rng.between(slow / 10, slow + slow / 2),
                fails_permille,
                outputs,
            };
            let tries = 1 + u64::from(template.policy.retries);
            self.work += Span(2 * play.wall_us * tries);
            self.longest = self.longest.max(Span(play.wall_us));
            tasks.push(TaskBody {
                words: play.words().unwrap_or_default(),
                inputs: files(rng, "b").into(),
                outputs: Box::default(),
            });
        }
        (template, tasks)
    }
}

fn some_of(actors: &[ActorId], rng: &mut Rng) -> Vec<ActorId> {
    let mut some: Vec<ActorId> = actors
        .iter()
        .copied()
        .filter(|_| rng.permille(600))
        .collect();
    if some.is_empty() {
        some.push(*rng.pick(actors));
    }
    some
}

/// What a task asks for: something that fits `largest`.
fn request(rng: &mut Rng, largest: Resources) -> Resources {
    Resources {
        cores_milli: *rng.pick(&[500, 1_000, largest.cores_milli]),
        gpus: if rng.permille(200) { largest.gpus } else { 0 },
        memory_bytes: *rng.pick(&[0, 1 << 30, largest.memory_bytes]),
        disk_bytes: *rng.pick(&[0, 1 << 30]),
    }
}

/// Inputs out of a small world of files, so that tasks share some.
fn files(rng: &mut Rng, prefix: &str) -> Vec<InputFile> {
    let count = *rng.pick(&[0, 0, 0, 1, 2]);
    let file = |n: u64, seed: u64| InputFile {
        name: RelPath::new(&format!("{prefix}{n}")).expect("a letter and a number are a path"),
        file: FileRef {
            digest: digest(seed),
            bytes: 1_000 + seed * 10_000,
        },
        form: Form::Data,
    };
    (0..count).map(|n| file(n, rng.below(12))).collect()
}

fn declared(n: u64) -> OutputFile {
    OutputFile {
        name: output_name(n),
        need: Need::Optional,
        when: When::Always,
    }
}
