//! Quantities with their units: `"188min"`, `"64MiB"`, `"1Gbit/s"`.

use std::str::FromStr;

use muster_proto::Span;

/// A length of time, at most a century.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub Span);

/// A number of bytes, at most an exbibyte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// Bytes per second, at least one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

/// Why a text is no quantity; completes the sentence that begins with the quantity's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuantity {
    /// It does not begin with a number.
    #[error("must be {wanted}, not {found:?}")]
    NoNumber {
        /// What it should look like.
        wanted: &'static str,
        /// What was there.
        found: String,
    },
    /// It is below zero.
    #[error("must not be negative, and is {found:?}")]
    Negative {
        /// What was there.
        found: String,
    },
    /// Its unit is none of those for this quantity.
    #[error("is {found:?}, whose unit {unit:?} is not among {}", units.join(", "))]
    Unit {
        /// What was there.
        found: String,
        /// Its unit.
        unit: String,
        /// Those that are known.
        units: Vec<&'static str>,
    },
    /// It has no unit.
    #[error("is {found:?} and lacks a unit, one of {}", units.join(", "))]
    NoUnit {
        /// What was there.
        found: String,
        /// Those that are known.
        units: Vec<&'static str>,
    },
    /// It is less than can be counted.
    #[error("must be at least {least}, and is {found:?}")]
    TooSmall {
        /// The least.
        least: &'static str,
        /// What was there.
        found: String,
    },
    /// It is more than a world can bear.
    #[error("must be at most {most}, and is {found:?}")]
    TooGreat {
        /// The greatest.
        most: &'static str,
        /// What was there.
        found: String,
    },
}

impl FromStr for Duration {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let micros = amount(text, Self::WANTED, &TIME_UNITS)?;
        match micros <= TIME_MICROS_MAX {
            true => Ok(Self(Span(micros.round() as u64))),
            false => Err(BadQuantity::TooGreat {
                most: "a century, 36500d",
                found: text.to_owned(),
            }),
        }
    }
}

impl FromStr for Bytes {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let bytes = match text.trim().parse::<u64>() {
            Ok(plain) => plain as f64,
            Err(_) => amount(text, Self::WANTED, &SIZE_UNITS)?,
        };
        match bytes <= SIZE_BYTES_MAX {
            true => Ok(Self(bytes.round() as u64)),
            false => Err(BadQuantity::TooGreat {
                most: "1024PiB",
                found: text.to_owned(),
            }),
        }
    }
}

impl FromStr for Rate {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let rate = amount(text, Self::WANTED, &RATE_UNITS)?;
        let found = || text.to_owned();
        match rate {
            rate if rate < 1.0 => Err(BadQuantity::TooSmall {
                least: "1B/s",
                found: found(),
            }),
            rate if rate > SIZE_BYTES_MAX => Err(BadQuantity::TooGreat {
                most: "1024PiB/s",
                found: found(),
            }),
            rate => Ok(Self(rate.round() as u64)),
        }
    }
}

impl Duration {
    /// What one looks like.
    pub(super) const WANTED: &str = "a length of time such as \"90s\" or \"1.5h\"";
}

impl Bytes {
    /// What it looks like.
    pub(super) const WANTED: &str = "a number of bytes such as \"64KiB\" or 0";
}

impl Rate {
    /// What one looks like.
    pub(super) const WANTED: &str = "a rate such as \"100Mbit/s\" or \"50MB/s\"";
}

