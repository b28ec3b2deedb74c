//! A user's command against a master that comes and goes.

use std::fs;
use std::time::Duration;

use muster_node::client::{Client, ClientError, Master, Target, Watching};
use muster_node::endpoint::DialError;
use muster_proto::limits::{BATCH_MAX, BODY_BYTES_MAX};
use muster_proto::outcome::{Failure, Outcome, Verdict};
use muster_proto::task::{Command, FileRef, Policy, TaskBody, Template, Words};
use muster_proto::wire::{
    Cancelled, Delivered, Explained, Frame, Outcomes, Refusal, StatusReply, Subject, Submit,
    Submitted,
};
use muster_proto::{LinkId, RelPath, Resources, Role, TaskId};

use super::toy::{Node, Plan, World, anywhere, digest_of, hold, pattern};

#[tokio::test]
async fn a_submit_is_cut_into_frames_and_its_tasks_stay_in_order() {
    let world = World::new();
    let mut master = world.master();
    let client = connect(&world, &master).await;
    let (link, ..) = master.hears_up().await;
    let alike = template();
    let tasks: Vec<TaskBody> = (0..BATCH_MAX + 1).map(task).collect();
    let serve = async {
        let mut taken = Vec::new();
        for sequence in 1..=2 {
            let submit = hear_submit(&mut master, link).await;
            assert_eq!(submit.sequence, sequence);
            let first = TaskId(1 + taken.len() as u64);
            let count = submit.tasks.len() as u32;
            taken.extend(submit.tasks);
            answer(&master, link, sequence, Ok((first, count))).await;
        }
        taken
    };
    let (ranges, taken) = tokio::join!(client.submit(&alike, tasks.clone()), serve);
    assert_eq!(
        ranges.expect("taken"),
        [(TaskId(1), TaskId(BATCH_MAX as u64 + 1))]
    );
    assert_eq!(taken, tasks);

    let serve = async {
        let submit = hear_submit(&mut master, link).await;
        answer(&master, link, submit.sequence, Err(Refusal::NoSpace)).await;
    };
    let (refused, ()) = tokio::join!(client.submit(&alike, vec![task(1)]), serve);
    assert!(matches!(
        refused,
        Err(ClientError::NotTaken(Refusal::NoSpace))
    ));

    let mut fat = template();
    fat.environment = vec![("X".into(), "x".repeat(BODY_BYTES_MAX))];
    let refused = client.submit(&fat, vec![task(1)]).await;
    assert!(matches!(refused, Err(ClientError::TooLarge { .. })));
}

#[tokio::test]
async fn a_submit_that_a_crash_cut_off_is_said_again_with_its_number() {
    let world = World::new();
    let mut master = world.master();
    let client = connect(&world, &master).await;
    let (link, ..) = master.hears_up().await;
    let alike = template();
    let crash = async {
        let first = hear_submit(&mut master, link).await;
        let mut master = restart(&world, master).await;
        let (link, ..) = master.hears_up().await;
        let second = hear_submit(&mut master, link).await;
        assert_eq!(first, second);
        answer(&master, link, second.sequence, Ok((TaskId(5), 1))).await;
        master
    };
    let (ranges, _master) = tokio::join!(client.submit(&alike, vec![task(1)]), crash);
    assert_eq!(ranges.expect("taken"), [(TaskId(5), TaskId(5))]);
}

#[tokio::test]
async fn an_outcome_is_handed_over_once_however_often_the_master_restarts() {
    let world = World::new();
    let mut master = world.master();
    let client = connect(&world, &master).await;
    let (link, ..) = master.hears_up().await;
    let all = vec![(TaskId(1), TaskId(3))];
    let mut watching = client.watch(all.clone()).await.expect("a watch");
    hear_watch(&mut master, link, &all).await;
    send_outcomes(&master, link, &[1, 2], 1).await;
    assert_eq!(next(&mut watching).await, ([1, 2].to_vec(), 1));
    client.delivered(&[TaskId(1)]).await.expect("said");
    assert_eq!(hear_delivered(&mut master, link).await, [TaskId(1)]);

    // The master lost what it was told last, and says all it knows again.
    let mut master = restart(&world, master).await;
    let (link, ..) = master.hears_up().await;
    hear_watch(&mut master, link, &all).await;
    send_outcomes(&master, link, &[1, 2, 3], 0).await;
    assert_eq!(next(&mut watching).await, ([3].to_vec(), 0));
    assert_eq!(
        hear_delivered(&mut master, link).await,
        [TaskId(1)],
        "said again"
    );

    let replaced = client.watch(vec![]).await.expect("a watch");
    hear_watch(&mut master, link, &[]).await;
    assert!(
        matches!(watching.next().await, Ok(None)),
        "another watch took its place"
    );
    drop(replaced);
}

