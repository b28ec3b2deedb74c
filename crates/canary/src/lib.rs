//! A tree that nobody may touch, for tests of what hostile names, links and files can reach.
//!
//! It is planted outside of whatever a test lets loose, with everything in it that is worth touching: secrets, programs,
//! links, pipes, files with several names, directories called like those that get swept. After every case it must be
//! what it was, to the last bit. What the cases are is written in `docs/hostile.md`, and [`assert_listed`] holds the
//! tables of the tests to that page.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, Timespec, Timestamps, XattrFlags};

/// The tree, and what it was like when it was planted.
#[derive(Debug)]
pub struct Canary {
    root: PathBuf,
    before: BTreeMap<PathBuf, Leaf>,
}

/// Everything about one name that must not change.
#[derive(Debug, PartialEq, Eq)]
struct Leaf {
    /// Kind and permissions.
    mode: u32,
    owner: (u32, u32),
    inode: u64,
    names: u64,
    bytes: u64,
    mtime: (i64, i64),
    device: u64,
    /// Of a file, or where a link leads.
    contents: Vec<u8>,
    /// One extended attribute, where the file system has them.
    attribute: Option<Vec<u8>>,
}

/// What `precious` says.
pub const PRECIOUS: &str = "nobody else's\n";

impl Canary {
    /// Plants the tree at `root`, where there must be nothing.
    ///
    /// # Panics
    /// If the disk refuses.
    pub fn plant(root: &Path) -> Self {
        let dir = |name: &str, mode| {
            let mut builder = DirBuilder::new();
            let path = root.join(name);
            builder
                .recursive(true)
                .mode(mode)
                .create(&path)
                .expect("a directory");
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
        };
        let file = |name: &str, contents: &str, mode| {
            let path = root.join(name);
            fs::write(&path, contents).expect("a file");
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
        };
        // Named like the directories of a slot and of a store.
        for name in [
            "",
            "inner/deep",
            "box",
            "0/box",
            "spares",
            "slots",
            "tmp",
            "partial",
            "objects/0",
        ] {
            dir(name, 0o750);
            file(
                &Path::new(name).join("kept").to_string_lossy(),
                "kept",
                0o600,
            );
        }
        dir("shared", 0o1777);
        file("precious", PRECIOUS, 0o640);
        file("program", "#!/bin/sh\n", 0o4755);
        file("read-only", "as it is", 0o444);
        file("empty", "", 0o600);
        file("box/out", "an output", 0o600);
        file("twin", "two names", 0o600);
        fs::hard_link(root.join("twin"), root.join("inner/twin")).expect("another name");
        symlink("precious", root.join("link")).expect("a link");
        symlink("inner", root.join("way")).expect("a link");
        symlink("nowhere", root.join("store-gone")).expect("a link");
        let pipe = root.join("pipe");
        rustix::fs::mkfifoat(CWD, pipe, Mode::RUSR | Mode::WUSR).expect("a pipe");
        // Some file systems have none; then there is one thing less to keep.
        let _ = rustix::fs::setxattr(
            root.join("precious"),
            ATTRIBUTE,
            b"tagged",
            XattrFlags::empty(),
        );
        let mut canary = Self {
            root: root.to_owned(),
            before: BTreeMap::new(),
        };
        canary.age();
        canary.before = canary.look();
        canary
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Looks whether it is what it was.
    ///
    /// # Panics
    /// If it is not, naming what `case` has changed.
    pub fn assert_untouched(&self, case: &str) {
        let now = self.look();
        for (path, leaf) in &self.before {
            assert_eq!(
                now.get(path),
                Some(leaf),
                "{case}: {} of the canary",
                path.display()
            );
        }
        let new: Vec<_> = now
            .keys()
            .filter(|path| !self.before.contains_key(*path))
            .collect();
        assert!(new.is_empty(), "{case}: the canary has got {new:?}");
    }

    /// Makes it old: what is swept by age is years old here, and whatever is written shows.
    fn age(&self) {
        let old = Timespec {
            tv_sec: 1_000_000_000,
            tv_nsec: 123_456_789,
        };
        let times = Timestamps {
            last_access: old,
            last_modification: old,
        };
        for path in self.names() {
            rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("its times");
        }
    }

    /// All names, the root among them.
    fn names(&self) -> Vec<PathBuf> {
        let mut names = vec![self.root.clone()];
        let mut looked = 0;
        while looked < names.len() {
            let is_dir = fs::symlink_metadata(&names[looked]).is_ok_and(|found| found.is_dir());
            if is_dir {
                let entries = fs::read_dir(&names[looked]).expect("a directory");
                let paths = entries.map(|entry| entry.expect("an entry").path());
                names.extend(paths.collect::<Vec<_>>());
            }
            looked += 1;
        }
        names
    }

    fn look(&self) -> BTreeMap<PathBuf, Leaf> {
        let names = self.names().into_iter();
        names.map(|path| (path.clone(), leaf(&path))).collect()
    }
}

fn leaf(path: &Path) -> Leaf {
    let found = fs::symlink_metadata(path).expect("its metadata");
    let contents = if found.is_file() {
        fs::read(path).expect("its contents")
    } else if found.is_symlink() {
        let target = fs::read_link(path).expect("its target");
        target.into_os_string().into_encoded_bytes()
    } else {
        Vec::new()
    };
    let mut attribute = [0; 64];
    let length = rustix::fs::lgetxattr(path, ATTRIBUTE, &mut attribute);
    Leaf {
        mode: found.mode(),
        owner: (found.uid(), found.gid()),
        inode: found.ino(),
        names: found.nlink(),
        bytes: found.size(),
        mtime: (found.mtime(), found.mtime_nsec()),
        device: found.rdev(),
        contents,
        attribute: length.ok().map(|length| attribute[..length].to_vec()),
    }
}

/// The attribute that `precious` has.
const ATTRIBUTE: &str = "user.muster.canary";

/// The page that lists every case.
const PAGE: &str = include_str!("../../../docs/hostile.md");

/// Holds a table of cases to the page: the cases of `area` there, in order, are `names`.
///
/// # Panics
/// If one of them has a case that the other lacks.
pub fn assert_listed<'a>(area: &str, names: impl IntoIterator<Item = &'a str>) {
    let names: Vec<&str> = names.into_iter().collect();
    let prefix = format!("{area}/");
    let listed: Vec<&str> = rows()
        .map(|(_, name)| name)
        .filter(|name| name.starts_with(&prefix))
        .collect();
    assert_eq!(
        names, listed,
        "the cases of {area} here, and in docs/hostile.md"
    );
    println!("{} cases of {area}", names.len());
}

