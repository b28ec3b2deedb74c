//! Stories of contents that travel in parts.
#![expect(
    clippy::single_range_in_vec_init,
    reason = "one run of groups is a list of runs"
)]

use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::Arc;

use muster_proto::wire::bulk::GROUP_BYTES;

use super::*;

/// Lengths around every edge of a tree of groups.
const LENGTHS: [usize; 9] = [
    0,
    1,
    1_024,
    GROUP_BYTES as usize - 1,
    GROUP_BYTES as usize,
    GROUP_BYTES as usize + 1,
    3 * GROUP_BYTES as usize + 5_000,
    (1 << 20) + 1,
    (3 << 20) - 77,
];

#[test]
fn parts_of_any_length_arrive_in_any_order_and_make_the_whole() {
    for length in LENGTHS {
        let (source, target) = (World::new(), World::new());
        let bytes = pattern(length);
        let shape = source.keep(&bytes);
        let partial = Arc::new(target.store.partial(shape).unwrap());
        let groups = shape.groups();
        let cuts = [groups, groups * 2 / 3, groups / 3, 0];
        for run in cuts.windows(2).filter(|run| run[1] < run[0]) {
            let ranges = [run[1]..run[0]];
            let sent = source.sent(shape, &ranges);
            take(&partial, &ranges, &sent).unwrap();
        }
        assert_eq!(partial.missing(), []);
        target.store.publish(&partial).unwrap();
        assert_eq!(fs::read(target.store.path(shape.digest)).unwrap(), bytes);
        assert!(target.store.verify(shape.digest).unwrap());
        // The pairs have come along, so that it can be sent on at once.
        let all = [0..groups];
        assert_eq!(target.sent(shape, &all), source.sent(shape, &all));
        assert!(target.store.remove(shape.digest).unwrap());
        assert_eq!(target.files(), 0, "length {length}");
    }
}

#[test]
fn a_wrong_byte_is_found_in_its_group_and_what_came_before_stays() {
    let (source, target) = (World::new(), World::new());
    let shape = source.keep(&pattern(40 * GROUP_BYTES as usize));
    let partial = Arc::new(target.store.partial(shape).unwrap());
    let mut sent = source.sent(shape, &[0..40]);
    let middle = sent.len() / 2;
    sent[middle] ^= 1;
    let refused = take(&partial, &[0..40], &sent).unwrap_err();
    assert!(matches!(refused, ContentError::NotProved { .. }));
    let missing = partial.missing();
    assert!(
        missing[0].start >= 18 && missing[0].start <= 20,
        "{missing:?}"
    );
    assert!(target.store.publish(&partial).is_err());
    assert_eq!(target.store.contains(shape.digest), None);

    for liar in [vec![], vec![0; 5_000], sent[..700].to_vec()] {
        let world = World::new();
        let partial = Arc::new(world.store.partial(shape).unwrap());
        take(&partial, &[0..40], &liar).unwrap_err();
        assert_eq!(partial.missing(), [0..40]);
    }
}

#[test]
fn a_transfer_goes_on_where_another_process_was_killed() {
    let (source, target) = (World::new(), World::new());
    let bytes = pattern(100 * GROUP_BYTES as usize + 9);
    let shape = source.keep(&bytes);
    let partial = Arc::new(target.store.partial(shape).unwrap());
    let second = target.store.partial(shape);
    assert!(
        matches!(second, Err(ContentError::Busy { .. })),
        "one at a time"
    );
    for range in [10..20, 50..101] {
        let ranges = [range];
        let sent = source.sent(shape, &ranges);
        take(&partial, &ranges, &sent).unwrap();
    }
    // Somebody spoils a group of what is on the disk.
    let place = 60 * GROUP_BYTES + 5;
    partial.contents().write_all_at(b"spoiled", place).unwrap();
    drop(partial);
    assert_eq!(target.store.sweep().unwrap(), 0, "it is kept for the next");

    let partial = Arc::new(target.store.partial(shape).unwrap());
    let missing = partial.missing();
    assert_eq!(missing, [0..10, 20..50, 60..61]);
    let sent = source.sent(shape, &missing);
    assert!(
        sent.len() < 42 * GROUP_BYTES as usize,
        "nothing is sent again"
    );
    take(&partial, &missing, &sent).unwrap();
    target.store.publish(&partial).unwrap();
    assert_eq!(fs::read(target.store.path(shape.digest)).unwrap(), bytes);
}

