//! Whether what a scenario says makes sense as a whole: names stand for something, chains of foremen have a top, and
//! somebody can run every task.

use std::collections::BTreeMap;

use super::nearest::advice;
use super::parse::{BadScenario, Place};
use super::{Act, MasterSpec, PoolSpec, Scenario, SiteSpec, WorkSpec};

/// A name that must stand for something.
#[derive(Debug)]
pub(super) struct Reference<'d> {
    /// Where it was said.
    pub place: Place<'d>,
    /// What said it.
    pub text: String,
    /// What it must stand for.
    pub wanted: Wanted,
    /// The name.
    pub name: String,
}

/// What a name must stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A kind of masters.
    Masters,
    /// A kind of sites.
    Sites,
    /// A kind of sites or of masters.
    Above,
    /// A pool.
    Pool,
    /// One site.
    OneSite,
    /// One site or one master.
    OneProcess,
}

/// Refuses a scenario that makes no sense, with the place of what makes none.
pub(super) fn check(
    scenario: &Scenario,
    entries: &[(&'static str, Place<'_>)],
    references: &[Reference<'_>],
) -> Result<(), BadScenario> {
    let mut places: BTreeMap<&str, Vec<Place<'_>>> = BTreeMap::new();
    for (list, place) in entries {
        places.entry(list).or_default().push(*place);
    }
    let checked = Checked { scenario, places };
    checked.names()?;
    for reference in references {
        checked.reference(reference)?;
    }
    checked.chains()?;
    checked.pools()?;
    checked.work()
}

struct Checked<'s, 'd> {
    scenario: &'s Scenario,
    places: BTreeMap<&'s str, Vec<Place<'d>>>,
}

impl Checked<'_, '_> {
    fn bad(&self, list: &str, at: usize, what: String) -> BadScenario {
        let places = self.places.get(list);
        let place = places.and_then(|places| places.get(at));
        place.copied().unwrap_or(Place::Whole).bad(what)
    }

    /// No two of one name, not even once numbers are put behind them.
    fn names(&self) -> Result<(), BadScenario> {
        let Scenario {
            masters,
            sites,
            pools,
            ..
        } = self.scenario;
        let masters = masters.iter().map(|it| (it.name.as_str(), it.count));
        let sites = sites.iter().map(|it| (it.name.as_str(), it.count));
        let processes: Vec<_> = masters
            .map(|it| ("master", it))
            .chain(sites.map(|it| ("site", it)))
            .collect();
        let pools: Vec<_> = pools
            .iter()
            .map(|it| ("pool", (it.name.as_str(), 1)))
            .collect();
        for all in [processes, pools] {
            let mut seen: Vec<(&str, u32)> = Vec::new();
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for (list, kind) in all {
                let at = counts.entry(list).or_default();
                if let Some(other) = seen.iter().find(|other| collide(**other, kind)) {
                    let what = match other.0 == kind.0 {
                        true => format!("the name `{}` is taken already", kind.0),
                        false => format!("one of `{}` may be called `{}` as well", other.0, kind.0),
                    };
                    return Err(self.bad(list, *at, what));
                }
                *at += 1;
                seen.push(kind);
            }
        }
        Ok(())
    }

    fn reference(&self, reference: &Reference<'_>) -> Result<(), BadScenario> {
        let Scenario {
            masters,
            sites,
            pools,
            ..
        } = self.scenario;
        let name = reference.name.as_str();
        let kinds_of_sites = || sites.iter().map(|site| (site.name.as_str(), site.count));
        let kinds_of_masters = || masters.iter().map(|it| (it.name.as_str(), it.count));
        let is_one = |(kind, count): (&str, u32)| is_one_of(name, kind, count);
        let is_kind = |(kind, count): (&str, u32)| kind == name && count > 0;
        let (stands, what) = match reference.wanted {
            Wanted::Masters => (kinds_of_masters().any(is_kind), "[[master]]"),
            Wanted::Sites => (kinds_of_sites().any(is_kind), "[[site]]"),
            Wanted::Above => (
                kinds_of_sites().chain(kinds_of_masters()).any(is_kind),
                "[[site]] or [[master]]",
            ),
            Wanted::Pool => (pools.iter().any(|pool| pool.name == name), "[[pool]]"),
            Wanted::OneSite => (kinds_of_sites().any(is_one), "site"),
            Wanted::OneProcess => (
                kinds_of_sites().chain(kinds_of_masters()).any(is_one),
                "site or master",
            ),
        };
        if stands {
            return Ok(());
        }
        let text = &reference.text;
        let hint = self.hint(name, reference.wanted);
        let what = format!("{text} is `{name}`, and there is no {what} of that name{hint}");
        Err(reference.place.bad(what))
    }

    /// What may have been meant by a name that stands for nothing.
    fn hint(&self, name: &str, wanted: Wanted) -> String {
        let sites = self.scenario.sites.iter();
        let sites = sites.map(|site| (site.name.as_str(), site.count));
        let masters = self.scenario.masters.iter();
        let masters = masters.map(|master| (master.name.as_str(), master.count));
        let kinds: Vec<(&str, u32)> = match wanted {
            Wanted::Masters => masters.collect(),
            Wanted::Sites | Wanted::OneSite => sites.collect(),
            Wanted::Above | Wanted::OneProcess => sites.chain(masters).collect(),
            Wanted::Pool => {
                let pools = self.scenario.pools.iter();
                pools.map(|pool| (pool.name.as_str(), 1)).collect()
            }
        };
        let is_one = matches!(wanted, Wanted::OneSite | Wanted::OneProcess);
        let many = kinds.iter().find(|(kind, count)| {
            let number = name.strip_prefix(kind);
            let is_numbered = number.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
            is_one && *count > 1 && is_numbered
        });
        if let Some((kind, count)) = many {
            return format!(", but `{kind}1` to `{kind}{count}`");
        }
        match kinds
            .iter()
            .any(|(kind, count)| *kind == name && *count == 0)
        {
            true => ", for its count is 0".to_owned(),
            false => format!("; {}", advice(name, kinds.iter().map(|(kind, _)| *kind))),
        }
    }

    /// Foremen under foremen end under a master.
    fn chains(&self) -> Result<(), BadScenario> {
        for (at, site) in self.scenario.sites.iter().enumerate() {
            if self.top(site).is_none() {
                let what = format!(
                    "site `{}` stands under itself, by way of `under`",
                    site.name
                );
                return Err(self.bad("site", at, what));
            }
        }
        Ok(())
    }

    /// The kind of masters that the foremen of a site serve in the end; none if their chain has no end.
    fn top<'a>(&'a self, site: &'a SiteSpec) -> Option<Top<'a>> {
        let sites = &self.scenario.sites;
        let mut site = site;
        for _ in 0..=sites.len() {
            let Some(under) = &site.under else {
                return Some(Top::All);
            };
            match sites.iter().find(|other| other.name == *under) {
                Some(above) => site = above,
                None => return Some(Top::Kind(under)),
            }
        }
        None
    }

    /// Each pool brings workers.
    fn pools(&self) -> Result<(), BadScenario> {
        for (at, pool) in self.scenario.pools.iter().enumerate() {
            let is_added = self.scenario.events.iter().any(
                |event| matches!(&event.act, Act::Add { pool: name, .. } if *name == pool.name),
            );
            if pool.at_once == 0 && pool.every.is_none() && !is_added {
                let what = format!(
                    "pool `{}` never has a worker: it wants `at_once`, `every` or an event that adds some",
                    pool.name
                );
                return Err(self.bad("pool", at, what));
            }
        }
        Ok(())
    }

    /// Each task fits some worker that its master can reach.
    fn work(&self) -> Result<(), BadScenario> {
        for (at, work) in self.scenario.work.iter().enumerate() {
            let masters = self
                .scenario
                .masters
                .iter()
                .filter(|master| match &work.master {
                    Some(name) => *name == master.name,
                    None => true,
                });
            for master in masters {
                self.fits(work, master)
                    .map_err(|what| self.bad("work", at, what))?;
            }
        }
        Ok(())
    }

    fn fits(&self, work: &WorkSpec, master: &MasterSpec) -> Result<(), String> {
        let category = &work.category;
        let pools: Vec<&PoolSpec> = self
            .scenario
            .pools
            .iter()
            .filter(|pool| self.reaches(master, pool))
            .collect();
        if pools.is_empty() {
            return Err(format!(
                "no pool serves master `{}`, which work `{category}` is for",
                master.name
            ));
        }
        let files = work.shared_inputs.iter().map(|file| file.0).sum::<u64>();
        let bytes = files
            .saturating_add(work.own_input.0)
            .saturating_add(work.output.0);
        let most = |of: fn(&PoolSpec) -> u64| pools.iter().map(|pool| of(pool)).max().unwrap_or(0);
        for (asked, most, of) in [
            (
                u64::from(work.cores),
                most(|pool| u64::from(pool.cores)),
                "cores",
            ),
            (work.memory.0, most(|pool| pool.memory.0), "bytes of memory"),
            (
                bytes,
                most(|pool| pool.disk.0),
                "bytes of disk for its files",
            ),
        ] {
            if asked > most {
                return Err(format!(
                    "a task of work `{category}` wants {asked} {of}, and no worker that master `{}` can reach has more \
                     than {most}",
                    master.name
                ));
            }
        }
        let together = pools.iter().any(|pool| {
            pool.cores >= work.cores && pool.memory >= work.memory && pool.disk.0 >= bytes
        });
        match together {
            true => Ok(()),
            false => Err(format!(
                "a task of work `{category}` wants cores, memory and disk that no one pool has together"
            )),
        }
    }

    fn reaches(&self, master: &MasterSpec, pool: &PoolSpec) -> bool {
        let Some(name) = &pool.site else {
            return true;
        };
        let site = self.scenario.sites.iter().find(|site| site.name == *name);
        match site.and_then(|site| self.top(site)) {
            Some(Top::All) => true,
            Some(Top::Kind(kind)) => kind == master.name,
            None => false,
        }
    }
}

#[derive(Debug)]
enum Top<'a> {
    All,
    Kind(&'a str),
}

/// Whether `name` is that of the only one of a kind, or of one by its number.
fn is_one_of(name: &str, kind: &str, count: u32) -> bool {
    match count {
        0 => false,
        1 => name == kind,
        _ => name.strip_prefix(kind).is_some_and(|number| {
            let parsed = number.parse::<u32>();
            !number.starts_with(['0', '+']) && parsed.is_ok_and(|n| (1..=count).contains(&n))
        }),
    }
}

/// Whether two kinds are called the same, or a number behind one makes the other.
fn collide(one: (&str, u32), other: (&str, u32)) -> bool {
    let numbered = |(many, count): (&str, u32), name: &str| {
        let number = name.strip_prefix(many).unwrap_or_default();
        count > 1 && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    one.0 == other.0 || numbered(one, other.0) || numbered(other, one.0)
}
