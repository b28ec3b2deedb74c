//! Archives that are inputs: unpacked in the sandbox, within the quota, and nowhere else.
//!
//! The walk over the archive is the `tar` crate's; what its entries mean is decided here, because the long names and
//! extensions that it would read for us have no limit there. Every name is resolved from the sandbox one component
//! after the other and no link is followed, so that an entry cannot be written through one that came before it.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use flate2::bufread::MultiGzDecoder;
use muster_proto::outcome::{ArchiveFault, Resource};
use muster_proto::{Digest, RelPath};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::message::Run;
use super::sandbox::open_directory;

/// Why an archive was not unpacked.
#[derive(Debug)]
pub(super) enum Unpacking {
    /// What is wrong with it.
    Fault(ArchiveFault),
    /// It holds more than the run may have.
    Exhausted {
        resource: Resource,
        measured: u64,
        limit: u64,
    },
    /// Its contents are not what their digest names.
    Rotten,
    /// The disk.
    Disk(io::Error),
}

impl From<ArchiveFault> for Unpacking {
    fn from(fault: ArchiveFault) -> Self {
        Unpacking::Fault(fault)
    }
}

impl From<Errno> for Unpacking {
    fn from(errno: Errno) -> Self {
        Unpacking::Disk(errno.into())
    }
}

/// Unpacks into the directory `name` of `sandbox`, or into the sandbox itself without a name.
pub(super) struct Unpacker<'a> {
    sandbox: BorrowedFd<'a>,
    name: &'a RelPath,
    bytes: u64,
    bytes_max: u64,
    files: u64,
    files_max: u64,
    /// The directory in which the last entry was put: the next is often put there, too.
    last: Option<(String, OwnedFd)>,
}

impl<'a> Unpacker<'a> {
    pub fn new(sandbox: BorrowedFd<'a>, name: &'a RelPath, run: &Run) -> Self {
        Self {
            sandbox,
            name,
            bytes: 0,
            bytes_max: run.disk_bytes_max.unwrap_or(u64::MAX),
            files: 0,
            files_max: run.files_max,
            last: None,
        }
    }

