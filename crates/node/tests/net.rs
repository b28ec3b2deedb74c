//! Identities and endpoints against everything that might knock.

#![expect(
    clippy::unwrap_used,
    reason = "a test whose preparations fail has failed"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_node::endpoint::{Denial, DialError, Ending, Kind, Link, Listener, dial, listen};
use muster_node::identity::{Authority, Credentials, Refusal, SERVER_NAME, peer_of};
use muster_node::tasks::Tasks;
use muster_proto::wire::CloseCode;
use muster_proto::{Peer, Role};
use quinn::crypto::rustls::QuicClientConfig;
use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::subscriber::DefaultGuard;

// Identity.

#[test]
fn a_certificate_names_at_most_one_peer() {
    let world = World::new();
    let uri = |text: &str| world.uri(text);
    for (uris, expected) in [
        (vec![uri("cern/worker/w1")], Ok(worker())),
        (vec![], Err(Refusal::NoUri)),
        (
            vec![uri("cern/worker/w1"), uri("cern/master/m1")],
            Err(Refusal::ManyUris { found: 2 }),
        ),
        (
            vec![uri("cern/worker/w1"), "https://example.org".into()],
            Err(Refusal::ManyUris { found: 2 }),
        ),
        (
            vec!["muster://0000000000000000/cern/worker/w1".into()],
            Err(Refusal::OtherFederation),
        ),
        (vec![uri("cern/emperor/w1")], Err(Refusal::UnknownRole)),
        (vec![uri("cern/worker/.w1")], Err(Refusal::BadName)),
    ] {
        let (certificate, _) = world.forge(|params| params.subject_alt_names = sans(&uris));
        assert_eq!(
            peer_of(&certificate, world.authority.federation()),
            expected,
            "{uris:?}"
        );
        let followed = CertificateDer::from([certificate.as_ref(), b"more"].concat());
        assert_eq!(
            peer_of(&followed, world.authority.federation()),
            Err(Refusal::Unreadable)
        );
    }
    for rubbish in [
        &b""[..],
        b"\x30",
        b"\x30\x84\xff\xff\xff\xff",
        &[0x30; 4096],
    ] {
        assert_eq!(
            peer_of(&CertificateDer::from(rubbish), "f"),
            Err(Refusal::Unreadable)
        );
    }
}

// Endpoints.

#[test]
fn no_version_of_tls_but_1_3_is_in_the_program() {
    let versions: Vec<_> = rustls::ALL_VERSIONS
        .iter()
        .map(|version| version.version)
        .collect();
    assert_eq!(versions, [rustls::ProtocolVersion::TLSv1_3]);
}

#[tokio::test]
async fn hostile_peers_are_refused_in_one_line_each_and_the_next_good_peer_is_served() {
    let (mut log, _guard) = Log::start();
    let world = World::new();
    let alien = World::new();
    let mut listener = world.listen(&foreman(), &[Role::Worker]);

    for case in hostile_cases(&world, &alien) {
        let ending = knock(listener.local_address(), &world, &case).await;
        assert_eq!(ending, case.ending, "{}", case.what);
        let line = log.next().await;
        assert!(line.contains(case.line), "{}: {line}", case.what);
        assert!(
            line.contains("WARN") && line.contains("peer=127.0.0.1:") && line.contains("reason="),
            "{line}"
        );

        let (near, far) = pair(&mut listener, &world.credentials(&worker()), Kind::Control).await;
        assert_eq!(
            (near.peer(), far.peer()),
            (&foreman(), &worker()),
            "after {}",
            case.what
        );
        echo(&near, &far, b"still here").await;
        assert_eq!(log.rest(), [""; 0], "one line for {}", case.what);
    }
}

#[tokio::test]
async fn rubbish_and_stalled_handshakes_delay_nobody() {
    let (mut log, _guard) = Log::start();
    let world = World::new();
    let mut listener = world.listen(&foreman(), &[Role::Worker]);
    let socket = UdpSocket::bind(LOOPBACK).await.unwrap();
    let tls12_hello = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03";
    for rubbish in [
        &b""[..],
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        tls12_hello,
        &[0xff; 1200],
        &[0xc0; 1200],
        &[0; 1452],
    ] {
        socket
            .send_to(rubbish, listener.local_address())
            .await
            .unwrap();
    }
    for _ in 0..8 {
        let hello = first_packet_of_a_dialer(&world).await;
        socket
            .send_to(&hello, listener.local_address())
            .await
            .unwrap();
    }

    let (near, far) = pair(&mut listener, &world.credentials(&worker()), Kind::Control).await;
    echo(&near, &far, b"good").await;
    assert_eq!(log.rest(), [""; 0], "rubbish is not worth a line");
}

