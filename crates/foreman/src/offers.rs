//! What the children that are here offer, summed up for superiors as it changes.

use std::collections::BTreeMap;

use muster_proto::Resources;
use muster_proto::limits::{SHAPES_MAX, WORKERS_PER_SHAPE_MAX};
use muster_sched::ChildId;

/// The offers of children, and their sum over those that are here. A change costs what the child offers.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    children: BTreeMap<ChildId, Told>,
    /// Workers of each shape, of all children that are here.
    shapes: BTreeMap<Resources, u64>,
    /// Whether the sum may have changed since that was last asked.
    is_news: bool,
}

#[derive(Debug, Default)]
struct Told {
    shapes: Vec<(Resources, u32)>,
    is_here: bool,
}

impl Offers {
    /// A child says what it can run.
    pub fn told(&mut self, child: ChildId, shapes: Vec<(Resources, u32)>) {
        self.change(child, |told| told.shapes = shapes);
    }

    /// A child's link stands.
    pub fn came(&mut self, child: ChildId) {
        self.change(child, |told| told.is_here = true);
    }

    /// A child's link is gone.
    pub fn left(&mut self, child: ChildId) {
        self.change(child, |told| told.is_here = false);
    }

    /// A child is not expected back.
    pub fn forget(&mut self, child: ChildId) {
        self.left(child);
        self.children.remove(&child);
    }

    /// Whether the sum may have changed; says so once.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }

    fn change(&mut self, child: ChildId, change: impl FnOnce(&mut Told)) {
        let told = self.children.entry(child).or_default();
        count(&mut self.shapes, told, |sum, workers| sum - workers);
        change(told);
        count(&mut self.shapes, told, |sum, workers| sum + workers);
        self.is_news = true;
    }

    /// The sum, shape by shape, within the limit of an offer.
    pub fn sum(&self) -> Vec<(Resources, u32)> {
        let mut shapes = self.shapes.clone();
        while shapes.len() > SHAPES_MAX {
            // The smallest shape stands for the next: what fits the smaller fits the larger.
            let Some((small, count)) = shapes.pop_first() else {
                break;
            };
            let nearest = shapes.keys().find(|shape| small.fits(shape)).copied();
            if let Some(more) = nearest.and_then(|shape| shapes.remove(&shape)) {
                shapes.insert(small, count + more);
            }
        }
        let within = |count: u64| count.min(u64::from(WORKERS_PER_SHAPE_MAX)) as u32;
        shapes
            .into_iter()
            .map(|(shape, count)| (shape, within(count)))
            .collect()
    }
}

/// Counts what a child that is here offers in, or out.
fn count(shapes: &mut BTreeMap<Resources, u64>, told: &Told, change: impl Fn(u64, u64) -> u64) {
    if !told.is_here {
        return;
    }
    for (shape, workers) in &told.shapes {
        let sum = shapes.entry(*shape).or_default();
        *sum = change(*sum, u64::from(*workers));
        if *sum == 0 {
            shapes.remove(shape);
        }
    }
}
