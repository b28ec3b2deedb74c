//! Peers that mean harm: each is refused in one line of log, and whoever comes next is served.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use muster_node::endpoint::{Ending, Kind, Link, dial};
use muster_node::identity::{Authority, Credentials, SERVER_NAME};
use muster_proto::task::{Command, Need, OutputFile, Policy, TaskBody, Template, When, Words};
use muster_proto::wire::{CloseCode, Frame, Hello, Status, Submit, VERSIONS, Watch};
use muster_proto::{Peer, RelPath, Resources, Role, TaskId};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::timeout;

use crate::daemon::Daemon;
use crate::home::Home;
use crate::wait::{SOON, until};

#[test]
fn strangers_are_refused_at_the_door() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let address = master.address().parse().expect("an address");
    let alien_keys = home.path("alien");
    let alien = Authority::open_or_create(&alien_keys).expect("another authority");
    let mut door = Door::of(&home, &master);
    for (what, shown) in [
        ("no certificate", None),
        (
            "a certificate of another authority",
            Some(alien.issue(&user()).expect("a certificate")),
        ),
    ] {
        let ending = wait_for(knock(&home, address, shown.as_ref()));
        assert!(
            matches!(ending, Ending::Refused { .. }),
            "{what}: {ending:?}"
        );
        door.shut_once(what, "refused a peer");
    }
    // A catalog belongs to the federation, and has no business at a master.
    let catalog = issue(&home, Role::Catalog);
    let ending = wait_for(async {
        let link = dial(address, &catalog, Kind::Control, &[Role::Master])
            .await
            .expect("a handshake");
        link.closed().await
    });
    assert_eq!(ending, Ending::Closed(CloseCode::WrongRole));
    door.shut_once("a catalog", "has no business here");
}

#[test]
fn whoever_breaks_the_protocol_is_cut_off() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let address = master.address().parse().expect("an address");
    let mut door = Door::of(&home, &master);
    for breach in breaches().into_iter().chain(escapes()) {
        let credentials = issue(&home, breach.role);
        let ending = wait_for(say(address, &credentials, &breach.bytes));
        let what = breach.what;
        // A peer that goes on sending after the close may see the reset of a connection already forgotten.
        let is_cut = matches!(
            ending,
            Ending::Closed(CloseCode::Protocol) | Ending::Restarted
        );
        assert!(is_cut, "{what}: {ending:?}");
        door.shut_once(what, "");
    }
    let status = home.run(&["status", "--project", "p", "--json"], SOON);
    let status = status.ended_with(0).json();
    assert_eq!(
        status["tasks"]["submitted"], 0,
        "nothing was taken: {status}"
    );
}

#[test]
fn whoever_never_reads_holds_up_nobody() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    let address: SocketAddr = master.address().parse().expect("an address");
    let credentials = issue(&home, Role::User);
    std::thread::scope(|scope| {
        let asking =
            || wait_for(async { timeout(FLOOD, ask_and_never_read(address, &credentials)).await });
        let flood = scope.spawn(asking);
        while !flood.is_finished() {
            let status = home.run(&["status", "--project", "p", "--json"], ANSWER);
            let rss_bytes = status.ended_with(0).json()["rss_bytes"].as_u64();
            assert!(
                rss_bytes.is_some_and(|bytes| bytes < RSS_BYTES_MAX),
                "memory: {rss_bytes:?}"
            );
        }
        // Cut off or held back, as the master likes.
        drop(flood.join().expect("no panic"));
    });
}

/// Good certificates and bad manners.
struct Breach {
    what: &'static str,
    role: Role,
    bytes: Vec<u8>,
}

fn breach(what: &'static str, role: Role, bytes: &[&[u8]]) -> Breach {
    Breach {
        what,
        role,
        bytes: bytes.concat(),
    }
}

fn breaches() -> Vec<Breach> {
    let (user, worker, foreman) = (Role::User, Role::Worker, Role::Foreman);
    let (hello, status) = (hello(), encoded(Status {}));
    let long = [&(1_u32 << 31).to_le_bytes()[..], &status[4..]].concat();
    let unknown = [
        &4_u32.to_le_bytes()[..],
        &999_u16.to_le_bytes(),
        &status[6..],
        b"abcd",
    ]
    .concat();
    let rubbish = vec![0xa5; 4_096];
    vec![
        breach("rubbish for a greeting", user, &[&rubbish]),
        breach("a wish for a greeting", user, &[&status]),
        breach("rubbish after the greeting", user, &[&hello, &rubbish]),
        breach("a second greeting", user, &[&hello, &hello]),
        breach("a frame of two gigabytes", user, &[&hello, &long]),
        breach("an unknown frame", user, &[&hello, &unknown]),
        breach(
            "a worker that submits",
            worker,
            &[&hello, &encoded(submit("out"))],
        ),
        breach(
            "a worker that watches",
            worker,
            &[&hello, &encoded(watch())],
        ),
        breach("a worker that asks", worker, &[&hello, &status]),
        breach(
            "a foreman that submits",
            foreman,
            &[&hello, &encoded(submit("out"))],
        ),
    ]
}

/// Names that the types would not let us write, put into good bytes.
fn escapes() -> Vec<Breach> {
    let cases = [
        ("an output that climbs", "aa/escape", "../escape"),
        ("an absolute output", "a/etc/passwd", "//etc/passwd"),
        ("an output with a NUL", "out.put", "out\0put"),
        ("an output with a line end", "out.put", "out\nput"),
        ("an output that is a directory itself", "out/a", "out/."),
    ];
    let escape = |(what, good, bad): (&'static str, &str, &str)| {
        let mut bytes = encoded(submit(good));
        replace(&mut bytes, good.as_bytes(), bad.as_bytes());
        breach(what, Role::User, &[&hello(), &bytes])
    };
    cases.map(escape).into()
}

