//! Large contents on bad networks, bad disks, and through a site.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use muster_node::endpoint::Kind;
use muster_node::trial::{Conditions, Relay};
use muster_proto::machine::{FetchEnd, Input, Output};
use muster_proto::{Digest, LinkId, Role};
use tokio::time::sleep;

use super::toy::{Node, Plan, World, anywhere, hold, pattern};

/// X3: what came before a cut is not sent again, but for what was on its way.
#[tokio::test]
async fn a_transfer_that_is_cut_five_times_sends_little_again() {
    let world = World::new();
    let mut master = world.master();
    let relay = relay(&master);
    let mut worker = behind(&world, "w", &relay);
    let (link, ..) = worker.hears_up().await;
    master.hears_up().await;
    let bytes = pattern(1, 64 << 20);
    let digest = hold(&master.store, &bytes);
    ask(&worker, link, digest, bytes.len()).await;
    for cut in 1..=5 {
        let until = bytes.len() as u64 * (cut * 19 - 7) / 100;
        tokio::select! {
            () = passes(&relay, until) => {}
            end = end(&mut worker, digest) => panic!("{end:?} before cut {cut}"),
        }
        // A newer connection of the same name has the older one closed.
        drop(world.dial(Role::Worker, "w", &master, Kind::Bulk).await);
    }
    ends(&mut worker, digest, FetchEnd::Held).await;
    assert!(worker.store.verify(digest).expect("it is there"));
    let again = relay.passed().down - bytes.len() as u64;
    // Of this, what QUIC adds to each packet is 1 % at most, and what the hashes take 0.4 %.
    let bound = (1 << 20) + bytes.len() as u64 * 24 / 1_000;
    assert!(again <= bound, "{again} bytes again, at most {bound}");
}

#[tokio::test]
async fn a_receiver_that_dies_in_the_last_percent_goes_on_there() {
    let world = World::new();
    let mut master = world.master();
    let relay = relay(&master);
    let bytes = pattern(2, 64 << 20);
    let digest = hold(&master.store, &bytes);
    let mut worker = behind(&world, "w", &relay);
    let (link, ..) = worker.hears_up().await;
    ask(&worker, link, digest, bytes.len()).await;
    tokio::select! {
        () = passes(&relay, bytes.len() as u64 * 99 / 100) => {}
        end = end(&mut worker, digest) => panic!("{end:?} before the last percent"),
    }
    drop(worker);
    let before = relay.passed().down;

    let mut worker = behind(&world, "w", &relay);
    loop {
        let (link, ..) = worker.hears_up().await;
        ask(&worker, link, digest, bytes.len()).await;
        match end(&mut worker, digest).await {
            FetchEnd::Held => break,
            // The thread of the one before may still write what it had.
            FetchEnd::Failed => {
                drop(worker);
                worker = behind(&world, "w", &relay);
            }
            FetchEnd::Absent | FetchEnd::Unkept => panic!("the master has it, and there is room"),
        }
    }
    assert!(worker.store.verify(digest).expect("it is there"));
    let again = relay.passed().down - before;
    assert!(again < 8 << 20, "{again} bytes after the last percent");
    drop(master.hears().await);
}

/// X5, at whoever serves: what has rotted is found by whoever gets it, removed, and the brain hears of it.
#[tokio::test]
async fn rot_is_found_removed_and_told_whether_or_not_it_was_served_before() {
    let world = World::new();
    let mut master = world.master();
    let mut worker = world.worker("w", &master);
    let mut other = world.worker("v", &master);
    let (to_master, ..) = worker.hears_up().await;
    let (other_to_master, ..) = other.hears_up().await;
    for _ in 0..2 {
        master.hears_up().await;
    }
    let (fresh, served) = (pattern(3, 3 << 20), pattern(4, 3 << 20));
    let small = pattern(5, 900);
    let (fresh, served) = (hold(&master.store, &fresh), hold(&master.store, &served));
    let small = hold(&master.store, &small);

    ask(&other, other_to_master, served, 3 << 20).await;
    ends(&mut other, served, FetchEnd::Held).await;
    for digest in [fresh, served, small] {
        flip(&master.store.path(digest), 600);
    }
    for (digest, length, how) in [
        (fresh, 3 << 20, FetchEnd::Absent),
        (served, 3 << 20, FetchEnd::Failed),
        (small, 900, FetchEnd::Absent),
    ] {
        ask(&worker, to_master, digest, length).await;
        ends(&mut worker, digest, how).await;
        // Every stream that asked in vain is a word more.
        while !matches!(master.hears().await, Input::Missed { digest: missed } if missed == digest)
        {
        }
        assert_eq!(master.store.contains(digest), None);
        assert_eq!(worker.store.contains(digest), None);
    }
    assert_eq!(master.store.rotten(), 3);
}

