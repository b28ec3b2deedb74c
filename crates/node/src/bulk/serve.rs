//! What a peer may ask of this process's content store.

use muster_proto::limits::OUTPUT_BYTES_MAX;
use muster_proto::wire::bulk::{ABSENT, Request};
use muster_proto::{Digest, Role};
use quinn::{RecvStream, SendStream};

use super::fetch::{Broken, receive};
use super::parts;
use super::shelf::{Kept, Outgoing, Shelf};
use super::stream::{self, Refused, Stop};
use super::{CHUNK_BYTES, PACK_BYTES, PACK_FILES, SMALL_BYTES};
use crate::endpoint::{Link, Pace};
use crate::tasks::Tasks;

/// Answers what the peer asks on its bulk connection until that ends.
///
/// The transport lets a peer have no more than 16 streams open, so no more are answered at once.
pub(crate) async fn serve(link: Link, shelf: Shelf) {
    let mut streams = Tasks::new();
    while let Ok((sending, receiving)) = link.accept().await {
        let (link, shelf) = (link.clone(), shelf.clone());
        streams.spawn("bulk stream", async move {
            answer(sending, receiving, &link, &shelf).await;
        });
    }
}

/// Answers one request; a peer that breaks the rules costs one line of log and its stream.
async fn answer(mut sending: SendStream, mut receiving: RecvStream, link: &Link, shelf: &Shelf) {
    let role = link.peer().role;
    let answered = match stream::read_request(&mut receiving).await {
        Ok(request) => respond(request, link, shelf, &mut sending, &mut receiving).await,
        Err(stop) => Err(stop.into()),
    };
    match answered {
        Ok(()) => {
            // The peer may have gone away in the meantime; it will ask again.
            sending.finish().ok();
        }
        Err(Unanswered::Theirs(stop)) => {
            if stop == Stop::Protocol {
                tracing::warn!(%role, "a peer broke the protocol of transfers");
            }
            stream::refuse(&mut sending, &mut receiving, Refused::Protocol);
        }
        Err(Unanswered::Ours(why)) => stream::refuse(&mut sending, &mut receiving, why),
    }
}

/// Why a request was not answered.
pub(super) enum Unanswered {
    /// The peer's doing.
    Theirs(Stop),
    /// What the peer is told.
    Ours(Refused),
}

impl From<Stop> for Unanswered {
    fn from(stop: Stop) -> Unanswered {
        Unanswered::Theirs(stop)
    }
}

async fn respond(
    request: Request,
    link: &Link,
    shelf: &Shelf,
    sending: &mut SendStream,
    receiving: &mut RecvStream,
) -> Result<(), Unanswered> {
    match request {
        Request::Get(digests) => get(&digests, shelf, link.pace(), sending).await,
        Request::Parts { digest, groups } => {
            let mut sent = parts::send((digest, &groups), shelf, link.pace(), sending).await;
            if sent.is_ok() {
                sending.finish().ok();
                sent = stream::verdict(receiving).await.map_err(Into::into);
            }
            if let Err(Unanswered::Theirs(Stop::Refused(Refused::Wrong))) = sent {
                shelf.doubt(digest).await;
            }
            sent
        }
        Request::Have(digests) => {
            let held = shelf
                .holds(digests)
                .await
                .map_err(|_| Unanswered::Ours(Refused::Disk))?;
            let answer: Vec<u8> = held.into_iter().map(u8::from).collect();
            Ok(stream::write(sending, &answer).await?)
        }
        // Whoever puts decides what is run; a foreman or worker returns outputs only when it is asked for them.
        Request::Put(_) if link.peer().role != Role::User => Err(Stop::Protocol.into()),
        Request::Put(digests) => {
            put(digests, shelf, receiving).await?;
            Ok(stream::write(sending, &[1]).await?)
        }
    }
}

async fn get(
    digests: &[Digest],
    shelf: &Shelf,
    pace: &Pace,
    sending: &mut SendStream,
) -> Result<(), Unanswered> {
    let mut left = digests;
    while !left.is_empty() {
        let pack = shelf
            .read(left.iter().take(PACK_FILES).copied().collect(), PACK_BYTES)
            .await;
        let pack = pack.map_err(|_| Unanswered::Ours(Refused::Disk))?;
        left = &left[pack.len()..];
        for file in pack {
            match file {
                Outgoing::Absent(digest) => {
                    shelf.miss(digest);
                    stream::write(sending, &ABSENT.to_le_bytes()).await?;
                }
                Outgoing::Small(contents) => {
                    stream::write(sending, &(contents.len() as u64).to_le_bytes()).await?;
                    stream::write_paced(sending, &contents, pace).await?;
                }
                Outgoing::Large(mut file) => {
                    stream::write(sending, &file.left().to_le_bytes()).await?;
                    while file.left() > 0 {
                        let chunk = file
                            .read(CHUNK_BYTES)
                            .await
                            .map_err(|_| Unanswered::Ours(Refused::Disk))?;
                        stream::write_paced(sending, &chunk, pace).await?;
                    }
                }
            }
        }
    }
    Ok(())
}

async fn put(
    digests: Vec<Digest>,
    shelf: &Shelf,
    receiving: &mut RecvStream,
) -> Result<(), Unanswered> {
    let mut pack = Vec::new();
    let mut gathered = 0;
    for digest in digests {
        let bytes = stream::read_length(receiving).await?;
        if bytes > OUTPUT_BYTES_MAX {
            return Err(Stop::Protocol.into());
        }
        if bytes > SMALL_BYTES {
            let mut file = shelf.receive(digest, bytes);
            receive(receiving, bytes, &mut file)
                .await
                .map_err(|broken| match broken {
                    Broken::Stream(stop) => Unanswered::Theirs(stop),
                    Broken::Wrong => Unanswered::Ours(Refused::Wrong),
                    Broken::Disk => Unanswered::Ours(Refused::Disk),
                })?;
            settled(file.publish().await)?;
            continue;
        }
        pack.push((
            digest,
            stream::read_small(receiving, bytes, &Pace::default()).await?,
        ));
        gathered += bytes;
        if gathered > PACK_BYTES || pack.len() == PACK_FILES {
            keep(std::mem::take(&mut pack), shelf).await?;
            gathered = 0;
        }
    }
    keep(pack, shelf).await
}

async fn keep(pack: Vec<(Digest, Vec<u8>)>, shelf: &Shelf) -> Result<(), Unanswered> {
    shelf.keep(pack).await.into_iter().try_for_each(settled)
}

fn settled(kept: Kept) -> Result<(), Unanswered> {
    match kept {
        Kept::Held => Ok(()),
        Kept::Wrong => Err(Unanswered::Ours(Refused::Wrong)),
        Kept::Disk => Err(Unanswered::Ours(Refused::Disk)),
    }
}
