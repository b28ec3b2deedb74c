//! Edited bytes: what a crash may leave is cut and told, everything else is refused and left as it is.

use std::fs;
use std::os::unix::fs::FileExt;

use super::super::format::{FRAME_BYTES, Frame, Kind, segment_path};
use super::*;

#[test]
fn a_last_frame_torn_at_any_byte_is_cut_and_told() {
    let source = tempfile::tempdir().unwrap();
    drop(filled(source.path(), &["first", "second", "the last one"]));
    let whole = trimmed(&last_segment(source.path()));
    let frame_bytes = FRAME_BYTES + "the last one".len();
    let at = whole.len() - frame_bytes;
    for kept in 0..frame_bytes {
        for zeros in [0, 1, 5_000] {
            let dir = copy_of(source.path());
            let file = last_segment(dir.path());
            fs::write(&file, [&whole[..at + kept], &vec![0; zeros]].concat()).unwrap();
            let torn = (kept > 0).then(|| Torn {
                file: file.clone(),
                at: at as u64,
                bytes: written(&whole, at, kept),
            });
            assert_eq!(verify(dir.path()).unwrap().torn, torn, "{kept} bytes kept");
            let (mut journal, recovery) = open(dir.path());
            assert_eq!(
                recovery,
                Recovery {
                    records: 2,
                    last: Lsn(2),
                    torn
                }
            );
            journal.append(b"after the crash");
            journal.commit().unwrap();
            drop(journal);
            assert_eq!(
                replayed(dir.path()),
                ["1 first", "2 second", "3 after the crash"]
            );
        }
    }
}

#[test]
fn a_flipped_byte_anywhere_is_refused_or_is_the_torn_last_frame() {
    let source = tempfile::tempdir().unwrap();
    let mut journal = filled(
        source.path(),
        &["one", "two", "three, which is so long that segments follow"],
    );
    append_all(
        &mut journal,
        &[
            "four is long enough too, so that there are three",
            "five of a batch",
            "six of it",
        ],
    );
    journal.commit().unwrap();
    drop(journal);
    assert!(verify(source.path()).unwrap().segments >= 2);
    let all = replayed(source.path());
    let last = last_segment(source.path());
    let files = image(source.path());
    for (file, bytes) in &files {
        let used = trimmed(file).len();
        let last_frame_at = if *file == last {
            used - FRAME_BYTES - "six of it".len()
        } else {
            usize::MAX
        };
        for at in 0..(used + 8).min(bytes.len()) {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                fs::write(file, &damaged).unwrap();
                let place = format!("{} byte {at} flip {flip:x}", file.display());
                if at >= used && *file != last {
                    assert_eq!(
                        verify(source.path()).unwrap().records,
                        6,
                        "{place}: room that no record uses"
                    );
                } else if at < last_frame_at {
                    let refusal = refused(source.path());
                    assert!(
                        !matches!(
                            refusal,
                            JournalError::Disk(_) | JournalError::Missing { .. }
                        ),
                        "{place}"
                    );
                } else {
                    let whole = if at < used { 5 } else { 6 };
                    let copy = copy_of(source.path());
                    let (_, recovery) = open(copy.path());
                    assert_eq!(recovery.records, whole, "{place}");
                    assert!(recovery.torn.is_some(), "{place}");
                    assert_eq!(replayed(copy.path()), all[..whole as usize]);
                }
            }
        }
        fs::write(file, bytes).unwrap();
    }
}

