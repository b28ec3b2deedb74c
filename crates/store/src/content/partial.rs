//! Contents that arrive in parts, in any order, over several transfers if need be.
//!
//! `partial/<digest>` holds what has come, at its place; `partial/<digest>.pairs` the hashes that prove it. Nothing is
//! written that is not proved, so whoever finds a partial after a crash has only to look which groups still are.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bao_tree::iter::{BaoChunk, ResponseIter};
use bao_tree::{ChunkNum, ChunkRanges};
use blake3::Hash;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use muster_proto::Digest;
use muster_proto::wire::bulk::GROUP_BYTES;
use rustix::fs::OFlags;

use super::proof::{GROUP_CHUNKS_LOG, PAIR_BYTES, PROOF_MODE, Shape};
use super::taking::Taking;
use super::writer::{is_ours, move_into};
use super::{ContentError, ContentStore, Source, Use};
use crate::own::Dir;

/// Contents of which a part is here.
///
/// Dropping it leaves what has come for the next transfer.
#[derive(Debug)]
pub struct Partial {
    shape: Shape,
    contents: File,
    pairs: File,
    here: Mutex<ChunkRanges>,
}

impl Partial {
    /// What it is a part of.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The groups that are not here yet, as ranges in order.
    pub fn missing(&self) -> Vec<Range<u64>> {
        let missing = ChunkRanges::all() - self.here().clone();
        let group = |chunk: &ChunkNum| chunk.0 >> GROUP_CHUNKS_LOG;
        let range = |bounds: &[ChunkNum]| {
            let end = bounds.get(1).map_or(self.shape.groups(), group);
            group(&bounds[0])..end
        };
        missing.boundaries().chunks(2).map(range).collect()
    }

    /// Begins to take in the groups `ranges` with their proofs; several such streams may run side by side.
    pub fn taking(self: &Arc<Self>, ranges: &[Range<u64>]) -> Taking {
        let items = ResponseIter::new(self.shape.tree(), self.shape.chunks(ranges));
        Taking::new(Arc::clone(self), items)
    }

    pub(super) fn contents(&self) -> &File {
        &self.contents
    }

    /// Whether the group that begins with chunk `start` is here.
    pub(super) fn has(&self, start: ChunkNum) -> bool {
        self.here().contains(&start)
    }

    /// The pair at `place`, if it is here.
    pub(super) fn pair(&self, place: u64) -> io::Result<Option<[u8; PAIR_BYTES]>> {
        let mut pair = [0; PAIR_BYTES];
        self.pairs.read_exact_at(&mut pair, place)?;
        Ok(pair.iter().any(|byte| *byte != 0).then_some(pair))
    }

    /// Keeps pairs that have been proved, from `place` on.
    pub(super) fn keep_pairs(&self, place: u64, pairs: &[u8]) -> io::Result<()> {
        self.pairs.write_all_at(pairs, place)
    }

    fn here(&self) -> MutexGuard<'_, ChunkRanges> {
        // Ranges are added in one step, so a poisoned lock is as good as a sound one.
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the group that begins with chunk `start` is here.
    pub(super) fn mark(&self, start: ChunkNum) {
        let group = start.0 >> GROUP_CHUNKS_LOG;
        *self.here() |= self.shape.run(&(group..group + 1));
    }

    pub(super) fn wrong(&self) -> ContentError {
        ContentError::NotProved {
            digest: self.shape.digest,
        }
    }

    /// Finds out which groups are here by reading them, with the pairs that prove them.
    fn take_stock(&self) -> io::Result<()> {
        // What the next node must hash to, unless nothing is known of it.
        let mut wanted = vec![Some(self.shape.root())];
        let mut group = vec![0; GROUP_BYTES as usize];
        for item in ResponseIter::new(self.shape.tree(), ChunkRanges::all()) {
            let hash = wanted.pop().flatten();
            match item {
                BaoChunk::Parent { node, is_root, .. } => {
                    let place = self.shape.place_of(node).unwrap_or_default();
                    let pair = match hash {
                        Some(_) => self.pair(place)?.map(halves),
                        None => None,
                    };
                    let is_proved = |pair: &(Hash, Hash)| hash == Some(parent(pair, is_root));
                    let pair = pair.filter(is_proved);
                    wanted.push(pair.map(|(_, right)| right));
                    wanted.push(pair.map(|(left, _)| left));
                }
                BaoChunk::Leaf {
                    start_chunk,
                    size,
                    is_root,
                    ..
                } => {
                    let Some(hash) = hash else { continue };
                    let bytes = &mut group[..size];
                    self.contents.read_exact_at(bytes, start_chunk.to_bytes())?;
                    if leaf(start_chunk, bytes, is_root) == hash {
                        self.mark(start_chunk);
                    }
                }
            }
        }
        Ok(())
    }
}

