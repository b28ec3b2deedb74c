//! The side that dials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use muster_proto::Role;
use quinn::{ClientConfig, ConnectError, ConnectionError};
use tokio::time::timeout;

use super::link::{Ending, Link};
use super::tuning::{self, HANDSHAKE, Route};
use super::{Denial, EndpointError, Guest, Kind, log_refusal, tls};
use crate::identity::{Credentials, SERVER_NAME};

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// This process cannot dial at all.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The address is none that can be dialed.
    #[error("cannot dial {address}")]
    Address {
        /// Where to.
        address: SocketAddr,
        /// What the transport said.
        #[source]
        source: ConnectError,
    },
    /// There was no handshake in time: nobody listens there, or the network is cut.
    #[error("no answer from {address}")]
    NoAnswer {
        /// Where to.
        address: SocketAddr,
    },
    /// The handshake failed. If it was this side that refused, that has been logged.
    #[error("the handshake with {address} failed: {ending}")]
    Handshake {
        /// Where to.
        address: SocketAddr,
        /// How it ended.
        ending: Ending,
    },
    /// Another peer than expected answered; it has been closed, and that has been logged.
    #[error("the wrong peer answered at {address}: {denial}")]
    Denied {
        /// Where to.
        address: SocketAddr,
        /// What was wrong with it.
        denial: Denial,
    },
}

/// Dials `address` for a connection of `kind` with a peer that has one of the roles `expected`.
///
/// Each link has a socket of its own, so that two links are driven by two tasks. A TLS 1.3 client is done before the
/// server has judged it: a link to a superior that refuses this process ends at its first use with
/// [`Ending::Refused`] or [`Ending::Closed`], so a caller that backs off starts over only after the first answer.
///
/// # Errors
/// Says at which step it failed; see [`DialError`]. It takes at most 10 seconds.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn dial(
    address: SocketAddr,
    credentials: &Credentials,
    kind: Kind,
    expected: &[Role],
) -> Result<Link, DialError> {
    let route = Route::to(address);
    let mut config = ClientConfig::new(tls::client(credentials, kind)?);
    config.transport_config(Arc::new(tuning::transport(
        route,
        tuning::streams_from_listener(kind),
    )));
    let endpoint = tuning::endpoint(
        near_end(address),
        route,
        quinn::EndpointConfig::default(),
        None,
    )?;
    let connecting = endpoint
        .connect_with(config, address, SERVER_NAME)
        .map_err(|source| DialError::Address { address, source })?;
    let connection = match timeout(HANDSHAKE, connecting).await {
        Ok(Ok(connection)) => connection,
        Err(_) | Ok(Err(ConnectionError::TimedOut)) => return Err(DialError::NoAnswer { address }),
        Ok(Err(error)) => {
            let ending = Ending::from(error);
            if matches!(ending, Ending::Rejected(_)) {
                log_refusal(address, &ending);
            }
            return Err(DialError::Handshake { address, ending });
        }
    };
    let guest = Guest {
        federation: credentials.federation().to_owned(),
        roles: expected.to_vec(),
    };
    match guest.admit(&connection) {
        Ok(admitted) => Ok(Link::new(connection, admitted, Some(endpoint))),
        Err(denial) => Err(DialError::Denied { address, denial }),
    }
}

/// Any free port on this host's side of the way to `far`.
fn near_end(far: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match (far.ip(), Route::to(far)) {
        (IpAddr::V4(_), Route::Loopback) => Ipv4Addr::LOCALHOST.into(),
        (IpAddr::V4(_), Route::General) => Ipv4Addr::UNSPECIFIED.into(),
        (IpAddr::V6(ip), Route::Loopback) if ip.is_loopback() => Ipv6Addr::LOCALHOST.into(),
        (IpAddr::V6(_), Route::Loopback | Route::General) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, 0)
}
