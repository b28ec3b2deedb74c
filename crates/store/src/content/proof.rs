//! Parts of contents, each proved on its own.
//!
//! BLAKE3 is a tree: with a part of some contents, the pairs of hashes between it and the root prove that it belongs to
//! their digest. Large contents therefore travel as parts with their proofs, in the bao format with groups of 16 KiB,
//! so that a wrong byte is found within a group of where it is, a transfer that was cut goes on where it was, and
//! what has come can be sent on before the rest is there.
//!
//! The pairs of an object are in `proofs/a/<digest>`, computed when they are first asked for; 64 bytes a group.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bao_tree::io::sync::{OutboardMut, outboard};
use bao_tree::iter::{BaoChunk, ResponseIter};
use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges, TreeNode};
use blake3::Hash;
use muster_proto::Digest;
use muster_proto::wire::bulk::GROUP_BYTES;
use rustix::fs::OFlags;

use super::partial::Partial;
use super::writer::Draft;
use super::{ContentError, ContentStore, READ_BYTES, Source};

/// Contents as a tree: their digest and their length, which a peer may have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The root.
    pub digest: Digest,
    /// Their length.
    pub bytes: u64,
}

impl Shape {
    /// How many groups there are; even empty contents have one.
    pub fn groups(&self) -> u64 {
        self.bytes.div_ceil(GROUP_BYTES).max(1)
    }

    pub(super) fn tree(&self) -> BaoTree {
        BaoTree::new(self.bytes, BlockSize::from_chunk_log(GROUP_CHUNKS_LOG))
    }

    pub(super) fn root(&self) -> Hash {
        Hash::from_bytes(self.digest.0)
    }

    /// The chunks of the groups `ranges`; what lies beyond the end is left out.
    pub(super) fn chunks(&self, ranges: &[Range<u64>]) -> ChunkRanges {
        let within = |range: &&Range<u64>| range.start < range.end.min(self.groups());
        let runs = ranges.iter().filter(within).map(|range| self.run(range));
        runs.fold(ChunkRanges::empty(), |chunks, run| chunks | run)
    }

    /// The chunks of one run of groups. A run up to the end is open, by which the tree knows its last group, short as
    /// it may be, to be whole.
    pub(super) fn run(&self, groups: &Range<u64>) -> ChunkRanges {
        let chunk = |group: u64| ChunkNum(group << GROUP_CHUNKS_LOG);
        if groups.end < self.groups() {
            ChunkRanges::from(chunk(groups.start)..chunk(groups.end))
        } else {
            ChunkRanges::from(chunk(groups.start)..)
        }
    }

    /// Where the pair of `node` is in a file of pairs; `None` for what lies within a group.
    pub(super) fn place_of(&self, node: TreeNode) -> Option<u64> {
        Some(self.tree().pre_order_offset(node)? * PAIR_BYTES as u64)
    }

    /// Bytes of all pairs.
    pub(super) fn pairs_bytes(&self) -> u64 {
        (self.groups() - 1) * PAIR_BYTES as u64
    }
}

/// Parts of contents with their proofs, read bit by bit.
#[derive(Debug)]
pub struct Proving {
    shape: Shape,
    items: ResponseIter,
    next: Option<BaoChunk>,
    origin: Origin,
}

/// Where the parts come from.
#[derive(Debug)]
enum Origin {
    Object { contents: File, pairs: Window },
    Partial(Arc<Partial>),
}

impl Proving {
    /// Reads the groups `ranges` of contents that are still arriving, as they arrive.
    pub fn partial(partial: Arc<Partial>, ranges: &[Range<u64>]) -> Self {
        Self::new(partial.shape(), ranges, Origin::Partial(partial))
    }

    fn new(shape: Shape, ranges: &[Range<u64>], origin: Origin) -> Self {
        let mut items = ResponseIter::new(shape.tree(), shape.chunks(ranges));
        let next = items.next();
        Self {
            shape,
            items,
            next,
            origin,
        }
    }

