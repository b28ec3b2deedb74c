//! Panels one above the other over one bottom scale: things over time, or over a parameter, with lettered marks.

use std::ops::Range;

use super::drawn::Drawn;
use super::frame::{Drawing, Frame};
use super::ink::{self, Entry, Sign};
use super::marks::{self, Mark};
use super::markup::{Markup, all};
use super::scale::{Scale, Ticks};

/// Panels, top to bottom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panels {
    /// What it is, in a few words.
    pub title: String,
    /// What can be seen.
    pub says: String,
    /// What is along the bottom.
    pub x_title: String,
    /// The panels.
    pub panels: Vec<Panel>,
    /// From left to right.
    pub marks: Vec<Mark>,
}

/// One panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What is along its left side.
    pub y_title: String,
    /// How it is drawn.
    pub look: Look,
    /// What it shows.
    pub series: Vec<Series>,
}

/// How a panel is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Hatched stairs upon each other: a value holds until the next point, the last one only ends. All series have
    /// their points at the same places.
    Stacked,
    /// Dashed lines from point to point.
    Lines,
    /// The same with a marker at each point.
    Dotted,
}

/// What one sign stands for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Left to right.
    pub points: Vec<(f64, f64)>,
}

impl Panels {
    /// The figure.
    pub fn drawn(&self, id: &'static str) -> Drawn {
        let entries = self.entries();
        let (legend, legend_height) = match entries.len() {
            0 | 1 => (Markup::default(), 0.0),
            _ => ink::legend(id, &entries, (LEFT_PX, 4.0), WIDTH_PX),
        };
        let letters = if self.marks.is_empty() {
            0.0
        } else {
            marks::LETTERS_PX
        };
        let frames = self.frames(legend_height + letters + 14.0);
        let bottom = frames.last().map_or(0.0, Frame::bottom);
        let mut pieces = vec![ink::hatches(id, entries.len()), legend];
        let mut sign = 0;
        for (panel, frame) in self.panels.iter().zip(&frames) {
            pieces.push(frame.rows(&panel.ticks(frame), &panel.y_title));
            pieces.push(panel.draw(id, frame, sign));
            pieces.push(frame.base());
            sign += panel.series.len();
        }
        if let Some((first, last)) = frames.first().zip(frames.last()) {
            pieces.push(last.columns(&last.x.ticks(8), &self.x_title));
            pieces.push(marks::letters(&self.marks, first, bottom));
        }
        Drawn {
            drawing: Drawing {
                id,
                title: self.title.clone(),
                says: self.says.clone(),
                width: LEFT_PX + WIDTH_PX + RIGHT_PX,
                height: bottom + 56.0,
            },
            pieces,
        }
    }

    fn frames(&self, top: f64) -> Vec<Frame> {
        let mut top = top;
        let x = self.x();
        let frames = self.panels.iter().map(|panel| {
            let frame = Frame {
                left: LEFT_PX,
                top,
                width: WIDTH_PX,
                height: HEIGHT_PX,
                x,
                y: Scale::new(0.0, panel.most() * 1.06),
            };
            top = frame.bottom() + 30.0;
            frame
        });
        frames.collect()
    }

    /// From zero, unless all is far from it and dotted: parameters have no need of a zero.
    fn x(&self) -> Scale {
        let xs = || {
            let panels = self.panels.iter().flat_map(|panel| &panel.series);
            panels.flat_map(|series| series.points.iter().map(|point| point.0))
        };
        let marks = self.marks.iter().map(|mark| mark.at);
        let high = xs().chain(marks).fold(0.0, f64::max);
        if self.panels.iter().any(|panel| panel.look != Look::Dotted) {
            return Scale::new(0.0, high);
        }
        let low = xs().fold(f64::INFINITY, f64::min);
        let margin = 0.04 * (high - low);
        Scale::new(low - margin, high + margin)
    }

    fn entries(&self) -> Vec<Entry> {
        let series = self
            .panels
            .iter()
            .flat_map(|panel| panel.series.iter().map(|series| (panel.look, series)));
        let entries = series.enumerate().map(|(n, (look, series))| Entry {
            words: series.name.clone(),
            sign: match look {
                Look::Stacked => Sign::Area(n),
                Look::Lines | Look::Dotted => Sign::Line(n),
            },
        });
        entries.collect()
    }
}

impl Panel {
    /// The highest place that anything reaches; above zero.
    fn most(&self) -> f64 {
        let values =
            |series: &Series| -> Vec<f64> { series.points.iter().map(|point| point.1).collect() };
        let most = match self.look {
            Look::Stacked => {
                let mut sums: Vec<f64> = Vec::new();
                for series in &self.series {
                    sums = add(&sums, &values(series));
                }
                sums.into_iter().fold(0.0, f64::max)
            }
            Look::Lines | Look::Dotted => {
                let all = self.series.iter().flat_map(values);
                all.fold(0.0, f64::max)
            }
        };
        if most.is_finite() && most > 0.0 {
            most
        } else {
            1.0
        }
    }

    fn ticks(&self, frame: &Frame) -> Ticks {
        let mut points = self.series.iter().flat_map(|series| &series.points);
        if points.all(|point| point.1.fract() == 0.0) {
            frame.y.ticks_whole(4)
        } else {
            frame.y.ticks(4)
        }
    }

    fn draw(&self, id: &str, frame: &Frame, first: usize) -> Markup {
        match self.look {
            Look::Stacked => self.areas(id, frame, first),
            Look::Lines | Look::Dotted => all(self.series.iter().enumerate().map(|(n, series)| {
                let places: Vec<_> = series.points.iter().map(|at| frame.at(*at)).collect();
                let line = Sign::Line(first + n).line(ink::path(places.iter().copied()));
                let marked = match self.look {
                    Look::Dotted => places,
                    Look::Lines | Look::Stacked => Vec::new(),
                };
                let marks = marked.into_iter().map(|at| ink::marker(first + n, at));
                all([line].into_iter().chain(marks))
            })),
        }
    }

