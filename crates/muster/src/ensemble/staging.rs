//! Which files go along, what they are called in the sandbox, and what they contain.
//!
//! A relative path keeps its text: `data/a.txt` is `data/a.txt` in the sandbox, and so is `./data/a.txt`. A path that
//! leads out of the current directory, absolute or through `..`, cannot be kept; the file goes along under its base
//! name, and the command is given that name in the path's place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use muster_proto::limits::{FILES_PER_TASK_MAX, SANDBOX_FILES_MAX};
use muster_proto::task::FileRef;
use muster_proto::{Digest, RelPath};
use muster_store::Stamp;
use tempfile::TempDir;

use super::EnsembleError;
use crate::places;

/// A file's name in the sandbox, and the text by which the command is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) shown: String,
    pub(super) name: RelPath,
    way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By the text that was given.
    AsGiven,
    /// By the last component of it.
    Base,
}

impl Named {
    /// What the file with this path is called.
    pub(super) fn of(path: &str) -> Result<Named, EnsembleError> {
        let leads_out = path.starts_with('/') || path.split('/').any(|part| part == "..");
        if !leads_out {
            return Ok(Named {
                shown: path.to_owned(),
                name: inside(path)?,
                way: Way::AsGiven,
            });
        }
        let base = path
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or(path);
        Ok(Named {
            shown: base.to_owned(),
            name: inside(base)?,
            way: Way::Base,
        })
    }

    /// Whether `text` is the path of a regular file.
    pub(super) fn is_file(text: &str) -> bool {
        !text.is_empty() && Path::new(text).is_file()
    }

    /// A file that a word of the command names; absolute paths are left alone: they are for where the task runs.
    pub(super) fn own_word(word: &str) -> Option<Named> {
        let candidate = !word.starts_with('/') && Named::is_file(word);
        candidate.then(|| Named::of(word).ok()).flatten()
    }

    pub(super) fn is_as_given(&self) -> bool {
        self.way == Way::AsGiven
    }

    /// The word in the command; a program needs a slash, or it would be looked for in `PATH`.
    pub(super) fn as_word(&self, program: bool) -> String {
        match self.way {
            Way::Base if program => format!("./{}", self.shown),
            Way::Base | Way::AsGiven => self.shown.clone(),
        }
    }
}

/// A name inside the sandbox: `text` without what says nothing, `.` and doubled slashes.
pub(super) fn inside(text: &str) -> Result<RelPath, EnsembleError> {
    let plain = if text.starts_with('/') {
        text.to_owned()
    } else {
        let parts = text.split('/').filter(|part| !matches!(*part, "" | "."));
        parts.collect::<Vec<_>>().join("/")
    };
    RelPath::new(&plain).map_err(|source| EnsembleError::Name {
        name: text.to_owned(),
        source,
    })
}

/// The files that an input names.
#[derive(Debug, Default)]
pub(super) struct Below {
    /// Those that go along one by one, under these names in the sandbox.
    pub(super) alone: Vec<(PathBuf, String)>,
    /// The small ones of a large directory, which go along as one archive, under these names in the directory.
    pub(super) together: Vec<(PathBuf, String)>,
}

/// `path` under `name` if it is a file; if it is a directory, the files below it.
pub(super) fn files_below(path: &Path, name: &RelPath) -> io::Result<Below> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(Below {
            alone: vec![(path.to_owned(), name.as_str().to_owned())],
            together: Vec::new(),
        });
    }
    let mut files = Vec::new();
    let mut directories = vec![(path.to_owned(), String::new())];
    while let Some((path, name)) = directories.pop() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Some(base) = entry.file_name().to_str().map(str::to_owned) else {
                return Err(io::Error::other("a file's name below it is not text"));
            };
            let name = match name.as_str() {
                "" => base,
                above => format!("{above}/{base}"),
            };
            let metadata = fs::metadata(entry.path())?;
            if metadata.is_dir() {
                directories.push((entry.path(), name));
            } else if metadata.is_file() {
                files.push((entry.path(), name, metadata.len()));
            }
            // A link to a directory above itself would go on for ever.
            if (files.len() + directories.len()) as u64 > SANDBOX_FILES_MAX {
                return Err(io::Error::other(format!(
                    "more than {SANDBOX_FILES_MAX} files are below it"
                )));
            }
        }
    }
    files.sort();
    let is_large = files.len() > ALONE_MAX;
    let (together, alone): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|(_, _, bytes)| is_large && *bytes <= TOGETHER_BYTES_MAX);
    if alone.len() > FILES_PER_TASK_MAX {
        return Err(io::Error::other(format!(
            "more than {FILES_PER_TASK_MAX} large files are below it; pack them into one and --unpack it"
        )));
    }
    let below = |(path, base, _)| (path, format!("{name}/{base}"));
    Ok(Below {
        alone: alone.into_iter().map(below).collect(),
        together: together
            .into_iter()
            .map(|(path, base, _)| (path, base))
            .collect(),
    })
}

