//! Links that come and go, and what subordinates are believed to hold.

use muster_proto::limits::{FOREMAN_GRACE, WORKER_GRACE};
use muster_proto::machine::{Input, Side};
use muster_proto::outcome::Loss;
use muster_proto::wire::{Assign, CloseCode, Frame};
use muster_proto::{Epoch, LinkId, Role, Span, TaskId};

use crate::play::{MASTER, Play, cancelled, peer, round, template};

#[test]
fn nothing_is_leased_before_the_inventory() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let worker = play.arrives(&peer(Role::Worker, "w1"));
    play.offers(worker, 1);
    assert_eq!(play.assigned(worker), []);
    play.holds(worker, &[]);
    assert_eq!(play.assigned(worker), [(TaskId(1), round(1, 1))]);
}

#[test]
fn a_link_that_is_back_within_its_grace_costs_nothing() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let who = peer(Role::Worker, "w1");
    let worker = play.worker("w1", 1);
    let attempt = play.assigned(worker)[0];
    play.leaves(worker);
    play.pass(Span(WORKER_GRACE.0 - 1));
    let other = play.worker("w2", 1);
    assert_eq!(play.assigned(other), [], "its task is not leased again");
    let worker = play.arrives(&who);
    play.offers(worker, 1);
    play.holds(worker, &[attempt]);
    play.pass(FOREMAN_GRACE);
    assert_eq!(cancelled(&play.said(worker)), []);
    play.done(worker, attempt);
    assert_eq!(play.outcomes().len(), 1);
    assert_eq!(play.counts().attempts, 1);
}

#[test]
fn beyond_the_grace_the_task_is_leased_elsewhere() {
    for (role, grace) in [(Role::Worker, WORKER_GRACE), (Role::Foreman, FOREMAN_GRACE)] {
        let mut play = Play::new();
        play.queued(template(0), 1);
        let first = play.arrives(&peer(role, "first"));
        play.offers(first, 1);
        play.holds(first, &[]);
        let early = play.assigned(first)[0];
        play.leaves(first);
        let second = play.worker("second", 1);
        play.pass(Span(grace.0 - 1));
        assert_eq!(play.assigned(second), [], "{role} is in its grace");
        play.pass(Span(1));
        assert_eq!(play.assigned(second), [(TaskId(1), round(1, 2))], "{role}");
        let back = play.arrives(&peer(role, "first"));
        play.holds(back, &[early]);
        play.tick();
        assert_eq!(
            cancelled(&play.said(back)),
            [early],
            "who comes too late is told to stop"
        );
        assert_eq!(play.status().losses, [("link".to_owned(), 1)]);
    }
}

#[test]
fn an_inventory_that_does_not_list_a_lease_has_lost_it() {
    let mut play = Play::new();
    play.queued(template(0), 2);
    let worker = play.worker("w1", 2);
    let attempts = play.assigned(worker);
    play.leaves(worker);
    let worker = play.arrives(&peer(Role::Worker, "w1"));
    play.offers(worker, 2);
    play.holds(worker, &attempts[..1]);
    assert_eq!(play.assigned(worker), [(TaskId(2), round(1, 2))]);
    assert_eq!(play.status().losses, [("forgotten".to_owned(), 1)]);
}

#[test]
fn an_unsettled_inventory_loses_nothing_until_it_is_settled() {
    let mut play = Play::new();
    play.queued(template(0), 2);
    let who = peer(Role::Foreman, "f1");
    let foreman = play.arrives(&who);
    play.offers(foreman, 2);
    play.holds(foreman, &[]);
    let attempts = play.assigned(foreman);
    play.leaves(foreman);
    let foreman = play.arrives(&who);
    play.offers(foreman, 2);
    play.inventory(foreman, &[], false);
    play.tick();
    assert_eq!(play.status().losses, []);
    play.holds(foreman, &attempts[1..]);
    assert_eq!(play.assigned(foreman), [(attempts[0].0, round(1, 2))]);
    assert_eq!(play.status().losses, [("forgotten".to_owned(), 1)]);
}

#[test]
fn an_attempt_that_nobody_made_is_not_adopted() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let worker = play.arrives(&peer(Role::Worker, "w1"));
    play.offers(worker, 1);
    let made_up = [
        (TaskId(1), round(1, 1)),
        (TaskId(1), round(9, 1)),
        (TaskId(5), round(1, 1)),
    ];
    play.holds(worker, &made_up);
    play.tick();
    let said = play.said(worker);
    assert_eq!(cancelled(&said), made_up);
    assert!(
        said.iter().any(|frame| matches!(frame, Frame::Assign(_))),
        "the task is handed out as any"
    );
}

#[test]
fn losses_and_results_of_tasks_that_another_holds_change_nothing() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let worker = play.worker("w1", 1);
    let attempt = play.assigned(worker)[0];
    let liar = play.worker("w2", 1);
    play.lost(liar, attempt, Loss::Evicted);
    assert_eq!(play.counts().leased, 1);
    assert_eq!(play.status().losses, []);
}

#[test]
fn a_template_crosses_each_link_once() {
    let mut play = Play::new();
    play.queued(template(0), 4);
    let worker = play.worker("w1", 1);
    let mut templates = 0;
    for _ in 0..4 {
        play.tick();
        for frame in play.said(worker) {
            if let Frame::Assign(assign) = frame {
                templates += assign.templates.len();
                for task in assign.tasks {
                    play.hear(
                        worker,
                        muster_proto::wire::Reports {
                            master: MASTER,
                            reports: vec![muster_proto::outcome::Report {
                                task: task.task,
                                round: task.round,
                                end: muster_proto::outcome::End::Ran(crate::play::ran(Ok(()), &[])),
                            }],
                        },
                    );
                }
            }
        }
    }
    play.tick();
    assert_eq!((templates, play.outcomes().len()), (1, 4));
}

#[test]
fn who_has_no_business_here_is_sent_away() {
    let mut play = Play::new();
    play.input(Input::LinkUp {
        link: LinkId(90),
        peer: peer(Role::Master, "m2"),
        side: Side::Superior,
    });
    let worker = play.worker("w1", 1);
    let assign = Assign {
        master: MASTER,
        epoch: Epoch(1),
        templates: Vec::new(),
        tasks: Vec::new(),
    };
    play.hear(worker, assign);
    assert_eq!(
        play.closed,
        [
            (LinkId(90), CloseCode::WrongRole),
            (worker, CloseCode::Protocol)
        ]
    );
}
