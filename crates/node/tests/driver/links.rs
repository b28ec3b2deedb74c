//! Links: greeting, frames, gates, and how they end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use muster_node::driver::Log;
use muster_node::endpoint::{Ending, Kind};
use muster_proto::machine::{Gate, Input, Output, Side};
use muster_proto::task::{Command, Policy, Template};
use muster_proto::wire::{
    CloseCode, Frame, Hello, LinkStatus, Refusal, StatusReply, Submit, Submitted, TaskCounts,
};
use muster_proto::{LinkId, Lsn, Resources, Role};
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, span};

use super::toy::{Fact, Node, Plan, World, anywhere, down, encoded, heavy, up};

#[tokio::test]
async fn frames_go_both_ways_between_link_up_and_link_down() {
    let world = World::new();
    let mut master = world.master();
    let mut worker = world.worker("w", &master);
    let (to_worker, peer, side) = master.hears_up().await;
    assert_eq!((&peer, side), (&worker.peer, Side::Subordinate));
    let (to_master, peer, side) = worker.hears_up().await;
    assert_eq!((&peer, side), (&master.peer, Side::Superior));

    for n in 0..1_000 {
        master.sends(to_worker, down(n)).await;
        worker.sends(to_master, up(n)).await;
    }
    for n in 0..1_000 {
        assert_eq!(worker.hears_frame(to_master).await, down(n));
        assert_eq!(master.hears_frame(to_worker).await, up(n));
    }
    worker.sends(to_master, up(1_000)).await;
    worker.stop().await;
    assert_eq!(
        master.hears_frame(to_worker).await,
        up(1_000),
        "leaving loses nothing"
    );
    master.hears_down(to_worker).await;
    master.stop().await;
}

#[tokio::test]
async fn a_gated_frame_leaves_only_when_its_record_is_durable() {
    let world = World::new();
    let (mut master, permit, wrote) = stalled(&world);
    let mut worker = world.worker("w", &master);
    let (to_worker, ..) = master.hears_up().await;
    let (to_master, ..) = worker.hears_up().await;
    let send = |n, gate| Output::Send {
        link: to_worker,
        frame: down(n),
        gate,
    };
    master
        .does(vec![
            Output::Record(Fact(7)),
            Output::Record(Fact(8)),
            send(2, Gate::Durable(Lsn(2))),
            send(1, Gate::Durable(Lsn(1))),
            send(0, Gate::Now),
        ])
        .await;
    assert_eq!(worker.hears_frame(to_master).await, down(0));
    // A disk that refuses and is asked again is no reason to let anything out.
    permit
        .send(Err("the disk is full".to_owned()))
        .expect("a journal");
    master.sends(to_worker, down(9)).await;
    assert_eq!(
        worker.hears_frame(to_master).await,
        down(9),
        "others are not held up"
    );
    while notes(&master, &mut worker, (to_worker, to_master)).await == 0 {}
    permit.send(Ok(())).expect("a journal");
    assert_eq!(worker.hears_frame(to_master).await, down(1));
    assert_eq!(worker.hears_frame(to_master).await, down(2));
    assert_eq!(
        wrote.recv(),
        Ok(vec![7, 8]),
        "once, though the disk was asked twice"
    );
    master.stop().await;
}

/// M6: no submit succeeds while nothing can be written; one that was taken before is not refused when it is said again.
#[tokio::test]
async fn a_submit_is_refused_at_once_while_the_disk_refuses() {
    let world = World::new();
    let (mut master, permit, _wrote) = stalled(&world);
    let mut worker = world.worker("w", &master);
    let (to_worker, ..) = master.hears_up().await;
    let (to_master, ..) = worker.hears_up().await;
    let mut user = world.raw(Role::User, "u", &master).await;
    let (to_user, ..) = master.hears_up().await;
    // Recorded, and then the disk is full.
    user.sends(&encoded(&submit(1))).await;
    assert_eq!(master.hears_frame(to_user).await, submit(1));
    master.does(vec![Output::Record(Fact(7))]).await;
    user.sends(&encoded(&submit(2))).await;
    assert_eq!(master.hears_frame(to_user).await, submit(2));
    permit
        .send(Err("the disk is full".to_owned()))
        .expect("a journal");
    while notes(&master, &mut worker, (to_worker, to_master)).await == 0 {}
    user.sends(&encoded(&submit(3))).await;
    let refused = Submitted {
        sequence: 3,
        result: Err(Refusal::NoSpace),
    };
    assert_eq!(user.frame().await, Frame::from(refused));
    user.sends(&encoded(&submit(2))).await;
    assert_eq!(
        master.hears_frame(to_user).await,
        submit(2),
        "the brain has it, and may not deny it"
    );
    permit.send(Ok(())).expect("a journal");
    while notes(&master, &mut worker, (to_worker, to_master)).await > 0 {}
    user.sends(&encoded(&submit(3))).await;
    assert_eq!(master.hears_frame(to_user).await, submit(3));
    master.stop().await;
}

