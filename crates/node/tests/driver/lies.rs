//! What peers may say of contents, and users' files become, beside a canary; `docs/hostile.md` lists the cases.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use muster_canary::{Canary, assert_listed};
use muster_node::client::{Client, ClientError, Master};
use muster_node::endpoint::{Kind, Link};
use muster_proto::machine::{FetchEnd, Input, Output};
use muster_proto::wire::bulk::{ABSENT, Groups, Request};
use muster_proto::{Digest, LinkId, Role};
use muster_store::ContentStore;
use quinn::{ReadExactError, RecvStream, SendStream};

use super::toy::{Node, World, digest_of, hold, pattern};

/// A case by its name, the bytes announced, what is said for the length and the bytes, and how the fetch ends.
type Lie = (&'static str, usize, fn(&mut Said), FetchEnd);

/// What a liar says to a request.
struct Said {
    length: u64,
    bytes: Vec<u8>,
    /// What a truthful peer would say for contents that nobody asked for.
    alien: Vec<u8>,
    end: Tail,
}

/// What a liar does at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Finish,
    /// Reset the stream.
    Reset,
    /// Go on with rubbish until nobody listens.
    Endless,
}

const SMALL: usize = 10_000;
const LARGE: usize = 3 << 20;

const LIES: [Lie; 22] = [
    (
        "bulk/small-absent",
        SMALL,
        |said| said.length = ABSENT,
        FetchEnd::Absent,
    ),
    (
        "bulk/small-length-of-2-to-63",
        SMALL,
        |said| said.length = 1 << 63,
        FetchEnd::Failed,
    ),
    (
        "bulk/small-length-beyond-what-was-announced",
        SMALL,
        |said| said.length += 1,
        FetchEnd::Failed,
    ),
    (
        "bulk/small-length-less",
        SMALL,
        |said| said.length -= 1,
        FetchEnd::Failed,
    ),
    (
        "bulk/small-length-of-nothing",
        SMALL,
        |said| said.length = 0,
        FetchEnd::Failed,
    ),
    (
        "bulk/small-wrong-byte",
        SMALL,
        |said| said.bytes[5_000] ^= 1,
        FetchEnd::Failed,
    ),
    (
        "bulk/small-other-contents",
        SMALL,
        |said| said.bytes = said.alien.clone(),
        FetchEnd::Failed,
    ),
    (
        "bulk/small-fewer-bytes",
        SMALL,
        |said| said.bytes.truncate(9_999),
        FetchEnd::Failed,
    ),
    (
        "bulk/small-reset",
        SMALL,
        |said| {
            said.bytes.truncate(100);
            said.end = Tail::Reset;
        },
        FetchEnd::Failed,
    ),
    (
        "bulk/small-and-endless",
        SMALL,
        |said| said.end = Tail::Endless,
        FetchEnd::Held,
    ),
    (
        "bulk/large-absent",
        LARGE,
        |said| said.length = ABSENT,
        FetchEnd::Absent,
    ),
    (
        "bulk/large-length-of-2-to-63",
        LARGE,
        |said| said.length = 1 << 63,
        FetchEnd::Failed,
    ),
    (
        "bulk/large-length-just-below-absent",
        LARGE,
        |said| said.length = ABSENT - 1,
        FetchEnd::Failed,
    ),
    (
        "bulk/large-length-beyond-what-was-announced",
        LARGE,
        |said| said.length += 1,
        FetchEnd::Failed,
    ),
    (
        "bulk/large-length-less",
        LARGE,
        |said| said.length = 10,
        FetchEnd::Failed,
    ),
    (
        "bulk/large-wrong-byte-in-a-part",
        LARGE,
        |said| *said.bytes.last_mut().expect("bytes") ^= 1,
        FetchEnd::Failed,
    ),
    (
        "bulk/large-wrong-byte-in-a-proof",
        LARGE,
        |said| said.bytes[40] ^= 1,
        FetchEnd::Failed,
    ),
    (
        "bulk/large-parts-of-other-contents",
        LARGE,
        |said| said.bytes = said.alien.clone(),
        FetchEnd::Failed,
    ),
    (
        "bulk/large-fewer-bytes",
        LARGE,
        |said| said.bytes.truncate(1_000),
        FetchEnd::Failed,
    ),
    (
        "bulk/large-nothing",
        LARGE,
        |said| said.bytes.clear(),
        FetchEnd::Failed,
    ),
    (
        "bulk/large-reset",
        LARGE,
        |said| {
            said.bytes.truncate(100_000);
            said.end = Tail::Reset;
        },
        FetchEnd::Failed,
    ),
    (
        "bulk/large-and-endless",
        LARGE,
        |said| said.end = Tail::Endless,
        FetchEnd::Held,
    ),
];

