//! What may be where a result is to be, beside a canary; `docs/hostile.md` lists the cases.

use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;

use muster_canary::{Canary, assert_listed, skip};
use rustix::fs::{FileType, mkfifoat, mknodat};

use super::*;

/// A case by its name, what it plants in the directory of results, the result's name, and whether that is placed.
type Case = (&'static str, fn(&Path, &Path), &'static str, Placed);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placed {
    /// A new file has the name.
    Anew,
    /// It is refused, and what was there is there.
    Not,
}

#[test]
fn a_result_is_placed_under_its_own_name_or_not_at_all() {
    let cases: Vec<Case> = [links(), others(), ways()].concat();
    for &(case, plant, name, placed) in &cases {
        if case.ends_with("device") && !rustix::process::geteuid().is_root() {
            skip(case, "it takes root");
            continue;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let canary = Canary::plant(&dir.path().join("canary"));
        let results = dir.path().join("results");
        fs::create_dir(&results).expect("a directory");
        plant(&results, canary.path());
        let before = names(&results);
        let target = results.join(name);
        match place(&results, name) {
            Ok(verified) => {
                assert_eq!(
                    (verified, placed),
                    (Verified::Placed, Placed::Anew),
                    "{case}"
                );
                let found = fs::symlink_metadata(&target).expect("a file");
                assert!(found.is_file() && found.nlink() == 1, "{case}");
                assert_eq!(
                    found.mode() & 0o7022,
                    0,
                    "{case}: no bit that nobody asked for"
                );
                assert_eq!(fs::read(&target).expect("a file"), RESULT, "{case}");
            }
            Err(error) => {
                assert_eq!(placed, Placed::Not, "{case}: {error}");
                assert_eq!(names(&results), before, "{case}: nothing is left");
            }
        }
        canary.assert_untouched(case);
    }
    drafts();
    assert_listed("client", cases.iter().map(|(case, ..)| *case).chain(DRAFTS));
}

fn links() -> Vec<Case> {
    vec![
        (
            "client/link-to-a-file",
            |dir, canary| symlink(canary.join("precious"), dir.join("out")).expect("a link"),
            "out",
            Placed::Anew,
        ),
        (
            "client/link-to-nothing",
            |dir, canary| symlink(canary.join("new"), dir.join("out")).expect("a link"),
            "out",
            Placed::Anew,
        ),
        (
            "client/link-to-a-directory",
            |dir, canary| symlink(canary, dir.join("out")).expect("a link"),
            "out",
            Placed::Anew,
        ),
        (
            "client/link-to-itself",
            |dir, _| symlink("out", dir.join("out")).expect("a link"),
            "out",
            Placed::Anew,
        ),
        (
            "client/another-name-of-a-file",
            |dir, canary| fs::hard_link(canary.join("precious"), dir.join("out")).expect("a name"),
            "out",
            Placed::Anew,
        ),
    ]
}

fn others() -> Vec<Case> {
    vec![
        (
            "client/read-only-file",
            |dir, _| {
                fs::write(dir.join("out"), "old").expect("a file");
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4000);
                fs::set_permissions(dir.join("out"), mode).expect("a mode");
            },
            "out",
            Placed::Anew,
        ),
        (
            "client/pipe",
            |dir, _| mkfifoat(CWD, dir.join("out"), Mode::RWXU).expect("a pipe"),
            "out",
            Placed::Anew,
        ),
        (
            "client/socket",
            |dir, _| drop(UnixListener::bind(dir.join("out")).expect("a socket")),
            "out",
            Placed::Anew,
        ),
        (
            "client/device",
            |dir, _| {
                let zero = rustix::fs::makedev(1, 5);
                mknodat(
                    CWD,
                    dir.join("out"),
                    FileType::CharacterDevice,
                    Mode::RWXU,
                    zero,
                )
                .expect("a device");
            },
            "out",
            Placed::Anew,
        ),
        (
            "client/directory",
            |dir, canary| {
                fs::create_dir(dir.join("out")).expect("a directory");
                symlink(canary, dir.join("out/link")).expect("a link");
            },
            "out",
            Placed::Not,
        ),
    ]
}

