//! The tables of one run, for the terminal, the page and files.

use muster_sim::run::{LinkReport, RunReport};

use super::amounts;
use crate::report::table::Table;

/// The talk's table; with published figures beside those that emerged, where the scenario has some.
pub fn talk(report: &RunReport) -> Table {
    let caption = "The talk's table";
    let mut rows: Vec<(String, &str)> = TALK
        .iter()
        .map(|(name, words)| ((*words).to_owned(), *name))
        .collect();
    if report.claims.is_empty() {
        let mut table = Table::new(caption, ["what", "emerged"]);
        for (words, name) in rows {
            table.push([words, emerged(report, name)]);
        }
        return table;
    }
    let further = report
        .claims
        .iter()
        .filter(|claim| TALK.iter().all(|(name, _)| claim.name != *name));
    rows.extend(further.map(|claim| (words(&claim.name), claim.name.as_str())));
    let mut table = Table::new(caption, ["what", "emerged", "published", "ratio"]);
    for (words, name) in rows {
        let claim = report.claims.iter().find(|claim| claim.name == name);
        let [published, ratio] = claim.map_or([amounts::UNKNOWN; 2].map(str::to_owned), |claim| {
            [
                shown(claim.published),
                amounts::ratio(claim.emerged, claim.published),
            ]
        });
        table.push([words, emerged(report, name), published, ratio]);
    }
    table
}

/// A claim that is not of the talk, in words.
fn words(name: &str) -> String {
    match name.strip_suffix("_s") {
        Some(name) => format!("{} (s)", name.replace('_', " ")),
        None => name.replace('_', " "),
    }
}

fn emerged(report: &RunReport, name: &str) -> String {
    let claim = report.claims.iter().find(|claim| claim.name == name);
    let figure = report.figure(name).or(claim.map(|claim| claim.emerged));
    figure.map_or(amounts::UNKNOWN.to_owned(), shown)
}

/// Counts are whole, whatever their size; means are not.
fn shown(figure: f64) -> String {
    if figure.fract() == 0.0 && figure >= 0.0 {
        amounts::count(figure as u64)
    } else {
        amounts::number(figure)
    }
}

/// Rows of the talk's table by the names of claims.
pub const TALK: [(&str, &str); 7] = [
    ("assigned", "Tasks assigned"),
    ("received", "Results received"),
    ("mean_minutes", "Execution time, average (min)"),
    ("sd_minutes", "Execution time, std. dev. (min)"),
    ("workers", "Number of workers"),
    ("machines", "Number of unique machines"),
    ("busy_cpu_days", "CPU days"),
];

/// What became of every attempt: parts that sum to those assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Results, losses by cause, and those open at the end, in words.
    pub parts: Vec<(String, u64)>,
    /// Attempts that the parts have too many; negative if some are missing. Not zero only if the simulator is wrong.
    pub excess: i128,
}

/// The ledger of a run.
pub fn ledger(report: &RunReport) -> Ledger {
    let mut parts = vec![("results received".to_owned(), report.received)];
    let lost = report.losses.iter().filter(|(cause, _)| **cause != OPEN);
    parts.extend(lost.map(|(cause, count)| (format!("lost: {}", cause.replace('_', " ")), *count)));
    let open = report.losses.get(OPEN);
    parts.extend(open.map(|count| ("open at the end".to_owned(), *count)));
    let sum: i128 = parts.iter().map(|(_, count)| i128::from(*count)).sum();
    Ledger {
        parts,
        excess: sum - i128::from(report.assigned),
    }
}

/// Among the causes of losses, attempts of which nothing was known yet when the world ended.
const OPEN: &str = "open";

impl Ledger {
    /// The ledger as a table whose parts visibly sum to `assigned`.
    pub fn table(&self, assigned: u64) -> Table {
        let caption = "Ledger: what was assigned and what came of it";
        let mut table = Table::new(caption, ["what", "attempts", "share"]);
        for (n, (words, count)) in self.parts.iter().enumerate() {
            let sign = if n == 0 { ' ' } else { '+' };
            let share = amounts::share(*count as f64, assigned as f64);
            table.push([
                format!("{sign} {words}"),
                amounts::count(*count),
                amounts::percent(share),
            ]);
        }
        if self.excess != 0 {
            let words = match self.excess {
                ..0 => "! does not sum; missing",
                _ => "! does not sum; too many",
            };
            let off = self.excess.unsigned_abs().to_string();
            table.push([words.to_owned(), off, String::new()]);
        }
        table.push([
            "= assigned".to_owned(),
            amounts::count(assigned),
            "100.0 %".to_owned(),
        ]);
        table
    }
}

/// Where core time went.
pub fn core_days(report: &RunReport) -> Table {
    let days = report.core_days;
    let whole = days.busy + days.lost + days.idle;
    let mut table = Table::new("Core time of workers", ["what", "core days", "share"]);
    for (what, amount) in [
        ("busy: runs whose results count", days.busy),
        ("lost: runs whose results do not", days.lost),
        ("idle: no run", days.idle),
    ] {
        let share = amounts::percent(amounts::share(amount, whole));
        table.push([what.to_owned(), amounts::number(amount), share]);
    }
    table
}

