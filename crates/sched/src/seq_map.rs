//! A map for keys that are numbers given out in order: tasks of a master, children, links.
//!
//! Such keys are near each other while they live, so a row of pages, each of 64 places, finds any of them in two steps
//! where a tree of a million needs five, and walks them in order all the same. A page goes when it is empty, so that
//! what is left of ten million tasks takes what is left, and eight bytes for each page between the first and the last.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, Range, RangeBounds, RangeInclusive};

use std::collections::VecDeque;

use muster_proto::{LinkId, TaskId};

use crate::ChildId;

/// A key that is a number given out in order.
pub trait Numbered: Copy {
    /// Its number.
    fn number(self) -> u64;
    /// The key of this number, which [`Numbered::number`] gave.
    fn of(number: u64) -> Self;
}

/// A map ordered by keys that are given out in order. Look-ups, insertions and removals are O(1) where keys are dense;
/// inserting far from all others costs O(distance / 64).
pub struct SeqMap<K, V> {
    /// Pages from that of the least key to that of the greatest; the first and the last are there.
    pages: VecDeque<Option<Box<Page<V>>>>,
    /// The number of the first page.
    base: u64,
    len: usize,
    keys: PhantomData<K>,
}

/// Places of one page.
const PLACES: u64 = 64;

struct Page<V> {
    places: [Option<V>; PLACES as usize],
    held: u32,
}

impl<V> Page<V> {
    fn empty() -> Box<Self> {
        Box::new(Self {
            places: [const { None }; PLACES as usize],
            held: 0,
        })
    }
}

impl<K: Numbered, V> SeqMap<K, V> {
    /// An empty map; takes no memory.
    pub const fn new() -> Self {
        Self {
            pages: VecDeque::new(),
            base: 0,
            len: 0,
            keys: PhantomData,
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let (page, place) = self.locate(*key)?;
        self.pages.get(page)?.as_ref()?.places[place].as_ref()
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (page, place) = self.locate(*key)?;
        self.pages.get_mut(page)?.as_mut()?.places[place].as_mut()
    }

    /// Whether there is such a key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Gives a key a value; returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let page = self.page(key);
        let before = page.places[place_of(key)].replace(value);
        page.held += u32::from(before.is_none());
        self.len += usize::from(before.is_none());
        before
    }

    /// The value of a key, which gets one if it has none.
    pub fn or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        if !self.contains_key(&key) {
            self.insert(key, V::default());
        }
        let page = self.page(key);
        page.places[place_of(key)].get_or_insert_default()
    }

    /// Takes a key out; returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (page, place) = self.locate(*key)?;
        let slot = self.pages.get_mut(page)?;
        let held = slot.as_mut()?;
        let value = held.places[place].take()?;
        held.held -= 1;
        self.len -= 1;
        if held.held == 0 {
            *slot = None;
            self.trim();
        }
        Some(value)
    }

    /// Every key and its value, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (K, &V)> {
        self.pages_in(0..self.pages.len())
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = K> {
        self.iter().map(|(key, _)| key)
    }

    /// Every value, in the order of the keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Every value, in the order of the keys, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let pages = self.pages.iter_mut().flatten();
        pages.flat_map(|page| page.places.iter_mut().flatten())
    }

    /// The keys in `range` and their values, in order. Costs what is in it, and O(width / 64).
    pub fn range(&self, range: impl RangeBounds<K>) -> impl Iterator<Item = (K, &V)> {
        let numbers = numbers(range);
        self.pages_in(self.pages_of(&numbers))
            .filter(move |(key, _)| numbers.contains(&key.number()))
    }

    /// How many keys are in `range`. O(width / 64): of a page that is in it as a whole only the count is looked at.
    pub fn count(&self, range: impl RangeBounds<K>) -> usize {
        let numbers = numbers(range);
        let count = |at: usize| {
            let first = (self.base + at as u64) * PLACES;
            let is_whole = numbers.contains(&first) && numbers.contains(&(first + PLACES - 1));
            match &self.pages[at] {
                Some(page) if is_whole => page.held as usize,
                Some(_) => {
                    let keys = self.pages_in(at..at + 1);
                    keys.filter(|(key, _)| numbers.contains(&key.number()))
                        .count()
                }
                None => 0,
            }
        };
        self.pages_of(&numbers).map(count).sum()
    }

    /// Where the pages are that hold keys of these numbers.
    fn pages_of(&self, numbers: &RangeInclusive<u64>) -> Range<usize> {
        let clamp = |number: u64| {
            let page = (number / PLACES).saturating_sub(self.base);
            usize::try_from(page).map_or(self.pages.len(), |page| page.min(self.pages.len()))
        };
        clamp(*numbers.start())
            ..clamp(*numbers.end())
                .saturating_add(1)
                .min(self.pages.len())
    }

    fn pages_in(&self, pages: Range<usize>) -> impl DoubleEndedIterator<Item = (K, &V)> {
        let base = self.base;
        let rows =
            pages.filter_map(move |at| Some((base + at as u64, self.pages.get(at)?.as_ref()?)));
        rows.flat_map(|(number, page)| {
            let places = page.places.iter().enumerate();
            places.filter_map(move |(at, value)| {
                Some((K::of(number * PLACES + at as u64), value.as_ref()?))
            })
        })
    }

    /// Where a key would be, if its page is between the first and the last.
    fn locate(&self, key: K) -> Option<(usize, usize)> {
        let page = (key.number() / PLACES).checked_sub(self.base)?;
        Some((usize::try_from(page).ok()?, place_of(key)))
    }

    /// The page of a key, made if it is not there.
    fn page(&mut self, key: K) -> &mut Page<V> {
        let number = key.number() / PLACES;
        if self.pages.is_empty() {
            self.base = number;
        }
        while number < self.base {
            self.pages.push_front(None);
            self.base -= 1;
        }
        let at = (number - self.base) as usize;
        if at >= self.pages.len() {
            self.pages.resize_with(at + 1, || None);
        }
        self.pages[at].get_or_insert_with(Page::empty)
    }

    /// Lets go of pages at both ends that hold nothing.
    fn trim(&mut self) {
        while let Some(None) = self.pages.front() {
            self.pages.pop_front();
            self.base += 1;
        }
        while let Some(None) = self.pages.back() {
            self.pages.pop_back();
        }
    }
}

