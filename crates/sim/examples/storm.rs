//! Storms over the seeds given, from the first up to and not including the second, under the profile given third.

use muster_sim::storm::{Profile, options, storm};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).map(|word| word.parse::<u64>()).transpose();
    let first = number(0)?.unwrap_or(0);
    let end = number(1)?.unwrap_or(first + 1);
    let profile = Profile::named(words.get(2).map_or("default", String::as_str))?;
    if end == first + 1 {
        println!("{}", options(first, &profile));
    }
    let report = storm(first..end, &profile);
    for failure in &report.failures {
        println!("{failure}");
    }
    let failed: Vec<u64> = report.failures.iter().map(|failure| failure.seed).collect();
    println!(
        "{} seeds, {} tasks, {} runs, {} events; failed: {failed:?}",
        report.seeds, report.tasks, report.runs, report.events
    );
    if let Some(share) = report.share {
        println!("{share:?}");
    }
    Ok(())
}
