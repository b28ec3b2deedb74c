//! The figures by which runs are laid side by side, read from the JSON of their reports.
//!
//! Runs of today and reports that were saved are read alike; what a report does not have is left open.

use std::collections::BTreeSet;

use serde_json::Value;

use super::amounts;

/// One figure of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Where it is in the JSON, as a pointer.
    pub pointer: String,
    /// What it is, for people.
    pub words: String,
    unit: Unit,
}

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Count,
    Number,
    Seconds,
    Bytes,
    Share,
    Truth,
}

impl Measure {
    fn new(pointer: &str, words: &str, unit: Unit) -> Measure {
        Measure {
            pointer: pointer.to_owned(),
            words: words.to_owned(),
            unit,
        }
    }

    /// Its name for programs: the pointer with dots.
    pub fn name(&self) -> String {
        plain(&self.pointer.trim_start_matches('/').replace('/', "."))
    }

    /// The figure of a report; a truth is 1 or 0.
    pub fn of(&self, report: &Value) -> Option<f64> {
        let Some(value) = place(report, &self.pointer) else {
            // A report has the causes that occurred; of the others there were none.
            let is_loss = self.pointer.starts_with("/losses/");
            return (is_loss && report.get("losses").is_some()).then_some(0.0);
        };
        match value {
            Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
            Value::Number(_) => value.as_f64(),
            Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The figure of a report, for people.
    pub fn shown(&self, report: &Value) -> String {
        let Some(value) = self.of(report) else {
            return amounts::UNKNOWN.to_owned();
        };
        match self.unit {
            Unit::Count => amounts::count(value as u64),
            Unit::Number => amounts::number(value),
            Unit::Seconds => amounts::seconds(value),
            Unit::Bytes => amounts::bytes(value),
            Unit::Share => amounts::percent(value),
            Unit::Truth => if value == 1.0 { "yes" } else { "no" }.to_owned(),
        }
    }

    /// How often the figure of `base` is in that of `report`, where that makes sense.
    pub fn ratio(&self, report: &Value, base: &Value) -> Option<f64> {
        match self.unit {
            Unit::Truth => None,
            Unit::Count | Unit::Number | Unit::Seconds | Unit::Bytes | Unit::Share => {
                let ratio = self.of(report)? / self.of(base)?;
                ratio.is_finite().then_some(ratio)
            }
        }
    }
}

/// From the first submit to the last outcome.
pub fn makespan() -> Measure {
    Measure::new("/makespan_s", "Makespan", Unit::Seconds)
}

/// The share of the time of runs that was not lost.
pub fn goodput() -> Measure {
    Measure::new("/goodput", "Goodput", Unit::Share)
}

/// Messages at the masters.
pub fn top_messages() -> Measure {
    Measure::new("/top/messages", "Messages at the top", Unit::Count)
}

/// Bytes at the masters.
pub fn top_bytes() -> Measure {
    Measure::new("/top/bytes", "Bytes at the top", Unit::Bytes)
}

/// Processor time of the masters' brains.
pub fn top_brain() -> Measure {
    Measure::new("/top/brain_s", "Brains at the top", Unit::Seconds)
}

/// What a row of a sweep shows, in words short enough for columns; the losses of any of the reports come last.
pub fn of_sweep(reports: &[Value]) -> Vec<Measure> {
    let mut measures = vec![
        Measure::new("/makespan_s", "makespan", Unit::Seconds),
        Measure::new("/is_complete", "complete", Unit::Truth),
        Measure::new("/received", "received", Unit::Count),
        Measure::new("/goodput", "goodput", Unit::Share),
        Measure::new("/core_days/lost", "lost core days", Unit::Number),
        Measure::new("/top/messages", "top messages", Unit::Count),
        Measure::new("/top/bytes", "top bytes", Unit::Bytes),
    ];
    measures.extend(losses(reports, ""));
    measures
}

/// What a comparison shows, the losses and hops of any of the reports included.
pub fn of_comparison(reports: &[Value]) -> Vec<Measure> {
    let mut measures = vec![
        Measure::new("/submitted", "Tasks submitted", Unit::Count),
        Measure::new("/assigned", "Tasks assigned", Unit::Count),
        Measure::new("/received", "Results received", Unit::Count),
        Measure::new("/failed", "Tasks failed", Unit::Count),
    ];
    measures.extend(losses(reports, "lost: "));
    measures.extend([
        makespan(),
        Measure::new("/is_complete", "Complete", Unit::Truth),
        Measure::new(
            "/execution_minutes/mean",
            "Execution time, average (min)",
            Unit::Number,
        ),
        Measure::new(
            "/execution_minutes/sd",
            "Execution time, std. dev. (min)",
            Unit::Number,
        ),
        Measure::new("/workers", "Workers", Unit::Count),
        Measure::new("/machines", "Machines", Unit::Count),
        goodput(),
        Measure::new("/core_days/busy", "Core days, busy", Unit::Number),
        Measure::new("/core_days/lost", "Core days, lost", Unit::Number),
        Measure::new("/core_days/idle", "Core days, idle", Unit::Number),
        top_messages(),
        top_bytes(),
        Measure::new("/top/inputs", "Inputs at the top", Unit::Count),
        top_brain(),
    ]);
    measures.extend(hops(reports));
    measures.extend([
        Measure::new("/events", "Events", Unit::Count),
        Measure::new("/wall_s", "Simulated in", Unit::Seconds),
        Measure::new("/event_us", "Cost of an event (us)", Unit::Number),
    ]);
    measures
}

/// Every cause of loss that any of the reports has.
fn losses(reports: &[Value], before: &str) -> Vec<Measure> {
    let causes: BTreeSet<&String> = reports
        .iter()
        .filter_map(|report| report.get("losses")?.as_object())
        .flat_map(|losses| losses.keys())
        .collect();
    let measures = causes.into_iter().map(|cause| {
        let words = match cause.as_str() {
            "open" => "open at the end".to_owned(),
            cause => format!("{before}{}", cause.replace('_', " ")),
        };
        Measure::new(&format!("/losses/{}", step(cause)), &words, Unit::Count)
    });
    measures.collect()
}

/// Every hop that any of the reports has, in the order they come.
fn hops(reports: &[Value]) -> Vec<Measure> {
    let mut hops: Vec<&str> = Vec::new();
    for report in reports {
        let latency = report.get("latency").and_then(Value::as_array);
        for hop in latency.into_iter().flatten() {
            let name = hop.get("hop").and_then(Value::as_str);
            hops.extend(name.filter(|name| !hops.contains(name)));
        }
    }
    let measures = hops.into_iter().map(|hop| {
        let pointer = format!("/latency/{}/p50_s", step(hop));
        Measure::new(&pointer, &format!("From {hop}, median"), Unit::Seconds)
    });
    measures.collect()
}

/// What a pointer leads to; in an array, hops go by their names.
fn place<'a>(report: &'a Value, pointer: &str) -> Option<&'a Value> {
    let mut steps = pointer.split('/').skip(1).map(plain);
    steps.try_fold(report, |at, step| match at {
        Value::Array(hops) => hops
            .iter()
            .find(|hop| hop.get("hop").and_then(Value::as_str) == Some(&step)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            at.get(step)
        }
    })
}

