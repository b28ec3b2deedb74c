//! Names and amounts as people write them: `1.5` cores, `2GiB`, `1h30m`.

use muster_proto::Span;

/// Reads a name of a project, a site or a process.
///
/// # Errors
/// A sentence for the command line.
pub fn parse_name(text: &str) -> Result<String, String> {
    match muster_proto::peer::is_name(text) {
        true => Ok(text.to_owned()),
        false => Err(
            "a name has 1 to 64 letters, digits, dots, underscores or dashes, no dot or dash in front"
                .to_owned(),
        ),
    }
}

/// Reads cores, whole or not, as thousandths.
///
/// # Errors
/// A sentence for the command line.
pub fn parse_cores(text: &str) -> Result<u32, String> {
    let cores = number(text).filter(|cores| (0.001..=1e6).contains(cores));
    // The range makes the conversion exact enough: at most 1e9.
    cores
        .map(|cores| (cores * 1e3).round() as u32)
        .ok_or_else(|| "cores are a number such as 4 or 0.5".to_owned())
}

/// Reads bytes: `512`, `100k`, `4G`, `2GiB`, `1.5TB`. Without `B`, or with `iB`, a letter is a power of 1024; with a
/// plain `B` it is one of 1000.
///
/// # Errors
/// A sentence for the command line.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "a size is a number with B, K, M, G or T, such as 512M or 4GiB".to_owned();
    let text = text.trim();
    let end = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let amount = number(digits.trim_end()).ok_or_else(wrong)?;
    let unit = unit.to_ascii_lowercase();
    let (letter, base) = match unit.strip_suffix('b') {
        None => (unit.as_str(), 1024_f64),
        Some(letter) => match letter.strip_suffix('i') {
            Some("") => return Err(wrong()),
            Some(letter) => (letter, 1024_f64),
            None => (letter, 1000_f64),
        },
    };
    let power = ["", "k", "m", "g", "t"]
        .iter()
        .position(|known| *known == letter)
        .ok_or_else(wrong)?;
    let bytes = amount * base.powi(power as i32);
    if bytes > SIZE_BYTES_MAX {
        return Err(wrong());
    }
    Ok(bytes.round() as u64)
}

/// Reads a length of time: `90` or `90s`, `2m`, `1h30m`, `1d`, `250ms`.
///
/// # Errors
/// A sentence for the command line.
pub fn parse_span(text: &str) -> Result<Span, String> {
    let wrong = || "a time is such as 90s, 2m, 1h30m or 250ms".to_owned();
    let mut rest = text.trim();
    if let Some(seconds) = number(rest) {
        return span(seconds).ok_or_else(wrong);
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c.is_ascii_alphabetic())
            .ok_or_else(wrong)?;
        let amount = number(&rest[..end]).ok_or_else(wrong)?;
        rest = &rest[end..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        seconds += amount
            * match &rest[..end] {
                "ms" => 1e-3,
                "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return Err(wrong()),
            };
        rest = &rest[end..];
    }
    span(seconds).ok_or_else(wrong)
}

fn span(seconds: f64) -> Option<Span> {
    (seconds > 0.0 && seconds <= TIME_SECONDS_MAX).then(|| Span((seconds * 1e6).round() as u64))
}

/// A number that is written with digits and a point alone: no sign, no exponent, no `inf`.
fn number(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// An exbibyte: above all disks, below where floating point would lose bytes that matter.
const SIZE_BYTES_MAX: f64 = (1_u64 << 60) as f64;
/// A century.
const TIME_SECONDS_MAX: f64 = 100.0 * 365.0 * 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_may_be_parts_and_never_none() {
        assert_eq!(parse_cores("4"), Ok(4_000));
        assert_eq!(parse_cores("0.5"), Ok(500));
        for wrong in [
            "", "0", "-1", "0.0001", "1e3", "inf", "NaN", "four", "9999999",
        ] {
            assert!(parse_cores(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024_unless_they_say_plain_bytes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("1k", 1 << 10),
            ("1K", 1 << 10),
            ("1KiB", 1 << 10),
            ("1kB", 1_000),
            ("1.5G", 3 << 29),
            ("2 GiB", 2 << 30),
            ("4TB", 4_000_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "B", "G", "-1", "1X", "1GG", "1iB", "99999999T", "1e9"] {
            assert!(parse_size(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn times_add_up() {
        for (text, wanted) in [
            ("90", Span::secs(90)),
            ("90s", Span::secs(90)),
            ("2m", Span::secs(120)),
            ("1h30m", Span::secs(5_400)),
            ("1d", Span::secs(86_400)),
            ("250ms", Span::millis(250)),
            ("1.5s", Span::millis(1_500)),
        ] {
            assert_eq!(parse_span(text), Ok(wanted), "{text}");
        }
        for wrong in ["", "0", "s", "1x", "-5s", "1h30", "1 week", "1000000d"] {
            assert!(parse_span(wrong).is_err(), "{wrong:?}");
        }
    }
}
