//! What people ask for: submits, watches, cancellations, explanations.

use muster_proto::limits::UNNEEDED_GRACE;
use muster_proto::limits::{EXPLAINED_MAX, OUTCOMES_OUT_MAX};
use muster_proto::machine::{FetchEnd, Input};
use muster_proto::outcome::{Outcome, Verdict};
use muster_proto::wire::{
    CacheStatus, Explain, Frame, Refusal, Status, StatusReply, Subject, Submitted,
};
use muster_proto::{LinkId, Role, TaskId};

use crate::play::{Play, cancelled, failure, peer, template};

/// The outcomes sent to a watcher, and how many tasks were open when the last left.
fn news(play: &mut Play, user: LinkId) -> (Vec<Outcome>, Option<u64>) {
    let mut sent = Vec::new();
    let mut open = None;
    for frame in play.said(user) {
        if let Frame::Outcomes(outcomes) = frame {
            sent.extend(outcomes.outcomes);
            open = Some(outcomes.open);
        }
    }
    (sent, open)
}

#[test]
fn a_submit_is_answered_only_behind_its_durable_record() {
    let mut play = Play::new();
    let user = play.user();
    play.submit(user, 1, template(0), 3);
    let answer = Submitted {
        sequence: 1,
        result: Ok((TaskId(1), 3)),
    };
    assert_eq!(play.said_behind(user), [(Frame::from(answer), play.lsn())]);
    assert_eq!(play.counts().waiting, 3);
}

#[test]
fn the_same_submit_said_again_adds_nothing_and_is_answered_alike() {
    let mut play = Play::new();
    let user = play.user();
    play.submit(user, 1, template(0), 3);
    let answer = play.said(user);
    play.leaves(user);
    let user = play.user();
    play.submit(user, 1, template(0), 3);
    assert_eq!(play.said(user), answer);
    let mut play = play.restart();
    let user = play.user();
    play.submit(user, 1, template(0), 3);
    assert_eq!(play.said(user), answer, "even after a crash");
    assert_eq!(play.counts().submitted, 3);
    play.submit(user, 2, template(0), 1);
    assert_eq!(play.counts().submitted, 4);
}

#[test]
fn tasks_leave_only_behind_the_record_that_they_exist() {
    let mut play = Play::new();
    let worker = play.worker("w1", 1);
    let user = play.user();
    play.submit(user, 1, template(0), 1);
    play.tick();
    let submitted = play
        .journal
        .iter()
        .position(|event| matches!(event, muster_master::Event::Submitted(_)));
    let submitted = submitted.expect("it is recorded") as u64 + 1;
    for (frame, behind) in play.said_behind(worker) {
        assert!(behind.0 >= submitted, "{frame:?} waits only for {behind}");
    }
}

#[test]
fn a_leaving_master_takes_nothing_new_and_hands_nothing_out() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    play.input(Input::Drain);
    let user = play.user();
    play.submit(user, 9, template(0), 1);
    let refused = Submitted {
        sequence: 9,
        result: Err(Refusal::Leaving),
    };
    assert_eq!(play.said(user), [Frame::from(refused)]);
    let worker = play.worker("w1", 4);
    assert_eq!(play.assigned(worker), []);
}

#[test]
fn a_watcher_gets_each_outcome_once_and_learns_how_many_are_open() {
    let mut play = Play::new();
    play.queued(template(0), 3);
    let user = play.user();
    play.watch(user, &[(1, 3)]);
    assert_eq!(news(&mut play, user), (Vec::new(), None));
    let worker = play.worker("w1", 3);
    let attempts = play.assigned(worker);
    for (attempt, left) in attempts.into_iter().zip([2, 1, 0]) {
        play.done(worker, attempt);
        let (outcomes, open) = news(&mut play, user);
        assert_eq!(
            (outcomes[0].task, outcomes.len(), open),
            (attempt.0, 1, Some(left))
        );
        play.delivered(user, &[attempt.0.0]);
    }
    assert_eq!(play.counts().delivered, 3);
    play.watch(user, &[(1, 3)]);
    assert_eq!(
        news(&mut play, user),
        (Vec::new(), Some(0)),
        "a watch of what is all delivered ends at once"
    );
}

#[test]
fn outcomes_come_behind_their_durable_record() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let user = play.user();
    play.watch(user, &[(1, 1)]);
    let worker = play.worker("w1", 1);
    let attempt = play.assigned(worker)[0];
    play.done(worker, attempt);
    let said = play.said_behind(user);
    assert!(
        matches!(said.as_slice(), [(Frame::Outcomes(_), lsn)] if *lsn == play.lsn()),
        "{said:?}"
    );
}

#[test]
fn outcomes_not_delivered_come_again_after_a_restart_until_they_are() {
    let mut play = Play::new();
    play.queued(template(0), 2);
    let worker = play.worker("w1", 2);
    for attempt in play.assigned(worker) {
        play.done(worker, attempt);
    }
    let user = play.user();
    play.watch(user, &[(1, 2)]);
    assert_eq!(news(&mut play, user).0.len(), 2);
    play.delivered(user, &[1]);
    for _ in 0..2 {
        play = play.restart();
        let user = play.user();
        play.watch(user, &[(1, 2)]);
        let (outcomes, open) = news(&mut play, user);
        assert_eq!(
            (outcomes.len(), outcomes[0].task, open),
            (1, TaskId(2), Some(0))
        );
    }
    let user = play.user();
    play.delivered(user, &[2, 1, 99]);
    play = play.restart();
    assert_eq!(play.counts().undelivered, 0);
    assert_eq!(play.counts().delivered, 2);
}

