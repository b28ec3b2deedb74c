//! Markup that cannot be broken by what it says.
//!
//! Names of elements and attributes are part of the program; every value and every text is escaped on its way in. There
//! is no way to put finished markup into a text.

use std::fmt::{Display, Write as _};

/// A piece of HTML or SVG; elements in it are closed, text in it is escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markup(String);

/// An element whose content is still to come.
#[derive(Debug)]
#[must_use]
pub struct Tag {
    name: &'static str,
    opening: String,
}

/// Begins an element.
pub fn tag(name: &'static str) -> Tag {
    Tag {
        name,
        opening: format!("<{name}"),
    }
}

/// A text, escaped.
pub fn text(words: impl Display) -> Markup {
    let mut escaped = String::new();
    escape(&words.to_string(), &mut escaped);
    Markup(escaped)
}

/// Pieces one after the other.
pub fn all(pieces: impl IntoIterator<Item = Markup>) -> Markup {
    pieces
        .into_iter()
        .fold(Markup::default(), |mut whole, piece| {
            whole.0.push_str(&piece.0);
            whole
        })
}

/// A coordinate: a tenth of a pixel is finer than any screen.
pub fn px(at: f64) -> String {
    // Adding zero makes of a negative zero a plain one.
    format!("{}", (at * 10.0).round() / 10.0 + 0.0)
}

impl Tag {
    /// Adds an attribute.
    pub fn with(mut self, name: &'static str, value: impl Display) -> Tag {
        let mut escaped = String::new();
        escape(&value.to_string(), &mut escaped);
        // Writing to a String cannot fail.
        let _ = write!(self.opening, " {name}=\"{escaped}\"");
        self
    }

    /// Adds a coordinate or length.
    pub fn at(self, name: &'static str, value: f64) -> Tag {
        self.with(name, px(value))
    }

    /// Ends it without content; only for elements that may have none.
    pub fn empty(self) -> Markup {
        Markup(self.opening + "/>\n")
    }

    /// Ends it with a text.
    pub fn text(self, words: impl Display) -> Markup {
        self.holding([text(words)])
    }

    /// Ends it with `pieces` inside.
    pub fn holding(self, pieces: impl IntoIterator<Item = Markup>) -> Markup {
        let inside = all(pieces).0;
        Markup(format!("{}>{inside}</{}>\n", self.opening, self.name))
    }

    /// Ends a `style` element: its rules are part of the program and are not escaped.
    pub fn rules(self, rules: &'static str) -> Markup {
        Markup(format!("{}>{rules}</{}>\n", self.opening, self.name))
    }
}

impl Markup {
    /// The markup as text to write.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters have no place in markup; what shows that one was there does no harm.
fn escape(words: &str, into: &mut String) {
    for letter in words.chars() {
        match letter {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&#39;"),
            '\n' | '\t' => into.push(letter),
            letter if letter.is_control() => into.push('\u{fffd}'),
            letter => into.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_stays_text() {
        let hostile = "</td><script>alert('x' & \"y\")</script>\u{1b}[2J";
        let cell = tag("td").with("title", hostile).text(hostile);
        let escaped = "&lt;/td&gt;&lt;script&gt;alert(&#39;x&#39; &amp; &quot;y&quot;)&lt;/script&gt;\u{fffd}[2J";
        assert_eq!(
            cell.as_str(),
            format!("<td title=\"{escaped}\">{escaped}</td>\n")
        );
    }

    #[test]
    fn elements_nest_and_close() {
        let list = tag("ul").holding((1..3).map(|n| tag("li").text(n)));
        assert_eq!(list.as_str(), "<ul><li>1</li>\n<li>2</li>\n</ul>\n");
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!([px(12.0), px(-0.01), px(1.0 / 3.0)], ["12", "0", "0.3"]);
    }
}
