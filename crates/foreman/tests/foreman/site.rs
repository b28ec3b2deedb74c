//! One master above, workers below.

use muster_foreman::Event;
use muster_proto::limits::{SETTLE, WORKER_GRACE};
use muster_proto::machine::{FetchEnd, Side};
use muster_proto::outcome::Loss;
use muster_proto::wire::{Frame, Offer};
use muster_proto::{Resources, Role, TaskId};

use crate::play::{MASTER, Play, Said, digest, digest_of, first, peer, round};

/// A foreman with a master above it and a worker of `cores` below.
fn site(cores: u32) -> (Play, muster_proto::LinkId, muster_proto::LinkId) {
    let mut play = Play::new();
    let master = play.above("m1");
    let worker = play.worker("w1", cores);
    (play, master, worker)
}

#[test]
fn the_site_offers_what_its_workers_have_shape_by_shape() {
    let (mut play, master, worker) = site(4);
    play.worker("w2", 4);
    play.worker("w3", 16);
    let offers = |frames: Vec<Frame>| {
        let shapes = frames.into_iter().filter_map(|frame| match frame {
            Frame::Offer(offer) => Some(offer.shapes),
            _ => None,
        });
        shapes.reduce(|_, last| last).expect("an offer")
    };
    let (small, large) = (Resources::cores(4), Resources::cores(16));
    assert_eq!(offers(play.said(master)), [(small, 2), (large, 1)]);
    play.leaves(worker);
    assert_eq!(offers(play.said(master)), [(small, 1), (large, 1)]);
}

#[test]
fn an_offer_of_too_many_shapes_is_folded_and_loses_no_worker() {
    let mut play = Play::new();
    let worker = play.arrives(&peer(Role::Foreman, "f2"), Side::Subordinate);
    let cores = (1..=256).map(|n| (Resources::cores(n), 1)).collect();
    play.hear(
        worker,
        Offer {
            host: "f2".to_owned(),
            shapes: cores,
        },
    );
    play.holds(worker, &[]);
    play.worker("w1", 300);
    let master = play.above("m1");
    play.tick();
    let said = play.said(master);
    let Some(Frame::Offer(offer)) = said.iter().rfind(|frame| matches!(frame, Frame::Offer(_)))
    else {
        panic!("{said:?}")
    };
    assert_eq!(offer.shapes.len(), 256);
    assert_eq!(
        offer.shapes.iter().map(|(_, count)| count).sum::<u32>(),
        257
    );
    assert_eq!(
        offer.shapes[0],
        (Resources::cores(1), 2),
        "two of the smallest stand for one of each"
    );
}

#[test]
fn many_tasks_want_a_file_and_it_crosses_the_link_once() {
    let (mut play, master, worker) = site(3);
    play.assigns(master, (MASTER, 1), &[first(1), first(2)], &[9]);
    play.assigns(master, (MASTER, 1), &[first(3)], &[9]);
    assert_eq!(play.fetches, [(master, digest(9))]);
    assert_eq!(
        digest_of(&play.said(worker)).assigned,
        [],
        "nothing goes down before its inputs are here"
    );
    play.fetched(master, 9, FetchEnd::Held);
    let mut assigned = digest_of(&play.said(worker)).assigned;
    assigned.sort_unstable();
    assert_eq!(assigned, [first(1), first(2), first(3)]);
    assert_eq!(play.fetches.len(), 1);
}

#[test]
fn a_result_is_acknowledged_below_and_reported_above_only_behind_its_record() {
    let (mut play, master, worker) = site(1);
    play.assigns(master, (MASTER, 1), &[first(1)], &[]);
    play.said(worker);
    play.said(master);
    play.brings(worker, first(1), &[5]);
    assert_eq!(play.fetches, [(worker, digest(5))]);
    assert_eq!(
        digest_of(&play.said(worker)),
        Said::default(),
        "its file has not come"
    );
    play.fetched(worker, 5, FetchEnd::Held);
    assert!(matches!(play.journal.last(), Some(Event::Spooled(_))));
    for (link, said) in [
        (worker, play.said_behind(worker)),
        (master, play.said_behind(master)),
    ] {
        let (frame, behind) = said.first().expect("a frame on each link");
        assert!(
            matches!(frame, Frame::Ack(_) | Frame::Reports(_)),
            "{link}: {frame:?}"
        );
        assert_eq!(*behind, play.lsn());
    }
    play.acks(master, MASTER, &[first(1)]);
    assert!(play.foreman.is_idle());
}