    /// What the parts belong to.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Whether all has been read.
    pub fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// Reads on until there are `least` bytes or a group more, or all there is; nothing if what comes next has not
    /// arrived yet.
    ///
    /// # Errors
    /// The disk.
    pub fn read(&mut self, least: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(least + GROUP_BYTES as usize);
        let mut gaps = Gaps::default();
        while bytes.len() < least
            && let Some(item) = &self.next
        {
            match item {
                BaoChunk::Parent { node, .. } => {
                    let place = self.shape.place_of(*node).unwrap_or_default();
                    let Some(pair) = self.origin.pair(place)? else {
                        break;
                    };
                    bytes.extend_from_slice(&pair);
                }
                BaoChunk::Leaf {
                    start_chunk, size, ..
                } => {
                    if !self.origin.has(*start_chunk) {
                        break;
                    }
                    let at = bytes.len();
                    bytes.resize(at + size, 0);
                    if !gaps.add(start_chunk.to_bytes(), at..at + size) {
                        gaps.fill(self.origin.contents(), &mut bytes)?;
                        gaps.add(start_chunk.to_bytes(), at..at + size);
                    }
                }
            }
            self.next = self.items.next();
        }
        gaps.fill(self.origin.contents(), &mut bytes)?;
        Ok(bytes)
    }
}

impl Origin {
    fn pair(&mut self, place: u64) -> io::Result<Option<[u8; PAIR_BYTES]>> {
        match self {
            Origin::Object { pairs, .. } => pairs.pair(place).map(Some),
            Origin::Partial(partial) => partial.pair(place),
        }
    }

    fn has(&self, start: ChunkNum) -> bool {
        match self {
            Origin::Object { .. } => true,
            Origin::Partial(partial) => partial.has(start),
        }
    }

    fn contents(&self) -> &File {
        match self {
            Origin::Object { contents, .. } => contents,
            Origin::Partial(partial) => partial.contents(),
        }
    }
}

