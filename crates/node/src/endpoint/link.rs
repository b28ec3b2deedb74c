//! An admitted connection, and how connections end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::Peer;
use muster_proto::wire::CloseCode;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};

use super::{Kind, LinkRate, Pace};

/// A connection to a peer whose certificate and role have been checked.
///
/// Clones are the same connection; it closes when the last clone and the last of its streams are gone.
#[derive(Clone, Debug)]
pub struct Link {
    connection: Connection,
    peer: Peer,
    kind: Kind,
    /// A dialer's own endpoint; a listener keeps its endpoint itself.
    endpoint: Option<quinn::Endpoint>,
    pace: Arc<Pace>,
}

impl Link {
    pub(super) fn new(
        connection: Connection,
        (peer, kind): (Peer, Kind),
        endpoint: Option<quinn::Endpoint>,
    ) -> Link {
        Link {
            connection,
            peer,
            kind,
            endpoint,
            pace: Arc::default(),
        }
    }

    /// The same link, over which contents move at most at this rate each way.
    pub(crate) fn limited(self, rate: LinkRate) -> Link {
        let pace = Arc::new(Pace::of(rate));
        Link { pace, ..self }
    }

    /// What holds contents back on it.
    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What the connection is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where the peer is at present; a peer may move.
    pub fn remote_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// Opens a stream; waits while the peer allows no more. The peer sees it when something is written.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn open(&self) -> Result<(SendStream, RecvStream), Ending> {
        Ok(self.connection.open_bi().await?)
    }

    /// Waits for a stream that the peer opens.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn accept(&self) -> Result<(SendStream, RecvStream), Ending> {
        Ok(self.connection.accept_bi().await?)
    }

    /// What has passed over the connection so far.
    pub fn statistics(&self) -> Statistics {
        let stats = self.connection.stats();
        Statistics {
            sent_bytes: stats.udp_tx.bytes,
            received_bytes: stats.udp_rx.bytes,
            rtt: stats.path.rtt,
        }
    }

    /// Closes the connection at once: what was written and not yet acknowledged may be lost.
    pub fn close(&self, code: CloseCode) {
        self.connection.close(VarInt::from_u32(code as u32), b"");
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    /// Waits until the connection has ended, and says how.
    pub async fn closed(&self) -> Ending {
        self.connection.closed().await.into()
    }

    /// Closes a dialed connection and waits until the peer is likely to have been told, for a process that is about to
    /// exit. Not until it must have been, which takes three times its timeout for lost packets, two thirds of a second
    /// on a connection that is young; a peer that has not heard finds out by itself.
    pub async fn finish(self, code: CloseCode) {
        self.close(code);
        if let Some(endpoint) = &self.endpoint {
            let patience = FAREWELL + 2 * self.connection.rtt();
            // Over either way.
            tokio::time::timeout(patience, endpoint.wait_idle())
                .await
                .ok();
        }
    }
}

/// Long enough for a packet to leave this process on a busy machine.
const FAREWELL: Duration = Duration::from_millis(20);

/// What has passed over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// UDP payload sent, with everything QUIC adds and repeats.
    pub sent_bytes: u64,
    /// UDP payload received.
    pub received_bytes: u64,
    /// The smoothed round trip time.
    pub rtt: Duration,
}

/// How a connection ended, by what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// The peer closed it and said why.
    #[error("closed by the peer: {0:?}")]
    Closed(CloseCode),
    /// The peer closed it with a code of a later release.
    #[error("closed by the peer with code {0}, which this release does not know")]
    ClosedUnknown(u64),
    /// This process closed it.
    #[error("closed by this process")]
    Here,
    /// Nothing was heard for longer than the idle time; the network or the peer is gone.
    #[error("nothing heard from the peer")]
    Silent,
    /// The peer's TLS refused this process: another federation, an expired certificate, no common protocol.
    #[error("the peer refused the handshake (alert {alert})")]
    Refused {
        /// The TLS alert, RFC 8446 section 6.
        alert: u64,
    },
    /// The peer has forgotten the connection: it restarted.
    #[error("the peer has restarted")]
    Restarted,
    /// The peer's QUIC gave up.
    #[error("the peer's transport failed with code {0:#x}")]
    Failed(u64),
    /// Our own TLS or QUIC gave up on what the peer sent.
    #[error("{0}")]
    Rejected(String),
}

impl From<ConnectionError> for Ending {
    fn from(error: ConnectionError) -> Ending {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                let code = close.error_code.into_inner();
                close_code(code).map_or(Ending::ClosedUnknown(code), Ending::Closed)
            }
            ConnectionError::ConnectionClosed(close) => match u64::from(close.error_code) {
                code @ 0x100..0x200 => Ending::Refused {
                    alert: code - 0x100,
                },
                code => Ending::Failed(code),
            },
            ConnectionError::LocallyClosed => Ending::Here,
            ConnectionError::TimedOut => Ending::Silent,
            ConnectionError::Reset => Ending::Restarted,
            error @ (ConnectionError::TransportError(_)
            | ConnectionError::VersionMismatch
            | ConnectionError::CidsExhausted) => Ending::Rejected(error.to_string()),
        }
    }
}

fn close_code(number: u64) -> Option<CloseCode> {
    use CloseCode::{Alien, Done, Full, Leaving, Protocol, Slow, Superseded, Version, WrongRole};
    [
        Done, WrongRole, Alien, Protocol, Slow, Version, Superseded, Leaving, Full,
    ]
    .into_iter()
    .find(|code| *code as u64 == number)
}
