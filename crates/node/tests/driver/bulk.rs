//! Contents on their way: whole and verified, or not at all.

use std::sync::Arc;

use muster_node::endpoint::{Kind, Link};
use muster_proto::limits::OUTPUT_BYTES_MAX;
use muster_proto::machine::{FetchEnd, Gate, Input, Output};
use muster_proto::wire::bulk::{ABSENT, Request};
use muster_proto::{Digest, LinkId, Role};
use muster_store::ContentStore;
use quinn::ReadExactError;

use super::toy::{Node, World, digest_of, hold, pattern};

#[tokio::test]
async fn a_worker_fetches_inputs_and_a_master_outputs_small_and_large() {
    let world = World::new();
    let mut master = world.master();
    let mut worker = world.worker("w", &master);
    let (to_worker, ..) = master.hears_up().await;
    let (to_master, ..) = worker.hears_up().await;

    let mut files: Vec<Vec<u8>> = (0..600).map(|n| pattern(n, n * 7)).collect();
    files.push(pattern(1, 3 << 20));
    files.push(pattern(2, (1 << 20) + 1));
    files.push(pattern(3, 1 << 20));
    let inputs: Vec<Digest> = files
        .iter()
        .map(|bytes| hold(&master.store, bytes))
        .collect();
    fetch(&worker, to_master, &files, &inputs).await;
    hear_ends(&mut worker, to_master, &inputs, FetchEnd::Held).await;
    all_there(&worker.store, &files);

    let outputs = [pattern(4, 2 << 20), pattern(5, 10)];
    let digests: Vec<Digest> = outputs
        .iter()
        .map(|bytes| hold(&worker.store, bytes))
        .collect();
    fetch(&master, to_worker, &outputs, &digests).await;
    hear_ends(&mut master, to_worker, &digests, FetchEnd::Held).await;
    all_there(&master.store, &outputs);
}

#[tokio::test]
async fn what_is_absent_or_longer_than_announced_does_not_arrive() {
    let world = World::new();
    let mut master = world.master();
    let mut worker = world.worker("w", &master);
    let (to_master, ..) = worker.hears_up().await;
    master.hears_up().await;

    let nowhere = digest_of(b"nowhere");
    fetch_one(&worker, to_master, nowhere, 100).await;
    hear_ends(&mut worker, to_master, &[nowhere], FetchEnd::Absent).await;

    for bytes in [pattern(1, 100), pattern(1, 2 << 20)] {
        let long = hold(&master.store, &bytes);
        fetch_one(&worker, to_master, long, bytes.len() as u64 - 1).await;
        hear_ends(&mut worker, to_master, &[long], FetchEnd::Failed).await;
        assert_eq!(worker.store.contains(long), None);
    }
}

#[tokio::test]
async fn what_is_forgotten_goes_and_may_be_fetched_again() {
    let world = World::new();
    let mut master = world.master();
    let mut worker = world.worker("w", &master);
    let (to_master, ..) = worker.hears_up().await;
    master.hears_up().await;
    let bytes = pattern(1, 1_000);
    let digest = hold(&master.store, &bytes);
    let fetch = || Output::Fetch {
        link: to_master,
        digest,
        bytes: 1_000,
    };
    let forget = || Output::Forget {
        digest,
        gate: Gate::Now,
    };
    for _ in 0..20 {
        // Each wish in the order in which it was said, however they overlap: what is wanted last is what holds.
        worker.does(vec![fetch(), forget(), fetch()]).await;
        hear_ends(&mut worker, to_master, &[digest, digest], FetchEnd::Held).await;
        assert_eq!(worker.store.contains(digest), Some(1_000));
        worker.does(vec![forget()]).await;
        worker.does(vec![fetch()]).await;
        hear_ends(&mut worker, to_master, &[digest], FetchEnd::Held).await;
        assert_eq!(worker.store.contains(digest), Some(1_000));
    }
}

