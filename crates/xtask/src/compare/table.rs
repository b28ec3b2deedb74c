//! The table that a comparison ends with.

use std::fmt::Write as _;

use super::{Course, Entry, System};

/// Shows medians, and each as a part of the bare loop over the same task.
pub fn shown(course: &Course, entries: &[Entry]) -> String {
    let mut text = String::new();
    let rounds = super::ROUNDS;
    let heading = format!(
        "{} tasks, {} workers on this machine, medians of {rounds}",
        course.tasks, course.workers
    );
    let _ = writeln!(
        text,
        "\n{heading}\n\n{:<26} {:<12} {:>10} {:>8}",
        "system", "task", "tasks/s", "of bare"
    );
    for entry in entries {
        let task = entry
            .program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let rate = median(&entry.rates);
        let bare = entries
            .iter()
            .find(|other| other.system == System::Bare && other.program == entry.program);
        let part = bare.map_or_else(
            || "-".to_owned(),
            |bare| format!("{:.3}", rate / median(&bare.rates)),
        );
        let _ = writeln!(
            text,
            "{:<26} {task:<12} {rate:>10.0} {part:>8}",
            entry.system.name()
        );
    }
    if entries
        .iter()
        .any(|entry| matches!(entry.system, System::WorkQueue | System::WorkQueueForeman))
    {
        text.push_str(
            "\nWork Queue is driven by makeflow, whose rules each start a shell and bring back one empty file;\n\
             its clock starts when its worker has connected, and makeflow may have queued tasks by then.\n",
        );
    }
    if entries
        .iter()
        .any(|entry| entry.system == System::HyperQueue)
    {
        text.push_str("\nHyperQueue's server and worker share one process here, as its Python package starts them.\n");
    }
    text
}

/// Returns the middle of what was measured, or 0 if nothing was.
pub fn median(measured: &[f64]) -> f64 {
    let mut sorted = measured.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn entry(system: System, program: &str, rates: &[f64]) -> Entry {
        Entry {
            system,
            program: PathBuf::from(program),
            rates: rates.to_vec(),
        }
    }

    #[test]
    fn each_system_is_shown_as_a_part_of_the_bare_loop_over_the_same_task() {
        let course = Course {
            tasks: 10,
            workers: 2,
            scratch: PathBuf::new(),
            muster: PathBuf::new(),
        };
        let entries = [
            entry(System::Bare, "/bin/true", &[1000.0, 900.0, 5000.0]),
            entry(System::Muster, "/bin/true", &[800.0, 700.0, 850.0]),
            entry(System::Muster, "/x/null", &[2000.0, 2000.0, 2000.0]),
        ];
        let shown = shown(&course, &entries);
        let lines: Vec<Vec<&str>> = shown
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert!(
            lines.contains(&vec!["Muster", "true", "800", "0.800"]),
            "{shown}"
        );
        assert!(
            lines.contains(&vec!["Muster", "null", "2000", "-"]),
            "{shown}"
        );
    }
}
