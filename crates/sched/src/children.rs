//! The children: what each can run, what it holds, and which of it can be running.
//!
//! Every lease is either **seated** or an **extra**. Seated leases are those that the child can run side by side:
//! of each class at most as many as its shapes hold, together at most the sum of the shapes. Extras are what it
//! has in hand beyond, so that it need not wait for a round trip. Whenever a seat becomes free an extra takes it,
//! one of the same class first: the child will do just that before any news of it arrives.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;

use litemap::LiteMap;
use muster_proto::limits::{HOARD, HOARD_PER_SLOT_MAX, LEASES_PER_CHILD_MAX};
use muster_proto::task::FileRef;
use muster_proto::{Resources, Span};
use rustc_hash::FxHashSet;

use crate::class::{Classes, Seq};
use crate::seq_map::SeqMap;
use crate::stats::Runs;
use crate::tasks::Chain;

/// A subordinate, as its superior numbers it: given by the caller, constant for a peer across reconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(pub u32);

/// What a subordinate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChildKind {
    /// It runs tasks itself.
    Worker,
    /// It schedules tasks among children of its own.
    Foreman,
}

/// Whether work may be given to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Here,
    Paused,
}

/// What the shapes of a child hold together, or its seated leases ask for together; saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    cores_milli: u64,
    gpus: u64,
    memory_bytes: u64,
    disk_bytes: u64,
}

impl Room {
    fn add(&mut self, amount: &Resources, times: u32) {
        let times = u64::from(times);
        let more = |sum: &mut u64, each: u64| *sum = sum.saturating_add(each.saturating_mul(times));
        more(&mut self.cores_milli, amount.cores_milli.into());
        more(&mut self.gpus, amount.gpus.into());
        more(&mut self.memory_bytes, amount.memory_bytes);
        more(&mut self.disk_bytes, amount.disk_bytes);
    }

    fn subtract(&mut self, amount: &Resources) {
        self.cores_milli -= u64::from(amount.cores_milli);
        self.gpus -= u64::from(amount.gpus);
        self.memory_bytes -= amount.memory_bytes;
        self.disk_bytes -= amount.disk_bytes;
    }

    /// Whether `amount` fits on top of `self` into `total`; `self` is within it.
    fn leaves(&self, total: &Room, amount: &Resources) -> bool {
        u64::from(amount.cores_milli) <= total.cores_milli - self.cores_milli
            && u64::from(amount.gpus) <= total.gpus - self.gpus
            && amount.memory_bytes <= total.memory_bytes - self.memory_bytes
            && amount.disk_bytes <= total.disk_bytes - self.disk_bytes
    }
}

/// The leases of one class at one child.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seats {
    /// How many the shapes hold, each shape for itself.
    pub slots: u32,
    pub seated: u32,
    pub extra: u32,
    /// Whether the hoard is being filled: from when it is half empty until it is full.
    filling: bool,
    /// How long the extras keep the child busy, as it looked when each was added.
    extra_ns: u64,
}

/// A child.
#[derive(Debug)]
pub(crate) struct Child {
    pub id: ChildId,
    pub kind: ChildKind,
    pub site: String,
    pub host: String,
    /// Its place in order of joining.
    pub joined: NonZeroU32,
    /// Its number, for sets and for recognising it.
    pub number: u32,
    pub presence: Presence,
    pub round_trip: Span,
    pub shapes: Vec<(Resources, u32)>,
    pub core_slots: u32,
    total: Room,
    used: Room,
    seats: LiteMap<u32, Seats>,
    extras: u32,
    extra_ns: u64,
    pub leases: Chain,
    /// The number of its last change, in [`Children::changes`].
    changed: u64,
    /// Run times here, by category.
    pub runs: LiteMap<u32, Runs>,
    pub files: Files,
}

impl Child {
    /// Whether work may be given to it.
    pub fn is_placeable(&self) -> bool {
        self.presence == Presence::Here && !self.shapes.is_empty()
    }

    /// How many tasks asking for `request` its shapes hold; a sum of counts, never of shapes.
    pub fn slots(&self, request: &Resources) -> u32 {
        let each = self
            .shapes
            .iter()
            .map(|(shape, count)| request.times_in(shape).saturating_mul(*count));
        each.fold(0, u32::saturating_add)
    }

    /// The leases of `class`, and its slots.
    pub fn seats(&mut self, class: u32, request: &Resources) -> &mut Seats {
        if self.seats.len() >= CLASSES_CACHED_MAX && !self.seats.contains_key(&class) {
            self.seats.retain(|_, seats| seats.seated + seats.extra > 0);
        }
        if !self.seats.contains_key(&class) {
            let slots = self.slots(request);
            self.seats.insert(
                class,
                Seats {
                    slots,
                    ..Seats::default()
                },
            );
        }
        self.seats
            .get_mut(&class)
            .expect("it was inserted when it was not there")
    }

