//! Two masters above one foreman, and foremen above and below foremen.

use muster_proto::machine::Side;
use muster_proto::outcome::{End, Report};
use muster_proto::wire::{Assign, CloseCode, Reports, Started};
use muster_proto::{Epoch, Role, TaskId};

use crate::play::{MASTER, OTHER, Play, digest_of, first, peer, ran, round};

#[test]
fn each_master_learns_of_its_own_tasks_only() {
    let mut play = Play::new();
    let (one, two) = (play.above("m1"), play.above("m2"));
    let worker = play.worker("w1", 2);
    play.assigns(one, (MASTER, 1), &[first(1)], &[]);
    play.assigns(two, (OTHER, 1), &[first(1)], &[]);
    assert_eq!(digest_of(&play.said(worker)).assigned, [first(1), first(1)]);
    play.brings(worker, first(1), &[]);
    assert_eq!(digest_of(&play.said(one)).ran, [first(1)]);
    assert_eq!(digest_of(&play.said(two)).ran, []);
    for (link, name) in [(one, "m1"), (two, "m2")] {
        play.leaves(link);
        let link = play.above(name);
        let said = digest_of(&play.said(link));
        let (ran, held) = if name == "m1" {
            (vec![first(1)], vec![])
        } else {
            (vec![], vec![first(1)])
        };
        assert_eq!((said.ran, said.held), (ran, held), "{name}");
    }
}

#[test]
fn a_master_has_no_say_in_the_tasks_of_another() {
    let mut play = Play::new();
    let (one, two) = (play.above("m1"), play.above("m2"));
    let worker = play.worker("w1", 2);
    play.assigns(one, (MASTER, 1), &[first(1), first(2)], &[]);
    play.brings(worker, first(1), &[]);
    play.said(worker);
    play.acks(two, MASTER, &[first(1)]);
    play.cancels(two, MASTER, &[first(1), first(2)]);
    assert_eq!(
        play.foreman.spool().results.len(),
        1,
        "the result waits for its own master"
    );
    assert_eq!(
        digest_of(&play.said(worker)).cancelled,
        [],
        "and the task that runs goes on"
    );
    play.acks(one, MASTER, &[first(1)]);
    assert_eq!(play.foreman.spool().results.len(), 0);
}

#[test]
fn a_foreman_below_is_no_superior() {
    let mut play = Play::new();
    let master = play.above("m1");
    let worker = play.worker("w1", 1);
    play.assigns(master, (MASTER, 1), &[first(1)], &[]);
    play.brings(worker, first(1), &[]);
    let below = play.arrives(&peer(Role::Foreman, "f2"), Side::Subordinate);
    play.acks(below, MASTER, &[first(1)]);
    assert_eq!(play.foreman.spool().results.len(), 1);
    play.hear(
        below,
        Assign {
            master: MASTER,
            epoch: Epoch(1),
            templates: Vec::new(),
            tasks: Vec::new(),
        },
    );
    play.cancels(below, MASTER, &[first(1)]);
    assert_eq!(
        play.closed,
        [(below, CloseCode::WrongRole), (below, CloseCode::WrongRole)]
    );
}

#[test]
fn foremen_stand_under_foremen_as_under_masters() {
    let mut play = Play::new();
    let above = play.arrives(&peer(Role::Foreman, "f0"), Side::Superior);
    let below = play.arrives(&peer(Role::Foreman, "f2"), Side::Subordinate);
    let shapes = vec![(muster_proto::Resources::cores(8), 10)];
    play.hear(
        below,
        muster_proto::wire::Offer {
            host: "f2".to_owned(),
            shapes: shapes.clone(),
        },
    );
    play.holds(below, &[]);
    play.tick();
    play.assigns(above, (MASTER, 3), &[(TaskId(1), round(3, 1))], &[]);
    assert_eq!(
        digest_of(&play.said(below)).assigned,
        [(TaskId(1), round(3, 1))],
        "with the master's own numbers"
    );
    play.brings(below, (TaskId(1), round(3, 1)), &[]);
    assert_eq!(digest_of(&play.said(above)).ran, [(TaskId(1), round(3, 1))]);
    assert_eq!(
        digest_of(&play.said(below)).acked,
        [(TaskId(1), round(3, 1))]
    );
    play.acks(above, MASTER, &[(TaskId(1), round(3, 1))]);
    assert!(play.foreman.is_idle());
}

#[test]
fn losses_of_and_news_about_what_another_holds_change_nothing() {
    let mut play = Play::new();
    let master = play.above("m1");
    let worker = play.worker("w1", 1);
    play.assigns(master, (MASTER, 1), &[first(1)], &[]);
    play.said(worker);
    play.said(master);
    let liar = play.worker("w2", 1);
    let (task, round) = first(1);
    let end = End::Lost(muster_proto::outcome::Loss::Evicted);
    play.hear(
        liar,
        Started {
            master: MASTER,
            attempts: vec![first(1)],
        },
    );
    play.hear(
        liar,
        Reports {
            master: MASTER,
            reports: vec![Report { task, round, end }],
        },
    );
    play.tick();
    assert_eq!(digest_of(&play.said(master)).lost, []);
    play.brings(worker, first(1), &[]);
    assert_eq!(digest_of(&play.said(master)).ran, [first(1)]);
    assert_eq!(ran(Ok(()), &[]).worker, "w1");
}