#[test]
fn sectors_that_the_last_write_lost_are_a_torn_tail_and_in_earlier_writes_damage() {
    let source = tempfile::tempdir().unwrap();
    let long = Limits {
        segment_bytes: 1 << 20,
    };
    let (mut journal, _) = Journal::open(source.path(), long, |_, _| {}).unwrap();
    let mut batches = Vec::new();
    for _ in 0..2 {
        (0..100).for_each(|n: u32| _ = journal.append(format!("record number {n}").as_bytes()));
        batches.push(PLATE_BYTES as u64 + journal.live_bytes());
        journal.commit().unwrap();
    }
    drop(journal);
    for sector in 0..batches[1] / 512 + 3 {
        let dir = copy_of(source.path());
        let file = fs::OpenOptions::new()
            .write(true)
            .open(last_segment(dir.path()))
            .unwrap();
        // A sector shared with what was durable before keeps that part.
        let (from, end) = (sector * 512, sector * 512 + 512);
        let from = if from < batches[1] {
            from.max(if end > batches[1] { batches[1] } else { 0 })
        } else {
            from
        };
        file.write_all_at(&vec![0; (end - from) as usize], from)
            .unwrap();
        if end <= batches[1] {
            let refusal = refused(dir.path());
            assert!(
                matches!(
                    refusal,
                    JournalError::Corrupt { .. } | JournalError::Foreign { .. }
                ),
                "{refusal}"
            );
        } else {
            let (_, recovery) = open(dir.path());
            assert!(
                (100..=200).contains(&recovery.records),
                "sector {sector}: {recovery:?}"
            );
            assert_eq!(replayed(dir.path()).len() as u64, recovery.records);
        }
    }
}

#[test]
fn what_was_cut_does_not_come_back_behind_what_is_written_next() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), Limits::default(), |_, _| {}).unwrap();
    let lost = "of a batch whose first record was lost".repeat(20);
    append_all(&mut journal, &[&lost, &lost, &lost]);
    journal.commit().unwrap();
    drop(journal);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(last_segment(dir.path()))
        .unwrap();
    file.write_all_at(&vec![0; FRAME_BYTES + lost.len()], PLATE_BYTES as u64)
        .unwrap();
    let (mut journal, recovery) = open(dir.path());
    assert!(
        recovery.records == 0 && recovery.torn.is_some(),
        "{recovery:?}"
    );
    let next = "x".repeat(lost.len());
    journal.append(next.as_bytes());
    journal.commit().unwrap();
    drop(journal);
    assert_eq!(verify(dir.path()).unwrap().torn, None);
    assert_eq!(replayed(dir.path()), [format!("1 {next}")]);
}

#[test]
fn a_payload_cannot_pass_for_a_frame() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), &["first"]));
    let salt = open(dir.path()).0.plate.salt;
    let mut forged = Vec::new();
    seal(
        &mut forged,
        salt.wrapping_add(1),
        Lsn(3),
        Lsn(2),
        b"what a submitter would like to be a record",
    );
    let (mut journal, _) = open(dir.path());
    journal.append(&forged);
    journal.commit().unwrap();
    drop(journal);
    let file = last_segment(dir.path());
    let mut bytes = trimmed(&file);
    *bytes.last_mut().unwrap() ^= 1;
    bytes[PLATE_BYTES + FRAME_BYTES + "first".len() + 4] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert!(
        open(dir.path()).1.torn.is_some(),
        "a forged frame made a torn tail look like damage"
    );
}

#[test]
fn a_file_that_is_gone_or_not_in_its_place_is_refused() {
    let source = tempfile::tempdir().unwrap();
    drop(filled(
        source.path(),
        &["a record of some length, so that segments are full soon"; 12],
    ));
    let segments = verify(source.path()).unwrap().segments;
    assert!(segments >= 3);
    for number in 1..=segments {
        let dir = copy_of(source.path());
        fs::remove_file(segment_path(dir.path(), 1, number)).unwrap();
        assert!(matches!(refused(dir.path()), JournalError::Missing { .. }));
    }
    let dir = copy_of(source.path());
    fs::remove_file(manifest_path(dir.path())).unwrap();
    assert!(matches!(refused(dir.path()), JournalError::Missing { .. }));

    let dir = copy_of(source.path());
    fs::copy(
        segment_path(dir.path(), 1, 1),
        segment_path(dir.path(), 1, 2),
    )
    .unwrap();
    assert!(matches!(refused(dir.path()), JournalError::Foreign { .. }));

    let (dir, other) = (copy_of(source.path()), tempfile::tempdir().unwrap());
    drop(filled(other.path(), &["another journal"]));
    fs::copy(
        segment_path(other.path(), 1, 1),
        segment_path(dir.path(), 1, 1),
    )
    .unwrap();
    assert!(matches!(refused(dir.path()), JournalError::Foreign { .. }));
}

