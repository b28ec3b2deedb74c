//! Classes: equal requests are one queue, however many tasks.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use muster_proto::task::{Algorithm, Policy};
use muster_proto::{Resources, Span, TaskKey, Time};

use crate::tasks::Chain;

/// The number of a class, from [`crate::Sched::class`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u32);

/// What tasks have in common that wait in one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassSpec {
    /// What each occupies.
    pub resources: Resources,
    /// How they are scheduled.
    pub policy: Policy,
    /// Whose run times they share.
    pub category: String,
}

/// Everything of a [`ClassSpec`], in an order.
type Key<'a> = (
    Resources,
    i32,
    u16,
    Option<Span>,
    Option<u32>,
    Algorithm,
    &'a [String],
    &'a str,
);

impl ClassSpec {
    fn key(&self) -> Key<'_> {
        let Policy {
            priority,
            retries,
            wall_max,
            fast_abort_percent,
            algorithm,
            ref preferred,
        } = self.policy;
        (
            self.resources,
            priority,
            retries,
            wall_max,
            fast_abort_percent,
            algorithm,
            preferred,
            &self.category,
        )
    }
}

impl PartialOrd for ClassSpec {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ClassSpec {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// When a class is served: by priority, then by the arrival of its head, then by its number.
pub(crate) type Rank = (Reverse<i32>, u64, u32);

/// A child's place in order of joining, and its number. The first tells an entry of a child that has left from one
/// of another that got its number.
pub(crate) type Seq = (NonZeroU32, u32);

/// A class and its queue.
#[derive(Debug)]
pub(crate) struct Class {
    pub spec: Arc<ClassSpec>,
    pub category: u32,
    /// How often it was asked for and not retired.
    holders: u64,
    pub queue: Chain,
    pub leased: u32,
    /// The children that may be able to start a task of it; they are looked at before they are used.
    pub seats: BTreeSet<Seq>,
    /// The children that cannot start one and may be able to keep one in hand.
    pub extras: BTreeSet<Seq>,
    /// The last change of a child that the two sets reflect.
    pub seen: u64,
    /// Running attempts that may become stragglers, by how often their tasks were given up, longest first.
    pub watched: BTreeMap<u32, BTreeSet<(Time, TaskKey, u32)>>,
}

/// Every class, by number and by what it asks for.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    classes: Vec<Option<Class>>,
    free: Vec<u32>,
    by_spec: BTreeMap<Arc<ClassSpec>, u32>,
}

impl Classes {
    /// The class of this specification, which gets one more holder; none if there is no such class.
    pub fn hold(&mut self, spec: &ClassSpec) -> Option<u32> {
        let number = *self.by_spec.get(spec)?;
        self.get_mut(number).holders += 1;
        Some(number)
    }

    /// Adds a class that is not there, with one holder.
    pub fn insert(&mut self, spec: ClassSpec, category: u32) -> u32 {
        let spec = Arc::new(spec);
        let number = self.free.pop().unwrap_or(self.classes.len() as u32);
        if number as usize == self.classes.len() {
            self.classes.push(None);
        }
        self.by_spec.insert(spec.clone(), number);
        self.classes[number as usize] = Some(Class {
            spec,
            category,
            holders: 1,
            queue: Chain::EMPTY,
            leased: 0,
            seats: BTreeSet::new(),
            extras: BTreeSet::new(),
            seen: 0,
            watched: BTreeMap::new(),
        });
        number
    }

    /// Takes one holder away.
    pub fn release(&mut self, number: u32) {
        let class = self.get_mut(number);
        class.holders = class.holders.saturating_sub(1);
    }

    /// Removes a class that nobody holds and that has no task.
    pub fn reclaim(&mut self, number: u32) -> Option<Class> {
        let class = self.get(number);
        if class.holders > 0 || class.leased > 0 || class.queue.length > 0 {
            return None;
        }
        let class = self.classes[number as usize].take()?;
        self.by_spec.remove(&class.spec);
        self.free.push(number);
        Some(class)
    }

    /// The class of this number.
    pub fn get(&self, number: u32) -> &Class {
        self.classes[number as usize]
            .as_ref()
            .expect("a class is used only while it is held")
    }

    /// The class of this number, to be changed.
    pub fn get_mut(&mut self, number: u32) -> &mut Class {
        self.classes[number as usize]
            .as_mut()
            .expect("a class is used only while it is held")
    }

    /// Every class with its number, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Class)> {
        (0..)
            .zip(&self.classes)
            .filter_map(|(number, class)| Some((number, class.as_ref()?)))
    }
}
