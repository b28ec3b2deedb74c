//! What is said of bad input: one sentence, with the line.

use super::*;

#[test]
fn each_mistake_has_its_sentence() {
    for (right, wrong, said) in MISTAKES {
        assert!(
            SMALL.contains(right),
            "{right:?} is not in the small scenario"
        );
        let text = SMALL.replacen(right, wrong, 1);
        let bad = Scenario::load(&text, &[], &mut files).expect_err(wrong);
        assert_eq!(bad.to_string(), said, "for {wrong:?}");
    }
}

#[test]
fn each_wrong_change_has_its_sentence() {
    for (key, value, said) in CHANGES {
        let set = owned(&[(key, value)]);
        let bad = Scenario::load(SMALL, &set, &mut files).expect_err(key);
        assert_eq!(bad.to_string(), said, "for {key}={value}");
    }
}

fn files(name: &str) -> Result<String, String> {
    match name {
        "words.csv" => Ok("seconds\n60\nsoon\n".to_owned()),
        "wide.csv" => Ok("job,runtime\n1,60\n2,90\n".to_owned()),
        _ => Err("No such file or directory".to_owned()),
    }
}

/// What stands in the small scenario, what is put in its place, and what is said of that.
const MISTAKES: [(&str, &str, &str); 103] = [
    (
        "span = \"24h\"",
        "span = 24h",
        "line 2: this is no TOML: string values must be quoted, expected literal string",
    ),
    (
        "[claims]",
        "[claims",
        "line 3: this is no TOML: unclosed table, expected `]`",
    ),
    (
        "span = \"24h\"",
        "about = \"again\"",
        "line 2: this is no TOML: duplicate key",
    ),
    (
        "span = \"24h\"",
        "spam = \"24h\"",
        "line 2: the scenario has no key `spam`; the nearest is `span`",
    ),
    (
        "span = \"24h\"",
        "horizon = \"24h\"",
        "line 2: the scenario has no key `horizon`; there are `about`, `claims`, `disk`, `event`, `master`, `pool`, `site`, `span`, `variants`, `work`",
    ),
    (
        "[claims]",
        "[claimz]",
        "line 3: the scenario has no key `claimz`; the nearest is `claims`",
    ),
    (
        "assigned = 10",
        "assigend = 10",
        "line 4: [claims] has no key `assigend`; the nearest is `assigned`",
    ),
    (
        "[[master]]\nname = \"top\"",
        "[[master]]\nname = \"top\"\nlinks = {}",
        "line 7: master `top` has no key `links`; the nearest is `link`",
    ),
    (
        "latency = \"40ms\"",
        "latencey = \"40ms\"",
        "line 10: `link` of site `campus` has no key `latencey`; the nearest is `latency`",
    ),
    (
        "count = 2",
        "cuont = 2",
        "line 9: site `campus` has no key `cuont`; the nearest is `count`",
    ),
    (
        "machines = 10",
        "machnes = 10",
        "line 14: pool `condor` has no key `machnes`; the nearest is `machines`",
    ),
    (
        "tasks = 100",
        "tasks = 100\nretry = 3",
        "line 20: work `md` has no key `retry`; there are `algorithm`, `at`, `category`, `cores`, `fails`, `fast_abort`, `master`, `memory`, `output`, `own_input`, `priority`, `retries`, `run`, `shared_inputs`, `tasks`",
    ),
    (
        "lasts = \"1h\"",
        "lasts = \"1h\"\npool = \"condor\"",
        "line 29: event `X` has no key `pool`; there are `at`, `do`, `label`, `lasts`, `site`",
    ),
    (
        "mean = \"1h\" }",
        "mean = \"1h\", sd = \"1h\" }",
        "line 16: the exponential `eviction` of pool `condor` has no key `sd`; the only one is `mean`",
    ),
    (
        "[[work]]",
        "[disk]\nfsnyc = \"1ms\"\n[[work]]",
        "line 18: [disk] has no key `fsnyc`; the nearest is `fsync`",
    ),
    (
        "machines = 10",
        "machines = 10\nspeed = { mean = 1, dev = 2 }",
        "line 15: `speed` of pool `condor` has no key `dev`; there are `mean`, `sd`",
    ),
    (
        "[[pool]]",
        "[[pools]]",
        "line 11: the scenario has no key `pools`; the nearest is `pool`",
    ),
    (
        "about = \"small\"",
        "#",
        "the scenario lacks the key `about`",
    ),
    (
        "[[master]]\nname = \"top\"",
        "#\n#",
        "the scenario wants at least one [[master]]",
    ),
    (
        "name = \"top\"",
        "#",
        "line 5: [[master]] lacks the key `name`",
    ),
    (
        "name = \"campus\"",
        "#",
        "line 7: [[site]] lacks the key `name`",
    ),
    (
        "machines = 10",
        "#",
        "line 11: pool `condor` lacks the key `machines`",
    ),
    (
        "category = \"md\"",
        "#",
        "line 17: [[work]] lacks the key `category`",
    ),
    (
        "tasks = 100",
        "#",
        "line 17: work `md` lacks the key `tasks`",
    ),
    (
        "run = \"5min\"",
        "#",
        "line 17: work `md` lacks the key `run`",
    ),
    (
        "mean = \"1h\"",
        "",
        "line 16: the exponential `eviction` of pool `condor` lacks the key `mean`",
    ),
    ("at = \"2h\"", "#", "line 23: event `X` lacks the key `at`"),
    ("do = \"cut\"", "#", "line 23: event `X` lacks the key `do`"),
    (
        "lasts = \"1h\"",
        "#",
        "line 23: event `X` lacks the key `lasts`",
    ),
    (
        "do = \"cut\"",
        "do = \"add\"",
        "line 23: event `X` lacks the key `pool`",
    ),
    (
        "[[work]]\ncategory = \"md\"\ntasks = 100\nrun = \"5min\"\nalgorithm = \"files\"\nshared_inputs = [\"64MiB\", 100]\n",
        "",
        "the scenario wants at least one [[work]]",
    ),
    (
        "[[pool]]\nname = \"condor\"\nsite = \"campus\"\nmachines = 10\nat_once = 5\neviction = { exponential = { mean = \"1h\" } }\n",
        "",
        "the scenario wants at least one [[pool]]",
    ),
    (
        "about = \"small\"",
        "about = 3",
        "line 1: `about` of the scenario must be a text in quotes, not 3",
    ),
    (
        "tasks = 100",
        "tasks = \"many\"",
        "line 19: `tasks` of work `md` must be a whole number from 1 to 100000000, not \"many\"",
    ),
    (
        "tasks = 100",
        "tasks = 1.5",
        "line 19: `tasks` of work `md` must be a whole number from 1 to 100000000, not 1.5",
    ),
    (
        "run = \"5min\"",
        "run = 300",
        "line 20: `run` of work `md` must be a length of time such as \"90s\" or a distribution, not 300",
    ),
    (
        "run = \"5min\"",
        "run = true",
        "line 20: `run` of work `md` must be a length of time such as \"90s\" or a distribution, not true",
    ),
    (
        "shared_inputs = [\"64MiB\", 100]",
        "shared_inputs = \"64MiB\"",
        "line 22: `shared_inputs` of work `md` must be a list such as [\"64MiB\", \"2KiB\"], not \"64MiB\"",
    ),
    (
        "link = { latency = \"40ms\" }",
        "link = \"fast\"",
        "line 10: `link` of site `campus` must be a table, not \"fast\"",
    ),
    (
        "[claims]\nassigned = 10",
        "claims = 1\n#",
        "line 3: `claims` of the scenario must be a table, not 1",
    ),
    (
        "[[master]]\nname = \"top\"",
        "[master]\nname = \"top\"",
        "line 5: `master` of the scenario must be written as [[master]], once for each",
    ),
    (
        "name = \"top\"",
        "name = \"top of the world\"",
        "line 6: `name` of master `top of the world` must be a name of 1 to 24 letters, digits, dots, dashes and underscores, no dot or dash in front, not \"top of the world\"",
    ),
    (
        "name = \"top\"",
        "name = \"none\"",
        "line 6: `name` of master `none` must be a name of 1 to 24 letters, digits, dots, dashes and underscores, no dot or dash in front, not \"none\"",
    ),
    (
        "assigned = 10",
        "assigned = \"ten\"",
        "line 4: `assigned` of [claims] must be a number from 0 to 1000000000000000, not \"ten\"",
    ),
    (
        "run = \"5min\"",
        "run = \"-5min\"",
        "line 20: `run` of work `md` must not be negative, and is \"-5min\"",
    ),
    (
        "tasks = 100",
        "tasks = 0",
        "line 19: `tasks` of work `md` must be a whole number from 1 to 100000000, not 0",
    ),
    (
        "machines = 10",
        "machines = -3",
        "line 14: `machines` of pool `condor` must be a whole number from 1 to 10000000, not -3",
    ),
    (
        "latency = \"40ms\"",
        "bandwidth = \"-1Mbit/s\"",
        "line 10: `bandwidth` of `link` of site `campus` must not be negative, and is \"-1Mbit/s\"",
    ),
    (
        "latency = \"40ms\"",
        "bandwidth = \"0Mbit/s\"",
        "line 10: `bandwidth` of `link` of site `campus` must be at least 1B/s, and is \"0Mbit/s\"",
    ),
    (
        "latency = \"40ms\"",
        "loss = 1",
        "line 10: `loss` of `link` of site `campus` must be a number from 0 to 0.9, not 1",
    ),
    (
        "tasks = 100",
        "tasks = 100\nfails = 1.5",
        "line 20: `fails` of work `md` must be a number from 0 to 1, not 1.5",
    ),
    (
        "tasks = 100",
        "tasks = 100\nfails = nan",
        "line 20: `fails` of work `md` must be a number from 0 to 1, not nan",
    ),
    (
        "machines = 10",
        "machines = 10\nunused = 1.0",
        "line 15: `unused` of pool `condor` must be a number from 0 to 0.99, not 1.0",
    ),
    (
        "tasks = 100",
        "tasks = 100\nfast_abort = 0.5",
        "line 20: `fast_abort` of work `md` must be a number from 1 to 10000, not 0.5",
    ),
    (
        "tasks = 100",
        "tasks = 100\nretries = 70000",
        "line 20: `retries` of work `md` must be a whole number from 0 to 65535, not 70000",
    ),
    (
        "span = \"24h\"",
        "span = \"0s\"",
        "line 2: `span` of the scenario must be longer than 0, and is \"0s\"",
    ),
    (
        "mean = \"1h\"",
        "mean = \"0s\"",
        "line 16: `mean` of the exponential `eviction` of pool `condor` must be longer than 0, and is \"0s\"",
    ),
    (
        "exponential = { mean = \"1h\" }",
        "gamma = { mean = \"1h\", sd = \"-1h\" }",
        "line 16: `sd` of the gamma `eviction` of pool `condor` must not be negative, and is \"-1h\"",
    ),
    (
        "exponential = { mean = \"1h\" }",
        "weibull = { mean = \"1h\", shape = 0 }",
        "line 16: `shape` of the weibull `eviction` of pool `condor` must be a number from 0.1 to 100, not 0",
    ),
    (
        "exponential = { mean = \"1h\" }",
        "lognormal = { mean = \"1s\", sd = \"1h\" }",
        "line 16: `sd` of the lognormal `eviction` of pool `condor` must be at most 100 times `mean`",
    ),
    (
        "exponential = { mean = \"1h\" }",
        "uniform = { low = \"2h\", high = \"1h\" }",
        "line 16: `low` of the uniform `eviction` of pool `condor` must not be above `high`",
    ),
    (
        "at_once = 5",
        "every = \"0s\"",
        "line 15: `every` of pool `condor` must be 1ms or longer on average",
    ),
    (
        "[\"64MiB\", 100]",
        "[\"64MiB\", 0]",
        "line 22: `shared_inputs` of work `md` must hold lengths above 0",
    ),
    (
        "machines = 10",
        "machines = 10\nspeed = { mean = 0 }",
        "line 15: `mean` of `speed` of pool `condor` must be a number from 0.01 to 100, not 0",
    ),
    (
        "lasts = \"1h\"",
        "lasts = \"0s\"",
        "line 28: `lasts` of event `X` must be longer than 0, and is \"0s\"",
    ),
    (
        "span = \"24h\"",
        "span = \"24hours\"",
        "line 2: `span` of the scenario is \"24hours\", whose unit \"hours\" is not among us, ms, s, min, h, d, w",
    ),
    (
        "span = \"24h\"",
        "span = \"24\"",
        "line 2: `span` of the scenario is \"24\" and lacks a unit, one of us, ms, s, min, h, d, w",
    ),
    (
        "span = \"24h\"",
        "span = \"40000d\"",
        "line 2: `span` of the scenario must be at most a century, 36500d, and is \"40000d\"",
    ),
    (
        "[\"64MiB\", 100]",
        "[\"64Mbit\", 100]",
        "line 22: `shared_inputs` of work `md` is \"64Mbit\", whose unit \"Mbit\" is not among B, kB, KiB, MB, MiB, GB, GiB, TB, TiB, PB, PiB",
    ),
    (
        "latency = \"40ms\"",
        "bandwidth = \"1Gbit\"",
        "line 10: `bandwidth` of `link` of site `campus` is \"1Gbit\", whose unit \"Gbit\" is not among bit/s, kbit/s, Mbit/s, Gbit/s, Tbit/s, B/s, kB/s, KiB/s, MB/s, MiB/s, GB/s, GiB/s",
    ),
    (
        "exponential = { mean = \"1h\" }",
        "exponental = { mean = \"1h\" }",
        "line 16: `eviction` of pool `condor` knows no distribution `exponental`; the nearest is `exponential`",
    ),
    (
        "exponential = { mean = \"1h\" }",
        "poisson = { mean = \"1h\" }",
        "line 16: `eviction` of pool `condor` knows no distribution `poisson`; there are `exponential`, `gamma`, `lognormal`, `trace`, `uniform`, `weibull`",
    ),
    (
        "exponential = { mean = \"1h\" }",
        "",
        "line 16: `eviction` of pool `condor` must name one distribution, of uniform, exponential, weibull, gamma, lognormal, trace",
    ),
    (
        "exponential = { mean = \"1h\" }",
        "exponential = \"1h\"",
        "line 16: `eviction` of pool `condor` must have the parameters of `exponential` in braces, not \"1h\"",
    ),
    (
        "\"files\"",
        "\"fastest\"",
        "line 21: `algorithm` of work `md` must be one of fcfs, files, time, hosts, random, worst, not \"fastest\"",
    ),
    (
        "at_once = 5",
        "at_once = 5\nkind = \"pbs\"",
        "line 16: `kind` of pool `condor` must be one of sge, slurm, condor, cloud, volunteer, not \"pbs\"",
    ),
    (
        "do = \"cut\"",
        "do = \"explode\"",
        "line 26: `do` of event `X` must be one of add, remove, cut, crash, not \"explode\"",
    ),
    (
        "site = \"campus\"",
        "site = \"campsu\"",
        "line 13: `site` of pool `condor` is `campsu`, and there is no [[site]] of that name; the nearest is `campus`",
    ),
    (
        "tasks = 100",
        "tasks = 100\nmaster = \"bottom\"",
        "line 20: `master` of work `md` is `bottom`, and there is no [[master]] of that name; the only one is `top`",
    ),
    (
        "count = 2",
        "count = 2\nunder = \"nobody\"",
        "line 10: `under` of site `campus` is `nobody`, and there is no [[site]] or [[master]] of that name; there are `campus`, `top`",
    ),
    (
        "site = \"campus1\"",
        "site = \"campus3\"",
        "line 27: `site` of event `X` is `campus3`, and there is no site of that name, but `campus1` to `campus2`",
    ),
    (
        "site = \"campus1\"",
        "site = \"campus\"",
        "line 27: `site` of event `X` is `campus`, and there is no site of that name, but `campus1` to `campus2`",
    ),
    (
        "do = \"cut\"\nsite = \"campus1\"",
        "do = \"crash\"\nname = \"top1\"",
        "line 27: `name` of event `X` is `top1`, and there is no site or master of that name; the nearest is `top`",
    ),
    (
        "do = \"cut\"\nsite = \"campus1\"\nlasts = \"1h\"",
        "do = \"remove\"\npool = \"sge\"\nworkers = 3",
        "line 27: `pool` of event `X` is `sge`, and there is no [[pool]] of that name; the only one is `condor`",
    ),
    (
        "count = 2",
        "count = 0",
        "line 13: `site` of pool `condor` is `campus`, and there is no [[site]] of that name, for its count is 0",
    ),
    (
        "[[site]]",
        "[[master]]\nname = \"top\"\n[[site]]",
        "line 7: the name `top` is taken already",
    ),
    (
        "[[pool]]",
        "[[site]]\nname = \"campus\"\n[[pool]]",
        "line 11: the name `campus` is taken already",
    ),
    (
        "[[pool]]",
        "[[site]]\nname = \"campus7\"\n[[pool]]",
        "line 11: one of `campus` may be called `campus7` as well",
    ),
    (
        "[[work]]",
        "[[pool]]\nname = \"condor\"\nmachines = 1\n[[work]]",
        "line 17: the name `condor` is taken already",
    ),
    (
        "count = 2",
        "count = 2\nunder = \"campus\"",
        "line 7: site `campus` stands under itself, by way of `under`",
    ),
    (
        "[[site]]\nname = \"campus\"",
        "[[site]]\nname = \"a\"\nunder = \"campus\"\n[[site]]\nname = \"campus\"\nunder = \"a\"",
        "line 7: site `a` stands under itself, by way of `under`",
    ),
    (
        "at_once = 5\n",
        "\n",
        "line 11: pool `condor` never has a worker: it wants `at_once`, `every` or an event that adds some",
    ),
    (
        "tasks = 100",
        "tasks = 100\ncores = 8",
        "line 17: a task of work `md` wants 8 cores, and no worker that master `top` can reach has more than 1",
    ),
    (
        "tasks = 100",
        "tasks = 100\nmemory = \"64GB\"",
        "line 17: a task of work `md` wants 64000000000 bytes of memory, and no worker that master `top` can reach has more than 1000000000",
    ),
    (
        "\"64MiB\"",
        "\"64GB\"",
        "line 17: a task of work `md` wants 64000000100 bytes of disk for its files, and no worker that master `top` can reach has more than 20000000000",
    ),
    (
        "[[work]]",
        "[[pool]]\nname = \"big\"\nmachines = 1\nat_once = 1\ncores = 8\nmemory = 0\n[[work]]\ncores = 4\nmemory = 1",
        "line 23: a task of work `md` wants cores, memory and disk that no one pool has together",
    ),
    (
        "[[site]]\nname = \"campus\"",
        "[[master]]\nname = \"other\"\n[[site]]\nname = \"campus\"\nunder = \"other\"",
        "line 20: no pool serves master `top`, which work `md` is for",
    ),
    (
        "run = \"5min\"",
        "run = { trace = \"gone.csv\" }",
        "line 20: `run` of work `md` wants the trace `gone.csv`, which cannot be read: No such file or directory",
    ),
    (
        "run = \"5min\"",
        "run = { trace = \"words.csv\" }",
        "line 20: `run` of work `md` wants the trace `words.csv`, which has \"soon\" in row 3 where a number of seconds from 0 to a century should be",
    ),
    (
        "run = \"5min\"",
        "run = { trace = \"wide.csv\" }",
        "line 20: `run` of work `md` wants the trace `wide.csv`, which has several columns, so say which one as { trace = { file = .., column = .. } }",
    ),
    (
        "run = \"5min\"",
        "run = { trace = { file = \"wide.csv\", column = \"wall\" } }",
        "line 20: `file` of the trace `run` of work `md` wants the trace `wide.csv`, which has no column `wall` in its first row",
    ),
    (
        "run = \"5min\"",
        "run = { trace = { file = \"wide.csv\" } }",
        "line 20: the trace `run` of work `md` lacks the key `column`",
    ),
    (
        "run = \"5min\"",
        "run = { trace = 5 }",
        "line 20: `run` of work `md` must have the parameters of `trace` in braces, not 5",
    ),
];

