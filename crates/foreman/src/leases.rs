//! Leases: taken from above, staged, placed below, ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_proto::batch::cut;
use muster_proto::machine::{Gate, Output};
use muster_proto::outcome::{End, Loss};
use muster_proto::task::{InputFile, TaskBody, Template};
use muster_proto::wire::{Assign, Assigned, Frame};
use muster_proto::{Attempt, Digest, MasterId, Peer, Resources, TaskKey, TemplateId, Time, Try};
use muster_sched::cache::inputs;
use muster_sched::{ChildId, ClassId, ClassSpec, Files, Placed, Where};
use rustc_hash::FxHashMap;

use crate::{Effect, Event, Foreman};

/// The leases by their tasks. A hash table, because several events of each task ask here, each of them far from the
/// last; whoever walks it sorts what it finds.
pub(crate) type Leases = FxHashMap<TaskKey, Lease>;

/// The right to run an attempt.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Of which attempt.
    pub round: Try,
    /// What is to be done; unknown of an attempt that was found running.
    pub order: Option<Order>,
    /// What it occupies, if the order does not say.
    found: Resources,
    /// Where it stands.
    pub stage: Stage,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Order {
    /// The template's number with its master.
    id: TemplateId,
    /// What it has in common with others.
    template: Arc<Template>,
    /// What is its own.
    body: TaskBody,
}

impl Order {
    /// What it has in common with others.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// What is its own.
    pub fn body(&self) -> &TaskBody {
        &self.body
    }

    /// The first input with these contents.
    pub fn input(&self, digest: Digest) -> Option<&InputFile> {
        inputs(&self.template, &self.body).remove(&digest)
    }
}

/// Where a lease stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its inputs are not asked for: the disk is full.
    Parked,
    /// Inputs are on their way to the site.
    Staging { missing: u32 },
    /// In the scheduler's queue.
    Ready,
    /// A subordinate has it.
    Leased { child: ChildId },
    /// It has ended; the files of its result are on their way.
    Arriving,
}

impl Lease {
    /// What it occupies.
    pub fn resources(&self) -> Resources {
        self.order
            .as_ref()
            .map_or(self.found, |order| order.template.resources)
    }
}

impl Foreman {
    /// Takes a lease.
    pub(crate) fn lease(
        &mut self,
        now: Time,
        master: MasterId,
        task: Assigned,
        out: &mut Vec<Effect>,
    ) {
        let Assigned {
            task,
            round,
            template: id,
            body,
        } = task;
        let key = TaskKey { master, task };
        if let Some(lease) = self.leases.get(&key) {
            if lease.round >= round {
                return;
            }
            self.drop_lease(key);
        }
        let template = self
            .masters
            .get(&master)
            .and_then(|known| known.templates.get(&id).cloned());
        let Some(template) = template else {
            return self.report(key, round, End::Lost(Loss::Forgotten));
        };
        let order = Some(Order { id, template, body });
        let stage = Stage::Parked;
        self.leases.insert(
            key,
            Lease {
                round,
                order,
                found: Resources::default(),
                stage,
            },
        );
        self.admit_or_park(now, key, out);
    }

    /// All inputs of a lease are at the site: it may be placed.
    pub(crate) fn staged(&mut self, now: Time, key: TaskKey) {
        let Some(lease) = self.leases.get_mut(&key) else {
            return;
        };
        let Some(order) = &lease.order else { return };
        lease.stage = Stage::Ready;
        let classes = self.masters.entry(key.master).or_default();
        let class = match classes.classes.get(&order.id) {
            Some(class) => *class,
            None => {
                let Template {
                    resources,
                    policy,
                    category,
                    ..
                } = &*order.template;
                let spec = ClassSpec {
                    resources: *resources,
                    policy: policy.clone(),
                    category: category.clone(),
                };
                let class = self.sched.class(spec);
                classes.classes.insert(order.id, class);
                class
            }
        };
        self.sched.ready(now, key, class, Where::Back, None);
    }

    /// Hands staged tasks to subordinates with room.
    pub(crate) fn place(&mut self, now: Time, budget: usize, out: &mut Vec<Effect>) {
        let mut placements = Vec::new();
        if self
            .sched
            .place(now, budget, &LeasedFiles(&self.leases), &mut placements)
            == Placed::More
        {
            self.stirred = true;
        }
        let mut batches: BTreeMap<(ChildId, MasterId), Vec<TaskKey>> = BTreeMap::new();
        for placement in placements {
            if let Some(lease) = self.leases.get_mut(&placement.key) {
                lease.stage = Stage::Leased {
                    child: placement.child,
                };
                self.attempts += 1;
                self.crew.list(placement.child, placement.key);
                batches
                    .entry((placement.child, placement.key.master))
                    .or_default()
                    .push(placement.key);
            }
        }
        for ((child, master), keys) in batches {
            self.assign(child, master, &keys, out);
        }
    }