fn numbers<K: Numbered>(range: impl RangeBounds<K>) -> RangeInclusive<u64> {
    let first = match range.start_bound() {
        Bound::Included(key) => key.number(),
        Bound::Excluded(key) => key.number().saturating_add(1),
        Bound::Unbounded => 0,
    };
    let last = match range.end_bound() {
        Bound::Included(key) => key.number(),
        Bound::Excluded(key) => key.number().saturating_sub(1),
        Bound::Unbounded => u64::MAX,
    };
    first..=last
}

fn place_of(key: impl Numbered) -> usize {
    (key.number() % PLACES) as usize
}

impl<K: Numbered, V> Default for SeqMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Numbered + fmt::Debug, V: fmt::Debug> fmt::Debug for SeqMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Numbered, V: PartialEq> PartialEq for SeqMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let numbered = |(key, value)| (K::number(key), value);
        self.len == other.len && self.iter().map(numbered).eq(other.iter().map(numbered))
    }
}

impl<K: Numbered, V: Eq> Eq for SeqMap<K, V> {}

impl Numbered for TaskId {
    fn number(self) -> u64 {
        self.0
    }

    fn of(number: u64) -> Self {
        TaskId(number)
    }
}

impl Numbered for ChildId {
    fn number(self) -> u64 {
        u64::from(self.0)
    }

    fn of(number: u64) -> Self {
        ChildId(number as u32)
    }
}

impl Numbered for LinkId {
    fn number(self) -> u64 {
        u64::from(self.0)
    }

    fn of(number: u64) -> Self {
        LinkId(number as u32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::rng::Rng;

    fn same(map: &SeqMap<TaskId, u64>, model: &BTreeMap<TaskId, u64>) {
        assert_eq!(map.len(), model.len());
        assert!(
            map.iter()
                .eq(model.iter().map(|(key, value)| (*key, value)))
        );
        assert!(map.keys().rev().eq(model.keys().rev().copied()));
    }

    #[test]
    fn it_is_a_map_in_order() {
        let mut rng = Rng::new(3);
        let (mut map, mut model) = (SeqMap::new(), BTreeMap::new());
        for step in 0..20_000_u64 {
            let key = TaskId(1 + step / 4 + rng.below(400) as u64);
            match rng.below(5) {
                0 | 1 => assert_eq!(map.insert(key, step), model.insert(key, step)),
                2 | 3 => {
                    let old = TaskId(step / 4 + rng.below(100) as u64);
                    assert_eq!(map.remove(&old), model.remove(&old));
                }
                _ => {
                    *map.or_default(key) += 1;
                    *model.entry(key).or_default() += 1;
                    assert_eq!(map.get(&key), model.get(&key));
                }
            }
            if step % 997 == 0 {
                same(&map, &model);
                let (first, last) = (TaskId(step / 4), TaskId(step / 4 + 200));
                let here = map.range(first..=last);
                assert!(here.eq(model.range(first..=last).map(|(key, value)| (*key, value))));
                assert_eq!(map.count(first..=last), model.range(first..=last).count());
                assert_eq!(map.count(first..), model.range(first..).count());
            }
        }
        same(&map, &model);
        map.values_mut().for_each(|value| *value += 1);
        assert_eq!(
            map.values().sum::<u64>(),
            model.values().sum::<u64>() + model.len() as u64
        );
        let all: Vec<TaskId> = model.keys().copied().collect();
        for key in all {
            assert!(map.remove(&key).is_some());
        }
        assert!(
            map.is_empty() && map.pages.is_empty(),
            "nothing is left over"
        );
    }

    #[test]
    fn what_a_peer_asks_for_is_looked_up_and_costs_nothing() {
        let mut map: SeqMap<TaskId, ()> = SeqMap::new();
        assert!(!map.contains_key(&TaskId(u64::MAX)));
        map.insert(TaskId(1_000), ());
        assert!(!map.contains_key(&TaskId(u64::MAX)) && !map.contains_key(&TaskId(0)));
        assert_eq!(map.remove(&TaskId(u64::MAX)), None);
        assert_eq!(map.range(TaskId(0)..=TaskId(u64::MAX)).count(), 1);
        assert_eq!(map.range(TaskId(2_000)..=TaskId(u64::MAX)).count(), 0);
        assert_eq!(map.range(TaskId(0)..=TaskId(999)).count(), 0);
        assert_eq!(map.count(TaskId(0)..=TaskId(u64::MAX)), 1);
        assert_eq!(map.count(TaskId(2_000)..=TaskId(u64::MAX)), 0);
    }
}
