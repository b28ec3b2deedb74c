//! What a report does: one outcome for each task, whatever is said how often.

use muster_proto::limits::{LOSSES_PER_TASK_MAX, WORKER_GRACE};
use muster_proto::machine::FetchEnd;
use muster_proto::outcome::{End, Failure, Loss, Report, Verdict};
use muster_proto::wire::Frame;
use muster_proto::{LinkId, Role, Span, TaskId, Try};

use crate::play::{Play, acked, cancelled, failure, peer, ran, round, template};

const T1: TaskId = TaskId(1);

#[test]
fn a_result_is_acknowledged_only_behind_its_durable_record() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let worker = play.worker("w1", 1);
    let attempt = play.assigned(worker)[0];
    play.done(worker, attempt);
    assert_eq!(play.outcomes().len(), 1);
    let said = play.said_behind(worker);
    let (ack, behind) = said
        .iter()
        .find(|(frame, _)| matches!(frame, Frame::Ack(_)))
        .expect("an acknowledgement");
    assert_eq!(acked(std::slice::from_ref(ack)), [attempt]);
    assert_eq!(
        *behind,
        play.lsn(),
        "the outcome's record is the last, and the gate waits for it"
    );
}

#[test]
fn a_report_said_again_is_acknowledged_again_and_counts_once() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let worker = play.worker("w1", 1);
    let attempt = play.assigned(worker)[0];
    play.done(worker, attempt);
    play.done(worker, attempt);
    assert_eq!(acked(&play.said(worker)), [attempt, attempt]);
    assert_eq!(play.outcomes().len(), 1);
}

#[test]
fn a_report_said_twice_in_one_frame_counts_once() {
    let mut play = Play::new();
    play.queued(template(0), 2);
    let user = play.user();
    play.watch(user, &[(1, 2)]);
    let worker = play.worker("w1", 2);
    let (task, attempt) = play.assigned(worker)[0];
    let report = Report {
        task,
        round: attempt,
        end: End::Ran(ran(Ok(()), &[])),
    };
    play.reports(worker, vec![report.clone(), report]);
    assert_eq!(play.outcomes().len(), 1);
    let open = play.said(user).into_iter().map(|frame| match frame {
        Frame::Outcomes(outcomes) => outcomes.open,
        other => panic!("{other:?}"),
    });
    assert_eq!(
        open.collect::<Vec<_>>(),
        [1],
        "the other task is still open to its watcher"
    );
}

#[test]
fn a_late_result_of_a_superseded_attempt_counts_and_the_other_is_recalled() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let first = play.worker("w1", 1);
    let early = play.assigned(first)[0];
    play.leaves(first);
    play.pass(WORKER_GRACE);
    let second = play.worker("w2", 1);
    let late = play.assigned(second)[0];
    assert_eq!((early.1, late.1), (round(1, 1), round(1, 2)));

    let first = play.arrives(&crate::play::peer(muster_proto::Role::Worker, "w1"));
    play.done(first, early);
    assert_eq!(play.outcomes().len(), 1);
    assert_eq!(
        cancelled(&play.said(second)),
        [late],
        "nobody waits for the second attempt"
    );
    play.done(second, late);
    assert_eq!(play.outcomes().len(), 1, "each task has one outcome");
    assert_eq!(
        acked(&play.said(second)),
        [late],
        "and whoever holds a result may drop it"
    );
}

#[test]
fn a_late_failure_does_not_end_a_task_that_is_tried_elsewhere() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let first = play.worker("w1", 1);
    let early = play.assigned(first)[0];
    play.leaves(first);
    play.pass(WORKER_GRACE);
    let second = play.worker("w2", 1);
    let late = play.assigned(second)[0];
    let first = play.arrives(&crate::play::peer(muster_proto::Role::Worker, "w1"));
    play.failed(first, early);
    assert_eq!(play.outcomes().len(), 0);
    play.done(second, late);
    assert!(play.outcomes()[0].is_done());
}