/// Contents of files, each hashed once as long as it does not change, and handed out once to be sent.
#[derive(Debug, Default)]
pub struct Stage {
    known: BTreeMap<PathBuf, Known>,
    handed_out: BTreeSet<Digest>,
    files: Vec<(Digest, PathBuf)>,
    /// Archives made of directories, until all has been sent.
    packs: Option<TempDir>,
}

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    file: FileRef,
}

impl Stage {
    /// The contents of `path` and whether it may be executed.
    pub(super) fn file(&mut self, path: &Path) -> Result<(FileRef, bool), EnsembleError> {
        let failed = |source| EnsembleError::File {
            path: path.to_owned(),
            source,
        };
        let metadata = fs::metadata(path).map_err(failed)?;
        let file = self.contents(path, &metadata).map_err(failed)?;
        Ok((file, metadata.permissions().mode() & 0o100 != 0))
    }

    fn contents(&mut self, path: &Path, metadata: &Metadata) -> io::Result<FileRef> {
        let stamp = Stamp::of(metadata);
        if let Some(known) = self.known.get(path)
            && known.stamp == stamp
        {
            return Ok(known.file);
        }
        if !metadata.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path)?)?;
        let file = FileRef {
            digest: Digest(*hasher.finalize().as_bytes()),
            bytes: hasher.count(),
        };
        if self.handed_out.insert(file.digest) {
            self.files.push((file.digest, path.to_owned()));
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(path.to_owned(), Known { stamp, file });
        Ok(file)
    }

    /// One archive of all `files`, under these names: the same contents for the same files.
    pub(super) fn pack(&mut self, files: &[(PathBuf, String)]) -> io::Result<FileRef> {
        let packs = match &mut self.packs {
            Some(packs) => packs,
            none => {
                let state = places::state().map_err(io::Error::other)?;
                fs::create_dir_all(&state)?;
                none.insert(tempfile::Builder::new().prefix("pack-").tempdir_in(state)?)
            }
        };
        let (file, path) = tempfile::NamedTempFile::new_in(packs)?.keep()?;
        let mut archive = tar::Builder::new(BufWriter::new(file));
        for (path, name) in files {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            let mut header = tar::Header::new_gnu();
            header.set_size(metadata.len());
            header.set_mode(match metadata.permissions().mode() & 0o100 {
                0 => 0o600,
                _ => 0o700,
            });
            let mut exactly = Exactly {
                file,
                left: metadata.len(),
            };
            archive.append_data(&mut header, name, &mut exactly)?;
        }
        archive
            .into_inner()?
            .into_inner()
            .map_err(|error| error.into_error())?;
        let metadata = fs::metadata(&path)?;
        self.contents(&path, &metadata)
    }

    /// The files to be sent that were found since this was last called.
    pub(super) fn take_files(&mut self) -> Vec<(Digest, PathBuf)> {
        std::mem::take(&mut self.files)
    }
}

/// A file of a known length, which must not change while it is read.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.left.min(buffer.len() as u64) as usize;
        let count = self.file.read(&mut buffer[..most])?;
        if count == 0 && most > 0 {
            return Err(io::Error::other("a file below it became shorter meanwhile"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Files of a directory that go along one by one: each is then sent only if it is new.
const ALONE_MAX: usize = 256;
/// Bytes of a file that goes into an archive with others of its directory: below it, a file costs more than its bytes.
const TOGETHER_BYTES_MAX: u64 = 1 << 20;
/// Files whose digests are remembered; more are hashed again when they come again.
const KNOWN_MAX: usize = 100_000;
