//! Scenarios read, changed, varied and refused; and the month of Folding@Work without brains.

mod bad;
mod month;

use muster_proto::Span;
use muster_proto::task::Algorithm;

use super::*;

#[test]
fn a_scenario_is_read_with_its_defaults() {
    let scenario = Scenario::parse(SMALL).unwrap();
    assert_eq!(scenario.about, "small");
    assert_eq!(scenario.span, Some(Duration(Span::secs(86_400))));
    assert_eq!(scenario.claims["assigned"], 10.0);
    assert_eq!(scenario.masters[0].count, 1);
    assert_eq!(scenario.masters[0].link.latency.0, Span::millis(20));
    let site = &scenario.sites[0];
    assert_eq!((site.name.as_str(), site.count), ("campus", 2));
    assert_eq!(site.link.latency.0, Span::millis(40));
    assert_eq!(site.link.bandwidth, Rate(125_000_000));
    assert_eq!(site.lan.bandwidth, Rate(1_250_000_000));
    let pool = &scenario.pools[0];
    assert_eq!(pool.kind, PoolKind::Condor);
    assert_eq!(
        (pool.cores, pool.at_once, pool.every.as_ref()),
        (1, 5, None)
    );
    let exponential = Dist::Exponential {
        mean: Duration(Span::secs(3_600)),
    };
    assert_eq!(pool.eviction, Some(exponential));
    let work = &scenario.work[0];
    assert_eq!(work.run, Dist::Fixed(Duration(Span::secs(300))));
    assert_eq!(work.algorithm, Some(Algorithm::CachedFiles));
    assert_eq!(work.shared_inputs, [Bytes(64 << 20), Bytes(100)]);
    assert!(matches!(&scenario.events[0].act, Act::Cut { site, .. } if site == "campus1"));
    assert_eq!(scenario.disk.fsync.mean(), Span(280));
}

#[test]
fn every_scenario_that_ships_is_sound_in_all_its_variants() {
    for (name, text) in SHIPPED {
        assert_eq!(shipped(name), Some(text));
        let scenario = Scenario::parse(text).unwrap_or_else(|bad| panic!("{name}: {bad}"));
        assert!(
            !scenario.about.is_empty() && text.starts_with('#'),
            "{name}"
        );
        for (variant, set) in Scenario::variants(text).unwrap() {
            let varied = Scenario::load(text, &set, &mut no_files);
            varied.unwrap_or_else(|bad| panic!("{name}, {variant}: {bad}"));
        }
    }
    assert_eq!(shipped("folding"), None);
}

#[test]
fn hierarchies_all_have_the_same_workers() {
    let text = shipped("flat-vs-hierarchy").unwrap();
    let variants = Scenario::variants(text).unwrap();
    let names: Vec<&str> = variants.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "flat",
            "foremen-2",
            "foremen-8",
            "foremen-64",
            "three-levels"
        ]
    );
    for (name, set) in &variants {
        let scenario = Scenario::load(text, set, &mut no_files).unwrap();
        assert_eq!(workers(&scenario), 512, "{name}");
        let wanted = usize::from(name != "flat") + usize::from(name == "three-levels");
        assert_eq!(scenario.sites.len(), wanted, "{name}");
    }
}

#[test]
fn powers_of_ten_have_ten_tasks_for_each_worker() {
    let text = shipped("million").unwrap();
    for (name, set) in Scenario::variants(text).unwrap() {
        let scenario = Scenario::load(text, &set, &mut no_files).unwrap();
        assert_eq!(workers(&scenario).to_string(), name);
        let masters = u64::from(scenario.masters[0].count);
        assert_eq!(masters * scenario.work[0].tasks, 10 * workers(&scenario));
    }
}

#[test]
fn a_dotted_change_reaches_one_place_and_a_bare_one_all() {
    let load = |set: &[(&str, &str)]| Scenario::load(SMALL, &owned(set), &mut no_files).unwrap();
    let scenario = load(&[
        ("span", "2d"),
        (
            "work.md.run",
            "{ uniform = { low = \"1s\", high = \"3s\" } }",
        ),
        ("site.campus.link.latency", "7ms"),
        ("pool.condor.eviction.exponential.mean", "5h"),
        ("pool.condor.speed.mean", "2"),
        ("fast_abort", "1.5"),
        ("event.X.lasts", "9h"),
    ]);
    assert_eq!(scenario.span, Some(Duration(Span::secs(172_800))));
    assert_eq!(scenario.work[0].run.mean(), Span::secs(2));
    assert_eq!(scenario.sites[0].link.latency.0, Span::millis(7));
    assert_eq!(scenario.masters[0].link.latency.0, Span::millis(20));
    let eviction = scenario.pools[0].eviction.as_ref();
    assert_eq!(eviction.map(Dist::mean), Some(Span::secs(18_000)));
    let speed = scenario.pools[0].speed.unwrap();
    assert_eq!((speed.mean, speed.sd), (2.0, 0.0));
    assert_eq!(scenario.work[0].fast_abort, Some(1.5));

    let scenario = load(&[
        ("bandwidth", "1MB/s"),
        ("site.campus.lan.bandwidth", "2MB/s"),
    ]);
    assert_eq!(scenario.masters[0].link.bandwidth, Rate(1_000_000));
    assert_eq!(scenario.sites[0].link.bandwidth, Rate(1_000_000));
    assert_eq!(scenario.sites[0].lan.bandwidth, Rate(2_000_000));
}