impl ContentStore {
    /// Begins to receive contents in parts, or goes on with what an earlier transfer has left.
    ///
    /// # Errors
    /// [`ContentError::Full`] if the disk has no room for what is missing, before any of it is sent;
    /// [`ContentError::Busy`] while another process receives them; the disk.
    pub fn partial(&self, shape: Shape) -> Result<Partial, ContentError> {
        let dir = Dir::open(&self.partials())?;
        let [name, pairs_name] = partial_names(shape.digest);
        let contents = dir.open_own(&name)?;
        if !is_ours(&contents)? {
            return Err(ContentError::Busy {
                digest: shape.digest,
            });
        }
        let pairs = dir.open_own(&pairs_name)?;
        let is_old = contents.metadata()?.len() == shape.bytes
            && pairs.metadata()?.len() == shape.pairs_bytes();
        if !is_old {
            for (file, bytes) in [(&contents, shape.bytes), (&pairs, shape.pairs_bytes())] {
                file.set_len(0)?;
                file.set_len(bytes)?;
            }
        }
        has_room(&contents, shape.bytes)?;
        let partial = Partial {
            shape,
            contents,
            pairs,
            here: Mutex::new(ChunkRanges::empty()),
        };
        if is_old {
            partial.take_stock()?;
        }
        Ok(partial)
    }

    /// Makes contents visible that have come whole.
    ///
    /// # Errors
    /// [`ContentError::NotProved`] if something is missing; the disk.
    pub fn publish(&self, partial: &Partial) -> Result<(), ContentError> {
        if !partial.missing().is_empty() {
            return Err(partial.wrong());
        }
        let shape = partial.shape;
        let [name, pairs_name] = partial_names(shape.digest);
        for (file, from, to, mode) in [
            (
                &partial.pairs,
                pairs_name,
                self.proof_path(shape.digest),
                PROOF_MODE,
            ),
            (
                &partial.contents,
                name,
                self.path(shape.digest),
                Use::Data.mode(),
            ),
        ] {
            file.set_permissions(Permissions::from_mode(mode))?;
            move_into(&self.partials().join(from), &to)?;
        }
        Ok(())
    }

    /// Removes what has come of contents that nobody wants any more.
    ///
    /// # Errors
    /// When the directory refuses.
    pub fn abandon(&self, digest: Digest) -> Result<(), ContentError> {
        let dir = Dir::open(&self.partials())?;
        for name in partial_names(digest) {
            dir.remove(&name)?;
        }
        Ok(())
    }

    /// Removes partial contents that nobody receives and to which nothing was added for `age`.
    pub(super) fn sweep_partial(&self, age: Duration) -> io::Result<u64> {
        let mut newest: BTreeMap<PathBuf, SystemTime> = BTreeMap::new();
        let dir = Dir::open(&self.partials())?;
        for entry in fs::read_dir(dir.path())? {
            let entry = entry?;
            let path = entry.path().with_extension("");
            let written = entry.metadata()?.modified()?;
            let known = newest.entry(path).or_insert(written);
            *known = written.max(*known);
        }
        let mut swept = 0;
        for (path, written) in newest {
            let is_old = written.elapsed().is_ok_and(|elapsed| elapsed > age);
            let is_free = || match Source::open(&path, OFlags::NOFOLLOW | OFlags::NONBLOCK) {
                Ok(source) => is_ours(&source.file),
                // Nobody receives what is no file, either.
                Err(ContentError::NotAFile { .. }) => Ok(true),
                Err(ContentError::Disk(error)) if error.kind() == io::ErrorKind::NotFound => {
                    Ok(true)
                }
                Err(error) => Err(io::Error::other(error)),
            };
            if is_old && is_free()? {
                fs::remove_file(path.with_extension(PAIRS)).ok();
                fs::remove_file(&path).ok();
                swept += 1;
            }
        }
        Ok(swept)
    }
}

/// Whether there is room for a file to grow to `bytes`; others may take it meanwhile.
fn has_room(file: &File, bytes: u64) -> io::Result<()> {
    let disk = rustix::fs::fstatvfs(file)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    // Zero blocks in all: a file system that does not know its size.
    let is_known = disk.f_blocks > 0;
    let lacking = bytes.saturating_sub(file.metadata()?.blocks().saturating_mul(BLOCK_BYTES));
    if is_known && lacking > free {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(())
}

/// What the contents and the pairs are called.
fn partial_names(digest: Digest) -> [String; 2] {
    [digest.to_string(), format!("{digest}.{PAIRS}")]
}

pub(super) fn halves(pair: [u8; PAIR_BYTES]) -> (Hash, Hash) {
    let (mut left, mut right) = ([0; 32], [0; 32]);
    left.copy_from_slice(&pair[..32]);
    right.copy_from_slice(&pair[32..]);
    (Hash::from_bytes(left), Hash::from_bytes(right))
}

pub(super) fn parent((left, right): &(Hash, Hash), is_root: bool) -> Hash {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if is_root {
        merge_subtrees_root(left, right, Mode::Hash)
    } else {
        Hash::from_bytes(merge_subtrees_non_root(left, right, Mode::Hash))
    }
}

pub(super) fn leaf(start: ChunkNum, bytes: &[u8], is_root: bool) -> Hash {
    if is_root {
        return blake3::hash(bytes);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(start.to_bytes()).update(bytes);
    Hash::from_bytes(hasher.finalize_non_root())
}

/// What the system counts the room of a file in.
const BLOCK_BYTES: u64 = 512;
/// What a file of pairs is called beside its contents.
const PAIRS: &str = "pairs";
