//! A control stream as frames: reading them, and the greeting that comes before them.

use std::time::Duration;

use muster_proto::Role;
use muster_proto::wire::{
    self, CloseCode, Frame, HEADER_BYTES, Header, Hello, Kind, VERSIONS, WireError,
};
use quinn::{ReadError, RecvStream, SendStream};
use tokio::time::timeout;

use crate::endpoint::{Ending, Link};

/// Reads the frames of one stream; holds little more than the frame that is arriving.
#[derive(Debug)]
pub(crate) struct Frames {
    stream: RecvStream,
    buffer: Vec<u8>,
    /// Where in `buffer` the next frame begins.
    start: usize,
}

/// Why there is no next frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Break {
    /// The peer ended the stream, or the connection is gone.
    #[error("the stream has ended")]
    Over,
    /// The bytes are no frame.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The peer's role may not send this.
    #[error("a {role} may not send {kind:?}")]
    Denied {
        /// What the peer is.
        role: Role,
        /// What it sent.
        kind: Kind,
    },
}

impl Frames {
    /// The frames of `stream`.
    pub(crate) fn new(stream: RecvStream) -> Frames {
        Frames {
            stream,
            buffer: Vec::new(),
            start: 0,
        }
    }

    /// Waits for the next frame of a peer of role `from`; cancel safe.
    ///
    /// # Errors
    /// See [`Break`]; nothing can be read after one.
    pub(crate) async fn next(&mut self, from: Role) -> Result<Frame, Break> {
        loop {
            if let Some(frame) = self.take(from)? {
                return Ok(frame);
            }
            let chunk = self.stream.read_chunk(READ_BYTES, true).await;
            let chunk = chunk
                .map_err(|_: ReadError| Break::Over)?
                .ok_or(Break::Over)?;
            self.buffer.extend_from_slice(&chunk.bytes);
        }
    }

    /// The next frame if it is here whole. What may not be sent is refused before its payload is waited for.
    fn take(&mut self, from: Role) -> Result<Option<Frame>, Break> {
        let here = &self.buffer[self.start..];
        let Some(head) = here.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let header = Header::read(*head)?;
        if !wire::allowed(from, header.kind) {
            return Err(Break::Denied {
                role: from,
                kind: header.kind,
            });
        }
        let length = HEADER_BYTES + header.bytes as usize;
        let Some(payload) = here.get(HEADER_BYTES..length) else {
            return Ok(None);
        };
        let frame = Frame::decode(header, payload)?;
        self.start += length;
        self.let_go();
        Ok(Some(frame))
    }

    /// Gives up what has been read, and memory beyond what ordinary frames need.
    fn let_go(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(READ_BYTES);
            self.start = 0;
        } else if self.start >= READ_BYTES {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
    }
}

/// Which side of a control connection this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It dialled, and opens the stream.
    Dialer,
    /// It was dialled.
    Listener,
}

/// Why a connection did not become a link.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetError {
    /// The greeting did not come within [`GREETING`].
    #[error("no greeting in time")]
    Late,
    /// The connection ended first.
    #[error(transparent)]
    Ended(#[from] Ending),
    /// What came was no greeting.
    #[error("no greeting: {0}")]
    NotHello(String),
    /// There is no version both sides speak.
    #[error("the peer speaks versions {oldest} to {newest}, this release {} to {}", VERSIONS.0, VERSIONS.1)]
    Version {
        /// The peer's oldest.
        oldest: u16,
        /// The peer's newest.
        newest: u16,
    },
}

/// Exchanges greetings over a new control connection; one that fails is closed with its code.
///
/// # Errors
/// See [`GreetError`]; it takes at most [`GREETING`].
pub(crate) async fn greet(link: &Link, end: End) -> Result<(SendStream, Frames), GreetError> {
    let greeted = match timeout(GREETING, exchange(link, end)).await {
        Ok(greeted) => greeted,
        Err(_) => Err(GreetError::Late),
    };
    if let Err(error) = &greeted {
        link.close(match error {
            GreetError::Version { .. } => CloseCode::Version,
            GreetError::Late | GreetError::Ended(_) | GreetError::NotHello(_) => {
                CloseCode::Protocol
            }
        });
    }
    greeted
}

async fn exchange(link: &Link, end: End) -> Result<(SendStream, Frames), GreetError> {
    let (mut sending, receiving) = match end {
        End::Dialer => link.open().await?,
        End::Listener => link.accept().await?,
    };
    let mut frames = Frames::new(receiving);
    if sending.write_all(&hello()).await.is_err() {
        return Err(link.closed().await.into());
    }
    match frames.next(link.peer().role).await {
        Ok(Frame::Hello(theirs)) if theirs.newest < VERSIONS.0 || theirs.oldest > VERSIONS.1 => {
            // The peer finds the same by our greeting; closing before it has read that would leave it guessing.
            timeout(FAREWELL, link.closed()).await.ok();
            Err(GreetError::Version {
                oldest: theirs.oldest,
                newest: theirs.newest,
            })
        }
        Ok(Frame::Hello(_)) => Ok((sending, frames)),
        Ok(other) => Err(GreetError::NotHello(format!("{:?}", other.kind()))),
        Err(Break::Over) => Err(link.closed().await.into()),
        Err(broken @ (Break::Wire(_) | Break::Denied { .. })) => {
            Err(GreetError::NotHello(broken.to_string()))
        }
    }
}

fn hello() -> Vec<u8> {
    let mut bytes = Vec::new();
    let hello = Hello {
        oldest: VERSIONS.0,
        newest: VERSIONS.1,
        release: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Frame::from(hello).encode(&mut bytes);
    bytes
}

/// When a peer that has shaken hands but not said `Hello` is sent away.
const GREETING: Duration = Duration::from_secs(10);
/// When a peer that speaks no version of ours is closed, should it not close itself.
const FAREWELL: Duration = Duration::from_millis(500);
/// Bytes taken from the transport at once, and kept between frames: ten packets of the largest size.
const READ_BYTES: usize = 64 << 10;