#[test]
fn an_attempt_that_was_never_made_counts_for_nothing() {
    let mut play = Play::new();
    play.queued(template(0), 2);
    let worker = play.worker("w1", 1);
    play.assigned(worker);
    for made_up in [
        (TaskId(2), round(1, 1)),
        (T1, round(1, 2)),
        (T1, round(9, 1)),
        (TaskId(7), round(1, 1)),
    ] {
        play.done(worker, made_up);
        assert_eq!(acked(&play.said(worker)), [made_up], "it may be dropped");
    }
    assert_eq!(play.outcomes().len(), 0);
    assert_eq!(play.counts().leased, 1);
}

#[test]
fn a_failure_is_tried_again_as_often_as_the_policy_says() {
    let mut play = Play::new();
    play.queued(template(2), 1);
    let worker = play.worker("w1", 1);
    for n in 1..=3 {
        let attempt = play.assigned(worker)[0];
        assert_eq!(attempt, (T1, round(1, n)));
        assert_eq!(play.outcomes().len(), 0);
        play.hear(worker, failure(attempt));
    }
    play.tick();
    let outcome = play.outcomes()[0];
    assert_eq!(outcome.attempts, 3);
    assert!(
        matches!(&outcome.verdict, Verdict::Ran { ran, .. } if ran.result == Err(Failure::Exit(1)))
    );
}

#[test]
fn losses_are_not_charged_to_retries_and_have_a_bound_of_their_own() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let worker = play.worker("w1", 1);
    for n in 1..=LOSSES_PER_TASK_MAX {
        let (task, attempt) = play.assigned(worker)[0];
        assert_eq!((task, attempt), (T1, round(1, n)));
        assert_eq!(play.outcomes().len(), 0);
        let end = End::Lost(Loss::Evicted);
        play.hear(
            worker,
            muster_proto::wire::Reports {
                master: crate::play::MASTER,
                reports: vec![Report {
                    task,
                    round: attempt,
                    end,
                }],
            },
        );
    }
    play.tick();
    assert_eq!(
        play.outcomes()[0].verdict,
        Verdict::GivenUp(Failure::LostTooOften)
    );
    assert_eq!(
        play.status().losses,
        [("evicted".to_owned(), u64::from(LOSSES_PER_TASK_MAX))]
    );
}

#[test]
fn a_result_counts_when_all_its_files_are_here() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let worker = play.worker("w1", 1);
    let attempt = play.assigned(worker)[0];
    play.brings(worker, attempt, &[1, 2]);
    assert_eq!(play.fetches.len(), 2);
    play.fetched(worker, 1, FetchEnd::Held);
    assert_eq!(play.outcomes().len(), 0);
    assert_eq!(acked(&play.said(worker)), []);
    assert_eq!(
        play.counts().leased,
        1,
        "a result on its way is still leased"
    );
    play.fetched(worker, 2, FetchEnd::Held);
    assert_eq!(play.outcomes().len(), 1);
    assert_eq!(acked(&play.said(worker)), [attempt]);
}

#[test]
fn a_result_reported_twice_while_its_files_come_still_waits_for_all_of_them() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let worker = play.worker("w1", 1);
    let attempt = play.assigned(worker)[0];
    play.brings(worker, attempt, &[1, 2]);
    play.brings(worker, attempt, &[1, 2]);
    play.fetched(worker, 1, FetchEnd::Held);
    assert_eq!(play.outcomes().len(), 0, "the second file has not come");
    play.fetched(worker, 2, FetchEnd::Held);
    assert_eq!(play.outcomes().len(), 1);
}

#[test]
fn a_file_of_an_attempt_that_was_given_up_does_not_complete_the_next() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let worker = play.worker("w1", 1);
    let attempt = play.assigned(worker)[0];
    play.brings(worker, attempt, &[1, 2]);
    play.fetched(worker, 1, FetchEnd::Absent);
    let said = play.said(worker);
    assert_eq!(
        cancelled(&said),
        [attempt],
        "its holder may drop the result"
    );
    let again = (T1, round(1, 2));
    assert!(
        said.iter().any(|frame| matches!(frame, Frame::Assign(_))),
        "the only worker gets it again"
    );
    play.brings(worker, again, &[2, 3]);
    // The fetch of file 2 was begun for the first attempt; it serves the second, for one file of two.
    play.fetched(worker, 2, FetchEnd::Held);
    assert_eq!(play.outcomes().len(), 0);
    play.fetched(worker, 3, FetchEnd::Held);
    assert_eq!(play.outcomes().len(), 1);
}

