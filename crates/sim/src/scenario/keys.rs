//! One table of a scenario, asked for its keys.
//!
//! Whoever reads a table asks for each key that it may have, by the kind of its value and within its bounds. So what is
//! known is what was asked for: [`Keys::done`] refuses all else and names the nearest. A change (`--set`) answers in
//! place of the file, wherever its key is asked for.

use std::ops::RangeInclusive;
use std::str::FromStr;

use muster_proto::Span;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::changes::Changes;
use super::check::{Reference, Wanted};
use super::nearest::{advice, is_near};
use super::parse::{BadScenario, Place, Reader};
use super::{Bytes, Dist, Duration, Rate, Trace};
use super::{SHAPE_MAX, SHAPE_MIN, SPREAD_MAX};

/// A table with what is needed to answer for it.
#[derive(Debug)]
pub(super) struct Keys<'r, 'd> {
    reader: &'r mut Reader<'d>,
    table: Option<&'d DeTable<'d>>,
    place: Place<'d>,
    /// As it is called in sentences.
    title: String,
    /// As it is called in changes; empty for the scenario itself.
    path: String,
    /// Whether a change without a dot reaches it.
    reach: Reach,
    asked: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Bare,
    Dotted,
}

/// A value and where it was found.
#[derive(Clone, Copy, Debug)]
struct Found<'d> {
    value: &'d DeValue<'d>,
    place: Place<'d>,
}

impl<'r, 'd> Keys<'r, 'd> {
    /// The scenario itself.
    pub fn root(reader: &'r mut Reader<'d>, table: &'d DeTable<'d>) -> Self {
        Self {
            reader,
            table: Some(table),
            place: Place::Whole,
            title: "the scenario".to_owned(),
            path: String::new(),
            reach: Reach::Bare,
            asked: Vec::new(),
        }
    }