#[tokio::test]
async fn questions_have_answers() {
    let world = World::new();
    let mut master = world.master();
    let client = connect(&world, &master).await;
    let (link, ..) = master.hears_up().await;
    let serve = async {
        for _ in 0..3 {
            let reply: Frame = match master.hears_frame(link).await {
                Frame::CancelTasks(cancel) => Cancelled {
                    count: cancel.ranges.len() as u64,
                }
                .into(),
                Frame::Status(_) => StatusReply {
                    epoch: 7,
                    ..StatusReply::default()
                }
                .into(),
                Frame::Explain(explain) => Explained {
                    lines: vec![format!("{:?}", explain.subject)],
                }
                .into(),
                other => panic!("no question but {other:?}"),
            };
            master.sends(link, reply).await;
        }
    };
    let ranges = vec![(TaskId(1), TaskId(1)), (TaskId(5), TaskId(9))];
    let (cancelled, status, story, ()) = tokio::join!(
        client.cancel(ranges),
        client.status(),
        client.explain(Subject::Task(TaskId(4))),
        serve
    );
    assert_eq!(cancelled.expect("an answer"), 2);
    assert_eq!(status.expect("an answer").epoch, 7);
    assert_eq!(story.expect("an answer"), ["Task(TaskId(4))"]);
    client.delivered(&[TaskId(1)]).await.expect("said");
    client.close().await;
    assert_eq!(
        hear_delivered(&mut master, link).await,
        [TaskId(1)],
        "closing loses nothing"
    );
    master.hears_down(link).await;
}

#[tokio::test]
async fn files_go_up_and_come_back_under_their_names() {
    let world = World::new();
    let master = world.master();
    let outputs: Vec<Vec<u8>> = (0..300)
        .map(|n| pattern(n, n * 1_000))
        .chain([pattern(9, 5 << 20)])
        .collect();
    let targets: Vec<Target> = (0..)
        .zip(&outputs)
        .map(|(n, bytes)| target(&master, n, bytes))
        .collect();
    let client = connect(&world, &master).await;
    let dir = world.dir.path().join("user");
    fs::create_dir_all(&dir).expect("a directory");
    let mut files = Vec::new();
    for (seed, length) in [(1, 0), (2, 10), (3, 1 << 20), (4, 3 << 20), (5, 700_000)] {
        let path = dir.join(format!("in-{seed}"));
        fs::write(&path, pattern(seed, length)).expect("written");
        files.push((digest_of(&pattern(seed, length)), path));
    }
    client.put_files(&files).await.expect("sent");
    for (digest, _) in &files {
        assert!(master.store.verify(*digest).expect("there"));
    }

    let changed = dir.join("changed");
    fs::write(&changed, "what it is now").expect("written");
    let wrong = [(digest_of(b"what it was then"), changed.clone())];
    let refused = client.put_files(&wrong).await;
    assert!(matches!(refused, Err(ClientError::InputChanged { path }) if path == changed));
    assert_eq!(master.store.contains(wrong[0].0), None);

    // The results come from a master that was restarted in the meantime.
    let _master = restart(&world, master).await;
    client.get_files(&dir, &targets).await.expect("brought");
    for (target, bytes) in targets.iter().zip(&outputs) {
        assert!(
            fs::read(dir.join(target.name.as_str())).expect("a file") == *bytes,
            "{}",
            target.name
        );
    }

    let absent = Target {
        name: RelPath::new("absent").expect("a name"),
        file: FileRef {
            digest: digest_of(b"absent"),
            bytes: 6,
        },
        executable: false,
    };
    let refused = client.get_files(&dir, &[absent]).await;
    assert!(matches!(refused, Err(ClientError::Absent { .. })));
    assert!(!dir.join("absent").exists());
}