#[test]
fn a_file_that_fails_is_fetched_thrice_and_then_the_task_is_tried_again() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let worker = play.worker("w1", 1);
    let attempt = play.assigned(worker)[0];
    play.brings(worker, attempt, &[1]);
    for tries in 1..=3 {
        assert_eq!(play.fetches.len(), tries);
        play.fetched(worker, 1, FetchEnd::Failed);
    }
    assert_eq!(play.fetches.len(), 3);
    assert_eq!(play.status().losses, [("not_staged".to_owned(), 1)]);
    assert_eq!(play.counts().attempts, 2);
}

#[test]
fn who_says_that_anothers_task_has_started_is_not_believed() {
    let mut play = Play::new();
    let mut watched = template(0);
    watched.policy.fast_abort_percent = Some(150);
    play.queued(watched, 12);
    let good = play.worker("w1", 12);
    let other = play.worker("w2", 1);
    let attempts = play.assigned(good);
    let (kept, quick) = attempts.split_at(2);
    for attempt in quick {
        play.done(good, *attempt);
    }
    play.hear(
        other,
        muster_proto::wire::Started {
            master: crate::play::MASTER,
            attempts: kept.to_vec(),
        },
    );
    play.pass(Span::secs(60));
    assert_eq!(
        play.status().losses,
        [],
        "neither was said to run by who holds it"
    );
    play.hear(
        good,
        muster_proto::wire::Started {
            master: crate::play::MASTER,
            attempts: kept.to_vec(),
        },
    );
    play.pass(Span::secs(60));
    assert_eq!(
        play.status().losses,
        [("fast_abort".to_owned(), 2)],
        "both run much longer than their kind"
    );
}

#[test]
fn the_patience_with_a_straggler_grows_each_time_it_is_given_up() {
    let (mut play, worker, attempts) = eleven_watched();
    let (slow, quick) = attempts.split_at(1);
    for attempt in quick {
        play.done(worker, *attempt);
    }
    let starts = |play: &mut Play, attempts: &[(TaskId, Try)]| {
        play.hear(
            worker,
            muster_proto::wire::Started {
                master: crate::play::MASTER,
                attempts: attempts.to_vec(),
            },
        );
    };
    let aborts = |play: &mut Play| {
        let losses = play.status().losses;
        losses.first().map_or(0, |(_, count)| *count)
    };
    // The others took a second each: 150 % of that, then 250 %.
    starts(&mut play, slow);
    play.pass(Span::millis(1_600));
    assert_eq!(aborts(&mut play), 1);
    let again = play.assigned(worker);
    starts(&mut play, &again);
    play.pass(Span::millis(2_400));
    assert_eq!(aborts(&mut play), 1, "it is given more time than before");
    play.pass(Span::millis(200));
    assert_eq!(aborts(&mut play), 2);
}

#[test]
fn an_attempt_given_up_as_too_slow_is_not_adopted_by_an_inventory_that_crosses_its_cancellation() {
    let (mut play, worker, attempts) = eleven_watched();
    let (slow, quick) = attempts.split_first().expect("all are leased");
    play.hear(
        worker,
        muster_proto::wire::Started {
            master: crate::play::MASTER,
            attempts: vec![*slow],
        },
    );
    for attempt in quick {
        play.done(worker, *attempt);
    }
    play.leaves(worker);
    let worker = play.arrives(&peer(Role::Worker, "w1"));
    play.pass(Span::secs(5));
    assert_eq!(cancelled(&play.said(worker)), [*slow]);
    play.offers(worker, 11);
    play.holds(worker, &[*slow]);
    let again = (slow.0, round(1, 2));
    assert_eq!(
        play.assigned(worker),
        [again],
        "the worker drops what it was told to end and says no more of it"
    );
    play.done(worker, again);
    assert_eq!(play.outcomes().len(), 11);
}

/// Eleven tasks under way at one worker, each given up when it takes half as long again as its kind.
fn eleven_watched() -> (Play, LinkId, Vec<(TaskId, Try)>) {
    let mut play = Play::new();
    let mut watched = template(0);
    watched.policy.fast_abort_percent = Some(150);
    play.queued(watched, 11);
    let worker = play.worker("w1", 11);
    let attempts = play.assigned(worker);
    (play, worker, attempts)
}
