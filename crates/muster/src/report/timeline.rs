//! The talk's evaluation figure: workers and running tasks over time, finished tasks below, with lettered events.
//!
//! Workers and running tasks are stacked by site, on one scale: the hatched areas fill the space under the dashed
//! lines to the degree in which workers are busy.

use super::frame::{Drawing, Frame};
use super::ink::{self, Entry, Sign};
use super::markup::{Markup, all, tag};
use super::scale::Scale;

/// What happened, from the start to `end_s`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// When the last thing happened, in seconds since the start.
    pub end_s: f64,
    /// The sites, in the order they are stacked.
    pub sites: Vec<Site>,
    /// Oldest first.
    pub events: Vec<Event>,
}

/// What a site had and did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// Workers connected: since when, and how many; oldest first.
    pub workers: Vec<(f64, u32)>,
    /// The runs that ended: start and end in seconds.
    pub runs: Vec<(f64, f64)>,
}

/// Something that happened at one moment; lettered in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at_s: f64,
    /// What.
    pub what: String,
}

impl Timeline {
    /// The figure.
    pub fn figure(&self, id: &'static str) -> Markup {
        let names = self
            .sites
            .iter()
            .map(|site| site.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        let width = FRAME_WIDTH_PX + LEFT_PX + RIGHT_PX;
        let (legend, legend_height) =
            ink::legend(id, &self.entries(), (LEFT_PX, 4.0), FRAME_WIDTH_PX);
        let upper_top = legend_height + 62.0;
        let lower_top = upper_top + UPPER_HEIGHT_PX + 34.0;
        let x = Scale::new(0.0, self.end_s);
        let upper = frame(upper_top, UPPER_HEIGHT_PX, x, self.workers_most() * 1.08);
        let finished: usize = self.sites.iter().map(|site| site.runs.len()).sum();
        let lower = frame(lower_top, LOWER_HEIGHT_PX, x, finished as f64 * 1.04);
        let drawing = Drawing {
            id,
            title: "Workers, running and finished tasks.".to_owned(),
            says: format!(
                "Above: workers connected (lines) and tasks running (hatched), stacked by site ({names}). Below: \
                 {finished} finished tasks over {:.1} seconds, by site and in all. Letters are events.",
                self.end_s
            ),
            width,
            height: lower.bottom() + 56.0,
        };
        drawing.figure([
            ink::hatches(id, self.sites.len()),
            legend,
            upper.rows(&upper.y.ticks_whole(4), "workers, running tasks"),
            self.running(id, &upper),
            self.workers(&upper),
            upper.base(),
            lower.rows(&lower.y.ticks_whole(4), "finished tasks"),
            self.finished(&lower),
            lower.columns(&lower.x.ticks(8), "seconds since the start"),
            self.letters(upper_top, lower.bottom(), &upper),
        ])
    }

    /// What the letters mean, as a list for the page.
    pub fn key(&self) -> Markup {
        let items = self.events.iter().enumerate().map(|(n, event)| {
            tag("li").holding([
                tag("b").text(letter(n)),
                super::markup::text(format!(" {:.1} s: {}", event.at_s, event.what)),
            ])
        });
        tag("ol").with("class", "key").holding(items)
    }

    fn entries(&self) -> Vec<Entry> {
        let areas = self.sites.iter().enumerate().map(|(n, site)| Entry {
            words: format!("{} running", site.name),
            sign: Sign::Area(n),
        });
        let lines = self.sites.iter().enumerate().map(|(n, site)| Entry {
            words: match n {
                0 => format!("{} workers", site.name),
                _ => format!("+ {} workers", site.name),
            },
            sign: Sign::Line(n),
        });
        areas.chain(lines).collect()
    }

    fn running(&self, id: &str, frame: &Frame) -> Markup {
        let mut below = vec![0.0; BINS];
        let areas = self.sites.iter().enumerate().map(|(n, site)| {
            let busy = busy(&site.runs, self.end_s, BINS);
            let top: Vec<f64> = below
                .iter()
                .zip(&busy)
                .map(|(below, busy)| below + busy)
                .collect();
            let edge = self
                .stairs(&top)
                .chain(self.stairs(&below).collect::<Vec<_>>().into_iter().rev());
            let outline = ink::path(edge.map(|point| frame.at(point))) + "Z";
            below = top;
            Sign::area(id, n, outline)
        });
        all(areas)
    }

    /// The corners of a staircase with a step for each bin.
    fn stairs<'a>(&self, heights: &'a [f64]) -> impl Iterator<Item = (f64, f64)> + use<'a> {
        let step = self.end_s / heights.len() as f64;
        heights.iter().enumerate().flat_map(move |(bin, height)| {
            [
                (bin as f64 * step, *height),
                ((bin + 1) as f64 * step, *height),
            ]
        })
    }

    fn workers(&self, frame: &Frame) -> Markup {
        all((0..self.sites.len()).map(|n| {
            let mut points = vec![(0.0, 0.0)];
            for (at, count) in self.workers_stacked(n) {
                let before = points.last().map_or(0.0, |point| point.1);
                points.extend([(at, before), (at, f64::from(count))]);
            }
            let last = points.last().map_or(0.0, |point| point.1);
            points.push((self.end_s, last));
            Sign::Line(n).line(ink::path(points.into_iter().map(|point| frame.at(point))))
        }))
    }

    /// How many workers the sites up to the `n`th have together, and since when.
    fn workers_stacked(&self, n: usize) -> Vec<(f64, u32)> {
        let mut changes: Vec<(f64, usize, u32)> = Vec::new();
        for (index, site) in self.sites.iter().take(n + 1).enumerate() {
            changes.extend(site.workers.iter().map(|(at, count)| (*at, index, *count)));
        }
        changes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut have = vec![0_u32; n + 1];
        let sums = changes.into_iter().map(|(at, index, count)| {
            have[index] = count;
            (at, have.iter().sum())
        });
        sums.collect()
    }

    fn workers_most(&self) -> f64 {
        let last = self.sites.len().saturating_sub(1);
        let counts = self
            .workers_stacked(last)
            .into_iter()
            .map(|(_, count)| count);
        f64::from(counts.max().unwrap_or(0).max(1))
    }

    /// A line for each site with its marker, and one for all.
    fn finished(&self, frame: &Frame) -> Markup {
        let whole: Vec<f64> = self
            .sites
            .iter()
            .flat_map(|site| &site.runs)
            .map(|run| run.1)
            .collect();
        let mut curves = vec![("all".to_owned(), None, whole)];
        if self.sites.len() > 1 {
            curves.extend(self.sites.iter().enumerate().map(|(n, site)| {
                (
                    site.name.clone(),
                    Some(n),
                    site.runs.iter().map(|run| run.1).collect(),
                )
            }));
        }
        // Highest first, so that labels are moved apart from above.
        curves.sort_by_key(|(_, _, ends)| std::cmp::Reverse(ends.len()));
        let wanted: Vec<f64> = curves
            .iter()
            .map(|(_, _, ends)| frame.y_at(ends.len() as f64))
            .collect();
        let labels = ink::spread(&wanted, 17.0, frame.bottom());
        all(curves.iter().zip(labels).map(|((name, site, ends), y)| {
            let points = counted(ends, self.end_s, BINS)
                .into_iter()
                .map(|point| frame.at(point));
            let label = tag("text")
                .with("class", "direct")
                .at("x", frame.right() + 12.0)
                .at("y", y + 4.5);
            all([
                self.curve(*site, points.collect()),
                label.text(format!("{name} {}", ends.len())),
            ])
        }))
    }

    fn curve(&self, site: Option<usize>, points: Vec<(f64, f64)>) -> Markup {
        let Some(n) = site else {
            return tag("path")
                .with("class", "line whole")
                .with("d", ink::path(points))
                .empty();
        };
        // Sites that keep step would hide each other's markers: each begins at a place of its own.
        let marks: Vec<_> = points
            .iter()
            .skip(4 + 4 * n)
            .step_by(4 * self.sites.len())
            .copied()
            .collect();
        all([Sign::Line(n).line(ink::path(points))]
            .into_iter()
            .chain(marks.into_iter().map(|at| ink::marker(n, at))))
    }

    /// Letters in a row above, each with a line down through both panels.
    fn letters(&self, top: f64, bottom: f64, frame: &Frame) -> Markup {
        let wanted: Vec<f64> = self
            .events
            .iter()
            .map(|event| frame.x_at(event.at_s))
            .collect();
        let places = ink::spread(&wanted, 26.0, frame.right());
        let y = top - 36.0;
        all(wanted
            .iter()
            .zip(places)
            .enumerate()
            .map(|(n, (x, place))| {
                let line = ink::path([(place, y + 10.0), (*x, top - 6.0), (*x, bottom)]);
                all([
                    tag("path").with("class", "event").with("d", line).empty(),
                    tag("circle")
                        .with("class", "letter")
                        .at("cx", place)
                        .at("cy", y)
                        .at("r", 11.0)
                        .empty(),
                    tag("text")
                        .with("class", "letter")
                        .at("x", place)
                        .at("y", y + 4.5)
                        .text(letter(n)),
                ])
            }))
    }
}

