//! Measured times, one a row, out of a file of comma-separated values.

use std::sync::Arc;

use muster_proto::Span;

/// Times that were measured; there is at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    values: Arc<[Span]>,
    mean: Span,
}

/// Why a text is no trace; completes a sentence that begins with the file's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTrace {
    /// Nothing but a heading, or not even that.
    #[error("has no rows of numbers")]
    Empty,
    /// The heading has no such column.
    #[error("has no column `{column}` in its first row")]
    NoColumn {
        /// Which was asked for.
        column: String,
    },
    /// There are several columns and none was asked for.
    #[error("has several columns, so say which one as {{ trace = {{ file = .., column = .. }} }}")]
    Columns,
    /// A row is shorter than the heading.
    #[error("ends in row {row} before the column")]
    Short {
        /// Which, from 1, the heading counted.
        row: usize,
    },
    /// A row does not say a time.
    #[error("has {found:?} in row {row} where a number of seconds from 0 to a century should be")]
    Row {
        /// Which, from 1, the heading counted.
        row: usize,
        /// What is there.
        found: String,
    },
}

impl Trace {
    /// Reads seconds from the column of `text` whose heading is `column`, or from its only one, which needs no heading.
    /// Empty rows and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// If there are no numbers, or something else is among them.
    pub fn read(text: &str, column: Option<&str>) -> Result<Self, BadTrace> {
        let mut rows = text
            .lines()
            .enumerate()
            .map(|(at, row)| (at + 1, row.trim()))
            .filter(|(_, row)| !row.is_empty() && !row.starts_with('#'))
            .peekable();
        let (_, first) = *rows.peek().ok_or(BadTrace::Empty)?;
        let cell = match column {
            Some(column) => cells(first)
                .position(|heading| heading == column)
                .ok_or_else(|| BadTrace::NoColumn {
                    column: column.to_owned(),
                })?,
            None if cells(first).count() > 1 => return Err(BadTrace::Columns),
            None => 0,
        };
        if column.is_some() || seconds(first).is_none() && first.contains(char::is_alphabetic) {
            rows.next();
        }
        let values = rows
            .map(|(row, cells_of_row)| value(row, cells_of_row, cell))
            .collect::<Result<Arc<[Span]>, BadTrace>>()?;
        let sum: u128 = values.iter().map(|value| u128::from(value.0)).sum();
        let mean = sum
            .checked_div(values.len() as u128)
            .ok_or(BadTrace::Empty)?;
        Ok(Self {
            values,
            // No mean is above the greatest value.
            mean: Span(mean as u64),
        })
    }

    /// The values, in the order of the rows; at least one.
    pub fn values(&self) -> &[Span] {
        &self.values
    }

    /// Their mean.
    pub fn mean(&self) -> Span {
        self.mean
    }
}

fn value(row: usize, text: &str, cell: usize) -> Result<Span, BadTrace> {
    let found = cells(text).nth(cell).ok_or(BadTrace::Short { row })?;
    seconds(found).ok_or_else(|| BadTrace::Row {
        row,
        found: found.to_owned(),
    })
}

fn cells(row: &str) -> impl Iterator<Item = &str> {
    row.split(',').map(|cell| cell.trim().trim_matches('"'))
}

fn seconds(text: &str) -> Option<Span> {
    let seconds: f64 = text.parse().ok()?;
    (0.0..=SECONDS_MAX)
        .contains(&seconds)
        .then(|| Span((seconds * 1e6).round() as u64))
}

/// A century.
const SECONDS_MAX: f64 = 36_500.0 * 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_column_needs_no_heading_and_may_have_one() {
        for text in [
            "1\n2.5\n",
            "# measured in May\nseconds\n1\n\n2.5",
            "1\r\n2.5\r\n",
        ] {
            let trace = Trace::read(text, None).unwrap();
            assert_eq!(
                trace.values(),
                [Span::secs(1), Span::millis(2_500)],
                "{text:?}"
            );
            assert_eq!(trace.mean(), Span::millis(1_750));
        }
    }

    #[test]
    fn one_of_several_columns_is_chosen_by_its_heading() {
        let text = "job, \"runtime\", state\n1, 60, done\n2, 120, done\n";
        let trace = Trace::read(text, Some("runtime")).unwrap();
        assert_eq!(trace.values(), [Span::secs(60), Span::secs(120)]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_row() {
        let said = |text, column| Trace::read(text, column).unwrap_err().to_string();
        assert_eq!(said("", None), "has no rows of numbers");
        assert_eq!(said("seconds\n", None), "has no rows of numbers");
        assert_eq!(
            said("1\n-2\n", None),
            "has \"-2\" in row 2 where a number of seconds from 0 to a century should be"
        );
        assert_eq!(
            said("a,b\n1,2\n3\n", Some("b")),
            "ends in row 3 before the column"
        );
        assert_eq!(
            said("a,b\n1,2\n", None),
            "has several columns, so say which one as { trace = { file = .., column = .. } }"
        );
        assert_eq!(
            said("a,b\n1,2\n", Some("c")),
            "has no column `c` in its first row"
        );
        for nonsense in ["nan", "inf", "1e99", "?"] {
            assert!(
                Trace::read(&format!("1\n{nonsense}\n"), None).is_err(),
                "{nonsense}"
            );
        }
    }
}
