//! Lettered moments across a figure, and the list that says what the letters mean.

use super::frame::Frame;
use super::ink;
use super::markup::{Markup, all, tag, text};

/// A place along the bottom worth a letter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mark {
    /// Where it is, in the numbers of the bottom scale.
    pub at: f64,
    /// Its letter.
    pub label: String,
    /// What it means, with the time it is at.
    pub what: String,
}

/// The height that letters take above their frame.
pub const LETTERS_PX: f64 = 52.0;

/// Letters in a row above `frame`, each with a line down to `bottom`; those beyond the frame's room are left out.
pub fn letters(marks: &[Mark], frame: &Frame, bottom: f64) -> Markup {
    let marks = shown(marks);
    let wanted: Vec<f64> = marks.iter().map(|mark| frame.x_at(mark.at)).collect();
    let places = ink::spread(&wanted, LETTER_GAP_PX, frame.right());
    let y = frame.top - 36.0;
    all(wanted
        .iter()
        .zip(places)
        .zip(marks)
        .map(|((x, place), mark)| {
            let line = ink::path([(place, y + 10.0), (*x, frame.top - 6.0), (*x, bottom)]);
            let circle = tag("circle").with("class", "letter").at("cx", place);
            let letter = tag("text").with("class", "letter").at("x", place);
            all([
                tag("path").with("class", "event").with("d", line).empty(),
                circle.at("cy", y).at("r", 11.0).empty(),
                letter.at("y", y + 4.5).text(short(&mark.label)),
            ])
        }))
}

/// What the letters mean, as a list for a page.
pub fn key(marks: &[Mark]) -> Markup {
    let items = marks.iter().map(|mark| {
        tag("li").holding([
            tag("b").text(short(&mark.label)),
            text(format!(" {}", mark.what)),
        ])
    });
    tag("ol").with("class", "key").holding(items)
}

/// A, B, ... Z, then the number.
pub fn letter(n: usize) -> String {
    let letter = u8::try_from(n).ok().filter(|n| *n < 26);
    letter.map_or_else(|| (n + 1).to_string(), |n| char::from(b'A' + n).to_string())
}

fn shown(marks: &[Mark]) -> &[Mark] {
    &marks[..marks.len().min(LETTERS_MAX)]
}

/// What fits into a letter's circle.
fn short(label: &str) -> String {
    label.chars().take(2).collect()
}

const LETTER_GAP_PX: f64 = 26.0;

/// Letters that a frame of 840 pixels has room for.
const LETTERS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::scale::Scale;

    #[test]
    fn a_hundred_marks_stay_in_the_frame_and_keep_their_key() {
        let marks: Vec<Mark> = (0..100)
            .map(|n| Mark {
                at: f64::from(n),
                label: letter(n as usize),
                what: "<b>".to_owned(),
            })
            .collect();
        let frame = Frame {
            left: 0.0,
            top: 60.0,
            width: 840.0,
            height: 100.0,
            x: Scale::new(0.0, 100.0),
            y: Scale::new(0.0, 1.0),
        };
        let drawn = letters(&marks, &frame, 160.0);
        assert_eq!(drawn.as_str().matches("<circle").count(), LETTERS_MAX);
        let key = key(&marks);
        assert_eq!(key.as_str().matches("&lt;b&gt;").count(), 100);
        assert!(key.as_str().contains("<b>Z</b>\n") && key.as_str().contains("<b>27</b>\n"));
    }
}
