//! Where arguments come from, and which of them a task gets.

use std::io;

use super::csv;

/// One list of arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// As they were given.
    Listed {
        /// What a hole may call it.
        name: Option<String>,
        /// The arguments.
        values: Vec<String>,
    },
    /// `count` numbers from `first` in steps of `step`.
    Numbers {
        /// The first.
        first: u64,
        /// From one to the next.
        step: u64,
        /// How many.
        count: u64,
    },
}

/// Lists that advance together; the shortest says how far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// At least one.
    pub columns: Vec<Column>,
}

/// Groups of lists; a task for every combination of one row of each, the last group turning fastest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    groups: Vec<Group>,
}

/// The arguments of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Counted from 1.
    pub number: u64,
    /// One of each list.
    pub values: Vec<String>,
}

/// Why arguments cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BadSources {
    /// There is no command before the first `:::`.
    #[error(
        "there is no command: write it after --, as in: muster run -- convert {{}} {{.}}.png ::: *.jpg"
    )]
    NoCommand,
    /// `:::+` or `::::+` is not after anything.
    #[error("{0} links its arguments to those of a ::: before it, and there is none")]
    Unlinked(&'static str),
    /// A file of arguments cannot be read.
    #[error("cannot read arguments from {file}: {source}")]
    File {
        /// Which.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A table has no header, or a quote in it is never closed.
    #[error("{file} is no table: its first line names the columns, and every quote is closed")]
    NoTable {
        /// Which.
        file: String,
    },
    /// A row of a table is not as wide as its header.
    #[error("row {row} of {file} has {found} fields; its header has {wanted}")]
    Ragged {
        /// Which file.
        file: String,
        /// Which row, the header being 1.
        row: usize,
        /// How many fields it has.
        found: usize,
        /// How many it should have.
        wanted: usize,
    },
    /// A text is no range of numbers.
    #[error("{0:?} is no array: write FIRST-LAST or FIRST-LAST:STEP, such as 1-1000")]
    NoArray(String),
    /// There are more combinations than can be counted.
    #[error("that is more tasks than can be counted")]
    TooMany,
}

impl Column {
    fn len(&self) -> u64 {
        match self {
            Column::Listed { values, .. } => values.len() as u64,
            Column::Numbers { count, .. } => *count,
        }
    }

    fn get(&self, at: u64) -> Option<String> {
        match self {
            Column::Listed { values, .. } => values.get(usize::try_from(at).ok()?).cloned(),
            Column::Numbers { first, step, .. } => Some((first + step * at).to_string()),
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Column::Listed { name, .. } => name.as_deref(),
            Column::Numbers { .. } => None,
        }
    }

    /// Reads `1-1000` or `0-100:5`.
    ///
    /// # Errors
    /// It is neither, or empty.
    pub fn array(text: &str) -> Result<Column, BadSources> {
        let wrong = || BadSources::NoArray(text.to_owned());
        let (range, step) = text.split_once(':').unwrap_or((text, "1"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        let (first, last, step) = (number(first)?, number(last)?, number(step)?);
        // The last number is computed from the first when it is wanted; it must not wrap.
        if first > last || step == 0 || last == u64::MAX {
            return Err(wrong());
        }
        let count = (last - first) / step + 1;
        Ok(Column::Numbers { first, step, count })
    }

    /// A list without a name.
    pub fn listed(values: Vec<String>) -> Column {
        Column::Listed { name: None, values }
    }
}

impl Group {
    /// The columns of a table, named by its first line.
    ///
    /// # Errors
    /// `text` is no table, or a row is not as wide as the first.
    pub fn table(file: &str, text: &str) -> Result<Group, BadSources> {
        let no_table = || BadSources::NoTable {
            file: file.to_owned(),
        };
        let mut rows = csv::rows(text).ok_or_else(no_table)?.into_iter();
        let header = rows.next().ok_or_else(no_table)?;
        let mut columns: Vec<Vec<String>> = vec![Vec::new(); header.len()];
        for (at, row) in rows.enumerate() {
            if row.len() != header.len() {
                return Err(BadSources::Ragged {
                    file: file.to_owned(),
                    row: at + 2,
                    found: row.len(),
                    wanted: header.len(),
                });
            }
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let named = header.into_iter().zip(columns);
        let columns = named
            .map(|(name, values)| Column::Listed {
                name: Some(name.trim().to_owned()),
                values,
            })
            .collect();
        Ok(Group { columns })
    }

    fn len(&self) -> u64 {
        self.columns.iter().map(Column::len).min().unwrap_or(0)
    }
}

impl From<Column> for Group {
    fn from(column: Column) -> Group {
        Group {
            columns: vec![column],
        }
    }
}

impl Sources {
    /// Every combination of one row of each group.
    ///
    /// # Errors
    /// There are more of them than can be counted.
    pub fn new(groups: Vec<Group>) -> Result<Sources, BadSources> {
        groups
            .iter()
            .try_fold(1_u64, |product, group| product.checked_mul(group.len()))
            .ok_or(BadSources::TooMany)?;
        Ok(Sources { groups })
    }

    /// Whether there is no source at all: the command runs once.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many tasks there are; one if there is no source at all.
    pub fn len(&self) -> u64 {
        self.groups.iter().map(Group::len).product()
    }

    /// How many arguments a task gets.
    pub fn width(&self) -> usize {
        self.columns().count()
    }

    /// The arguments of the task at `at`, counted from 0; `None` past the end.
    pub fn row(&self, at: u64) -> Option<Row> {
        if at >= self.len() {
            return None;
        }
        let mut left = at;
        let mut values = Vec::with_capacity(self.width());
        for group in self.groups.iter().rev() {
            let row = left % group.len();
            left /= group.len();
            for column in group.columns.iter().rev() {
                values.push(column.get(row)?);
            }
        }
        values.reverse();
        Some(Row {
            number: at + 1,
            values,
        })
    }

    /// The argument, counted from 0, that is called `name`.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.columns()
            .position(|column| column.name().is_some_and(|called| called == name))
    }

    fn columns(&self) -> impl Iterator<Item = &Column> {
        self.groups.iter().flat_map(|group| &group.columns)
    }
}

/// Parts a command line at its `:::` and kin into the command and its sources; `read` reads a file, `-` being
/// standard input.
///
/// # Errors
/// There is no command, nothing to link to, or a file cannot be read.
pub fn split(
    line: &[String],
    read: &mut dyn FnMut(&str) -> io::Result<String>,
) -> Result<(Vec<String>, Vec<Group>), BadSources> {
    let mark = |word: &String| Mark::of(word);
    let end = line.iter().position(|word| mark(word).is_some());
    let (command, mut rest) = line.split_at(end.unwrap_or(line.len()));
    if command.is_empty() {
        return Err(BadSources::NoCommand);
    }
    let mut groups: Vec<Group> = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        let Some(mark) = mark(first) else { break };
        let end = after.iter().position(|word| Mark::of(word).is_some());
        let (values, next) = after.split_at(end.unwrap_or(after.len()));
        rest = next;
        let columns = match mark.from {
            Origin::Line => vec![Column::listed(values.to_vec())],
            Origin::Files => values
                .iter()
                .map(|file| lines(file, read))
                .collect::<Result<_, _>>()?,
        };
        match mark.link {
            Link::Cross => groups.extend(columns.into_iter().map(Group::from)),
            Link::Zip => groups
                .last_mut()
                .ok_or(BadSources::Unlinked(mark.text))?
                .columns
                .extend(columns),
        }
    }
    Ok((command.to_vec(), groups))
}

/// The lines of `file`, an argument each.
fn lines(
    file: &str,
    read: &mut dyn FnMut(&str) -> io::Result<String>,
) -> Result<Column, BadSources> {
    let text = read(file).map_err(|source| BadSources::File {
        file: file.to_owned(),
        source,
    })?;
    Ok(Column::listed(text.lines().map(str::to_owned).collect()))
}

/// A word that begins a source.
#[derive(Clone, Copy)]
struct Mark {
    text: &'static str,
    from: Origin,
    link: Link,
}

#[derive(Clone, Copy)]
enum Origin {
    Line,
    Files,
}

#[derive(Clone, Copy)]
enum Link {
    Cross,
    Zip,
}

impl Mark {
    const ALL: [Mark; 4] = [
        Mark {
            text: ":::",
            from: Origin::Line,
            link: Link::Cross,
        },
        Mark {
            text: ":::+",
            from: Origin::Line,
            link: Link::Zip,
        },
        Mark {
            text: "::::",
            from: Origin::Files,
            link: Link::Cross,
        },
        Mark {
            text: "::::+",
            from: Origin::Files,
            link: Link::Zip,
        },
    ];

    fn of(word: &str) -> Option<Mark> {
        Mark::ALL.into_iter().find(|mark| mark.text == word)
    }
}
