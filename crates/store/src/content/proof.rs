//! Parts of contents, each proved on its own.
//!
//! BLAKE3 is a tree: with a part of some contents, the pairs of hashes between it and the root prove that it belongs to
//! their digest. Large contents therefore travel as parts with their proofs, in the bao format with groups of 16 KiB,
//! so that a wrong byte is found within a group of where it is, a transfer that was cut goes on where it was, and
//! what has come can be sent on before the rest is there.
//!
//! The pairs of an object are in `proofs/a/<digest>`, computed when they are first asked for; 64 bytes a group.

use std::fs::File;
use std::io;
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
    Object { contents: File, pairs: File },
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
        while bytes.len() < least
            && let Some(item) = &self.next
        {
            let is_here = match item {
                BaoChunk::Parent { node, .. } => {
                    let place = self.shape.place_of(*node).unwrap_or_default();
                    self.origin.pair(place, &mut bytes)?
                }
                BaoChunk::Leaf {
                    start_chunk, size, ..
                } => self.origin.leaf(*start_chunk, *size, &mut bytes)?,
            };
            if !is_here {
                break;
            }
            self.next = self.items.next();
        }
        Ok(bytes)
    }
}

impl Origin {
    fn pair(&self, place: u64, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let mut pair = [0; PAIR_BYTES];
        match self {
            Origin::Object { pairs, .. } => pairs.read_exact_at(&mut pair, place)?,
            Origin::Partial(partial) => match partial.pair(place)? {
                Some(found) => pair = found,
                None => return Ok(false),
            },
        }
        bytes.extend_from_slice(&pair);
        Ok(true)
    }

    fn leaf(&self, start: ChunkNum, size: usize, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let contents = match self {
            Origin::Object { contents, .. } => contents,
            Origin::Partial(partial) if partial.has(start) => partial.contents(),
            Origin::Partial(_) => return Ok(false),
        };
        let filled = bytes.len();
        bytes.resize(filled + size, 0);
        contents.read_exact_at(&mut bytes[filled..], start.to_bytes())?;
        Ok(true)
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
        let source = match Source::open(&self.path(digest), OFlags::NOFOLLOW | OFlags::NONBLOCK) {
            Err(ContentError::Disk(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ContentError::Absent { digest });
            }
            opened => opened?,
        };
        let bytes = source.stamp.size;
        let shape = Shape { digest, bytes };
        let pairs = match File::open(self.proof_path(digest)) {
            Ok(pairs) if pairs.metadata()?.len() == shape.pairs_bytes() => pairs,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(_) | Err(_) => self.make_proof(&source.file, shape)?,
        };
        let contents = source.file;
        let origin = Origin::Object { contents, pairs };
        Ok(Proving::new(shape, ranges, origin))
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
pub(super) struct Pairs<'a> {
    pub(super) shape: Shape,
    pub(super) file: &'a File,
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
/// The permissions of a file of pairs: nobody but its owner has a use for it.
pub(super) const PROOF_MODE: u32 = 0o400;

const _: () = assert!(
    1024 << GROUP_CHUNKS_LOG == GROUP_BYTES,
    "a group is a whole number of chunks"
);
