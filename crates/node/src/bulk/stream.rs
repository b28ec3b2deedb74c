//! The bytes of one transfer: every wait has its deadline, no length is believed.

use std::time::Duration;

use bytes::Bytes;
use muster_proto::wire::bulk::{REQUEST_BYTES_MAX, Request};
use quinn::{ReadError, ReadExactError, RecvStream, SendStream, VarInt, WriteError};
use tokio::time::timeout;

use super::STILL;
use crate::endpoint::Pace;

/// Why a transfer did not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Nothing moved for 30 seconds.
    #[error("the transfer stood still")]
    Still,
    /// The stream or its connection ended early.
    #[error("the transfer was cut off")]
    Cut,
    /// The peer gave the transfer up, and said why.
    #[error("the peer gave the transfer up: {0}")]
    Refused(Refused),
    /// What the peer sent is no request, or longer than it may be.
    #[error("the peer broke the protocol of transfers")]
    Protocol,
}

/// Why a transfer is given up, as it crosses the wire; the numbers are a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u32)]
pub enum Refused {
    /// What was sent is malformed, too long, or not allowed to the peer's role.
    #[error("not allowed")]
    Protocol = 1,
    /// The bytes are not those that the digest names.
    #[error("the contents changed on the way")]
    Wrong = 2,
    /// The disk failed or is full.
    #[error("its disk is full or failed")]
    Disk = 3,
}

impl Refused {
    fn of(code: VarInt) -> Option<Refused> {
        let code = code.into_inner();
        [Refused::Protocol, Refused::Wrong, Refused::Disk]
            .into_iter()
            .find(|refused| *refused as u64 == code)
    }
}

/// Gives a transfer up in both directions.
pub(crate) fn refuse(sending: &mut SendStream, receiving: &mut RecvStream, why: Refused) {
    let code = VarInt::from_u32(why as u32);
    // Either half may have ended by itself; then there is nothing to give up.
    sending.reset(code).ok();
    receiving.stop(code).ok();
}

/// Reads the request that opens a stream.
pub(crate) async fn read_request(stream: &mut RecvStream) -> Result<Request, Stop> {
    let mut length = [0; 4];
    read_exact(stream, &mut length).await?;
    let length = u32::from_le_bytes(length) as usize;
    if length > REQUEST_BYTES_MAX {
        return Err(Stop::Protocol);
    }
    let mut bytes = vec![0; length];
    read_exact(stream, &mut bytes).await?;
    Request::decode(&bytes).ok_or(Stop::Protocol)
}

/// Reads a length.
pub(crate) async fn read_length(stream: &mut RecvStream) -> Result<u64, Stop> {
    let mut bytes = [0; 8];
    read_exact(stream, &mut bytes).await?;
    Ok(u64::from_le_bytes(bytes))
}

/// Reads contents that are held in memory; `bytes` must be bounded by the caller.
pub(crate) async fn read_small(
    stream: &mut RecvStream,
    bytes: u64,
    pace: &Pace,
) -> Result<Vec<u8>, Stop> {
    let mut contents = Vec::new();
    while (contents.len() as u64) < bytes {
        let before = contents.len();
        let left = usize::try_from(bytes - before as u64).unwrap_or(usize::MAX);
        read_some(stream, pace.piece(left) as u64, &mut contents).await?;
        pace.receive(contents.len() - before).await;
    }
    Ok(contents)
}

/// Appends the next bytes of the stream to `contents`, at most `most` of them and at least one.
pub(crate) async fn read_some(
    stream: &mut RecvStream,
    most: u64,
    contents: &mut Vec<u8>,
) -> Result<(), Stop> {
    match read_more(stream, most, contents).await? {
        More::Came => Ok(()),
        More::End => Err(Stop::Cut),
    }
}

/// Whether a stream brought something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    /// It did.
    Came,
    /// It has ended.
    End,
}

/// Appends the next bytes of the stream to `contents`, at most `most` of them, unless it has ended.
pub(crate) async fn read_more(
    stream: &mut RecvStream,
    most: u64,
    contents: &mut Vec<u8>,
) -> Result<More, Stop> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let chunk = within(STILL, stream.read_chunk(most, true)).await?;
    let Some(chunk) = chunk.map_err(read_stop)? else {
        return Ok(More::End);
    };
    contents.extend_from_slice(&chunk.bytes);
    Ok(More::Came)
}

/// Waits for what the peer says of what it was sent: it ends its half of the stream, or gives the transfer up.
pub(crate) async fn verdict(stream: &mut RecvStream) -> Result<(), Stop> {
    match read_more(stream, 1, &mut Vec::new()).await? {
        More::End => Ok(()),
        More::Came => Err(Stop::Protocol),
    }
}

/// Fills `bytes`.
pub(crate) async fn read_exact(stream: &mut RecvStream, bytes: &mut [u8]) -> Result<(), Stop> {
    match within(STILL, stream.read_exact(bytes)).await? {
        Ok(()) => Ok(()),
        Err(ReadExactError::FinishedEarly(_)) => Err(Stop::Cut),
        Err(ReadExactError::ReadError(error)) => Err(read_stop(error)),
    }
}

/// Writes contents without copying them; each piece that the stream takes must move within the deadline.
pub(crate) async fn pour(stream: &mut SendStream, bytes: Vec<u8>, pace: &Pace) -> Result<(), Stop> {
    let mut left = Bytes::from(bytes);
    while !left.is_empty() {
        let mut piece = [left.split_to(pace.piece(left.len()))];
        pace.send(piece[0].len()).await;
        while !piece[0].is_empty() {
            let written = within(STILL, stream.write_chunks(&mut piece)).await?;
            written.map_err(write_stop)?;
        }
    }
    Ok(())
}

/// Writes contents at the pace of their link.
pub(crate) async fn write_paced(
    stream: &mut SendStream,
    bytes: &[u8],
    pace: &Pace,
) -> Result<(), Stop> {
    for piece in bytes.chunks(pace.piece(super::CHUNK_BYTES)) {
        pace.send(piece.len()).await;
        write(stream, piece).await?;
    }
    Ok(())
}

/// Writes `bytes`, in pieces small enough that each must move within the deadline.
pub(crate) async fn write(stream: &mut SendStream, bytes: &[u8]) -> Result<(), Stop> {
    for piece in bytes.chunks(super::CHUNK_BYTES) {
        let written = within(STILL, stream.write_all(piece)).await?;
        written.map_err(write_stop)?;
    }
    Ok(())
}

fn write_stop(error: WriteError) -> Stop {
    match error {
        WriteError::Stopped(code) => Refused::of(code).map_or(Stop::Cut, Stop::Refused),
        WriteError::ConnectionLost(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
            Stop::Cut
        }
    }
}

fn read_stop(error: ReadError) -> Stop {
    match error {
        ReadError::Reset(code) => Refused::of(code).map_or(Stop::Cut, Stop::Refused),
        ReadError::ConnectionLost(_)
        | ReadError::ClosedStream
        | ReadError::IllegalOrderedRead
        | ReadError::ZeroRttRejected => Stop::Cut,
    }
}

pub(crate) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Stop> {
    timeout(patience, work).await.map_err(|_| Stop::Still)
}
