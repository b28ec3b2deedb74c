//! The bytes of a journal: plates, frames and file names, as `docs/journal.md` promises them.

use std::io;
use std::path::{Path, PathBuf};

use muster_proto::Lsn;

use super::error::JournalError;

/// What a segment and the manifest begin with: which file of which journal this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plate {
    /// Enters every checksum of a generation, so that no payload can hold bytes that pass for a frame.
    pub(super) salt: u32,
    /// Counted from 1; raised by every compaction.
    pub(super) generation: u64,
    /// In a segment its own number, counted from 1; in the manifest the last segment's.
    pub(super) number: u64,
    /// In a segment its first record; in the manifest the last record that was durable when it was written.
    pub(super) lsn: Lsn,
}

/// Which file a plate heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file of records.
    Segment,
    /// The file that says which segments count.
    Manifest,
}

impl Plate {
    pub(super) fn encode(self, kind: Kind) -> [u8; PLATE_BYTES] {
        let mut bytes = [0; PLATE_BYTES];
        bytes[0..8].copy_from_slice(kind.magic());
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.salt.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.generation.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.lsn.0.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..40]);
        bytes[40..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the plate of `file`, of which `bytes` is the beginning.
    pub(super) fn decode(kind: Kind, file: &Path, bytes: &[u8]) -> Result<Self, JournalError> {
        if bytes.len() < 10 || bytes[..8] != *kind.magic() {
            return Err(JournalError::Foreign { file: file.into() });
        }
        let version = u16::from_le_bytes(array(bytes, 8));
        if version > VERSION {
            return Err(JournalError::Newer {
                file: file.into(),
                version,
            });
        }
        let mut whole = [0; PLATE_BYTES];
        let there = bytes.len().min(PLATE_BYTES);
        whole[..there].copy_from_slice(&bytes[..there]);
        let wanted = u32::from_le_bytes(array(&whole, 40));
        let found = crc32fast::hash(&whole[..40]);
        if found != wanted || there < PLATE_BYTES || version < VERSION {
            return Err(JournalError::Corrupt {
                file: file.into(),
                at: 0,
                lsn: Lsn(0),
                found,
                wanted,
            });
        }
        Ok(Self {
            salt: u32::from_le_bytes(array(&whole, 12)),
            generation: u64::from_le_bytes(array(&whole, 16)),
            number: u64::from_le_bytes(array(&whole, 24)),
            lsn: Lsn(u64::from_le_bytes(array(&whole, 32))),
        })
    }
}

impl Kind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Segment => b"MUSTERJ\n",
            Self::Manifest => b"MUSTERM\n",
        }
    }
}

/// What stands before every payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes of payload.
    pub(super) len: u32,
    /// Checksum of the frame, the salt standing in its place.
    pub(super) crc: u32,
    /// The record's number.
    pub(super) lsn: Lsn,
    /// The last record that was durable before this one was written.
    pub(super) durable: Lsn,
}

impl Frame {
    /// Reads the first [`FRAME_BYTES`] of `bytes`.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        Self {
            len: u32::from_le_bytes(array(bytes, 0)),
            crc: u32::from_le_bytes(array(bytes, 4)),
            lsn: Lsn(u64::from_le_bytes(array(bytes, 8))),
            durable: Lsn(u64::from_le_bytes(array(bytes, 16))),
        }
    }

    /// Bytes of the whole frame, payload included.
    pub(super) fn bytes(self) -> u64 {
        FRAME_BYTES as u64 + u64::from(self.len)
    }

    /// Starts the checksum of a frame; the payload is to follow.
    pub(super) fn hasher(self, salt: u32) -> crc32fast::Hasher {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&Self { crc: salt, ..self }.encode());
        hasher
    }

    fn encode(self) -> [u8; FRAME_BYTES] {
        let mut bytes = [0; FRAME_BYTES];
        bytes[0..4].copy_from_slice(&self.len.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.crc.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.lsn.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.durable.0.to_le_bytes());
        bytes
    }
}

