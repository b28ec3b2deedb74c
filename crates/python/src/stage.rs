//! Inputs: hashed when a task is submitted, so that what it gets is what was there then.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use muster_node::clock::wall_ms;
use muster_proto::Digest;
use muster_proto::task::{FileRef, Form};
use muster_store::{HashMemo, Stamp};

/// What is known of inputs.
#[derive(Debug)]
pub struct Stage {
    memo: HashMemo,
    /// Where contents from memory are kept until the master has them.
    dir: PathBuf,
    /// How many tasks that have not been submitted need them.
    buffers: BTreeMap<Digest, u32>,
}

/// Contents that a task needs.
#[derive(Clone, Debug)]
pub struct Staged {
    /// What they are.
    pub file: FileRef,
    /// Where they are.
    pub path: PathBuf,
    /// What they would be in the sandbox if nobody says.
    pub form: Form,
    /// Whether they came from memory, and have to be let go.
    pub buffer: bool,
}

impl Stage {
    /// Keeps contents from memory in `dir`.
    pub fn new(dir: PathBuf) -> Stage {
        Stage {
            memo: HashMemo::new(KNOWN_MAX),
            dir,
            buffers: BTreeMap::new(),
        }
    }

    /// The contents of a file.
    ///
    /// # Errors
    /// It cannot be read, or is no regular file.
    pub fn file(&mut self, path: &Path) -> io::Result<Staged> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            let kind = if metadata.is_dir() {
                io::ErrorKind::IsADirectory
            } else {
                io::ErrorKind::InvalidInput
            };
            return Err(kind.into());
        }
        let stamp = Stamp::of(&metadata);
        let form = match metadata.permissions().mode() & 0o100 {
            0 => Form::Data,
            _ => Form::Program,
        };
        let (digest, bytes) = match self.memo.get(path, stamp) {
            Some(digest) => (digest, metadata.len()),
            None => {
                let begun = i128::from(wall_ms()) * 1_000_000;
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader(File::open(path)?)?;
                let digest = Digest(*hasher.finalize().as_bytes());
                self.memo.remember(begun, path, stamp, digest);
                (digest, hasher.count())
            }
        };
        Ok(Staged {
            file: FileRef { digest, bytes },
            path: path.to_owned(),
            form,
            buffer: false,
        })
    }

    /// Contents from memory.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<Staged> {
        let digest = Digest(*blake3::hash(bytes).as_bytes());
        let path = self.path(digest);
        let count = self.buffers.entry(digest).or_default();
        if *count == 0 {
            fs::write(&path, bytes)?;
        }
        *count += 1;
        let file = FileRef {
            digest,
            bytes: bytes.len() as u64,
        };
        Ok(Staged {
            file,
            path,
            form: Form::Data,
            buffer: true,
        })
    }

    /// The master has these, or they are not wanted any more.
    pub fn let_go(&mut self, buffers: impl IntoIterator<Item = Digest>) {
        for digest in buffers {
            if let Some(count) = self.buffers.get_mut(&digest) {
                *count -= 1;
                if *count == 0 {
                    self.buffers.remove(&digest);
                    // What stays goes with the directory.
                    drop(fs::remove_file(self.path(digest)));
                }
            }
        }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }
}

/// Files whose digests are remembered; more are hashed again when they come again.
const KNOWN_MAX: usize = 100_000;
