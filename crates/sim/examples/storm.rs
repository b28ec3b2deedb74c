//! Storms over the seeds given, from the first up to and not including the second.

use muster_sim::storm::{Profile, storm};

fn main() -> Result<(), std::num::ParseIntError> {
    let seeds: Result<Vec<u64>, _> = std::env::args().skip(1).map(|seed| seed.parse()).collect();
    let seeds = seeds?;
    let first = seeds.first().copied().unwrap_or(0);
    let end = seeds.get(1).copied().unwrap_or(first + 1);
    let report = storm(first..end, &Profile::default());
    for failure in &report.failures {
        println!("{failure}");
    }
    let failed: Vec<u64> = report.failures.iter().map(|failure| failure.seed).collect();
    println!(
        "{} seeds, {} tasks, {} runs, {} events; failed: {failed:?}",
        report.seeds, report.tasks, report.runs, report.events
    );
    Ok(())
}
