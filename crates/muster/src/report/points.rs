//! Measured means with their spread.

use super::frame::{Drawing, Frame};
use super::ink;
use super::markup::{Markup, all, tag};
use super::scale::Scale;

/// Points with spreads, joined by a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Points {
    /// What it is, in a few words.
    pub title: String,
    /// What can be seen.
    pub says: String,
    /// What is along the bottom.
    pub x_title: String,
    /// What is along the left.
    pub y_title: String,
    /// Left to right.
    pub points: Vec<Point>,
}

/// One measured mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// What it depends on.
    pub x: f64,
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
}

impl Points {
    /// The figure.
    pub fn figure(&self, id: &'static str) -> Markup {
        let ends = |point: &Point| [point.mean - point.deviation, point.mean + point.deviation];
        let xs = || self.points.iter().map(|point| point.x);
        let margin = 0.04 * xs().fold(0.0, f64::max);
        let frame = Frame {
            left: 68.0,
            top: 16.0,
            width: 430.0,
            height: 236.0,
            x: Scale::new(
                xs().fold(f64::INFINITY, f64::min) - margin,
                xs().fold(0.0, f64::max) + margin,
            ),
            y: Scale::around(self.points.iter().flat_map(ends)),
        };
        let drawing = Drawing {
            id,
            title: self.title.clone(),
            says: self.says.clone(),
            width: 510.0,
            height: frame.bottom() + 54.0,
        };
        let line = ink::path(
            self.points
                .iter()
                .map(|point| frame.at((point.x, point.mean))),
        );
        drawing.figure([
            frame.rows(&frame.y.ticks(5), &self.y_title),
            frame.columns(&frame.x.ticks(5), &self.x_title),
            tag("path").with("class", "line s0").with("d", line).empty(),
            all(self.points.iter().map(|point| bar(&frame, point))),
        ])
    }
}

/// A mean's mark and the bar of its spread, with feet that can be seen where bars are short.
fn bar(frame: &Frame, point: &Point) -> Markup {
    let (x, y) = frame.at((point.x, point.mean));
    let high = frame.y_at(point.mean + point.deviation);
    let low = frame.y_at(point.mean - point.deviation);
    let shape = [
        ink::path([(x, high), (x, low)]),
        ink::path([(x - 5.0, high), (x + 5.0, high)]),
        ink::path([(x - 5.0, low), (x + 5.0, low)]),
    ];
    all([
        tag("path")
            .with("class", "spread")
            .with("d", shape.concat())
            .empty(),
        ink::marker(0, (x, y)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mean_has_a_mark_and_a_bar() {
        let points = [(0.55, -84.0), (0.9, -25.0)].map(|(x, mean)| Point {
            x,
            mean,
            deviation: 6.0,
        });
        let points = Points {
            title: "E(T)".to_owned(),
            points: points.to_vec(),
            ..Points::default()
        };
        let figure = points.figure("energy");
        let figure = figure.as_str();
        assert_eq!(figure.matches("class=\"spread\"").count(), 2, "{figure}");
        assert_eq!(figure.matches("<circle").count(), 2, "{figure}");
        assert!(!figure.contains("NaN"), "{figure}");
    }

    #[test]
    fn no_points_are_still_a_figure() {
        let figure = Points::default().figure("none");
        assert!(
            !figure.as_str().contains("NaN") && !figure.as_str().contains("inf"),
            "{}",
            figure.as_str()
        );
    }
}
