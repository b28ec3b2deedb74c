//! A master dies and starts again on its journal: nothing that was promised is gone, nothing that runs runs again.

use muster_master::Event;
use muster_proto::limits::FOREMAN_GRACE;
use muster_proto::wire::Frame;
use muster_proto::{Role, TaskId};

use crate::play::{Play, acked, cancelled, peer, round, template};

/// Two tasks: the first is leased to foreman f1, and the master dies.
fn interrupted() -> (Play, (TaskId, muster_proto::Try)) {
    let mut play = Play::new();
    play.queued(template(1), 2);
    let foreman = play.arrives(&peer(Role::Foreman, "f1"));
    play.offers(foreman, 1);
    play.holds(foreman, &[]);
    let attempt = play.assigned(foreman)[0];
    assert_eq!(attempt, (TaskId(1), round(1, 1)));
    (play.restart(), attempt)
}

#[test]
fn a_restart_has_the_same_queue_under_the_next_epoch() {
    let (mut play, _) = interrupted();
    let opened = play.journal.iter().filter_map(|event| match event {
        Event::Opened(opened) => Some((opened.master, opened.epoch.0)),
        _ => None,
    });
    assert_eq!(
        opened.collect::<Vec<_>>(),
        [(crate::play::MASTER, 1), (crate::play::MASTER, 2)]
    );
    assert_eq!((play.counts().submitted, play.counts().waiting), (2, 2));
    assert_eq!(play.status().epoch, 2);
}

#[test]
fn what_a_subordinate_still_runs_is_adopted_and_not_leased_again() {
    let (mut play, attempt) = interrupted();
    let foreman = play.arrives(&peer(Role::Foreman, "f1"));
    play.offers(foreman, 2);
    play.holds(foreman, &[attempt]);
    assert_eq!(
        play.assigned(foreman),
        [(TaskId(2), round(2, 1))],
        "only what nobody holds"
    );
    play.pass(FOREMAN_GRACE);
    play.done(foreman, attempt);
    let outcome = play.outcomes()[0];
    assert_eq!((outcome.task, &*outcome.site), (TaskId(1), "campus"));
    assert_eq!(cancelled(&play.said(foreman)), []);
}

#[test]
fn while_a_lessee_is_awaited_its_tasks_wait_and_new_ones_do_not() {
    let (mut play, attempt) = interrupted();
    let worker = play.worker("w1", 8);
    assert_eq!(play.assigned(worker), []);
    assert_eq!(
        play.status().notes.len(),
        1,
        "the status says what is waited for"
    );
    play.queued(template(0), 1);
    assert_eq!(play.assigned(worker), [(TaskId(3), round(2, 1))]);
    let foreman = play.arrives(&peer(Role::Foreman, "f1"));
    play.offers(foreman, 1);
    play.holds(foreman, &[attempt]);
    assert_eq!(
        play.assigned(worker),
        [(TaskId(2), round(2, 1))],
        "all is known, so the rest goes out at once"
    );
    assert_eq!(play.status().notes, Vec::<String>::new());
}

#[test]
fn a_lessee_that_never_comes_is_awaited_once() {
    let (mut play, _) = interrupted();
    let worker = play.worker("w1", 8);
    play.pass(FOREMAN_GRACE);
    assert_eq!(play.assigned(worker).len(), 2);
    assert!(
        play.journal
            .contains(&Event::Cleared(peer(Role::Foreman, "f1")))
    );
    let mut play = play.restart();
    let again = play.arrives(&peer(Role::Worker, "w1"));
    play.offers(again, 8);
    play.holds(again, &[]);
    assert_eq!(
        play.assigned(again).len(),
        2,
        "the next start waits for w1 alone"
    );
}

#[test]
fn a_result_held_for_the_dead_master_comes_and_counts() {
    let (mut play, attempt) = interrupted();
    let foreman = play.arrives(&peer(Role::Foreman, "f1"));
    play.offers(foreman, 1);
    play.done(foreman, attempt);
    play.holds(foreman, &[]);
    play.tick();
    assert_eq!(play.outcomes().len(), 1);
    let said = play.said(foreman);
    assert_eq!(acked(&said), [attempt]);
    assert_eq!(play.status().losses, []);
}

#[test]
fn a_failure_of_an_earlier_epoch_is_tried_again_as_the_policy_says() {
    let (mut play, attempt) = interrupted();
    let foreman = play.arrives(&peer(Role::Foreman, "f1"));
    play.offers(foreman, 2);
    play.failed(foreman, attempt);
    play.holds(foreman, &[]);
    let mut assigned = play.assigned(foreman);
    assigned.sort_unstable();
    assert_eq!(
        assigned,
        [(TaskId(1), round(2, 1)), (TaskId(2), round(2, 1))]
    );
}

#[test]
fn who_comes_after_its_tasks_were_leased_again_is_told_to_stop() {
    let (mut play, attempt) = interrupted();
    let worker = play.worker("w1", 2);
    play.pass(FOREMAN_GRACE);
    assert_eq!(play.assigned(worker).len(), 2);
    let foreman = play.arrives(&peer(Role::Foreman, "f1"));
    play.holds(foreman, &[attempt]);
    play.tick();
    assert_eq!(cancelled(&play.said(foreman)), [attempt]);
    play.done(foreman, attempt);
    assert_eq!(
        play.outcomes().len(),
        1,
        "but if it has run nevertheless, the first result counts"
    );
    assert_eq!(cancelled(&play.said(worker)), [(TaskId(1), round(2, 1))]);
}

#[test]
fn an_outcome_is_never_forgotten_and_never_made_twice() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let worker = play.worker("w1", 1);
    let attempt = play.assigned(worker)[0];
    play.done(worker, attempt);
    let mut play = play.restart();
    let worker = play.arrives(&peer(Role::Worker, "w1"));
    play.offers(worker, 1);
    play.done(worker, attempt);
    play.holds(worker, &[]);
    play.tick();
    assert_eq!(play.outcomes().len(), 1);
    let said = play.said(worker);
    assert_eq!(
        acked(&said),
        [attempt],
        "the acknowledgement was lost with the process, so it comes again"
    );
    assert!(!said.iter().any(|frame| matches!(frame, Frame::Assign(_))));
}
