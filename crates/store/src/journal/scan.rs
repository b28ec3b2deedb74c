//! Reading one segment, and judging the place where reading stops.
//!
//! A batch is written at once and the next one only after it is durable. So of a bad frame, a whole frame of a later
//! batch proves that it had been acknowledged: that is damage. A whole frame of the same batch proves nothing, since
//! a crash may keep any sectors of the last write; but a sector that never reached the disk reads as zeros, so
//! without such a hole in front of the whole frame it is damage as well.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use muster_proto::Lsn;

use super::error::JournalError;
use super::format::{FRAME_BYTES, Frame, Kind, PLATE_BYTES, Plate, RECORD_BYTES_MAX, segment_path};

/// A segment being read from its first frame on.
pub(super) struct SegmentReader {
    pub(super) path: PathBuf,
    pub(super) plate: Plate,
    /// Where the next frame begins.
    pub(super) at: u64,
    /// The payload of the last frame read.
    pub(super) payload: Vec<u8>,
    input: BufReader<File>,
    size: u64,
}

/// What one step of reading found.
pub(super) enum Step {
    /// A whole frame, its payload in `payload`.
    Record(Frame),
    /// No whole frame begins here.
    Stop(Stop),
}

/// The checksums at a place where no whole frame begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) found: u32,
    pub(super) wanted: u32,
}

/// What the bytes behind a stop mean in the last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing was ever written there.
    Clean,
    /// The last write did not get through; so many bytes of it are there.
    Torn(u64),
    /// What had been acknowledged has changed.
    Corrupt,
}

impl SegmentReader {
    /// Opens the segment of this number and checks that it belongs to the journal of `manifest`.
    pub(super) fn open(dir: &Path, manifest: Plate, number: u64) -> Result<Self, JournalError> {
        let path = segment_path(dir, manifest.generation, number);
        let mut file = open_file(&path)?;
        let size = file.metadata()?.len();
        let mut bytes = Vec::with_capacity(PLATE_BYTES);
        file.by_ref()
            .take(PLATE_BYTES as u64)
            .read_to_end(&mut bytes)?;
        let plate = Plate::decode(Kind::Segment, &path, &bytes)?;
        if plate
            != (Plate {
                number,
                lsn: plate.lsn.max(Lsn(1)),
                ..manifest
            })
        {
            return Err(JournalError::Foreign { file: path });
        }
        let input = BufReader::with_capacity(READ_BYTES, file);
        Ok(Self {
            path,
            plate,
            at: PLATE_BYTES as u64,
            payload: Vec::new(),
            input,
            size,
        })
    }