/// What a master does about peers, as its log tells it.
struct Door<'a> {
    home: &'a Home,
    master: &'a Daemon<'a>,
    warnings: usize,
}

impl<'a> Door<'a> {
    fn of(home: &'a Home, master: &'a Daemon<'a>) -> Door<'a> {
        Door {
            home,
            master,
            warnings: 0,
        }
    }

    /// Checks that `what` has cost one line, which says `said`, and that the master serves the next.
    fn shut_once(&mut self, what: &str, said: &str) {
        let line = until(&format!("a line for {what}"), SOON, || {
            self.lines().get(self.warnings).cloned()
        });
        assert!(
            line.contains(said) && line.contains("peer="),
            "{what}: {line}"
        );
        self.home
            .run(&["status", "--project", "p"], SOON)
            .ended_with(0);
        self.warnings += 1;
        assert_eq!(
            self.lines().len(),
            self.warnings,
            "one line for {what}: {:#?}",
            self.lines()
        );
    }

    fn lines(&self) -> Vec<String> {
        let log = self.master.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"));
        lines.map(str::to_owned).collect()
    }
}

fn user() -> Peer {
    peer(Role::User)
}

fn peer(role: Role) -> Peer {
    Peer {
        role,
        site: "home".to_owned(),
        name: format!("hostile-{role}"),
    }
}

/// A certificate of the right authority: its holder was trusted by somebody.
fn issue(home: &Home, role: Role) -> Credentials {
    let authority = Authority::open_or_create(&home.keys()).expect("the authority");
    authority.issue(&peer(role)).expect("a certificate")
}

async fn control(address: SocketAddr, credentials: &Credentials) -> Link {
    dial(address, credentials, Kind::Control, &[Role::Master])
        .await
        .expect("a handshake")
}

/// Opens the control stream, says `bytes`, and returns how the connection ended.
async fn say(address: SocketAddr, credentials: &Credentials, bytes: &[u8]) -> Ending {
    let link = control(address, credentials).await;
    let (mut sending, _receiving) = link.open().await.expect("the stream");
    // The peer may close before all of it is sent.
    let _sent = sending.write_all(bytes).await.is_ok();
    link.closed().await
}

/// Asks again and again, reads nothing, and returns when it is cut off.
async fn ask_and_never_read(address: SocketAddr, credentials: &Credentials) -> Ending {
    let link = control(address, credentials).await;
    let (mut sending, _unread) = link.open().await.expect("the stream");
    sending.write_all(&hello()).await.expect("it is sent");
    let many = encoded(Status {}).repeat(4_096);
    while sending.write_all(&many).await.is_ok() {}
    link.closed().await
}

/// Dials with `shown`, or with nothing, and returns how the connection ended.
async fn knock(home: &Home, address: SocketAddr, shown: Option<&Credentials>) -> Ending {
    let trusted = fs::read(home.keys().join("authority.pem")).expect("the authority's certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&trusted).expect("a certificate"))
        .expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version")
        .with_root_certificates(roots);
    let mut crypto = match shown {
        Some(credentials) => {
            let pem = credentials.to_pem().as_bytes();
            let leaf = CertificateDer::from_pem_slice(pem).expect("a certificate");
            let key = PrivateKeyDer::from_pem_slice(pem).expect("a key");
            builder
                .with_client_auth_cert(vec![leaf], key)
                .expect("they fit")
        }
        None => builder.with_no_client_auth(),
    };
    crypto.alpn_protocols = vec![b"muster/1".to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(
        QuicClientConfig::try_from(crypto).expect("ciphers"),
    ));
    let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a socket");
    match endpoint
        .connect_with(config, address, SERVER_NAME)
        .expect("an address")
        .await
    {
        Ok(connection) => connection.closed().await.into(),
        Err(error) => error.into(),
    }
}

fn wait_for<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let limited = async { timeout(PATIENCE, what).await };
    runtime
        .expect("a runtime")
        .block_on(limited)
        .expect("it ends in time")
}

fn encoded(frame: impl Into<Frame>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.into().encode(&mut bytes);
    bytes
}

fn hello() -> Vec<u8> {
    encoded(Hello {
        oldest: VERSIONS.0,
        newest: VERSIONS.1,
        release: "hostile".to_owned(),
    })
}

fn watch() -> Watch {
    Watch {
        ranges: vec![(TaskId(1), TaskId(9))],
    }
}

/// A good wish for one task with one output.
fn submit(output: &str) -> Submit {
    let template = Template {
        command: Command::Exec(Words::new(&["true"]).expect("words")),
        environment: Vec::new(),
        inputs: Vec::new(),
        outputs: vec![OutputFile {
            name: RelPath::new(output).expect("a good name"),
            need: Need::Required,
            when: When::Always,
        }],
        resources: Resources::cores(1),
        policy: Policy::default(),
        category: "hostile".to_owned(),
    };
    Submit {
        session: 1,
        sequence: 1,
        template: Arc::new(template),
        tasks: vec![TaskBody::default()],
    }
}

/// Makes good bytes bad, where the types would not let us.
fn replace(bytes: &mut [u8], good: &[u8], bad: &[u8]) {
    let at = bytes
        .windows(good.len())
        .position(|window| window == good)
        .expect("it is there");
    bytes[at..at + good.len()].copy_from_slice(bad);
}

/// When a hostile peer that is still connected counts as served.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one that never reads goes on asking.
const FLOOD: Duration = Duration::from_secs(6);
/// When others count as held up.
const ANSWER: Duration = Duration::from_secs(5);
/// What a master may hold because of one such peer: the queue of its link, and what was there before.
const RSS_BYTES_MAX: u64 = 200 << 20;
