//! A directory for one command, below the user's state, gone when the command ends.

pub use muster_node::scratch::Fate;
use muster_node::scratch::Scratch;

use crate::error::CliError;
use crate::places;

/// Makes the directory of this command, and removes those of commands that were killed.
///
/// # Errors
/// The state directory cannot be used.
pub fn scratch(fate: Fate) -> Result<Scratch, CliError> {
    let state = places::state()?;
    let base = match fate {
        Fate::Removed => state.join("runs"),
        Fate::Kept => state.join("kept"),
    };
    Scratch::fresh(&base, fate).map_err(|source| CliError::file(&base, source))
}