/// A file of pairs, of which the part last looked at is at hand: they are asked for almost in order.
#[derive(Debug)]
struct Window {
    file: File,
    begins: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn pair(&mut self, place: u64) -> io::Result<[u8; PAIR_BYTES]> {
        let is_here = place >= self.begins
            && place + PAIR_BYTES as u64 <= self.begins + self.bytes.len() as u64;
        if !is_here {
            self.begins = place;
            self.bytes.resize(WINDOW_BYTES, 0);
            let count = self.file.read_at(&mut self.bytes, place)?;
            self.bytes.truncate(count);
        }
        let at = (place - self.begins) as usize;
        let pair = self.bytes.get(at..at + PAIR_BYTES);
        let pair = pair.and_then(|pair| pair.try_into().ok());
        pair.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Places among other bytes for groups that follow each other in the contents, to be read in one go.
#[derive(Default)]
struct Gaps {
    begins: u64,
    bytes: u64,
    places: Vec<Range<usize>>,
}

impl Gaps {
    /// Adds the place of a group, unless it does not follow those that are there.
    fn add(&mut self, offset: u64, place: Range<usize>) -> bool {
        if self.places.is_empty() {
            (self.begins, self.bytes) = (offset, 0);
        }
        let follows = offset == self.begins + self.bytes && self.places.len() < GAPS_MAX;
        if follows {
            self.bytes += place.len() as u64;
            self.places.push(place);
        }
        follows
    }

    fn fill(&mut self, contents: &File, bytes: &mut [u8]) -> io::Result<()> {
        let (mut left, mut at) = (bytes, 0);
        let mut slices = Vec::with_capacity(self.places.len());
        for place in self.places.drain(..) {
            let (_, rest) = left.split_at_mut(place.start - at);
            let (slice, rest) = rest.split_at_mut(place.len());
            slices.push(IoSliceMut::new(slice));
            (left, at) = (rest, place.end);
        }
        let (mut offset, mut slices) = (self.begins, &mut slices[..]);
        let end = self.begins + self.bytes;
        while offset < end {
            let count = rustix::io::preadv(contents, slices, offset)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            offset += count as u64;
            IoSliceMut::advance_slices(&mut slices, count);
        }
        self.bytes = 0;
        Ok(())
    }
}

impl ContentStore {
    /// Begins to read the groups `ranges` of an object with their proofs.
    ///
    /// When an object is first asked for in parts, all of it is read once, and its pairs are kept.
    ///
    /// # Errors
    /// [`ContentError::Absent`]; [`ContentError::WrongDigest`] if it has rotted: it is removed then, and counted.
    pub fn prove(&self, digest: Digest, ranges: &[Range<u64>]) -> Result<Proving, ContentError> {
        let (mut contents, mut shape, mut pairs) = self.proved(digest)?;
        if pairs.is_none() {
            let _alone = self.proving.lock();
            // Somebody else may have done it, or found that it has rotted.
            (contents, shape, pairs) = self.proved(digest)?;
            if pairs.is_none() {
                pairs = Some(self.make_proof(&contents, shape)?);
            }
        }
        let pairs = Window {
            file: pairs.ok_or(ContentError::Absent { digest })?,
            begins: 0,
            bytes: Vec::new(),
        };
        let origin = Origin::Object { contents, pairs };
        Ok(Proving::new(shape, ranges, origin))
    }

    /// Opens an object, and its pairs if they are there.
    fn proved(&self, digest: Digest) -> Result<(File, Shape, Option<File>), ContentError> {
        let source = self.object(digest)?;
        let bytes = source.stamp.size;
        let shape = Shape { digest, bytes };
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let pairs = match Source::open(&self.proof_path(digest), flags) {
            Ok(pairs) => (pairs.stamp.size == shape.pairs_bytes()).then_some(pairs.file),
            // What else is there is replaced.
            Err(ContentError::NotAFile { .. }) => None,
            Err(ContentError::Disk(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok((source.file, shape, pairs))
    }

    /// Computes the pairs of an object from its bytes.
    fn make_proof(&self, contents: &File, shape: Shape) -> Result<File, ContentError> {
        let draft = Draft::create(&self.drafts())?;
        let reader = io::BufReader::with_capacity(READ_BYTES, contents);
        let pairs = Pairs {
            shape,
            file: &draft.file,
        };
        let wanted = shape.digest;
        let found = Digest(*outboard(reader, shape.tree(), pairs)?.as_bytes());
        if found != wanted {
            self.rotten.fetch_add(1, Ordering::Relaxed);
            self.remove(wanted)?;
            return Err(ContentError::WrongDigest { wanted, found });
        }
        let file = draft.file.try_clone()?;
        draft.publish_as(&self.proof_path(wanted), PROOF_MODE)?;
        Ok(file)
    }
}

/// A file of pairs that is being filled.
struct Pairs<'a> {
    shape: Shape,
    file: &'a File,
}

impl OutboardMut for Pairs<'_> {
    fn save(&mut self, node: TreeNode, (left, right): &(Hash, Hash)) -> io::Result<()> {
        let Some(place) = self.shape.place_of(node) else {
            return Ok(());
        };
        let mut pair = [0; PAIR_BYTES];
        pair[..32].copy_from_slice(left.as_bytes());
        pair[32..].copy_from_slice(right.as_bytes());
        self.file.write_all_at(&pair, place)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Chunks of a group as a power of two; a chunk, the unit of BLAKE3, has 1 024 bytes.
pub(super) const GROUP_CHUNKS_LOG: u8 = 4;
/// Bytes of a pair of hashes.
pub(super) const PAIR_BYTES: usize = 64;
/// Bytes of pairs that are read at once.
const WINDOW_BYTES: usize = 16 << 10;
/// Groups that are read at once: half a mebibyte.
const GAPS_MAX: usize = 32;
/// The permissions of a file of pairs: nobody but its owner has a use for it.
pub(super) const PROOF_MODE: u32 = 0o400;

const _: () = assert!(
    1024 << GROUP_CHUNKS_LOG == GROUP_BYTES,
    "a group is a whole number of chunks"
);
