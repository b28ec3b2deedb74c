//! The store's promises as stories.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::SystemTime;

use super::*;

mod hostile;
mod parts;

#[test]
fn contents_appear_under_their_digest_when_whole() {
    let world = World::new();
    let mut writer = world.store.writer(100).unwrap();
    writer.write_all(b"hello ").unwrap();
    assert_eq!(world.listed(), []);
    writer.write_all(b"world").unwrap();
    let (digest, size) = writer.finish(Some(of(b"hello world"))).unwrap();
    assert_eq!((digest, size), (of(b"hello world"), 11));
    assert_eq!(world.store.contains(digest), Some(11));
    let mut text = String::new();
    world
        .store
        .open_object(digest)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "hello world");
    assert_eq!(mode(&world.store.path(digest)), 0o444);
    world.no_drafts_left();
}

#[test]
fn wrong_bytes_never_become_visible() {
    let world = World::new();
    let mut writer = world.store.writer(100).unwrap();
    writer.write_all(b"poison").unwrap();
    let refusal = writer.finish(Some(of(b"medicine"))).unwrap_err();
    assert!(
        matches!(refusal, ContentError::WrongDigest { wanted, found } if wanted == of(b"medicine") && found == of(b"poison"))
    );
    assert_eq!(world.store.contains(of(b"medicine")), None);
    assert_eq!(world.store.contains(of(b"poison")), None);

    let mut writer = world.store.writer(6).unwrap();
    writer.write_all(b"poison").unwrap();
    assert!(matches!(
        writer.write_all(b"!"),
        Err(ContentError::TooLong { bytes_max: 6 })
    ));
    drop(writer);
    assert_eq!(world.listed(), []);
    world.no_drafts_left();
}

#[test]
fn many_may_write_the_same_contents_at_once() {
    let world = World::new();
    let bytes = vec![5; 300_000];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut writer = world.store.writer(u64::MAX).unwrap();
                bytes
                    .chunks(1_000)
                    .for_each(|piece| writer.write_all(piece).unwrap());
                writer.finish(Some(of(&bytes))).unwrap();
                assert!(world.store.verify(of(&bytes)).unwrap());
            });
        }
    });
    assert_eq!(world.listed(), [(of(&bytes), 300_000)]);
    world.no_drafts_left();
}

#[test]
fn imports_copy_and_adoptions_move() {
    let world = World::new();
    let file = world.file("input", b"bytes of an input");
    symlink(&file, world.dir.path().join("alias")).unwrap();
    let stored = (of(b"bytes of an input"), 17);
    assert_eq!(world.store.import(&file).unwrap(), stored);
    assert_eq!(
        world.store.import(&world.dir.path().join("alias")).unwrap(),
        stored,
        "links may lead to inputs"
    );
    assert!(file.exists());
    assert_eq!(world.store.adopt(&file).unwrap(), stored);
    assert!(!file.exists());
    assert_eq!(world.listed(), [stored]);
    assert_eq!(mode(&world.store.path(stored.0)), 0o444);
    world.no_drafts_left();
}

#[test]
fn a_file_with_another_name_is_adopted_as_a_copy() {
    let world = World::new();
    let file = world.file("output", b"shared");
    let other = world.dir.path().join("still writable elsewhere");
    fs::hard_link(&file, &other).unwrap();
    let (digest, _) = world.store.adopt(&file).unwrap();
    assert!(!file.exists());
    fs::write(&other, b"rewritten").unwrap();
    assert!(world.store.verify(digest).unwrap());
}

#[test]
fn only_regular_files_are_adopted() {
    let world = World::new();
    let target = world.file("secret", b"of the host");
    let paths = ["link", "pipe", "dir", "socket", "device"].map(|name| world.dir.path().join(name));
    symlink(&target, &paths[0]).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(&paths[1])
            .status()
            .unwrap()
            .success()
    );
    fs::create_dir(&paths[2]).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&paths[3]).unwrap();
    symlink("/dev/zero", &paths[4]).unwrap();
    for path in &paths {
        let refusal = world.store.adopt(path).unwrap_err();
        assert!(
            matches!(refusal, ContentError::NotAFile { .. }),
            "{refusal}"
        );
        assert!(path.symlink_metadata().is_ok(), "and it stays where it was");
    }
    for path in &paths[1..] {
        assert!(matches!(
            world.store.import(path),
            Err(ContentError::NotAFile { .. })
        ));
    }
    assert!(matches!(
        world.store.adopt(Path::new("/nowhere")),
        Err(ContentError::Disk(_))
    ));
    assert_eq!(world.listed(), []);
    world.no_drafts_left();
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_stored() {
    let world = World::new();
    let changes: [fn(&Path); 4] = [
        |file| fs::write(file, b"longer than before").unwrap(),
        |file| fs::write(file, b"cut").unwrap(),
        |file| {
            File::options()
                .write(true)
                .open(file)
                .unwrap()
                .set_modified(std::time::UNIX_EPOCH)
                .unwrap()
        },
        |file| fs::rename(replacement(file), file).unwrap(),
    ];
    for change in changes {
        let file = world.file("input", b"before");
        let mut source = Source::open(&file, OFlags::empty()).unwrap();
        change(&file);
        let mut writer = world.store.writer(source.stamp.size).unwrap();
        let copied = source
            .copy_to(&mut writer)
            .and_then(|()| source.check(&fs::metadata(&file).unwrap()));
        assert!(matches!(copied, Err(ContentError::Changed { .. })));
    }
    assert_eq!(world.listed(), []);
    world.no_drafts_left();
}

