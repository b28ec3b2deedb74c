//! Text for terminals: what others wrote made harmless, words quoted, failures in sentences.

use std::fmt::Write;
use std::io;

use muster_proto::outcome::{ArchiveFault, Failure, Outcome, Resource, Verdict};

/// `text` with its control characters shown instead of obeyed: it may come from a peer or a task.
pub fn harmless(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Characters that reorder or hide what is around them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A command line that a shell would read as these words.
pub fn quoted(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quoted_word(word)).collect();
    quoted.join(" ")
}

fn quoted_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if word.chars().any(char::is_control) {
        let mut text = "$'".to_owned();
        for c in word.chars() {
            match c {
                '\'' | '\\' => text.extend(['\\', c]),
                c if c.is_control() => {
                    // Writing to a String cannot fail.
                    let _written = write!(text, "\\u{:04x}", u32::from(c));
                }
                c => text.push(c),
            }
        }
        return text + "'";
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The last lines of what a task wrote to standard error, harmless and indented.
pub fn last_lines(bytes: &[u8], lines_max: usize, indent: &str) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(lines_max)..];
    last.iter()
        .map(|line| format!("{indent}{}\n", harmless(line)))
        .collect()
}

/// What became of a task that is not done, in a sentence about it.
pub fn fate(outcome: &Outcome) -> String {
    match &outcome.verdict {
        Verdict::Ran { ran, .. } => match &ran.result {
            Ok(()) => "succeeded".to_owned(),
            Err(failure) => format!("{} (on {})", reason(failure), harmless(&ran.worker)),
        },
        Verdict::GivenUp(failure) => reason(failure),
        Verdict::Cancelled => "was cancelled".to_owned(),
    }
}

/// Why a run failed, in a sentence about its task.
pub fn reason(failure: &Failure) -> String {
    match failure {
        Failure::Exit(code) => format!("ended with exit code {code}"),
        Failure::Signal(signal) => format!("was ended by signal {signal}{}", signal_name(*signal)),
        Failure::TimeLimit => "ran longer than its --time-limit".to_owned(),
        Failure::NotFound => {
            "could not start: the program is not where it ran; send it along with --input"
                .to_owned()
        }
        Failure::NotExecutable => {
            "could not start: the program may not be executed; chmod +x it".to_owned()
        }
        Failure::CannotStart(errno) => {
            format!("could not start: {}", io::Error::from_raw_os_error(*errno))
        }
        Failure::InputMissing(name) => {
            format!("could not have its input {}", harmless(name.as_str()))
        }
        Failure::OutputMissing(name) => {
            format!("did not leave its output {}", harmless(name.as_str()))
        }
        Failure::TooMuchOutput => "wrote more than tasks may".to_owned(),
        Failure::Exhausted {
            resource: Resource::Disk,
            measured,
            limit,
        } => format!(
            "was ended: its files took {}, more than the {} of its --disk",
            amount(*measured),
            amount(*limit)
        ),
        Failure::Exhausted {
            resource: Resource::Files,
            measured,
            limit,
        } => format!("was ended: it had {measured} files, and may have {limit}"),
        Failure::BadArchive { name, fault } => {
            let why = match fault {
                ArchiveFault::Malformed => {
                    "it is no tar archive, compressed by gzip or not, or is cut short"
                }
                ArchiveFault::LeadsOut => "a name or link in it leads out of it",
                ArchiveFault::Irregular => "it holds something that is no file, directory or link",
            };
            let name = harmless(name.as_str());
            format!("could not start: {name} cannot be unpacked; {why}")
        }
        Failure::LostTooOften => "was lost with its worker too often and given up".to_owned(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (illegal instruction)",
        6 => " (aborted)",
        7 => " (bus error)",
        8 => " (arithmetic)",
        9 => " (killed; often for want of memory)",
        11 => " (segmentation fault)",
        15 => " (terminated)",
        _ => "",
    }
}

/// Bytes in the largest unit of which there are a few.
pub fn amount(bytes: u64) -> String {
    let unit = ["B", "KiB", "MiB", "GiB"].iter().enumerate();
    let fitting = unit.rev().find(|(power, _)| bytes >> (10 * power) >= 10);
    let (power, unit) = fitting.unwrap_or((0, &"B"));
    format!("{} {unit}", bytes >> (10 * power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_written_elsewhere_commands_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\n"), "a\\u{1b}[2Jb\\r\\n");
        assert_eq!(harmless("größe 日本"), "größe 日本");
        assert_eq!(harmless("x\u{202e}y"), "x\\u{202e}y");
    }

    #[test]
    fn a_shell_would_read_the_same_words() {
        for (word, wanted) in [
            ("plain-1.x", "plain-1.x"),
            ("", "''"),
            ("two words", "'two words'"),
            ("it's", "'it'\\''s'"),
            ("$HOME", "'$HOME'"),
            ("a\nb'", "$'a\\u000ab\\''"),
        ] {
            assert_eq!(quoted(&[word.to_owned()]), wanted);
        }
    }

    #[test]
    fn the_end_of_a_stream_is_shown_without_blank_lines() {
        assert_eq!(
            last_lines(b"1\n2\n\n3\x07\n\n", 2, "  "),
            "  2\n  3\\u{7}\n"
        );
        assert_eq!(last_lines(b"", 2, "  "), "");
        assert_eq!(last_lines(b"\xff", 2, ""), "\u{fffd}\n");
    }

    #[test]
    fn bytes_are_told_in_units_that_leave_two_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (9, "9 B"),
            (10_239, "10239 B"),
            (10_240, "10 KiB"),
            (50 << 30, "50 GiB"),
        ] {
            assert_eq!(amount(bytes), text);
        }
    }
}
