//! Short runs are lined up behind those under way; nobody waits long behind one that is not short.

use muster_proto::outcome::{Loss, Measured};
use muster_proto::{LinkId, Span};
use muster_worker::{RunEnd, RunId};

use crate::play::{Line, Play, first, report, template, told};

/// Ends a run that lasted so long.
fn lasted(play: &mut Play, run: RunId, wall: Span) {
    let mut report = report(Vec::new());
    report.measured = Measured {
        wall,
        ..Measured::default()
    };
    play.ends(run, RunEnd::Ran(report));
}

/// A worker of 4 cores whose runs took a millisecond of late, with four tasks under way and these waiting.
fn paced(tasks: u64) -> (Play, LinkId, Vec<Line>) {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(4, &[]), &[first(1)]);
    let (run, _) = play.started()[0];
    lasted(&mut play, run, Span::millis(1));
    let all: Vec<_> = (2..2 + tasks).map(first).collect();
    play.assigns(link, &template(1, &[]), &all);
    let lines = play.lines();
    (play, link, lines)
}

#[test]
fn nothing_is_lined_up_before_runs_are_known_to_be_short() {
    let (mut play, link) = Play::linked();
    let tasks: Vec<_> = (1..=9).map(first).collect();
    play.assigns(link, &template(1, &[]), &tasks);
    assert_eq!(play.started().len(), 4);
}

#[test]
fn short_runs_are_lined_up_evenly_and_each_behind_the_last_in_its_line() {
    let (_, _, lines) = paced(10);
    let after: Vec<_> = lines
        .iter()
        .map(|(run, after, _)| (run.0, after.map(|ahead| ahead.0)))
        .collect();
    let heads = [(2, None), (3, None), (4, None), (5, None)];
    let behind = [
        (6, Some(2)),
        (7, Some(3)),
        (8, Some(4)),
        (9, Some(5)),
        (10, Some(6)),
        (11, Some(7)),
    ];
    assert_eq!(after, [&heads[..], &behind[..]].concat());
}

#[test]
fn the_first_in_line_has_the_place_of_a_run_that_ends() {
    let (mut play, link, _) = paced(6);
    lasted(&mut play, RunId(2), Span::millis(1));
    assert_eq!(play.lines(), [], "nobody is asked again");
    lasted(&mut play, RunId(6), Span::millis(1));
    for run in [3, 4, 5, 7] {
        lasted(&mut play, RunId(run), Span::millis(1));
    }
    assert_eq!(told(&play.said(link)).0.len(), 7);
}

#[test]
fn what_is_watched_by_its_run_time_or_asks_for_another_shape_is_not_lined_up() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(4, &[]), &[first(1)]);
    lasted(&mut play, RunId(1), Span::millis(1));
    let mut watched = template(2, &[]);
    watched.policy.fast_abort_percent = Some(300);
    play.assigns(link, &watched, &[first(2), first(3), first(4)]);
    assert_eq!(play.started().len(), 1 + 2);

    let (mut play, link, _) = paced(4);
    play.assigns(link, &template(2, &[]), &[first(20)]);
    assert_eq!(play.lines(), []);
}

#[test]
fn what_has_waited_long_behind_a_run_is_recalled_and_starts_elsewhere() {
    let (mut play, link, _) = paced(5);
    play.now = play.now + Span::millis(21);
    lasted(&mut play, RunId(3), Span::millis(22));
    assert_eq!(play.recalled, [RunId(6)]);
    play.ends(RunId(6), RunEnd::Unbegun);
    let again = play.lines();
    assert_eq!(
        again,
        [(RunId(7), None, first(6))],
        "the same attempt, in the free place"
    );
    assert_eq!(told(&play.said(link)).1, []);
}

#[test]
fn a_free_place_takes_the_latest_out_of_line() {
    let (mut play, _, _) = paced(6);
    lasted(&mut play, RunId(4), Span::millis(1));
    assert_eq!(play.recalled, [RunId(7)]);
    lasted(&mut play, RunId(5), Span::millis(1));
    assert_eq!(play.recalled, [RunId(7), RunId(6)], "each is recalled once");
    // Too late: it has begun, and ends like any other.
    lasted(&mut play, RunId(3), Span::millis(1));
    lasted(&mut play, RunId(7), Span::millis(1));
    play.ends(RunId(6), RunEnd::Unbegun);
    assert_eq!(play.lines().len(), 1);
}

#[test]
fn whoever_is_cancelled_in_line_leaves_it_and_those_behind_keep_their_turn() {
    let (mut play, link, _) = paced(12);
    play.cancels(link, &[first(6)]);
    assert_eq!(play.killed, [RunId(6)]);
    play.ends(RunId(6), RunEnd::Killed);
    lasted(&mut play, RunId(2), Span::millis(1));
    lasted(&mut play, RunId(10), Span::millis(1));
    let (ran, lost) = told(&play.said(link));
    assert!(ran.iter().any(|(tried, _)| *tried == first(10)));
    assert_eq!(lost, []);
}

#[test]
fn all_runs_of_a_dead_warden_are_lost_in_any_order() {
    let (mut play, link, _) = paced(8);
    for run in [2, 6] {
        play.ends(RunId(run), RunEnd::Lost(Loss::WorkerFault));
    }
    let lost = told(&play.said(link)).1;
    assert_eq!(
        lost,
        [(first(2), Loss::WorkerFault), (first(6), Loss::WorkerFault)]
    );
}