#[test]
fn a_segment_cut_short_before_the_last_one_is_a_gap_or_damage() {
    let source = tempfile::tempdir().unwrap();
    drop(filled(
        source.path(),
        &["a record of some length, so that segments are full soon"; 6],
    ));
    let whole = trimmed(&segment_path(source.path(), 1, 1));
    for bytes in PLATE_BYTES..whole.len() {
        let dir = copy_of(source.path());
        fs::write(segment_path(dir.path(), 1, 1), &whole[..bytes]).unwrap();
        let refusal = refused(dir.path());
        assert!(
            matches!(
                refusal,
                JournalError::Gap { .. } | JournalError::Corrupt { .. }
            ),
            "{refusal}"
        );
    }
}

#[test]
fn a_later_version_is_refused_as_such() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), &["a"]));
    for file in [manifest_path(dir.path()), last_segment(dir.path())] {
        let good = fs::read(&file).unwrap();
        let mut later = good.clone();
        later[8] = 2;
        fs::write(&file, later).unwrap();
        assert!(matches!(
            refused(dir.path()),
            JournalError::Newer { version: 2, .. }
        ));
        fs::write(&file, good).unwrap();
    }
    assert_eq!(replayed(dir.path()), ["1 a"]);
}

#[test]
fn a_length_that_cannot_be_allocates_nothing_and_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), &["a", "b"]));
    let file = last_segment(dir.path());
    let mut bytes = fs::read(&file).unwrap();
    bytes[PLATE_BYTES..PLATE_BYTES + 4].fill(0xff);
    fs::write(&file, bytes).unwrap();
    let refusal = refused(dir.path());
    assert!(
        matches!(refusal, JournalError::Corrupt { at, lsn: Lsn(1), .. } if at == PLATE_BYTES as u64),
        "{refusal}"
    );
}

#[test]
fn a_plate_and_a_frame_do_not_decode_from_too_few_bytes() {
    let plate = Plate {
        salt: 1,
        generation: 1,
        number: 1,
        lsn: Lsn(1),
    };
    let bytes = plate.encode(Kind::Segment);
    for kept in 0..PLATE_BYTES {
        assert!(Plate::decode(Kind::Segment, Path::new("s"), &bytes[..kept]).is_err());
    }
    assert_eq!(Frame::decode(&[0; FRAME_BYTES]).bytes(), FRAME_BYTES as u64);
}

/// The error of opening, which is also that of verifying, and leaves every byte as it was.
fn refused(dir: &Path) -> JournalError {
    let before = image(dir);
    let refusal = Journal::open(dir, SMALL, |_, _| {}).expect_err("damage was accepted");
    assert!(
        before == image(dir),
        "a refusal changed the disk: {refusal}"
    );
    assert_eq!(verify(dir).unwrap_err().to_string(), refusal.to_string());
    assert_eq!(
        read(dir)
            .map(Iterator::last)
            .map_or(1, |end| end.map_or(0, |last| last.is_err().into())),
        1
    );
    refusal
}

/// How much of the first `kept` bytes from `at` on shows, zeros at the end being no sign of writing.
fn written(whole: &[u8], at: usize, kept: usize) -> u64 {
    whole[at..at + kept]
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |i| i as u64 + 1)
}

/// A segment without the room reserved behind its records; none of ours ends in zero.
fn trimmed(file: &Path) -> Vec<u8> {
    let mut bytes = fs::read(file).unwrap();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    bytes
}