    /// Whether it can start a task of `class` at once.
    pub fn has_seat(&mut self, class: u32, request: &Resources) -> bool {
        let Seats { slots, seated, .. } = *self.seats(class, request);
        seated < slots
            && self.used.leaves(&self.total, request)
            && self.leases.length < LEASES_PER_CHILD_MAX
    }

    /// Whether it may have another task of `class` in hand when each takes `mean`, and no more than `share` of them.
    ///
    /// A trifle of time is not worth sharing out: a round trip would cost more. A large hoard is filled when half of it
    /// is used up, not one task at a time: short tasks then travel in batches.
    pub fn has_extra(&mut self, class: u32, request: &Resources, mean: Span, share: u64) -> bool {
        let window = HOARD + self.round_trip;
        let extra_ns = self.extra_ns;
        let seats = *self.seats(class, request);
        let slots = u64::from(seats.slots);
        let others = Span((extra_ns - seats.extra_ns) / 1_000);
        let trifle = slots.saturating_mul((TRIFLE + self.round_trip).0) / mean.0.max(1);
        let in_time = slots.saturating_mul((window - others).0) / mean.0.max(1);
        let hoard = in_time
            .min(slots * u64::from(HOARD_PER_SLOT_MAX))
            .min(share.max(trifle));
        let extra = u64::from(seats.extra);
        let seats = self.seats(class, request);
        let low = if hoard < BATCHED_FROM {
            hoard
        } else {
            hoard / 2
        };
        seats.filling = extra < hoard && (seats.filling || extra <= low);
        seats.filling && self.leases.length < LEASES_PER_CHILD_MAX
    }

    /// Takes a lease of `class`, seated if there is a seat and an extra if not, within bounds or not.
    pub fn take(&mut self, class: u32, request: &Resources, mean: Option<Span>) {
        let fits = self.used.leaves(&self.total, request);
        let seats = self.seats(class, request);
        if fits && seats.seated < seats.slots {
            seats.seated += 1;
            self.used.add(request, 1);
            return;
        }
        // An extra that takes unknown time may take all the time there is.
        let busy_ns = match mean {
            Some(mean) => mean.0.saturating_mul(1_000) / u64::from(seats.slots.max(1)),
            None => HOARD.0 * 1_000,
        };
        let busy_ns = busy_ns.min(EXTRA_NS_MAX);
        seats.extra += 1;
        seats.extra_ns += busy_ns;
        self.extras += 1;
        self.extra_ns += busy_ns;
    }

    /// Gives a lease of `class` back.
    pub fn give_back(&mut self, class: u32, request: &Resources, classes: &Classes) {
        let seats = self.seats(class, request);
        if seats.extra > 0 {
            self.drop_extra(class);
            return;
        }
        seats.seated -= 1;
        self.used.subtract(request);
        self.promote(classes);
    }

    /// Replaces what it offers and seats its leases anew.
    pub fn offer(&mut self, shapes: &[(Resources, u32)], classes: &Classes) {
        self.shapes = shapes
            .iter()
            .copied()
            .filter(|(_, count)| *count > 0)
            .collect();
        self.core_slots = self.slots(&Resources::cores(1));
        self.total = Room::default();
        for (shape, count) in &self.shapes {
            self.total.add(shape, *count);
        }
        self.used = Room::default();
        self.seats.retain(|_, seats| seats.seated + seats.extra > 0);
        let mut seats = std::mem::take(&mut self.seats);
        for (class, seats) in &mut seats {
            seats.slots = self.slots(&classes.get(*class).spec.resources);
            self.extras += seats.seated;
            seats.extra += seats.seated;
            seats.seated = 0;
        }
        self.seats = seats;
        self.promote(classes);
    }

    /// Forgets a class that has no tasks.
    pub fn forget_class(&mut self, class: u32) {
        self.seats.remove(&class);
    }

    /// Cores that no seated lease asks for.
    pub fn free_cores_milli(&self) -> u64 {
        self.total.cores_milli - self.used.cores_milli
    }

    /// Seats extras while any fits, in order of classes.
    fn promote(&mut self, classes: &Classes) {
        if self.extras == 0 {
            return;
        }
        let with_extras: Vec<u32> = self
            .seats
            .iter()
            .filter(|(_, seats)| seats.extra > 0)
            .map(|(class, _)| *class)
            .collect();
        for class in with_extras {
            let request = &classes.get(class).spec.resources;
            loop {
                let Seats {
                    slots,
                    seated,
                    extra,
                    ..
                } = *self.seats(class, request);
                if extra == 0 || seated >= slots || !self.used.leaves(&self.total, request) {
                    break;
                }
                self.drop_extra(class);
                self.seats(class, request).seated += 1;
                self.used.add(request, 1);
            }
        }
    }

