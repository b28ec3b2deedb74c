//! Amounts as people read them: `283 830`, `1.23 GB`, `2.1 h`.

/// A count; long ones with a space after each three digits from the right.
pub fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// A number with about four digits that mean something.
pub fn number(number: f64) -> String {
    if !number.is_finite() {
        return UNKNOWN.to_owned();
    }
    let size = number.abs();
    let decimals = match size {
        0.0 => 0,
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let written = format!("{number:.decimals$}");
    match written.strip_prefix('-') {
        Some(rest) => format!("-{}", grouped(rest)),
        None => grouped(&written),
    }
}

/// Bytes, in powers of 1000.
pub fn bytes(bytes: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut amount = bytes;
    for unit in units {
        if amount < 999.5 {
            let written = match unit {
                "B" => format!("{amount:.0}"),
                _ => three(amount),
            };
            return format!("{written} {unit}");
        }
        amount /= 1000.0;
    }
    format!("{} ZB", number(amount))
}

/// A length of time, in the unit that suits it.
pub fn seconds(seconds: f64) -> String {
    let size = seconds.abs();
    let (amount, unit) = match size {
        0.0 => (0.0, "s"),
        size if size < 1.0 => (seconds * 1e3, "ms"),
        size if size < 100.0 => (seconds, "s"),
        size if size < 2.0 * HOUR_S => (seconds / 60.0, "min"),
        size if size < 2.0 * DAY_S => (seconds / HOUR_S, "h"),
        _ => (seconds / DAY_S, "d"),
    };
    format!("{} {unit}", three(amount))
}

/// A number with three digits that mean something.
fn three(number: f64) -> String {
    let decimals = match number.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        0.0 => 0,
        _ => 2,
    };
    grouped(&format!("{number:.decimals$}"))
}

/// A share of one, in hundredths.
pub fn percent(share: f64) -> String {
    if share.is_finite() {
        format!("{:.1} %", share * 100.0)
    } else {
        UNKNOWN.to_owned()
    }
}

/// How often `base` is in `value`.
pub fn ratio(value: f64, base: f64) -> String {
    let ratio = value / base;
    match ratio.is_finite() {
        true if ratio.abs() < 10.0 => format!("{ratio:.3}"),
        true => number(ratio),
        false => UNKNOWN.to_owned(),
    }
}

/// A part of a whole; nothing of nothing is zero.
pub fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// The unit that suits a time axis as long as this, in seconds, and its name.
pub fn time_unit(span_s: f64) -> (f64, &'static str) {
    match span_s {
        span if span < 300.0 => (1.0, "seconds"),
        span if span < 5.0 * HOUR_S => (60.0, "minutes"),
        span if span < 5.0 * DAY_S => (HOUR_S, "hours"),
        _ => (DAY_S, "days"),
    }
}

/// Digits in threes, from the point to the left; four digits stay together.
fn grouped(written: &str) -> String {
    let (whole, rest) = match written.find('.') {
        Some(point) => written.split_at(point),
        None => (written, ""),
    };
    let mut grouped = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if whole.len() > 4 && n > 0 && (whole.len() - n).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// What stands where there is no number.
pub const UNKNOWN: &str = "-";

const HOUR_S: f64 = 3600.0;
const DAY_S: f64 = 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short_and_right() {
        assert_eq!(
            [count(7), count(5000), count(283_830)],
            ["7", "5000", "283 830"]
        );
        assert_eq!(
            [
                number(0.0),
                number(0.0625),
                number(124.97),
                number(-1_234_567.8)
            ],
            ["0", "0.062", "125.0", "-1 234 568"]
        );
        assert_eq!(
            [
                bytes(0.0),
                bytes(999.0),
                bytes(1e3),
                bytes(999_700.0),
                bytes(1.5e12)
            ],
            ["0 B", "999 B", "1.00 kB", "1.00 MB", "1.50 TB"]
        );
        assert_eq!(
            [
                seconds(0.0),
                seconds(0.02),
                seconds(90.0),
                seconds(600.0),
                seconds(2.6e6)
            ],
            ["0 s", "20.0 ms", "90.0 s", "10.0 min", "30.1 d"]
        );
        assert_eq!(
            [percent(0.43), ratio(2.0, 1.0), ratio(1.0, 0.0)],
            ["43.0 %", "2.000", "-"]
        );
    }

    #[test]
    fn nothing_is_said_of_what_is_no_number() {
        for words in [number(f64::NAN), percent(f64::NAN), ratio(0.0, 0.0)] {
            assert_eq!(words, UNKNOWN);
        }
        assert_eq!(share(0.0, 0.0), 0.0);
    }
}