#[tokio::test]
async fn only_users_put_and_only_what_they_say() {
    let world = World::new();
    let master = world.master();
    let user = world.dial(Role::User, "u", &master, Kind::Bulk).await;
    let worker = world.dial(Role::Worker, "w", &master, Kind::Bulk).await;
    let (small, large) = (pattern(1, 1_000), pattern(2, 2 << 20));
    let digests = vec![digest_of(&small), digest_of(&large)];

    assert_eq!(
        put(&worker, &digests, &[&small, &large]).await,
        None,
        "not a worker"
    );
    assert_eq!(have(&user, &digests).await, [0, 0]);
    assert_eq!(
        put(&user, &digests, &[&large, &small]).await,
        None,
        "not under another name"
    );
    assert_eq!(have(&user, &digests).await, [0, 0]);
    assert_eq!(put(&user, &digests, &[&small, &large]).await, Some(1));
    assert_eq!(have(&worker, &digests).await, [1, 1]);
    all_there(&master.store, &[small, large]);
}

#[tokio::test]
async fn hostile_requests_cost_a_stream_and_nothing_else() {
    let world = World::new();
    let master = world.master();
    let user = world.dial(Role::User, "u", &master, Kind::Bulk).await;
    let digest = digest_of(b"x");
    let put_of = |length: u64| {
        [
            Request::Put(vec![digest]).encode(),
            length.to_le_bytes().to_vec(),
        ]
        .concat()
    };
    let many = [&u32::to_le_bytes(40_000)[..], &[0; 40_000]].concat();
    for bytes in [
        u32::MAX.to_le_bytes().to_vec(),
        many,
        vec![4, 0, 0, 0, 9, 9, 9, 9],
        vec![6, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f],
        put_of(1 << 63),
        put_of(OUTPUT_BYTES_MAX + 1),
        put_of(ABSENT),
    ] {
        let (mut sending, mut receiving) = user.open().await.expect("a stream");
        sending.write_all(&bytes).await.ok();
        let mut answer = [0];
        let refused = receiving.read_exact(&mut answer).await;
        assert!(
            matches!(refused, Err(ReadExactError::ReadError(_))),
            "{refused:?}"
        );
    }
    assert_eq!(have(&user, &[digest]).await, [0], "the connection lives on");
}

async fn fetch(node: &Node, link: LinkId, files: &[Vec<u8>], digests: &[Digest]) {
    let wishes = files
        .iter()
        .zip(digests)
        .map(|(contents, digest)| Output::Fetch {
            link,
            digest: *digest,
            bytes: contents.len() as u64,
        });
    node.does(wishes.collect()).await;
}

async fn fetch_one(node: &Node, link: LinkId, digest: Digest, bytes: u64) {
    node.does(vec![Output::Fetch {
        link,
        digest,
        bytes,
    }])
    .await;
}

/// The next things the machine hears are these ends, in any order.
async fn hear_ends(node: &mut Node, from: LinkId, digests: &[Digest], how: FetchEnd) {
    let mut left = digests.to_vec();
    while !left.is_empty() {
        match node.hears().await {
            Input::Fetched { link, digest, end } if link == from && end == how => {
                let at = left.iter().position(|wanted| *wanted == digest);
                left.swap_remove(at.expect("each ends once"));
            }
            Input::Arriving { .. } => {}
            other => panic!("no end of a fetch but {other:?}"),
        }
    }
}

fn all_there(store: &Arc<ContentStore>, files: &[Vec<u8>]) {
    for bytes in files {
        let digest = digest_of(bytes);
        assert_eq!(store.contains(digest), Some(bytes.len() as u64));
        assert!(store.verify(digest).expect("readable"));
    }
}

async fn have(bulk: &Link, digests: &[Digest]) -> Vec<u8> {
    let (mut sending, mut receiving) = bulk.open().await.expect("a stream");
    let request = Request::Have(digests.to_vec()).encode();
    sending.write_all(&request).await.expect("written");
    receiving.read_to_end(1_000).await.expect("an answer")
}

/// Puts `files` under `digests`; `None` if that was refused.
async fn put(bulk: &Link, digests: &[Digest], files: &[&[u8]]) -> Option<u8> {
    let (mut sending, mut receiving) = bulk.open().await.expect("a stream");
    let request = Request::Put(digests.to_vec()).encode();
    sending.write_all(&request).await.expect("written");
    for bytes in files {
        sending
            .write_all(&(bytes.len() as u64).to_le_bytes())
            .await
            .ok();
        sending.write_all(bytes).await.ok();
    }
    sending.finish().ok();
    let mut answer = [0];
    receiving.read_exact(&mut answer).await.ok()?;
    Some(answer[0])
}