    /// What `get` finds under `key`.
    ///
    /// # Errors
    /// If it finds nothing.
    pub fn must<T>(
        &mut self,
        key: &'static str,
        get: impl FnOnce(&mut Self, &'static str) -> Result<Option<T>, BadScenario>,
    ) -> Result<T, BadScenario> {
        match get(self, key)? {
            Some(value) => Ok(value),
            None => Err(self.missing(key, &format!("lacks the key `{key}`"))),
        }
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Result<Option<String>, BadScenario> {
        self.get(key, |value| match value.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(format!("must be a text in quotes, not {}", shown(value))),
        })
    }

    /// A name as processes and sites have, short enough to be part of a worker's.
    pub fn name(&mut self, key: &'static str) -> Result<Option<String>, BadScenario> {
        self.get(key, |value| match value.as_str() {
            Some(name) if is_name(name) => Ok(name.to_owned()),
            _ => Err(format!(
                "must be a name of 1 to {NAME_BYTES_MAX} letters, digits, dots, dashes and underscores, no dot or dash in \
                 front, not {}",
                shown(value)
            )),
        })
    }

    /// The name of something that must be in the scenario.
    pub fn reference(
        &mut self,
        key: &'static str,
        wanted: Wanted,
    ) -> Result<Option<String>, BadScenario> {
        let Some(found) = self.find(key, self.reach) else {
            return Ok(None);
        };
        let Some(name) = found.value.as_str() else {
            let complaint = format!("must be a name in quotes, not {}", shown(found.value));
            return Err(self.bad(found.place, key, &complaint));
        };
        self.reader.references.push(Reference {
            place: found.place,
            text: format!("`{key}` of {}", self.title),
            wanted,
            name: name.to_owned(),
        });
        Ok(Some(name.to_owned()))
    }

    /// A number without a point.
    pub fn whole(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<i64>,
    ) -> Result<Option<i64>, BadScenario> {
        self.get(key, |value| {
            whole(value).filter(|n| bounds.contains(n)).ok_or_else(|| {
                let (least, most) = (bounds.start(), bounds.end());
                format!(
                    "must be a whole number from {least} to {most}, not {}",
                    shown(value)
                )
            })
        })
    }

    /// The same, as a count of 32 bits.
    pub fn count(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<u32>,
    ) -> Result<Option<u32>, BadScenario> {
        let bounds = i64::from(*bounds.start())..=i64::from(*bounds.end());
        let count = self.whole(key, bounds)?;
        Ok(count.and_then(|count| u32::try_from(count).ok()))
    }

    /// A number.
    pub fn number(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<f64>,
    ) -> Result<Option<f64>, BadScenario> {
        self.get(key, |value| {
            number(value).filter(|n| bounds.contains(n)).ok_or_else(|| {
                let (least, most) = (bounds.start(), bounds.end());
                format!(
                    "must be a number from {least} to {most}, not {}",
                    shown(value)
                )
            })
        })
    }

    /// A length of time.
    pub fn duration(&mut self, key: &'static str) -> Result<Option<Duration>, BadScenario> {
        self.get(key, |value| quantity(value, Duration::WANTED))
    }

    /// A length of time that is not zero.
    pub fn lasting(&mut self, key: &'static str) -> Result<Option<Duration>, BadScenario> {
        self.get(key, |value| match quantity(value, Duration::WANTED)? {
            none if none == Duration::default() => {
                Err(format!("must be longer than 0, and is {}", shown(value)))
            }
            some => Ok(some),
        })
    }

    /// A distribution whose mean is not zero: what waits for it must get on.
    pub fn lasting_dist(&mut self, key: &'static str) -> Result<Option<Dist>, BadScenario> {
        let place = self.place_of(key);
        match self.dist(key)? {
            Some(none) if none.mean() < MEAN_MIN => {
                Err(self.bad(place, key, "must be 1ms or longer on average"))
            }
            other => Ok(other),
        }
    }

    /// A number of bytes.
    pub fn bytes(&mut self, key: &'static str) -> Result<Option<Bytes>, BadScenario> {
        self.get(key, bytes)
    }

    /// Lengths of files, of which none is empty.
    pub fn lengths(&mut self, key: &'static str) -> Result<Option<Vec<Bytes>>, BadScenario> {
        self.get(key, |value| {
            let files = value
                .as_array()
                .filter(|files| files.len() < muster_proto::limits::FILES_PER_TASK_MAX)
                .ok_or_else(|| {
                    format!(
                        "must be a list such as [\"64MiB\", \"2KiB\"], not {}",
                        shown(value)
                    )
                })?;
            files
                .iter()
                .map(|file| match bytes(file.get_ref())? {
                    Bytes(0) => Err("must hold lengths above 0".to_owned()),
                    length => Ok(length),
                })
                .collect()
        })
    }

    /// Bytes per second.
    pub fn rate(&mut self, key: &'static str) -> Result<Option<Rate>, BadScenario> {
        self.get(key, |value| quantity(value, Rate::WANTED))
    }

    /// One of a few words.
    pub fn one_of<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(T, &'static str)],
    ) -> Result<Option<T>, BadScenario> {
        self.get(key, |value| {
            let chosen = choices
                .iter()
                .find(|(_, name)| value.as_str() == Some(name));
            chosen.map(|(choice, _)| *choice).ok_or_else(|| {
                let names: Vec<&str> = choices.iter().map(|(_, name)| *name).collect();
                format!("must be one of {}, not {}", names.join(", "), shown(value))
            })
        })
    }

    /// A distribution of times.
    pub fn dist(&mut self, key: &'static str) -> Result<Option<Dist>, BadScenario> {
        let Some(found) = self.find(key, self.reach) else {
            return Ok(None);
        };
        let DeValue::Table(table) = found.value else {
            let fixed = quantity(
                found.value,
                "a length of time such as \"90s\" or a distribution",
            );
            return fixed
                .map(|always| Some(Dist::Fixed(always)))
                .map_err(|complaint| self.bad(found.place, key, &complaint));
        };
        let mut entries = table.iter();
        let (Some((kind, parameters)), None) = (entries.next(), entries.next()) else {
            let complaint = format!("must name one distribution, of {}", DISTS.join(", "));
            return Err(self.bad(found.place, key, &complaint));
        };
        let place = self.reader.place_in(found.place, kind.span());
        let Some(kind) = DISTS.into_iter().find(|known| known == kind.get_ref()) else {
            let advice = advice(kind.get_ref(), DISTS.into_iter());
            let complaint = format!("knows no distribution `{}`; {advice}", kind.get_ref());
            return Err(self.bad(place, key, &complaint));
        };
        let inner = Found {
            value: parameters.get_ref(),
            place,
        };
        if kind == "trace" && inner.value.is_str() {
            let file = inner.value.as_str().unwrap_or_default();
            return self.trace(key, place, file, None).map(Some);
        }
        self.below(key, kind, inner)?.chance(kind).map(Some)
    }

    /// A distribution's parameters, to be done with.
    fn below(
        &mut self,
        key: &'static str,
        kind: &'static str,
        found: Found<'d>,
    ) -> Result<Keys<'_, 'd>, BadScenario> {
        let DeValue::Table(table) = found.value else {
            let complaint = format!(
                "must have the parameters of `{kind}` in braces, not {}",
                shown(found.value)
            );
            return Err(self.bad(found.place, key, &complaint));
        };
        Ok(Keys {
            title: format!("the {kind} `{key}` of {}", self.title),
            path: join(&join(&self.path, key), kind),
            reader: self.reader,
            table: Some(table),
            place: found.place,
            reach: Reach::Dotted,
            asked: Vec::new(),
        })
    }

    /// The distribution of this kind whose parameters these are.
    fn chance(mut self, kind: &'static str) -> Result<Dist, BadScenario> {
        let dist = match kind {
            "uniform" => {
                let low = self.must("low", Self::duration)?;
                let high = self.must("high", Self::lasting)?;
                if low > high {
                    return Err(self.bad(self.place, "low", "must not be above `high`"));
                }
                Dist::Uniform { low, high }
            }
            "exponential" => Dist::Exponential {
                mean: self.must("mean", Self::lasting)?,
            },
            "weibull" => Dist::Weibull {
                mean: self.must("mean", Self::lasting)?,
                shape: self.must("shape", |keys, key| keys.number(key, SHAPE_MIN..=SHAPE_MAX))?,
            },
            "gamma" | "lognormal" => {
                let mean = self.must("mean", Self::lasting)?;
                let sd = self.must("sd", Self::duration)?;
                if sd.0.as_secs_f64() > SPREAD_MAX * mean.0.as_secs_f64() {
                    let complaint = format!("must be at most {SPREAD_MAX} times `mean`");
                    return Err(self.bad(self.place, "sd", &complaint));
                }
                match kind {
                    "gamma" => Dist::Gamma { mean, sd },
                    _ => Dist::Lognormal { mean, sd },
                }
            }
            _ => {
                let file = self.must("file", Self::text)?;
                let column = self.must("column", Self::text)?;
                let place = self.place;
                self.trace("file", place, &file, Some(column))?
            }
        };
        self.done().map(|()| dist)
    }

    /// The distribution that is in a file.
    fn trace(
        &mut self,
        key: &'static str,
        place: Place<'d>,
        file: &str,
        column: Option<String>,
    ) -> Result<Dist, BadScenario> {
        let read = self.reader.file(file);
        let trace = match &read {
            Ok(text) => Trace::read(text, column.as_deref()).map_err(|why| why.to_string()),
            Err(why) => Err(format!("cannot be read: {why}")),
        };
        trace.map(Dist::Trace).map_err(|why| {
            self.bad(
                place,
                key,
                &format!("wants the trace `{file}`, which {why}"),
            )
        })
    }

    /// The table under `key`, empty if there is none.
    pub fn table(&mut self, key: &'static str) -> Result<Keys<'_, 'd>, BadScenario> {
        let found = self.find(key, Reach::Dotted);
        let (table, place) = match found.map(|found| (found.value, found.place)) {
            None => (None, self.place),
            Some((DeValue::Table(table), place)) => (Some(table), place),
            Some((other, place)) => {
                let complaint = format!("must be a table, not {}", shown(other));
                return Err(self.bad(place, key, &complaint));
            }
        };
        Ok(Keys {
            title: match self.path.is_empty() {
                true => format!("[{key}]"),
                false => format!("`{key}` of {}", self.title),
            },
            path: join(&self.path, key),
            reader: self.reader,
            table,
            place,
            reach: Reach::Bare,
            asked: Vec::new(),
        })
    }

    /// Whether anything is said about the table under `key`, in the file or by a change.
    pub fn has(&mut self, key: &'static str) -> bool {
        let path = join(&self.path, key);
        self.find(key, Reach::Dotted).is_some() || self.reader.changes.reach_into(&path)
    }

    /// What `read` makes of each of the tables `[[key]]`, which changes call by their `label`.
    pub fn each<T>(
        &mut self,
        key: &'static str,
        label: &'static str,
        mut read: impl FnMut(Keys<'_, 'd>) -> Result<T, BadScenario>,
    ) -> Result<Vec<T>, BadScenario> {
        self.asked.push(key);
        let Some((place, value)) = self.written(key) else {
            return Ok(Vec::new());
        };
        let entries = value.as_array().map(|entries| entries.iter());
        let wrong = format!("must be written as [[{key}]], once for each");
        let mut all = Vec::new();
        for entry in entries.ok_or_else(|| self.bad(place, key, &wrong))? {
            let DeValue::Table(table) = entry.get_ref() else {
                return Err(self.bad(place, key, &wrong));
            };
            let name = table.get(label).and_then(|name| name.get_ref().as_str());
            let place = self.reader.place_in(place, entry.span());
            self.reader.entries.push((key, place));
            all.push(read(Keys {
                title: name.map_or_else(|| format!("[[{key}]]"), |name| format!("{key} `{name}`")),
                path: join(key, name.unwrap_or_default()),
                reader: self.reader,
                table: Some(table),
                place,
                reach: Reach::Bare,
                asked: Vec::new(),
            })?);
        }
        Ok(all)
    }

    /// Those of the `known` keys that have a number, with their numbers.
    pub fn numbers(&mut self, known: &[&'static str]) -> Result<Vec<(String, f64)>, BadScenario> {
        let mut all = Vec::new();
        for key in known {
            if let Some(number) = self.number(key, 0.0..=CLAIM_MAX)? {
                all.push(((*key).to_owned(), number));
            }
        }
        Ok(all)
    }

    /// Refuses keys that nobody asked for.
    pub fn done(self) -> Result<(), BadScenario> {
        self.refuse_unknown()
    }

    /// Refuses keys that nobody asked for so far.
    pub fn refuse_unknown(&self) -> Result<(), BadScenario> {
        match self.unknown().next() {
            None => Ok(()),
            Some(key) => Err(self.unknown_key(key)),
        }
    }

    fn complain(&self, complaint: &str) -> BadScenario {
        self.place.bad(format!("{} {complaint}", self.title))
    }

    /// Says that none of the tables `[[key]]` is there.
    pub fn lacking_list(&self, key: &'static str) -> BadScenario {
        self.missing(key, &format!("wants at least one [[{key}]]"))
    }

    /// Passes over a key that others read.
    pub fn ignore(&mut self, key: &'static str) {
        self.asked.push(key);
    }

    fn get<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Result<Option<T>, BadScenario> {
        match self.find(key, self.reach) {
            None => Ok(None),
            Some(found) => read(found.value)
                .map(Some)
                .map_err(|complaint| self.bad(found.place, key, &complaint)),
        }
    }

    /// What a change says, or else the file.
    fn find(&mut self, key: &'static str, reach: Reach) -> Option<Found<'d>> {
        self.asked.push(key);
        let bare = (reach == Reach::Bare).then_some(key);
        match self.reader.changes.find(&join(&self.path, key), bare) {
            Some((text, value)) => Some(Found {
                value,
                place: Place::Change(text),
            })
            .filter(|found| found.value.as_str() != Some(Changes::NONE)),
            None => self
                .written(key)
                .map(|(place, value)| Found { value, place }),
        }
    }

    fn place_of(&mut self, key: &'static str) -> Place<'d> {
        self.find(key, self.reach)
            .map_or(self.place, |found| found.place)
    }

    fn written(&self, key: &str) -> Option<(Place<'d>, &'d DeValue<'d>)> {
        let value = self.table?.get(key)?;
        Some((
            self.reader.place_in(self.place, value.span()),
            value.get_ref(),
        ))
    }

    fn unknown(&self) -> impl Iterator<Item = &'d Spanned<DeString<'d>>> {
        let keys = self.table.map(|table| table.keys());
        keys.into_iter()
            .flatten()
            .filter(|key| !self.asked.contains(&key.get_ref().as_ref()))
    }

    /// Says that `key` is missing, or what was written in its place.
    fn missing(&self, key: &'static str, complaint: &str) -> BadScenario {
        let slip = self.unknown().find(|found| is_near(found.get_ref(), key));
        match slip {
            Some(slip) => self.unknown_key(slip),
            None => self.complain(complaint),
        }
    }

    fn unknown_key(&self, key: &Spanned<DeString<'_>>) -> BadScenario {
        let advice = advice(key.get_ref(), self.asked.iter().copied());
        self.reader.place_in(self.place, key.span()).bad(format!(
            "{} has no key `{}`; {advice}",
            self.title,
            key.get_ref()
        ))
    }

    fn bad(&self, place: Place<'_>, key: &str, complaint: &str) -> BadScenario {
        place.bad(format!("`{key}` of {} {complaint}", self.title))
    }
}

fn join(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

fn is_name(name: &str) -> bool {
    muster_proto::peer::is_name(name) && name.len() <= NAME_BYTES_MAX && name != Changes::NONE
}

fn quantity<T: FromStr>(value: &DeValue<'_>, wanted: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    match value.as_str() {
        Some(text) => text.parse().map_err(|why: T::Err| why.to_string()),
        None => Err(format!("must be {wanted}, not {}", shown(value))),
    }
}

fn bytes(value: &DeValue<'_>) -> Result<Bytes, String> {
    match whole(value) {
        Some(plain) => plain
            .to_string()
            .parse()
            .map_err(|why: super::BadQuantity| why.to_string()),
        None => quantity(value, Bytes::WANTED),
    }
}

fn whole(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    let float = value
        .as_float()
        .and_then(|float| float.as_str().parse().ok());
    float.or_else(|| whole(value).map(|whole| whole as f64))
}

/// A value as sentences show it.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Float(float) => float.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// The distributions that are not written as a plain length of time.
const DISTS: [&str; 6] = [
    "uniform",
    "exponential",
    "weibull",
    "gamma",
    "lognormal",
    "trace",
];
/// Short enough for anything that happens to hosts, long enough for a world to get on.
const MEAN_MIN: Span = Span::millis(1);
/// Above every figure of a report, and below where numbers lose their units.
const CLAIM_MAX: f64 = 1e15;
/// Two of them, with their numbers and dashes between, make a worker's name, as in `campus12-condor-345678`.
const NAME_BYTES_MAX: usize = 24;
/// The digits of the greatest count of sites and of workers in a pool.
const DIGITS_MAX: usize = 5 + 8;
const _: () = assert!(2 * NAME_BYTES_MAX + DIGITS_MAX + 2 <= muster_proto::limits::NAME_BYTES_MAX);
