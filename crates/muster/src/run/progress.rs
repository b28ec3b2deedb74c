//! Showing how far an ensemble is: bars on a terminal, a line now and then elsewhere.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use muster_node::clock::Clock;
use muster_proto::{Span, Time};

use super::tally::Tally;
use crate::text::harmless;

/// What is shown on standard error while tasks run.
#[derive(Debug)]
pub struct Progress {
    style: Style,
    clock: Clock,
    began: Time,
    said: Time,
}

#[derive(Debug)]
enum Style {
    Silent,
    /// A line each ten seconds.
    Lines,
    /// Bars, redrawn; how many lines of them stand there.
    Bars {
        drawn: usize,
    },
}

impl Progress {
    /// Shows nothing.
    pub fn silent(clock: Clock) -> Progress {
        Progress::new(clock, Style::Silent)
    }

    /// Shows what fits standard error.
    pub fn fitting(clock: Clock) -> Progress {
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let style = match io::stderr().is_terminal() && !dumb {
            true => Style::Bars { drawn: 0 },
            false => Style::Lines,
        };
        Progress::new(clock, style)
    }

    fn new(clock: Clock, style: Style) -> Progress {
        let now = clock.now();
        Progress {
            style,
            clock,
            began: now,
            said: now,
        }
    }

    /// How often it wants to be shown.
    pub fn pause(&self) -> Duration {
        match self.style {
            Style::Bars { .. } => Duration::from_millis(200),
            Style::Silent | Style::Lines => Duration::from_secs(1),
        }
    }

    /// Whether it wants to know what runs where.
    pub fn wants_links(&self) -> bool {
        matches!(self.style, Style::Bars { .. })
    }

    /// The time since the beginning.
    pub fn elapsed(&self) -> Span {
        self.clock.now().since(self.began)
    }

    /// Shows `tally`.
    pub fn show(&mut self, tally: &Tally) {
        let now = self.clock.now();
        let text = match &mut self.style {
            Style::Silent => return,
            Style::Lines => {
                if now.since(self.said) < LINE_PAUSE {
                    return;
                }
                self.said = now;
                format!("{}\n", totals(tally, now.since(self.began)))
            }
            Style::Bars { drawn } => {
                let lines = bars(tally, now.since(self.began), width());
                let text = format!("{}{}", up(*drawn), joined(&lines));
                *drawn = lines.len();
                text
            }
        };
        say(&text);
    }

    /// Takes the bars away, so that something else can be written.
    pub fn clear(&mut self) {
        if let Style::Bars { drawn } = &mut self.style
            && *drawn > 0
        {
            say(&up(*drawn));
            *drawn = 0;
        }
    }
}

/// Nobody listens any more when it fails, and nothing else depends on it.
fn say(text: &str) {
    let _said = io::stderr().lock().write_all(text.as_bytes());
}

/// Moves `lines` up and erases what is below.
fn up(lines: usize) -> String {
    match lines {
        0 => String::new(),
        lines => format!("\x1b[{lines}A\x1b[J"),
    }
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn bars(tally: &Tally, elapsed: Span, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let name_width = tally.sites().map(|(name, _)| name.chars().count()).max();
    let name_width = name_width.unwrap_or(0).clamp(3, 20);
    for (name, site) in tally.sites().take(SITES_SHOWN_MAX) {
        let known = site.done + site.running;
        let bar = bar(site.done, known);
        lines.push(format!(
            " {:name_width$}  {bar}  {}/{known}",
            harmless(name),
            site.done
        ));
    }
    lines.push(format!(
        " {:name_width$}  {}  {}",
        "all",
        bar(tally.done(), tally.total),
        totals(tally, elapsed)
    ));
    let cut = |line: String| line.chars().take(width.saturating_sub(1)).collect();
    lines.into_iter().map(cut).collect()
}

fn bar(done: u64, total: u64) -> String {
    let filled = (done * BAR_CHARS)
        .checked_div(total)
        .unwrap_or(0)
        .min(BAR_CHARS);
    let filled = usize::try_from(filled).unwrap_or(0);
    format!("{:width$}", "#".repeat(filled), width = BAR_CHARS as usize)
}

fn totals(tally: &Tally, elapsed: Span) -> String {
    let done = tally.done();
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = done as f64 / seconds;
    let mut text = format!(
        "{done}/{}  {rate:.*} tasks/s",
        tally.total,
        usize::from(rate < 10.0)
    );
    if done > 0 && done < tally.total {
        let left = (tally.total - done) as f64 / rate;
        text += &format!("  eta {}", short(left));
    }
    text + &format!("  failed {}", tally.failed)
}

/// Seconds for people who wait.
fn short(seconds: f64) -> String {
    match seconds {
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6_000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

/// Columns of the terminal.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    match size.map(|size| usize::from(size.ws_col)) {
        Ok(0) | Err(_) => 80,
        Ok(columns) => columns,
    }
}

const BAR_CHARS: u64 = 20;
const LINE_PAUSE: Span = Span::secs(10);
/// More sites than this would push the summary off a screen.
const SITES_SHOWN_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_part() {
        assert_eq!(bar(0, 0), " ".repeat(20));
        assert_eq!(bar(1, 2), format!("{}{}", "#".repeat(10), " ".repeat(10)));
        assert_eq!(bar(9, 3), "#".repeat(20));
    }

    #[test]
    fn lines_are_no_wider_than_the_terminal() {
        let mut tally = Tally::new(100);
        tally.running("a\u{1b}[31m-very-long-name-of-a-site", 3);
        for line in bars(&tally, Span::secs(2), 40) {
            assert!(
                line.chars().count() < 40 && !line.contains('\u{1b}'),
                "{line:?}"
            );
        }
    }
}