#[test]
fn held_results_come_again_on_every_link_before_the_inventory() {
    let (mut play, master, worker) = site(2);
    play.assigns(master, (MASTER, 1), &[first(1), first(2)], &[]);
    play.leaves(master);
    play.brings(worker, first(1), &[]);
    for _ in 0..2 {
        let master = play.above("m1");
        let said = play.said(master);
        let reports = said
            .iter()
            .position(|frame| matches!(frame, Frame::Reports(_)));
        let inventory = said
            .iter()
            .position(|frame| matches!(frame, Frame::Inventory(_)));
        assert!(reports.is_some() && reports < inventory, "{said:?}");
        let said = digest_of(&said);
        assert_eq!((said.ran, said.held), (vec![first(1)], vec![first(2)]));
        play.leaves(master);
    }
    let master = play.above("m1");
    play.acks(master, MASTER, &[first(1)]);
    play.leaves(master);
    let master = play.above("m1");
    assert_eq!(digest_of(&play.said(master)).ran, []);
}

#[test]
fn a_foreman_whose_master_is_away_goes_on() {
    let (mut play, master, worker) = site(1);
    play.assigns(master, (MASTER, 1), &[first(1), first(2)], &[]);
    play.leaves(master);
    play.said(worker);
    play.brings(worker, first(1), &[]);
    let said = digest_of(&play.said(worker));
    assert_eq!(
        (said.acked, said.assigned),
        (vec![first(1)], vec![first(2)])
    );
}

#[test]
fn a_restarted_foreman_waits_for_its_workers_before_it_calls_its_inventory_complete() {
    let (mut play, master, worker) = site(2);
    play.assigns(master, (MASTER, 1), &[first(1), first(2), first(3)], &[]);
    play.brings(worker, first(3), &[]);
    let mut play = play.restart();
    let master = play.above("m1");
    play.tick();
    let said = play.said(master);
    assert!(
        said.iter()
            .all(|frame| !matches!(frame, Frame::Inventory(part) if part.settled)),
        "{said:?}"
    );
    assert_eq!(
        digest_of(&said).ran,
        [first(3)],
        "what was spooled is there"
    );
    let worker = play.arrives(&peer(Role::Worker, "w1"), Side::Subordinate);
    play.holds(worker, &[first(1)]);
    play.tick();
    let said = play.said(master);
    assert!(
        said.iter()
            .any(|frame| matches!(frame, Frame::Inventory(part) if part.settled))
    );
    assert_eq!(
        digest_of(&said).held,
        [first(1)],
        "and the master learns that task 2 is gone"
    );
    play.brings(worker, first(1), &[]);
    assert_eq!(digest_of(&play.said(master)).ran, [first(1)]);
}

#[test]
fn a_result_that_comes_as_the_foreman_settles_precedes_the_inventory_that_lacks_it() {
    let (mut play, master, _) = site(1);
    play.assigns(master, (MASTER, 1), &[first(1)], &[]);
    let mut play = play.restart();
    let master = play.above("m1");
    play.tick();
    play.said(master);
    let worker = play.arrives(&peer(Role::Worker, "w1"), Side::Subordinate);
    // The worker's report and its inventory come in one turn.
    let end = muster_proto::outcome::End::Ran(crate::play::ran(Ok(()), &[]));
    let (task, round) = first(1);
    let reports = vec![muster_proto::outcome::Report { task, round, end }];
    play.hear(
        worker,
        muster_proto::wire::Reports {
            master: MASTER,
            reports,
        },
    );
    play.holds(worker, &[]);
    play.tick();
    let said = play.said(master);
    let reports = said
        .iter()
        .position(|frame| matches!(frame, Frame::Reports(_)));
    let inventory = said
        .iter()
        .position(|frame| matches!(frame, Frame::Inventory(_)));
    assert!(reports.is_some() && reports < inventory, "{said:?}");
}

#[test]
fn a_worker_that_does_not_come_back_is_awaited_no_longer_than_said() {
    let (mut play, master, _) = site(1);
    play.assigns(master, (MASTER, 1), &[first(1)], &[]);
    let mut play = play.restart();
    let master = play.above("m1");
    play.tick();
    play.said(master);
    play.pass(SETTLE);
    let said = play.said(master);
    assert!(said.iter().any(
        |frame| matches!(frame, Frame::Inventory(part) if part.settled && part.held.is_empty())
    ));
    assert!(
        play.journal
            .contains(&Event::Cleared(peer(Role::Worker, "w1")))
    );
}

