//! The house's own tools: `cargo xtask tidy|test|soak|compare`.
//!
//! `tidy` checks what neither the compiler nor clippy can see: the arrows between crates, the purity of the brains,
//! the papers that must keep step with the code. It runs as a test too, so that `cargo test` checks it. `test` is what
//! a person and the continuous integration run. `soak` is the same for a night. `compare` measures Muster beside a
//! bare loop and beside other systems of its family, on one machine; with `--files`, beside `cp` and those that move files;
//! with `--python`, from Python, beside those that run Python functions.
//!
//! This package is kept tiny, because everybody compiles it first.

use std::process::ExitCode;

mod cargo;
mod clock;
mod compare;
mod python;
mod soak;
mod steps;
mod suite;
mod tidy;

const USAGE: &str = "usage: cargo xtask tidy
       cargo xtask test
       cargo xtask soak [--seeds N] [--rounds N]
       cargo xtask compare [--tasks N] [--workers N]
       cargo xtask compare --python [--tasks N] [--calls N] [--rounds N]
       cargo xtask compare --files [--tasks N] [--shared-mib N] [--own-kib N] [--sites N] [--workers N]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = match words.as_slice() {
        ["tidy"] => tidy::run(),
        ["test"] => suite::run(),
        ["soak", options @ ..] => soak::run(options),
        ["compare", options @ ..] => compare::run(options),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match ended {
        Ok(code) => code,
        Err(why) => {
            eprintln!("xtask: {why:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads `--name value` pairs of whole numbers over their defaults, in the order of `known`.
fn numbers<const N: usize>(options: &[&str], known: [(&str, u64); N]) -> anyhow::Result<[u64; N]> {
    let mut values = known.map(|(_, default)| default);
    for pair in options.chunks(2) {
        let place = known.iter().position(|(name, _)| *name == pair[0]);
        match (place, pair.get(1).map(|value| value.parse())) {
            (Some(place), Some(Ok(value))) if value > 0 => values[place] = value,
            (Some(_), _) => anyhow::bail!("{} wants a whole number above zero\n{USAGE}", pair[0]),
            (None, _) => anyhow::bail!("{} is not an option here\n{USAGE}", pair[0]),
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn an_option_replaces_its_default_and_leaves_the_others() {
        let values = numbers(&["--rounds", "3"], [("--seeds", 5000), ("--rounds", 20)]).unwrap();
        assert_eq!(values, [5000, 3]);
    }

    #[test]
    fn options_that_cannot_be_meant_are_refused() {
        for bad in [
            &["--rounds"][..],
            &["--rounds", "0"],
            &["--rounds", "few"],
            &["--sleep", "3"],
        ] {
            assert!(
                numbers(bad, [("--rounds", 20)]).is_err(),
                "{bad:?} was taken"
            );
        }
    }
}
