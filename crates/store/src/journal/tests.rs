//! The journal's promises as stories. `tests/damage.rs` edits bytes, `tests/faults.rs` makes the disk fail.

use std::path::Path;

use rustix::io::Errno;

use super::*;
use crate::disk::fault::{self, Plan};

mod compaction;
mod damage;
mod faults;

#[test]
fn what_was_committed_is_replayed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, recovery) = open(dir.path());
    assert_eq!(
        recovery,
        Recovery {
            records: 0,
            last: Lsn(0),
            torn: None
        }
    );
    assert_eq!(
        [
            journal.append(b"one"),
            journal.append(b""),
            journal.append(b"three")
        ],
        [Lsn(1), Lsn(2), Lsn(3)]
    );
    assert_eq!(journal.durable(), Lsn(0), "appending is not yet durable");
    assert_eq!(journal.commit().unwrap(), Lsn(3));
    assert_eq!(
        journal.commit().unwrap(),
        Lsn(3),
        "an empty commit changes nothing"
    );
    journal.append(b"never committed");
    drop(journal);

    assert_eq!(replayed(dir.path()), ["1 one", "2 ", "3 three"]);
    let (mut journal, recovery) = open(dir.path());
    assert_eq!(
        recovery,
        Recovery {
            records: 3,
            last: Lsn(3),
            torn: None
        }
    );
    assert_eq!(journal.append(b"four"), Lsn(4), "numbers go on");
    journal.commit().unwrap();
    let bytes = journal.live_bytes();
    drop(journal);
    assert_eq!(replayed(dir.path()).len(), 4);
    assert_eq!(open(dir.path()).0.live_bytes(), bytes);
}

#[test]
fn a_batch_of_any_size_costs_one_write_and_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), Limits::default(), |_, _| {}).unwrap();
    for size in [1, 1_000] {
        let (_, steps) = fault::with(NEVER, Errno::IO, || {
            append_all(&mut journal, &vec!["a record"; size]);
            journal.commit().unwrap()
        });
        assert_eq!(steps, 2);
    }
    drop(journal);
    assert_eq!(verify(dir.path()).unwrap().records, 1_001);
}

#[test]
fn segments_follow_one_another_and_a_long_batch_stays_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    for n in 0..20 {
        journal.append(format!("record {n}").as_bytes());
        journal.commit().unwrap();
    }
    append_all(&mut journal, &["of one long batch"; 20]);
    journal.commit().unwrap();
    assert!(journal.plate.number > 4, "{:?}", journal.plate);
    drop(journal);
    let report = verify(dir.path()).unwrap();
    assert_eq!(
        (report.records, report.last, report.torn),
        (40, Lsn(40), None)
    );
    assert_eq!(replayed(dir.path()).len(), 40);
    assert_eq!(replayed(dir.path())[19], "20 record 19");
}

#[test]
fn a_second_opener_is_refused_and_readers_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = filled(dir.path(), &["a"]);
    let refused = Journal::open(dir.path(), SMALL, |_, _| {}).unwrap_err();
    assert!(
        matches!(refused, JournalError::Locked { by: Some(pid), .. } if pid == std::process::id()),
        "{refused}"
    );
    assert_eq!(verify(dir.path()).unwrap().records, 1);
    let exported: Vec<_> = read(dir.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!(exported, [(Lsn(1), b"a".to_vec())]);
    journal.append(b"b");
    journal.commit().unwrap();
}

#[test]
fn a_record_has_a_greatest_length_and_that_one_works() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    let longest = vec![b'x'; RECORD_BYTES_MAX as usize];
    journal.append(&longest);
    journal.commit().unwrap();
    drop(journal);
    let mut lengths = Vec::new();
    Journal::open(dir.path(), SMALL, |_, payload| lengths.push(payload.len())).unwrap();
    assert_eq!(lengths, [longest.len()]);
}

#[test]
fn files_that_are_not_the_journals_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let notes = dir.path().join("notes.tmp");
    std::fs::write(&notes, "mine").unwrap();
    drop(filled(dir.path(), &["a"]));
    open(dir.path());
    assert_eq!(std::fs::read(&notes).unwrap(), b"mine");
}

/// Segments so short that a few records fill one.
const SMALL: Limits = Limits { segment_bytes: 256 };
/// A plan by which nothing fails: it only counts.
const NEVER: Plan = Plan::Once(u32::MAX);

fn open(dir: &Path) -> (Journal, Recovery) {
    Journal::open(dir, SMALL, |_, _| {}).unwrap()
}

/// A journal with one commit per record.
fn filled(dir: &Path, records: &[&str]) -> Journal {
    let (mut journal, _) = open(dir);
    for record in records {
        journal.append(record.as_bytes());
        journal.commit().unwrap();
    }
    journal
}

fn append_all(journal: &mut Journal, records: &[&str]) {
    for record in records {
        journal.append(record.as_bytes());
    }
}

/// The records as `"lsn payload"`, by opening the journal; and `read` must agree.
fn replayed(dir: &Path) -> Vec<String> {
    let story =
        |lsn: Lsn, payload: &[u8]| format!("{} {}", lsn.0, String::from_utf8_lossy(payload));
    let exported: Vec<_> = read(dir)
        .unwrap()
        .map(|record| record.unwrap())
        .map(|(lsn, payload)| story(lsn, &payload))
        .collect();
    let mut records = Vec::new();
    Journal::open(dir, SMALL, |lsn, payload| records.push(story(lsn, payload))).unwrap();
    assert_eq!(records, exported);
    records
}

fn last_segment(dir: &Path) -> std::path::PathBuf {
    let names = names(dir).unwrap().into_iter().rev();
    names
        .filter(|(_, name)| matches!(name, Name::Segment(..)))
        .map(|(path, _)| path)
        .next()
        .unwrap()
}

/// Every file of the directory but the lock, with its contents.
fn image(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = names(dir)
        .unwrap()
        .into_iter()
        .filter(|(path, _)| !path.ends_with(crate::lock::LOCK_FILE));
    files
        .map(|(path, _)| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

fn copy_of(source: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, bytes) in image(source) {
        std::fs::write(dir.path().join(path.file_name().unwrap()), bytes).unwrap();
    }
    dir
}