fn frame(top: f64, height: f64, x: Scale, most: f64) -> Frame {
    Frame {
        left: LEFT_PX,
        top,
        width: FRAME_WIDTH_PX,
        height,
        x,
        y: Scale::new(0.0, most),
    }
}

/// A, B, ... Z, then the number.
fn letter(n: usize) -> String {
    let letter = u8::try_from(n).ok().filter(|n| *n < 26);
    letter.map_or_else(|| (n + 1).to_string(), |n| char::from(b'A' + n).to_string())
}

/// How many of `runs` were under way in each bin of the time to `end`, on average over the bin.
fn busy(runs: &[(f64, f64)], end: f64, bins: usize) -> Vec<f64> {
    let width = end / bins as f64;
    let mut busy = vec![0.0; bins];
    for (start, stop) in runs {
        let first = ((start / width).max(0.0) as usize).min(bins - 1);
        let last = ((stop / width).max(0.0) as usize).min(bins - 1);
        for (bin, sum) in busy.iter_mut().enumerate().take(last + 1).skip(first) {
            let (from, to) = (bin as f64 * width, (bin + 1) as f64 * width);
            *sum += (stop.min(to) - start.max(from)).max(0.0) / width;
        }
    }
    busy
}

/// How many of `ends` had come by the end of each bin, from nothing at the start.
fn counted(ends: &[f64], end: f64, bins: usize) -> Vec<(f64, f64)> {
    let mut ends = ends.to_vec();
    ends.sort_by(f64::total_cmp);
    let points = (0..=bins).map(|bin| {
        let at = end * bin as f64 / bins as f64;
        let come = if bin == bins {
            ends.len()
        } else {
            ends.partition_point(|one| *one <= at)
        };
        (at, come as f64)
    });
    points.collect()
}

/// A bin is 20 pixels wide: narrower ones show the pauses between single tasks, not the state of the sites.
const BINS: usize = 42;

const LEFT_PX: f64 = 68.0;
const RIGHT_PX: f64 = 112.0;
const FRAME_WIDTH_PX: f64 = 840.0;
const UPPER_HEIGHT_PX: f64 = 190.0;
const LOWER_HEIGHT_PX: f64 = 160.0;

#[cfg(test)]
mod tests;
