//! Muster's own turn: `muster bench dispatch`, whose JSON is a contract.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Course, succeed};
use crate::cargo;

/// Builds the release binary.
pub fn prepare() -> Result<()> {
    succeed(&mut cargo::command(&[
        "build",
        "--release",
        "--quiet",
        "--package",
        "muster",
    ]))
}

/// Dispatches the course through an embedded federation: tasks that run `program`, or that run no process at all.
pub fn measure(course: &Course, program: Option<&Path>) -> Result<f64> {
    let tasks = match program {
        Some(_) => course.tasks,
        // Without processes the course would be over before the first full batch.
        None => course.tasks.max(NULL_TASKS_MIN),
    };
    let mut command = Command::new(&course.muster);
    command.args(["bench", "dispatch", "--json"]);
    command.args(["--tasks", &tasks.to_string()]);
    command.args(["--workers", &course.workers.to_string()]);
    match program {
        Some(program) => command.arg("--program").arg(program),
        None => command.arg("--null"),
    };
    let answer = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("muster cannot be started")?;
    ensure!(
        answer.status.success(),
        "muster bench dispatch failed ({})",
        answer.status
    );
    rate(&String::from_utf8_lossy(&answer.stdout))
}

/// Tasks of a course without processes: about a second of them.
const NULL_TASKS_MIN: u64 = 200_000;

/// Reads `tasks_per_s` out of what the bench printed.
fn rate(printed: &str) -> Result<f64> {
    let answer: Value =
        serde_json::from_str(printed.trim()).context("muster bench dispatch printed no JSON")?;
    ensure!(
        answer["schema"] == "muster.bench.dispatch/1",
        "this xtask does not know the schema {}",
        answer["schema"]
    );
    answer["tasks_per_s"]
        .as_f64()
        .context("muster bench dispatch printed no tasks_per_s")
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn the_contract_of_the_bench_is_read() {
        let printed = r#"{"schema":"muster.bench.dispatch/1","tasks":2000,"seconds":1.0,"tasks_per_s":2000.5}"#;
        assert_eq!(rate(printed).unwrap(), 2000.5);
        assert!(rate(r#"{"schema":"muster.bench.dispatch/2","tasks_per_s":1.0}"#).is_err());
        assert!(rate("2000").is_err());
    }
}