/// What crossed links, both ways.
pub fn links(report: &RunReport) -> Table {
    let columns = [
        "link",
        "messages down",
        "up",
        "bytes down",
        "up",
        "files down",
        "up",
    ];
    let mut table = Table::new("Links", columns);
    for link in &report.links {
        table.push([
            link_name(link),
            amounts::count(link.messages_down),
            amounts::count(link.messages_up),
            amounts::bytes(link.bytes_down as f64),
            amounts::bytes(link.bytes_up as f64),
            amounts::bytes(link.files_down as f64),
            amounts::bytes(link.files_up as f64),
        ]);
    }
    table
}

/// A link by its two ends.
pub fn link_name(link: &LinkReport) -> String {
    format!("{} - {}", link.upper, link.lower)
}

/// How caches served.
pub fn caches(report: &RunReport) -> Table {
    let columns = [
        "cache of",
        "hits",
        "misses",
        "hit share",
        "hit bytes",
        "fetched",
    ];
    let mut table = Table::new("Files that attempts needed", columns);
    for cache in &report.caches {
        let asked = cache.hits.saturating_add(cache.misses);
        table.push([
            cache.level.clone(),
            amounts::count(cache.hits),
            amounts::count(cache.misses),
            amounts::percent(amounts::share(cache.hits as f64, asked as f64)),
            amounts::bytes(cache.hit_bytes as f64),
            amounts::bytes(cache.fetched_bytes as f64),
        ]);
    }
    table
}

/// How long each hop took.
pub fn latency(report: &RunReport) -> Table {
    let columns = [
        "from",
        "measured",
        "median",
        "9 of 10 within",
        "99 of 100 within",
    ];
    let mut table = Table::new("Latency by hop", columns);
    for hop in &report.latency {
        table.push([
            hop.hop.clone(),
            amounts::count(hop.count),
            amounts::seconds(hop.p50_s),
            amounts::seconds(hop.p90_s),
            amounts::seconds(hop.p99_s),
        ]);
    }
    table
}

/// The load at the top of the chain.
pub fn top(report: &RunReport) -> Table {
    let mut table = Table::new("At the top of the chain", ["what", "how much"]);
    let top = &report.top;
    table.push(["messages".to_owned(), amounts::count(top.messages)]);
    table.push(["bytes".to_owned(), amounts::bytes(top.bytes as f64)]);
    table.push(["inputs of brains".to_owned(), amounts::count(top.inputs)]);
    table.push(["time in brains".to_owned(), amounts::seconds(top.brain_s)]);
    table
}

/// How the run was made, so that it can be made again.
pub fn made(report: &RunReport) -> Table {
    let mut table = Table::new("How it was made", ["what", "value"]);
    let set = match report.set.as_slice() {
        [] => "nothing".to_owned(),
        set => set.join(", "),
    };
    for (what, value) in [
        ("scenario", report.scenario.clone()),
        ("seed", report.seed.to_string()),
        ("set", set),
        ("muster", env!("CARGO_PKG_VERSION").to_owned()),
        ("events", amounts::count(report.events)),
        ("inputs of all brains", amounts::count(report.inputs)),
        ("simulated in", amounts::seconds(report.wall_s)),
        ("events per second", events_per_s(report)),
        ("trace hash", report.trace_hash.clone()),
    ] {
        table.push([what.to_owned(), value]);
    }
    table
}

/// How fast it was simulated.
pub fn events_per_s(report: &RunReport) -> String {
    let speed = report.events as f64 / report.wall_s;
    if speed.is_finite() {
        amounts::count(speed as u64)
    } else {
        amounts::UNKNOWN.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn the_ledger_sums_to_assigned() {
        let report = fixture::report();
        let ledger = ledger(&report);
        let sum: u64 = ledger.parts.iter().map(|part| part.1).sum();
        assert_eq!((sum, ledger.excess), (report.assigned, 0));
        let last = ledger.parts.last();
        assert_eq!(last, Some(&("open at the end".to_owned(), 3)));
    }

    #[test]
    fn a_ledger_that_does_not_sum_says_so() {
        let mut report = fixture::report();
        report.losses.remove("open");
        let missing = ledger(&report);
        assert_eq!(missing.excess, -3);
        let table = missing.table(report.assigned).plain();
        assert!(table.contains("! does not sum; missing"), "{table}");
        report.received += 10;
        let excess = ledger(&report);
        assert_eq!(excess.excess, 7);
        let table = excess.table(report.assigned).plain();
        assert!(table.contains("! does not sum; too many"), "{table}");
    }

    #[test]
    fn claims_stand_beside_what_emerged() {
        let mut report = fixture::report();
        let wanted = "\
The talk's table
  what                               emerged  published  ratio
  Tasks assigned                     283 830    283 830  1.000
  Results received                   122 141    122 141  1.000
  Execution time, average (min)        125.2        125  1.002
  Execution time, std. dev. (min)      87.50          -      -
  Number of workers                     5000          -      -
  Number of unique machines              370          -      -
  CPU days                            10 603       3000  3.534
  makespan (s)                     2 592 000  2 592 000  1.000
";
        assert_eq!(talk(&report).plain(), wanted);
        report.claims.clear();
        assert_eq!(talk(&report).columns.len(), 2);
    }
}