    /// Unpacks the archive that `contents` hold, which are to have this digest.
    pub fn unpack(&mut self, contents: impl Read, digest: Digest) -> Result<(), Unpacking> {
        let hashed = Hashed {
            contents,
            hasher: blake3::Hasher::new(),
        };
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, hashed);
        let start = reader.fill_buf().map_err(Unpacking::Disk)?;
        let unpacked = match start {
            [0x1f, 0x8b, ..] => self.entries(MultiGzDecoder::new(&mut reader)),
            _ => self.entries(&mut reader),
        };
        // What is behind the end of the archive belongs to the contents as well.
        io::copy(&mut reader, &mut io::sink()).map_err(Unpacking::Disk)?;
        let found = reader.into_inner().hasher.finalize();
        if *found.as_bytes() != digest.0 {
            return Err(Unpacking::Rotten);
        }
        unpacked
    }

    fn entries(&mut self, reader: impl Read) -> Result<(), Unpacking> {
        let mut archive = tar::Archive::new(reader);
        let entries = archive.entries().map_err(malformed)?;
        let mut ahead = Ahead::default();
        self.directory(self.name.as_str())?;
        for entry in entries.raw(true) {
            let mut entry = entry.map_err(malformed)?;
            let kind = entry.header().entry_type();
            if kind.is_gnu_longname() {
                ahead.name = Some(text(&mut entry)?);
            } else if kind.is_gnu_longlink() {
                ahead.link = Some(text(&mut entry)?);
            } else if kind.is_pax_local_extensions() {
                ahead.read(&mut entry)?;
            } else if !kind.is_pax_global_extensions() {
                let Ahead { name, link } = std::mem::take(&mut ahead);
                let header = entry.header();
                let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
                let own_link = || header.link_name_bytes().map(|link| link.into_owned());
                let link = link.or_else(own_link).unwrap_or_default();
                self.entry(&mut entry, &name, &link)?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        name: &[u8],
        link: &[u8],
    ) -> Result<(), Unpacking> {
        let Some(name) = self.inside(name)? else {
            // The archive's own top, `./`.
            return Ok(());
        };
        self.count()?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            self.directory(name.as_str()).map(drop)
        } else if kind.is_file() || kind.is_contiguous() {
            self.file(entry, &name)
        } else if kind.is_symlink() {
            self.symlink(&name, link)
        } else if kind.is_hard_link() {
            let target = self.inside(link)?.ok_or(ArchiveFault::LeadsOut)?;
            self.hard_link(&name, &target)
        } else {
            Err(ArchiveFault::Irregular.into())
        }
    }

    /// The name in the sandbox of what the archive calls `name`; none for its top.
    fn inside(&self, name: &[u8]) -> Result<Option<RelPath>, ArchiveFault> {
        let name = str::from_utf8(name).map_err(|_| ArchiveFault::LeadsOut)?;
        if name.starts_with('/') {
            return Err(ArchiveFault::LeadsOut);
        }
        let parts = name.split('/').filter(|part| !matches!(*part, "" | "."));
        let parts: Vec<&str> = parts.collect();
        if parts.is_empty() {
            return Ok(None);
        }
        let full = format!("{}/{}", self.name.as_str(), parts.join("/"));
        let full = RelPath::new(&full).map_err(|_| ArchiveFault::LeadsOut)?;
        Ok(Some(full))
    }

    fn count(&mut self) -> Result<(), Unpacking> {
        self.files += 1;
        if self.files <= self.files_max {
            return Ok(());
        }
        Err(Unpacking::Exhausted {
            resource: Resource::Files,
            measured: self.files,
            limit: self.files_max,
        })
    }

    /// Opens the directory `name`, making what is missing of it.
    fn directory(&mut self, name: &str) -> Result<OwnedFd, Unpacking> {
        let mut dir = open_directory(self.sandbox, ".").map_err(Unpacking::Disk)?;
        for part in name.split('/').filter(|part| !part.is_empty()) {
            match rustix::fs::mkdirat(&dir, part, Mode::RWXU) {
                Ok(()) => self.count()?,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            dir = match open_directory(dir.as_fd(), part) {
                Ok(dir) => dir,
                Err(error) => return Err(through(error)),
            };
        }
        Ok(dir)
    }

    /// The directory of `name`, with nothing called so in it, and the last component.
    fn place<'n>(&mut self, name: &'n RelPath) -> Result<(BorrowedFd<'_>, &'n str), Unpacking> {
        let (parent, last) = name
            .as_str()
            .rsplit_once('/')
            .unwrap_or(("", name.as_str()));
        let dir = match self.last.take() {
            // It is the sandbox's own for as long as it is open: nobody else is at work here yet.
            Some((known, dir)) if known == parent => dir,
            Some(_) | None => self.directory(parent)?,
        };
        let dir: &OwnedFd = &self.last.insert((parent.to_owned(), dir)).1;
        match rustix::fs::unlinkat(dir, last, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok((dir.as_fd(), last)),
            Err(Errno::ISDIR | Errno::PERM) => Err(ArchiveFault::Malformed.into()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn file(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        name: &RelPath,
    ) -> Result<(), Unpacking> {
        let header = entry.header();
        let size = header.entry_size().map_err(malformed)?;
        let may_run = header.mode().map_err(malformed)? & 0o100 != 0;
        self.charge(size)?;
        let (parent, last) = self.place(name)?;
        let mode = Mode::RUSR | Mode::WUSR | if may_run { Mode::XUSR } else { Mode::empty() };
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, last, flags, mode)?;
        let mut file = std::fs::File::from(file);
        let mut buffer = vec![0; BUFFER_BYTES.min(size as usize)];
        let mut left = size;
        while left > 0 {
            let most = left.min(buffer.len() as u64) as usize;
            let count = match entry.read(&mut buffer[..most]) {
                Ok(0) => return Err(ArchiveFault::Malformed.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(malformed(error)),
            };
            file.write_all(&buffer[..count]).map_err(Unpacking::Disk)?;
            left -= count as u64;
        }
        Ok(())
    }

    fn charge(&mut self, bytes: u64) -> Result<(), Unpacking> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= self.bytes_max {
            return Ok(());
        }
        Err(Unpacking::Exhausted {
            resource: Resource::Disk,
            measured: self.bytes,
            limit: self.bytes_max,
        })
    }

    /// Makes a symbolic link, which has to stay inside what is unpacked.
    fn symlink(&mut self, name: &RelPath, target: &[u8]) -> Result<(), Unpacking> {
        let target = str::from_utf8(target).map_err(|_| ArchiveFault::LeadsOut)?;
        let top = self.name.as_str().split('/').count();
        let mut depth = name.as_str().split('/').count() - top - 1;
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." => depth = depth.checked_sub(1).ok_or(ArchiveFault::LeadsOut)?,
                _ => depth += 1,
            }
        }
        if target.is_empty() || target.starts_with('/') || target.contains('\0') {
            return Err(ArchiveFault::LeadsOut.into());
        }
        let (parent, last) = self.place(name)?;
        Ok(rustix::fs::symlinkat(target, parent, last)?)
    }

    /// Gives a file that has been unpacked a second name.
    fn hard_link(&mut self, name: &RelPath, target: &RelPath) -> Result<(), Unpacking> {
        let (to, old) = target
            .as_str()
            .rsplit_once('/')
            .unwrap_or(("", target.as_str()));
        let to = self.directory(to)?;
        let (parent, last) = self.place(name)?;
        match rustix::fs::linkat(&to, old, parent, last, AtFlags::empty()) {
            Err(Errno::NOENT | Errno::PERM) => Err(ArchiveFault::Malformed.into()),
            linked => Ok(linked?),
        }
    }
}

