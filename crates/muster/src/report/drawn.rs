//! A figure that is drawn once and stands on a page or in a file of its own.

use super::frame::Drawing;
use super::markup::{Markup, tag};

/// A drawing with all that is on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// The drawing.
    pub drawing: Drawing,
    /// What is on it, from the back to the front.
    pub pieces: Vec<Markup>,
}

impl Drawn {
    /// The figure of a page, with its words below.
    pub fn figure(&self) -> Markup {
        self.drawing.figure(self.pieces.iter().cloned())
    }

    /// An SVG file.
    ///
    /// It is for papers: its colours are those of the light page, written out, because the programs that make PDF of
    /// SVG know no variables of CSS.
    pub fn svg(&self) -> String {
        let style = tag("style").rules(RULES);
        let ground = tag("rect")
            .with("width", "100%")
            .with("height", "100%")
            .with("fill", "#ffffff")
            .empty();
        let pieces = [style, ground].into_iter().chain(self.pieces.clone());
        self.drawing.svg(pieces).as_str().to_owned()
    }
}

const RULES: &str = include_str!("alone.css");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::markup::text;

    #[test]
    fn a_file_of_its_own_needs_no_page() {
        let drawn = Drawn {
            drawing: Drawing {
                id: "a",
                title: "<A>".to_owned(),
                says: "what & how".to_owned(),
                width: 10.0,
                height: 20.0,
            },
            pieces: vec![tag("text").holding([text("x < y")])],
        };
        let svg = drawn.svg();
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 10 20\""));
        assert!(
            svg.contains("&lt;A&gt;") && svg.contains("what &amp; how"),
            "{svg}"
        );
        assert!(!svg.contains("var(") && !svg.contains("url(http"), "{svg}");
        assert!(drawn.figure().as_str().contains("<figcaption>"));
    }
}
