//! Parts of contents on their way into a partial: proved bit by bit, and not written before.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bao_tree::ChunkNum;
use bao_tree::iter::{BaoChunk, ResponseIter};
use blake3::Hash;

use super::ContentError;
use super::partial::{Partial, halves, leaf, parent};
use super::proof::PAIR_BYTES;

/// One stream of parts; see [`Partial::taking`].
#[derive(Debug)]
pub struct Taking {
    partial: Arc<Partial>,
    items: ResponseIter,
    next: Option<BaoChunk>,
    /// What the items to come must hash to, the next one last.
    wanted: Vec<Hash>,
    /// The beginning of the next item.
    rest: Vec<u8>,
}

/// Whether a stream of parts has brought all it was to bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    /// There is more to come.
    Some,
    /// That was all.
    All,
}

impl Taking {
    pub(super) fn new(partial: Arc<Partial>, mut items: ResponseIter) -> Self {
        Self {
            next: items.next(),
            items,
            wanted: vec![partial.shape().root()],
            rest: Vec::new(),
            partial,
        }
    }

    /// Takes in what comes next on the stream: every group that is whole and proved is written. Returns how many bytes
    /// of contents were, and whether that was all.
    ///
    /// # Errors
    /// [`ContentError::NotProved`] at the first item that does not belong here, which ends the stream; the disk. What
    /// came before stays.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(u64, Brought), ContentError> {
        let partial = Arc::clone(&self.partial);
        let mut run = Run::new(&partial);
        let walked = self.walk(bytes, &mut run);
        // What was proved before a wrong item is as good as ever.
        run.write()?;
        Ok((run.written, walked?))
    }

    fn walk<'a>(
        &mut self,
        mut bytes: &'a [u8],
        run: &mut Run<'a, '_>,
    ) -> Result<Brought, ContentError> {
        while let Some(item) = self.next.take() {
            let length = match item {
                BaoChunk::Parent { .. } => PAIR_BYTES,
                BaoChunk::Leaf { size, .. } => size,
            };
            if self.rest.is_empty() && bytes.len() >= length {
                let (whole, later) = bytes.split_at(length);
                bytes = later;
                match self.prove(&item, whole)? {
                    Proved::Pair(place) => run.pair(place, whole)?,
                    Proved::Group(start) => run.add(start, whole)?,
                }
            } else {
                let most = bytes.len().min(length - self.rest.len());
                let (now, later) = bytes.split_at(most);
                bytes = later;
                self.rest.extend_from_slice(now);
                if self.rest.len() < length {
                    self.next = Some(item);
                    return Ok(Brought::Some);
                }
                let whole = std::mem::take(&mut self.rest);
                match self.prove(&item, &whole)? {
                    Proved::Pair(place) => run.pair(place, &whole)?,
                    Proved::Group(start) => {
                        run.write()?;
                        let mut alone = Run::new(run.partial);
                        alone.add(start, &whole)?;
                        alone.write()?;
                        run.written += alone.written;
                    }
                }
            }
            self.next = self.items.next();
        }
        Ok(Brought::All)
    }

    /// Proves an item.
    fn prove(&mut self, item: &BaoChunk, bytes: &[u8]) -> Result<Proved, ContentError> {
        let wanted = self.wanted.pop();
        match item {
            BaoChunk::Parent {
                node,
                is_root,
                left,
                right,
                ..
            } => {
                let pair = bytes.try_into().map(halves).ok();
                let pair = pair.filter(|pair| wanted == Some(parent(pair, *is_root)));
                let pair = pair.ok_or_else(|| self.partial.wrong())?;
                self.wanted.extend(right.then_some(pair.1));
                self.wanted.extend(left.then_some(pair.0));
                let place = self.partial.shape().place_of(*node);
                Ok(Proved::Pair(place.unwrap_or_default()))
            }
            BaoChunk::Leaf {
                start_chunk,
                is_root,
                ..
            } if wanted == Some(leaf(*start_chunk, bytes, *is_root)) => {
                Ok(Proved::Group(*start_chunk))
            }
            BaoChunk::Leaf { .. } => Err(self.partial.wrong()),
        }
    }
}

/// What an item turned out to be.
enum Proved {
    /// A pair of hashes, for this place.
    Pair(u64),
    /// The group that begins with this chunk.
    Group(ChunkNum),
}

/// Pairs and groups that follow each other, to be written in one go: calls that write to one file wait for each other.
struct Run<'a, 'p> {
    partial: &'p Partial,
    groups: Vec<ChunkNum>,
    slices: Vec<IoSlice<'a>>,
    bytes: u64,
    /// Where the pairs belong.
    pairs_begin: u64,
    pairs: Vec<u8>,
    written: u64,
}

impl<'a, 'p> Run<'a, 'p> {
    fn new(partial: &'p Partial) -> Self {
        Self {
            partial,
            groups: Vec::new(),
            slices: Vec::new(),
            bytes: 0,
            pairs_begin: 0,
            pairs: Vec::new(),
            written: 0,
        }
    }

    fn add(&mut self, start: ChunkNum, group: &'a [u8]) -> io::Result<()> {
        let follows = |first: &ChunkNum| first.to_bytes() + self.bytes == start.to_bytes();
        if !self.groups.first().is_some_and(follows) || self.slices.len() == SLICES_MAX {
            self.write()?;
        }
        self.groups.push(start);
        self.slices.push(IoSlice::new(group));
        self.bytes += group.len() as u64;
        Ok(())
    }

    fn pair(&mut self, place: u64, pair: &[u8]) -> io::Result<()> {
        if place != self.pairs_begin + self.pairs.len() as u64 {
            self.write_pairs()?;
            self.pairs_begin = place;
        }
        self.pairs.extend_from_slice(pair);
        Ok(())
    }

    fn write_pairs(&mut self) -> io::Result<()> {
        self.partial.keep_pairs(self.pairs_begin, &self.pairs)?;
        self.pairs_begin += self.pairs.len() as u64;
        self.pairs.clear();
        Ok(())
    }

    /// Writes the pairs and then the groups that they prove.
    fn write(&mut self) -> io::Result<()> {
        self.write_pairs()?;
        let Some(first) = self.groups.first() else {
            return Ok(());
        };
        let mut offset = first.to_bytes();
        let mut slices = &mut self.slices[..];
        while !slices.is_empty() {
            let count = rustix::io::pwritev(self.partial.contents(), slices, offset)?;
            if count == 0 && self.bytes > 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            offset += count as u64;
            IoSlice::advance_slices(&mut slices, count);
        }
        for start in self.groups.drain(..) {
            self.partial.mark(start);
        }
        self.slices.clear();
        self.written += std::mem::take(&mut self.bytes);
        Ok(())
    }
}

/// Groups of one call: half a mebibyte.
const SLICES_MAX: usize = 32;