#[test]
fn a_lost_worker_is_reported_above_and_its_task_not_leased_again_here() {
    let (mut play, master, worker) = site(1);
    play.assigns(master, (MASTER, 1), &[first(1)], &[]);
    let other = play.worker("w2", 1);
    play.leaves(worker);
    play.said(master);
    play.pass(WORKER_GRACE);
    assert_eq!(
        digest_of(&play.said(master)).lost,
        [(first(1), Loss::LinkLost)]
    );
    assert_eq!(
        digest_of(&play.said(other)).assigned,
        [],
        "attempts have one author, and it is not the foreman"
    );
    let again = (TaskId(1), round(1, 2));
    play.assigns(master, (MASTER, 1), &[again], &[]);
    assert_eq!(digest_of(&play.said(other)).assigned, [again]);
}

#[test]
fn a_worker_that_is_back_within_its_grace_goes_on() {
    let (mut play, master, worker) = site(1);
    play.assigns(master, (MASTER, 1), &[first(1)], &[]);
    play.leaves(worker);
    play.pass(muster_proto::Span(WORKER_GRACE.0 - 1));
    let worker = play.arrives(&peer(Role::Worker, "w1"), Side::Subordinate);
    play.holds(worker, &[first(1)]);
    play.pass(WORKER_GRACE);
    assert_eq!(digest_of(&play.said(worker)), Said::default());
    assert_eq!(digest_of(&play.said(master)).lost, []);
}

#[test]
fn what_an_inventory_lacks_is_lost_and_what_it_has_too_much_is_cancelled() {
    let (mut play, master, worker) = site(2);
    play.assigns(master, (MASTER, 1), &[first(1), first(2)], &[]);
    play.leaves(worker);
    play.said(master);
    let worker = play.arrives(&peer(Role::Worker, "w1"), Side::Subordinate);
    play.holds(worker, &[first(2), first(9)]);
    play.tick();
    assert_eq!(digest_of(&play.said(worker)).cancelled, [first(9)]);
    assert_eq!(
        digest_of(&play.said(master)).lost,
        [(first(1), Loss::Forgotten)]
    );
}

#[test]
fn cancellations_pass_down_wherever_the_task_is() {
    let (mut play, master, worker) = site(2);
    play.assigns(master, (MASTER, 1), &[first(1), first(2)], &[]);
    play.assigns(master, (MASTER, 1), &[first(3)], &[9]);
    play.brings(worker, first(2), &[5]);
    play.said(worker);
    play.cancels(master, MASTER, &[first(1), first(2), first(3)]);
    let mut told = digest_of(&play.said(worker)).cancelled;
    told.sort_unstable();
    assert_eq!(
        told,
        [first(1), first(2)],
        "one runs, the result of one is arriving, one was staging here"
    );
    play.fetched(worker, 5, FetchEnd::Held);
    play.fetched(master, 9, FetchEnd::Held);
    assert!(play.foreman.is_idle());
    assert_eq!(digest_of(&play.said(master)), Said::default());
}

#[test]
fn what_a_dead_epoch_of_the_master_says_changes_nothing() {
    let (mut play, master, worker) = site(4);
    let newer = (TaskId(1), round(2, 1));
    play.assigns(master, (MASTER, 2), &[newer], &[]);
    play.said(worker);
    play.assigns(
        master,
        (MASTER, 1),
        &[first(2), (TaskId(1), round(1, 5))],
        &[],
    );
    assert_eq!(digest_of(&play.said(worker)), Said::default());
}

#[test]
fn a_newer_attempt_replaces_the_one_that_runs() {
    let (mut play, master, worker) = site(2);
    play.assigns(master, (MASTER, 1), &[first(1)], &[]);
    play.said(worker);
    let newer = (TaskId(1), round(1, 2));
    play.assigns(master, (MASTER, 1), &[newer], &[]);
    let said = digest_of(&play.said(worker));
    assert_eq!(
        (said.assigned, said.cancelled),
        (vec![newer], vec![first(1)])
    );
}

#[test]
fn a_file_the_master_has_not_got_ends_the_task_and_one_that_does_not_come_loses_it() {
    let (mut play, master, _) = site(1);
    play.assigns(master, (MASTER, 1), &[first(1)], &[8]);
    play.assigns(master, (MASTER, 1), &[first(2)], &[9]);
    play.said(master);
    play.fetched(master, 8, FetchEnd::Absent);
    assert_eq!(
        digest_of(&play.said(master)).ran,
        [first(1)],
        "a failure that more tries would not mend"
    );
    for _ in 0..3 {
        play.fetched(master, 9, FetchEnd::Failed);
    }
    assert_eq!(
        digest_of(&play.said(master)).lost,
        [(first(2), Loss::NotStaged)]
    );
    assert!(play.foreman.is_idle());
}

