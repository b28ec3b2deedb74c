//! Holes in a text, and how a row of arguments fills them.

use super::sources::{Row, Sources};

/// A text with holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Hole(Hole),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hole {
    /// `{}` and its kin: every argument of the row, joined by spaces.
    All(Part),
    /// `{1}`, `{name}`: one argument, counted from 0.
    One(usize, Part),
    /// `{#}`: the number of the row, counted from 1.
    Number,
}

/// Which part of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// `{}`
    Whole,
    /// `{.}`: without the extension of its last component.
    Stem,
    /// `{/}`: its last component.
    Base,
    /// `{//}`: what is before its last component; `.` if nothing is.
    Directory,
    /// `{/.}`: its last component without the extension.
    BaseStem,
}

impl Pattern {
    /// Finds the holes of `text` that `sources` can fill; every other brace is text, and all are if there are no sources.
    pub fn new(text: &str, sources: &Sources) -> Pattern {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            plain.push_str(&rest[..open]);
            rest = &rest[open..];
            let hole = rest
                .find('}')
                .and_then(|close| Some((hole(&rest[1..close], sources)?, close)));
            match hole {
                Some((hole, close)) => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Hole(hole));
                    rest = &rest[close + 1..];
                }
                None => {
                    plain.push('{');
                    rest = &rest[1..];
                }
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Pattern { pieces }
    }

    /// Whether a row makes a difference.
    pub fn has_holes(&self) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Hole(_)))
    }

    /// The text with `row` in its holes.
    pub fn fill(&self, row: &Row) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Hole(Hole::Number) => text.push_str(&row.number.to_string()),
                Piece::Hole(Hole::One(at, part)) => {
                    text.push_str(&part.of(row.values.get(*at).map_or("", |value| value)));
                }
                Piece::Hole(Hole::All(part)) => {
                    let parts: Vec<String> =
                        row.values.iter().map(|value| part.of(value)).collect();
                    text.push_str(&parts.join(" "));
                }
            }
        }
        text
    }
}

/// What stands between braces, if it is a hole.
fn hole(text: &str, sources: &Sources) -> Option<Hole> {
    if sources.is_empty() {
        return None;
    }
    if text == "#" {
        return Some(Hole::Number);
    }
    // A column may be called `a.b`, so its whole name comes first.
    if let Some(at) = sources.named(text) {
        return Some(Hole::One(at, Part::Whole));
    }
    let (name, part) = [
        ("//", Part::Directory),
        ("/.", Part::BaseStem),
        ("/", Part::Base),
        (".", Part::Stem),
        ("", Part::Whole),
    ]
    .into_iter()
    .find_map(|(suffix, part)| Some((text.strip_suffix(suffix)?, part)))?;
    if name.is_empty() {
        return Some(Hole::All(part));
    }
    if let Some(at) = sources.named(name) {
        return Some(Hole::One(at, part));
    }
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    let at = name
        .parse::<usize>()
        .ok()
        .filter(|_| digits)?
        .checked_sub(1)?;
    (at < sources.width()).then_some(Hole::One(at, part))
}

impl Part {
    fn of(self, value: &str) -> String {
        let (directory, base) = match value.rfind('/') {
            Some(slash) => (Some(&value[..slash]), &value[slash + 1..]),
            None => (None, value),
        };
        // A leading dot hides a file; it begins no extension.
        let stem = match base.rfind('.') {
            Some(dot) if dot > 0 => &base[..dot],
            Some(_) | None => base,
        };
        match self {
            Part::Whole => value.to_owned(),
            Part::Base => base.to_owned(),
            Part::BaseStem => stem.to_owned(),
            Part::Stem => value[..value.len() - base.len() + stem.len()].to_owned(),
            Part::Directory => match directory {
                None => ".".to_owned(),
                Some("") => "/".to_owned(),
                Some(directory) => directory.to_owned(),
            },
        }
    }
}

/// The words of a command: each a pattern, each one word for ever.
#[derive(Clone, Debug)]
pub struct Words {
    words: Vec<Pattern>,
    /// Whether the arguments follow the words, because no word has a hole for them.
    appended: bool,
}

impl Words {
    /// Finds the holes of `words`; without any, the arguments are appended.
    pub fn new(words: &[String], sources: &Sources) -> Words {
        let words: Vec<Pattern> = words
            .iter()
            .map(|word| Pattern::new(word, sources))
            .collect();
        let appended = !sources.is_empty() && !words.iter().any(Pattern::has_holes);
        Words { words, appended }
    }

    /// The command line of `row`.
    pub fn fill(&self, row: &Row) -> Vec<String> {
        let mut words: Vec<String> = self.words.iter().map(|word| word.fill(row)).collect();
        if self.appended {
            words.extend(row.values.iter().cloned());
        }
        words
    }

    /// Those words of the command line of `row` that had a hole.
    pub fn filled(&self, row: &Row) -> Vec<String> {
        let holed = self.words.iter().filter(|word| word.has_holes());
        holed.map(|word| word.fill(row)).collect()
    }
}
