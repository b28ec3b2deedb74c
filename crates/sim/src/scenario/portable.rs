//! Logarithm, exponential and gamma function out of the four operations that every machine rounds alike.
//!
//! The standard library's are the platform's and differ in the last bit, enough to give a seed another world.

use std::f64::consts::{LN_2, PI, SQRT_2};

/// The natural logarithm of a positive, normal number, to about 1e-15 of its value; anything else counts as the least of
/// these.
pub(super) fn ln(x: f64) -> f64 {
    let bits = x.max(f64::MIN_POSITIVE).to_bits();
    let mut exponent = (bits >> MANTISSA_BITS) as i64 - EXPONENT_BIAS;
    let mut mantissa = f64::from_bits((bits & MANTISSA) | ONE);
    if mantissa > SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln m = 2 artanh s, whose series in s^2 < 0.0295 is down to 1e-17 after eleven terms.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let mut sum = 0.0;
    for odd in (0..=10).rev().map(|n| f64::from(2 * n + 1)) {
        sum = sum * s * s + 1.0 / odd;
    }
    exponent as f64 * LN_2 + 2.0 * s * sum
}

/// The exponential, to about 1e-15 of its value within what a normal number holds; beyond that the least or the greatest.
pub(super) fn exp(x: f64) -> f64 {
    let x = x.clamp(-708.0, 709.0);
    let power = (x / LN_2).round();
    let rest = x - power * LN_2;
    // |rest| < 0.347, whose 16th power over 16! is below 1e-20.
    let mut sum = 1.0;
    for n in (1..=16).rev().map(f64::from) {
        sum = 1.0 + sum * rest / n;
    }
    let scale = f64::from_bits(((power as i64 + EXPONENT_BIAS) as u64) << MANTISSA_BITS);
    sum * scale
}

/// The gamma function for numbers of at least 1/2, by Lanczos' approximation with g = 7, to about 1e-14 of its value.
pub(super) fn gamma(x: f64) -> f64 {
    let x = x - 1.0;
    let mut sum = LANCZOS[0];
    for (n, coefficient) in LANCZOS.iter().enumerate().skip(1) {
        sum += coefficient / (x + n as f64);
    }
    let t = x + 7.5;
    (2.0 * PI).sqrt() * exp((x + 0.5) * ln(t) - t) * sum
}

/// Godfrey's coefficients for g = 7.
const LANCZOS: [f64; 9] = [
    0.999_999_999_999_809_9,
    676.520_368_121_885_1,
    -1_259.139_216_722_402_8,
    771.323_428_777_653_1,
    -176.615_029_162_140_6,
    12.507_343_278_686_905,
    -0.138_571_095_265_720_12,
    9.984_369_578_019_572e-6,
    1.505_632_735_149_311_6e-7,
];
const MANTISSA_BITS: u32 = 52;
const MANTISSA: u64 = (1 << MANTISSA_BITS) - 1;
const EXPONENT_BIAS: i64 = 1023;
/// The bits of 1.0.
const ONE: u64 = 1023 << MANTISSA_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_agree_with_the_platform_where_it_is_good() {
        for n in 1..4_000 {
            let x = f64::from(n) * 0.01;
            assert!(
                (ln(x) - x.ln()).abs() <= 4e-15 * x.ln().abs().max(1.0),
                "ln {x}"
            );
            assert!(
                (exp(x - 20.0) / (x - 20.0).exp() - 1.0).abs() < 1e-14,
                "exp {x}"
            );
        }
        assert!((ln(2_f64.powi(-54)) + 54.0 * LN_2).abs() < 1e-13);
    }

    #[test]
    fn the_gamma_function_continues_factorials() {
        let mut factorial = 1.0;
        for n in 1..=11_u32 {
            assert!((gamma(f64::from(n)) / factorial - 1.0).abs() < 1e-13, "{n}");
            factorial *= f64::from(n);
        }
        assert!((gamma(0.5) - PI.sqrt()).abs() < 1e-13);
    }
}
