//! From TOML to a [`Scenario`]: one function for each table, and who says what is wrong and where.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use toml::de::DeTable;

use super::changes::{Change, Changes};
use super::check::{Reference, Wanted, check};
use super::keys::Keys;
use super::*;

/// What is wrong with a scenario, in one sentence, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct BadScenario {
    /// The line of the TOML, from 1; none if it is about the whole, or about a change.
    pub line: Option<usize>,
    /// The sentence.
    pub what: String,
}

impl BadScenario {
    /// About what is no TOML.
    pub(super) fn syntax(text: &str, error: &toml::de::Error) -> Self {
        Self {
            line: error.span().map(|span| line_of(text, span.start)),
            what: format!("this is no TOML: {}", error.message().replace('\n', ", ")),
        }
    }
}

/// Where something was said.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'d> {
    /// Nowhere in particular.
    Whole,
    /// In the file.
    Line(usize),
    /// By a change of this text.
    Change(&'d str),
}

impl Place<'_> {
    /// A sentence about what was said here.
    pub fn bad(self, what: String) -> BadScenario {
        match self {
            Place::Whole => BadScenario { line: None, what },
            Place::Line(line) => BadScenario {
                line: Some(line),
                what,
            },
            Place::Change(text) => BadScenario {
                line: None,
                what: format!("in {text}: {what}"),
            },
        }
    }
}

/// What reading a scenario needs, and gathers, besides the table at hand.
pub(super) struct Reader<'d> {
    /// The file.
    text: &'d str,
    /// What answers in its place.
    pub changes: Changes<'d>,
    /// Whoever can read files.
    read: &'d mut dyn FnMut(&str) -> Result<String, String>,
    files: BTreeMap<String, String>,
    /// Where each of the tables in lists begins, in the order of the lists.
    pub entries: Vec<(&'static str, Place<'d>)>,
    /// Names that must stand for something.
    pub references: Vec<Reference<'d>>,
}

