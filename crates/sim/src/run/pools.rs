//! Workers come, are evicted, wait, come back and go, as the batch systems of a scenario have it.
//!
//! A pool gives out *pilots*: requests of a worker that the batch system starts, evicts and starts again on another
//! machine until the pilot's stay is over. To the brains a pilot is one worker with one name; each session is a
//! process of its own, on a machine of its own, that knows nothing of the one before.

use muster_proto::{Peer, Resources, Role, Span, Time};

use crate::agenda::Agenda;
use crate::brain::{ActorId, Casting};
use crate::cast::{Cast, Part};
use crate::rng::Rng;
use crate::run::tally::{Cause, Tally};
use crate::scenario::PoolSpec;
use crate::world::{LanesId, World};

/// How long a worker that was told to leave takes to be gone; SIGTERM ends within 10 s (D2).
const VACATE: Span = Span::secs(2);

/// What pools have on their agenda.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// Another worker is requested.
    Request { pool: usize },
    /// The batch system starts a pilot.
    Begin { pool: usize, pilot: usize },
    /// A pilot's session is about to end, and it is told.
    Notice {
        pool: usize,
        pilot: usize,
        session: u32,
    },
    /// A pilot's session ends.
    End {
        pool: usize,
        pilot: usize,
        session: u32,
        cause: Cause,
    },
    /// The scenario's event of this number.
    Scripted(usize),
}

/// Where a pool's workers stand.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The site's name.
    pub site: String,
    /// The ways up, each of which is some workers' own; at least one.
    pub ways: Vec<Way>,
}

/// A way from workers to their superior.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// Whom they dial.
    pub superior: ActorId,
    /// The link that their transfers cross.
    pub lane: LanesId,
    /// One way, in microseconds.
    pub latency_us: u64,
    /// Packets lost, in a million.
    pub loss_ppm: u64,
}

/// A pool at one place.
#[derive(Debug)]
struct Pool {
    spec: PoolSpec,
    place: Place,
    class: u16,
    cache_bytes_max: u64,
    /// The speed of each machine that is ever free.
    machines: Vec<f64>,
    /// The number of its first machine among all.
    first_machine: u32,
    pilots: Vec<Pilot>,
    rng: Rng,
}

#[derive(Debug)]
struct Pilot {
    actor: ActorId,
    /// When it no longer comes back.
    until: Time,
    sessions: u32,
    is_up: bool,
    is_gone: bool,
}

/// Every pool, and what is due in them.
#[derive(Debug, Default)]
pub(super) struct Pools {
    agenda: Agenda<Due>,
    pools: Vec<Pool>,
    machines: u32,
}

impl Pools {
    pub fn enter(&mut self, at: Time, due: Due) {
        self.agenda.enter(at, due);
    }

    pub fn next_at(&self) -> Option<Time> {
        self.agenda.next_at()
    }

    pub fn take(&mut self) -> Option<Due> {
        self.agenda.take().map(|(_, due)| due)
    }

    /// Opens a pool at a place; its workers are of `class` in the tally.
    pub fn open(&mut self, spec: &PoolSpec, place: Place, class: u16, mut rng: Rng) {
        let machines: Vec<f64> = (0..spec.machines)
            .filter_map(|_| {
                let free = chance(&mut rng) >= spec.unused;
                let speed = speed(spec, &mut rng);
                free.then_some(speed)
            })
            .collect();
        let pool = self.pools.len();
        let from = Time(0) + spec.from.0;
        if let Some(every) = &spec.every {
            let at = from + every.draw(&mut rng);
            self.agenda.enter(at, Due::Request { pool });
        }
        let first_machine = self.machines;
        self.machines += machines.len() as u32;
        self.pools.push(Pool {
            spec: spec.clone(),
            place,
            class,
            cache_bytes_max: spec.disk.0,
            machines,
            first_machine,
            pilots: Vec::new(),
            rng,
        });
        for _ in 0..spec.at_once {
            self.request(pool, from);
        }
    }

    /// Asks for workers in a pool, dealt out over its places.
    pub fn add(&mut self, name: &str, workers: u32, world: &mut World<Cast, Tally>) {
        let now = world.now();
        let named = self.named(name);
        for n in 0..workers as usize {
            if let Some(pool) = named.get(n % named.len().max(1)) {
                self.request(*pool, now);
            }
        }
    }