#[tokio::test]
async fn the_dialer_refuses_a_server_of_the_wrong_role() {
    let (mut log, _guard) = Log::start();
    let world = World::new();
    let mut listener = world.listen(&foreman(), &[Role::Worker]);
    let (address, credentials) = (listener.local_address(), world.credentials(&worker()));
    let dialing = dial(
        address,
        &credentials,
        Kind::Control,
        &[Role::Master, Role::Catalog],
    );
    let (dialed, accepted) = tokio::join!(dialing, listener.accept());
    let error = dialed.unwrap_err();
    assert!(
        matches!(&error, DialError::Denied { denial: Denial::Role(peer), .. } if *peer == foreman()),
        "{error}"
    );
    assert_eq!(
        accepted.unwrap().closed().await,
        Ending::Closed(CloseCode::WrongRole)
    );
    let line = log.next().await;
    assert!(
        line.contains("cern/foreman/f1 has no business here"),
        "{line}"
    );
    assert_eq!(log.rest(), [""; 0]);
}

#[tokio::test]
async fn the_dialer_refuses_a_server_of_another_authority() {
    let (mut log, _guard) = Log::start();
    let (world, alien) = (World::new(), World::new());
    let listener = alien.listen(&foreman(), &[Role::Worker]);
    let address = listener.local_address();
    let error = dial(
        address,
        &world.credentials(&worker()),
        Kind::Control,
        &[Role::Foreman],
    )
    .await
    .unwrap_err();
    assert!(
        matches!(
            &error,
            DialError::Handshake {
                ending: Ending::Rejected(_),
                ..
            }
        ),
        "{error}"
    );
    let lines = BTreeSet::from([log.next().await, log.next().await]);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("invalid peer certificate")),
        "the dialer's line: {lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains("refused the handshake")),
        "the listener's line: {lines:?}"
    );
    assert_eq!(log.rest(), [""; 0]);
}

#[tokio::test]
async fn a_refused_dialer_learns_why() {
    let world = World::new();
    let listener = world.listen(&foreman(), &[Role::Worker]);
    let user = world.credentials(&peer(Role::User, "cern", "ada"));
    let link = dial(
        listener.local_address(),
        &user,
        Kind::Control,
        &[Role::Foreman],
    )
    .await
    .unwrap();
    assert_eq!(link.closed().await, Ending::Closed(CloseCode::WrongRole));
}

#[tokio::test]
async fn bytes_go_round_over_control_and_only_the_dialer_opens_its_one_stream() {
    let world = World::new();
    let mut listener = world.listen(&foreman(), &[Role::Worker]);
    let (near, far) = pair(&mut listener, &world.credentials(&worker()), Kind::Control).await;
    assert_eq!((near.kind(), far.kind()), (Kind::Control, Kind::Control));

    let stream = near.open().await.unwrap();
    assert!(at_once(near.open()).await.is_none(), "a second stream");
    assert!(
        at_once(far.open()).await.is_none(),
        "a stream of the listener's"
    );
    drop(stream);

    let (near, far) = pair(&mut listener, &world.credentials(&worker()), Kind::Control).await;
    echo(&near, &far, b"frames").await;
}

#[tokio::test]
async fn bytes_go_round_over_bulk_and_either_side_opens_streams() {
    let world = World::new();
    let mut listener = world.listen(&foreman(), &[Role::Worker]);
    let (near, far) = pair(&mut listener, &world.credentials(&worker()), Kind::Bulk).await;
    assert_eq!((near.kind(), far.kind()), (Kind::Bulk, Kind::Bulk));

    let contents: Vec<u8> = (0..8_u32 << 20)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    echo(&near, &far, &contents).await;
    echo(&far, &near, &contents).await;
    let (there, here) = (far.statistics(), near.statistics());
    for (statistics, side) in [(there, "listener"), (here, "dialer")] {
        let (sent, received) = (statistics.sent_bytes, statistics.received_bytes);
        assert!(
            sent.min(received) > 2 * contents.len() as u64,
            "{side}: {statistics:?}"
        );
        assert!(!statistics.rtt.is_zero(), "{side}: {statistics:?}");
    }

    let (near, _far) = pair(&mut listener, &world.credentials(&worker()), Kind::Bulk).await;
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(near.open().await.unwrap());
    }
    assert!(at_once(near.open()).await.is_none(), "a seventeenth stream");
}

