//! Every number of the transport, with its reason.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{
    Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::congestion::ByDistance;
use super::{EndpointError, Kind};

/// When a handshake is given up. It takes two round trips; ten seconds bear ten losses in a row and still bound
/// what a silent peer can occupy.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at once; each costs under a millisecond of processor time, so this is a quarter of a second of work,
/// and silent peers can fill it only for [`HANDSHAKE`].
pub(super) const HANDSHAKES_MAX: usize = 256;

/// When a quiet connection sends something: four chances before [`IDLE_MS`] is over.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// When a peer that is not heard counts as gone.
const IDLE_MS: u32 = 20_000;
/// Unread bytes of one stream. The transport kills a connection when one stream has too many gaps; with a window of
/// no more than 2 048 packets it never can.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
/// Unread bytes of one connection: eight full streams.
const WINDOW_BYTES: u32 = 8 * STREAM_WINDOW_BYTES;
/// Unacknowledged bytes of one connection: 0.6 Gbit/s over a round trip of 100 ms.
const SEND_WINDOW_BYTES: u64 = 8 << 20;
/// Socket buffers asked for: the system's usual 208 KiB lose packets even on one host. It may grant less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Streams of a bulk connection in each direction: twice as many as fill its window. Each costs memory from the
/// beginning, used or not.
const BULK_STREAMS: u32 = 16;
/// UDP payload to look for on a network: Ethernet's 1 500 bytes without headers and a tunnel.
const GENERAL_MTU_BYTES: u16 = 1_452;
/// UDP payload to look for within one host. The cost of a transfer is per packet, so larger is faster.
const LOOPBACK_MTU_BYTES: u16 = 6_500;
/// UDP payload to receive where [`LOOPBACK_MTU_BYTES`] may come: a little more.
const LOOPBACK_RECEIVE_BYTES: u16 = 6_600;

/// The transport hands the system up to ten packets at once, which together must fit a UDP datagram.
const _: () = assert!(
    LOOPBACK_MTU_BYTES as u32 * 10 <= 65_507,
    "a batch of packets fits one system call"
);
const _: () = assert!(
    STREAM_WINDOW_BYTES <= 2_048 * 1_100,
    "a stream's window is no more than 2 048 packets"
);
const _: () = assert!(
    KEEP_ALIVE.as_millis() * 3 < IDLE_MS as u128,
    "a connection survives two lost keep-alives"
);
const _: () = assert!(
    LOOPBACK_MTU_BYTES <= LOOPBACK_RECEIVE_BYTES,
    "what is sent can be received"
);

/// The kind of path to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Over a network.
    General,
    /// Within this host.
    Loopback,
}

impl Route {
    pub(super) fn to(address: SocketAddr) -> Route {
        if address.ip().to_canonical().is_loopback() {
            Route::Loopback
        } else {
            Route::General
        }
    }
}

/// How many streams the other side may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Streams {
    pub(super) bidirectional: VarInt,
    pub(super) unidirectional: VarInt,
}

/// What a dialer may open.
pub(super) fn streams_from_dialer(kind: Kind) -> Streams {
    match kind {
        Kind::Control => streams(1, 0),
        Kind::Bulk => streams(BULK_STREAMS, BULK_STREAMS),
    }
}

/// What a listener may open: no control stream, for that is the dialer's.
pub(super) fn streams_from_listener(kind: Kind) -> Streams {
    match kind {
        Kind::Control => streams(0, 0),
        Kind::Bulk => streams(BULK_STREAMS, BULK_STREAMS),
    }
}

fn streams(bidirectional: u32, unidirectional: u32) -> Streams {
    Streams {
        bidirectional: VarInt::from_u32(bidirectional),
        unidirectional: VarInt::from_u32(unidirectional),
    }
}

/// The transport's parameters for one connection, whose peer may open `streams`.
pub(super) fn transport(route: Route, streams: Streams) -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(match route {
        Route::General => GENERAL_MTU_BYTES,
        Route::Loopback => LOOPBACK_MTU_BYTES,
    });
    let mut config = TransportConfig::default();
    config
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MS))))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .max_concurrent_bidi_streams(streams.bidirectional)
        .max_concurrent_uni_streams(streams.unidirectional)
        .datagram_receive_buffer_size(None)
        .congestion_controller_factory(Arc::new(ByDistance))
        .mtu_discovery_config(Some(mtu));
    config
}

/// A QUIC endpoint on a socket of its own at `address`, for peers as far as `route`.
pub(super) fn endpoint(
    address: SocketAddr,
    route: Route,
    mut config: EndpointConfig,
    server: Option<ServerConfig>,
) -> Result<Endpoint, EndpointError> {
    match route {
        Route::General => {}
        Route::Loopback => {
            config
                .max_udp_payload_size(LOOPBACK_RECEIVE_BYTES)
                .expect("the size is within QUIC's bounds");
        }
    }
    let failed = |source| EndpointError::Socket { address, source };
    let socket = socket(address).map_err(failed)?;
    Endpoint::new(config, server, socket.into(), Arc::new(TokioRuntime)).map_err(failed)
}

fn socket(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
