//! Writing files into a user's directory so that they appear whole, under their own name, and nowhere else.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process;

use muster_proto::{Digest, RelPath};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

/// A directory in which files are placed. Everything below it is reached by descriptors that follow no link.
#[derive(Debug)]
pub(super) struct Root {
    dir: OwnedFd,
}

/// Whether a file may be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bits {
    /// It is data.
    Data,
    /// It is a program.
    Program,
}

/// A file that is being written; it vanishes unless it is finished.
#[derive(Debug)]
pub(super) struct Draft {
    dir: OwnedFd,
    file: File,
    temporary: String,
    /// The last component of the file's name.
    name: String,
    hasher: blake3::Hasher,
}

/// Whether what was written is what its digest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verified {
    /// It is there under its name.
    Placed,
    /// It is not, and nothing is there.
    Wrong,
}

impl Root {
    /// Opens `path`, made if missing; the user named it, so links on the way to it are the user's own.
    pub(super) fn open(path: &Path) -> io::Result<Root> {
        fs::create_dir_all(path)?;
        let dir = openat(
            CWD,
            path,
            OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Root { dir })
    }

    /// Begins the file `name`; its directories are made if missing.
    pub(super) fn draft(&self, name: &RelPath, bits: Bits) -> io::Result<Draft> {
        let mut dir = self.dir.try_clone()?;
        let mut parts = name.parts().peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                let (file, temporary) = temporary_in(&dir, bits)?;
                return Ok(Draft {
                    dir,
                    file,
                    temporary,
                    name: part.to_owned(),
                    hasher: blake3::Hasher::new(),
                });
            }
            match mkdirat(&dir, part, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            dir = openat(
                &dir,
                part,
                OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
        }
        Err(io::ErrorKind::InvalidInput.into())
    }
}

impl Draft {
    /// Appends `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes)
    }

    /// Gives the file its name if it is what `digest` names. A link of that name is replaced, never followed.
    pub(super) fn finish(self, digest: Digest) -> io::Result<Verified> {
        if *self.hasher.finalize().as_bytes() != digest.0 {
            return Ok(Verified::Wrong);
        }
        renameat(&self.dir, &self.temporary, &self.dir, &self.name)?;
        Ok(Verified::Placed)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing to remove; a directory that refuses keeps a file that is plainly temporary.
        unlinkat(&self.dir, &self.temporary, AtFlags::empty()).ok();
    }
}

fn temporary_in(dir: &OwnedFd, bits: Bits) -> io::Result<(File, String)> {
    let mode = match bits {
        Bits::Data => 0o666,
        Bits::Program => 0o777,
    };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        // Nobody who names results knows it beforehand, and so can have one placed over a draft.
        let drawn = RandomState::new().hash_one(process::id());
        let name = format!(".muster-{drawn:016x}.part");
        match openat(dir, &name, flags, Mode::from_raw_mode(mode)) {
            Ok(file) => return Ok((file.into(), name)),
            // Another process has drawn it.
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    fn place(root: &Path, name: &str, bytes: &[u8], bits: Bits) -> io::Result<Verified> {
        let name = RelPath::new(name).expect("a name");
        let mut draft = Root::open(root)?.draft(&name, bits)?;
        draft.write(bytes)?;
        draft.finish(digest(bytes))
    }

    #[test]
    fn a_file_appears_whole_with_its_directories_and_bits() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("results");
        assert_eq!(
            place(&root, "a/b/run", b"#!", Bits::Program).expect("placed"),
            Verified::Placed
        );
        assert_eq!(
            place(&root, "a/data", b"1", Bits::Data).expect("placed"),
            Verified::Placed
        );
        assert_eq!(fs::read(root.join("a/b/run")).expect("a file"), b"#!");
        let mode = |name| fs::metadata(root.join(name)).expect("a file").mode() & 0o100;
        assert_eq!((mode("a/b/run"), mode("a/data")), (0o100, 0));
        assert_eq!(
            fs::read_dir(root.join("a/b")).expect("a directory").count(),
            1,
            "no draft is left"
        );
    }

    #[test]
    fn wrong_contents_leave_nothing_and_keep_what_was_there() {
        let dir = tempfile::tempdir().expect("a directory");
        place(dir.path(), "out", b"old", Bits::Data).expect("placed");
        let name = RelPath::new("out").expect("a name");
        let root = Root::open(dir.path()).expect("a root");
        let mut draft = root.draft(&name, Bits::Data).expect("a draft");
        draft.write(b"forged").expect("written");
        assert_eq!(
            draft.finish(digest(b"true")).expect("judged"),
            Verified::Wrong
        );
        drop(
            root.draft(&name, Bits::Data)
                .expect("a draft that is given up"),
        );
        assert_eq!(fs::read(dir.path().join("out")).expect("a file"), b"old");
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn links_are_replaced_or_refused_and_never_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir_all(&root).expect("a directory");
        fs::create_dir_all(&outside).expect("a directory");
        fs::write(outside.join("precious"), "kept").expect("a file");
        symlink(outside.join("precious"), root.join("file")).expect("a link");
        symlink(&outside, root.join("dir")).expect("a link");

        assert_eq!(
            place(&root, "file", b"new", Bits::Data).expect("placed"),
            Verified::Placed
        );
        assert!(
            !fs::symlink_metadata(root.join("file"))
                .expect("a file")
                .is_symlink()
        );
        assert!(
            place(&root, "dir/file", b"new", Bits::Data).is_err(),
            "through a link"
        );
        assert_eq!(fs::read(outside.join("precious")).expect("a file"), b"kept");
        assert_eq!(fs::read_dir(&outside).expect("a directory").count(), 1);
    }
}
