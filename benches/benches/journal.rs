//! How many records a second does the journal make durable, by the number that share one commit?
//!
//! It is written below the target directory, so the answer is about the disk that the build is on; each commit is one
//! write and one `fdatasync`.

use anyhow::Result;
use muster_benches::{ns_each, shortest};
use muster_store::{Journal, Limits};

/// About what the fact that a task ended takes.
const RECORD_BYTES: usize = 120;
const LIMITS: Limits = Limits {
    segment_bytes: 64 << 20,
};

fn main() -> Result<()> {
    println!("{:<10} {:>12} {:>12}", "batch", "records/s", "commits/s");
    for (batch, commits) in [(1, 200), (100, 100), (1_000, 50)] {
        let took = shortest(open, |(dir, mut journal)| {
            for _ in 0..commits {
                for _ in 0..batch {
                    journal.append(&[7; RECORD_BYTES]);
                }
                journal.commit()?;
            }
            Ok((dir, journal))
        })?;
        let each = ns_each(took, commits);
        let (records, per_s) = (1e9 / each * batch as f64, 1e9 / each);
        println!("{batch:<10} {records:>12.0} {per_s:>12.0}");
    }
    Ok(())
}

fn open() -> Result<(tempfile::TempDir, Journal)> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let (journal, _) = Journal::open(dir.path(), LIMITS, |_, _| {})?;
    Ok((dir, journal))
}