#[test]
fn a_file_swapped_between_hashing_and_moving_is_given_back() {
    let world = World::new();
    let file = world.file("output", b"hashed");
    let mut source = Source::open(&file, OFlags::NOFOLLOW).unwrap();
    let digest = source.hash().unwrap();
    fs::rename(replacement(&file), &file).unwrap();
    let draft = fresh_path(&world.store.drafts()).expect("the system gives random bytes");
    fs::rename(&file, &draft).unwrap();
    assert!(matches!(
        world.store.take_in(source, draft, digest),
        Err(ContentError::Changed { .. })
    ));
    assert_eq!(fs::read(&file).unwrap(), b"before");
    assert_eq!(world.listed(), []);
    world.no_drafts_left();
}

#[test]
fn the_rescan_lists_objects_and_nothing_else() {
    let world = World::new();
    let mut all: Vec<_> = (0..40_u8).map(|n| world.put(&vec![n; n.into()])).collect();
    fs::write(world.store.objects(Use::Data).join("00-notes"), b"not ours").unwrap();
    fs::write(
        world.store.path(all[0].0).with_file_name("notes"),
        b"not ours",
    )
    .unwrap();
    all.sort_unstable();
    assert_eq!(world.listed(), all);
    assert!(world.store.remove(all[3].0).unwrap());
    assert!(!world.store.remove(all[3].0).unwrap());
    all.remove(3);
    assert_eq!(world.listed(), all);
    let reopened = ContentStore::open(&world.dir.path().join("store")).unwrap();
    assert_eq!(reopened.list().count(), 39);
}

#[test]
fn rot_is_found_removed_and_counted() {
    let world = World::new();
    let (sound, rotten, short) = (
        world.put(b"sound").0,
        world.put(b"rotten").0,
        world.put(b"short").0,
    );
    world.overwrite(rotten, b"rottem");
    world.overwrite(short, b"");
    assert!(world.store.verify(sound).unwrap());
    assert!(!world.store.verify(rotten).unwrap());
    assert!(!world.store.verify(short).unwrap());
    assert_eq!(world.store.rotten(), 2);
    assert_eq!(world.listed(), [(sound, 5)]);
    assert!(matches!(
        world.store.verify(rotten),
        Err(ContentError::Absent { .. })
    ));
    world.put(b"rotten");
    assert!(world.store.verify(rotten).unwrap());
}

#[test]
fn contents_are_placed_as_links_or_copies() {
    let world = World::new();
    let (digest, _) = world.put(b"an input");
    let [linked, copied] = ["linked", "copied"].map(|name| world.dir.path().join(name));
    world
        .store
        .place(digest, &linked, Placement::HardLink, Use::Data)
        .unwrap();
    world
        .store
        .place(digest, &copied, Placement::Copy, Use::Data)
        .unwrap();
    assert_eq!(inode(&linked), inode(&world.store.path(digest)));
    assert_eq!((mode(&linked), mode(&copied)), (0o444, 0o644));
    fs::write(&copied, b"written by the task").unwrap();
    assert!(
        world.store.verify(digest).unwrap(),
        "a copy is the task's own"
    );
    assert!(
        world
            .store
            .place(digest, &linked, Placement::HardLink, Use::Data)
            .is_err(),
        "nothing is replaced"
    );
    assert!(
        world
            .store
            .place(digest, &copied, Placement::Copy, Use::Data)
            .is_err()
    );
    let absent = of(b"absent");
    for usage in [Use::Data, Use::Program] {
        for placement in [Placement::HardLink, Placement::Copy] {
            let refusal = world
                .store
                .place(absent, &world.dir.path().join("x"), placement, usage)
                .unwrap_err();
            assert!(
                matches!(refusal, ContentError::Absent { digest } if digest == absent),
                "{refusal}"
            );
        }
    }
}

