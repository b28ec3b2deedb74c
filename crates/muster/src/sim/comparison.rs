//! Runs side by side: a table with ratios to the first, and figures.

use serde_json::{Value, json};

use super::amounts;
use super::measures::{self, Measure};
use crate::report::page::{page, section};
use crate::report::panels::{Look, Panel, Panels, Series};
use crate::report::stacks::{Row, Stacks};
use crate::report::table::Table;
use crate::text::harmless;

/// Sides, of which the first is what the others are measured by.
#[derive(Clone, Debug)]
pub struct Comparison {
    sides: Vec<Side>,
    measures: Vec<Measure>,
}

/// One run, however it came here.
#[derive(Clone, Debug)]
pub struct Side {
    /// What it is called in this comparison.
    pub name: String,
    /// Its report as JSON.
    pub report: Value,
}

impl Comparison {
    /// The schema's name.
    const SCHEMA: &'static str = "muster.sim.compare/1";

    /// A comparison of these sides.
    pub fn new(sides: Vec<Side>) -> Comparison {
        let reports: Vec<Value> = sides.iter().map(|side| side.report.clone()).collect();
        Comparison {
            measures: measures::of_comparison(&reports),
            sides,
        }
    }

    /// The table for a terminal.
    pub fn text(&self) -> String {
        let table = self.table().plain();
        table.lines().map(|line| harmless(line) + "\n").collect()
    }

    /// The contract `muster.sim.compare/1`, in one line: for each figure the value of each side and its ratio to the
    /// first; null where there is none.
    pub fn json(&self) -> String {
        let part = |side: &Side, key: &str| side.report.get(key).cloned().unwrap_or_default();
        let sides = self.sides.iter().map(|side| {
            json!({
                "name": side.name,
                "scenario": part(side, "scenario"),
                "seed": part(side, "seed"),
                "set": part(side, "set"),
                "trace_hash": part(side, "trace_hash"),
            })
        });
        let figures = self.measures.iter().map(|measure| {
            let values = self.sides.iter().map(|side| measure.of(&side.report));
            let ratios = self.sides.iter().map(|side| self.ratio(measure, side));
            json!({
                "name": measure.name(),
                "values": values.collect::<Vec<_>>(),
                "ratios": ratios.collect::<Vec<_>>(),
            })
        });
        let line = json!({
            "schema": Self::SCHEMA,
            "sides": sides.collect::<Vec<_>>(),
            "figures": figures.collect::<Vec<_>>(),
        });
        line.to_string()
    }

    /// The page.
    pub fn page(&self) -> String {
        let names: Vec<&str> = self.sides.iter().map(|side| side.name.as_str()).collect();
        let title = match names.as_slice() {
            [first, second] => format!("{first} and {second} compared"),
            names => format!("{} runs compared", names.len()),
        };
        let (unit_s, unit) = amounts::time_unit(self.most(&measures::makespan()));
        let makespan = self.bars(&measures::makespan(), unit_s, unit);
        let messages = self.bars(&measures::top_messages(), 1e3, "thousands of messages");
        let bytes = self.bars(&measures::top_bytes(), 1e6, "MB");
        let brain = self.bars(&measures::top_brain(), 1.0, "processor seconds");
        page(
            &title,
            "Each column is a run; beside it is its ratio to the first.",
            [
                section("Figures", [self.table().html()]),
                section(
                    "Results over time",
                    [self.progress().drawn("progress").figure()],
                ),
                section("Makespan", [makespan.drawn("makespan").figure()]),
                section("Core time", [self.core_time().drawn("core-time").figure()]),
                section(
                    "At the top of the chain",
                    [
                        messages.drawn("messages").figure(),
                        bytes.drawn("bytes").figure(),
                        brain.drawn("brain").figure(),
                    ],
                ),
            ],
        )
    }

    fn ratio(&self, measure: &Measure, side: &Side) -> Option<f64> {
        let first = self.sides.first()?;
        measure.ratio(&side.report, &first.report)
    }

    fn table(&self) -> Table {
        let mut columns = vec!["what".to_owned()];
        for (n, side) in self.sides.iter().enumerate() {
            columns.push(side.name.clone());
            if n > 0 {
                columns.push("ratio".to_owned());
            }
        }
        let mut table = Table::new("Side by side", columns);
        for measure in &self.measures {
            let mut row = vec![measure.words.clone()];
            for (n, side) in self.sides.iter().enumerate() {
                row.push(measure.shown(&side.report));
                if n > 0 {
                    let ratio = self.ratio(measure, side);
                    row.push(ratio.map_or(amounts::UNKNOWN.to_owned(), |ratio| {
                        amounts::ratio(ratio, 1.0)
                    }));
                }
            }
            table.push(row);
        }
        table
    }