    fn drop_extra(&mut self, class: u32) {
        if let Some(seats) = self.seats.get_mut(&class) {
            let busy_ns = seats.extra_ns / u64::from(seats.extra);
            seats.extra -= 1;
            seats.extra_ns -= busy_ns;
            // What division leaves over goes with the last.
            let rest = if seats.extra == 0 {
                std::mem::take(&mut seats.extra_ns)
            } else {
                0
            };
            self.extras -= 1;
            self.extra_ns -= busy_ns + rest;
        }
    }

    /// Checks seats against leases, which are given by class.
    pub fn check(&self, classes: &Classes, leased: &BTreeMap<u32, u32>) {
        let mut used = Room::default();
        let (mut extras, mut extra_ns) = (0, 0);
        for (class, seats) in &self.seats {
            let request = &classes.get(*class).spec.resources;
            assert_eq!(
                seats.slots,
                self.slots(request),
                "slots are those of the shapes"
            );
            assert!(
                seats.seated <= seats.slots,
                "no shape runs more than it holds"
            );
            assert!(
                seats.extra == 0
                    || seats.seated == seats.slots
                    || !self.used.leaves(&self.total, request),
                "no lease waits for a seat that is free"
            );
            let held = leased.get(class).copied().unwrap_or(0);
            assert_eq!(
                seats.seated + seats.extra,
                held,
                "every lease is seated or an extra"
            );
            used.add(request, seats.seated);
            extras += seats.extra;
            extra_ns += seats.extra_ns;
        }
        assert!(
            leased.keys().all(|class| self.seats.contains_key(class)),
            "every lease has its class's seats"
        );
        assert_eq!(
            (extras, extra_ns),
            (self.extras, self.extra_ns),
            "extras are counted"
        );
        assert_eq!(used, self.used, "seated leases are counted");
        let shapes_hold = self.used.leaves(&self.total, &Resources::default());
        assert!(shapes_hold, "seated leases fit the shapes together");
    }
}

/// The files a child is likely to have, because tasks that need them were placed there; the latest of them.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// The beginnings of digests: enough to prefer a child by.
    held: FxHashSet<u64>,
    order: VecDeque<u64>,
}

impl Files {
    /// Notes that the child has or fetches `file`; forgets the longest known beyond `files_max`.
    pub fn remember(&mut self, file: FileRef, files_max: usize) {
        let name = name(file);
        if self.held.insert(name) {
            self.order.push_back(name);
        }
        while self.order.len() > files_max {
            if let Some(oldest) = self.order.pop_front() {
                self.held.remove(&oldest);
            }
        }
    }