/// Appends the frame of a record to `out`.
///
/// # Panics
/// If the payload is longer than [`RECORD_BYTES_MAX`], which no record of ours may be.
pub(super) fn seal(out: &mut Vec<u8>, salt: u32, lsn: Lsn, durable: Lsn, payload: &[u8]) {
    assert!(
        payload.len() <= RECORD_BYTES_MAX as usize,
        "a record has at most {RECORD_BYTES_MAX} bytes"
    );
    let start = out.len();
    let frame = Frame {
        len: payload.len() as u32,
        crc: salt,
        lsn,
        durable,
    };
    out.extend_from_slice(&frame.encode());
    out.extend_from_slice(payload);
    let crc = crc32fast::hash(&out[start..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// The path of a segment.
pub(super) fn segment_path(dir: &Path, generation: u64, number: u64) -> PathBuf {
    dir.join(format!("{generation:020}-{number:020}.seg"))
}

/// The path of the manifest.
pub(super) fn manifest_path(dir: &Path) -> PathBuf {
    dir.join("manifest")
}

/// The name under which a file is written before it gets its own.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// What a file in the directory is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A segment, with generation and number.
    Segment(u64, u64),
    /// A file whose writing was interrupted.
    Unfinished,
    /// Not a name that a journal removes or reads.
    Else,
}

impl Name {
    pub(super) fn of(name: &str) -> Self {
        let finished = name.strip_suffix(".tmp");
        let segment = finished
            .unwrap_or(name)
            .strip_suffix(".seg")
            .and_then(|stem| {
                let (generation, number) = stem.split_once('-')?;
                Some((twenty_digits(generation)?, twenty_digits(number)?))
            });
        match (segment, finished) {
            (Some(_), Some(_)) | (None, Some("manifest")) => Self::Unfinished,
            (Some((generation, number)), None) => Self::Segment(generation, number),
            (None, Some(_) | None) => Self::Else,
        }
    }
}

/// The files of a journal's directory, sorted by name.
pub(super) fn names(dir: &Path) -> io::Result<Vec<(PathBuf, Name)>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_str().map_or(Name::Else, Name::of);
        names.push((entry.path(), name));
    }
    names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(names)
}

fn twenty_digits(text: &str) -> Option<u64> {
    let plain = text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// The `N` bytes at `at`, where zeros stand for what is not there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes.get(at + i).copied().unwrap_or(0))
}

/// The format that this program writes, and the only one it reads.
pub(super) const VERSION: u16 = 1;
/// Magic 8, version 2, zero 2, salt 4, generation 8, number 8, lsn 8, checksum 4.
pub(super) const PLATE_BYTES: usize = 44;
/// Length 4, checksum 4, lsn 8, durable 8.
pub(super) const FRAME_BYTES: usize = 24;
/// The longest record. A task's specification is at most a few MiB; a length beyond this is damage, not data.
pub const RECORD_BYTES_MAX: u32 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_contract() {
        let plate = Plate {
            salt: 0x0403_0201,
            generation: 5,
            number: 6,
            lsn: Lsn(7),
        };
        let golden = "MUSTERJ\n\u{1}\0\0\0\u{1}\u{2}\u{3}\u{4}\u{5}\0\0\0\0\0\0\0\u{6}\0\0\0\0\0\0\0\u{7}\0\0\0\0\0\0\0";
        let bytes = plate.encode(Kind::Segment);
        assert_eq!(
            &bytes[..40],
            golden.as_bytes(),
            "a changed plate needs a new VERSION"
        );
        assert_eq!(
            Plate::decode(Kind::Segment, Path::new("s"), &bytes).unwrap(),
            plate
        );

        let mut frame = Vec::new();
        seal(&mut frame, 0x0403_0201, Lsn(9), Lsn(8), b"hi");
        let image = b"\x02\0\0\0\x01\x02\x03\x04\x09\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0hi";
        assert_eq!(
            frame[4..8],
            crc32fast::hash(image).to_le_bytes(),
            "a changed frame needs a new VERSION"
        );
        assert_eq!((&frame[..4], &frame[8..]), (&image[..4], &image[8..]));
    }

    #[test]
    fn only_names_of_our_making_are_ours() {
        let path = segment_path(Path::new("d"), 3, 14);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(Name::of(name), Name::Segment(3, 14));
        assert_eq!(Name::of(&format!("{name}.tmp")), Name::Unfinished);
        assert_eq!(Name::of("manifest.tmp"), Name::Unfinished);
        for foreign in [
            "manifest",
            "lock",
            "notes.tmp",
            "1-2.seg",
            "thesis.seg",
            ".tmp",
            "",
        ] {
            assert_eq!(Name::of(foreign), Name::Else, "{foreign}");
        }
    }
}
