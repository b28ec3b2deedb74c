//! One scenario under several settings: a row for each, and a plot.

use muster_sim::run::RunReport;
use serde_json::Value;

use super::measures::{self, Measure};
use super::source::Change;
use super::{amounts, csv, text};
use crate::error::CliError;
use crate::report::drawn::Drawn;
use crate::report::markup::tag;
use crate::report::page::{page, section};
use crate::report::panels::{Look, Panel, Panels, Series};
use crate::report::stacks::{Row, Stacks};
use crate::report::table::Table;
use crate::text::harmless;

/// Settings and what came of each; there is at least one.
#[derive(Debug)]
pub struct Sweep {
    settings: Vec<Vec<Change>>,
    reports: Vec<RunReport>,
    /// The reports as JSON, for the measures.
    values: Vec<Value>,
    /// Keys that differ between settings.
    keys: Vec<String>,
}

impl Sweep {
    /// What came of `settings`, one report for each.
    ///
    /// # Errors
    /// If a report has no form in JSON.
    pub fn new(settings: Vec<Vec<Change>>, reports: Vec<RunReport>) -> Result<Sweep, CliError> {
        let values: Result<Vec<Value>, _> = reports.iter().map(serde_json::to_value).collect();
        let keys = varying(&settings);
        Ok(Sweep {
            values: values.map_err(CliError::Json)?,
            settings,
            reports,
            keys,
        })
    }

    /// The table for a terminal.
    pub fn text(&self) -> String {
        let table = self.table().plain();
        let incomplete = self.reports.iter().filter(|report| !report.is_complete);
        let mut text: String = table.lines().map(|line| harmless(line) + "\n").collect();
        if let count @ 1.. = incomplete.count() {
            text += &format!("{count} of {} are not complete\n", self.reports.len());
        }
        text
    }

    /// The table as a file: plain numbers.
    pub fn csv(&self) -> String {
        let measures = measures::of_sweep(&self.values);
        let mut head = self.keys.clone();
        head.extend(measures.iter().map(Measure::name));
        head.extend(["seed", "trace_hash"].map(str::to_owned));
        let rows = self.rows().map(|(setting, value, report)| {
            let figures = measures.iter().map(|measure| {
                let figure = measure.of(value);
                figure.map_or(String::new(), |figure| figure.to_string())
            });
            let made = [report.seed.to_string(), report.trace_hash.clone()];
            self.cells(setting).chain(figures).chain(made).collect()
        });
        csv::file([head].into_iter().chain(rows))
    }

    /// The page with table and plot.
    pub fn page(&self) -> String {
        let figure = self.figure().figure();
        let about = self.reports.first().map_or("", |report| &report.about);
        let runs = self.reports.iter().map(|report| {
            let made = format!(
                "{}: trace hash {}, {} events",
                text::name(report),
                report.trace_hash,
                amounts::count(report.events)
            );
            tag("li").text(made)
        });
        page(
            &self.title(),
            &text::first_sentence(about),
            [
                section("Makespan and goodput", [figure]),
                section("Runs", [self.table().html()]),
                section("How they were made", [tag("ul").holding(runs)]),
            ],
        )
    }

    /// Makespan and goodput over the value, if one number is swept; otherwise a bar for each setting.
    pub fn figure(&self) -> Drawn {
        match self.axis() {
            Some((title, places)) => self.plot(title, &places).drawn("sweep"),
            None => self.bars().drawn("sweep"),
        }
    }

    fn rows(&self) -> impl Iterator<Item = (&[Change], &Value, &RunReport)> {
        let both = self.settings.iter().zip(&self.values).zip(&self.reports);
        both.map(|((setting, value), report)| (setting.as_slice(), value, report))
    }

    fn cells(&self, setting: &[Change]) -> impl Iterator<Item = String> {
        let cells = self.keys.iter().map(|key| {
            let found = setting.iter().rfind(|(known, _)| known == key);
            found.map_or(String::new(), |(_, value)| value.clone())
        });
        cells.collect::<Vec<_>>().into_iter()
    }

