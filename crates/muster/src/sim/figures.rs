//! The figures of one run.

use muster_sim::run::{Point, RunReport};

use super::{amounts, tables};
use crate::report::drawn::Drawn;
use crate::report::marks::{Mark, letter};
use crate::report::panels::{Look, Panel, Panels, Series};
use crate::report::ranges::{self, Ranges};
use crate::report::stacks::{Row, Stacks};

/// The talk's first figure: workers by pool over time.
pub fn workers(report: &RunReport) -> Panels {
    let (unit_s, unit) = amounts::time_unit(span_s(report));
    let at = |point: &Point| point.at_s as f64 / unit_s;
    let points = thinned(&report.timeline);
    let named = report.pools.len().min(POOLS_MAX);
    let mut series: Vec<Series> = (0..named)
        .map(|pool| Series {
            name: report.pools[pool].clone(),
            points: points
                .iter()
                .map(|point| (at(point), in_pool(point, pool)))
                .collect(),
        })
        .collect();
    if report.pools.len() > named {
        let others = |point: &Point| (named..report.pools.len()).map(|n| in_pool(point, n)).sum();
        series.push(Series {
            name: format!("{} other pools", report.pools.len() - named),
            points: points
                .iter()
                .map(|point| (at(point), others(point)))
                .collect(),
        });
    }
    let sums = points
        .iter()
        .map(|point| point.workers.iter().map(|n| u64::from(*n)).sum());
    let most: u64 = sums.max().unwrap_or(0);
    Panels {
        title: "Workers by pool over time.".to_owned(),
        says: format!(
            "Workers that are there, stacked by pool ({}); at most {} at once.{}",
            series
                .iter()
                .map(|series| series.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            amounts::count(most),
            letters_say(report),
        ),
        x_title: format!("{unit} since the start"),
        panels: vec![Panel {
            y_title: "workers".to_owned(),
            look: Look::Stacked,
            series,
        }],
        marks: marks(report),
    }
}

/// The talk's second figure: running tasks above, assigned attempts and results received below.
pub fn tasks(report: &RunReport) -> Panels {
    let (unit_s, unit) = amounts::time_unit(span_s(report));
    let points = thinned(&report.timeline);
    let series = |name: &str, of: fn(&Point) -> u64| Series {
        name: name.to_owned(),
        points: points
            .iter()
            .map(|point| (point.at_s as f64 / unit_s, of(point) as f64))
            .collect(),
    };
    let panel = |title: &str, series: Vec<Series>| {
        in_thousands(Panel {
            y_title: title.to_owned(),
            look: Look::Lines,
            series,
        })
    };
    Panels {
        title: "Running and finished tasks over time.".to_owned(),
        says: format!(
            "Above: runs under way. Below: attempts assigned and results received so far; in the end {} and {}.{}",
            amounts::count(report.assigned),
            amounts::count(report.received),
            letters_say(report),
        ),
        x_title: format!("{unit} since the start"),
        panels: vec![
            panel(
                "runs under way",
                vec![series("running", |point| point.running)],
            ),
            panel(
                "tasks",
                vec![
                    series("assigned so far", |point| point.assigned),
                    series("received so far", |point| point.received),
                ],
            ),
        ],
        marks: marks(report),
    }
}

/// How long runs took, with the lines of fast abort.
pub fn run_times(report: &RunReport) -> Panels {
    let longest_s = report.run_times.last().map_or(0, |bar| bar.to_s) as f64;
    let (unit_s, unit) = amounts::time_unit(longest_s);
    let mut points = Vec::new();
    let mut from = 0;
    for bar in &report.run_times {
        points.push((from as f64 / unit_s, bar.count as f64));
        from = bar.to_s;
    }
    points.push((from as f64 / unit_s, 0.0));
    let lines = report.abort_lines.iter();
    let (near, far): (Vec<_>, Vec<_>) = lines.partition(|(_, line_s)| **line_s <= FAR * longest_s);
    let marks = near.iter().enumerate().map(|(n, (category, line_s))| Mark {
        at: **line_s / unit_s,
        label: letter(n),
        what: abort_line(category, **line_s),
    });
    let far: String = far
        .iter()
        .map(|(category, line_s)| format!(" Off the figure: {}.", abort_line(category, **line_s)))
        .collect();
    let letters = match (near.is_empty(), far.is_empty()) {
        (false, _) => " A letter marks where a run is given up as a straggler.",
        (true, false) => "",
        (true, true) => " No run is given up as a straggler: nothing asks for fast abort.",
    };
    Panels {
        title: "Run times of received results.".to_owned(),
        says: format!(
            "How many runs took how long; average {} min, standard deviation {} min.{letters}{far}",
            amounts::number(report.execution_minutes.mean),
            amounts::number(report.execution_minutes.sd),
        ),
        x_title: format!("run time ({unit})"),
        panels: vec![Panel {
            y_title: "results".to_owned(),
            look: Look::Stacked,
            series: vec![Series {
                name: "results".to_owned(),
                points,
            }],
        }],
        marks: marks.collect(),
    }
}

fn abort_line(category: &str, line_s: f64) -> String {
    format!(
        "fast abort of {category} beyond {}",
        amounts::seconds(line_s)
    )
}

/// A line this many times as far as the longest run would leave runs no room in their figure.
const FAR: f64 = 2.0;

/// Where core time went, as one bar.
pub fn core_time(report: &RunReport) -> Stacks {
    let days = report.core_days;
    let parts = [
        ("busy", days.busy),
        ("lost", days.lost),
        ("idle", days.idle),
    ];
    let whole: f64 = parts.iter().map(|part| part.1).sum();
    let segments = parts.map(|(name, amount)| {
        format!(
            "{name} {} ({})",
            amounts::number(amount),
            amounts::percent(amounts::share(amount, whole))
        )
    });
    Stacks {
        title: "Core time of workers.".to_owned(),
        says: format!(
            "In runs whose results count (busy), in runs whose results do not (lost), in no run (idle). Goodput, the \
             share of busy in busy and lost, is {}.",
            amounts::percent(report.goodput)
        ),
        x_title: "core days".to_owned(),
        segments: segments.to_vec(),
        rows: vec![Row {
            name: String::new(),
            lengths: parts.map(|part| part.1).to_vec(),
            note: String::new(),
        }],
    }
}

/// What crossed links.
pub fn links(report: &RunReport) -> Stacks {
    let most = report.links.iter().flat_map(|link| {
        [
            link.bytes_down,
            link.bytes_up,
            link.files_down,
            link.files_up,
        ]
    });
    let (size, unit) = byte_unit(most.max().unwrap_or(0));
    let rows = report.links.iter().map(|link| {
        let parts = [
            link.files_down,
            link.files_up,
            link.bytes_down,
            link.bytes_up,
        ];
        let whole: f64 = parts.iter().map(|part| *part as f64).sum();
        Row {
            name: tables::link_name(link),
            lengths: parts.map(|part| part as f64 / size).to_vec(),
            note: amounts::bytes(whole),
        }
    });
    let names = ["files down", "files up", "messages down", "messages up"];
    Stacks {
        title: "Bytes per link.".to_owned(),
        says: "Down is away from the master. All links of one kind together; the table has the numbers.".to_owned(),
        x_title: unit.to_owned(),
        segments: names.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// How caches served.
pub fn caches(report: &RunReport) -> Stacks {
    let rows = report.caches.iter().map(|cache| {
        let (hits, misses) = (cache.hits as f64, cache.misses as f64);
        let hit_share = amounts::share(hits, hits + misses);
        Row {
            name: cache.level.clone(),
            lengths: vec![hit_share, amounts::share(misses, hits + misses)],
            note: format!("{} hits", amounts::percent(hit_share)),
        }
    });
    Stacks {
        title: "Cache hits.".to_owned(),
        says: "Files that were there when an attempt needed them, and files that were not or were on their way."
            .to_owned(),
        x_title: "share of the files needed".to_owned(),
        segments: vec!["hits".to_owned(), "misses".to_owned()],
        rows: rows.collect(),
    }
}

/// How long each hop took.
pub fn latency(report: &RunReport) -> Ranges {
    let rows = report.latency.iter().map(|hop| ranges::Row {
        name: hop.hop.clone(),
        values: vec![hop.p50_s, hop.p90_s, hop.p99_s],
    });
    let names = ["median", "9 of 10 within", "99 of 100 within"];
    Ranges {
        title: "Latency by hop.".to_owned(),
        says: "From one moment of an attempt to the next. Each line across is ten times the one to its left."
            .to_owned(),
        x_title: "seconds".to_owned(),
        names: names.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// All figures that a run has something to show in, with the names of their files.
pub fn files(report: &RunReport) -> Vec<(&'static str, Drawn)> {
    let mut files = vec![
        ("workers", workers(report).drawn("workers")),
        ("tasks", tasks(report).drawn("tasks")),
        ("core_time", core_time(report).drawn("core-time")),
        ("run_times", run_times(report).drawn("run-times")),
    ];
    if !report.links.is_empty() {
        files.push(("links", links(report).drawn("links")));
    }
    if !report.caches.is_empty() {
        files.push(("caches", caches(report).drawn("caches")));
    }
    if !report.latency.is_empty() {
        files.push(("latency", latency(report).drawn("latency")));
    }
    files
}

/// The events, in the unit of the time axis. Those without a letter get the next one; what happens at one time under
/// one letter is one mark.
pub fn marks(report: &RunReport) -> Vec<Mark> {
    let (unit_s, _) = amounts::time_unit(span_s(report));
    let mut marks: Vec<Mark> = Vec::new();
    for event in &report.marks {
        let next = letter(marks.len());
        let at = event.at_s as f64 / unit_s;
        match marks.last_mut() {
            Some(last) if last.at == at && last.label == event.label => {
                last.what += &format!("; {}", event.what);
            }
            _ => marks.push(Mark {
                at,
                label: if event.label.is_empty() {
                    next
                } else {
                    event.label.clone()
                },
                what: format!("{}: {}", amounts::seconds(event.at_s as f64), event.what),
            }),
        }
    }
    marks
}

fn letters_say(report: &RunReport) -> &'static str {
    if report.marks.is_empty() {
        ""
    } else {
        " Letters are events."
    }
}

fn in_pool(point: &Point, pool: usize) -> f64 {
    f64::from(point.workers.get(pool).copied().unwrap_or(0))
}

/// How long the time axis is.
fn span_s(report: &RunReport) -> f64 {
    report
        .timeline
        .last()
        .map_or(0.0, |point| point.at_s as f64)
}

/// No more points than an axis has room for, the last one among them.
fn thinned(points: &[Point]) -> Vec<&Point> {
    let step = points.len().div_ceil(POINTS_MAX).max(1);
    let last = points.len().saturating_sub(1);
    let kept = points
        .iter()
        .enumerate()
        .filter(|(n, _)| n % step == 0 || *n == last);
    kept.map(|(_, point)| point).collect()
}

/// Numbers too long for the axis are counted in thousands.
fn in_thousands(mut panel: Panel) -> Panel {
    let points = panel.series.iter().flat_map(|series| &series.points);
    if points.map(|point| point.1).fold(0.0, f64::max) >= 1e6 {
        panel.y_title += " (thousands)";
        for point in panel
            .series
            .iter_mut()
            .flat_map(|series| &mut series.points)
        {
            point.1 /= 1e3;
        }
    }
    panel
}

/// The unit that suits an axis up to `most` bytes.
fn byte_unit(most: u64) -> (f64, &'static str) {
    match most {
        0..10_000 => (1.0, "bytes"),
        10_000..10_000_000 => (1e3, "kB"),
        10_000_000..10_000_000_000 => (1e6, "MB"),
        10_000_000_000..10_000_000_000_000 => (1e9, "GB"),
        _ => (1e12, "TB"),
    }
}

/// Pools that are told apart; hatch and hue repeat after twelve, and a legend is read up to about eight.
const POOLS_MAX: usize = 8;

/// Two pixels each.
const POINTS_MAX: usize = 460;

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn many_pools_become_a_few_and_no_worker_is_dropped() {
        let mut report = fixture::report();
        report.pools = (0..30).map(|n| format!("pool{n}")).collect();
        report
            .timeline
            .iter_mut()
            .for_each(|point| point.workers = vec![1; 30]);
        let panel = &workers(&report).panels[0];
        assert_eq!(panel.series.len(), POOLS_MAX + 1);
        let first: f64 = panel.series.iter().map(|series| series.points[0].1).sum();
        assert_eq!(first, 30.0);
        assert_eq!(panel.series[POOLS_MAX].name, "22 other pools");
    }

    #[test]
    fn a_long_run_is_drawn_to_its_end() {
        let mut report = fixture::report();
        let last = report.timeline[60].clone();
        report.timeline = (0..=10_000)
            .map(|n| Point {
                at_s: n * 60,
                ..last.clone()
            })
            .collect();
        let points = thinned(&report.timeline);
        assert!(points.len() <= POINTS_MAX + 1, "{}", points.len());
        assert_eq!(points.last().map(|point| point.at_s), Some(600_000));
    }

    #[test]
    fn events_without_a_letter_get_one_and_those_of_one_letter_share_it() {
        let mut report = fixture::report();
        let mut same = report.marks[1].clone();
        same.what = "40 in the cloud".to_owned();
        report.marks.insert(2, same);
        let marks = marks(&report);
        let labels: Vec<&str> = marks.iter().map(|mark| mark.label.as_str()).collect();
        assert_eq!(labels, ["A", "B", "C"]);
        assert!(
            marks[1].what.ends_with("\"two\"; 40 in the cloud"),
            "{:?}",
            marks[1]
        );
    }

    #[test]
    fn lines_of_fast_abort_are_drawn_or_told() {
        let mut report = fixture::report();
        report.abort_lines.insert("rare".to_owned(), 1e6);
        let figure = run_times(&report);
        let marks: Vec<&str> = figure.marks.iter().map(|mark| mark.what.as_str()).collect();
        assert_eq!(marks, ["fast abort of md beyond 4.17 h"]);
        assert!(
            figure
                .says
                .contains("Off the figure: fast abort of rare beyond 11.6 d."),
            "{}",
            figure.says
        );
        report.abort_lines.clear();
        assert!(
            run_times(&report)
                .says
                .contains("nothing asks for fast abort")
        );
    }

    #[test]
    fn figures_of_an_empty_run_hold_no_nonsense() {
        let mut report = fixture::report();
        report.timeline.clear();
        report.run_times.clear();
        report.core_days = Default::default();
        report.links.clear();
        let files = files(&report);
        assert!(files.iter().all(|(name, _)| *name != "links"));
        for (name, drawn) in files {
            let svg = drawn.svg();
            assert!(
                !svg.contains("NaN") && !svg.contains("inf"),
                "{name}: {svg}"
            );
        }
    }
}
