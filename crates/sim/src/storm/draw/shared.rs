//! Several masters under one foreman, each with more work than its share.

use std::sync::Arc;

use muster_proto::task::{Command, Policy, TaskBody, Template, Words};
use muster_proto::{Resources, Role, Span, Time};

use crate::brain::ActorId;
use crate::cast::Part;
use crate::play::Play;
use crate::rng::Rng;
use crate::storm::Profile;
use crate::storm::draw::Casts;
use crate::user::{Act, Script};

impl Casts {
    pub(super) fn shared(&mut self, rng: &mut Rng, profile: &Profile) {
        let two_at_least = Profile {
            masters_max: profile.masters_max - 1,
            ..profile.clone()
        };
        self.masters(rng, &two_at_least);
        let one_more = Profile {
            masters_max: 1,
            ..profile.clone()
        };
        self.masters(rng, &one_more);
        let part = Part::Foreman {
            name: "foreman".to_owned(),
            seed: rng.next(),
            cache_bytes_max: 1 << 30,
        };
        let latency_us = *rng.pick(&[300, 5_000, 40_000]);
        let foreman = self.cast(Role::Foreman, part, self.masters.clone(), latency_us);
        self.foremen.push(foreman);
        self.roll.foremen.push(foreman);
        let shape = Resources {
            cores_milli: 1_000 * rng.between(1, 4) as u32,
            gpus: 0,
            memory_bytes: 8 << 30,
            disk_bytes: 100 << 30,
        };
        let workers = rng.between(1, profile.workers_max);
        for _ in 0..workers {
            self.worker(rng, foreman, shape);
        }
        let slots = workers * u64::from(shape.cores_milli / 1_000);
        for (n, master) in self.masters.clone().into_iter().enumerate() {
            let begins = if n == 0 {
                0
            } else {
                rng.below(CONTENDED.0 / 2)
            };
            self.busy_user(rng, master, slots, Time(begins));
        }
    }

    /// A user whose tasks, one as long as the other, keep all slots busy for a long time.
    fn busy_user(&mut self, rng: &mut Rng, master: ActorId, slots: u64, begins: Time) {
        let wall_us = *rng.pick(&[1_000_000, 4_000_000, 16_000_000]);
        let template = Template {
            command: Command::Exec(Words::new(&["play"]).unwrap_or_default()),
            environment: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            resources: Resources {
                cores_milli: 1_000,
                ..Resources::default()
            },
            policy: Policy::default(),
            category: format!("c{}", master.0),
        };
        let tasks = (0..(slots * CONTENDED.0 / wall_us).max(1)).map(|_| {
            self.uids += 1;
            let play = Play {
                uid: self.uids,
                wall_us,
                fails_permille: 0,
                outputs: 0,
            };
            self.work += Span(2 * wall_us);
            TaskBody {
                words: play.words().unwrap_or_default(),
                inputs: Box::default(),
                outputs: Box::default(),
            }
        });
        let tasks: Vec<TaskBody> = tasks.collect();
        // One run in many takes ten times as long.
        self.longest = self.longest.max(Span(10 * wall_us));
        let submits = tasks.chunks(SUBMIT_TASKS);
        let submit = |tasks: &[TaskBody]| Act::Submit(Arc::new(template.clone()), tasks.to_vec());
        let script = Script {
            session: rng.next(),
            acts: submits.map(|tasks| (begins, submit(tasks))).collect(),
            asks_every: Span::secs(30),
        };
        let latency_us = rng.between(500, 50_000);
        self.cast(Role::User, Part::User(script), vec![master], latency_us);
    }
}

/// How long one master's work takes if it has all workers for itself.
const CONTENDED: Span = Span::secs(120);
/// Tasks of one submit.
const SUBMIT_TASKS: usize = 1_000;
