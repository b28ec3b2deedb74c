//! Ranges that span powers of ten: how long the fast, the slow and the slowest took.

use super::drawn::Drawn;
use super::frame::{Drawing, Frame};
use super::ink;
use super::markup::{Markup, all, tag};
use super::scale::Scale;

/// Rows on a scale where each mark is ten times the one before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranges {
    /// What it is, in a few words.
    pub title: String,
    /// What can be seen.
    pub says: String,
    /// What is along the bottom.
    pub x_title: String,
    /// What the markers are, in rising order.
    pub names: Vec<String>,
    /// Top to bottom.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// What it is of.
    pub name: String,
    /// A value for each marker; one that is not above zero stands at the left edge.
    pub values: Vec<f64>,
}

impl Ranges {
    /// The figure.
    pub fn drawn(&self, id: &'static str) -> Drawn {
        let letters = self.rows.iter().map(|row| row.name.chars().count()).max();
        let left = 40.0 + letters.unwrap_or(0) as f64 * ink::LETTER_PX;
        let count = self.rows.len().max(1) as f64;
        let frame = Frame {
            left,
            top: 40.0,
            width: FULL_PX - left - 40.0,
            height: ROW_PX * count,
            x: self.powers(),
            y: Scale::new(0.0, count),
        };
        let rows = self.rows.iter().enumerate().map(|(n, row)| {
            let y = frame.top + ROW_PX * (n as f64 + 0.5);
            draw(&frame, row, y)
        });
        // The labels of powers are written by themselves.
        let mut no_ticks = frame.x.ticks(1);
        no_ticks.at.clear();
        Drawn {
            pieces: vec![
                self.legend(left),
                powers(&frame),
                all(rows),
                frame.columns(&no_ticks, &self.x_title),
            ],
            drawing: Drawing {
                id,
                title: self.title.clone(),
                says: self.says.clone(),
                width: FULL_PX,
                height: frame.bottom() + 54.0,
            },
        }
    }

    /// Exponents of ten that hold all values.
    fn powers(&self) -> Scale {
        let values = self.rows.iter().flat_map(|row| &row.values);
        let exponents = values
            .filter(|value| value.is_finite() && **value > 0.0)
            .map(|value| value.log10().clamp(-EXPONENT_MOST, EXPONENT_MOST));
        let (low, high) = exponents.fold((f64::INFINITY, f64::NEG_INFINITY), |ends, at| {
            (ends.0.min(at), ends.1.max(at))
        });
        Scale::new(low.floor(), high.ceil())
    }

    fn legend(&self, left: f64) -> Markup {
        let mut x = left;
        all(self.names.iter().enumerate().map(|(n, name)| {
            let words = tag("text").at("x", x + 12.0).at("y", 18.5).text(name);
            let piece = all([ink::marker(n, (x, 14.0)), words]);
            x += 40.0 + name.chars().count() as f64 * ink::LETTER_PX;
            piece
        }))
    }
}

/// A line and a label at each power of ten.
fn powers(frame: &Frame) -> Markup {
    let (low, high) = (frame.x.low as i32, frame.x.high as i32);
    all((low..=high).map(|exponent| {
        let x = frame.x_at(f64::from(exponent));
        let line = tag("line").with("class", "grid").at("x1", x).at("x2", x);
        let label = tag("text")
            .with("class", "tick")
            .with("text-anchor", "middle");
        let decimals = usize::try_from(-exponent).unwrap_or(0);
        all([
            line.at("y1", frame.top).at("y2", frame.bottom()).empty(),
            label
                .at("x", x)
                .at("y", frame.bottom() + 20.0)
                .text(format!("{:.decimals$}", 10_f64.powi(exponent))),
        ])
    }))
}

fn draw(frame: &Frame, row: &Row, y: f64) -> Markup {
    let name = tag("text").with("class", "tick").with("text-anchor", "end");
    let name = name.at("x", frame.left - 14.0).at("y", y + 4.5);
    let place = |value: f64| {
        let exponent = if value > 0.0 {
            value.log10()
        } else {
            frame.x.low
        };
        (frame.x_at(exponent.clamp(frame.x.low, frame.x.high)), y)
    };
    let places: Vec<_> = row.values.iter().map(|value| place(*value)).collect();
    let line = tag("path").with("class", "line faint");
    let marks = places.iter().enumerate().map(|(n, at)| ink::marker(n, *at));
    all([
        name.text(&row.name),
        line.with("d", ink::path(places.iter().copied())).empty(),
    ]
    .into_iter()
    .chain(marks))
}

const FULL_PX: f64 = 1020.0;
const ROW_PX: f64 = 30.0;

/// From microseconds to a hundred thousand years.
const EXPONENT_MOST: f64 = 12.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_power_of_ten_has_its_label_and_zero_stands_at_the_edge() {
        let ranges = Ranges {
            names: ["half", "nine of ten"].map(str::to_owned).to_vec(),
            rows: vec![Row {
                name: "lease <to> start".to_owned(),
                values: vec![0.0, 0.02, 300.0],
            }],
            ..Ranges::default()
        };
        let figure = ranges.drawn("r").figure();
        let figure = figure.as_str();
        for label in [
            ">0.01<",
            ">0.1<",
            ">1<",
            ">10<",
            ">100<",
            ">1000<",
            "lease &lt;to&gt;",
        ] {
            assert!(figure.contains(label), "{label} in {figure}");
        }
        assert!(
            !figure.contains("inf") && !figure.contains("NaN"),
            "{figure}"
        );
    }

    #[test]
    fn nothing_is_still_a_figure() {
        let figure = Ranges::default().drawn("r").figure();
        assert!(!figure.as_str().contains("inf"), "{}", figure.as_str());
    }
}
