//! What cargo knows about the workspace, and how it is asked.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Returns the root of the workspace, known from where this package was compiled.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Returns a command that runs the cargo which runs us, at the root of the workspace.
pub fn command(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    command
}

/// Asks cargo for the workspace, its packages and the resolved graph, for the host's platform only.
///
/// Packages for other platforms are left out, so that nothing is downloaded which the build did not need.
pub fn metadata() -> Result<Value> {
    let host = host()?;
    let asked = command(&[
        "metadata",
        "--format-version",
        "1",
        "--filter-platform",
        &host,
    ])
    .output();
    let answer = asked.context("cargo cannot be started")?;
    if !answer.status.success() {
        bail!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&answer.stderr).trim()
        );
    }
    serde_json::from_slice(&answer.stdout).context("cargo metadata did not answer in JSON")
}

/// Returns where `cargo build --release` puts the binary `muster`.
pub fn release_binary() -> Result<PathBuf> {
    let metadata = metadata()?;
    let target = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target directory")?;
    Ok(Path::new(target)
        .join("release")
        .join(format!("muster{}", std::env::consts::EXE_SUFFIX)))
}

/// Tells whether `cargo-nextest` is installed.
pub fn has_nextest() -> bool {
    answers(&["nextest", "--version"])
}

/// Tells whether cargo succeeds with `arguments`, showing nothing.
pub fn answers(arguments: &[&str]) -> bool {
    command(arguments)
        .output()
        .is_ok_and(|answer| answer.status.success())
}

fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let answer = Command::new(rustc)
        .arg("-vV")
        .current_dir(root())
        .output()
        .context("rustc cannot be started")?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    let host = text
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV names no host")?;
    Ok(host.to_owned())
}