#[tokio::test]
async fn a_partial_that_somebody_cut_short_is_begun_anew() {
    let world = World::new();
    let master = world.master();
    let bytes = pattern(6, 4 << 20);
    let digest = hold(&master.store, &bytes);
    let dir = world.dir.path().join("worker-w");
    for spoilt in ["", ".pairs"] {
        let mut worker = world.worker("w", &master);
        let (link, ..) = worker.hears_up().await;
        let path = dir.join("partial").join(format!("{digest}{spoilt}"));
        fs::write(&path, b"a part of something").expect("written");
        ask(&worker, link, digest, bytes.len()).await;
        ends(&mut worker, digest, FetchEnd::Held).await;
        assert!(worker.store.verify(digest).expect("it is there"));
        worker.store.remove(digest).expect("removed");
    }
}

/// X6, cut-through: a site's worker has the beginning before the site has the end.
#[tokio::test]
async fn what_arrives_is_served_on_while_it_arrives() {
    let world = World::new();
    let mut master = world.master();
    let relay = relay(&master);
    relay.set(Conditions {
        bytes_per_s: Some(20_000_000),
        ..Conditions::GOOD
    });
    let mut foreman = world.node(
        Role::Foreman,
        "f",
        Plan {
            listens_at: Some(anywhere()),
            superior: Some(relay.address()),
            ..Plan::default()
        },
    );
    let mut worker = world.worker("w", &foreman);
    let (to_foreman, ..) = worker.hears_up().await;
    let mut to_master = None;
    for _ in 0..2 {
        let (link, peer, _) = foreman.hears_up().await;
        if peer.role == Role::Master {
            to_master = Some(link);
        }
    }
    let to_master = to_master.expect("one of the two is the master");
    master.hears_up().await;
    let bytes = pattern(7, 24 << 20);
    let digest = hold(&master.store, &bytes);
    ask(&foreman, to_master, digest, bytes.len()).await;
    // Its brain is told that it may hand on what needs them.
    while !matches!(foreman.hears().await, Input::Arriving { digest: begun } if begun == digest) {}
    ask(&worker, to_foreman, digest, bytes.len()).await;

    let partial = world.dir.path().join("worker-w/partial");
    let arriving = partial.join(digest.to_string());
    while fs::metadata(&arriving).map_or(0, |found| found.permissions().mode() & 0o600) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(foreman.store.contains(digest), None, "the site is not done");
    ends(&mut worker, digest, FetchEnd::Held).await;
    ends(&mut foreman, digest, FetchEnd::Held).await;
    let down = relay.passed().down;
    assert!(
        down < bytes.len() as u64 * 102 / 100 + (1 << 20),
        "one copy crossed to the site: {down}"
    );
    assert!(worker.store.verify(digest).expect("it is there"));
}

fn relay(master: &Node) -> Relay {
    Relay::before(master.address.expect("it listens"), 7).expect("a relay")
}

fn behind(world: &World, name: &str, relay: &Relay) -> Node {
    let plan = Plan {
        superior: Some(relay.address()),
        ..Plan::default()
    };
    world.node(Role::Worker, name, plan)
}

async fn ask(node: &Node, link: LinkId, digest: Digest, length: usize) {
    let bytes = length as u64;
    let fetch = Output::Fetch {
        link,
        digest,
        bytes,
    };
    node.does(vec![fetch]).await;
}

/// The next end of a fetch that the machine hears of.
async fn end(node: &mut Node, wanted: Digest) -> FetchEnd {
    loop {
        match node.hears().await {
            Input::Fetched { digest, end, .. } if digest == wanted => return end,
            Input::LinkDown { .. } | Input::LinkUp { .. } | Input::Arriving { .. } => {}
            other => panic!("no end of a fetch but {other:?}"),
        }
    }
}

async fn ends(node: &mut Node, wanted: Digest, how: FetchEnd) {
    assert_eq!(end(node, wanted).await, how);
}

/// Waits until so many bytes have passed.
async fn passes(relay: &Relay, bytes: u64) {
    while relay.passed().down < bytes {
        sleep(Duration::from_millis(1)).await;
    }
}

fn flip(path: &PathBuf, at: u64) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("ours");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("it is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("long enough");
    file.write_all_at(&[byte[0] ^ 1], at).expect("written");
}
