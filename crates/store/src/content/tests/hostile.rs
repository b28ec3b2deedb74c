//! What may be in the place of a store's files and directories, beside a canary; `docs/hostile.md` lists the cases.

#![expect(
    clippy::single_range_in_vec_init,
    reason = "one run of groups is a list of runs"
)]

use std::os::unix::net::UnixListener;
use std::sync::Arc;

use muster_canary::{Canary, assert_listed, skip};
use rustix::fs::{CWD, FileType, Mode};

use super::*;

/// A case by its name; it plants something, tries the store, and asserts what must come of it.
type Case = (&'static str, fn(&World, &Path));

#[test]
fn a_store_changes_nothing_but_its_own_files() {
    let cases: Vec<Case> = [
        objects(),
        placements(),
        partials(),
        proofs(),
        drafts(),
        directories(),
        adoptions(),
    ]
    .concat();
    for (case, attempt) in &cases {
        if case.ends_with("device") && !rustix::process::geteuid().is_root() {
            skip(case, "it takes root");
            continue;
        }
        let world = World::new();
        let canary = Canary::plant(&world.dir.path().join("canary"));
        attempt(&world, canary.path());
        canary.assert_untouched(case);
    }
    assert_listed("store", cases.iter().map(|(case, _)| *case));
}

fn objects() -> Vec<Case> {
    vec![
        ("store/object-is-a-link", |world, canary| {
            no_object(world, |path| {
                symlink(canary.join("precious"), path).unwrap()
            });
        }),
        ("store/object-is-a-dangling-link", |world, _| {
            no_object(world, |path| symlink("nowhere", path).unwrap());
        }),
        ("store/object-is-a-pipe", |world, _| no_object(world, pipe)),
        ("store/object-is-a-socket", |world, _| {
            no_object(world, |path| {
                // By a short way, for names of sockets are short.
                let dir = crate::own::Dir::open(path.parent().unwrap()).unwrap();
                drop(UnixListener::bind(dir.path().join("s")).unwrap());
                fs::rename(path.with_file_name("s"), path).unwrap();
            });
        }),
        ("store/object-is-a-device", |world, _| {
            no_object(world, device)
        }),
        ("store/object-is-a-directory", |world, canary| {
            let (digest, path) = absent(world);
            fs::create_dir(&path).unwrap();
            symlink(canary, path.join("link")).unwrap();
            is_absent(world, digest);
            assert!(matches!(
                world.store.remove(digest),
                Err(ContentError::Disk(_))
            ));
            let mut writer = world.store.writer(8).unwrap();
            writer.write_all(CONTENTS).unwrap();
            assert!(matches!(
                writer.finish(Some(digest)),
                Err(ContentError::Disk(_))
            ));
        }),
    ]
}

fn placements() -> Vec<Case> {
    vec![
        ("store/object-is-another-file", |world, canary| {
            let (digest, path) = absent(world);
            fs::hard_link(canary.join("precious"), &path).unwrap();
            let target = world.dir.path().join("placed");
            let refused = world
                .store
                .place(digest, &target, Placement::Copy, Use::Data);
            assert!(matches!(refused, Err(ContentError::WrongDigest { .. })));
            assert!(!world.store.verify(digest).unwrap());
            assert_eq!(world.store.contains(digest), None);
        }),
        ("store/program-is-a-link", |world, canary| {
            let (digest, _) = world.put(CONTENTS);
            let path = world.store.path_for(digest, Use::Program);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(canary.join("program"), &path).unwrap();
            let target = world.dir.path().join("placed");
            let refused = world
                .store
                .place(digest, &target, Placement::HardLink, Use::Program);
            assert!(matches!(refused, Err(ContentError::Absent { .. })));
            assert!(target.symlink_metadata().is_err(), "nothing is left there");
            assert!(!world.store.verify(digest).unwrap(), "and it goes");
        }),
        ("store/placed-upon-a-link", |world, canary| {
            let (digest, _) = world.put(CONTENTS);
            for (n, to) in [canary.join("precious"), canary.join("new")]
                .iter()
                .enumerate()
            {
                let target = world.dir.path().join(format!("placed-{n}"));
                symlink(to, &target).unwrap();
                for how in [Placement::Copy, Placement::HardLink] {
                    let refused = world.store.place(digest, &target, how, Use::Data);
                    assert!(matches!(refused, Err(ContentError::Disk(_))));
                }
            }
        }),
    ]
}

fn partials() -> Vec<Case> {
    vec![
        ("store/partial-is-a-link", |world, canary| {
            partial_anew(world, |path| {
                symlink(canary.join("precious"), path).unwrap()
            });
        }),
        ("store/partial-is-a-dangling-link", |world, canary| {
            partial_anew(world, |path| symlink(canary.join("new"), path).unwrap());
        }),
        ("store/partial-has-another-name", |world, canary| {
            partial_anew(world, |path| {
                fs::hard_link(canary.join("precious"), path).unwrap()
            });
        }),
        ("store/partial-is-a-pipe", |world, _| {
            partial_anew(world, pipe)
        }),
        ("store/partial-is-a-device", |world, _| {
            partial_anew(world, device)
        }),
        ("store/partial-is-a-directory", |world, canary| {
            let shape = shape();
            let path = world.store.partials().join(shape.digest.to_string());
            fs::create_dir(&path).unwrap();
            symlink(canary, path.join("link")).unwrap();
            assert!(matches!(
                world.store.partial(shape),
                Err(ContentError::Disk(_))
            ));
            assert!(world.store.abandon(shape.digest).is_err());
        }),
        ("store/old-partials-are-links-and-pipes", |world, canary| {
            let partials = world.store.partials();
            symlink(canary.join("precious"), partials.join(of(b"1").to_string())).unwrap();
            symlink(canary.join("pipe"), partials.join(of(b"2").to_string())).unwrap();
            symlink(canary, partials.join(of(b"3").to_string())).unwrap();
            pipe(&partials.join(of(b"4").to_string()));
            fs::hard_link(canary.join("twin"), partials.join(of(b"5").to_string())).unwrap();
            assert_eq!(world.store.sweep_partial(Duration::ZERO).unwrap(), 5);
            assert_eq!(fs::read_dir(partials).unwrap().count(), 0);
        }),
        ("store/length-that-no-disk-has", |world, _| {
            for bytes in [1 << 62, 1 << 63, u64::MAX] {
                let refused = world.store.partial(Shape { bytes, ..shape() });
                assert!(
                    matches!(refused, Err(ContentError::Disk(_))),
                    "{bytes}: {refused:?}"
                );
                assert_eq!(world.store.contains(shape().digest), None);
            }
        }),
    ]
}

fn proofs() -> Vec<Case> {
    vec![
        ("store/proof-is-a-link", |world, canary| {
            proved(world, |path| {
                symlink(canary.join("precious"), path).unwrap()
            });
        }),
        ("store/proof-is-a-pipe", |world, _| proved(world, pipe)),
        ("store/proof-is-a-device", |world, _| proved(world, device)),
        ("store/proof-lies", |world, _| {
            let shape = whole(world);
            world
                .store
                .prove(shape.digest, &[0..shape.groups()])
                .unwrap();
            let path = world.store.proof_path(shape.digest);
            fs::remove_file(&path).unwrap();
            fs::write(&path, vec![7; shape.pairs_bytes() as usize]).unwrap();
            let other = World::new();
            let refused = carry(world, &other, shape);
            assert!(matches!(refused, Err(ContentError::NotProved { .. })));
            assert_eq!(other.store.contains(shape.digest), None);
        }),
    ]
}

fn drafts() -> Vec<Case> {
    vec![
        ("store/drafts-are-links-and-pipes", |world, canary| {
            let drafts = world.store.drafts();
            symlink(canary.join("precious"), drafts.join("a")).unwrap();
            symlink(canary, drafts.join("b")).unwrap();
            symlink(canary.join("pipe"), drafts.join("c")).unwrap();
            pipe(&drafts.join("d"));
            fs::write(drafts.join("e"), "left").unwrap();
            assert_eq!(world.store.sweep().unwrap(), 1);
            assert!(!drafts.join("e").exists());
        }),
        ("store/draft-has-another-name", |world, canary| {
            fs::hard_link(canary.join("twin"), world.store.drafts().join("a")).unwrap();
            assert_eq!(world.store.sweep().unwrap(), 1);
        }),
    ]
}

fn directories() -> Vec<Case> {
    vec![
        (
            "store/directories-are-links-at-the-start",
            |world, canary| {
                for name in ["tmp", "partial", "objects", "objects-x", "proofs"] {
                    let path = world.store.root().join(name);
                    fs::remove_dir(&path).unwrap();
                    symlink(canary, &path).unwrap();
                    let refused = ContentStore::open(world.store.root());
                    assert!(matches!(refused, Err(ContentError::Disk(_))), "{name}");
                    fs::remove_file(&path).unwrap();
                    fs::create_dir(&path).unwrap();
                }
            },
        ),
        ("store/drafts-become-a-link", |world, canary| {
            turn(&world.store.drafts(), &canary.join("tmp"));
            assert!(matches!(world.store.writer(8), Err(ContentError::Disk(_))));
            assert!(matches!(world.store.sweep(), Err(ContentError::Disk(_))));
        }),
        ("store/partials-become-a-link", |world, canary| {
            turn(&world.store.partials(), &canary.join("partial"));
            assert!(matches!(
                world.store.partial(shape()),
                Err(ContentError::Disk(_))
            ));
            assert!(world.store.abandon(shape().digest).is_err());
            assert!(world.store.sweep_partial(Duration::ZERO).is_err());
        }),
        ("store/objects-become-a-link", |world, canary| {
            let digest = of(CONTENTS);
            let path = world.store.path(digest);
            symlink(canary.join("objects/0"), path.parent().unwrap()).unwrap();
            let mut writer = world.store.writer(8).unwrap();
            writer.write_all(CONTENTS).unwrap();
            assert!(matches!(
                writer.finish(Some(digest)),
                Err(ContentError::Disk(_))
            ));
            assert!(matches!(
                world.store.remove(digest),
                Err(ContentError::Disk(_))
            ));
            world.no_drafts_left();
        }),
        ("store/proofs-become-a-link", |world, canary| {
            let shape = whole(world);
            turn(&world.store.root().join("proofs"), &canary.join("objects"));
            let refused = world.store.prove(shape.digest, &[0..1]);
            assert!(matches!(refused, Err(ContentError::Disk(_))), "{refused:?}");
            assert!(matches!(
                world.store.remove(shape.digest),
                Err(ContentError::Disk(_))
            ));
        }),
    ]
}

fn adoptions() -> Vec<Case> {
    vec![
        ("store/adopted-link", |world, canary| {
            not_adopted(world, |path| {
                symlink(canary.join("precious"), path).unwrap()
            });
        }),
        ("store/adopted-pipe", |world, _| not_adopted(world, pipe)),
        ("store/adopted-device", |world, _| {
            not_adopted(world, device)
        }),
        ("store/adopted-directory", |world, canary| {
            not_adopted(world, |path| {
                fs::create_dir(path).unwrap();
                symlink(canary, path.join("link")).unwrap();
            });
        }),
        ("store/adopted-file-with-another-name", |world, canary| {
            let path = world.dir.path().join("output");
            fs::hard_link(canary.join("precious"), &path).unwrap();
            let (digest, _) = world.store.adopt(&path).unwrap();
            assert!(path.symlink_metadata().is_err());
            let object = fs::metadata(world.store.path(digest)).unwrap();
            assert_eq!(object.nlink(), 1, "a copy");
        }),
        ("store/adopted-file-with-set-id-bits", |world, _| {
            let path = world.file("output", CONTENTS);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o6777)).unwrap();
            let (digest, _) = world.store.adopt(&path).unwrap();
            assert_eq!(mode(&world.store.path(digest)), 0o444);
        }),
        ("store/imported-pipe-and-device", |world, canary| {
            for path in [canary.join("pipe"), "/dev/zero".into(), canary.to_owned()] {
                let refused = world.store.import(&path);
                assert!(matches!(refused, Err(ContentError::NotAFile { .. })));
            }
        }),
    ]
}