    fn areas(&self, id: &str, frame: &Frame, first: usize) -> Markup {
        let mut below: Vec<f64> = Vec::new();
        let areas = self.series.iter().enumerate().map(|(n, series)| {
            let values: Vec<f64> = series.points.iter().map(|point| point.1).collect();
            let under = add(&vec![0.0; values.len()], &below);
            below = add(&below, &values);
            let outlines: String = held(&values)
                .map(|steps| outline(frame, series, (&under, &below), steps))
                .collect();
            if outlines.is_empty() {
                Markup::default()
            } else {
                Sign::area(id, first + n, outlines)
            }
        });
        all(areas)
    }
}

/// The steps at which something is there, in pieces without a gap: a layer has no outline where it has no height.
fn held(values: &[f64]) -> impl Iterator<Item = Range<usize>> {
    // The last point ends the last step and has none of its own.
    let steps = values.len().saturating_sub(1);
    let pieces = values[..steps].chunk_by(|a, b| (*a == 0.0) == (*b == 0.0));
    let mut from = 0;
    let pieces = pieces.map(move |piece| {
        let start = from;
        from += piece.len();
        (start..from, piece.iter().any(|value| *value != 0.0))
    });
    pieces
        .filter(|(_, is_held)| *is_held)
        .map(|(range, _)| range)
}

/// Around some steps of a layer: along its upper edge, and back along its lower.
fn outline(
    frame: &Frame,
    series: &Series,
    (under, above): (&[f64], &[f64]),
    steps: Range<usize>,
) -> String {
    let ends = steps.start..=steps.end;
    let points = &series.points[ends.clone()];
    let edge = stairs(points, &above[ends.clone()]);
    let back = stairs(points, &under[ends]).into_iter().rev();
    let corners = edge.into_iter().chain(back);
    ink::path(corners.map(|point| frame.at(point))) + "Z"
}

/// The corners of a staircase of these heights over the places of `points`.
fn stairs(points: &[(f64, f64)], heights: &[f64]) -> Vec<(f64, f64)> {
    let steps = points.windows(2).zip(heights);
    let corners = steps.flat_map(|(pair, height)| [(pair[0].0, *height), (pair[1].0, *height)]);
    corners.collect()
}

/// Sums place by place; what is missing is zero.
fn add(some: &[f64], more: &[f64]) -> Vec<f64> {
    let at = |values: &[f64], n: usize| values.get(n).copied().unwrap_or(0.0);
    let count = some.len().max(more.len());
    (0..count).map(|n| at(some, n) + at(more, n)).collect()
}

const LEFT_PX: f64 = 72.0;
const RIGHT_PX: f64 = 28.0;
const WIDTH_PX: f64 = 920.0;
const HEIGHT_PX: f64 = 180.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn panels(look: Look) -> Panels {
        let series = |name: &str, values: [f64; 3]| Series {
            name: name.to_owned(),
            points: (0..3).map(f64::from).zip(values).collect(),
        };
        Panels {
            title: "Workers".to_owned(),
            panels: vec![Panel {
                y_title: "workers".to_owned(),
                look,
                series: vec![
                    series("a", [1.0, 2.0, 0.0]),
                    series("b", [3.0, 1.0, 0.0]),
                    series("none", [0.0; 3]),
                ],
            }],
            marks: vec![Mark {
                at: 1.0,
                label: "A".to_owned(),
                what: "it rains".to_owned(),
            }],
            ..Panels::default()
        }
    }

    #[test]
    fn layers_lie_upon_each_other_and_empty_ones_are_not_drawn() {
        let panels = panels(Look::Stacked);
        assert_eq!(panels.panels[0].most(), 4.0);
        let drawn = panels.drawn("w").figure();
        // Two layers, and three signs in the legend.
        assert_eq!(
            drawn.as_str().matches("class=\"area").count(),
            5,
            "{}",
            drawn.as_str()
        );
        assert_eq!(drawn.as_str().matches("class=\"event\"").count(), 1);
    }

    #[test]
    fn a_value_holds_until_the_next_point() {
        let series = &panels(Look::Stacked).panels[0].series[0];
        let corners = stairs(&series.points, &[1.0, 2.0, 0.0]);
        assert_eq!(corners, [(0.0, 1.0), (1.0, 1.0), (1.0, 2.0), (2.0, 2.0)]);
    }

    #[test]
    fn a_layer_without_height_has_no_outline() {
        let pieces = |values: &[f64]| held(values).collect::<Vec<_>>();
        assert_eq!(pieces(&[0.0, 1.0, 2.0, 0.0, 3.0, 9.0]), [1..3, 4..5]);
        assert_eq!(pieces(&[1.0, 0.0, 2.0, 0.0]), [0..1, 2..3]);
        assert!(pieces(&[0.0, 5.0]).is_empty());
        assert!(pieces(&[]).is_empty());
    }

    #[test]
    fn every_look_bears_having_nothing_to_show() {
        for look in [Look::Stacked, Look::Lines, Look::Dotted] {
            let mut empty = panels(look);
            empty.panels[0]
                .series
                .iter_mut()
                .for_each(|series| series.points.clear());
            for panels in [empty, panels(look), Panels::default()] {
                let figure = panels.drawn("p").figure();
                let figure = figure.as_str();
                assert!(
                    !figure.contains("NaN") && !figure.contains("inf"),
                    "{figure}"
                );
            }
        }
    }
}