    /// How many bytes of `files` it is likely to have.
    pub fn bytes_of(&self, files: &[FileRef]) -> u64 {
        let held = files
            .iter()
            .filter(|file| self.held.contains(&name(**file)));
        held.fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

fn name(file: FileRef) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = file.digest.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl ChildKind {
    /// How many files are remembered for a child of the kind: a foreman has its whole site's.
    pub(crate) fn files_max(self) -> usize {
        match self {
            ChildKind::Worker => 4_096,
            ChildKind::Foreman => 65_536,
        }
    }
}

/// Every child, by number and by name, and the order of their changes.
#[derive(Debug, Default)]
pub(crate) struct Children {
    children: Vec<Option<Child>>,
    free: Vec<u32>,
    by_id: SeqMap<ChildId, u32>,
    joined: Option<NonZeroU32>,
    placeable: u64,
    /// The changes in order, each with the number of its child: what a class has not seen since it last looked. Those
    /// that a later change of the same child has overtaken are passed over, and dropped when they are the most.
    changes: VecDeque<(u64, u32)>,
    change: u64,
    /// The last change that any class has seen; a child that changed later need not be noted again.
    seen: u64,
}

impl Children {
    /// The number of a child.
    pub fn find(&self, id: ChildId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// Adds a child that is not known; it is here and offers nothing yet.
    pub fn insert(&mut self, id: ChildId, kind: ChildKind, site: &str, host: &str) {
        let number = self.free.pop().unwrap_or(self.children.len() as u32);
        if number as usize == self.children.len() {
            self.children.push(None);
        }
        let joined = self
            .joined
            .map_or(NonZeroU32::MIN, |last| last.saturating_add(1));
        self.joined = Some(joined);
        self.by_id.insert(id, number);
        self.children[number as usize] = Some(Child {
            id,
            kind,
            site: site.to_owned(),
            host: host.to_owned(),
            joined,
            number,
            presence: Presence::Here,
            round_trip: Span::ZERO,
            shapes: Vec::new(),
            core_slots: 0,
            total: Room::default(),
            used: Room::default(),
            seats: LiteMap::new(),
            extras: 0,
            extra_ns: 0,
            leases: Chain::EMPTY,
            changed: 0,
            runs: LiteMap::new(),
            files: Files::default(),
        });
        self.touch(number);
    }

    /// Forgets a child that holds nothing.
    pub fn remove(&mut self, number: u32) {
        let Some(child) = self.children[number as usize].take() else {
            return;
        };
        self.placeable -= u64::from(child.is_placeable());
        self.by_id.remove(&child.id);
        self.free.push(number);
    }

    /// Changes what decides whether a child is placeable.
    pub fn change(&mut self, number: u32, change: impl FnOnce(&mut Child)) {
        let child = self.get_mut(number);
        let before = child.is_placeable();
        change(child);
        let after = child.is_placeable();
        self.placeable = self.placeable + u64::from(after) - u64::from(before);
        self.touch(number);
    }

    /// Notes that a child may have more room than before.
    pub fn touch(&mut self, number: u32) {
        let (seen, change) = (self.seen, self.change + 1);
        let child = self.get_mut(number);
        if child.changed > seen {
            return;
        }
        child.changed = change;
        self.change = change;
        self.changes.push_back((change, number));
        if self.changes.len() > 2 * self.children.len() + CHANGES_MIN {
            let children = &self.children;
            self.changes.retain(|change| is_last(children, *change));
        }
    }

    /// The last change.
    pub fn changed(&self) -> u64 {
        self.change
    }

    /// The children that changed after `seen`, which the caller has seen with this.
    pub fn changed_since(&mut self, seen: u64) -> impl Iterator<Item = Seq> {
        self.seen = self.change;
        let from = self.changes.partition_point(|(change, _)| *change <= seen);
        let changes = self.changes.range(from..).copied();
        let last = changes.filter(|change| is_last(&self.children, *change));
        last.map(|(_, number)| (self.get(number).joined, number))
    }

    /// How many can be given work.
    pub fn placeable(&self) -> u64 {
        self.placeable
    }

    /// The child of this number.
    pub fn get(&self, number: u32) -> &Child {
        self.children[number as usize]
            .as_ref()
            .expect("a child is used only while it is known")
    }

    /// The child of this number, to be changed.
    pub fn get_mut(&mut self, number: u32) -> &mut Child {
        self.children[number as usize]
            .as_mut()
            .expect("a child is used only while it is known")
    }

    /// The child of an entry in a set, if it is still that one.
    pub fn entry(&mut self, (joined, number): Seq) -> Option<&mut Child> {
        self.children[number as usize]
            .as_mut()
            .filter(|child| child.joined == joined)
    }

    /// Every child, in order of its name.
    pub fn iter(&self) -> impl Iterator<Item = &Child> {
        self.by_id.values().map(|number| self.get(*number))
    }

    /// Tells every child that a class or a category is gone.
    pub fn forget(&mut self, class: u32, category: Option<u32>) {
        for child in self.children.iter_mut().flatten() {
            child.forget_class(class);
            if let Some(category) = category {
                child.runs.remove(&category);
            }
        }
    }

    /// Checks the invariants that need nothing else.
    pub fn check(&self) {
        let placeable = self.iter().filter(|child| child.is_placeable()).count();
        assert_eq!(
            placeable as u64, self.placeable,
            "placeable children are counted"
        );
        assert!(
            self.changes.iter().is_sorted(),
            "changes are noted in order"
        );
        for child in self.iter() {
            let change = (child.changed, child.number);
            assert!(
                self.changes.binary_search(&change).is_ok(),
                "a child's last change is noted"
            );
        }
    }
}

/// Whether a change is the last of a child that is still known.
fn is_last(children: &[Option<Child>], (change, number): (u64, u32)) -> bool {
    let child = children[number as usize].as_ref();
    child.is_some_and(|child| child.changed == change)
}

/// Changes that are kept however few children there are.
const CHANGES_MIN: usize = 64;
/// Work in hand that lasts no longer than this need not be kept back for others; a few round trips at a site.
const TRIFLE: Span = Span::millis(10);
/// The hoard from which on it is filled in batches.
const BATCHED_FROM: u64 = 64;
/// Classes without leases whose slots a child remembers: they are cheap to count again.
const CLASSES_CACHED_MAX: usize = 1_024;
/// No extra counts for more, so that the sum over millions of leases fits: 18 minutes, far beyond any hoard.
const EXTRA_NS_MAX: u64 = 1 << 40;
const _: () = assert!(
    EXTRA_NS_MAX > 100 * HOARD.0 * 1_000,
    "a capped extra still fills the hoard"
);
