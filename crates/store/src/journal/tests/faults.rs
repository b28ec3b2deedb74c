//! A disk that fails: at one system call, or at all from one on, which is what a crash looks like to it.

use super::*;

#[test]
fn a_commit_that_fails_at_any_step_acknowledges_nothing_and_succeeds_later_exactly_once() {
    for (errno, is_full) in [
        (Errno::NOSPC, true),
        (Errno::DQUOT, true),
        (Errno::IO, false),
        (Errno::ROFS, false),
    ] {
        for step in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let mut journal = filled(dir.path(), &["a", "b"]);
            append_all(
                &mut journal,
                &[
                    "c",
                    "a long record that makes the next commit start a segment",
                    "d",
                ],
            );
            journal.append(&[b'e'; 200]);
            let (result, steps) = fault::with(Plan::Once(step), errno, || journal.commit());
            if step >= steps {
                break;
            }
            let error = result.unwrap_err();
            assert_eq!(matches!(error, JournalError::Full(_)), is_full, "{error}");
            assert_eq!(journal.durable(), Lsn(2), "nothing was acknowledged");
            assert!(journal.pending_bytes() > 200, "and nothing is lost");
            assert_eq!(journal.append(b"f"), Lsn(7));
            assert_eq!(journal.commit().unwrap(), Lsn(7));
            assert_eq!(journal.append(b"g"), Lsn(8));
            assert_eq!(journal.commit().unwrap(), Lsn(8));
            drop(journal);
            let records = replayed(dir.path());
            assert_eq!(
                (records.len(), &records[5][..3], &records[7][..]),
                (8, "6 e", "8 g")
            );
        }
    }
}

#[test]
fn a_half_written_tail_is_passed_over_when_the_next_segment_holds_its_records() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), Limits::default(), |_, _| {}).unwrap();
    journal.append(b"acknowledged");
    journal.commit().unwrap();
    append_all(&mut journal, &["half", "written", "then whole"]);
    // Step 0 is the write (half of it gets through), step 1 the sync (all of it is there, perhaps).
    for step in 0..2 {
        fault::with(Plan::Once(step), Errno::IO, || journal.commit())
            .0
            .unwrap_err();
    }
    journal.commit().unwrap();
    assert_eq!(
        journal.plate.number, 2,
        "segments in which nothing was acknowledged are used again"
    );
    drop(journal);
    assert_eq!(
        replayed(dir.path()),
        ["1 acknowledged", "2 half", "3 written", "4 then whole"]
    );
}

#[test]
fn trouble_that_lasts_does_not_litter_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = filled(dir.path(), &["a"]);
    journal.append(b"b");
    for _ in 0..50 {
        for step in 0..9 {
            fault::with(Plan::Once(step), Errno::NOSPC, || journal.commit())
                .0
                .unwrap_err();
        }
    }
    journal.commit().unwrap();
    assert!(image(dir.path()).len() <= 4, "{:?}", names(dir.path()));
    drop(journal);
    assert_eq!(replayed(dir.path()), ["1 a", "2 b"]);
}

#[test]
fn a_crash_at_any_step_loses_nothing_that_was_acknowledged() {
    let texts: Vec<String> = (1..=12)
        .map(|n| format!("the record of number {n}, {}", "x".repeat(n * 9)))
        .collect();
    for step in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/by/opening");
        let mut acknowledged = 0;
        let (_, steps) = fault::with(
            Plan::From(step),
            Errno::IO,
            || -> Result<(), JournalError> {
                let (mut journal, _) = Journal::open(&path, SMALL, |_, _| {})?;
                for pair in texts.chunks(2) {
                    pair.iter()
                        .for_each(|text| _ = journal.append(text.as_bytes()));
                    acknowledged = journal.commit()?.0;
                }
                Ok(())
            },
        );
        // A crash while opening after the crash loses nothing either.
        fault::with(Plan::From(step % 4), Errno::IO, || {
            _ = Journal::open(&path, SMALL, |_, _| {})
        });
        let (_, recovery) = open(&path);
        assert!(
            recovery.records >= acknowledged,
            "step {step}: {recovery:?}, acknowledged {acknowledged}"
        );
        let expected: Vec<_> = texts
            .iter()
            .zip(1..=recovery.records)
            .map(|(text, lsn)| format!("{lsn} {text}"))
            .collect();
        assert_eq!(replayed(&path), expected);
        if step >= steps {
            assert_eq!(acknowledged, 12);
            break;
        }
    }
}