/// The rows of the page: number and name.
fn rows() -> impl Iterator<Item = (usize, &'static str)> {
    PAGE.lines().filter_map(|line| {
        let (number, rest) = line.strip_prefix("| ")?.split_once(" | `")?;
        Some((number.parse().ok()?, rest.split_once('`')?.0))
    })
}

/// Says that a case was not tried, and why.
pub fn skip(case: &str, why: &str) {
    println!("skipped: {case}: {why}");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_page_numbers_its_cases_and_has_more_than_enough() {
        let numbers: Vec<usize> = rows().map(|(number, _)| number).collect();
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
        assert!(numbers.len() >= 75, "{} cases", numbers.len());
        let names: BTreeSet<&str> = rows().map(|(_, name)| name).collect();
        assert_eq!(names.len(), numbers.len(), "each has a name of its own");
    }

    #[test]
    fn a_canary_tells_of_every_touch() {
        type Touch = fn(&Path);
        let touches: [(&str, Touch); 8] = [
            ("a write of the same length", |root| {
                fs::write(root.join("box/kept"), "tpek").expect("written")
            }),
            ("a time", |root| {
                let old = fs::read(root.join("empty")).expect("a file");
                fs::write(root.join("empty"), old).expect("written");
            }),
            ("a mode", |root| {
                let mode = Permissions::from_mode(0o640);
                fs::set_permissions(root.join("tmp/kept"), mode).expect("a mode");
            }),
            ("another name", |root| {
                fs::hard_link(root.join("twin"), root.join("../third")).expect("a name")
            }),
            ("a new file", |root| {
                fs::write(root.join("inner/new"), "").expect("a file")
            }),
            ("a file less", |root| {
                fs::remove_file(root.join("objects/0/kept")).expect("removed")
            }),
            ("a link", |root| {
                fs::remove_file(root.join("way")).expect("removed");
                symlink("box", root.join("way")).expect("a link");
            }),
            ("a replaced file", |root| {
                fs::copy(root.join("precious"), root.join("copy")).expect("a copy");
                fs::rename(root.join("copy"), root.join("precious")).expect("renamed");
            }),
        ];
        for (what, touch) in touches {
            let base = std::env::temp_dir().join(format!("muster-canary-{}", std::process::id()));
            fs::create_dir(&base).expect("a directory");
            let canary = Canary::plant(&base.join("canary"));
            canary.assert_untouched(what);
            touch(canary.path());
            let judged = std::panic::catch_unwind(|| canary.assert_untouched(what));
            fs::remove_dir_all(&base).expect("removed");
            assert!(judged.is_err(), "{what} is told");
        }
    }
}
