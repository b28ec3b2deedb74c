//! Selectors: which tasks a command is about.

use std::fs;
use std::io;
use std::path::PathBuf;

use muster_node::client::Range;
use muster_proto::TaskId;
use muster_proto::limits::RANGES_MAX;

use crate::error::CliError;
use crate::places;

/// Which tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// All the master ever had.
    All,
    /// Those of the last submit from here.
    Last,
    /// These.
    Ranges(Vec<Range>),
}

impl Selector {
    /// Reads `5`, `t5`, `1-10`, `1-10:2`, several of these with commas, `all` or `last`.
    ///
    /// # Errors
    /// The text is none of these, or selects more ranges than a frame holds.
    pub fn parse(text: &str) -> Result<Selector, CliError> {
        let wrong = || CliError::Selector {
            text: text.to_owned(),
        };
        match text {
            "all" => return Ok(Selector::All),
            "last" => return Ok(Selector::Last),
            _ => {}
        }
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (range, step) = part.split_once(':').unwrap_or((part, "1"));
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (
                task(first).ok_or_else(wrong)?,
                task(last).ok_or_else(wrong)?,
            );
            let step: u64 = step
                .parse()
                .ok()
                .filter(|step| *step > 0)
                .ok_or_else(wrong)?;
            if first > last {
                return Err(wrong());
            }
            if step == 1 {
                ranges.push((first, last));
            } else {
                let stepped =
                    (first.0..=last.0).step_by(usize::try_from(step).unwrap_or(usize::MAX));
                ranges.extend(
                    stepped
                        .take(RANGES_MAX + 1)
                        .map(|task| (TaskId(task), TaskId(task))),
                );
            }
            if ranges.len() > RANGES_MAX {
                return Err(wrong());
            }
        }
        Ok(Selector::Ranges(ranges))
    }

    /// The ranges it means at the master called `name`.
    ///
    /// # Errors
    /// It means the last submit, and there was none.
    pub fn ranges(&self, name: &str) -> Result<Vec<Range>, CliError> {
        match self {
            Selector::All => Ok(vec![(TaskId(1), TaskId(u64::MAX))]),
            Selector::Ranges(ranges) => Ok(ranges.clone()),
            Selector::Last => last(name),
        }
    }
}

/// Reads the number of a task, with or without its `t`.
pub fn task(text: &str) -> Option<TaskId> {
    let digits = text.strip_prefix('t').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = plain.then(|| digits.parse().ok()).flatten()?;
    (number > 0).then_some(TaskId(number))
}

/// Ranges as a selector would have them.
pub fn written(ranges: &[Range]) -> String {
    let texts: Vec<String> = ranges
        .iter()
        .map(|(first, last)| match first == last {
            true => first.0.to_string(),
            false => format!("{}-{}", first.0, last.0),
        })
        .collect();
    texts.join(",")
}

/// Remembers what was submitted last to the master called `name`.
///
/// # Errors
/// The state directory cannot be written.
pub fn remember(name: &str, ranges: &[Range]) -> Result<(), CliError> {
    let path = file(name)?;
    let dir = path.parent().map_or_else(PathBuf::new, PathBuf::from);
    fs::create_dir_all(&dir).map_err(|source| CliError::file(&dir, source))?;
    fs::write(&path, written(ranges)).map_err(|source| CliError::file(&path, source))
}

fn last(name: &str) -> Result<Vec<Range>, CliError> {
    let path = file(name)?;
    match fs::read_to_string(&path).as_deref().map(Selector::parse) {
        Ok(Ok(Selector::Ranges(ranges))) => Ok(ranges),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CliError::file(
            &path,
            io::Error::new(error.kind(), error.to_string()),
        )),
        Ok(_) | Err(_) => Err(CliError::NoLast {
            name: name.to_owned(),
        }),
    }
}

/// The name is a project's or an address, so it holds no slash once it was used to find a master.
fn file(name: &str) -> Result<PathBuf, CliError> {
    Ok(places::state()?.join("last").join(name.replace('/', "_")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_selected_by_numbers_ranges_and_steps() {
        let range = |first, last| (TaskId(first), TaskId(last));
        for (text, ranges) in [
            ("5", vec![range(5, 5)]),
            ("t5", vec![range(5, 5)]),
            ("1-10", vec![range(1, 10)]),
            ("1,3", vec![range(1, 1), range(3, 3)]),
            (
                "1-7:3,9",
                vec![range(1, 1), range(4, 4), range(7, 7), range(9, 9)],
            ),
        ] {
            assert_eq!(
                Selector::parse(text).expect(text),
                Selector::Ranges(ranges),
                "{text}"
            );
        }
        assert_eq!(Selector::parse("all").expect("all"), Selector::All);
        assert_eq!(Selector::parse("last").expect("last"), Selector::Last);
    }

    #[test]
    fn what_selects_nothing_is_refused() {
        for wrong in [
            "",
            "0",
            "-1",
            "3-1",
            "1-3:0",
            "x",
            "1,",
            "tt1",
            "+1",
            "1-1000000:2",
            "99999999999999999999",
        ] {
            assert!(Selector::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn ranges_are_written_as_they_are_read() {
        let text = "1-3,5,7-9";
        let Ok(Selector::Ranges(ranges)) = Selector::parse(text) else {
            panic!("ranges")
        };
        assert_eq!(written(&ranges), text);
    }
}
