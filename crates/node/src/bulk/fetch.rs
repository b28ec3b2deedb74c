//! Bringing contents from a peer into this process's content store.

use std::time::Duration;

use muster_proto::machine::FetchEnd;
use muster_proto::wire::bulk::{ABSENT, Request};
use muster_proto::{Digest, Peer};
use quinn::{RecvStream, SendStream};

use super::parts;
use super::shelf::{Incoming, Kept, Shelf};
use super::stream::{self, Refused, Stop};
use super::{CHUNK_BYTES, Lines, PACK_BYTES, SMALL_BYTES, Wanted};
use crate::endpoint::Link;

/// Brings what is `wanted` from `peer` over one stream of its bulk connection; says for each how it ended, in order.
///
/// What is in the store already is not asked for. What had arrived when a transfer broke off stays.
pub(crate) async fn fetch(
    lines: &Lines,
    shelf: &Shelf,
    peer: &Peer,
    wanted: &[Wanted],
) -> Vec<FetchEnd> {
    let mut ends = vec![FetchEnd::Failed; wanted.len()];
    let Ok(held) = shelf
        .holds(wanted.iter().map(|file| file.digest).collect())
        .await
    else {
        return ends;
    };
    let mut missing = Vec::new();
    for (at, held) in held.into_iter().enumerate() {
        if held {
            ends[at] = FetchEnd::Held;
        } else {
            missing.push(at);
        }
    }
    if missing.is_empty() {
        return ends;
    }
    if let [at] = missing[..]
        && wanted[at].bytes > SMALL_BYTES
    {
        ends[at] = parts::fetch(lines, shelf, peer, wanted[at]).await;
    } else if let Some(link) = lines.to(peer, LINE).await {
        let mut order = Order {
            shelf,
            wanted,
            ends: &mut ends,
            pack: Pack::default(),
        };
        if let Err(stop) = order.bring(&link, &missing).await {
            tracing::warn!(%peer, files = missing.len(), why = %stop, "a transfer broke off");
        }
        order.unpack().await;
    }
    ends
}

/// Opens a stream with `request`; nothing is said on it afterwards.
pub(crate) async fn ask(link: &Link, request: &Request) -> Result<(SendStream, RecvStream), Stop> {
    let (mut sending, receiving) = link.open().await.map_err(|_| Stop::Cut)?;
    stream::write(&mut sending, &request.encode()).await?;
    sending.finish().map_err(|_| Stop::Cut)?;
    Ok((sending, receiving))
}

/// Reads `bytes` of contents into `file`.
pub(crate) async fn receive(
    stream: &mut RecvStream,
    bytes: u64,
    file: &mut Incoming,
) -> Result<(), Broken> {
    let mut left = bytes;
    while left > 0 {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        while left > chunk.len() as u64 && chunk.len() < CHUNK_BYTES {
            let most = (left - chunk.len() as u64).min((CHUNK_BYTES - chunk.len()) as u64);
            stream::read_some(stream, most, &mut chunk).await?;
        }
        left -= chunk.len() as u64;
        file.write(chunk).await.map_err(|_| Broken::Disk)?;
    }
    Ok(())
}

/// Why contents did not get from a stream to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// The stream.
    #[error(transparent)]
    Stream(#[from] Stop),
    /// The contents.
    #[error("what came is not of the contents")]
    Wrong,
    /// The disk.
    #[error("the disk is full or failed")]
    Disk,
}

/// One request under way.
struct Order<'a> {
    shelf: &'a Shelf,
    wanted: &'a [Wanted],
    ends: &'a mut [FetchEnd],
    pack: Pack,
}

/// Small contents that have arrived and are not yet written.
#[derive(Default)]
struct Pack {
    places: Vec<usize>,
    files: Vec<(Digest, Vec<u8>)>,
    bytes: u64,
}

impl Order<'_> {
    async fn bring(&mut self, link: &Link, missing: &[usize]) -> Result<(), Broken> {
        let digests = missing.iter().map(|at| self.wanted[*at].digest).collect();
        let (mut sending, mut receiving) = ask(link, &Request::Get(digests)).await?;
        for at in missing {
            let bytes = stream::read_length(&mut receiving).await?;
            if bytes == ABSENT {
                self.ends[*at] = FetchEnd::Absent;
            } else if bytes > self.wanted[*at].bytes || bytes > SMALL_BYTES {
                stream::refuse(&mut sending, &mut receiving, Refused::Protocol);
                return Err(Stop::Protocol.into());
            } else {
                let contents = stream::read_small(&mut receiving, bytes, link.pace()).await?;
                self.take_in(*at, contents).await;
            }
        }
        Ok(())
    }

    async fn take_in(&mut self, at: usize, contents: Vec<u8>) {
        self.pack.places.push(at);
        self.pack.bytes += contents.len() as u64;
        self.pack.files.push((self.wanted[at].digest, contents));
        if self.pack.bytes > PACK_BYTES {
            self.unpack().await;
        }
    }

    /// Writes the small contents gathered so far.
    async fn unpack(&mut self) {
        let pack = std::mem::take(&mut self.pack);
        if pack.files.is_empty() {
            return;
        }
        for (at, kept) in pack
            .places
            .into_iter()
            .zip(self.shelf.keep(pack.files).await)
        {
            self.settle(at, kept);
        }
    }

    fn settle(&mut self, at: usize, kept: Kept) {
        let digest = self.wanted[at].digest;
        match kept {
            Kept::Held => self.ends[at] = FetchEnd::Held,
            Kept::Wrong => {
                tracing::warn!(%digest, "contents that arrived are not what their digest names")
            }
            Kept::Disk => {
                tracing::warn!(%digest, "contents that arrived could not be kept");
                self.ends[at] = FetchEnd::Unkept;
            }
        }
    }
}

/// When a fetch is given up because the peer has no bulk connection; redialling one takes at most 2 seconds.
pub(super) const LINE: Duration = Duration::from_secs(10);
