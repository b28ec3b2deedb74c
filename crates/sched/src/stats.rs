//! What runs have taught: how long tasks of a category take, everywhere and at each child.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_proto::Span;

/// How long runs took: a plain mean, and one that forgets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Runs {
    samples: u64,
    total_us: u64,
    /// Exponentially weighted, in 1/256 us so that shifting keeps short runs apart.
    recent: u64,
}

impl Runs {
    /// Learns a run.
    pub fn add(&mut self, wall: Span) {
        let wall = wall.0.min(WALL_US_MAX);
        let scaled = wall << SCALE_BITS;
        self.recent = match self.samples {
            0 => scaled,
            _more => self.recent - (self.recent >> FORGET_BITS) + (scaled >> FORGET_BITS),
        };
        self.samples += 1;
        self.total_us = self.total_us.saturating_add(wall);
    }

    /// The weighted mean, at least 1 us; none before the first run.
    pub fn recent(&self) -> Option<Span> {
        (self.samples > 0).then_some(Span((self.recent >> SCALE_BITS).max(1)))
    }

    /// The plain mean of at least `samples` runs, at least 1 us.
    pub fn mean(&self, samples: u64) -> Option<Span> {
        (self.samples >= samples).then(|| Span((self.total_us / self.samples.max(1)).max(1)))
    }
}

/// Tasks that are alike.
#[derive(Debug)]
pub(crate) struct Category {
    name: Arc<str>,
    /// Classes of it.
    classes: u32,
    /// When it last lost its last class, as a number that grows.
    left: u64,
    pub runs: Runs,
}

/// Every category, by number and by name.
///
/// What was learned outlives the classes, so that the next ensemble of the kind profits, for
/// [`CATEGORIES_KEPT_MAX`] categories without a class.
#[derive(Debug, Default)]
pub(crate) struct Categories {
    categories: Vec<Option<Category>>,
    free: Vec<u32>,
    by_name: BTreeMap<Arc<str>, u32>,
    /// Those without a class, the longest ago first.
    idle: BTreeMap<u64, u32>,
    left: u64,
}

impl Categories {
    /// The number of a category, which gets one more class.
    pub fn hold(&mut self, name: &str) -> u32 {
        if let Some(number) = self.by_name.get(name).copied() {
            let left = self.get(number).left;
            self.get_mut(number).classes += 1;
            self.idle.remove(&left);
            return number;
        }
        let name: Arc<str> = name.into();
        let category = Category {
            name: name.clone(),
            classes: 1,
            left: 0,
            runs: Runs::default(),
        };
        let number = self.free.pop().unwrap_or(self.categories.len() as u32);
        if number as usize == self.categories.len() {
            self.categories.push(None);
        }
        self.categories[number as usize] = Some(category);
        self.by_name.insert(name, number);
        number
    }

    /// A class of the category is gone. Returns the category that had to be forgotten for it, if any.
    pub fn release(&mut self, number: u32) -> Option<u32> {
        self.left += 1;
        let left = self.left;
        let category = self.get_mut(number);
        category.classes -= 1;
        if category.classes > 0 {
            return None;
        }
        category.left = left;
        self.idle.insert(left, number);
        if self.idle.len() <= CATEGORIES_KEPT_MAX {
            return None;
        }
        let (_, oldest) = self.idle.pop_first()?;
        if let Some(category) = self.categories[oldest as usize].take() {
            self.by_name.remove(&category.name);
        }
        self.free.push(oldest);
        Some(oldest)
    }

    /// The category of this number.
    pub fn get(&self, number: u32) -> &Category {
        self.categories[number as usize]
            .as_ref()
            .expect("a class's category is known")
    }

    /// The category of this number, to be changed.
    pub fn get_mut(&mut self, number: u32) -> &mut Category {
        self.categories[number as usize]
            .as_mut()
            .expect("a class's category is known")
    }
}

/// A quarter of what it learns from is the newest two runs: it follows a change within some twenty.
const FORGET_BITS: u32 = 3;
const SCALE_BITS: u32 = 8;
/// No run counts for more: a hundred years, and the scaled value still fits.
const WALL_US_MAX: u64 = 100 * 366 * 86_400 * 1_000_000;
const _: () = assert!(WALL_US_MAX < u64::MAX >> SCALE_BITS, "scaled run times fit");
/// Categories without a class whose run times are remembered: some 100 bytes each.
const CATEGORIES_KEPT_MAX: usize = 4_096;