#[tokio::test]
async fn who_is_no_master_is_given_up_at_once() {
    let world = World::new();
    let plan = Plan {
        listens_at: Some(anywhere()),
        ..Plan::default()
    };
    let foreman = world.node(Role::Foreman, "f", plan);
    let refused = Client::connect(master_at(&world, &foreman)).await;
    let Err(ClientError::Unreachable { why, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(matches!(*why, DialError::Denied { .. }), "{why}");
}

/// A file of the master's store, to be brought back under a name of its own.
fn target(master: &Node, n: usize, bytes: &[u8]) -> Target {
    let digest = hold(&master.store, bytes);
    Target {
        name: RelPath::new(&format!("results/{}/{n}", n % 7)).expect("a name"),
        file: FileRef {
            digest,
            bytes: bytes.len() as u64,
        },
        executable: n.is_multiple_of(2),
    }
}

fn master_at(world: &World, node: &Node) -> Master {
    Master {
        address: node.address.expect("it listens"),
        credentials: world.credentials(Role::User, "u"),
        patience: Duration::from_secs(60),
    }
}

async fn connect(world: &World, master: &Node) -> Client {
    let connected = Client::connect(master_at(world, master)).await;
    connected.expect("a client")
}

/// Stops `master`, and starts it again where it was with the store it had.
async fn restart(world: &World, master: Node) -> Node {
    let address = master.address;
    master.stop().await;
    let plan = Plan {
        listens_at: address,
        ..Plan::default()
    };
    world.node(Role::Master, "m", plan)
}

async fn hear_submit(master: &mut Node, link: LinkId) -> Submit {
    match master.hears_frame(link).await {
        Frame::Submit(submit) => submit,
        other => panic!("no submit but {other:?}"),
    }
}

async fn hear_watch(master: &mut Node, link: LinkId, ranges: &[(TaskId, TaskId)]) {
    match master.hears_frame(link).await {
        Frame::Watch(watch) => assert_eq!(watch.ranges, ranges),
        other => panic!("no watch but {other:?}"),
    }
}

async fn hear_delivered(master: &mut Node, link: LinkId) -> Vec<TaskId> {
    match master.hears_frame(link).await {
        Frame::Delivered(Delivered { tasks }) => tasks,
        other => panic!("no delivery but {other:?}"),
    }
}

async fn answer(
    master: &Node,
    link: LinkId,
    sequence: u64,
    result: Result<(TaskId, u32), Refusal>,
) {
    let submitted = Submitted { sequence, result };
    master.sends(link, submitted.into()).await;
}

async fn send_outcomes(master: &Node, link: LinkId, tasks: &[u64], open: u64) {
    let outcome = |task: &u64| Outcome {
        task: TaskId(*task),
        verdict: Verdict::GivenUp(Failure::LostTooOften),
        attempts: 1,
        site: std::sync::Arc::default(),
    };
    let outcomes = tasks.iter().map(outcome).collect();
    master.sends(link, Outcomes { outcomes, open }.into()).await;
}

/// The tasks whose outcomes come next, and how many are open.
async fn next(watching: &mut Watching) -> (Vec<u64>, u64) {
    let outcomes = watching
        .next()
        .await
        .expect("a master")
        .expect("the watch stands");
    let tasks = outcomes.outcomes.iter().map(|outcome| outcome.task.0);
    (tasks.collect(), outcomes.open)
}

fn template() -> Template {
    Template {
        command: Command::Noop,
        environment: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        resources: Resources::default(),
        policy: Policy::default(),
        category: "toys".into(),
    }
}

fn task(number: usize) -> TaskBody {
    TaskBody {
        words: Words::new(&["task", &number.to_string()]).expect("words"),
        ..TaskBody::default()
    }
}
