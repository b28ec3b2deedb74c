//! No worker runs more at once than its shape has.

use std::collections::BTreeMap;

use muster_proto::{Attempt, Resources};

use crate::brain::{ActorId, Sight};
use crate::checkers::{Findings, Roll};

/// What runs where.
#[derive(Debug)]
pub struct Capacity {
    shapes: BTreeMap<ActorId, Resources>,
    running: BTreeMap<ActorId, BTreeMap<Attempt, Resources>>,
}

impl Capacity {
    pub(super) fn new(roll: &Roll) -> Self {
        Self {
            shapes: roll.workers.iter().copied().collect(),
            running: BTreeMap::new(),
        }
    }

    pub(super) fn saw(&mut self, sight: &Sight<'_>, findings: &mut Findings<'_>) {
        match sight {
            Sight::Started { actor, launch } => {
                let running = self.running.entry(*actor).or_default();
                running.insert(launch.attempt, launch.resources);
                let sum = running
                    .values()
                    .fold(Resources::default(), |sum, one| sum.plus(one));
                if let Some(shape) = self.shapes.get(actor).filter(|shape| !sum.fits(shape)) {
                    let what = format!("worker {} has {shape} and runs {sum}", actor.0);
                    findings.add("capacity", what, vec![launch.attempt.key]);
                }
            }
            Sight::Ended { actor, attempt, .. } | Sight::Cut { actor, attempt } => {
                if let Some(running) = self.running.get_mut(actor) {
                    running.remove(attempt);
                }
            }
            Sight::Up { .. }
            | Sight::Killed { .. }
            | Sight::Wiped { .. }
            | Sight::LinkUp { .. }
            | Sight::LinkDown { .. }
            | Sight::Left { .. }
            | Sight::Came { .. }
            | Sight::Durable { .. }
            | Sight::Fetched { .. }
            | Sight::Forgot { .. }
            | Sight::Wrong { .. } => {}
        }
    }
}