    /// Takes workers of a pool away for good, those that came first.
    pub fn remove(&mut self, name: &str, workers: u32, world: &mut World<Cast, Tally>) {
        let mut left = workers;
        for pool in self.named(name) {
            for pilot in 0..self.pools[pool].pilots.len() {
                let known = &mut self.pools[pool].pilots[pilot];
                if left == 0 {
                    return;
                }
                if std::mem::replace(&mut known.is_gone, true) {
                    continue;
                }
                left -= 1;
                let session = known.sessions;
                if known.is_up {
                    self.leave((pool, pilot, session), Cause::Removed, world);
                }
            }
        }
    }

    fn named(&self, name: &str) -> Vec<usize> {
        let pools = self.pools.iter().enumerate();
        pools
            .filter(|(_, pool)| pool.spec.name == name)
            .map(|(n, _)| n)
            .collect()
    }

    /// Does what is due.
    pub fn happen(&mut self, due: Due, world: &mut World<Cast, Tally>) {
        let now = world.now();
        match due {
            Due::Request { pool } => {
                self.request(pool, now);
                let Pool { spec, rng, .. } = &mut self.pools[pool];
                if let Some(every) = &spec.every {
                    let at = now + every.draw(rng).max(Span(1));
                    self.agenda.enter(at, Due::Request { pool });
                }
            }
            Due::Begin { pool, pilot } => self.begin(pool, pilot, world),
            Due::Notice {
                pool,
                pilot,
                session,
            } => {
                if self.is_current(pool, pilot, session) {
                    let actor = self.pools[pool].pilots[pilot].actor;
                    world.observer.leaves(actor, Cause::Evicted);
                    world.drain(actor);
                }
            }
            Due::End {
                pool,
                pilot,
                session,
                cause,
            } => self.end((pool, pilot, session), cause, world),
            Due::Scripted(_) => {}
        }
    }

    fn is_current(&self, pool: usize, pilot: usize, session: u32) -> bool {
        let pilot = &self.pools[pool].pilots[pilot];
        pilot.is_up && pilot.sessions == session
    }

    /// A pilot enters the batch system's queue.
    fn request(&mut self, pool: usize, at: Time) {
        let entry = &mut self.pools[pool];
        let stays = entry
            .spec
            .stays
            .as_ref()
            .map(|stays| stays.draw(&mut entry.rng));
        let pilot = entry.pilots.len();
        entry.pilots.push(Pilot {
            actor: NOBODY,
            until: stays.map_or(at, |stays| at + stays),
            sessions: 0,
            is_up: false,
            is_gone: false,
        });
        self.wait(pool, pilot, at);
    }

    fn wait(&mut self, pool: usize, pilot: usize, now: Time) {
        let Pool { spec, rng, .. } = &mut self.pools[pool];
        let queue = spec.queue.as_ref().map(|queue| queue.draw(rng));
        self.agenda
            .enter(now + queue.unwrap_or_default(), Due::Begin { pool, pilot });
    }