#[tokio::test]
async fn an_identity_kept_over_a_restart_is_the_same_peer_to_a_listener() {
    let world = World::new();
    let state = world.dir().join("worker");
    world.credentials(&worker()).save(&state).unwrap();
    let mut listener = world.listen(&foreman(), &[Role::Worker]);
    for _ in 0..2 {
        let credentials = Credentials::load(&state).unwrap().unwrap();
        let (near, far) = pair(&mut listener, &credentials, Kind::Control).await;
        assert_eq!(far.peer(), &worker());
        near.finish(CloseCode::Done).await;
        assert_eq!(far.closed().await, Ending::Closed(CloseCode::Done));
    }
}

#[tokio::test]
async fn a_listener_that_leaves_says_so_and_one_that_is_dropped_leaves_its_links() {
    let world = World::new();
    let mut listener = world.listen(&foreman(), &[Role::Worker]);
    let (near, far) = pair(&mut listener, &world.credentials(&worker()), Kind::Control).await;
    let (ending, ()) = tokio::join!(near.closed(), listener.close(CloseCode::Leaving));
    assert_eq!(
        (ending, far.closed().await),
        (Ending::Closed(CloseCode::Leaving), Ending::Here)
    );
    assert!(listener.accept().await.is_none());
    drop((listener, near, far));

    let mut listener = world.listen(&foreman(), &[Role::Worker]);
    let (near, far) = pair(&mut listener, &world.credentials(&worker()), Kind::Control).await;
    drop(listener);
    echo(&near, &far, b"the link lives on").await;
}

#[tokio::test]
async fn a_storm_of_dialers_is_served_whole() {
    let world = World::new();
    let mut listener = world.listen(&foreman(), &[Role::Worker]);
    let address = listener.local_address();
    let (done, mut dialed) = mpsc::channel(64);
    let mut dialers = Tasks::new();
    for n in 0..64 {
        let (done, credentials) = (
            done.clone(),
            world.credentials(&peer(Role::Worker, "cern", &format!("w{n}"))),
        );
        dialers.spawn("dialer", async move {
            done.send(
                dial(address, &credentials, Kind::Control, &[Role::Foreman])
                    .await
                    .unwrap(),
            )
            .await
            .unwrap();
        });
    }
    let mut names = BTreeSet::new();
    let mut links = Vec::new();
    for _ in 0..64 {
        let link = listener.accept().await.unwrap();
        names.insert(link.peer().name.clone());
        links.extend([link, dialed.recv().await.unwrap()]);
    }
    assert_eq!(names.len(), 64);
}

// Tasks.

#[tokio::test]
async fn a_task_that_panics_is_an_error_in_the_log() {
    let (mut log, _guard) = Log::start();
    let mut tasks = Tasks::new();
    tasks.spawn("doomed", async { panic!("on purpose") });
    tasks.spawn("sound", async {});
    tasks.join().await;
    let line = log.next().await;
    assert!(
        line.contains("ERROR") && line.contains("task=\"doomed\""),
        "{line}"
    );
    assert_eq!(log.rest(), [""; 0]);
}

#[tokio::test]
async fn tasks_end_with_their_owner_and_that_is_no_error() {
    let (mut log, _guard) = Log::start();
    let mut tasks = Tasks::new();
    let mut ends = Vec::new();
    for _ in 0..3 {
        let (held, end) = oneshot::channel::<()>();
        ends.push(end);
        tasks.spawn("patient", async move {
            std::future::pending::<()>().await;
            drop(held);
        });
    }
    drop(tasks);
    for end in ends {
        assert!(end.await.is_err(), "the task is gone");
    }
    assert_eq!(log.rest(), [""; 0]);
}

// Who knocks.

/// A certificate and its key.
type Shown = (CertificateDer<'static>, PrivateKeyDer<'static>);

struct Case {
    what: &'static str,
    certificate: Option<Shown>,
    protocols: Vec<Vec<u8>>,
    /// What the hostile peer is told.
    ending: Ending,
    /// What the log must say.
    line: &'static str,
}

impl Case {
    fn new(
        what: &'static str,
        certificate: Option<Shown>,
        ending: Ending,
        line: &'static str,
    ) -> Case {
        Case {
            what,
            certificate,
            protocols: vec![b"muster/1".to_vec()],
            ending,
            line,
        }
    }
}

fn hostile_cases(world: &World, alien: &World) -> Vec<Case> {
    let mut cases = bad_signatures(world, alien);
    cases.extend(bad_names(world));
    cases.extend(bad_protocols(world));
    cases
}

