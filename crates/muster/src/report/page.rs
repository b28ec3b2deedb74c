//! The page around figures and tables.

use super::markup::{Markup, all, tag, text};

/// A number worth a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// The number with its unit.
    pub number: String,
    /// Of what.
    pub what: String,
}

/// A whole page as text: `lead` below the title, then `sections`.
///
/// It forbids itself, by its policy, to load or run anything.
pub fn page(title: &str, lead: &str, sections: impl IntoIterator<Item = Markup>) -> String {
    let meta = |name, content| {
        tag("meta")
            .with("name", name)
            .with("content", content)
            .empty()
    };
    let head = tag("head").holding([
        tag("meta").with("charset", "utf-8").empty(),
        tag("meta")
            .with("http-equiv", "Content-Security-Policy")
            .with("content", POLICY)
            .empty(),
        meta("viewport", "width=device-width, initial-scale=1"),
        meta("color-scheme", "light dark"),
        meta("referrer", "no-referrer"),
        tag("title").text(title),
        tag("style").rules(RULES),
    ]);
    let header = tag("header").holding([tag("h1").text(title), tag("p").text(lead)]);
    let body = tag("body").holding([header, tag("main").holding(sections)]);
    let html = tag("html").with("lang", "en").holding([head, body]);
    format!("<!doctype html>\n{}", html.as_str())
}

/// Sections have a heading, so that a screen reader can go from one to the next.
pub fn section(heading: &str, pieces: impl IntoIterator<Item = Markup>) -> Markup {
    tag("section").holding([tag("h2").text(heading), all(pieces)])
}

/// Pieces side by side where the page is wide enough.
pub fn beside(pieces: impl IntoIterator<Item = Markup>) -> Markup {
    tag("div").with("class", "beside").holding(pieces)
}

/// Numbers in a row.
pub fn headlines(numbers: &[Headline]) -> Markup {
    let items = numbers.iter().map(|headline| {
        tag("div").holding([
            tag("dt").text(&headline.what),
            tag("dd").text(&headline.number),
        ])
    });
    tag("dl").with("class", "headlines").holding(items)
}

/// Sentences that each are so or are not.
pub fn verdicts<'a>(sentences: impl IntoIterator<Item = (Verdict, &'a str)>) -> Markup {
    let items = sentences.into_iter().map(|(verdict, sentence)| {
        let class = match verdict {
            Verdict::Ok => "ok",
            Verdict::NotOk => "bad",
            Verdict::Open => "open",
        };
        tag("li").with("class", class).holding([
            tag("b").text(verdict.word()),
            text(" "),
            text(sentence),
        ])
    });
    tag("ul").with("class", "verdicts").holding(items)
}

/// What was found of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Ok,
    /// It does not hold.
    NotOk,
    /// There is too little to tell.
    Open,
}

impl Verdict {
    /// The word for it, on a page and in a terminal.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::NotOk => "not ok",
            Verdict::Open => "open",
        }
    }
}

/// Nothing may be loaded or run; styles are those in the page.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const RULES: &str = include_str!("page.css");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_loads_nothing_and_escapes_its_title() {
        let html = page("<t>", "lead & more", [section("One", [])]);
        assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"));
        assert!(html.contains("<h1>&lt;t&gt;</h1>") && html.contains("lead &amp; more"));
        for forbidden in ["<script", "src=", "href=", "@import", "url(http", "onload"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn verdicts_are_words_and_not_only_colours() {
        let list = verdicts([(Verdict::NotOk, "energy rises")]);
        assert!(
            list.as_str().contains("<b>not ok</b>\n energy rises"),
            "{}",
            list.as_str()
        );
    }
}