    fn most(&self, measure: &Measure) -> f64 {
        let figures = self
            .sides
            .iter()
            .filter_map(|side| measure.of(&side.report));
        figures.fold(0.0, f64::max)
    }

    fn bars(&self, measure: &Measure, size: f64, unit: &str) -> Stacks {
        let rows = self.sides.iter().map(|side| Row {
            name: side.name.clone(),
            lengths: vec![measure.of(&side.report).unwrap_or(0.0) / size],
            note: measure.shown(&side.report),
        });
        Stacks {
            title: format!("{}.", measure.words),
            says: "A bar for each run.".to_owned(),
            x_title: unit.to_owned(),
            segments: vec![measure.words.clone()],
            rows: rows.collect(),
        }
    }

    fn core_time(&self) -> Stacks {
        let rows = self.sides.iter().map(|side| {
            let days = |part: &str| {
                let days = side.report.pointer(&format!("/core_days/{part}"));
                days.and_then(Value::as_f64).unwrap_or(0.0)
            };
            Row {
                name: side.name.clone(),
                lengths: ["busy", "lost", "idle"].map(days).to_vec(),
                note: format!("goodput {}", measures::goodput().shown(&side.report)),
            }
        });
        Stacks {
            title: "Core time of workers.".to_owned(),
            says: "In runs whose results count (busy), in runs whose results do not (lost), in no run (idle)."
                .to_owned(),
            x_title: "core days".to_owned(),
            segments: ["busy", "lost", "idle"].map(str::to_owned).to_vec(),
            rows: rows.collect(),
        }
    }

    fn progress(&self) -> Panels {
        let of = |point: &Value, key: &str| point.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        let points = |side: &Side| -> Vec<(f64, f64)> {
            let timeline = side.report.get("timeline").and_then(Value::as_array);
            let points = timeline.into_iter().flatten();
            points
                .map(|point| (of(point, "at_s"), of(point, "received")))
                .collect()
        };
        let mut series: Vec<Series> = self
            .sides
            .iter()
            .map(|side| Series {
                name: side.name.clone(),
                points: points(side),
            })
            .collect();
        let ends = series.iter().filter_map(|series| series.points.last());
        let (unit_s, unit) = amounts::time_unit(ends.map(|end| end.0).fold(0.0, f64::max));
        for series in &mut series {
            let step = series.points.len().div_ceil(POINTS_MAX).max(1);
            let last = series.points.last().copied();
            series.points = series
                .points
                .iter()
                .copied()
                .step_by(step)
                .chain(last)
                .collect();
            series.points.iter_mut().for_each(|point| point.0 /= unit_s);
        }
        Panels {
            title: "Results received so far.".to_owned(),
            says: "A line for each run; the steeper, the more results in a given time.".to_owned(),
            x_title: format!("{unit} since the start"),
            panels: vec![Panel {
                y_title: "results".to_owned(),
                look: Look::Lines,
                series,
            }],
            marks: Vec::new(),
        }
    }
}

/// Two pixels each.
const POINTS_MAX: usize = 460;

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn comparison() -> Comparison {
        let side = |name: &str, factor: f64| {
            let mut report = fixture::report();
            report.makespan_s *= factor;
            Side {
                name: name.to_owned(),
                report: serde_json::to_value(report).expect("a report is JSON"),
            }
        };
        Comparison::new(vec![side("flat", 1.0), side("<b>two</b>", 0.5)])
    }

    #[test]
    fn the_first_is_what_others_are_measured_by() {
        let text = comparison().text();
        let makespan = text.lines().find(|line| line.contains("Makespan"));
        let cells: Vec<&str> = makespan.expect("a row").split_whitespace().collect();
        assert_eq!(cells, ["Makespan", "30.0", "d", "15.0", "d", "0.500"]);
        let json: Value = serde_json::from_str(&comparison().json()).expect("JSON");
        assert_eq!(json["schema"], "muster.sim.compare/1");
        let figures = json["figures"].as_array().expect("figures");
        let makespan = figures.iter().find(|figure| figure["name"] == "makespan_s");
        assert_eq!(makespan.expect("a makespan")["ratios"], json!([1.0, 0.5]));
    }

    #[test]
    fn a_page_escapes_names() {
        let html = comparison().page();
        assert!(
            !html.contains("<b>two") && html.contains("&lt;b&gt;two"),
            "{html}"
        );
        assert!(!html.contains("NaN"));
    }

    #[test]
    fn a_report_with_nothing_in_it_is_a_side_of_unknowns() {
        let side = |name: &str| Side {
            name: name.to_owned(),
            report: json!({}),
        };
        let comparison = Comparison::new(vec![side("a"), side("b")]);
        assert!(comparison.text().contains('-'));
        assert!(!comparison.page().contains("NaN"));
    }
}