/// A change of the small scenario, and what is said of it.
const CHANGES: [(&str, &str, &str); 11] = [
    (
        "fast_abrt",
        "2",
        "in fast_abrt=2: the scenario has no key `fast_abrt` to set; the nearest are `fast_abort`, `master`, `at_once`",
    ),
    (
        "fast_abort",
        "0.5",
        "in fast_abort=0.5: `fast_abort` of work `md` must be a number from 1 to 10000, not 0.5",
    ),
    (
        "pool.condor.machines",
        "-3",
        "in pool.condor.machines=-3: `machines` of pool `condor` must be a whole number from 1 to 10000000, not -3",
    ),
    (
        "pool.sge.machines",
        "3",
        "in pool.sge.machines=3: the scenario has no key `pool.sge.machines` to set; the nearest are `pool.condor.machines`, `claims.machines`, `pool.condor.cores`",
    ),
    (
        "pool.condor.site",
        "moon",
        "in pool.condor.site=moon: `site` of pool `condor` is `moon`, and there is no [[site]] of that name; the only one is `campus`",
    ),
    (
        "span",
        "soon",
        "in span=soon: `span` of the scenario must be a length of time such as \"90s\" or \"1.5h\", not \"soon\"",
    ),
    (
        "work.md.run",
        "{ gauss = 3 }",
        "in work.md.run={ gauss = 3 }: `run` of work `md` knows no distribution `gauss`; there are `exponential`, `gamma`, `lognormal`, `trace`, `uniform`, `weibull`",
    ),
    ("tasks", "none", "line 17: work `md` lacks the key `tasks`"),
    (
        "site.campus.link",
        "5",
        "in site.campus.link=5: `link` of site `campus` must be a table, not 5",
    ),
    (
        "eviction",
        "{ gamma = { mean = \"1h\" } }",
        "in eviction={ gamma = { mean = \"1h\" } }: the gamma `eviction` of pool `condor` lacks the key `sd`",
    ),
    (
        "run",
        "{ trace = \"gone.csv\" }",
        "in run={ trace = \"gone.csv\" }: `run` of work `md` wants the trace `gone.csv`, which cannot be read: No such file or directory",
    ),
];