impl<'d> Reader<'d> {
    /// Where `span` is, which is within `around`.
    pub fn place_in(&self, around: Place<'d>, span: Range<usize>) -> Place<'d> {
        match around {
            Place::Change(text) => Place::Change(text),
            Place::Whole | Place::Line(_) => Place::Line(line_of(self.text, span.start)),
        }
    }

    /// The text of a file, which is read once.
    pub fn file(&mut self, name: &str) -> Result<String, String> {
        if let Some(known) = self.files.get(name) {
            return Ok(known.clone());
        }
        let text = (self.read)(name)?;
        self.files.insert(name.to_owned(), text.clone());
        Ok(text)
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// The line, from 1, of a byte of `text`.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// See [`Scenario::load`].
pub(super) fn load(
    text: &str,
    set: &[(String, String)],
    read: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Scenario, BadScenario> {
    let document = DeTable::parse(text).map_err(|error| BadScenario::syntax(text, &error))?;
    let changes: Vec<Change<'_>> = set.iter().map(Change::new).collect();
    let mut reader = Reader {
        text,
        changes: Changes::new(&changes),
        read,
        files: BTreeMap::new(),
        entries: Vec::new(),
        references: Vec::new(),
    };
    let mut scenario = scenario(Keys::root(&mut reader, document.get_ref()))?;
    reader.changes.done()?;
    check(&scenario, &reader.entries, &reader.references)?;
    scenario.sites.retain(|site| site.count > 0);
    Ok(scenario)
}

fn scenario(mut keys: Keys<'_, '_>) -> Result<Scenario, BadScenario> {
    keys.ignore("variants");
    let about = keys.must("about", Keys::text)?;
    let span = keys.lasting("span")?;
    let mut claimed = keys.table("claims")?;
    let claims = claimed.numbers(&CLAIMS)?.into_iter().collect();
    claimed.done()?;
    let mut disks = keys.table("disk")?;
    let fsync = disks.dist("fsync")?.unwrap_or_else(DiskSpec::fsync);
    disks.done()?;
    let masters = keys.each("master", "name", master)?;
    let sites = keys.each("site", "name", site)?;
    let pools = keys.each("pool", "name", pool)?;
    let work = keys.each("work", "category", work)?;
    let events = keys.each("event", "label", event)?;
    keys.refuse_unknown()?;
    for (list, is_empty) in [
        ("master", masters.is_empty()),
        ("pool", pools.is_empty()),
        ("work", work.is_empty()),
    ] {
        if is_empty {
            return Err(keys.lacking_list(list));
        }
    }
    keys.done()?;
    Ok(Scenario {
        about,
        span,
        claims,
        masters,
        work,
        sites,
        pools,
        events,
        disk: DiskSpec { fsync },
    })
}

fn master(mut keys: Keys<'_, '_>) -> Result<MasterSpec, BadScenario> {
    let spec = MasterSpec {
        name: keys.must("name", Keys::name)?,
        count: keys.count("count", 1..=MASTERS_MAX)?.unwrap_or(1),
        link: link(keys.table("link")?, LinkSpec::default())?,
    };
    keys.done().map(|()| spec)
}

fn site(mut keys: Keys<'_, '_>) -> Result<SiteSpec, BadScenario> {
    let spec = SiteSpec {
        name: keys.must("name", Keys::name)?,
        count: keys.count("count", 0..=SITES_MAX)?.unwrap_or(1),
        under: keys.reference("under", Wanted::Above)?,
        link: link(keys.table("link")?, LinkSpec::default())?,
        lan: link(keys.table("lan")?, LinkSpec::lan())?,
        cache: keys.bytes("cache")?.unwrap_or(SiteSpec::CACHE),
    };
    keys.done().map(|()| spec)
}

fn link(mut keys: Keys<'_, '_>, usual: LinkSpec) -> Result<LinkSpec, BadScenario> {
    let spec = LinkSpec {
        latency: keys.duration("latency")?.unwrap_or(usual.latency),
        bandwidth: keys.rate("bandwidth")?.unwrap_or(usual.bandwidth),
        loss: keys.number("loss", 0.0..=LOSS_MAX)?.unwrap_or(usual.loss),
    };
    keys.done().map(|()| spec)
}

fn pool(mut keys: Keys<'_, '_>) -> Result<PoolSpec, BadScenario> {
    let spec = PoolSpec {
        name: keys.must("name", Keys::name)?,
        kind: keys
            .one_of("kind", &PoolKind::ALL)?
            .unwrap_or(PoolKind::Condor),
        site: keys.reference("site", Wanted::Sites)?,
        machines: keys.must("machines", |keys, key| keys.count(key, 1..=WORKERS_MAX))?,
        unused: keys.number("unused", 0.0..=UNUSED_MAX)?.unwrap_or(0.0),
        speed: match keys.has("speed") {
            true => Some(speed(keys.table("speed")?)?),
            false => None,
        },
        cores: keys.count("cores", 1..=CORES_MAX)?.unwrap_or(1),
        memory: keys.bytes("memory")?.unwrap_or(PoolSpec::MEMORY),
        disk: keys.bytes("disk")?.unwrap_or(PoolSpec::DISK),
        at_once: keys.count("at_once", 0..=WORKERS_MAX)?.unwrap_or(0),
        every: keys.lasting_dist("every")?,
        from: keys.duration("from")?.unwrap_or_default(),
        queue: keys.dist("queue")?,
        eviction: keys.lasting_dist("eviction")?,
        walltime: keys.lasting("walltime")?,
        notice: keys.duration("notice")?,
        stays: keys.dist("stays")?,
    };
    keys.done().map(|()| spec)
}

fn speed(mut keys: Keys<'_, '_>) -> Result<Speed, BadScenario> {
    let spec = Speed {
        mean: keys.must("mean", |keys, key| keys.number(key, SPEED_MIN..=SPEED_MAX))?,
        sd: keys.number("sd", 0.0..=SPEED_MAX)?.unwrap_or(0.0),
    };
    keys.done().map(|()| spec)
}

fn work(mut keys: Keys<'_, '_>) -> Result<WorkSpec, BadScenario> {
    let tasks = keys.must("tasks", |keys, key| keys.count(key, 1..=TASKS_MAX))?;
    let priority = keys.whole("priority", i64::from(i32::MIN)..=i64::from(i32::MAX))?;
    let spec = WorkSpec {
        master: keys.reference("master", Wanted::Masters)?,
        tasks: u64::from(tasks),
        at: keys.duration("at")?.unwrap_or_default(),
        category: keys.must("category", Keys::name)?,
        cores: keys.count("cores", 1..=CORES_MAX)?.unwrap_or(1),
        memory: keys.bytes("memory")?.unwrap_or_default(),
        run: keys.must("run", Keys::dist)?,
        fails: keys.number("fails", 0.0..=1.0)?.unwrap_or(0.0),
        // Both conversions are within their bounds.
        retries: keys.count("retries", 0..=65_535)?.unwrap_or(0) as u16,
        priority: priority.unwrap_or(0) as i32,
        fast_abort: keys.number("fast_abort", 1.0..=FAST_ABORT_MAX)?,
        algorithm: keys.one_of("algorithm", &Algorithm::ALL)?,
        shared_inputs: keys.lengths("shared_inputs")?.unwrap_or_default(),
        own_input: keys.bytes("own_input")?.unwrap_or_default(),
        output: keys.bytes("output")?.unwrap_or_default(),
    };
    keys.done().map(|()| spec)
}

fn event(mut keys: Keys<'_, '_>) -> Result<EventSpec, BadScenario> {
    let at = keys.must("at", Keys::duration)?;
    let label = keys.text("label")?.unwrap_or_default();
    let doing = keys.must("do", |keys, key| keys.one_of(key, &DOINGS))?;
    let act = match doing {
        Doing::Add | Doing::Remove => {
            let pool = keys.must("pool", |keys, key| keys.reference(key, Wanted::Pool))?;
            let workers = keys.must("workers", |keys, key| keys.count(key, 1..=WORKERS_MAX))?;
            match doing {
                Doing::Remove => Act::Remove { pool, workers },
                Doing::Add | Doing::Cut | Doing::Crash => Act::Add { pool, workers },
            }
        }
        Doing::Cut => Act::Cut {
            site: keys.must("site", |keys, key| keys.reference(key, Wanted::OneSite))?,
            lasts: keys.must("lasts", Keys::lasting)?,
        },
        Doing::Crash => Act::Crash {
            name: keys.must("name", |keys, key| keys.reference(key, Wanted::OneProcess))?,
            lasts: keys.must("lasts", Keys::lasting)?,
        },
    };
    keys.done().map(|()| EventSpec { at, label, act })
}

/// What an event's `do` may say.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Add,
    Remove,
    Cut,
    Crash,
}

const DOINGS: [(Doing, &str); 4] = [
    (Doing::Add, "add"),
    (Doing::Remove, "remove"),
    (Doing::Cut, "cut"),
    (Doing::Crash, "crash"),
];
/// Figures of the report that a scenario may claim.
const CLAIMS: [&str; 8] = [
    "assigned",
    "received",
    "mean_minutes",
    "sd_minutes",
    "workers",
    "machines",
    "busy_cpu_days",
    "makespan_s",
];
/// As many as hold memory for their books on one machine.
const MASTERS_MAX: u32 = 1_000;
/// Ten times what `million.toml` has.
const SITES_MAX: u32 = 10_000;
/// Ten times what `million.toml` has.
const WORKERS_MAX: u32 = 10_000_000;
/// Ten times what `million.toml` has.
const TASKS_MAX: u32 = 100_000_000;
/// Above all machines, and far below what fits in thousandths into 32 bits.
const CORES_MAX: u32 = 10_000;
/// A link that loses more is cut; each packet is sent ten times then.
const LOSS_MAX: f64 = 0.9;
/// Of a pool, some machine is likely to be free.
const UNUSED_MAX: f64 = 0.99;
/// A hundredth of the reference.
const SPEED_MIN: f64 = 0.01;
/// A hundred times the reference.
const SPEED_MAX: f64 = 100.0;
/// Nothing runs that much longer than its like, and it fits into percent.
const FAST_ABORT_MAX: f64 = 10_000.0;
