//! The Python packages: a virtual environment of their own, and what is run in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cargo;
use crate::steps::{Report, Steps, Stop};

/// The packages of this workspace, from its root.
const PACKAGES: [&str; 2] = ["crates/python", "crates/python/compat"];

/// What their tests need.
const TOOLS: [&str; 2] = ["pytest>=8", "mypy>=1.11"];

/// Installs the packages as a user would, checks their types and runs their tests. Returns the line that sums these up.
pub fn test(steps: &mut Steps, muster: &Path) -> Result<String, Stop> {
    let venv = environment("test")?;
    steps.run("python: install", &mut install(&venv, muster, &TOOLS))?;
    let here = cargo::root().join(PACKAGES[0]);
    steps.run(
        "python: types",
        python(&venv)
            .args(["-m", "mypy", "python"])
            .current_dir(&here),
    )?;
    let lines = steps.read(
        "python: tests",
        python(&venv)
            .args(["-m", "pytest"])
            .current_dir(&here)
            .env("MUSTER_BIN", muster),
        Report::Stdout,
    )?;
    let last = lines.iter().rev().find(|line| !line.trim().is_empty());
    Ok(format!(
        "python: {}",
        last.map_or("pytest printed nothing", |line| line.trim())
    ))
}

/// Measures the packages beside others of their kind, as far as these can be installed.
pub fn compare(muster: &Path, options: &[&str]) -> Result<bool> {
    let venv = environment("compare")?;
    if !install(&venv, muster, &[]).status()?.success() {
        bail!("the Python packages cannot be installed");
    }
    for other in ["distributed", "parsl"] {
        let got = Command::new(venv.join("bin/pip"))
            .args(["install", "--quiet", other])
            .status()?;
        if !got.success() {
            eprintln!("{other} cannot be installed, and is left out.");
        }
    }
    let script = cargo::root().join(PACKAGES[0]).join("bench/compare.py");
    let status = python(&venv)
        .arg(script)
        .args(options)
        .env("MUSTER_BIN", muster)
        .status()?;
    Ok(status.success())
}

/// Makes a virtual environment below the target directory, unless it is there.
fn environment(name: &str) -> Result<PathBuf> {
    let target = cargo::release_binary()?;
    let target = target.ancestors().nth(2).context("no target directory")?;
    let venv = target.join("python").join(name);
    if !venv.join("bin/pip").exists() {
        let made = Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&venv)
            .status()
            .context("python3 cannot be started")?;
        if !made.success() {
            bail!(
                "python3 makes no virtual environment: install its package, python3-venv, and run this again."
            );
        }
    }
    Ok(venv)
}

/// The command that installs the packages with the binary that was built already.
fn install(venv: &Path, muster: &Path, others: &[&str]) -> Command {
    let mut command = Command::new(venv.join("bin/pip"));
    command
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(PACKAGES.map(|package| format!("./{package}")))
        .args(others)
        .current_dir(cargo::root())
        .env("MUSTER_BIN", muster);
    command
}

fn python(venv: &Path) -> Command {
    Command::new(venv.join("bin/python"))
}