fn submit(sequence: u64) -> Frame {
    Frame::from(Submit {
        session: 1,
        sequence,
        template: Arc::new(template()),
        tasks: Vec::new(),
    })
}

fn template() -> Template {
    Template {
        command: Command::Noop,
        environment: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        resources: Resources::cores(1),
        policy: Policy::default(),
        category: "t".to_owned(),
    }
}

#[tokio::test]
async fn a_newer_link_of_the_same_peer_takes_the_place_of_the_older() {
    let world = World::new();
    let mut master = world.master();
    let first = world.raw(Role::Worker, "w", &master).await;
    let (old, ..) = master.hears_up().await;
    let mut second = world.raw(Role::Worker, "w", &master).await;
    master.hears_down(old).await;
    let (new, ..) = master.hears_up().await;
    assert_ne!(old, new);
    assert_eq!(
        first.link.closed().await,
        Ending::Closed(CloseCode::Superseded)
    );

    master.sends(new, down(1)).await;
    assert_eq!(second.frame().await, down(1));
    second.sends(&encoded(&up(1))).await;
    assert_eq!(master.hears_frame(new).await, up(1));
}

#[tokio::test]
async fn commands_of_one_user_stand_side_by_side() {
    let world = World::new();
    let mut master = world.master();
    let mut first = world.raw(Role::User, "u", &master).await;
    let (one, _, side) = master.hears_up().await;
    assert_eq!(side, Side::User);
    let _second = world.raw(Role::User, "u", &master).await;
    let (two, ..) = master.hears_up().await;
    assert_ne!(one, two);
    master.sends(one, down(1)).await;
    assert_eq!(first.frame().await, down(1));
}

#[tokio::test]
async fn a_subordinate_comes_back_when_its_superior_does() {
    let world = World::new();
    let mut master = world.master();
    let address = master.address;
    let mut worker = world.worker("w", &master);
    for n in 0..2 {
        let (to_worker, ..) = master.hears_up().await;
        let (to_master, ..) = worker.hears_up().await;
        master.sends(to_worker, down(n)).await;
        assert_eq!(worker.hears_frame(to_master).await, down(n));
        master.stop().await;
        worker.hears_down(to_master).await;
        master = world.node(
            Role::Master,
            "m",
            Plan {
                listens_at: address,
                ..Plan::default()
            },
        );
    }
}