#[test]
fn rotten_bytes_are_not_copied_to_a_task() {
    let world = World::new();
    let (digest, _) = world.put(b"good");
    world.overwrite(digest, b"evil");
    let target = world.dir.path().join("target");
    for (placement, usage) in [
        (Placement::Copy, Use::Data),
        (Placement::HardLink, Use::Data),
        (Placement::HardLink, Use::Program),
    ] {
        let refusal = world
            .store
            .place(digest, &target, placement, usage)
            .unwrap_err();
        assert!(
            matches!(refusal, ContentError::WrongDigest { .. }),
            "{refusal}"
        );
        assert!(!target.exists());
    }
    world.no_drafts_left();
}

/// X4: what was right when it was last linked may not be now.
#[test]
fn a_file_that_was_written_to_is_read_again_before_it_is_linked() {
    let world = World::new();
    let (digest, _) = world.put(b"good");
    let before = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let settle = |usage| {
        let file = File::open(world.store.path_for(digest, usage)).unwrap();
        file.set_modified(before).unwrap();
    };
    let place = |name: &str, usage| {
        let target = world.dir.path().join(name);
        world
            .store
            .place(digest, &target, Placement::HardLink, usage)
    };
    for usage in [Use::Data, Use::Program] {
        place(&format!("{usage:?}-first"), usage).unwrap();
        settle(usage);
        place(&format!("{usage:?}-second"), usage).unwrap();
        place(&format!("{usage:?}-third"), usage).unwrap();
        let path = world.store.path_for(digest, usage);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, b"evil").unwrap();
        let refused = place(&format!("{usage:?}-fourth"), usage).unwrap_err();
        assert!(
            matches!(refused, ContentError::WrongDigest { .. }),
            "{refused}"
        );
        fs::write(&path, b"good").unwrap();
    }
}

#[test]
fn a_program_is_a_variant_made_once_and_gone_with_its_contents() {
    let world = World::new();
    let (digest, _) = world.put(b"#!/bin/sh\nexit 7\n");
    let [first, second, own] = ["first", "second", "own"].map(|name| world.dir.path().join(name));
    world
        .store
        .place(digest, &first, Placement::HardLink, Use::Program)
        .unwrap();
    world
        .store
        .place(digest, &second, Placement::HardLink, Use::Program)
        .unwrap();
    world
        .store
        .place(digest, &own, Placement::Copy, Use::Program)
        .unwrap();
    assert_eq!(inode(&first), inode(&second));
    assert_eq!((mode(&first), mode(&own)), (0o555, 0o755));
    assert_eq!(mode(&world.store.path(digest)), 0o444);
    assert!(world.store.verify(digest).unwrap());
    assert_eq!(world.listed().len(), 1, "the variant is not listed");
    assert!(world.store.remove(digest).unwrap());
    assert!(!world.store.path_for(digest, Use::Program).exists());
}

#[test]
fn only_the_drafts_of_the_dead_are_swept() {
    let world = World::new();
    let leftover = world.store.drafts().join("4000000000-7");
    fs::write(&leftover, b"half a file").unwrap();
    let mut writer = world.store.writer(10).unwrap();
    writer.write_all(b"alive").unwrap();
    let reopened = ContentStore::open(&world.dir.path().join("store")).unwrap();
    assert_eq!(reopened.sweep().unwrap(), 1);
    assert!(!leftover.exists());
    writer.finish(Some(of(b"alive"))).unwrap();
    world.no_drafts_left();
}

struct World {
    dir: tempfile::TempDir,
    store: ContentStore,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(&dir.path().join("store")).unwrap();
        Self { dir, store }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn put(&self, bytes: &[u8]) -> (Digest, u64) {
        let mut writer = self.store.writer(u64::MAX).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish(Some(of(bytes))).unwrap()
    }

    /// What a failing disk does to an object.
    fn overwrite(&self, digest: Digest, bytes: &[u8]) {
        let path = self.store.path(digest);
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }

    fn listed(&self) -> Vec<(Digest, u64)> {
        let mut all: Vec<_> = self
            .store
            .list()
            .map(|found| found.unwrap())
            .map(|found| (found.digest, found.size))
            .collect();
        all.sort_unstable();
        all
    }

    fn no_drafts_left(&self) {
        assert_eq!(fs::read_dir(self.store.drafts()).unwrap().count(), 0);
    }
}

/// A file beside `file` with the same length and time as the one that says "before".
fn replacement(file: &Path) -> PathBuf {
    let path = file.with_extension("new");
    fs::write(&path, b"before").unwrap();
    let time = fs::metadata(file).unwrap().modified().unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(time)
        .unwrap();
    path
}

fn of(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

fn inode(path: &Path) -> u64 {
    path.symlink_metadata().unwrap().ino()
}
