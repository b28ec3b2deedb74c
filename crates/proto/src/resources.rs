//! What tasks ask for and workers have.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of each resource: what one task asks for, or the shape of one worker.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Resources {
    /// Processor cores, in thousandths.
    pub cores_milli: u32,
    /// Graphics processors, whole.
    pub gpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Disk in bytes.
    pub disk_bytes: u64,
}

impl Resources {
    /// `n` whole cores and nothing else.
    pub const fn cores(n: u32) -> Self {
        Self {
            cores_milli: n.saturating_mul(1_000),
            gpus: 0,
            memory_bytes: 0,
            disk_bytes: 0,
        }
    }

    /// Whether a request of `self` fits into `room`, in every dimension.
    pub fn fits(&self, room: &Resources) -> bool {
        self.cores_milli <= room.cores_milli
            && self.gpus <= room.gpus
            && self.memory_bytes <= room.memory_bytes
            && self.disk_bytes <= room.disk_bytes
    }

    /// How many requests of `self` a worker of this `shape` runs side by side; at most `u32::MAX`.
    ///
    /// A request of nothing counts as one that fills the worker, so that it is never unbounded.
    pub fn times_in(&self, shape: &Resources) -> u32 {
        let dimensions = [
            (u64::from(self.cores_milli), u64::from(shape.cores_milli)),
            (u64::from(self.gpus), u64::from(shape.gpus)),
            (self.memory_bytes, shape.memory_bytes),
            (self.disk_bytes, shape.disk_bytes),
        ];
        let times = dimensions
            .iter()
            .filter(|(asked, _)| *asked > 0)
            .map(|(asked, has)| has / asked)
            .min();
        u32::try_from(times.unwrap_or(1)).unwrap_or(u32::MAX)
    }

    /// The sum, saturating.
    #[must_use]
    pub fn plus(&self, other: &Resources) -> Resources {
        Resources {
            cores_milli: self.cores_milli.saturating_add(other.cores_milli),
            gpus: self.gpus.saturating_add(other.gpus),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            disk_bytes: self.disk_bytes.saturating_add(other.disk_bytes),
        }
    }

    /// The difference, not below zero.
    #[must_use]
    pub fn minus(&self, other: &Resources) -> Resources {
        Resources {
            cores_milli: self.cores_milli.saturating_sub(other.cores_milli),
            gpus: self.gpus.saturating_sub(other.gpus),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            disk_bytes: self.disk_bytes.saturating_sub(other.disk_bytes),
        }
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cores={}", f64::from(self.cores_milli) / 1e3)?;
        for (name, bytes) in [("memory", self.memory_bytes), ("disk", self.disk_bytes)] {
            if bytes > 0 {
                write!(f, " {name}={}MiB", bytes >> 20)?;
            }
        }
        if self.gpus > 0 {
            write!(f, " gpus={}", self.gpus)?;
        }
        Ok(())
    }
}