fn ways() -> Vec<Case> {
    vec![
        (
            "client/way-through-a-link",
            |dir, canary| symlink(canary, dir.join("d")).expect("a link"),
            "d/out",
            Placed::Not,
        ),
        (
            "client/way-through-a-link-upwards",
            |dir, _| symlink("..", dir.join("d")).expect("a link"),
            "d/canary/precious",
            Placed::Not,
        ),
        (
            "client/way-through-a-deeper-link",
            |dir, canary| {
                fs::create_dir(dir.join("d")).expect("a directory");
                symlink(canary, dir.join("d/e")).expect("a link");
            },
            "d/e/inner/out",
            Placed::Not,
        ),
        (
            "client/way-through-a-link-to-nothing",
            |dir, canary| symlink(canary.join("new"), dir.join("d")).expect("a link"),
            "d/out",
            Placed::Not,
        ),
        (
            "client/way-through-a-pipe",
            |dir, _| mkfifoat(CWD, dir.join("d"), Mode::RWXU).expect("a pipe"),
            "d/out",
            Placed::Not,
        ),
        (
            "client/way-through-another-result",
            |dir, _| fs::write(dir.join("d"), "a result").expect("a file"),
            "d/out",
            Placed::Not,
        ),
    ]
}

/// What is checked of a draft while it is written, rather than of a name.
const DRAFTS: [&str; 3] = [
    "client/wrong-contents-over-a-link",
    "client/way-turned-while-written",
    "client/drafts-have-names-of-chance",
];

fn drafts() {
    let dir = tempfile::tempdir().expect("a directory");
    let canary = Canary::plant(&dir.path().join("canary"));
    let results = dir.path().join("results");
    let root = Root::open(&results).expect("a root");
    let out = RelPath::new("d/out").expect("a name");

    let mut draft = root.draft(&out, Bits::Data).expect("a draft");
    symlink(canary.path().join("precious"), results.join("d/out")).expect("a link");
    draft.write(b"forged").expect("written");
    let judged = draft.finish(digest(RESULT)).expect("judged");
    assert_eq!(judged, Verified::Wrong);
    assert!(
        results.join("d/out").is_symlink(),
        "what was there is there"
    );
    canary.assert_untouched(DRAFTS[0]);

    let mut draft = root.draft(&out, Bits::Program).expect("a draft");
    draft.write(RESULT).expect("written");
    fs::rename(results.join("d"), results.join("e")).expect("renamed");
    symlink(canary.path(), results.join("d")).expect("a link");
    assert_eq!(
        draft.finish(digest(RESULT)).expect("judged"),
        Verified::Placed
    );
    assert_eq!(fs::read(results.join("e/out")).expect("a file"), RESULT);
    canary.assert_untouched(DRAFTS[1]);

    let drafts = [Bits::Data; 8].map(|bits| root.draft(&rel("out"), bits).expect("a draft"));
    let mut drawn: Vec<&str> = drafts
        .iter()
        .map(|draft| draft.temporary.as_str())
        .collect();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 8);
    let number = process::id().to_string();
    assert!(
        drawn
            .iter()
            .all(|name| !name.contains(&format!("-{number}-"))),
        "{drawn:?}"
    );
    canary.assert_untouched(DRAFTS[2]);
}

fn place(root: &Path, name: &str) -> io::Result<Verified> {
    let mut draft = Root::open(root)?.draft(&rel(name), Bits::Program)?;
    draft.write(RESULT)?;
    draft.finish(digest(RESULT))
}

fn rel(name: &str) -> RelPath {
    RelPath::new(name).expect("a name")
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

/// All names below a directory.
fn names(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let entry = entry.expect("an entry");
        names.push(entry.path().to_string_lossy().into_owned());
        if entry.file_type().expect("a kind").is_dir() {
            names.extend(self::names(&entry.path()));
        }
    }
    names.sort();
    names
}

const RESULT: &[u8] = b"a result";
