//! The side that is dialed.

use std::net::SocketAddr;
use std::sync::Arc;

use muster_proto::Role;
use muster_proto::wire::CloseCode;
use quinn::{Endpoint, Incoming, ServerConfig, VarInt};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::continuity;
use super::link::{Ending, Link};
use super::tuning::{self, HANDSHAKE, HANDSHAKES_MAX, Route};
use super::{EndpointError, Guest, Kind, log_refusal, tls};
use crate::identity::Credentials;
use crate::tasks::Tasks;

/// Accepts connections at an address until it is closed or dropped; admitted links live on.
///
/// No peer can stop it: a handshake has its own task and its own deadline, and one that fails costs a line of log.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    address: SocketAddr,
    arrivals: mpsc::Receiver<Link>,
    _porter: Tasks,
}

/// Listens at `address` as the process that `credentials` name, for peers of the roles `allowed`.
///
/// # Errors
/// The address or the credentials cannot be used.
///
/// # Panics
/// Outside a tokio runtime.
pub fn listen(
    address: SocketAddr,
    credentials: &Credentials,
    allowed: &[Role],
) -> Result<Listener, EndpointError> {
    let crypto = tls::server(credentials)?;
    let config = |route| {
        let mut config = ServerConfig::with_crypto(crypto.clone());
        // A bulk peer's limits are raised once it is admitted; until then everybody gets those of control.
        config.transport_config(Arc::new(tuning::transport(
            route,
            tuning::streams_from_dialer(Kind::Control),
        )));
        Arc::new(config)
    };
    let (general, loopback) = (config(Route::General), config(Route::Loopback));
    let widest = if address.ip().is_unspecified() {
        Route::Loopback
    } else {
        Route::to(address)
    };
    let endpoint = tuning::endpoint(
        address,
        widest,
        continuity::endpoint_config(credentials),
        Some((*general).clone()),
    )?;
    let address = endpoint
        .local_addr()
        .map_err(|source| EndpointError::Socket { address, source })?;
    let (sender, arrivals) = mpsc::channel(HANDSHAKES_MAX);
    let guest = Guest {
        federation: credentials.federation().to_owned(),
        roles: allowed.to_vec(),
    };
    let door = Arc::new(Door {
        general,
        loopback,
        guest,
        arrivals: sender,
    });
    let mut porter = Tasks::new();
    porter.spawn("listener", serve(door, endpoint.clone()));
    Ok(Listener {
        endpoint,
        address,
        arrivals,
        _porter: porter,
    })
}

impl Listener {
    /// Where it listens, with the port that was found if none was asked for.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next admitted peer; cancel safe. `None` once the listener has been closed.
    pub async fn accept(&mut self) -> Option<Link> {
        self.arrivals.recv().await
    }

    /// Closes every link accepted here with `code`, and waits until the peers have been told.
    pub async fn close(&self, code: CloseCode) {
        self.endpoint.close(VarInt::from_u32(code as u32), b"");
        self.endpoint.wait_idle().await;
    }
}

impl Drop for Listener {
    /// While links live on, so does the socket; what new dialers send to it is not to be kept for nobody.
    fn drop(&mut self) {
        self.endpoint.set_server_config(None);
    }
}

/// What every handshake needs.
struct Door {
    general: Arc<ServerConfig>,
    loopback: Arc<ServerConfig>,
    guest: Guest,
    arrivals: mpsc::Sender<Link>,
}

async fn serve(door: Arc<Door>, endpoint: Endpoint) {
    let seats = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let mut handshakes = Tasks::new();
    while let Some(incoming) = endpoint.accept().await {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        let door = Arc::clone(&door);
        handshakes.spawn("handshake", async move {
            if let Some(link) = door.greet(incoming).await {
                // The listener is gone if nobody receives; the link closes as it drops.
                door.arrivals.send(link).await.ok();
            }
            drop(seat);
        });
    }
}

impl Door {
    /// Carries one handshake through; a peer that fails has been logged.
    async fn greet(&self, incoming: Incoming) -> Option<Link> {
        let remote = incoming.remote_address();
        let config = match Route::to(remote) {
            Route::General => &self.general,
            Route::Loopback => &self.loopback,
        };
        let handshake = async { incoming.accept_with(Arc::clone(config))?.await };
        match timeout(HANDSHAKE, handshake).await {
            Ok(Ok(connection)) => {
                let admitted = self.guest.admit(&connection).ok()?;
                let limits = tuning::streams_from_dialer(admitted.1);
                connection.set_max_concurrent_bi_streams(limits.bidirectional);
                connection.set_max_concurrent_uni_streams(limits.unidirectional);
                return Some(Link::new(connection, admitted, None));
            }
            Ok(Err(quinn::ConnectionError::LocallyClosed)) => {}
            Ok(Err(error)) => log_refusal(remote, &Ending::from(error)),
            Err(_) => log_refusal(remote, &"the handshake took too long"),
        }
        None
    }
}
