//! What may have the names that a state directory is used by; `docs/hostile.md` lists the cases.

use std::fs;
use std::os::unix::fs::symlink;

use muster_canary::{Canary, assert_listed};
use rustix::fs::{CWD, Mode};

use super::*;
use crate::journal::{Journal, Limits};

/// A case by its name, what it plants in a directory, and whether that can be locked then.
type Case = (&'static str, fn(&Path, &Path), bool);

#[test]
fn no_name_in_a_state_directory_leads_elsewhere() {
    let locks: [Case; 6] = [
        (
            "state/lock-is-a-link",
            |dir, canary| symlink(canary.join("precious"), dir.join("lock")).unwrap(),
            false,
        ),
        (
            "state/lock-is-a-dangling-link",
            |dir, canary| symlink(canary.join("new"), dir.join("lock")).unwrap(),
            false,
        ),
        (
            "state/lock-is-a-pipe",
            |dir, _| {
                rustix::fs::mkfifoat(CWD, dir.join("lock"), Mode::RUSR | Mode::WUSR).unwrap();
            },
            false,
        ),
        (
            "state/lock-is-a-directory",
            |dir, _| fs::create_dir(dir.join("lock")).unwrap(),
            false,
        ),
        (
            "state/lock-is-a-device",
            |dir, _| symlink("/dev/null", dir.join("lock")).unwrap(),
            false,
        ),
        (
            "state/lock-has-another-name",
            |dir, canary| fs::hard_link(canary.join("precious"), dir.join("lock")).unwrap(),
            true,
        ),
    ];
    for (case, plant, is_locked) in locks {
        let dir = tempfile::tempdir().unwrap();
        let canary = Canary::plant(&dir.path().join("canary"));
        plant(dir.path(), canary.path());
        match DirLock::acquire(dir.path()) {
            Ok(_) => assert!(is_locked, "{case}"),
            Err(error) => {
                let is_named = matches!(error, LockError::NotAFile { .. });
                assert!(is_named && !is_locked, "{case}: {error}");
            }
        }
        fs::remove_file(dir.path().join("lock")).ok();
        canary.assert_untouched(case);
    }
    let journal = "state/unfinished-journal-is-links";
    unfinished_journal(journal);
    assert_listed(
        "state",
        locks.iter().map(|(case, ..)| *case).chain([journal]),
    );
}

/// A journal that is begun where links have the names of what it writes.
fn unfinished_journal(case: &str) {
    let dir = tempfile::tempdir().unwrap();
    let canary = Canary::plant(&dir.path().join("canary"));
    let [model, state] = ["model", "state"].map(|name| dir.path().join(name));
    fs::create_dir(&state).unwrap();
    drop(Journal::open(&model, Limits::default(), |_, _| {}).unwrap());
    let mut planted = 0;
    for entry in fs::read_dir(&model).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name != LOCK_FILE {
            let name = state.join(format!("{name}.tmp"));
            symlink(canary.path().join("precious"), name).unwrap();
            planted += 1;
        }
    }
    assert!(planted >= 2, "a manifest and a segment");
    drop(Journal::open(&state, Limits::default(), |_, _| {}).unwrap());
    let names = |dir: &Path| {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&state), names(&model), "a journal like any other");
    canary.assert_untouched(case);
}