/// What extensions have said of the entry that follows them.
#[derive(Default)]
struct Ahead {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Ahead {
    fn read(&mut self, entry: &mut impl Read) -> Result<(), Unpacking> {
        let extensions = text(entry)?;
        for extension in tar::PaxExtensions::new(&extensions) {
            let extension = extension.map_err(malformed)?;
            match extension.key_bytes() {
                b"path" => self.name = Some(extension.value_bytes().to_vec()),
                b"linkpath" => self.link = Some(extension.value_bytes().to_vec()),
                // A length that the header has no room for: 8 GiB and more.
                b"size" => return Err(ArchiveFault::Irregular.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The text of an extension, without the NUL that ends a name.
fn text(entry: &mut impl Read) -> Result<Vec<u8>, Unpacking> {
    let mut text = Vec::new();
    entry
        .take(EXTENSION_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(malformed)?;
    if text.len() as u64 > EXTENSION_BYTES_MAX {
        return Err(ArchiveFault::Malformed.into());
    }
    if text.last() == Some(&0) {
        text.pop();
    }
    Ok(text)
}

/// What went wrong while the archive was read: it is not one, or cut short.
fn malformed(_: io::Error) -> Unpacking {
    ArchiveFault::Malformed.into()
}

/// Why a directory on the way to an entry could not be opened.
fn through(error: io::Error) -> Unpacking {
    match error.raw_os_error() {
        Some(libc::ENOTDIR | libc::ELOOP) => ArchiveFault::LeadsOut.into(),
        Some(_) | None => Unpacking::Disk(error),
    }
}

/// Contents that are hashed as they are read.
struct Hashed<R> {
    contents: R,
    hasher: blake3::Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.contents.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Bytes read and written at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Bytes of an extension of an entry: a name of the greatest length, and what else is said with it.
const EXTENSION_BYTES_MAX: u64 = 64 << 10;