/// The number in `text` times its unit.
fn amount(
    text: &str,
    wanted: &'static str,
    units: &[(&'static str, f64)],
) -> Result<f64, BadQuantity> {
    let found = || text.to_owned();
    let trimmed = text.trim();
    let (sign, plain) = match trimmed.strip_prefix('-') {
        Some(plain) => (-1.0, plain),
        None => (1.0, trimmed),
    };
    let end = plain
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(plain.len());
    let (digits, unit) = (&plain[..end], plain[end..].trim_start());
    let number: f64 = digits.parse().map_err(|_| BadQuantity::NoNumber {
        wanted,
        found: found(),
    })?;
    if sign < 0.0 {
        return Err(BadQuantity::Negative { found: found() });
    }
    let names = || units.iter().map(|(name, _)| *name).collect();
    match units.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => Ok(number * factor),
        None if unit.is_empty() => Err(BadQuantity::NoUnit {
            found: found(),
            units: names(),
        }),
        None => Err(BadQuantity::Unit {
            found: found(),
            unit: unit.to_owned(),
            units: names(),
        }),
    }
}

/// In microseconds.
const TIME_UNITS: [(&str, f64); 7] = [
    ("us", 1.0),
    ("ms", 1e3),
    ("s", 1e6),
    ("min", 60e6),
    ("h", 3_600e6),
    ("d", 86_400e6),
    ("w", 604_800e6),
];
/// In bytes.
const SIZE_UNITS: [(&str, f64); 11] = [
    ("B", 1.0),
    ("kB", 1e3),
    ("KiB", 1024.0),
    ("MB", 1e6),
    ("MiB", 1_048_576.0),
    ("GB", 1e9),
    ("GiB", 1_073_741_824.0),
    ("TB", 1e12),
    ("TiB", 1_099_511_627_776.0),
    ("PB", 1e15),
    ("PiB", 1_125_899_906_842_624.0),
];
/// In bytes per second.
const RATE_UNITS: [(&str, f64); 12] = [
    ("bit/s", 0.125),
    ("kbit/s", 125.0),
    ("Mbit/s", 125e3),
    ("Gbit/s", 125e6),
    ("Tbit/s", 125e9),
    ("B/s", 1.0),
    ("kB/s", 1e3),
    ("KiB/s", 1024.0),
    ("MB/s", 1e6),
    ("MiB/s", 1_048_576.0),
    ("GB/s", 1e9),
    ("GiB/s", 1_073_741_824.0),
];
/// A century.
const TIME_MICROS_MAX: f64 = 36_500.0 * 86_400e6;
/// An exbibyte: above all disks, below where floating point would lose bytes that matter.
const SIZE_BYTES_MAX: f64 = (1_u64 << 60) as f64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, micros) in [
            ("90s", 90_000_000),
            ("1.5h", 5_400_000_000),
            ("20ms", 20_000),
            ("280us", 280),
            ("188min", 11_280_000_000),
            ("30 d", 2_592_000_000_000),
            ("2w", 1_209_600_000_000),
            ("0s", 0),
        ] {
            assert_eq!(text.parse(), Ok(Duration(Span(micros))), "{text}");
        }
        wrong::<Duration>(&[
            "", "s", "5", "-5s", "5m", "NaNs", "1e3s", "1.2.3s", "40000d",
        ]);
    }

    #[test]
    fn sizes_are_plain_or_have_units_of_either_kind() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("64KiB", 65_536),
            ("64MB", 64_000_000),
            ("1TB", 1_000_000_000_000),
            ("1.5GiB", 3 << 29),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        wrong::<Bytes>(&[
            "",
            "KiB",
            "-1",
            "-1B",
            "1K",
            "1Mb",
            "1.5",
            "2000PiB",
            "99999999999999999999",
        ]);
    }

    #[test]
    fn rates_are_per_second_in_bits_or_bytes_and_never_nothing() {
        for (text, rate) in [
            ("100Mbit/s", 12_500_000),
            ("1Gbit/s", 125_000_000),
            ("50MB/s", 50_000_000),
            ("8bit/s", 1),
        ] {
            assert_eq!(text.parse(), Ok(Rate(rate)), "{text}");
        }
        wrong::<Rate>(&["", "0Mbit/s", "4bit/s", "1Gbit", "-1B/s", "2000000000GiB/s"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |text: &str| text.parse::<Duration>().unwrap_err().to_string();
        assert_eq!(said("-5min"), "must not be negative, and is \"-5min\"");
        assert_eq!(
            said("5m"),
            "is \"5m\", whose unit \"m\" is not among us, ms, s, min, h, d, w"
        );
        assert_eq!(
            said("soon"),
            "must be a length of time such as \"90s\" or \"1.5h\", not \"soon\""
        );
    }

    fn wrong<T: FromStr>(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<T>().is_err(), "{text:?}");
        }
    }
}