#[tokio::test]
async fn no_lie_about_contents_gets_into_a_store() {
    let world = World::new();
    let canary = Canary::plant(&world.dir.path().join("canary"));
    let mut master = world.master();
    // The liar hangs under the master, so that the master is who fetches.
    let control = world.raw(Role::Worker, "liar", &master).await;
    let (to_liar, ..) = master.hears_up().await;
    let bulk = world.dial(Role::Worker, "liar", &master, Kind::Bulk).await;
    let liar = Liar::new(world.dir.path());
    for (n, (case, bytes, lie, end)) in LIES.into_iter().enumerate() {
        // Contents of its own for each, so that no case goes on where another ended.
        let truth = pattern(n + 2, bytes);
        let wanted = hold(&liar.store, &truth);
        let wish = || Output::Fetch {
            link: to_liar,
            digest: wanted,
            bytes: bytes as u64,
        };
        master.does(vec![wish()]).await;
        let heard = hears_end(&mut master, (to_liar, wanted), (case, end));
        liar.answer(&bulk, lie, heard).await;
        let held = master.store.contains(wanted);
        assert_eq!(held.is_some(), end == FetchEnd::Held, "{case}");
        for stored in master.store.list() {
            let digest = stored.expect("an object").digest;
            assert!(
                master.store.verify(digest).expect("readable"),
                "{case}: {digest}"
            );
        }
        assert_eq!(
            master.store.contains(digest_of(&pattern(1, bytes))),
            None,
            "{case}: no aliens"
        );
        // The truth is believed, whatever was said before.
        master.does(vec![wish()]).await;
        let heard = hears_end(&mut master, (to_liar, wanted), (case, FetchEnd::Held));
        liar.answer(&bulk, |_| {}, heard).await;
        assert_eq!(master.store.contains(wanted), Some(bytes as u64), "{case}");
        canary.assert_untouched(case);
    }
    drop(control);
    let puts = put_lies(&world, &master).await;
    canary.assert_untouched("what users put");
    assert_listed("bulk", LIES.iter().map(|(case, ..)| *case).chain(puts));
}

/// Who answers every request with a lie.
struct Liar {
    store: ContentStore,
}

impl Liar {
    fn new(dir: &Path) -> Self {
        let store = ContentStore::open(&dir.join("liar")).expect("a store");
        for bytes in [SMALL, LARGE] {
            hold(&store, &pattern(1, bytes));
        }
        Self { store }
    }

    async fn answer(&self, bulk: &Link, lie: fn(&mut Said), heard: impl Future<Output = ()>) {
        let mut heard = std::pin::pin!(heard);
        loop {
            let (sending, mut receiving) = tokio::select! {
                () = &mut heard => return,
                stream = bulk.accept() => stream.expect("a request"),
            };
            let said = self.truth(&request(&mut receiving).await);
            // Whoever does not believe stops listening.
            tokio::select! {
                () = &mut heard => return,
                () = say(sending, said, lie) => {}
            }
        }
    }

    /// What a truthful peer would say.
    fn truth(&self, request: &Request) -> Said {
        let (bytes, alien, length) = match request {
            Request::Get(digests) => {
                let read = |digest| fs::read(self.store.path(digest)).expect("it has them");
                let bytes = read(digests[0]);
                let length = bytes.len();
                (bytes, read(digest_of(&pattern(1, SMALL))), length)
            }
            Request::Parts { digest, groups } => {
                let read = |digest| {
                    let mut proving = self
                        .store
                        .prove(digest, &ranges(groups))
                        .expect("it has them");
                    proving.read(16 << 20).expect("readable")
                };
                (read(*digest), read(digest_of(&pattern(1, LARGE))), LARGE)
            }
            other => panic!("nothing is put or asked for but {other:?}"),
        };
        Said {
            length: length as u64,
            bytes,
            alien,
            end: Tail::Finish,
        }
    }
}

async fn say(mut sending: SendStream, mut said: Said, lie: fn(&mut Said)) {
    lie(&mut said);
    sending.write_all(&said.length.to_le_bytes()).await.ok();
    sending.write_all(&said.bytes).await.ok();
    match said.end {
        Tail::Finish => sending.finish().ok(),
        Tail::Reset => sending.reset(7_u32.into()).ok(),
        Tail::Endless => {
            while sending.write_all(&[0xa5; 10_000]).await.is_ok() {}
            None
        }
    };
}

async fn request(receiving: &mut RecvStream) -> Request {
    let mut length = [0; 4];
    receiving.read_exact(&mut length).await.expect("a length");
    let mut request = vec![0; u32::from_le_bytes(length) as usize];
    receiving.read_exact(&mut request).await.expect("a request");
    Request::decode(&request).expect("well formed")
}

