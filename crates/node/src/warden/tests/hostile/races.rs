//! What changes while it is collected or swept. No process of a task lives by then, so this takes somebody outside.

use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_store::content::ContentError;

use super::super::super::{collect, sweep};
use super::*;

/// One change that is made over and over in the directory given, the canary being given, too.
type Change = fn(&Path, &Path);

#[test]
fn what_changes_while_it_is_collected_is_taken_whole_or_not() {
    let cases: [(&str, &str, Change, &[Why]); 5] = [
        ("race/link-for-file", "out", link_for_file, &[Why::Link]),
        (
            "race/pipe-for-file",
            "out",
            pipe_for_file,
            &[Why::Irregular],
        ),
        (
            "race/directory-for-file",
            "out/kept",
            directory_for_file,
            &[Why::Absent],
        ),
        (
            "race/link-for-directory",
            "d/precious",
            link_for_directory,
            &[Why::Link, Why::Absent],
        ),
        (
            "race/file-that-grows",
            "out",
            file_that_grows,
            &[Why::Absent],
        ),
    ];
    let root = scratch("race");
    let canary = Canary::plant(&root.join("canary"));
    let store = ContentStore::open(&root.join("store")).expect("a store");
    for (case, output, change, whys) in cases {
        let dir = root.join("box");
        fs::create_dir(&dir).expect("a directory");
        let seen = collect_while(&store, (&dir, canary.path()), output, change, whys);
        assert_eq!(
            seen,
            [true, true],
            "{case}: both were met, files and what is none"
        );
        canary.assert_untouched(case);
        sweep::remove_tree(&dir).expect("removed");
    }
    let swept = [
        sweep_races(&root, &canary, "race/swept-while-filled", fill),
        sweep_races(
            &root,
            &canary,
            "race/swept-while-turned",
            link_for_directory,
        ),
    ];
    let cases = cases.iter().map(|(case, ..)| *case);
    assert_listed("race", cases.chain(swept));
    sweep::remove_tree(&root).expect("removed");
}

/// Collects `output` from `dir` until both a file and something else were met; whether each was.
fn collect_while(
    store: &ContentStore,
    (dir, canary): (&Path, &Path),
    output: &str,
    change: Change,
    whys: &[Why],
) -> [bool; 2] {
    let run = outputs(sh("true"), &[output]);
    let opened = fs::File::open(dir).expect("a directory");
    let mut seen = [false; 2];
    beside(
        || change(dir, canary),
        || {
            for _ in 0..ROUNDS_MAX {
                match collect::collect(store, opened.as_fd(), &run, &End::Exited(0)) {
                    Ok((taken, missing)) => {
                        for output in &taken {
                            assert_is_own(store, output.file.digest);
                            seen[0] = true;
                        }
                        for missing in missing {
                            seen[1] |= whys.contains(&missing.why);
                            let is_allowed =
                                whys.contains(&missing.why) || missing.why == Why::Absent;
                            assert!(is_allowed, "{missing:?}");
                        }
                    }
                    // It was changed between two looks.
                    Err(End::CollectingFailed { .. }) => seen[1] |= whys.is_empty(),
                    Err(end) => panic!("{end:?}"),
                }
                if seen == [true, true] {
                    break;
                }
            }
        },
    );
    seen
}

/// What is in the store under a digest was written by a [`Change`], unless its writer was still at it: then it is found
/// out.
fn assert_is_own(store: &ContentStore, digest: Digest) {
    match store.open_object(digest) {
        Ok(mut file) => {
            let mut contents = String::new();
            file.read_to_string(&mut contents).expect("text");
            assert_eq!(contents.replace(MINE, ""), "");
        }
        Err(ContentError::Absent { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    if matches!(store.verify(digest), Ok(false)) {
        assert!(store.contains(digest).is_none());
    }
}

/// Empties a directory while `change` is made in it, then once more.
fn sweep_races(root: &Path, canary: &Canary, case: &'static str, change: Change) -> &'static str {
    let dir = root.join("box");
    fs::create_dir(&dir).expect("a directory");
    let opened = fs::File::open(&dir).expect("a directory");
    beside(
        || change(&dir, canary.path()),
        || {
            for _ in 0..300 {
                // Who fills it may be faster; it ends all the same.
                let _ = sweep::empty(opened.as_fd());
            }
        },
    );
    sweep::empty(opened.as_fd()).expect("empty");
    assert_eq!(
        fs::read_dir(&dir).expect("a directory").count(),
        0,
        "{case}"
    );
    canary.assert_untouched(case);
    sweep::remove_tree(&dir).expect("removed");
    case
}

/// Does `work` while `change` is made over and over.
fn beside(change: impl Fn() + Sync, work: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                change();
            }
        });
        work();
        is_over.store(true, Ordering::Relaxed);
    });
}

fn link_for_file(dir: &Path, canary: &Path) {
    // Whoever collects may have taken any of them in the meantime.
    let _ = fs::write(dir.join("f"), MINE);
    let _ = fs::rename(dir.join("f"), dir.join("out"));
    let _ = symlink(canary.join("precious"), dir.join("l"));
    let _ = fs::rename(dir.join("l"), dir.join("out"));
}

fn pipe_for_file(dir: &Path, _: &Path) {
    let _ = fs::write(dir.join("f"), MINE);
    let _ = fs::rename(dir.join("f"), dir.join("out"));
    let _ = rustix::fs::mkfifoat(rustix::fs::CWD, dir.join("p"), rustix::fs::Mode::RWXU);
    let _ = fs::rename(dir.join("p"), dir.join("out"));
}

fn directory_for_file(dir: &Path, _: &Path) {
    let _ = fs::create_dir(dir.join("out"));
    let _ = fs::write(dir.join("out/kept"), MINE);
    let _ = fs::rename(dir.join("out"), dir.join("o"));
    let _ = fs::write(dir.join("out"), MINE);
    let _ = fs::remove_file(dir.join("out"));
    let _ = fs::rename(dir.join("o"), dir.join("out"));
}

fn link_for_directory(dir: &Path, canary: &Path) {
    let _ = fs::create_dir(dir.join("d"));
    let _ = fs::write(dir.join("d/precious"), MINE);
    let _ = fs::rename(dir.join("d"), dir.join("e"));
    let _ = symlink(canary, dir.join("d"));
    let _ = fs::remove_file(dir.join("d"));
    let _ = fs::rename(dir.join("e"), dir.join("d"));
}

fn file_that_grows(dir: &Path, _: &Path) {
    use std::fs::File;
    let options = File::options()
        .append(true)
        .create(true)
        .open(dir.join("out"));
    if let Ok(mut file) = options {
        let _ = file.write_all(MINE.as_bytes());
    }
}

fn fill(dir: &Path, canary: &Path) {
    for name in ["a", "b", "c"] {
        let _ = fs::create_dir_all(dir.join(name).join("d/e"));
        let _ = symlink(canary, dir.join(name).join("d/l"));
        let _ = fs::write(dir.join(name).join("f"), MINE);
    }
}

/// What the files of these tests hold, perhaps several times.
const MINE: &str = "mine\n";

/// More than it ever takes.
const ROUNDS_MAX: u32 = 200_000;