/// Something that is no file has the name of an object: the object is absent, and can be had again.
fn no_object(world: &World, plant: impl Fn(&Path)) {
    let (digest, path) = absent(world);
    plant(&path);
    is_absent(world, digest);
    assert!(
        !world.store.verify(digest).unwrap(),
        "what has the name goes"
    );
    assert!(path.symlink_metadata().is_err());
    plant(&path);
    world.put(CONTENTS);
    assert!(world.store.verify(digest).unwrap());
}

fn is_absent(world: &World, digest: Digest) {
    assert_eq!(world.store.contains(digest), None);
    assert_eq!(world.listed(), []);
    let absent = |error| matches!(error, ContentError::Absent { .. });
    assert!(absent(world.store.open_object(digest).unwrap_err()));
    assert!(absent(world.store.prove(digest, &[0..1]).unwrap_err()));
    let target = world.dir.path().join("placed");
    let copied = world
        .store
        .place(digest, &target, Placement::Copy, Use::Data);
    assert!(absent(copied.unwrap_err()));
    let linked = world
        .store
        .place(digest, &target, Placement::HardLink, Use::Data);
    assert!(linked.is_err());
    assert!(target.symlink_metadata().is_err(), "nothing is placed");
}

/// Something else has the names of partial contents: it loses them, and the contents arrive.
fn partial_anew(world: &World, plant: impl Fn(&Path)) {
    let source = World::new();
    let shape = whole(&source);
    let path = world.store.partials().join(shape.digest.to_string());
    plant(&path);
    plant(&path.with_extension("pairs"));
    carry(&source, world, shape).unwrap();
    assert!(world.store.verify(shape.digest).unwrap());
}