#[test]
fn a_watcher_that_acknowledges_nothing_gets_one_window_and_then_the_rest() {
    let mut play = Play::new();
    let tasks = OUTCOMES_OUT_MAX + 1_000;
    play.queued(template(0), tasks);
    let user = play.user();
    play.cancel(user, &[(1, tasks as u64)]);
    play.said(user);
    play.watch(user, &[(1, tasks as u64)]);
    let (outcomes, open) = news(&mut play, user);
    assert_eq!((outcomes.len(), open), (OUTCOMES_OUT_MAX, Some(0)));
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.verdict == Verdict::Cancelled)
    );
    play.tick();
    assert_eq!(news(&mut play, user).0.len(), 0, "the window is full");
    let had: Vec<u64> = outcomes.iter().map(|outcome| outcome.task.0).collect();
    for part in had.chunks(4_096) {
        play.delivered(user, part);
    }
    assert_eq!(news(&mut play, user).0.len(), 1_000);
}

#[test]
fn waiting_leased_and_arriving_tasks_are_cancelled_alike() {
    let mut play = Play::new();
    play.queued(template(0), 3);
    let worker = play.worker("w1", 2);
    let attempts = play.assigned(worker);
    assert_eq!(attempts.len(), 2, "the third waits");
    play.brings(worker, attempts[0], &[1]);
    let arriving = attempts[0];
    let third = play.assigned(worker);
    let user = play.user();
    play.cancel(user, &[(1, 3)]);
    let mut told = cancelled(&play.said(worker));
    told.sort_unstable();
    let mut held = [vec![arriving, attempts[1]], third].concat();
    held.sort_unstable();
    assert_eq!(told, held, "whoever holds something of them is told");
    assert_eq!(
        play.said(user),
        [Frame::from(muster_proto::wire::Cancelled { count: 3 })]
    );
    assert!(
        play.outcomes()
            .iter()
            .all(|outcome| outcome.verdict == Verdict::Cancelled)
    );
    play.fetched(worker, 1, FetchEnd::Held);
    play.done(worker, attempts[1]);
    assert_eq!(play.outcomes().len(), 3, "what comes late changes nothing");
}

#[test]
fn ranges_that_overlap_or_run_backwards_name_each_task_once() {
    let mut play = Play::new();
    play.queued(template(0), 6);
    let user = play.user();
    play.watch(user, &[(3, 6), (1, 4), (6, 2), (5, 5)]);
    play.cancel(user, &[(2, 4), (3, 5), (6, 1)]);
    let said = play.said(user);
    assert!(
        said.contains(&Frame::from(muster_proto::wire::Cancelled { count: 4 })),
        "{said:?}"
    );
    let mut open = said.iter().filter_map(|frame| match frame {
        Frame::Outcomes(outcomes) => Some(outcomes.open),
        _ => None,
    });
    assert_eq!(open.next_back(), Some(2), "tasks 1 and 6");
    assert_eq!(play.outcomes().len(), 4);
}

#[test]
fn files_are_forgotten_when_nothing_refers_to_them() {
    let mut play = Play::new();
    play.queued(template(0), 1);
    let worker = play.worker("w1", 1);
    let attempt = play.assigned(worker)[0];
    play.brings(worker, attempt, &[1]);
    play.fetched(worker, 1, FetchEnd::Held);
    assert_eq!(play.forgotten, []);
    let user = play.user();
    play.delivered(user, &[1]);
    assert_eq!(
        play.forgotten,
        [],
        "a user may be about to ask for it again"
    );
    play.pass(UNNEEDED_GRACE);
    assert_eq!(play.forgotten, [crate::play::digest(1)]);
}

#[test]
fn the_story_of_a_task_that_failed_a_thousand_times_is_still_short() {
    let mut play = Play::new();
    play.queued(template(2_000), 1);
    let worker = play.worker("w1", 1);
    for _ in 0..1_000 {
        let attempt = play.assigned(worker)[0];
        play.hear(worker, failure(attempt));
    }
    let user = play.user();
    play.hear(
        user,
        Explain {
            subject: Subject::Task(TaskId(1)),
        },
    );
    let said = play.said(user);
    let Some(Frame::Explained(explained)) = said.last() else {
        panic!("{said:?}")
    };
    assert_eq!(explained.lines.len(), EXPLAINED_MAX);
    assert_eq!(explained.lines[0], "1491 earlier happening(s)");
}

#[test]
fn a_status_lists_the_sites_that_the_foremen_tell_of() {
    let mut play = Play::new();
    let foreman = play.arrives(&peer(Role::Foreman, "f1"));
    play.holds(foreman, &[]);
    let user = play.user();
    play.hear(user, Status {});
    assert_eq!(play.said(user), [], "the foreman is asked first");
    let below = StatusReply::default().site(peer(Role::Foreman, "f2"));
    let cache = CacheStatus {
        hits: 9,
        ..CacheStatus::default()
    };
    play.hear(
        foreman,
        StatusReply {
            cache: Box::new(cache),
            sites: vec![below],
            notes: vec!["its disk is full".to_owned()],
            ..StatusReply::default()
        },
    );
    play.input(Input::Tick);
    let Some(Frame::StatusReply(reply)) = play.said(user).pop() else {
        panic!("no status")
    };
    let sites: Vec<_> = reply
        .sites
        .iter()
        .map(|site| (site.peer.name.as_str(), site.cache.hits))
        .collect();
    assert_eq!(sites, [("f1", 9), ("f2", 0)]);
    let told = reply
        .notes
        .iter()
        .any(|note| note.ends_with("f1: its disk is full"));
    assert!(told, "{:?}", reply.notes);
}