fn bad_signatures(world: &World, alien: &World) -> Vec<Case> {
    let refused = |alert| Ending::Refused { alert };
    let good = || sans(&[world.uri("cern/worker/w1")]);
    let expired = world.forge(|params| {
        params.subject_alt_names = good();
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let early = world.forge(|params| {
        params.subject_alt_names = good();
        params.not_before = rcgen::date_time_ymd(2500, 1, 1);
    });
    let stranger = parts(&alien.credentials(&worker()));
    vec![
        Case::new(
            "no certificate",
            None,
            refused(116),
            "peer sent no certificates",
        ),
        Case::new(
            "an alien authority",
            Some(stranger),
            refused(48),
            "UnknownIssuer",
        ),
        Case::new(
            "an alien authority of our name",
            Some(impostor(world)),
            refused(51),
            "BadSignature",
        ),
        Case::new(
            "an expired leaf",
            Some(expired),
            refused(45),
            "certificate expired",
        ),
        Case::new(
            "a leaf of the future",
            Some(early),
            refused(45),
            "not valid yet",
        ),
    ]
}

fn bad_names(world: &World) -> Vec<Case> {
    let (alien, role) = (
        Ending::Closed(CloseCode::Alien),
        Ending::Closed(CloseCode::WrongRole),
    );
    let named = |rest: &[&str]| rest.iter().map(|rest| world.uri(rest)).collect::<Vec<_>>();
    let elsewhere = vec!["muster://0123456789abcdef/cern/worker/w1".to_owned()];
    [
        (
            "the wrong role",
            named(&["cern/master/w1"]),
            &role,
            "cern/master/w1 has no business here",
        ),
        (
            "two URIs",
            named(&["cern/worker/w1", "cern/worker/w2"]),
            &alien,
            "2 URIs where one is allowed",
        ),
        ("no URI", vec![], &alien, "carries no muster:// URI"),
        (
            "another federation",
            elsewhere,
            &alien,
            "another federation",
        ),
        (
            "an unknown role",
            named(&["cern/chief/w1"]),
            &alien,
            "role in its certificate",
        ),
        (
            "a name that climbs",
            named(&["../worker/w1"]),
            &alien,
            "not a name",
        ),
    ]
    .map(|(what, uris, ending, line)| {
        let certificate = world.forge(|params| params.subject_alt_names = sans(&uris));
        Case::new(what, Some(certificate), ending.clone(), line)
    })
    .into()
}

fn bad_protocols(world: &World) -> Vec<Case> {
    let good = || Some(parts(&world.credentials(&worker())));
    [
        ("another protocol", vec![b"h3".to_vec()]),
        ("a later protocol", vec![b"muster/2".to_vec()]),
        ("no protocol", vec![]),
    ]
    .map(|(what, protocols)| {
        let ending = Ending::Refused { alert: 120 };
        Case {
            protocols,
            ..Case::new(what, good(), ending, "any known protocol")
        }
    })
    .into()
}

/// Dials as no Muster process would, and returns how the connection ended.
async fn knock(address: SocketAddr, world: &World, case: &Case) -> Ending {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(world.authority_certificate()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut crypto = match &case.certificate {
        Some((leaf, key)) => builder
            .with_client_auth_cert(vec![leaf.clone()], key.clone_key())
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    crypto.alpn_protocols.clone_from(&case.protocols);
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto).unwrap()));
    let endpoint = quinn::Endpoint::client(LOOPBACK).unwrap();
    match endpoint
        .connect_with(config, address, SERVER_NAME)
        .unwrap()
        .await
    {
        Ok(connection) => connection.closed().await.into(),
        Err(error) => error.into(),
    }
}

/// The first datagram of a handshake that its sender never continues.
async fn first_packet_of_a_dialer(world: &World) -> Vec<u8> {
    let sink = UdpSocket::bind(LOOPBACK).await.unwrap();
    let (address, credentials) = (sink.local_addr().unwrap(), world.credentials(&worker()));
    let mut packet = vec![0; 2048];
    tokio::select! {
        dialed = dial(address, &credentials, Kind::Control, &[Role::Foreman]) => panic!("nobody answers: {dialed:?}"),
        length = sink.recv(&mut packet) => packet.truncate(length.unwrap()),
    }
    packet
}

/// A good certificate, but signed by another key that claims to be our authority.
fn impostor(world: &World) -> Shown {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(
        DnType::CommonName,
        format!("muster {}", world.authority.federation()),
    );
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = Issuer::new(params, KeyPair::generate().unwrap());
    sign(&issuer, |params| {
        params.subject_alt_names = sans(&[world.uri("cern/worker/w1")])
    })
}

// The good world.

/// One federation in a directory of its own.
struct World {
    _home: TempDir,
    dir: PathBuf,
    authority: Authority,
}

impl World {
    fn new() -> World {
        let home = TempDir::new().unwrap();
        let dir = home.path().join("muster");
        let authority = Authority::open_or_create(&dir).unwrap();
        World {
            _home: home,
            dir,
            authority,
        }
    }

    fn dir(&self) -> &Path {
        &self.dir
    }

    fn credentials(&self, who: &Peer) -> Credentials {
        self.authority.issue(who).unwrap()
    }

    fn listen(&self, who: &Peer, allowed: &[Role]) -> Listener {
        listen(LOOPBACK, &self.credentials(who), allowed).unwrap()
    }

    fn uri(&self, rest: &str) -> String {
        format!("muster://{}/{rest}", self.authority.federation())
    }

    fn authority_certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.dir().join("authority.pem")).unwrap()
    }

    /// A certificate that our authority would never issue, signed with its stolen key.
    fn forge(&self, edit: impl FnOnce(&mut CertificateParams)) -> Shown {
        let key = KeyPair::from_pem(&fs::read_to_string(self.dir().join("authority.key")).unwrap())
            .unwrap();
        sign(
            &Issuer::from_ca_cert_der(&self.authority_certificate(), key).unwrap(),
            edit,
        )
    }
}