    /// A session begins on a machine that chance chooses.
    fn begin(&mut self, pool: usize, pilot: usize, world: &mut World<Cast, Tally>) {
        let now = world.now();
        let entry = &mut self.pools[pool];
        if entry.pilots[pilot].is_gone || entry.machines.is_empty() {
            return;
        }
        let machine = entry.rng.below(entry.machines.len() as u64) as usize;
        if entry.pilots[pilot].actor == NOBODY {
            let actor = world.add_host(entry.casting(pilot, machine));
            entry.pilots[pilot].actor = actor;
            world.observer.enrol(actor, entry.class);
            world.observer.has_cores(actor, entry.spec.cores * 1_000);
        }
        let (part, speed) = (entry.part(pilot, machine), entry.machines[machine]);
        world.recast(entry.pilots[pilot].actor, part, speed);
        let lasts = entry.spec.eviction.as_ref();
        let lasts = lasts.map(|eviction| eviction.draw(&mut entry.rng));
        let known = &mut entry.pilots[pilot];
        (known.sessions, known.is_up) = (known.sessions + 1, true);
        let session = known.sessions;
        let machine = entry.first_machine + machine as u32;
        world.observer.stands_on(known.actor, machine);
        world.revive(known.actor);
        let walltime = entry.spec.walltime.map(|walltime| walltime.0);
        let (lasts, cause) = match (lasts, walltime) {
            (Some(lasts), Some(walltime)) if lasts <= walltime => (lasts, Cause::Evicted),
            (_, Some(walltime)) => (walltime, Cause::Walltime),
            (Some(lasts), None) => (lasts, Cause::Evicted),
            (None, None) => return,
        };
        let end = Due::End {
            pool,
            pilot,
            session,
            cause,
        };
        if let Some(notice) = entry.spec.notice {
            let at = now + (lasts - notice.0);
            let told = Due::Notice {
                pool,
                pilot,
                session,
            };
            self.agenda.enter(at, told);
            self.agenda
                .enter((at + VACATE).min(now + lasts).max(at), end);
        } else {
            self.agenda.enter(now + lasts, end);
        }
    }

    /// A worker leaves at somebody's wish: told first, if its pool tells.
    fn leave(
        &mut self,
        (pool, pilot, session): (usize, usize, u32),
        cause: Cause,
        world: &mut World<Cast, Tally>,
    ) {
        let actor = self.pools[pool].pilots[pilot].actor;
        if self.pools[pool].spec.notice.is_some() {
            world.observer.leaves(actor, cause);
            world.drain(actor);
            let end = Due::End {
                pool,
                pilot,
                session,
                cause,
            };
            self.agenda.enter(world.now() + VACATE, end);
        } else {
            self.end((pool, pilot, session), cause, world);
        }
    }

    fn end(
        &mut self,
        (pool, pilot, session): (usize, usize, u32),
        cause: Cause,
        world: &mut World<Cast, Tally>,
    ) {
        if !self.is_current(pool, pilot, session) {
            return;
        }
        let now = world.now();
        let known = &mut self.pools[pool].pilots[pilot];
        known.is_up = false;
        world.observer.why = cause;
        world.kill(known.actor, None);
        if known.until > now && !known.is_gone {
            self.wait(pool, pilot, now);
        } else {
            known.is_gone = true;
        }
    }
}

impl Pool {
    fn name(&self, pilot: usize) -> String {
        format!("{}-{}-{}", self.place.site, self.spec.name, pilot + 1)
    }

    fn part(&self, pilot: usize, machine: usize) -> Part {
        Part::Worker {
            name: self.name(pilot),
            host: format!("{}-m{}", self.spec.name, machine + 1),
            shape: self.shape(),
            cache_bytes_max: self.cache_bytes_max,
        }
    }

    fn shape(&self) -> Resources {
        Resources {
            cores_milli: self.spec.cores * 1_000,
            gpus: 0,
            memory_bytes: self.spec.memory.0,
            disk_bytes: self.spec.disk.0,
        }
    }

    fn casting(&self, pilot: usize, machine: usize) -> Casting<Part> {
        let way = self.place.ways[pilot % self.place.ways.len()];
        Casting {
            peer: Peer {
                role: Role::Worker,
                site: self.place.site.clone(),
                name: self.name(pilot),
            },
            part: self.part(pilot, machine),
            dials: vec![way.superior],
            latency_us: way.latency_us,
            loss_ppm: way.loss_ppm,
            lanes: vec![way.lane],
            shape: self.shape(),
        }
    }
}

/// A number from 0 up to and without 1.
fn chance(rng: &mut Rng) -> f64 {
    (rng.next() >> 11) as f64 / (1_u64 << 53) as f64
}

/// The speed of a machine: normal, as a sum of twelve even draws, and at least a tenth.
fn speed(spec: &PoolSpec, rng: &mut Rng) -> f64 {
    let Some(speed) = spec.speed else {
        return 1.0;
    };
    let normal: f64 = (0..12).map(|_| chance(rng)).sum::<f64>() - 6.0;
    (speed.mean + speed.sd * normal).max(0.1)
}

/// The actor of a pilot that has not begun.
const NOBODY: ActorId = ActorId(usize::MAX);
