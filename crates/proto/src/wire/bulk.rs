//! What is said on a stream of a bulk connection: one request, one answer, then bytes.
//!
//! A stream opens with `length u32` and a [`Request`] in postcard. For `Get` the answer is, for each digest in
//! order, `bytes u64` ([`ABSENT`] if the answerer does not have it) and that many bytes of contents. For `Parts` it is the
//! length of the whole in the same way, and then the groups asked for with their proofs, as the bao format writes them
//! with groups of [`GROUP_BYTES`]. For `Put` the asker sends for each file its `bytes u64` and contents, and the answerer one
//! byte, 1, when all are verified and visible. For `Have` the answer is one byte for each digest, 1 or 0.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::limits::{DIGESTS_PER_REQUEST_MAX, FILE_BYTES_MAX, PARTS_PER_REQUEST_MAX};
use crate::wire::wary;

/// In place of a length: the contents are not here.
pub const ABSENT: u64 = u64::MAX;

/// Bytes of a group: the least of some contents that is asked for and proved.
pub const GROUP_BYTES: u64 = 16 << 10;

const _: () = assert!(
    FILE_BYTES_MAX / GROUP_BYTES <= u32::MAX as u64,
    "every group of a file has a number"
);
const _: () = assert!(
    10 * PARTS_PER_REQUEST_MAX <= 32 * DIGESTS_PER_REQUEST_MAX,
    "a request for parts is no longer than one for digests"
);

/// Bytes of a request at most.
pub const REQUEST_BYTES_MAX: usize = 16 + 32 * DIGESTS_PER_REQUEST_MAX;

/// What is asked on a bulk stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Send me these.
    Get(Vec<Digest>),
    /// I will send you these.
    Put(Vec<Digest>),
    /// Which of these do you have?
    Have(Vec<Digest>),
    /// Send me these parts of large contents.
    Parts {
        /// Which contents.
        digest: Digest,
        /// Which groups of them.
        groups: Vec<Groups>,
    },
}

/// Consecutive groups of some contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// The number of the first, counted from the beginning of the contents.
    pub first: u32,
    /// How many.
    pub count: u32,
}

impl Request {
    /// Decodes a request.
    ///
    /// Returns `None` for anything malformed, left over, or beyond [`DIGESTS_PER_REQUEST_MAX`] or
    /// [`PARTS_PER_REQUEST_MAX`].
    pub fn decode(bytes: &[u8]) -> Option<Request> {
        let (request, left) = wary::take::<Request>(bytes).ok()?;
        let is_within = match &request {
            Request::Get(digests) | Request::Put(digests) | Request::Have(digests) => {
                digests.len() <= DIGESTS_PER_REQUEST_MAX
            }
            Request::Parts { groups, .. } => groups.len() <= PARTS_PER_REQUEST_MAX,
        };
        (left == 0 && is_within).then_some(request)
    }

    /// The bytes of a request, its length before it.
    ///
    /// # Panics
    /// If it asks for more than [`DIGESTS_PER_REQUEST_MAX`] or [`PARTS_PER_REQUEST_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        let bytes = postcard::to_stdvec(self).expect("our own requests always serialize");
        assert!(
            bytes.len() <= REQUEST_BYTES_MAX,
            "a request for too many digests should have been cut"
        );
        let length = u32::try_from(bytes.len()).expect("a request's length was just bounded");
        [length.to_le_bytes().as_slice(), &bytes].concat()
    }
}