/// X6, cut-through.
#[test]
fn a_task_goes_down_while_its_input_arrives_and_waits_again_if_that_stalls() {
    let (mut play, master, worker) = site(1);
    let assigned = |play: &mut Play| digest_of(&play.said(worker)).assigned;
    play.assigns(master, (MASTER, 1), &[first(1), first(2)], &[9]);
    assert_eq!(assigned(&mut play), []);
    play.begins(9);
    assert_eq!(assigned(&mut play), [first(1)], "it need not be here whole");
    play.fetched(master, 9, FetchEnd::Failed);
    play.brings(worker, first(1), &[]);
    assert_eq!(assigned(&mut play), [], "nothing more goes ahead");
    play.fetched(master, 9, FetchEnd::Held);
    assert_eq!(assigned(&mut play), [first(2)]);
}

#[test]
fn what_went_ahead_of_a_file_that_never_comes_is_lost_unless_it_runs() {
    let (mut play, master, worker) = site(1);
    play.assigns(master, (MASTER, 1), &[first(1), first(2)], &[9]);
    play.begins(9);
    play.said(worker);
    play.fetched(master, 9, FetchEnd::Absent);
    let said = digest_of(&play.said(master));
    assert_eq!(said.ran, [first(2)], "its input is missing");
    play.brings(worker, first(1), &[]);
    assert_eq!(digest_of(&play.said(master)).ran, [first(1)]);
    play.acks(master, MASTER, &[first(1), first(2)]);
    assert!(play.foreman.is_idle());
}

/// X7.
#[test]
fn on_a_full_disk_inputs_come_one_after_the_other() {
    let (mut play, master, worker) = site(2);
    play.assigns(master, (MASTER, 1), &[first(1)], &[7]);
    play.assigns(master, (MASTER, 2), &[first(2)], &[8]);
    play.fetched(master, 7, FetchEnd::Unkept);
    play.fetched(master, 8, FetchEnd::Unkept);
    assert_eq!(
        play.forgotten,
        [digest(8)],
        "what has come of it takes room"
    );
    let wanted = |play: &mut Play| std::mem::take(&mut play.fetches);
    assert_eq!(
        wanted(&mut play),
        [
            (master, digest(7)),
            (master, digest(8)),
            (master, digest(7))
        ]
    );
    play.begins(7);
    assert_eq!(
        digest_of(&play.said(worker)).assigned,
        [],
        "nothing goes ahead now"
    );
    play.fetched(master, 7, FetchEnd::Held);
    assert_eq!(
        wanted(&mut play),
        [(master, digest(8))],
        "there is room after all"
    );
    assert_eq!(digest_of(&play.said(worker)).assigned, [first(1)]);
    play.fetched(master, 8, FetchEnd::Held);
    assert_eq!(digest_of(&play.said(worker)).assigned, [first(2)]);
}

/// M6, at a foreman: a result is safe at its worker until there is room.
#[test]
fn a_result_that_finds_no_room_is_not_lost() {
    let (mut play, master, worker) = site(1);
    play.assigns(master, (MASTER, 1), &[first(1)], &[]);
    play.brings(worker, first(1), &[5]);
    for _ in 0..9 {
        play.fetched(worker, 5, FetchEnd::Unkept);
    }
    play.said(master);
    play.hear(master, muster_proto::wire::Status {});
    play.tick();
    let said = play.said(master);
    assert!(format!("{said:?}").contains("the disk is full"), "{said:?}");
    play.fetched(worker, 5, FetchEnd::Held);
    assert_eq!(digest_of(&play.said(master)).ran, [first(1)]);
}

#[test]
fn a_foreman_that_lost_its_spool_refuses_results_of_masters_it_does_not_know() {
    let (mut play, master, worker) = site(1);
    play.assigns(master, (MASTER, 1), &[first(1)], &[]);
    play.leaves(worker);
    let mut play = Play::new();
    let master = play.above("m1");
    let worker = play.worker("w1", 1);
    play.brings(worker, first(1), &[5]);
    assert_eq!(
        digest_of(&play.said(worker)).cancelled,
        [first(1)],
        "its holder need not keep what nobody here can be told"
    );
    assert!(play.foreman.is_idle() && play.fetches.is_empty());
    let again = (TaskId(1), round(1, 2));
    play.assigns(master, (MASTER, 1), &[again], &[]);
    play.brings(worker, again, &[]);
    assert_eq!(digest_of(&play.said(master)).ran, [again]);
}
