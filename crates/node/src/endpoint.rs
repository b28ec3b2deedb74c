//! Connections between processes: QUIC with mutual TLS 1.3, and no mode without it.
//!
//! A subordinate [`dial`]s, its superior [`listen`]s, and each accepts only certificates of its own federation. After
//! the handshake each side looks at the other's role; a peer with no business here is closed with a
//! [`CloseCode`](muster_proto::wire::CloseCode) and costs one line of log. A pair has two kinds of connection,
//! told apart by their ALPN names: *control*, one stream of frames opened by the dialer, and *bulk*, one stream per
//! transfer, opened by either. They share nothing, so a transfer that dies takes no frame with it.
//!
//! Not here: frames, versions and what a role may say; those belong to whoever holds the [`Link`].

use std::io;
use std::net::SocketAddr;

use muster_proto::Role;
use muster_proto::peer::Peer;
use muster_proto::wire::CloseCode;
use rustls::pki_types::CertificateDer;

use crate::identity::{Refusal, peer_of};

mod congestion;
mod continuity;
mod dial;
mod link;
mod listen;
mod pace;
pub(crate) mod tls;
mod tuning;

pub use dial::{DialError, dial};
pub use link::{Ending, Link, Statistics};
pub use listen::{Listener, listen};
pub use pace::LinkRate;
pub(crate) use pace::Pace;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One bidirectional stream of frames, opened by the dialer.
    Control,
    /// One bidirectional stream per transfer, opened by either side.
    Bulk,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Control, Kind::Bulk];

    /// The name in the handshake; its number changes when the two ends could no longer begin to talk.
    fn alpn(self) -> &'static [u8] {
        match self {
            Kind::Control => b"muster/1",
            Kind::Bulk => b"muster-bulk/2",
        }
    }
}

/// Why an endpoint cannot be made at all; no peer has a part in it.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address cannot be used.
    #[error("cannot open UDP at {address}")]
    Socket {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Certificate and key do not fit together, or the library cannot use them.
    #[error("this process's certificate cannot be used")]
    Credentials(#[from] rustls::Error),
    /// The authority's certificate cannot judge peers.
    #[error("the authority's certificate cannot be used")]
    Authority(#[from] rustls::server::VerifierBuilderError),
    /// The provider lacks the cipher that QUIC begins with.
    #[error("the cryptography cannot begin a QUIC connection")]
    Cipher(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// Why a peer whose handshake succeeded was sent away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// It showed no certificate, or the connection has no ALPN name of ours.
    #[error("the handshake left no certificate or no protocol")]
    Bare,
    /// Its certificate names no peer of this federation.
    #[error(transparent)]
    Alien(#[from] Refusal),
    /// Its role has no business here.
    #[error("{0} has no business here")]
    Role(Peer),
}

impl Denial {
    fn code(&self) -> CloseCode {
        match self {
            Denial::Bare => CloseCode::Protocol,
            Denial::Alien(_) => CloseCode::Alien,
            Denial::Role(_) => CloseCode::WrongRole,
        }
    }
}

/// The roles a side talks to, and the federation they must be of.
#[derive(Clone, Debug)]
struct Guest {
    federation: String,
    roles: Vec<Role>,
}

impl Guest {
    /// Judges a peer after its handshake; one that is denied has been closed and logged.
    fn admit(&self, connection: &quinn::Connection) -> Result<(Peer, Kind), Denial> {
        self.judge(connection).inspect_err(|denial| {
            let code = denial.code();
            connection.close(
                quinn::VarInt::from_u32(code as u32),
                denial.to_string().as_bytes(),
            );
            log_refusal(connection.remote_address(), denial);
        })
    }

    fn judge(&self, connection: &quinn::Connection) -> Result<(Peer, Kind), Denial> {
        let kind = kind_of(connection).ok_or(Denial::Bare)?;
        let identity = connection.peer_identity().ok_or(Denial::Bare)?;
        let chain = identity
            .downcast::<Vec<CertificateDer<'static>>>()
            .map_err(|_| Denial::Bare)?;
        let peer = peer_of(chain.first().ok_or(Denial::Bare)?, &self.federation)?;
        if self.roles.contains(&peer.role) {
            Ok((peer, kind))
        } else {
            Err(Denial::Role(peer))
        }
    }
}

fn kind_of(connection: &quinn::Connection) -> Option<Kind> {
    let data = connection
        .handshake_data()?
        .downcast::<quinn::crypto::rustls::HandshakeData>()
        .ok()?;
    let protocol = data.protocol?;
    Kind::ALL.into_iter().find(|kind| kind.alpn() == protocol)
}

/// The one line that a refused peer costs.
fn log_refusal(peer: SocketAddr, reason: &dyn std::fmt::Display) {
    // The reason may repeat what a peer sent; control characters must not reach a terminal.
    let reason = reason.to_string().replace(char::is_control, "?");
    tracing::warn!(%peer, %reason, "refused a peer");
}
