//! What may be among the stores of a host, beside a canary; `docs/hostile.md` lists the cases.

use std::os::unix::fs::{PermissionsExt, symlink};

use muster_canary::{Canary, assert_listed, skip};
use muster_proto::Digest;
use rustix::fs::{CWD, FileType, Mode};

use super::*;

/// A case by its name, what it plants among the stores, and what the first question must be answered.
type Case = (&'static str, fn(&Host), Answer);

/// What asking the neighbours must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Taken,
    Claimed,
    Refused,
}

#[test]
fn no_neighbour_is_believed_and_none_hides_another() {
    let cases: Vec<Case> = [entries(), contents(), claims()].concat();
    for (case, plant, wanted) in &cases {
        let takes_root = case.ends_with("another-user") || case.ends_with("device");
        if takes_root && !rustix::process::geteuid().is_root() {
            skip(case, "it takes root");
            continue;
        }
        let host = Host::new();
        plant(&host);
        let answer = match host.neighbours.share(&host.own, shape()) {
            Ok(Shared::Taken) => Answer::Taken,
            Ok(Shared::Claimed(claim)) => {
                claim.renew().unwrap();
                Answer::Claimed
            }
            Ok(Shared::Coming(_)) => panic!("{case}: nobody has claimed it"),
            Err(_) => Answer::Refused,
        };
        assert_eq!(answer, *wanted, "{case}");
        let held = host.own.contains(shape().digest);
        assert_eq!(held.is_some(), answer == Answer::Taken, "{case}");
        host.canary.assert_untouched(case);
        // A store that has them is found behind whatever else there is.
        if answer == Answer::Claimed {
            let honest = host.store("honest", CONTENTS);
            let _entered = Neighbours::join(&host.shared, &honest, "honest").unwrap();
            let shared = host.neighbours.share(&host.own, shape()).unwrap();
            assert!(matches!(shared, Shared::Taken), "{case}");
        }
        drop(host.neighbours);
        host.canary.assert_untouched(case);
    }
    joins();
    let joins = [
        "share/directory-is-a-link",
        "share/directory-is-open",
        "share/directory-of-another-user",
    ];
    assert_listed("share", cases.iter().map(|(case, ..)| *case).chain(joins));
}

/// A directory that is not this user's alone is not joined.
fn joins() {
    let host = Host::new();
    let alone = host.dir.path().join("alone");
    fs::create_dir(&alone).unwrap();
    for (case, to) in [
        ("a link", host.canary.path()),
        ("a link to a good one", &alone),
    ] {
        let link = host.dir.path().join("link");
        symlink(to, &link).unwrap();
        assert!(Neighbours::join(&link, &host.own, "x").is_err(), "{case}");
        fs::remove_file(link).unwrap();
    }
    for mode in [0o755, 0o710, 0o1777] {
        fs::set_permissions(&alone, fs::Permissions::from_mode(mode)).unwrap();
        assert!(
            Neighbours::join(&alone, &host.own, "x").is_err(),
            "{mode:o}"
        );
    }
    fs::set_permissions(&alone, fs::Permissions::from_mode(0o700)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&alone, Some(12_345), None).unwrap();
        assert!(Neighbours::join(&alone, &host.own, "x").is_err());
    } else {
        skip("share/directory-of-another-user", "it takes root");
    }
    host.canary.assert_untouched("a directory to be joined");
}

fn entries() -> Vec<Case> {
    let claimed = Answer::Claimed;
    vec![
        (
            "share/entry-is-a-pipe",
            |host| pipe(&host.shared.join("store-x")),
            claimed,
        ),
        (
            "share/entry-is-a-file",
            |host| fs::write(host.shared.join("store-x"), "x").unwrap(),
            claimed,
        ),
        (
            "share/entry-is-an-empty-directory",
            |host| fs::create_dir(host.shared.join("store-x")).unwrap(),
            claimed,
        ),
        (
            "share/entry-leads-nowhere",
            |host| symlink("nowhere", host.shared.join("store-x")).unwrap(),
            claimed,
        ),
        (
            "share/entry-leads-to-itself",
            |host| symlink("store-x", host.shared.join("store-x")).unwrap(),
            claimed,
        ),
        (
            "share/entry-leads-to-what-is-no-store",
            |host| host.enter(host.canary.path()),
            claimed,
        ),
        (
            "share/entry-leads-to-a-file",
            |host| host.enter(&host.canary.path().join("precious")),
            claimed,
        ),
        (
            "share/entry-leads-to-a-pipe",
            |host| host.enter(&host.canary.path().join("pipe")),
            claimed,
        ),
    ]
}

