//! The table that a comparison of files ends with.

use std::fmt::Write as _;

use super::super::ROUNDS;
use super::super::table::median;
use super::copies::cores;
use super::load::Load;
use super::{Contender, Entry};

/// Shows medians, each as a multiple of what `cp` took.
pub fn shown(load: &Load, entries: &[Entry]) -> String {
    let mut text = format!(
        "\n{} tasks, {} MiB shared, {} KiB in and {} KiB out of each, {} sites of {} workers, medians of {ROUNDS}\n\n",
        load.tasks,
        load.shared_bytes >> 20,
        load.own_bytes >> 10,
        load.own_bytes >> 10,
        load.sites,
        load.workers
    );
    let _ = writeln!(
        text,
        "{:<22} {:>8} {:>7} {:>12}",
        "who", "seconds", "of cp", "sent a site"
    );
    let cp = entries
        .iter()
        .find(|entry| entry.contender == Contender::Cp);
    for entry in entries {
        let took = seconds(entry);
        let part = cp.map_or_else(|| "-".to_owned(), |cp| format!("{:.2}", took / seconds(cp)));
        let sent: Vec<f64> = entry.turns.iter().filter_map(|turn| turn.sent).collect();
        let sent = match sent.as_slice() {
            [] => "-".to_owned(),
            sent => format!("{:.4}", median(sent)),
        };
        let name = entry.contender.name();
        let end = match (entry.failed, entry.turns.len()) {
            (false, _) => String::new(),
            (true, rounds) => format!("  failed after {rounds}"),
        };
        let _ = writeln!(text, "{name:<22} {took:>8.2} {part:>7} {sent:>12}{end}");
    }
    let _ = write!(
        text,
        "\ncp and fs::copy do what a hierarchy does, {} at once, and run the same tasks.\n\
         Sent a site: bytes from the master to a site, of the shared file and the own inputs of its tasks; for Muster\n\
         those of UDP and to the site with the most, for others contents alone and over all sites.\n",
        cores()
    );
    let makeflow = [
        Contender::WorkQueue,
        Contender::WorkQueueForemen,
        Contender::TaskVine,
    ];
    if entries
        .iter()
        .any(|entry| makeflow.contains(&entry.contender))
    {
        text.push_str(
            "Work Queue and TaskVine are driven by makeflow. Without foremen contents make one step less to the workers,\n\
             and one less back; what TaskVine's workers send each other, across sites too, is not counted.\n",
        );
    }
    text
}

fn seconds(entry: &Entry) -> f64 {
    let seconds: Vec<f64> = entry.turns.iter().map(|turn| turn.seconds).collect();
    median(&seconds)
}

#[cfg(test)]
mod tests {
    use super::super::Taken;
    use super::super::load::tests::small;
    use super::*;

    #[test]
    fn each_is_shown_as_a_multiple_of_cp_with_its_bytes_if_it_knows_them() {
        let turns = |seconds: [f64; 3], sent: Option<f64>| {
            let taken = |seconds| Taken { seconds, sent };
            seconds.into_iter().map(taken).collect()
        };
        let entries = [
            Entry {
                contender: Contender::Cp,
                turns: turns([2.0, 9.0, 1.0], None),
                failed: false,
            },
            Entry {
                contender: Contender::Muster,
                turns: turns([2.5, 2.4, 2.6], Some(1.01)),
                failed: false,
            },
        ];
        let shown = shown(&small("table"), &entries);
        let mut lines = shown
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        assert!(
            lines.any(|line| line == ["cp", "2.00", "1.00", "-"]),
            "{shown}"
        );
        assert!(
            lines.any(|line| line == ["Muster", "2.50", "1.25", "1.0100"]),
            "{shown}"
        );
        assert!(!shown.contains("makeflow"), "{shown}");
    }
}