fn ranges(groups: &[Groups]) -> Vec<std::ops::Range<u64>> {
    let range = |groups: &Groups| {
        let first = u64::from(groups.first);
        first..first + u64::from(groups.count)
    };
    groups.iter().map(range).collect()
}

async fn hears_end(
    node: &mut Node,
    (from, wanted): (LinkId, Digest),
    (case, how): (&str, FetchEnd),
) {
    loop {
        match node.hears().await {
            Input::Arriving { .. } => {}
            Input::Fetched { link, digest, end } if link == from && digest == wanted => {
                return assert_eq!(end, how, "{case}");
            }
            other => panic!("{case}: no end of a fetch but {other:?}"),
        }
    }
}

/// What users say when they put files; each costs a stream, and nothing is in the store.
async fn put_lies(world: &World, master: &Node) -> Vec<&'static str> {
    let user = world.dial(Role::User, "u", master, Kind::Bulk).await;
    let truth = pattern(100, SMALL);
    let digest = digest_of(&truth);
    let length = (SMALL as u64).to_le_bytes();
    let wrong = pattern(101, SMALL);
    let cases = [
        (
            "bulk/put-length-of-2-to-63",
            put_of(digest, &[&(1_u64 << 63).to_le_bytes(), &truth]),
        ),
        (
            "bulk/put-length-of-absent",
            put_of(digest, &[&ABSENT.to_le_bytes(), &truth]),
        ),
        ("bulk/put-wrong-bytes", put_of(digest, &[&length, &wrong])),
        (
            "bulk/put-fewer-bytes",
            put_of(digest, &[&length, &truth[..SMALL - 1]]),
        ),
        (
            "bulk/put-more-bytes",
            put_of(digest, &[&(SMALL as u64 - 1).to_le_bytes(), &truth]),
        ),
    ];
    for (case, bytes) in &cases {
        let (mut sending, mut receiving) = user.open().await.expect("a stream");
        sending.write_all(bytes).await.ok();
        sending.finish().ok();
        let refused = receiving.read_exact(&mut [0]).await;
        let is_refused = matches!(refused, Err(ReadExactError::ReadError(_)));
        assert!(is_refused, "{case}: {refused:?}");
        assert_eq!(master.store.contains(digest), None, "{case}");
    }
    cases.map(|(case, _)| case).into()
}

fn put_of(digest: Digest, parts: &[&[u8]]) -> Vec<u8> {
    [Request::Put(vec![digest]).encode(), parts.concat()].concat()
}

/// A case by its name, and what becomes of a user's file after it was hashed.
type Turn = (&'static str, fn(&Path, &Path));

#[tokio::test]
async fn a_file_that_is_no_more_what_was_hashed_is_not_sent() {
    let turns: [Turn; 7] = [
        ("send/pipe", |path, _| {
            let made = Command::new("mkfifo").arg(path).status();
            assert!(made.expect("mkfifo").success());
        }),
        ("send/device", |path, _| {
            symlink("/dev/zero", path).expect("a link")
        }),
        ("send/directory", |path, _| {
            fs::create_dir(path).expect("a directory")
        }),
        ("send/link-to-another-file", |path, canary| {
            symlink(canary.join("precious"), path).expect("a link")
        }),
        ("send/link-to-a-pipe", |path, canary| {
            symlink(canary.join("pipe"), path).expect("a link")
        }),
        ("send/longer", |path, _| {
            fs::write(path, pattern(1, 20_000)).expect("a file")
        }),
        ("send/shorter", |path, _| {
            fs::write(path, "").expect("a file")
        }),
    ];
    let world = World::new();
    let canary = Canary::plant(&world.dir.path().join("canary"));
    let mut master = world.master();
    let client = Client::connect(Master {
        address: master.address.expect("it listens"),
        credentials: world.credentials(Role::User, "u"),
        patience: std::time::Duration::from_secs(60),
    });
    let client = client.await.expect("a client");
    master.hears_up().await;
    let path = world.dir.path().join("input");
    let digest = digest_of(&pattern(1, SMALL));
    for (case, turn) in turns {
        turn(&path, canary.path());
        let refused = client.put_files(&[(digest, path.clone())]).await;
        let is_told =
            matches!(&refused, Err(ClientError::InputChanged { path: told }) if *told == path);
        assert!(is_told, "{case}: {refused:?}");
        assert_eq!(master.store.contains(digest), None, "{case}");
        canary.assert_untouched(case);
        match fs::remove_dir(&path) {
            Ok(()) => {}
            Err(_) => fs::remove_file(&path).expect("removed"),
        }
    }
    fs::write(&path, pattern(1, SMALL)).expect("a file");
    client.put_files(&[(digest, path)]).await.expect("sent");
    assert_eq!(master.store.contains(digest), Some(SMALL as u64));
    assert_listed("send", turns.map(|(case, _)| case));
}
