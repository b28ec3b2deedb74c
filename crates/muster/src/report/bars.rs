//! Shares of a whole, a bar each.

use super::frame::{Drawing, Frame};
use super::ink::{self, Sign};
use super::markup::{Markup, all, tag};
use super::scale::Scale;

/// Bars between nothing and all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bars {
    /// What it is, in a few words.
    pub title: String,
    /// What can be seen.
    pub says: String,
    /// What is along the bottom.
    pub x_title: String,
    /// Top to bottom.
    pub bars: Vec<Bar>,
}

/// One share.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Of what.
    pub name: String,
    /// From 0 to 1.
    pub share: f64,
    /// What stands at its end.
    pub note: String,
}

impl Bars {
    /// The figure.
    pub fn figure(&self, id: &'static str) -> Markup {
        let longest = |of: fn(&Bar) -> &str| {
            let letters = self.bars.iter().map(|bar| of(bar).chars().count()).max();
            letters.unwrap_or(0) as f64 * ink::LETTER_PX
        };
        let (left, right) = (
            longest(|bar| &bar.name) + 20.0,
            longest(|bar| &bar.note) + 14.0,
        );
        let count = self.bars.len().max(1) as f64;
        // As high as the figure of points beside it; more bars than fit make it higher.
        let row = (236.0 / count).max(22.0);
        let frame = Frame {
            left,
            top: 16.0,
            width: 510.0 - left - right,
            height: row * count,
            x: Scale::new(0.0, 1.0),
            y: Scale::new(0.0, count),
        };
        let drawing = Drawing {
            id,
            title: self.title.clone(),
            says: self.says.clone(),
            width: 510.0,
            height: frame.bottom() + 54.0,
        };
        let ends = [0.0, 1.0].map(|share| {
            let x = frame.x_at(share);
            let line = tag("line").with("class", "grid").at("x1", x).at("x2", x);
            line.at("y1", frame.top).at("y2", frame.bottom()).empty()
        });
        let bars = self.bars.iter().enumerate().map(|(n, bar)| {
            let middle = frame.top + row * (n as f64 + 0.5);
            draw(id, &frame, bar, (middle, row * 0.6))
        });
        drawing.figure([
            ink::hatches(id, 1),
            all(ends),
            all(bars),
            frame.columns(&frame.x.ticks(5), &self.x_title),
        ])
    }
}

fn draw(id: &str, frame: &Frame, bar: &Bar, (middle, height): (f64, f64)) -> Markup {
    let (start, end) = (frame.x_at(0.0), frame.x_at(bar.share.clamp(0.0, 1.0)));
    let name = tag("text").with("class", "tick").with("text-anchor", "end");
    let (top, bottom) = (middle - height / 2.0, middle + height / 2.0);
    let outline = ink::path([(start, top), (end, top), (end, bottom), (start, bottom)]) + "Z";
    let note = tag("text")
        .with("class", "direct")
        .at("x", frame.right() + 10.0);
    all([
        name.at("x", start - 10.0)
            .at("y", middle + 4.5)
            .text(&bar.name),
        Sign::area(id, 0, outline),
        note.at("y", middle + 4.5).text(&bar.note),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stay_within_their_frame() {
        let bars = [0.4, 7.0, -1.0].map(|share| Bar {
            name: "a & b".to_owned(),
            share,
            note: "6/13".to_owned(),
        });
        let bars = Bars {
            title: "Acceptance".to_owned(),
            bars: bars.to_vec(),
            ..Bars::default()
        };
        let figure = bars.figure("bars");
        let figure = figure.as_str();
        let outlines: Vec<&str> = figure.split("class=\"area s0\"").skip(1).collect();
        let right_edge = |outline: &str| -> f64 {
            let corner = outline
                .split('L')
                .nth(1)
                .expect("the corner after the first");
            corner
                .split(' ')
                .next()
                .expect("its x")
                .parse()
                .expect("a number")
        };
        let ends: Vec<f64> = outlines.iter().map(|outline| right_edge(outline)).collect();
        assert!(
            ends[2] < ends[0] && ends[0] < ends[1] && ends[1] < 510.0,
            "{ends:?}"
        );
        assert!(figure.contains(">a &amp; b</text>"), "{figure}");
    }

    #[test]
    fn no_bars_are_still_a_figure() {
        assert!(!Bars::default().figure("none").as_str().contains("NaN"));
    }
}