    fn assign(
        &mut self,
        child: ChildId,
        master: MasterId,
        keys: &[TaskKey],
        out: &mut Vec<Effect>,
    ) {
        let Some(link) = self.crew.link_of(child) else {
            return;
        };
        // Whoever has work of this link was noted when it got the first of it.
        let is_new = |peer: &&Peer| !self.spool.lessees.contains(*peer);
        if !self.crew.has_work(child)
            && let Some(peer) = self.crew.peer_of(child).filter(is_new)
        {
            let leased = Event::Leased(peer.clone());
            self.record(leased, out);
            self.safe = self.lsn;
        }
        let epoch = self
            .masters
            .get(&master)
            .map(|known| known.epoch)
            .unwrap_or_default();
        let mut templates = Vec::new();
        let mut tasks = Vec::new();
        for key in keys {
            let Some(lease) = self.leases.get(key) else {
                continue;
            };
            let Some(order) = &lease.order else { continue };
            if self.crew.introduce(child, (master, order.id)) {
                templates.push((order.id, order.template.clone()));
            }
            let body = order.body.clone();
            tasks.push(Assigned {
                task: key.task,
                round: lease.round,
                template: order.id,
                body,
            });
        }
        let mut send = |templates, tasks| {
            let frame = Frame::from(Assign {
                master,
                epoch,
                templates,
                tasks,
            });
            out.push(Output::Send {
                link,
                frame,
                gate: Gate::Durable(self.safe),
            });
        };
        for templates in cut(templates, |(_, template): &(_, Arc<Template>)| {
            template.weight()
        }) {
            send(templates, Vec::new());
        }
        for tasks in cut(tasks, |task| task.body.weight() + 40) {
            send(Vec::new(), tasks);
        }
    }

    /// An attempt that a subordinate runs and nobody here knew of goes on.
    pub(crate) fn adopt(
        &mut self,
        now: Time,
        child: ChildId,
        attempt: Attempt,
        resources: Resources,
    ) {
        let Attempt { key, round } = attempt;
        let spec = ClassSpec {
            resources,
            policy: Default::default(),
            category: String::new(),
        };
        let class: ClassId = self.sched.class(spec);
        self.sched.adopt(now, key, class, child);
        self.sched.retire(class);
        let stage = Stage::Leased { child };
        self.leases.insert(
            key,
            Lease {
                round,
                order: None,
                found: resources,
                stage,
            },
        );
    }

    /// Ends a lease: frees its inputs, and whoever has it is told to stop.
    pub(crate) fn drop_lease(&mut self, key: TaskKey) {
        let child = match self.leases.get(&key).map(|lease| &lease.stage) {
            Some(Stage::Leased { child }) => Some(*child),
            Some(Stage::Parked | Stage::Staging { .. } | Stage::Ready | Stage::Arriving) | None => {
                None
            }
        };
        self.sched.forget(key);
        if let Some(lease) = self.end_lease(key)
            && let Some(link) = child.and_then(|child| self.crew.link_of(child))
        {
            self.outbox.cancel(
                link,
                Attempt {
                    key,
                    round: lease.round,
                },
            );
        }
    }

    /// Ends a lease whose attempt has ended.
    pub(crate) fn end_lease(&mut self, key: TaskKey) -> Option<Lease> {
        self.sched.lost(key);
        let lease = self.leases.remove(&key)?;
        self.admission.forget(key);
        if let Some(order) = &lease.order
            && lease.stage != Stage::Parked
        {
            for digest in inputs(&order.template, &order.body).into_keys() {
                self.cache.release(key, digest);
            }
        }
        Some(lease)
    }

    /// An attempt brought nothing; whoever leased it is told.
    pub(crate) fn lose(&mut self, key: TaskKey, loss: Loss) {
        if let Some(lease) = self.end_lease(key) {
            *self.losses.entry(loss).or_default() += 1;
            self.report(key, lease.round, End::Lost(loss));
        }
    }

    /// Gives up attempts that take much longer than their kind.
    pub(crate) fn give_up_stragglers(&mut self, now: Time) {
        let mut stragglers = Vec::new();
        self.sched.stragglers(now, &mut stragglers);
        for straggler in stragglers {
            let Some(lease) = self.leases.get(&straggler.key) else {
                continue;
            };
            if let Some(link) = self.crew.link_of(straggler.child) {
                self.outbox.cancel(
                    link,
                    Attempt {
                        key: straggler.key,
                        round: lease.round,
                    },
                );
            }
            self.lose(straggler.key, Loss::FastAbort);
        }
    }

    pub(crate) fn check_leases(&self) {
        self.leases
            .iter()
            .for_each(|(key, lease)| self.check_lease(*key, lease));
        for attempt in self.arriving.keys() {
            assert!(
                !self.spool.results.contains_key(attempt),
                "{attempt} is arriving or spooled, not both"
            );
        }
    }

    fn check_lease(&self, key: TaskKey, lease: &Lease) {
        let leased = self.sched.lease(key);
        match lease.stage {
            Stage::Leased { child } => assert_eq!(leased, Some(child), "{key} is leased"),
            Stage::Parked | Stage::Staging { .. } | Stage::Ready => {
                assert_eq!(leased, None, "{key} is not leased")
            }
            Stage::Arriving => {
                let attempt = Attempt {
                    key,
                    round: lease.round,
                };
                assert!(
                    self.arriving.contains_key(&attempt),
                    "{attempt} is arriving"
                );
            }
        }
    }
}

/// Files of a lease for the scheduler.
struct LeasedFiles<'a>(&'a Leases);

impl Files for LeasedFiles<'_> {
    fn each_file(&self, key: TaskKey, visit: &mut dyn FnMut(muster_proto::task::FileRef)) {
        if let Some(Lease {
            order: Some(order), ..
        }) = self.0.get(&key)
        {
            order
                .template
                .inputs
                .iter()
                .chain(&order.body.inputs)
                .for_each(|input| visit(input.file));
        }
    }
}