/// A key as a step of a pointer (RFC 6901).
fn step(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The key of a step of a pointer.
fn plain(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_read_from_what_a_report_has() {
        let old = json!({"makespan_s": 7200.0, "losses": {"evicted": 3}});
        let new = json!({"makespan_s": 10_800.0, "is_complete": true, "losses": {"a/b": 1}});
        let reports = [old.clone(), new.clone()];
        assert_eq!(makespan().shown(&old), "2.00 h");
        assert_eq!(makespan().ratio(&new, &old), Some(1.5));
        assert_eq!(goodput().shown(&old), "-");
        let measures = of_comparison(&reports);
        let names: Vec<String> = measures.iter().map(Measure::name).collect();
        assert!(names.contains(&"losses.evicted".to_owned()), "{names:?}");
        let hops = json!({"latency": [{"hop": "a to b", "p50_s": 2.0}]});
        let hop = of_comparison(&[old.clone(), hops.clone()]);
        let hop = hop
            .iter()
            .find(|measure| measure.name() == "latency.a to b.p50_s");
        let hop = hop.expect("a hop that one report has");
        assert_eq!([hop.of(&old), hop.of(&hops)], [None, Some(2.0)]);
        let odd = measures
            .iter()
            .find(|measure| measure.name() == "losses.a/b");
        let odd = odd.expect("a loss with an odd name");
        assert_eq!(
            [odd.of(&new), odd.of(&old), odd.of(&hops)],
            [Some(1.0), Some(0.0), None]
        );
    }

    #[test]
    fn every_figure_is_somewhere_in_a_report() {
        let report =
            serde_json::to_value(super::super::fixture::report()).expect("a report is JSON");
        let reports = [report.clone()];
        for measure in of_sweep(&reports).iter().chain(&of_comparison(&reports)) {
            assert!(measure.of(&report).is_some(), "{measure:?}");
        }
    }
}
