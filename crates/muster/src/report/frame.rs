//! What all figures have: a drawing with words for those who cannot see it, and axes.

use super::markup::{Markup, all, px, tag};
use super::scale::{Scale, Ticks};

/// A drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// Its name among the drawings of a page, as an identifier.
    pub id: &'static str,
    /// What it is, in a few words.
    pub title: String,
    /// What can be seen on it.
    pub says: String,
    /// In pixels; the page scales it to its own width.
    pub width: f64,
    /// In pixels.
    pub height: f64,
}

impl Drawing {
    /// The drawing as SVG, for a page or for itself.
    pub fn svg(&self, pieces: impl IntoIterator<Item = Markup>) -> Markup {
        let (title, says) = (format!("{}-title", self.id), format!("{}-says", self.id));
        let words = [
            tag("title").with("id", &title).text(&self.title),
            tag("desc").with("id", &says).text(&self.says),
        ];
        tag("svg")
            .with("xmlns", "http://www.w3.org/2000/svg")
            .with(
                "viewBox",
                format!("0 0 {} {}", px(self.width), px(self.height)),
            )
            .with("role", "img")
            .with("aria-labelledby", format!("{title} {says}"))
            .holding(words.into_iter().chain(pieces))
    }

    /// The drawing as a figure of a page, with its title and what it says below.
    pub fn figure(&self, pieces: impl IntoIterator<Item = Markup>) -> Markup {
        let caption = tag("figcaption").holding([
            tag("strong").text(&self.title),
            super::markup::text(" "),
            super::markup::text(&self.says),
        ]);
        // A drawing that would be too small to read on a telephone scrolls; what scrolls must be reachable by keyboard.
        let place = tag("div");
        let place = if self.width > WIDE_PX {
            place.with("class", "drawing wide").with("tabindex", 0)
        } else {
            place.with("class", "drawing")
        };
        tag("figure").holding([place.holding([self.svg(pieces)]), caption])
    }
}

/// A rectangle of a drawing with a scale along each side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Its left edge.
    pub left: f64,
    /// Its top edge.
    pub top: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// The scale along the bottom.
    pub x: Scale,
    /// The scale along the left side, its low end at the bottom.
    pub y: Scale,
}

impl Frame {
    /// Where a point of the data is in the drawing.
    pub fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x_at(x), self.y_at(y))
    }

    /// Where a number of the bottom scale is.
    pub fn x_at(&self, x: f64) -> f64 {
        self.left + self.width * self.x.share(x)
    }

    /// Where a number of the left scale is.
    pub fn y_at(&self, y: f64) -> f64 {
        self.top + self.height * (1.0 - self.y.share(y))
    }

    /// The lower edge.
    pub fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// The right edge.
    pub fn right(&self) -> f64 {
        self.left + self.width
    }

    /// The left scale: lines across, numbers, and what they are.
    pub fn rows(&self, ticks: &Ticks, title: &str) -> Markup {
        let marks = ticks.at.iter().map(|number| {
            let y = self.y_at(*number);
            let line = tag("line")
                .with("class", "grid")
                .at("x1", self.left)
                .at("x2", self.right());
            let label = tag("text").with("class", "tick").with("text-anchor", "end");
            all([
                line.at("y1", y).at("y2", y).empty(),
                label
                    .at("x", self.left - 8.0)
                    .at("y", y + 4.5)
                    .text(ticks.label(*number)),
            ])
        });
        all(marks.chain([self.beside(title)]))
    }

    /// What the left scale is, read upwards: there no line of the figure can cross it.
    pub fn beside(&self, title: &str) -> Markup {
        let (x, y) = (AXIS_TITLE_X_PX, self.top + self.height / 2.0);
        let words = tag("text")
            .with("class", "axis")
            .with("text-anchor", "middle")
            .at("x", x)
            .at("y", y);
        words
            .with("transform", format!("rotate(-90 {} {})", px(x), px(y)))
            .text(title)
    }

    /// The bottom scale: its line, marks, numbers, and what they are.
    pub fn columns(&self, ticks: &Ticks, title: &str) -> Markup {
        let bottom = self.bottom();
        let marks = ticks.at.iter().map(|number| {
            let x = self.x_at(*number);
            let mark = tag("line").with("class", "base").at("x1", x).at("x2", x);
            let label = tag("text")
                .with("class", "tick")
                .with("text-anchor", "middle");
            all([
                mark.at("y1", bottom).at("y2", bottom + 5.0).empty(),
                label
                    .at("x", x)
                    .at("y", bottom + 20.0)
                    .text(ticks.label(*number)),
            ])
        });
        let words = tag("text")
            .with("class", "axis")
            .with("text-anchor", "middle");
        let words = words
            .at("x", self.left + self.width / 2.0)
            .at("y", bottom + 42.0)
            .text(title);
        all(marks.chain([self.base(), words]))
    }

    /// The line along the bottom.
    pub fn base(&self) -> Markup {
        let line = tag("line")
            .with("class", "base")
            .at("x1", self.left)
            .at("x2", self.right());
        line.at("y1", self.bottom()).at("y2", self.bottom()).empty()
    }
}

/// From a drawing's left edge to the line its upright axis titles stand on.
const AXIS_TITLE_X_PX: f64 = 14.0;

/// Drawings wider than this are not shrunk to a telephone's width.
const WIDE_PX: f64 = 600.0;
