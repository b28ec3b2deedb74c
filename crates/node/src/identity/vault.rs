//! Files that hold keys: in a private directory, whole or absent, readable by their owner alone.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::IdentityError;

/// What becomes of a file that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publish {
    /// It stays, and what was to be written is forgotten.
    Once,
    /// It is replaced.
    Over,
}

/// Makes `dir` if it is missing, and makes sure that it is ours alone.
pub(super) fn private_dir(dir: &Path) -> Result<(), IdentityError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(disk(dir))?;
    let metadata = fs::metadata(dir).map_err(disk(dir))?;
    ours_alone(dir, &metadata)
}

/// Reads a private file; `None` if there is none. A link in its place is refused.
pub(super) fn read(path: &Path) -> Result<Option<String>, IdentityError> {
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(disk(path)(error)),
    };
    let metadata = file.metadata().map_err(disk(path))?;
    ours_alone(path, &metadata)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(disk(path))?;
    Ok(Some(text))
}

/// Writes a private file so that it appears under its name whole and on the disk, or not at all.
pub(super) fn publish(path: &Path, text: &str, publish: Publish) -> Result<(), IdentityError> {
    let mut bytes = [0; 8];
    random(&mut bytes)?;
    let draft = path.with_extension(format!("{:016x}.tmp", u64::from_be_bytes(bytes)));
    let done = write(&draft, text).and_then(|()| match publish {
        Publish::Once => fs::hard_link(&draft, path).or_else(unless_there),
        Publish::Over => fs::rename(&draft, path),
    });
    match fs::remove_file(&draft) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(disk(&draft)(error)),
    }
    done.map_err(disk(path))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(disk(dir))
}

/// Fills `bytes` from the system's generator.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), IdentityError> {
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(bytes)
        .map_err(|_| IdentityError::NoRandom)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn unless_there(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists {
        Ok(())
    } else {
        Err(error)
    }
}

fn ours_alone(path: &Path, metadata: &Metadata) -> Result<(), IdentityError> {
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(IdentityError::NotYours {
            path: path.to_owned(),
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    move |source| IdentityError::Disk {
        path: path.to_owned(),
        source,
    }
}

/// A key and two certificates take about 2 KiB.
const FILE_BYTES_MAX: u64 = 64 << 10;