    /// Reads one frame; after a [`Step::Stop`] there is nothing more to read.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        let left = self.size.saturating_sub(self.at);
        let mut header = [0; FRAME_BYTES];
        let there = left.min(FRAME_BYTES as u64) as usize;
        self.input.read_exact(&mut header[..there])?;
        let frame = Frame::decode(&header);
        let mut hasher = frame.hasher(self.plate.salt);
        if frame.len > RECORD_BYTES_MAX || frame.bytes() > left {
            return Ok(Step::Stop(Stop {
                found: hasher.finalize(),
                wanted: frame.crc,
            }));
        }
        self.payload.resize(frame.len as usize, 0);
        self.input.read_exact(&mut self.payload)?;
        hasher.update(&self.payload);
        let found = hasher.finalize();
        if found != frame.crc {
            return Ok(Step::Stop(Stop {
                found,
                wanted: frame.crc,
            }));
        }
        self.at += frame.bytes();
        Ok(Step::Record(frame))
    }

    /// Judges the stop at `at`, where the record `wanted` should begin.
    ///
    /// Reads the rest of the file up to twice, in pieces.
    pub(super) fn judge(&self, wanted: Lsn) -> io::Result<Verdict> {
        let Some(end) = self.last_written(self.at)? else {
            return Ok(Verdict::Clean);
        };
        let torn = Verdict::Torn(end + 1 - self.at);
        let Some((mut at, mut frame)) = self.whole_frame(self.at + 1, end, wanted)? else {
            return Ok(torn);
        };
        if !self.has_hole(self.at, at)? {
            return Ok(Verdict::Corrupt);
        }
        loop {
            if frame.durable >= wanted {
                return Ok(Verdict::Corrupt);
            }
            match self.whole_frame(at + frame.bytes(), end, wanted)? {
                Some(next) => (at, frame) = next,
                None => return Ok(torn),
            }
        }
    }

    /// The offset of the last byte from `from` on that is not zero.
    fn last_written(&self, from: u64) -> io::Result<Option<u64>> {
        let mut piece = vec![0; READ_BYTES];
        let (mut at, mut last) = (from, None);
        while at < self.size {
            let count = self.read_at(&mut piece, at)?;
            if count == 0 {
                break;
            }
            if let Some(i) = piece[..count].iter().rposition(|byte| *byte != 0) {
                last = Some(at + i as u64);
            }
            at += count as u64;
        }
        Ok(last)
    }

    /// The first whole frame of a record after `wanted` that begins in `from..=end`.
    fn whole_frame(&self, from: u64, end: u64, wanted: Lsn) -> io::Result<Option<(u64, Frame)>> {
        let farthest = wanted
            .0
            .saturating_add(end.saturating_sub(self.at) / FRAME_BYTES as u64 + 1);
        let mut piece = vec![0; READ_BYTES];
        let mut at = from;
        while at <= end {
            let count = self.read_at(&mut piece, at)?;
            for (i, header) in piece[..count].windows(FRAME_BYTES).enumerate() {
                let (at, frame) = (at + i as u64, Frame::decode(header));
                let plausible = frame.len <= RECORD_BYTES_MAX
                    && frame.lsn > wanted
                    && frame.lsn.0 <= farthest
                    && frame.durable < frame.lsn
                    && at <= end;
                if plausible && self.is_whole(at, frame)? {
                    return Ok(Some((at, frame)));
                }
            }
            if count < READ_BYTES {
                break;
            }
            at += (count + 1 - FRAME_BYTES) as u64;
        }
        Ok(None)
    }

    fn is_whole(&self, at: u64, frame: Frame) -> io::Result<bool> {
        let (mut at, end) = (at + FRAME_BYTES as u64, at + frame.bytes());
        if end > self.size {
            return Ok(false);
        }
        let mut hasher = frame.hasher(self.plate.salt);
        let mut piece = vec![0; READ_BYTES.min(frame.len as usize)];
        while at < end {
            let want = piece.len().min((end - at) as usize);
            let count = self.read_at(&mut piece[..want], at)?;
            if count == 0 {
                return Ok(false);
            }
            hasher.update(&piece[..count]);
            at += count as u64;
        }
        Ok(hasher.finalize() == frame.crc)
    }

    /// Whether a whole sector of `from..until`, or the rest of the first one, is zero.
    fn has_hole(&self, from: u64, until: u64) -> io::Result<bool> {
        let mut at = from;
        loop {
            let stop = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
            if stop > until {
                return Ok(false);
            }
            let mut sector = [1; SECTOR_BYTES as usize];
            let piece = &mut sector[..(stop - at) as usize];
            self.input.get_ref().read_exact_at(piece, at)?;
            if piece.len() >= HOLE_BYTES_MIN && piece.iter().all(|byte| *byte == 0) {
                return Ok(true);
            }
            at = stop;
        }
    }

    /// Reads as much as there is for `piece`, not beyond the size that the file had at opening.
    fn read_at(&self, piece: &mut [u8], at: u64) -> io::Result<usize> {
        let there = piece.len().min(self.size.saturating_sub(at) as usize);
        let mut count = 0;
        while count < there {
            match self
                .input
                .get_ref()
                .read_at(&mut piece[count..there], at + count as u64)?
            {
                0 => break,
                more => count += more,
            }
        }
        Ok(count)
    }
}

/// Opens a file that the journal cannot do without.
pub(super) fn open_file(path: &Path) -> Result<File, JournalError> {
    File::open(path).map_err(|error| match error.kind() == io::ErrorKind::NotFound {
        true => JournalError::Missing { file: path.into() },
        false => error.into(),
    })
}

/// One read; 256 KiB is where reads stop getting faster.
const READ_BYTES: usize = 256 << 10;
/// What a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;
/// Length and checksum of a frame are never both zero; fewer zeros than that are no sign of a hole.
const HOLE_BYTES_MIN: usize = 8;
