//! What a store holds, for the rescan when a worker starts.

use std::fs::{self, ReadDir};
use std::io;
use std::path::PathBuf;

use muster_proto::Digest;

use super::{ContentStore, Stamp, Use};

/// Contents found in a store, not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What they should be.
    pub digest: Digest,
    /// Their length in bytes.
    pub size: u64,
    /// When they were written, in nanoseconds since 1970.
    pub mtime_ns: i128,
}

/// The contents of a store, in the order of the first digit of their digests.
#[derive(Debug)]
pub struct Listing {
    objects: PathBuf,
    /// The fan-out directories yet to be read.
    dirs: std::ops::RangeInclusive<u8>,
    open: Option<ReadDir>,
}

impl ContentStore {
    /// Lists what is in the store, without reading any contents. Files under other names are passed over.
    pub fn list(&self) -> Listing {
        Listing {
            objects: self.objects(Use::Data),
            dirs: 0..=0xf,
            open: None,
        }
    }
}

impl Iterator for Listing {
    type Item = io::Result<Stored>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.open.as_mut().and_then(Iterator::next) {
                Some(entry) => match entry.and_then(|entry| stored(&entry)).transpose() {
                    Some(found) => return Some(found),
                    None => continue,
                },
                None => self.open = None,
            }
            let dir = self.objects.join(format!("{:x}", self.dirs.next()?));
            match fs::read_dir(dir) {
                Ok(entries) => self.open = Some(entries),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn stored(entry: &fs::DirEntry) -> io::Result<Option<Stored>> {
    let Some(Ok(digest)) = entry.file_name().to_str().map(str::parse) else {
        return Ok(None);
    };
    match entry.metadata() {
        Ok(metadata) if metadata.is_file() => {
            let Stamp { size, mtime_ns, .. } = Stamp::of(&metadata);
            Ok(Some(Stored {
                digest,
                size,
                mtime_ns,
            }))
        }
        Ok(_) => Ok(None),
        // Removed since the directory was read.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
