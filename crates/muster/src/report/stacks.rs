//! Lengths side by side, each made of segments.

use super::drawn::Drawn;
use super::frame::{Drawing, Frame};
use super::ink::{self, Entry, Sign};
use super::markup::{Markup, all, tag};
use super::scale::Scale;

/// Bars from the left, on one scale.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stacks {
    /// What it is, in a few words.
    pub title: String,
    /// What can be seen.
    pub says: String,
    /// What is along the bottom.
    pub x_title: String,
    /// What the segments are, from the left; those of one kind need no legend.
    pub segments: Vec<String>,
    /// Top to bottom.
    pub rows: Vec<Row>,
}

/// One bar.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// What it is of.
    pub name: String,
    /// The length of each segment.
    pub lengths: Vec<f64>,
    /// What stands at its end.
    pub note: String,
}

impl Stacks {
    /// The figure.
    pub fn drawn(&self, id: &'static str) -> Drawn {
        let entries: Vec<Entry> = self
            .segments
            .iter()
            .enumerate()
            .map(|(n, words)| Entry {
                words: words.clone(),
                sign: Sign::Area(n),
            })
            .collect();
        let left = self.left();
        let (legend, legend_height) = match entries.len() {
            0 | 1 => (Markup::default(), 0.0),
            _ => ink::legend(id, &entries, (left, 4.0), FULL_PX - left),
        };
        let frame = self.frame(left, legend_height + 12.0);
        let rows = self.rows.iter().enumerate().map(|(n, row)| {
            let middle = frame.top + ROW_PX * (n as f64 + 0.5);
            draw(id, &frame, row, middle)
        });
        let pieces = vec![
            ink::hatches(id, self.segments.len()),
            legend,
            lines(&frame),
            all(rows),
            frame.columns(&frame.x.ticks(5), &self.x_title),
        ];
        Drawn {
            drawing: Drawing {
                id,
                title: self.title.clone(),
                says: self.says.clone(),
                width: FULL_PX,
                height: frame.bottom() + 54.0,
            },
            pieces,
        }
    }

    fn longest(&self, words: fn(&Row) -> &str) -> f64 {
        let letters = self
            .rows
            .iter()
            .map(|row| short(words(row)).chars().count());
        letters.max().unwrap_or(0) as f64 * ink::LETTER_PX
    }

    /// Where bars begin: right of all names.
    fn left(&self) -> f64 {
        (self.longest(|row| &row.name) + 20.0).max(LEFT_LEAST_PX)
    }

    fn frame(&self, left: f64, top: f64) -> Frame {
        let right = self.longest(|row| &row.note) * BOLD + 16.0;
        let sums = self.rows.iter().map(|row| row.lengths.iter().sum::<f64>());
        let most = sums.filter(|sum| sum.is_finite()).fold(0.0, f64::max);
        let count = self.rows.len().max(1) as f64;
        Frame {
            left,
            top,
            width: FULL_PX - left - right.max(RIGHT_LEAST_PX),
            height: ROW_PX * count,
            x: Scale::new(0.0, most),
            y: Scale::new(0.0, count),
        }
    }
}

fn lines(frame: &Frame) -> Markup {
    all(frame.x.ticks(5).at.into_iter().map(|number| {
        let x = frame.x_at(number);
        let line = tag("line").with("class", "grid").at("x1", x).at("x2", x);
        line.at("y1", frame.top).at("y2", frame.bottom()).empty()
    }))
}

fn draw(id: &str, frame: &Frame, row: &Row, middle: f64) -> Markup {
    let name = tag("text").with("class", "tick").with("text-anchor", "end");
    let name = name.at("x", frame.left - 10.0).at("y", middle + 4.5);
    let mut pieces = vec![name.text(short(&row.name))];
    let (top, bottom) = (middle - 0.32 * ROW_PX, middle + 0.32 * ROW_PX);
    let mut from = 0.0;
    for (n, length) in row.lengths.iter().enumerate() {
        if length.is_finite() && *length > 0.0 {
            let (left, right) = (frame.x_at(from), frame.x_at(from + length));
            let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
            pieces.push(Sign::area(id, n, ink::path(corners) + "Z"));
            from += length;
        }
    }
    let note = tag("text").with("class", "direct");
    let note = note.at("x", frame.x_at(from) + 10.0).at("y", middle + 4.5);
    pieces.push(note.text(short(&row.note)));
    all(pieces)
}

/// As much of a text as has room beside a bar.
fn short(words: &str) -> String {
    if words.chars().count() <= LETTERS_MAX {
        return words.to_owned();
    }
    let start: String = words.chars().take(LETTERS_MAX - 1).collect();
    start + "\u{2026}"
}

/// Bold letters are wider than others by about this.
const BOLD: f64 = 1.15;

const FULL_PX: f64 = 1020.0;
const LEFT_LEAST_PX: f64 = 72.0;
const RIGHT_LEAST_PX: f64 = 28.0;
const ROW_PX: f64 = 34.0;
const LETTERS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_follow_each_other_and_long_names_are_cut() {
        let stacks = Stacks {
            segments: vec!["down".to_owned(), "up".to_owned()],
            rows: vec![Row {
                name: "x".repeat(500),
                lengths: vec![30.0, 10.0],
                note: "40 & more".to_owned(),
            }],
            ..Stacks::default()
        };
        let figure = stacks.drawn("s").figure();
        let figure = figure.as_str();
        assert_eq!(
            figure.matches("class=\"area").count(),
            4,
            "two and their legend: {figure}"
        );
        assert!(figure.contains("40 &amp; more") && figure.contains("xxx\u{2026}</text>"));
    }

    #[test]
    fn nothing_and_nonsense_are_still_a_figure() {
        let odd = Stacks {
            rows: vec![Row {
                lengths: vec![f64::NAN, 0.0],
                ..Row::default()
            }],
            ..Stacks::default()
        };
        for stacks in [Stacks::default(), odd] {
            let figure = stacks.drawn("s").figure();
            assert!(!figure.as_str().contains("NaN"), "{}", figure.as_str());
        }
    }
}