    fn table(&self) -> Table {
        let measures = measures::of_sweep(&self.values);
        let words = measures.iter().map(|measure| measure.words.clone());
        let columns = self.keys.iter().cloned().chain(words);
        let caption = format!("{}; after the bytes, losses by cause", self.title());
        let mut table = Table::new(caption, columns);
        for (setting, value, _) in self.rows() {
            let figures = measures.iter().map(|measure| measure.shown(value));
            table.push(self.cells(setting).chain(figures));
        }
        table
    }

    fn title(&self) -> String {
        let (name, seed) = self
            .reports
            .first()
            .map_or(("", 0), |report| (report.scenario.as_str(), report.seed));
        let fixed: Vec<String> = self
            .settings
            .first()
            .into_iter()
            .flatten()
            .filter(|(key, _)| !self.keys.contains(key))
            .map(|(key, value)| format!(", {key}={value}"))
            .collect();
        let by = self.keys.join(" and ");
        format!("{name} by {by}, seed {seed}{}", fixed.concat())
    }

    /// The bottom scale: its title, and the place of each run. None unless a single key has numbers in one unit.
    fn axis(&self) -> Option<(String, Vec<f64>)> {
        let [key] = self.keys.as_slice() else {
            return None;
        };
        let values = self.settings.iter().map(|setting| {
            let (_, value) = setting.iter().rfind(|(known, _)| known == key)?;
            measured(value)
        });
        let values: Vec<(f64, String)> = values.collect::<Option<_>>()?;
        let (_, unit) = values.first()?;
        if values.iter().any(|(_, other)| other != unit) {
            return None;
        }
        let title = match unit.as_str() {
            "" => key.clone(),
            unit => format!("{key} ({unit})"),
        };
        Some((
            title,
            values.into_iter().map(|(number, _)| number).collect(),
        ))
    }

    fn plot(&self, x_title: String, places: &[f64]) -> Panels {
        let longest = self.reports.iter().map(|report| report.makespan_s);
        let (unit_s, unit) = amounts::time_unit(longest.fold(0.0, f64::max));
        let panel = |y_title: String, name: &str, of: &dyn Fn(&RunReport) -> f64| {
            let figures = self.reports.iter().map(of);
            let mut points: Vec<(f64, f64)> = places.iter().copied().zip(figures).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Panel {
                y_title,
                look: Look::Dotted,
                series: vec![Series {
                    name: name.to_owned(),
                    points,
                }],
            }
        };
        Panels {
            title: "Makespan and goodput.".to_owned(),
            says: format!(
                "Above: the makespan in {unit}. Below: the share of the core time of runs whose results count. One \
                 mark for each of {} runs.",
                self.reports.len()
            ),
            x_title,
            panels: vec![
                panel(format!("makespan ({unit})"), "makespan", &|report| {
                    report.makespan_s / unit_s
                }),
                panel("goodput (%)".to_owned(), "goodput", &|report| {
                    report.goodput * 100.0
                }),
            ],
            marks: Vec::new(),
        }
    }

    fn bars(&self) -> Stacks {
        let longest = self.reports.iter().map(|report| report.makespan_s);
        let (unit_s, unit) = amounts::time_unit(longest.fold(0.0, f64::max));
        let rows = self.rows().map(|(setting, _, report)| Row {
            name: self.cells(setting).collect::<Vec<_>>().join(", "),
            lengths: vec![report.makespan_s / unit_s],
            note: format!("goodput {}", amounts::percent(report.goodput)),
        });
        Stacks {
            title: "Makespan and goodput.".to_owned(),
            says: format!(
                "The length of a bar is the makespan; rows are {}.",
                self.keys.join(", ")
            ),
            x_title: format!("makespan ({unit})"),
            segments: vec!["makespan".to_owned()],
            rows: rows.collect(),
        }
    }
}

