//! Which worlds and which faults a storm draws from.

use std::fmt;

use crate::storm::weather::{Climate, Rough, Strike};
use crate::world::Mutant;

/// How large worlds are, what goes wrong in them, and what is done wrong on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name at the command line.
    pub name: &'static str,
    /// Who stands where.
    pub scene: Scene,
    /// Masters, at least one.
    pub masters_max: u64,
    /// Foremen at least.
    pub foremen_min: u64,
    /// Foremen at most.
    pub foremen_max: u64,
    /// Workers beyond one for each superior.
    pub workers_max: u64,
    /// Submits of one user.
    pub submits_max: u64,
    /// Tasks of one submit.
    pub tasks_max: u64,
    /// What may go wrong.
    pub climate: Climate,
    /// A fault planted to see that it is caught.
    pub mutant: Option<Mutant>,
}

/// Who stands where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Masters, foremen and workers under each other as chance has it.
    Swarm,
    /// All masters share one foreman and its workers, and each has more work than fits.
    Shared,
    /// Replicas of the catalog, their clients and their operator; the numbers of the chain mean nothing.
    Catalog,
}

/// There is no profile of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoProfile(pub String);

impl fmt::Display for NoProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Profile::names();
        write!(f, "there is no profile {:?}: choose one of {names}", self.0)
    }
}

impl std::error::Error for NoProfile {}

impl Profile {
    /// Every profile.
    pub fn all() -> [Profile; 7] {
        let swarm = Profile::default;
        [
            swarm(),
            Profile {
                name: "crashes",
                climate: Climate {
                    strikes: &[Strike::Crash, Strike::Pause, Strike::Ghost],
                    ..Climate::CALM
                },
                ..swarm()
            },
            Profile {
                name: "network",
                climate: Climate {
                    strikes: &[Strike::Cut, Strike::Flap, Strike::Pause, Strike::Ghost],
                    links: Rough::Rough,
                    clocks: Rough::Rough,
                    ..Climate::CALM
                },
                ..swarm()
            },
            Profile {
                name: "disks",
                climate: Climate {
                    strikes: &[Strike::Crash, Strike::LostDisk, Strike::Rot],
                    disks: Rough::Rough,
                    ..Climate::CALM
                },
                ..swarm()
            },
            Profile {
                name: "large",
                masters_max: 6,
                foremen_min: 1,
                foremen_max: 8,
                workers_max: 500,
                tasks_max: 200,
                ..swarm()
            },
            Profile {
                name: "fair",
                scene: Scene::Shared,
                masters_max: 4,
                foremen_min: 1,
                foremen_max: 1,
                workers_max: 6,
                climate: Climate::CALM,
                ..swarm()
            },
            Profile {
                name: "catalog",
                scene: Scene::Catalog,
                ..swarm()
            },
        ]
    }

    /// The profile of this name.
    ///
    /// # Errors
    /// There is none; the error names those that are.
    pub fn named(name: &str) -> Result<Profile, NoProfile> {
        let mut all = Self::all().into_iter();
        all.find(|profile| profile.name == name)
            .ok_or_else(|| NoProfile(name.to_owned()))
    }

    /// The names of all profiles, for people.
    pub fn names() -> String {
        Self::all().map(|profile| profile.name).join(", ")
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            name: "default",
            scene: Scene::Swarm,
            masters_max: 3,
            foremen_min: 0,
            foremen_max: 4,
            workers_max: 12,
            submits_max: 4,
            tasks_max: 40,
            climate: Climate::ROUGH,
            mutant: None,
        }
    }
}
