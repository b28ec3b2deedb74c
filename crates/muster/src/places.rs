//! Where things of a user are, by the rules of XDG.

use std::env;
use std::path::PathBuf;

use crate::error::CliError;

/// The directory of the user's personal authority: `MUSTER_KEYS`, or `muster` among the configurations.
///
/// # Errors
/// There is no home directory.
pub fn keys() -> Result<PathBuf, CliError> {
    match directory("MUSTER_KEYS") {
        Some(keys) => Ok(keys),
        None => Ok(base("XDG_CONFIG_HOME", ".config")?.join("muster")),
    }
}

/// The directory for state that outlives a command: `MUSTER_STATE`, or `muster` among the states.
///
/// # Errors
/// There is no home directory.
pub fn state() -> Result<PathBuf, CliError> {
    match directory("MUSTER_STATE") {
        Some(state) => Ok(state),
        None => Ok(base("XDG_STATE_HOME", ".local/state")?.join("muster")),
    }
}

/// A base directory of XDG, which ignores relative paths.
fn base(variable: &str, below_home: &str) -> Result<PathBuf, CliError> {
    if let Some(base) = directory(variable).filter(|base| base.is_absolute()) {
        return Ok(base);
    }
    let home = directory("HOME").ok_or(CliError::NoHome)?;
    Ok(home.join(below_home))
}

fn directory(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