/// Keys that have not the same value in all settings, in the order they are set.
fn varying(settings: &[Vec<Change>]) -> Vec<String> {
    let first = settings.first().into_iter().flatten();
    let differs = |change: &&Change| settings.iter().any(|setting| !setting.contains(change));
    let mut keys: Vec<String> = Vec::new();
    for (key, _) in first.filter(differs) {
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    keys
}

/// A value as a number and its unit: `1.5`, `"64MiB"`, `20 ms`.
fn measured(value: &str) -> Option<(f64, String)> {
    let value = value.trim().trim_matches(['"', '\'']);
    let is_number = |c: char| c.is_ascii_digit() || c == '.' || c == '-';
    let end = value.find(|c| !is_number(c)).unwrap_or(value.len());
    let (number, unit) = value.split_at(end);
    let number: f64 = number.parse().ok()?;
    // Of 1h30m, or an exponent, only the beginning would be understood.
    let is_plain = unit.chars().all(|c| !c.is_ascii_digit()) && unit != "e";
    (number.is_finite() && is_plain).then(|| (number, unit.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn sweep(values: &[(&str, &str)]) -> Sweep {
        let settings = values.iter().map(|(abort, latency)| {
            let change = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            vec![change("fast_abort", abort), change("latency", latency)]
        });
        let reports = values.iter().enumerate().map(|(n, _)| {
            let mut report = fixture::report();
            report.makespan_s *= 1.0 + n as f64;
            report.is_complete = n > 0;
            report
        });
        Sweep::new(settings.collect(), reports.collect()).expect("reports are JSON")
    }

    #[test]
    fn a_row_for_each_setting_with_losses_by_cause() {
        let sweep = sweep(&[("1.5", "20ms"), ("2", "20ms")]);
        let wanted = "\
sample by fast_abort, seed 7, latency=20ms; after the bytes, losses by cause
  fast_abort  makespan  complete  received  goodput  lost core days  top messages  top bytes  evicted  failed  fast abort  open at the end
  1.5           30.0 d        no   122 141   83.5 %            2100       900 000    40.0 GB  161 000      86         600                3
  2             60.0 d       yes   122 141   83.5 %            2100       900 000    40.0 GB  161 000      86         600                3
1 of 2 are not complete
";
        assert_eq!(sweep.text(), wanted);
        let csv = sweep.csv();
        assert!(
            csv.starts_with("fast_abort,makespan_s,is_complete,received,goodput,core_days.lost,"),
            "{csv}"
        );
        assert!(csv.contains("\r\n1.5,2592000,0,122141,"), "{csv}");
    }

    #[test]
    fn one_number_is_plotted_and_other_settings_are_bars() {
        let numbers = sweep(&[("1.5", "20ms"), ("3", "20ms"), ("2", "20ms")]);
        let (title, places) = numbers.axis().expect("one number");
        assert_eq!(
            (title.as_str(), places),
            ("fast_abort", vec![1.5, 3.0, 2.0])
        );
        let units = sweep(&[("1", "\"20ms\""), ("1", "\"40ms\"")]);
        assert_eq!(
            units.axis().map(|axis| axis.0),
            Some("latency (ms)".to_owned())
        );
        for bars in [
            sweep(&[("1", "20ms"), ("1", "1s")]),
            sweep(&[("1", "files"), ("1", "time")]),
            sweep(&[("1", "1s"), ("2", "2s")]),
        ] {
            assert_eq!(bars.axis(), None);
            let figure = bars.figure().svg();
            assert!(figure.contains("goodput 83.5 %"), "{figure}");
        }
    }

    #[test]
    fn values_are_numbers_with_a_unit_or_none() {
        assert_eq!(measured("1.5"), Some((1.5, String::new())));
        assert_eq!(measured("'64 MiB'"), Some((64.0, "MiB".to_owned())));
        for wrong in ["", "files", "1h30m", "1e5", "{ fixed = 1 }"] {
            assert_eq!(measured(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_page_escapes_settings() {
        let html = sweep(&[("<b>", "1"), ("</td>", "1")]).page();
        assert!(
            !html.contains("<b>") && !html.contains("</td></td>"),
            "{html}"
        );
    }
}