#[test]
fn a_partial_of_another_length_is_begun_anew_and_one_that_nobody_wants_goes() {
    let (source, target) = (World::new(), World::new());
    let shape = source.keep(&pattern(10 * GROUP_BYTES as usize));
    let liar = Shape { bytes: 5, ..shape };
    drop(target.store.partial(liar).unwrap());
    let partial = Arc::new(target.store.partial(shape).unwrap());
    assert_eq!(partial.missing(), [0..10]);
    drop(partial);
    target.store.abandon(shape.digest).unwrap();
    assert_eq!(target.files(), 0);
    target.store.abandon(shape.digest).unwrap();

    let partial = Arc::new(target.store.partial(shape).unwrap());
    assert_eq!(
        target.store.sweep_partial(Duration::ZERO).unwrap(),
        0,
        "somebody receives it"
    );
    drop(partial);
    assert_eq!(target.store.sweep_partial(Duration::ZERO).unwrap(), 1);
    assert_eq!(target.files(), 0);
}

#[test]
fn what_has_come_is_served_before_the_rest_is_there() {
    let (source, target) = (World::new(), World::new());
    let shape = source.keep(&pattern(64 * GROUP_BYTES as usize));
    let partial = Arc::new(target.store.partial(shape).unwrap());
    let mut proving = Proving::partial(Arc::clone(&partial), &[0..64]);
    assert_eq!(proving.read(1 << 20).unwrap(), [], "nothing is here");
    let mut served = Vec::new();
    for range in [0..30, 40..64, 30..40] {
        let ranges = [range];
        let sent = source.sent(shape, &ranges);
        take(&partial, &ranges, &sent).unwrap();
        served.extend(proving.read(4 << 20).unwrap());
    }
    assert!(proving.is_done());
    assert_eq!(served, source.sent(shape, &[0..64]));
}

#[test]
fn rot_is_found_when_an_object_is_first_asked_for_in_parts() {
    let world = World::new();
    let shape = world.keep(&pattern(5 * GROUP_BYTES as usize));
    let path = world.store.path(shape.digest);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(b"rot").unwrap();
    let refused = world.store.prove(shape.digest, &[0..5]).unwrap_err();
    assert!(matches!(refused, ContentError::WrongDigest { .. }));
    assert_eq!(world.store.rotten(), 1);
    assert_eq!(world.store.contains(shape.digest), None);
    let gone = world.store.prove(shape.digest, &[0..5]).unwrap_err();
    assert!(matches!(gone, ContentError::Absent { .. }));
}

/// Takes in what a stream brings, in pieces as uneven as a network's.
fn take(
    partial: &Arc<Partial>,
    ranges: &[std::ops::Range<u64>],
    sent: &[u8],
) -> Result<(), ContentError> {
    let mut taking = partial.taking(ranges);
    let (_, mut brought) = taking.push(&[])?;
    let (mut left, mut length) = (sent, 1);
    while !left.is_empty() {
        let (now, later) = left.split_at(length.min(left.len()));
        (_, brought) = taking.push(now)?;
        (left, length) = (later, length * 3 % 70_001);
    }
    match brought {
        Brought::All => Ok(()),
        Brought::Some => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}

fn pattern(length: usize) -> Vec<u8> {
    let byte = |at: usize| (at / 7 % 251) as u8 ^ (at >> 12) as u8;
    (0..length).map(byte).collect()
}

impl World {
    fn keep(&self, bytes: &[u8]) -> Shape {
        let mut writer = self.store.writer(u64::MAX).unwrap();
        writer.write_all(bytes).unwrap();
        let (digest, bytes) = writer.finish(None).unwrap();
        Shape { digest, bytes }
    }

    fn sent(&self, shape: Shape, ranges: &[std::ops::Range<u64>]) -> Vec<u8> {
        let mut proving = self.store.prove(shape.digest, ranges).unwrap();
        let mut sent = Vec::new();
        while !proving.is_done() {
            sent.extend(proving.read(1).unwrap());
        }
        sent
    }

    /// How many files there are in the store, of any kind.
    fn files(&self) -> usize {
        let mut dirs = vec![self.store.root.clone()];
        let mut files = 0;
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(entry.path());
                } else {
                    files += 1;
                }
            }
        }
        files
    }
}