/// Carries contents from one store to another in parts.
fn carry(source: &World, target: &World, shape: Shape) -> Result<(), ContentError> {
    let partial = Arc::new(target.store.partial(shape)?);
    let all = [0..shape.groups()];
    let mut proving = source.store.prove(shape.digest, &all)?;
    partial.taking(&all).push(&proving.read(1 << 22)?)?;
    target.store.publish(&partial)
}

/// Something else has the name of an object's pairs: they are computed anew.
fn proved(world: &World, plant: impl Fn(&Path)) {
    let shape = whole(world);
    let path = world.store.proof_path(shape.digest);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    plant(&path);
    let other = World::new();
    carry(world, &other, shape).unwrap();
    assert!(path.symlink_metadata().unwrap().is_file());
}

fn not_adopted(world: &World, plant: impl Fn(&Path)) {
    let path = world.dir.path().join("output");
    plant(&path);
    let refused = world.store.adopt(&path);
    assert!(
        matches!(refused, Err(ContentError::NotAFile { .. })),
        "{refused:?}"
    );
    assert!(path.symlink_metadata().is_ok(), "it stays where it was");
    assert_eq!(world.listed(), []);
}

/// Where an object would be, its directory made.
fn absent(world: &World) -> (Digest, PathBuf) {
    let digest = of(CONTENTS);
    let path = world.store.path(digest);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    (digest, path)
}

/// Contents of several groups.
fn whole(world: &World) -> Shape {
    let (digest, bytes) = world.put(&vec![7; 100_000]);
    Shape { digest, bytes }
}

fn shape() -> Shape {
    Shape {
        digest: of(&[7; 100_000]),
        bytes: 100_000,
    }
}

fn pipe(path: &Path) {
    rustix::fs::mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
}

/// `/dev/zero`, under another name.
fn device(path: &Path) {
    let zero = rustix::fs::makedev(1, 5);
    rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::RUSR, zero).unwrap();
}

/// Puts a link in the place of an empty directory.
fn turn(dir: &Path, to: &Path) {
    fs::remove_dir(dir).unwrap();
    symlink(to, dir).unwrap();
}

const CONTENTS: &[u8] = b"contents";
