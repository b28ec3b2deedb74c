//! Walks over a ladder: who stood on which rung, round by round.

use super::frame::{Drawing, Frame};
use super::ink::{self, Entry, Sign};
use super::markup::{Markup, all, px, tag};
use super::scale::Scale;

/// Walkers on rungs, one on each at any time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Walks {
    /// What it is, in a few words.
    pub title: String,
    /// What can be seen.
    pub says: String,
    /// The names of the rungs, lowest first.
    pub rungs: Vec<String>,
    /// The rung of each walker at the start and after each round; as many entries for one as for another.
    pub walks: Vec<Vec<usize>>,
}

impl Walks {
    /// The figure; those who started lowest and highest are drawn strongly.
    pub fn figure(&self, id: &'static str) -> Markup {
        let rounds = self
            .walks
            .iter()
            .map(|walk| walk.len().saturating_sub(1))
            .max()
            .unwrap_or(0);
        let (legend, legend_height) = ink::legend(id, &self.entries(), (LEFT_PX, 4.0), WIDTH_PX);
        let frame = Frame {
            left: LEFT_PX,
            top: legend_height + 20.0,
            width: WIDTH_PX,
            height: ROW_PX * self.rungs.len().max(2).saturating_sub(1) as f64,
            x: Scale::new(0.0, rounds as f64),
            y: Scale::new(0.0, self.rungs.len().max(2).saturating_sub(1) as f64),
        };
        let drawing = Drawing {
            id,
            title: self.title.clone(),
            says: self.says.clone(),
            width: LEFT_PX + WIDTH_PX + 44.0,
            height: frame.bottom() + 68.0,
        };
        let base = Frame {
            height: frame.height + 14.0,
            ..frame
        };
        drawing.figure([
            legend,
            self.rows(&frame),
            base.columns(&frame.x.ticks_whole(10), "rounds"),
            all(self
                .strongest_last()
                .map(|walker| self.walk(&frame, walker))),
        ])
    }

    /// The walkers that are drawn strongly, each with the number of its ink.
    fn marked(&self) -> Vec<usize> {
        let last = self.walks.len().saturating_sub(1);
        if last == 0 { vec![0] } else { vec![0, last] }
    }

    fn entries(&self) -> Vec<Entry> {
        let names = ["started coldest", "started hottest"];
        let marked = self
            .marked()
            .into_iter()
            .zip(names)
            .enumerate()
            .map(|(n, (walker, name))| Entry {
                words: format!("replica {walker}, {name}"),
                sign: Sign::Strong(n),
            });
        let others = Entry {
            words: "the others, numbered at both ends".to_owned(),
            sign: Sign::Faint,
        };
        marked.chain([others]).collect()
    }

    fn rows(&self, frame: &Frame) -> Markup {
        let rows = self.rungs.iter().enumerate().map(|(rung, name)| {
            let y = frame.y_at(rung as f64);
            let line = tag("line")
                .with("class", "grid")
                .at("x1", frame.left)
                .at("x2", frame.right());
            let label = tag("text").with("class", "tick").with("text-anchor", "end");
            all([
                line.at("y1", y).at("y2", y).empty(),
                label.at("x", frame.left - 26.0).at("y", y + 4.5).text(name),
            ])
        });
        all(rows.chain([frame.beside("temperature")]))
    }

    fn strongest_last(&self) -> impl Iterator<Item = usize> + use<> {
        let marked = self.marked();
        let last = self.walks.len();
        let others = (0..last).filter({
            let marked = marked.clone();
            move |walker| !marked.contains(walker)
        });
        others.chain(marked).filter(move |walker| *walker < last)
    }

    fn walk(&self, frame: &Frame, walker: usize) -> Markup {
        let points: Vec<_> = self.walks[walker]
            .iter()
            .enumerate()
            .map(|(round, rung)| frame.at((round as f64, *rung as f64)))
            .collect();
        let place = self.marked().iter().position(|marked| *marked == walker);
        let (sign, class) = place.map_or((Sign::Faint, "tick"), |n| (Sign::Strong(n), "direct"));
        let number = |(x, y): (f64, f64), anchor: &str| {
            let label = tag("text").with("class", class).with("text-anchor", anchor);
            label.at("x", x).at("y", y + 4.5).text(walker)
        };
        let ends = points.first().zip(points.last()).map(|(first, last)| {
            all([
                number((first.0 - 8.0, first.1), "end"),
                number((last.0 + 8.0, last.1), "start"),
            ])
        });
        all([sign.line(curve(&points))].into_iter().chain(ends))
    }
}

/// A path that leaves and meets each point level, so that crossings are seen as crossings.
fn curve(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (n, (x, y)) in points.iter().enumerate() {
        match n.checked_sub(1).map(|before| points[before]) {
            None => path.push_str(&format!("M{} {}", px(*x), px(*y))),
            Some((_, y_before)) if y_before == *y => path.push_str(&format!("H{}", px(*x))),
            Some((x_before, y_before)) => {
                let middle = px((x + x_before) / 2.0);
                let (start, end) = (px(y_before), px(*y));
                path.push_str(&format!(
                    "C{middle} {start} {middle} {end} {} {end}",
                    px(*x)
                ));
            }
        }
    }
    path
}

const LEFT_PX: f64 = 104.0;
const WIDTH_PX: f64 = 872.0;
const ROW_PX: f64 = 34.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swaps_cross_and_stays_are_level() {
        let path = curve(&[(0.0, 0.0), (10.0, 0.0), (20.0, 30.0)]);
        assert_eq!(path, "M0 0H10C15 0 15 30 20 30");
    }

    #[test]
    fn every_walker_is_drawn_once_and_named_at_both_ends() {
        let walks = Walks {
            title: "Walks".to_owned(),
            rungs: ["cold", "warm", "hot"].map(str::to_owned).to_vec(),
            walks: vec![vec![0, 1, 1], vec![1, 0, 0], vec![2, 2, 2]],
            ..Walks::default()
        };
        let figure = walks.figure("walks");
        let figure = figure.as_str();
        for walker in 0..3 {
            let named = figure.matches(&format!(">{walker}</text>")).count();
            assert!(named >= 2, "{walker}: {figure}");
        }
        assert_eq!(
            figure.matches("line strong").count(),
            4,
            "two lines and their legend: {figure}"
        );
        assert!(!figure.contains("NaN"));
    }

    #[test]
    fn no_walkers_are_still_a_figure() {
        assert!(!Walks::default().figure("none").as_str().contains("NaN"));
    }
}