fn sign(issuer: &Issuer<'_, KeyPair>, edit: impl FnOnce(&mut CertificateParams)) -> Shown {
    let mut params = CertificateParams::default();
    edit(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    (
        certificate.der().clone(),
        PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    )
}

fn parts(credentials: &Credentials) -> Shown {
    let pem = credentials.to_pem().as_bytes();
    (
        CertificateDer::from_pem_slice(pem).unwrap(),
        PrivateKeyDer::from_pem_slice(pem).unwrap(),
    )
}

fn sans(uris: &[String]) -> Vec<SanType> {
    let mut names = vec![SanType::DnsName(SERVER_NAME.try_into().unwrap())];
    names.extend(
        uris.iter()
            .map(|uri| SanType::URI(uri.as_str().try_into().unwrap())),
    );
    names
}

fn peer(role: Role, site: &str, name: &str) -> Peer {
    Peer {
        role,
        site: site.into(),
        name: name.into(),
    }
}

fn worker() -> Peer {
    peer(Role::Worker, "cern", "w1")
}

fn foreman() -> Peer {
    peer(Role::Foreman, "cern", "f1")
}

/// The dialer's and the listener's end of a new connection.
async fn pair(listener: &mut Listener, credentials: &Credentials, kind: Kind) -> (Link, Link) {
    let address = listener.local_address();
    let (near, far) = tokio::join!(
        dial(address, credentials, kind, &[Role::Foreman]),
        listener.accept()
    );
    (near.unwrap(), far.unwrap())
}

/// Sends `bytes` from `near` to `far` and back on a new stream.
async fn echo(near: &Link, far: &Link, bytes: &[u8]) {
    let ask = async {
        let (mut to, mut from) = near.open().await.unwrap();
        let (sent, back) = tokio::join!(to.write_all(bytes), async {
            let mut back = vec![0; bytes.len()];
            from.read_exact(&mut back).await.map(|()| back)
        });
        sent.unwrap();
        to.finish().unwrap();
        back.unwrap()
    };
    let answer = async {
        let (mut to, mut from) = far.accept().await.unwrap();
        while let Some(chunk) = from.read_chunk(64 << 10, true).await.unwrap() {
            to.write_chunk(chunk.bytes).await.unwrap();
        }
        to.finish().unwrap();
        to.stopped().await.unwrap();
    };
    let (back, ()) = tokio::join!(ask, answer);
    assert!(back == bytes, "the same bytes come back");
}

/// What `future` yields without waiting, if anything.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        value = future => Some(value),
        () = std::future::ready(()) => None,
    }
}

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

// The log.

/// The lines of WARN and worse that this thread has logged, as they come.
struct Log {
    lines: mpsc::UnboundedReceiver<String>,
}

impl Log {
    fn start() -> (Log, DefaultGuard) {
        let (sender, lines) = mpsc::unbounded_channel();
        (
            Log { lines },
            tracing::subscriber::set_default(Collector { sender }),
        )
    }

    async fn next(&mut self) -> String {
        self.lines.recv().await.unwrap()
    }

    fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.lines.try_recv().ok()).collect()
    }
}

struct Collector {
    sender: mpsc::UnboundedSender<String>,
}

impl tracing::Subscriber for Collector {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.sender.send(line.0).ok();
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}