#[test]
fn the_later_change_wins_and_none_takes_away() {
    let load = |set: &[(&str, &str)]| Scenario::load(SMALL, &owned(set), &mut no_files).unwrap();
    let scenario = load(&[
        ("machines", "7"),
        ("pool.condor.machines", "8"),
        ("machines", "9"),
    ]);
    assert_eq!(scenario.pools[0].machines, 9);
    let scenario = load(&[("span", "none"), ("eviction", "none"), ("cores", "none")]);
    assert_eq!((scenario.span, scenario.pools[0].cores), (None, 1));
    assert_eq!(scenario.pools[0].eviction, None);
}

#[test]
fn a_trace_is_read_once_by_whoever_has_files() {
    let mut reads = 0;
    let text = SMALL
        .replace("run = \"5min\"", "run = { trace = \"times.csv\" }")
        .replace(
            "{ exponential = { mean = \"1h\" } }",
            "{ trace = { file = \"times.csv\", column = \"60\" } }",
        );
    let scenario = Scenario::load(&text, &[], &mut |name| {
        reads += 1;
        assert_eq!(name, "times.csv");
        Ok("60\n120\n".to_owned())
    })
    .unwrap();
    assert_eq!(scenario.work[0].run.mean(), Span::secs(90));
    let eviction = scenario.pools[0].eviction.as_ref();
    assert_eq!(eviction.map(Dist::mean), Some(Span::secs(120)));
    assert_eq!(reads, 1);
}

#[test]
fn sites_of_which_there_are_none_are_left_out() {
    let text = SMALL.replace("name = \"campus\"", "name = \"campus\"\nunder = \"region\"")
        + "\n[[site]]\nname = \"region\"\ncount = 0\n";
    let set = [("site.campus.under", "none")];
    let scenario = Scenario::load(&text, &owned(&set), &mut no_files).unwrap();
    assert_eq!(scenario.sites.len(), 1);
    let set = [("count", "3")];
    let scenario = Scenario::load(&text, &owned(&set), &mut no_files).unwrap();
    let counts: Vec<u32> = scenario.sites.iter().map(|site| site.count).collect();
    assert_eq!((counts, scenario.masters[0].count), (vec![3, 3], 3));
}

#[test]
fn sweeps_are_every_value_with_every_other() {
    let runs = |specs: &[&str]| {
        let specs: Vec<String> = specs.iter().map(|spec| (*spec).to_owned()).collect();
        sweep(&specs)
    };
    assert_eq!(runs(&[]).unwrap(), [vec![]]);
    assert_eq!(
        runs(&["fast_abort=1.5, 2", "machines=1,2"]).unwrap(),
        [
            owned(&[("fast_abort", "1.5"), ("machines", "1")]),
            owned(&[("fast_abort", "1.5"), ("machines", "2")]),
            owned(&[("fast_abort", "2"), ("machines", "1")]),
            owned(&[("fast_abort", "2"), ("machines", "2")]),
        ]
    );
    let gamma = "{ gamma = { mean = \"2h\", sd = \"1h\" } }";
    let spec = format!("work.md.run=1h,{gamma}");
    let values: Vec<String> = runs(&[&spec])
        .unwrap()
        .concat()
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    assert_eq!(values, ["1h", gamma]);
    for (spec, said) in [
        (
            "machines",
            "the change `machines` must be written as key=value",
        ),
        ("=1", "the change `=1` lacks a key or a value"),
        (
            "machines=1,,2",
            "the change `machines=1,,2` lacks a key or a value",
        ),
    ] {
        assert_eq!(runs(&[spec]).unwrap_err().to_string(), said);
    }
    let many = format!("a={}", vec!["1"; 40].join(","));
    let bad = runs(&[&many, &many]).unwrap_err();
    assert!(bad.what.ends_with("makes more than 1000 runs"), "{bad}");
}

#[test]
fn variants_keep_their_order_and_their_values() {
    let text = "[variants.two]\npool.condor.machines = 2\nrun = { exponential = { mean = \"1h\" } }\n\
                [variants.one]\n\"work.md.run\" = \"5 min\"\n";
    assert_eq!(
        Scenario::variants(text).unwrap(),
        [
            (
                "two".to_owned(),
                owned(&[
                    ("pool.condor.machines", "2"),
                    ("run", "{ exponential = { mean = \"1h\" } }")
                ])
            ),
            ("one".to_owned(), owned(&[("work.md.run", "\"5 min\"")])),
        ]
    );
    assert_eq!(Scenario::variants("about = \"x\"").unwrap(), []);
    let bad = Scenario::variants("x = 1\nvariants = 3").unwrap_err();
    assert_eq!(bad.line, Some(2));
}

fn owned(set: &[(&str, &str)]) -> Vec<(String, String)> {
    set.iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn workers(scenario: &Scenario) -> u64 {
    let places = |pool: &PoolSpec| match &pool.site {
        None => 1,
        Some(name) => {
            let site = scenario.sites.iter().find(|site| site.name == *name);
            site.map_or(0, |site| u64::from(site.count))
        }
    };
    let pools = scenario.pools.iter();
    pools
        .map(|pool| places(pool) * u64::from(pool.at_once))
        .sum()
}

fn no_files(name: &str) -> Result<String, String> {
    Err(format!("{name} is not there"))
}

/// Something of everything. Its lines are counted by the tests of bad input.
const SMALL: &str = r#"about = "small"
span = "24h"
[claims]
assigned = 10
[[master]]
name = "top"
[[site]]
name = "campus"
count = 2
link = { latency = "40ms" }
[[pool]]
name = "condor"
site = "campus"
machines = 10
at_once = 5
eviction = { exponential = { mean = "1h" } }
[[work]]
category = "md"
tasks = 100
run = "5min"
algorithm = "files"
shared_inputs = ["64MiB", 100]
[[event]]
at = "2h"
label = "X"
do = "cut"
site = "campus1"
lasts = "1h"
"#;
