//! Frames to bytes and back.

use crate::limits::FRAME_BYTES_MAX;
use crate::wire::bounds::Bounded;
use crate::wire::frames::{Frame, Kind};

/// Bytes before each payload: its length, its kind, its schema.
pub const HEADER_BYTES: usize = 8;

/// The schema of every kind in this release.
const SCHEMA: u16 = 1;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The payload is longer than [`FRAME_BYTES_MAX`].
    #[error("a frame of {bytes} bytes; the limit is {FRAME_BYTES_MAX}")]
    Long {
        /// What the header says.
        bytes: u32,
    },
    /// There is no such kind, or not in this schema.
    #[error("unknown frame: kind {kind}, schema {schema}")]
    Unknown {
        /// What the header says.
        kind: u16,
        /// What the header says.
        schema: u16,
    },
    /// The payload does not decode, or bytes are left over.
    #[error("malformed payload of kind {kind}")]
    Malformed {
        /// The kind.
        kind: u16,
    },
    /// A part of it is longer than its limit.
    #[error("a part of a frame of kind {kind} is beyond its limit")]
    Beyond {
        /// The kind.
        kind: u16,
    },
}

/// What the first bytes of a frame say; the payload may be read when this exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the payload, at most [`FRAME_BYTES_MAX`].
    pub bytes: u32,
    /// The kind.
    pub kind: Kind,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// [`WireError::Long`] or [`WireError::Unknown`].
    pub fn read(bytes: [u8; HEADER_BYTES]) -> Result<Header, WireError> {
        let [a, b, c, d, k0, k1, s0, s1] = bytes;
        let length = u32::from_le_bytes([a, b, c, d]);
        let (kind, schema) = (u16::from_le_bytes([k0, k1]), u16::from_le_bytes([s0, s1]));
        if length as usize > FRAME_BYTES_MAX {
            return Err(WireError::Long { bytes: length });
        }
        match Kind::of(kind) {
            Some(kind) if schema == SCHEMA => Ok(Header {
                bytes: length,
                kind,
            }),
            Some(_) | None => Err(WireError::Unknown { kind, schema }),
        }
    }
}

impl Frame {
    /// Appends the frame to `buffer`.
    ///
    /// # Panics
    /// If the frame is longer than [`FRAME_BYTES_MAX`]: whoever makes frames cuts them in time.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        buffer.extend_from_slice(&[0; HEADER_BYTES]);
        let mut bytes = self
            .encode_payload(std::mem::take(buffer))
            .expect("our own frames always serialize");
        let length = bytes.len() - start - HEADER_BYTES;
        assert!(
            length <= FRAME_BYTES_MAX,
            "a {:?} frame of {length} bytes should have been cut",
            self.kind()
        );
        let length = u32::try_from(length).expect("a frame's length was just bounded");
        bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        bytes[start + 4..start + 6].copy_from_slice(&(self.kind() as u16).to_le_bytes());
        bytes[start + 6..start + 8].copy_from_slice(&SCHEMA.to_le_bytes());
        *buffer = bytes;
    }

    /// Decodes the payload that followed `header`.
    ///
    /// # Errors
    /// [`WireError::Malformed`] or [`WireError::Beyond`].
    pub fn decode(header: Header, payload: &[u8]) -> Result<Frame, WireError> {
        let kind = header.kind as u16;
        let malformed = WireError::Malformed { kind };
        if payload.len() != header.bytes as usize {
            return Err(malformed);
        }
        match Frame::decode_payload(header.kind, payload) {
            Ok((frame, 0)) if frame.within() => Ok(frame),
            Ok((_, 0)) => Err(WireError::Beyond { kind }),
            Ok(_) | Err(_) => Err(malformed),
        }
    }
}