fn contents() -> Vec<Case> {
    let claimed = Answer::Claimed;
    vec![
        (
            "share/contents-are-a-link",
            |host| host.replace(|path| symlink(host.canary.path().join("precious"), path).unwrap()),
            claimed,
        ),
        (
            "share/contents-are-a-link-to-them",
            |host| {
                let right = host.dir.path().join("right");
                fs::write(&right, CONTENTS).unwrap();
                host.replace(|path| symlink(&right, path).unwrap());
            },
            claimed,
        ),
        (
            "share/contents-are-a-pipe",
            |host| host.replace(pipe),
            claimed,
        ),
        (
            "share/contents-are-a-directory",
            |host| host.replace(|path| fs::create_dir(path).unwrap()),
            claimed,
        ),
        (
            "share/contents-are-wrong",
            |host| host.replace(|path| fs::write(path, "c0ntents").unwrap()),
            claimed,
        ),
        (
            "share/contents-are-shorter",
            |host| host.replace(|path| fs::write(path, "c").unwrap()),
            claimed,
        ),
        (
            "share/contents-are-all-hole",
            |host| {
                host.replace(|path| {
                    File::create(path).unwrap().set_len(1 << 43).unwrap();
                })
            },
            claimed,
        ),
        (
            "share/contents-of-another-user",
            |host| {
                host.replace(|path| {
                    fs::write(path, CONTENTS).unwrap();
                    std::os::unix::fs::chown(path, Some(12_345), Some(12_345)).unwrap();
                })
            },
            Answer::Taken,
        ),
    ]
}

fn claims() -> Vec<Case> {
    let claimed = Answer::Claimed;
    vec![
        (
            "share/claim-is-a-link",
            |host| symlink(host.canary.path().join("precious"), host.claim()).unwrap(),
            claimed,
        ),
        (
            "share/claim-is-a-dangling-link",
            |host| symlink(host.canary.path().join("new"), host.claim()).unwrap(),
            claimed,
        ),
        (
            "share/claim-has-another-name",
            |host| fs::hard_link(host.canary.path().join("precious"), host.claim()).unwrap(),
            claimed,
        ),
        ("share/claim-is-a-pipe", |host| pipe(&host.claim()), claimed),
        (
            "share/claim-is-a-device",
            |host| {
                let null = rustix::fs::makedev(1, 3);
                rustix::fs::mknodat(
                    CWD,
                    host.claim(),
                    FileType::CharacterDevice,
                    Mode::RUSR,
                    null,
                )
                .unwrap();
            },
            claimed,
        ),
        (
            "share/claim-is-a-directory",
            |host| fs::create_dir(host.claim()).unwrap(),
            Answer::Refused,
        ),
        (
            "share/directory-becomes-a-link",
            |host| {
                fs::rename(&host.shared, host.dir.path().join("moved")).unwrap();
                symlink(host.canary.path(), &host.shared).unwrap();
            },
            Answer::Refused,
        ),
    ]
}

/// An own store that has joined, a directory of the host, and a canary.
struct Host {
    dir: tempfile::TempDir,
    shared: PathBuf,
    own: ContentStore,
    neighbours: Neighbours,
    canary: Canary,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shared = dir.path().join("shared");
        let own = ContentStore::open(&dir.path().join("own")).unwrap();
        let neighbours = Neighbours::join(&shared, &own, "own").unwrap();
        let canary = Canary::plant(&dir.path().join("canary"));
        Self {
            dir,
            shared,
            own,
            neighbours,
            canary,
        }
    }

    /// A store that holds `contents`.
    fn store(&self, name: &str, contents: &[u8]) -> ContentStore {
        let store = ContentStore::open(&self.dir.path().join(name)).unwrap();
        let mut writer = store.writer(contents.len() as u64).unwrap();
        writer.write_all(contents).unwrap();
        writer.finish(None).unwrap();
        store
    }

    fn enter(&self, path: &Path) {
        symlink(path, self.shared.join("store-x")).unwrap();
    }

    /// Enters a store in which the contents are what `plant` makes.
    fn replace(&self, plant: impl Fn(&Path)) {
        let store = self.store("rotten", CONTENTS);
        let path = store.path(shape().digest);
        fs::remove_file(&path).unwrap();
        plant(&path);
        self.enter(store.root());
    }

    fn claim(&self) -> PathBuf {
        self.shared.join(format!("{CLAIM}{}", shape().digest))
    }
}

fn shape() -> Shape {
    Shape {
        digest: Digest(*blake3::hash(CONTENTS).as_bytes()),
        bytes: CONTENTS.len() as u64,
    }
}

fn pipe(path: &Path) {
    rustix::fs::mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
}

const CONTENTS: &[u8] = b"contents";
