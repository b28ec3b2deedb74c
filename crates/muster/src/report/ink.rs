//! How things are told apart: by hatch, dash and marker, and by colour where there is one.

use super::markup::{Markup, Tag, all, px, tag};

/// Colours in the style sheet; more things than these share them, with other dashes.
const HUES: usize = 6;

/// The class that gives the `n`th thing its colour.
pub fn hue(n: usize) -> String {
    format!("s{}", n % HUES)
}

/// The dash of the `n`th thing's lines.
fn dash(n: usize) -> &'static str {
    ["none", "9 4", "2 3", "11 3 2 3", "5 2"][n % 5]
}

/// The hatches of a figure with `count` things.
pub fn hatches(figure: &str, count: usize) -> Markup {
    let patterns = (0..count).map(|n| {
        let angle = [45, -45, 0, 90][n % 4];
        let ground = tag("rect")
            .with("class", "ground")
            .at("width", 7.0)
            .at("height", 7.0);
        let line = tag("path").with("class", "hatch").with("d", "M0 0V7");
        tag("pattern")
            .with("id", format!("{figure}-hatch-{n}"))
            .with("class", hue(n))
            .with("width", 7)
            .with("height", 7)
            .with("patternUnits", "userSpaceOnUse")
            .with("patternTransform", format!("rotate({angle})"))
            .holding([ground.empty(), line.empty()])
    });
    tag("defs").holding(patterns)
}

/// The `n`th thing's marker, around a point.
pub fn marker(n: usize, (x, y): (f64, f64)) -> Markup {
    let (shape, r) = (n % 4, MARKER_RADIUS_PX);
    let corners = match shape {
        0 => {
            let circle = tag("circle").at("cx", x).at("cy", y).at("r", r);
            return circle.with("class", format!("mark {}", hue(n))).empty();
        }
        1 => vec![
            (x - r, y - r),
            (x + r, y - r),
            (x + r, y + r),
            (x - r, y + r),
        ],
        2 => vec![(x, y - 1.3 * r), (x + 1.3 * r, y + r), (x - 1.3 * r, y + r)],
        _ => vec![
            (x, y - 1.4 * r),
            (x + 1.4 * r, y),
            (x, y + 1.4 * r),
            (x - 1.4 * r, y),
        ],
    };
    let path = path(corners) + "Z";
    tag("path")
        .with("class", format!("mark {}", hue(n)))
        .with("d", path)
        .empty()
}

/// A path through points.
pub fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in points {
        path.push(if path.is_empty() { 'M' } else { 'L' });
        path.push_str(&format!("{} {}", px(x), px(y)));
    }
    path
}

/// Moves rising places apart until each is at least `gap` from the next, none above `high` if there is room at all.
///
/// Labels are kept from overlapping by it.
pub fn spread(wanted: &[f64], gap: f64, high: f64) -> Vec<f64> {
    let mut places: Vec<f64> = Vec::with_capacity(wanted.len());
    for place in wanted {
        let free = places
            .last()
            .map_or(f64::NEG_INFINITY, |before| before + gap);
        places.push(place.max(free));
    }
    let mut bound = high;
    for place in places.iter_mut().rev() {
        *place = place.min(bound);
        bound = *place - gap;
    }
    places
}

/// A row of what the signs of a figure mean, from the point given, broken at `width`; and the height it takes.
pub fn legend(
    figure: &str,
    entries: &[Entry],
    (left, top): (f64, f64),
    width: f64,
) -> (Markup, f64) {
    let mut pieces = Vec::new();
    let (mut x, mut y) = (left, top + LEGEND_ROW_PX / 2.0);
    for entry in entries {
        let needed = SIGN_PX + 8.0 + entry.words.chars().count() as f64 * LETTER_PX + 22.0;
        if x > left && x + needed > left + width {
            x = left;
            y += LEGEND_ROW_PX;
        }
        pieces.push(entry.sign.draw(figure, (x, y)));
        let words = tag("text").at("x", x + SIGN_PX + 8.0).at("y", y + 4.5);
        pieces.push(words.text(&entry.words));
        x += needed;
    }
    (all(pieces), y + LEGEND_ROW_PX / 2.0 - top)
}

/// One meaning of a legend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it means.
    pub words: String,
    /// What it looks like.
    pub sign: Sign,
}

/// What a thing looks like in a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The hatched area of the `n`th thing.
    Area(usize),
    /// The dashed line of the `n`th thing.
    Line(usize),
    /// The same, drawn strongly.
    Strong(usize),
    /// The thin line of all that are not told apart.
    Faint,
}

impl Sign {
    /// An area with this outline.
    pub fn area(figure: &str, n: usize, outline: String) -> Markup {
        let area = tag("path").with("class", format!("area {}", hue(n)));
        area.with("fill", format!("url(#{figure}-hatch-{n})"))
            .with("d", outline)
            .empty()
    }

    /// A line of this look along `path`; of an area, its outline.
    pub fn line(self, path: String) -> Markup {
        let line = match self {
            Sign::Area(n) | Sign::Line(n) => dashed(format!("line {}", hue(n)), n),
            Sign::Strong(n) => dashed(format!("line strong {}", hue(n)), n),
            Sign::Faint => tag("path").with("class", "line faint"),
        };
        line.with("d", path).empty()
    }

    fn draw(self, figure: &str, (x, y): (f64, f64)) -> Markup {
        match self {
            Sign::Area(n) => {
                let corners = [
                    (x, y - 7.0),
                    (x + SIGN_PX, y - 7.0),
                    (x + SIGN_PX, y + 7.0),
                    (x, y + 7.0),
                ];
                Sign::area(figure, n, path(corners) + "Z")
            }
            Sign::Line(_) | Sign::Strong(_) | Sign::Faint => {
                self.line(path([(x, y), (x + SIGN_PX, y)]))
            }
        }
    }
}

fn dashed(class: String, n: usize) -> Tag {
    tag("path")
        .with("class", class)
        .with("stroke-dasharray", dash(n))
}

/// The length of a sign in a legend.
const SIGN_PX: f64 = 26.0;

/// The mean advance of a letter at the figures' 13 pixels, on the wide side so that nothing overlaps.
pub const LETTER_PX: f64 = 7.3;

const LEGEND_ROW_PX: f64 = 22.0;

const MARKER_RADIUS_PX: f64 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_move_apart_and_stay_inside() {
        assert_eq!(spread(&[0.0, 1.0, 50.0], 10.0, 100.0), [0.0, 10.0, 50.0]);
        assert_eq!(
            spread(&[90.0, 95.0, 99.0], 10.0, 100.0),
            [80.0, 90.0, 100.0]
        );
        assert_eq!(spread(&[], 10.0, 100.0), [0.0; 0]);
    }

    #[test]
    fn neighbours_differ_without_colour() {
        for n in 0..HUES {
            assert_ne!(dash(n), dash(n + 1));
            assert_ne!(n % 4, (n + 1) % 4, "hatches and markers repeat after four");
        }
    }
}