#[tokio::test]
async fn who_breaks_the_rules_is_closed_with_one_line_and_others_live_on() {
    let warnings = Arc::new(AtomicUsize::new(0));
    let _guard = tracing::subscriber::set_default(Counter(Arc::clone(&warnings)));
    let world = World::new();
    let mut master = world.master();
    let mut good = world.raw(Role::Worker, "good", &master).await;
    let (good_link, ..) = master.hears_up().await;

    let mut long = encoded(&up(1));
    long[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut unknown = encoded(&up(1));
    unknown[4..6].copy_from_slice(&999_u16.to_le_bytes());
    let mut left_over = encoded(&up(1));
    left_over.push(0);
    left_over[0] += 1;
    let hello = Hello {
        oldest: 1,
        newest: 1,
        release: "again".into(),
    };
    let cases = [
        ("long", long),
        ("unknown", unknown),
        ("left-over", left_over),
        ("not-allowed", encoded(&down(1))),
        ("greets-twice", encoded(&hello.into())),
    ];
    for (number, (name, bytes)) in cases.into_iter().enumerate() {
        let mut bad = world.raw(Role::Worker, name, &master).await;
        let (link, ..) = master.hears_up().await;
        bad.sends(&encoded(&up(5))).await;
        assert_eq!(master.hears_frame(link).await, up(5), "{name}");
        bad.sends(&bytes).await;
        master.hears_down(link).await;
        assert_eq!(
            bad.link.closed().await,
            Ending::Closed(CloseCode::Protocol),
            "{name}"
        );
        assert_eq!(warnings.load(Ordering::Relaxed), number + 1, "{name}");
    }
    good.sends(&encoded(&up(6))).await;
    assert_eq!(master.hears_frame(good_link).await, up(6));
}

#[tokio::test]
async fn versions_that_do_not_overlap_are_a_refusal_on_both_sides() {
    let world = World::new();
    let mut master = world.master();
    for (oldest, newest) in [(0, 0), (2, 9)] {
        let link = world.dial(Role::Worker, "w", &master, Kind::Control).await;
        let (mut sending, _receiving) = link.open().await.expect("a stream");
        let release = "another".to_owned();
        let hello = Hello {
            oldest,
            newest,
            release,
        };
        sending
            .write_all(&encoded(&hello.into()))
            .await
            .expect("written");
        assert_eq!(link.closed().await, Ending::Closed(CloseCode::Version));
    }
    // The machine has heard of none of them.
    world.raw(Role::Worker, "good", &master).await;
    assert_eq!(master.hears_up().await.1.name, "good");
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed_and_others_live_on() {
    let world = World::new();
    let mut master = world.master();
    let slow = world.raw(Role::Worker, "slow", &master).await;
    let (slow_link, ..) = master.hears_up().await;
    let mut good = world.raw(Role::Worker, "good", &master).await;
    let (good_link, ..) = master.hears_up().await;
    for n in 0..80 {
        master.sends(slow_link, heavy()).await;
        master.sends(good_link, down(n)).await;
        assert_eq!(good.frame().await, down(n));
    }
    master.hears_down(slow_link).await;
    assert_eq!(slow.link.closed().await, Ending::Closed(CloseCode::Slow));
    master.sends(good_link, down(80)).await;
    assert_eq!(good.frame().await, down(80));
}

#[tokio::test]
async fn a_link_that_is_closed_gets_what_was_said_before() {
    let world = World::new();
    let mut master = world.master();
    let mut raw = world.raw(Role::User, "u", &master).await;
    let (link, ..) = master.hears_up().await;
    let gate = Gate::Now;
    let mut deeds: Vec<_> = (0..3)
        .map(|_| Output::Send {
            link,
            frame: heavy(),
            gate,
        })
        .collect();
    let code = CloseCode::Done;
    deeds.push(Output::Close { link, code });
    master.does(deeds).await;
    master.hears_down(link).await;
    for _ in 0..3 {
        assert_eq!(raw.frame().await, heavy());
    }
    assert_eq!(raw.link.closed().await, Ending::Closed(CloseCode::Done));
}

#[tokio::test]
async fn the_driver_fills_in_what_a_brain_cannot_know() {
    let world = World::new();
    let mut master = world.master();
    let worker = world.worker("w", &master);
    master.hears_up().await;
    let mut user = world.raw(Role::User, "u", &master).await;
    let (to_user, ..) = master.hears_up().await;
    let reply = StatusReply {
        tasks: TaskCounts::default(),
        links: vec![LinkStatus {
            is_below: true,
            peer: worker.peer.clone(),
            slots: 1,
            leased: 0,
            sent_bytes: 0,
            received_bytes: 0,
            rtt_us: 0,
        }],
        ..StatusReply::default()
    };
    master.sends(to_user, reply.into()).await;
    let Frame::StatusReply(reply) = user.frame().await else {
        panic!("no status");
    };
    assert!(reply.rss_bytes > 1 << 20);
    let link = &reply.links[0];
    assert!(
        link.sent_bytes > 1_000 && link.received_bytes > 1_000 && link.rtt_us > 0,
        "{link:?}"
    );
    assert!(matches!(reply.notes[..], []));
}

#[tokio::test]
async fn a_fetch_from_a_link_that_is_gone_ends() {
    let world = World::new();
    let mut master = world.master();
    let raw = world.raw(Role::Worker, "w", &master).await;
    let (link, ..) = master.hears_up().await;
    let digest = muster_proto::Digest([1; 32]);
    // The peer has no bulk connection, so the fetch is under way when the link ends.
    master
        .does(vec![Output::Fetch {
            link,
            digest,
            bytes: 1,
        }])
        .await;
    raw.link.close(CloseCode::Done);
    let heard = master.hears().await;
    assert!(
        matches!(heard, Input::Fetched { digest: ended, .. } if ended == digest),
        "{heard:?}"
    );
    master.hears_down(link).await;
}

/// How many notes a status of `master` has that is sent to `worker`.
async fn notes(master: &Node, worker: &mut Node, (down, up): (LinkId, LinkId)) -> usize {
    master.sends(down, StatusReply::default().into()).await;
    match worker.hears_frame(up).await {
        Frame::StatusReply(reply) => reply.notes.len(),
        other => panic!("no status but {other:?}"),
    }
}

/// A master whose disk does what it is permitted to, who permits it, and what it has written.
fn stalled(world: &World) -> (Node, mpsc::Sender<Permit>, mpsc::Receiver<Vec<u8>>) {
    let (permit, permits) = mpsc::channel();
    let (written, wrote) = mpsc::channel();
    let plan = Plan {
        listens_at: Some(anywhere()),
        log: Some(Box::new(Stalled {
            batch: Vec::new(),
            permits,
            written,
        })),
        ..Plan::default()
    };
    (world.node(Role::Master, "m", plan), permit, wrote)
}

/// What becomes of one commit.
type Permit = Result<(), String>;

/// A disk that does nothing until it is permitted to.
struct Stalled {
    batch: Vec<u8>,
    permits: mpsc::Receiver<Permit>,
    written: mpsc::Sender<Vec<u8>>,
}

impl Log for Stalled {
    fn append(&mut self, record: &[u8]) {
        self.batch.extend_from_slice(record);
    }

    fn commit(&mut self) -> Result<(), String> {
        self.permits.recv().unwrap_or(Ok(()))?;
        self.written.send(std::mem::take(&mut self.batch)).ok();
        Ok(())
    }

    fn rewrite(&mut self, _: Vec<Vec<u8>>) -> Result<Lsn, String> {
        Err("nothing here is ever rewritten".to_owned())
    }
}

/// Counts warnings.
struct Counter(Arc<AtomicUsize>);

impl tracing::Subscriber for Counter {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("muster")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
