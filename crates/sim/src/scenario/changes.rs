//! Changes to a scenario: `--set key=value`, sweeps over several values, and the variants that a scenario brings.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::nearest::nearest_few;
use super::parse::{BadScenario, Place, line_of};

/// Changes, each of which must reach something.
#[derive(Debug)]
pub(super) struct Changes<'d> {
    all: &'d [Change<'d>],
    used: Vec<bool>,
    /// Every key that could have been changed, with and without its path.
    settable: BTreeSet<String>,
}

/// One change.
#[derive(Debug)]
pub(super) struct Change<'d> {
    key: &'d str,
    /// As it is shown in sentences.
    text: String,
    value: DeValue<'d>,
}

impl<'d> Change<'d> {
    /// A key and the text of its value, which need not be TOML.
    pub fn new((key, value): &'d (String, String)) -> Self {
        Self {
            key: key.trim(),
            text: format!("{key}={value}"),
            value: DeValue::parse(value.trim()).map_or_else(
                |_| DeValue::String(value.trim().into()),
                |value| value.into_inner(),
            ),
        }
    }
}

impl<'d> Changes<'d> {
    /// The value that takes a key away.
    pub const NONE: &'static str = "none";

    /// These changes, none of which reached anything yet.
    pub fn new(all: &'d [Change<'d>]) -> Self {
        Self {
            all,
            used: vec![false; all.len()],
            settable: BTreeSet::new(),
        }
    }

    /// What the last change for `path`, or for the `bare` key in any table, says, with its text.
    pub fn find(&mut self, path: &str, bare: Option<&str>) -> Option<(&'d str, &'d DeValue<'d>)> {
        self.settable.insert(path.to_owned());
        self.settable.extend(bare.map(str::to_owned));
        let mut last = None;
        for (change, used) in self.all.iter().zip(&mut self.used) {
            if change.key == path || Some(change.key) == bare {
                *used = true;
                last = Some((change.text.as_str(), &change.value));
            }
        }
        last
    }

    /// Whether any change is for a key below `path`.
    pub fn reach_into(&self, path: &str) -> bool {
        self.all.iter().any(|change| {
            let rest = change.key.strip_prefix(path);
            rest.is_some_and(|rest| rest.starts_with('.'))
        })
    }

    /// Refuses changes that reached nothing.
    pub fn done(&self) -> Result<(), BadScenario> {
        let lost = self.all.iter().zip(&self.used).find(|(_, used)| !**used);
        let Some((change, _)) = lost else {
            return Ok(());
        };
        let is_path = change.key.contains('.');
        let alike = self.settable.iter().map(String::as_str);
        let few = nearest_few(change.key, alike.filter(|key| key.contains('.') == is_path));
        Err(Place::Change(&change.text).bad(format!(
            "the scenario has no key `{}` to set; the nearest are {few}",
            change.key
        )))
    }
}

/// The runs that `specs`, each `key=value` or `key=one,another`, ask for: every value of one with every value of the
/// others, the last key changing fastest. Commas within quotes, brackets and braces do not separate.
///
/// # Errors
/// A sentence on a spec that has no key or no value, or on more than [`RUNS_MAX`] runs.
pub fn sweep(specs: &[String]) -> Result<Vec<Vec<(String, String)>>, BadScenario> {
    let mut runs: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for spec in specs {
        let bad = |what: &str| Place::Whole.bad(format!("the change `{spec}` {what}"));
        let (key, values) = spec
            .split_once('=')
            .ok_or_else(|| bad("must be written as key=value"))?;
        let (key, values) = (key.trim(), apart(values));
        if key.is_empty() || values.iter().any(String::is_empty) {
            return Err(bad("lacks a key or a value"));
        }
        if runs.len() * values.len() > RUNS_MAX {
            return Err(bad("makes more than 1000 runs"));
        }
        runs = runs
            .iter()
            .flat_map(|run| {
                values.iter().map(|value| {
                    let change = (key.to_owned(), value.clone());
                    run.iter().cloned().chain([change]).collect()
                })
            })
            .collect();
    }
    Ok(runs)
}

/// What commas separate, those within quotes, brackets and braces excepted.
fn apart(values: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let (mut depth, mut quote) = (0_i32, None);
    for letter in values.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '"' | '\'') => quote = Some(letter),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            _ => {}
        }
        match (letter, quote, depth) {
            (',', None, 0) => all.push(String::new()),
            _ => all
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|value| value.push(letter)),
        }
    }
    for value in &mut all {
        *value = value.trim().to_owned();
    }
    all
}

/// A name with its changes.
pub type Variant = (String, Vec<(String, String)>);

/// The variants in a scenario's `[variants.NAME]`, in the order of the file.
pub(super) fn variants(text: &str) -> Result<Vec<Variant>, BadScenario> {
    let document = DeTable::parse(text).map_err(|error| BadScenario::syntax(text, &error))?;
    let Some(entry) = document.get_ref().get("variants") else {
        return Ok(Vec::new());
    };
    let wrong = |at: usize| BadScenario {
        line: Some(line_of(text, at)),
        what: "variants are written as [variants.NAME] with a line `key = value` for each change"
            .to_owned(),
    };
    let table = entry.get_ref().as_table();
    let mut all = Vec::new();
    for (name, changes) in table.ok_or_else(|| wrong(entry.span().start))? {
        let table = changes.get_ref().as_table();
        let table = table.ok_or_else(|| wrong(changes.span().start))?;
        let at = name.span().start;
        all.push((at, (name.get_ref().to_string(), flat(text, table))));
    }
    all.sort_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, variant)| variant).collect())
}

/// Dotted keys and their values as written.
fn flat(text: &str, table: &DeTable<'_>) -> Vec<(String, String)> {
    let mut flat = Vec::new();
    let mut open: Vec<(String, &DeTable<'_>)> = vec![(String::new(), table)];
    while let Some((path, table)) = open.pop() {
        for (key, value) in table {
            let path = format!("{path}{}", key.get_ref());
            let raw = text.get(value.span()).unwrap_or_default();
            match value.get_ref().as_table() {
                Some(inner) if !raw.starts_with('{') => open.push((format!("{path}."), inner)),
                _ => flat.push((value.span().start, (path, raw.to_owned()))),
            }
        }
    }
    flat.sort_by_key(|(at, _)| *at);
    flat.into_iter().map(|(_, change)| change).collect()
}

/// The most runs that a sweep makes: at a second each, a quarter of an hour.
pub const RUNS_MAX: usize = 1_000;
