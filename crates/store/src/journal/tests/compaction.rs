//! Compaction: at every system call the journal holds all the old records or all the new ones.

use super::super::format::segment_path;
use super::*;

#[test]
fn the_new_records_take_the_place_of_the_old_and_numbers_rise() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = filled(dir.path(), &["old one", "old two", "old three"]);
    journal.append(b"pending, committed first");
    assert_eq!(journal.rewrite(owned(&["x", "y"])).unwrap(), Lsn(6));
    assert_eq!(journal.durable(), Lsn(6));
    journal.append(b"z");
    journal.commit().unwrap();
    drop(journal);
    assert_eq!(replayed(dir.path()), ["5 x", "6 y", "7 z"]);
    assert_eq!(
        image(dir.path()).len(),
        2,
        "the old segments are gone: {:?}",
        names(dir.path())
    );
}

#[test]
fn a_journal_may_become_empty_or_fill_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = filled(dir.path(), &["a", "b"]);
    assert_eq!(journal.rewrite(owned(&[])).unwrap(), Lsn(2));
    assert_eq!(journal.live_bytes(), 0);
    drop(journal);
    assert_eq!(replayed(dir.path()), [""; 0]);
    let (mut journal, recovery) = open(dir.path());
    assert_eq!(recovery.last, Lsn(2), "numbers are not used again");
    let many = vec!["a record that takes its share of a segment"; 30];
    assert_eq!(journal.rewrite(owned(&many)).unwrap(), Lsn(32));
    let bytes = journal.live_bytes();
    drop(journal);
    let report = verify(dir.path()).unwrap();
    assert_eq!((report.records, report.bytes), (30, bytes));
    assert!(report.segments >= 8, "{report:?}");
}

#[test]
fn a_crash_at_any_step_leaves_the_old_records_or_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = filled(dir.path(), &OLD);
    let (_, steps) = fault::with(NEVER, Errno::IO, || journal.rewrite(owned(&NEW)).unwrap());
    let mut seen = [0; 2];
    for step in 0..=steps {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = filled(dir.path(), &OLD);
        let (result, _) = fault::with(Plan::From(step), Errno::IO, || journal.rewrite(owned(&NEW)));
        drop(journal);
        assert_eq!(
            result.is_err(),
            step + REMOVALS < steps,
            "only the removal of leftovers may fail unnoticed"
        );
        let records = replayed(dir.path());
        match records == numbered(&NEW, 5) {
            true => seen[1] += 1,
            false => seen[0] += usize::from(records == numbered(&OLD, 1)),
        }
        assert_eq!(
            seen[0] + seen[1],
            step as usize + 1,
            "step {step}: {records:?}"
        );
        let (mut journal, _) = open(dir.path());
        journal.append(b"life goes on");
        journal.commit().unwrap();
        drop(journal);
        assert_eq!(replayed(dir.path()).len(), records.len() + 1);
    }
    assert!(seen[0] > 5 && seen[1] > 1, "{seen:?}");
}

#[test]
fn a_compaction_that_fails_at_any_step_leaves_a_journal_that_works() {
    for step in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = filled(dir.path(), &OLD);
        let (result, steps) = fault::with(Plan::Once(step), Errno::NOSPC, || {
            journal.rewrite(owned(&NEW))
        });
        if step >= steps {
            break;
        }
        journal.append(b"after the failure");
        let last = journal.commit().unwrap();
        let old = || [numbered(&OLD, 1), numbered(&["after the failure"], last.0)].concat();
        let new = || [numbered(&NEW, 5), numbered(&["after the failure"], last.0)].concat();
        let copy = copy_of(dir.path());
        let records = replayed(copy.path());
        assert!(
            records == new() || (result.is_err() && records == old()),
            "step {step}: {records:?}"
        );
        assert_eq!(journal.rewrite(owned(&["again"])).unwrap().0, last.0 + 1);
        drop(journal);
        assert_eq!(replayed(dir.path()), [format!("{} again", last.0 + 1)]);
    }
}

#[test]
fn leftovers_of_both_kinds_go_with_the_next_opening() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = filled(dir.path(), &OLD);
    journal.rewrite(owned(&NEW)).unwrap();
    drop(journal);
    let live = image(dir.path());
    for (generation, number) in [(1, 1), (1, 7), (3, 1), (2, 99)] {
        std::fs::write(segment_path(dir.path(), generation, number), "left over").unwrap();
    }
    std::fs::write(dir.path().join("manifest.tmp"), "half").unwrap();
    assert_eq!(replayed(dir.path()), numbered(&NEW, 5));
    assert_eq!(live, image(dir.path()));
}

#[test]
fn a_compacted_journal_cut_short_is_refused_and_not_torn() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = filled(dir.path(), &OLD);
    journal.rewrite(owned(&["x", "y"])).unwrap();
    drop(journal);
    let file = last_segment(dir.path());
    let whole = std::fs::read(&file).unwrap();
    for bytes in PLATE_BYTES..PLATE_BYTES + 50 {
        std::fs::write(&file, &whole[..bytes]).unwrap();
        let refusal = verify(dir.path()).unwrap_err();
        assert!(
            matches!(
                refusal,
                JournalError::Gap { .. } | JournalError::Corrupt { .. }
            ),
            "{refusal}"
        );
    }
}

const OLD: [&str; 4] = ["old one", "old two", "old three", "old four"];
const NEW: [&str; 3] = [
    "new one, long enough that",
    "the new generation is made of",
    "more than a single segment, when full",
];
/// Steps of the removal of the old generation, after which a rewrite is done.
const REMOVALS: u32 = 1;

fn owned(records: &[&str]) -> impl Iterator<Item = Vec<u8>> {
    records.iter().map(|record| record.as_bytes().to_vec())
}

fn numbered(records: &[&str], first: u64) -> Vec<String> {
    (first..)
        .zip(records)
        .map(|(lsn, record)| format!("{lsn} {record}"))
        .collect()
}
