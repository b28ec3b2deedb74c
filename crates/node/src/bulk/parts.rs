//! Large contents, which travel in parts over several streams.
//!
//! Every group is proved as it arrives and is then in the store's partial contents, so a transfer that was cut goes on
//! with what is missing, and what has come is served on before the rest is there.

use std::future::ready;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::limits::PARTS_PER_REQUEST_MAX;
use muster_proto::machine::FetchEnd;
use muster_proto::wire::bulk::{ABSENT, Groups, Request};
use muster_proto::{Digest, Peer};
use muster_store::ContentError;
use muster_store::content::{Brought, Partial, Proving, Shape, Taking};
use quinn::{RecvStream, SendStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::fetch::{Broken, LINE};
use super::serve::Unanswered;
use super::shelf::{Sharing, Shelf, blocking};
use super::stream::{self, More, Refused, Stop, within};
use super::{CHUNK_BYTES, Lines, STILL, Wanted};
use crate::endpoint::{Link, Pace};

/// Contents that are arriving; shared by the streams that bring them and those that are served from them.
#[derive(Debug)]
pub(crate) struct Arrival {
    partial: Arc<Partial>,
    /// How many bytes have come: changes when there is more to serve.
    bytes: watch::Sender<u64>,
}

impl Arrival {
    pub(super) fn new(partial: Partial) -> Arrival {
        Arrival {
            partial: Arc::new(partial),
            bytes: watch::Sender::new(0),
        }
    }

    pub(super) fn partial(&self) -> &Arc<Partial> {
        &self.partial
    }

    /// How many bytes have come.
    pub(super) fn come(&self) -> u64 {
        *self.bytes.borrow()
    }
}

/// Brings large contents from `peer`, going on where an earlier transfer ended.
///
/// A connection that breaks is waited for and used again, as long as some bring something.
pub(super) async fn fetch(lines: &Lines, shelf: &Shelf, peer: &Peer, wanted: Wanted) -> FetchEnd {
    let claim = loop {
        let Wanted { digest, bytes } = wanted;
        match shelf.share(Shape { digest, bytes }).await {
            Sharing::Held => return FetchEnd::Held,
            Sharing::Wait => sleep(LOOK_AGAIN).await,
            Sharing::Fetch(claim) => break claim,
        }
    };
    let fetching = fetch_from(lines, shelf, peer, wanted);
    let Some(claim) = claim else {
        return fetching.await;
    };
    let mut fetching = std::pin::pin!(fetching);
    let mut heard = 0;
    loop {
        if let Ok(end) = timeout(RENEW_EVERY, &mut fetching).await {
            return end;
        }
        // A claim that is not renewed runs out, and a neighbour fetches for itself.
        let come = shelf.come(wanted.digest);
        if come != heard {
            claim.renew().ok();
        }
        heard = come;
    }
}

async fn fetch_from(lines: &Lines, shelf: &Shelf, peer: &Peer, wanted: Wanted) -> FetchEnd {
    let Wanted { digest, bytes } = wanted;
    let arrival = match shelf.arrive(Shape { digest, bytes }).await {
        Ok(arrival) => arrival,
        Err(error) => {
            tracing::warn!(%peer, why = %error, "large contents cannot be received");
            return match error {
                ContentError::Full(_) | ContentError::Disk(_) => FetchEnd::Unkept,
                ContentError::WrongDigest { .. }
                | ContentError::TooLong { .. }
                | ContentError::Changed { .. }
                | ContentError::NotAFile { .. }
                | ContentError::Absent { .. }
                | ContentError::NotProved { .. }
                | ContentError::Busy { .. } => FetchEnd::Failed,
            };
        }
    };
    let mut barren = 0;
    while barren < BARREN_MAX
        && let Some(link) = lines.to(peer, LINE).await
    {
        let before = *arrival.bytes.borrow();
        match bring(&link, shelf, &arrival).await {
            Ok(end) => return end,
            Err(stop) => {
                let brought = *arrival.bytes.borrow() - before;
                tracing::warn!(%peer, %digest, brought, why = %stop, "a transfer broke off");
                match stop {
                    Broken::Stream(Stop::Cut | Stop::Still) => {}
                    Broken::Disk => return FetchEnd::Unkept,
                    Broken::Stream(Stop::Refused(_) | Stop::Protocol) | Broken::Wrong => break,
                }
                barren = if brought == 0 { barren + 1 } else { 0 };
            }
        }
    }
    FetchEnd::Failed
}

/// Brings what is missing over several streams of one connection.
async fn bring(link: &Link, shelf: &Shelf, arrival: &Arc<Arrival>) -> Result<FetchEnd, Broken> {
    let shares = shares(arrival.partial.missing());
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    let (judges, verdicts): (Vec<_>, Vec<_>) = shares.iter().map(|_| oneshot::channel()).unzip();
    let streams = shares.iter().map(|share| arrival.partial.taking(share));
    let streams = streams.zip(judges).map(Some).collect();
    let (taking, begun) = (Arc::clone(arrival), shelf.clone());
    let taker = spawn_blocking(move || take_in(&taking, &begun, streams, receiver));
    let mut streams = (0..).zip(shares).zip(verdicts);
    let mut stream = || {
        let ((number, share), verdict) = streams.next()?;
        let outlet = Outlet {
            number,
            pieces: pieces.clone(),
            verdict,
        };
        Some((share, outlet))
    };
    let ends: [_; STREAMS] = tokio::join!(
        stream_of(link, arrival, stream()),
        stream_of(link, arrival, stream()),
        stream_of(link, arrival, stream()),
        stream_of(link, arrival, stream()),
    )
    .into();
    drop(pieces);
    // It ends when the last outlet is gone; one that panicked has said so in the log.
    taker.await.ok();
    for end in ends {
        if let FetchEnd::Absent = end? {
            return Ok(FetchEnd::Absent);
        }
    }
    match shelf.publish(arrival).await {
        Ok(()) => Ok(FetchEnd::Held),
        Err(error) => Err(disk(&error)),
    }
}

/// Where one stream's bytes go, and what comes of them.
struct Outlet {
    number: usize,
    pieces: mpsc::Sender<Piece>,
    verdict: oneshot::Receiver<Result<(), ContentError>>,
}

/// What a stream brings next; nothing, when it has ended.
struct Piece {
    stream: usize,
    bytes: Option<Vec<u8>>,
}

/// A stream's way into the partial, and who waits to hear how that went.
type Inlet = (Taking, oneshot::Sender<Result<(), ContentError>>);

/// Takes in what several streams bring, on a thread of its own: one, because writes to one file wait for each other.
fn take_in(
    arrival: &Arrival,
    shelf: &Shelf,
    mut streams: Vec<Option<Inlet>>,
    mut pieces: mpsc::Receiver<Piece>,
) {
    let mut is_first = true;
    while let Some(Piece { stream, bytes }) = pieces.blocking_recv() {
        let Some((mut taking, judge)) = streams[stream].take() else {
            continue;
        };
        // Dropped without a verdict, a stream was cut.
        let Some(bytes) = bytes else { continue };
        let pushed = taking.push(&bytes);
        if let Ok((written, _)) = pushed {
            if written > 0 && std::mem::take(&mut is_first) {
                shelf.begin(arrival.partial.shape().digest);
            }
            arrival.bytes.send_modify(|all| *all += written);
        }
        // Nobody hears a verdict on a transfer that was given up.
        match pushed {
            Ok((_, Brought::Some)) => streams[stream] = Some((taking, judge)),
            Ok((_, Brought::All)) => drop(judge.send(Ok(()))),
            Err(error) => drop(judge.send(Err(error))),
        }
    }
}

/// Brings one stream's share.
async fn stream_of(
    link: &Link,
    arrival: &Arrival,
    share: Option<(Vec<Range<u64>>, Outlet)>,
) -> Result<FetchEnd, Broken> {
    let Some((share, mut outlet)) = share else {
        return Ok(FetchEnd::Held);
    };
    let shape = arrival.partial.shape();
    let request = Request::Parts {
        digest: shape.digest,
        groups: share.iter().map(groups).collect(),
    };
    let (mut sending, mut receiving) = link.open().await.map_err(|_| Stop::Cut)?;
    stream::write(&mut sending, &request.encode()).await?;
    let bytes = stream::read_length(&mut receiving).await?;
    if bytes == ABSENT {
        return Ok(FetchEnd::Absent);
    }
    if bytes != shape.bytes {
        stream::refuse(&mut sending, &mut receiving, Refused::Protocol);
        return Err(Stop::Protocol.into());
    }
    let passed = pass(&mut receiving, &mut outlet, link.pace()).await;
    match passed {
        Ok(Ok(())) => {
            // The peer may be gone; it has nothing to learn.
            sending.finish().ok();
            Ok(FetchEnd::Held)
        }
        Ok(Err(ContentError::NotProved { digest })) => {
            tracing::warn!(%digest, "a part that arrived is not of the contents");
            stream::refuse(&mut sending, &mut receiving, Refused::Wrong);
            Err(Broken::Wrong)
        }
        Ok(Err(error)) => {
            stream::refuse(&mut sending, &mut receiving, Refused::Disk);
            Err(disk(&error))
        }
        Err(stop) => Err(stop.into()),
    }
}

/// Hands what comes on the stream to the thread that takes it in, until there is a verdict.
async fn pass(
    stream: &mut RecvStream,
    outlet: &mut Outlet,
    pace: &Pace,
) -> Result<Result<(), ContentError>, Stop> {
    let piece = pace.piece(CHUNK_BYTES);
    loop {
        let mut bytes = Vec::new();
        let came = tokio::select! {
            biased;
            verdict = &mut outlet.verdict => return verdict.map_err(|_| Stop::Cut),
            came = stream::read_more(stream, piece as u64, &mut bytes) => came,
        };
        let came = match came {
            Ok(More::Came) => drain(stream, &mut bytes, piece).await,
            Ok(More::End) | Err(_) => came,
        };
        // What has come before a cut is as good as the rest.
        if !bytes.is_empty() {
            pace.receive(bytes.len()).await;
            outlet.hand(Some(bytes)).await;
        }
        if came? == More::End {
            break;
        }
    }
    outlet.hand(None).await;
    (&mut outlet.verdict).await.map_err(|_| Stop::Cut)
}

/// Appends what else of a chunk is there already: on a slow path a piece is small and soon in its place, on a fast one
/// large.
async fn drain(stream: &mut RecvStream, bytes: &mut Vec<u8>, piece: usize) -> Result<More, Stop> {
    while bytes.len() < piece {
        let most = (piece - bytes.len()) as u64;
        tokio::select! {
            biased;
            came = stream::read_more(stream, most, bytes) => if came? == More::End {
                return Ok(More::End);
            },
            () = ready(()) => break,
        }
    }
    Ok(More::Came)
}

impl Outlet {
    async fn hand(&self, bytes: Option<Vec<u8>>) {
        let piece = Piece {
            stream: self.number,
            bytes,
        };
        // The thread ends before its outlets only if it panicked, and then there is no verdict either.
        self.pieces.send(piece).await.ok();
    }
}

/// What is wrong with the disk, or stands in for it.
fn disk(error: &ContentError) -> Broken {
    tracing::warn!(why = %error, "large contents could not be kept");
    Broken::Disk
}

/// Divides what is missing among the streams, none of them less than is worth a request.
fn shares(missing: Vec<Range<u64>>) -> Vec<Vec<Range<u64>>> {
    let count: u64 = missing.iter().map(|range| range.end - range.start).sum();
    let share = count.div_ceil(STREAMS as u64).max(SHARE_GROUPS_MIN);
    let mut shares: Vec<Vec<Range<u64>>> = Vec::new();
    let mut room = 0;
    for mut range in missing {
        while range.start < range.end {
            let is_full = |share: &Vec<_>| share.len() == PARTS_PER_REQUEST_MAX;
            if room == 0 || shares.last().is_some_and(is_full) {
                if shares.len() == STREAMS {
                    // Very many gaps: what does not fit these requests is left to the next transfer.
                    return shares;
                }
                shares.push(Vec::new());
                room = share;
            }
            let end = range.end.min(range.start + room);
            room -= end - range.start;
            if let Some(last) = shares.last_mut() {
                last.push(range.start..end);
            }
            range.start = end;
        }
    }
    shares
}

/// Numbers of groups as they cross the wire; a file has no more than fit.
fn groups(range: &Range<u64>) -> Groups {
    let number = |group| u32::try_from(group).unwrap_or(u32::MAX);
    Groups {
        first: number(range.start),
        count: number(range.end - range.start),
    }
}

/// Answers a request for parts of contents that are here or arriving.
pub(super) async fn send(
    (digest, groups): (Digest, &[Groups]),
    shelf: &Shelf,
    pace: &Pace,
    sending: &mut SendStream,
) -> Result<(), Unanswered> {
    let range = |groups: &Groups| {
        let first = u64::from(groups.first);
        first..first + u64::from(groups.count)
    };
    let ranges: Vec<Range<u64>> = groups.iter().map(range).collect();
    let proved = shelf.prove(digest, ranges).await;
    let (mut proving, mut news) = match proved.map_err(|error| unread(&error))? {
        Some(Source { proving, news }) => (proving, news),
        None => return Ok(stream::write(sending, &ABSENT.to_le_bytes()).await?),
    };
    stream::write(sending, &proving.shape().bytes.to_le_bytes()).await?;
    while !proving.is_done() {
        if let Some(news) = &mut news {
            news.borrow_and_update();
        }
        let read;
        (proving, read) = blocking(move || {
            let read = proving.read(CHUNK_BYTES)?;
            Ok((proving, read))
        })
        .await
        .map_err(|error| unread(&error))?;
        if !read.is_empty() {
            stream::pour(sending, read, pace).await?;
        } else if let Some(news) = &mut news {
            // What comes next has not arrived here; if nothing does, it is not to be had.
            within(STILL, news.changed())
                .await?
                .map_err(|_| Stop::Cut)?;
        }
    }
    Ok(())
}

fn unread(error: &io::Error) -> Unanswered {
    tracing::warn!(why = %error, "contents could not be read");
    Unanswered::Ours(Refused::Disk)
}

/// Where parts are read from, and how to hear that there is more.
pub(super) struct Source {
    pub(super) proving: Proving,
    /// Of contents that are arriving.
    pub(super) news: Option<watch::Receiver<u64>>,
}

impl Source {
    /// Parts of contents that are arriving.
    pub(super) fn arriving(arrival: &Arrival, ranges: &[Range<u64>]) -> Source {
        Source {
            news: Some(arrival.bytes.subscribe()),
            proving: Proving::partial(Arc::clone(&arrival.partial), ranges),
        }
    }
}

/// How often one looks whether a neighbour has brought what it fetches.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How often those who wait for a transfer are told that it goes on.
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// Streams that bring one file together: their windows hold a bandwidth-delay product of 8 MiB.
const STREAMS: usize = 4;
/// Connections in a row that bring nothing before a transfer is given up.
const BARREN_MAX: u32 = 5;
/// Groups that are worth a request of their own: a mebibyte.
const SHARE_GROUPS_MIN: u64 = 64;
/// Pieces of one stream that wait for the disk; a piece is a quarter of a mebibyte.
const PIECES_MAX: usize = 4;
