//! From assignment to result.

use std::sync::Arc;

use muster_proto::limits::LINGER;
use muster_proto::machine::{FetchEnd, Input};
use muster_proto::outcome::{Failure, Loss, ReturnedFile};
use muster_proto::task::{Command, FileRef, TaskBody};
use muster_proto::wire::{Assign, Assigned, Frame};
use muster_proto::{Digest, Epoch, RelPath, Resources, TaskId, TemplateId};
use muster_worker::{Local, RunEnd, RunId};

use crate::play::{MASTER, Play, Tried, digest, first, report, round, template, told};

#[test]
fn inputs_are_staged_once_and_before_anything_runs() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(1, &[1, 2]), &[first(1), first(2)]);
    assert_eq!(play.fetches, [(link, digest(1)), (link, digest(2))]);
    play.fetched(link, 1, FetchEnd::Held);
    assert_eq!(play.started(), []);
    play.fetched(link, 2, FetchEnd::Held);
    assert_eq!(play.started(), [(RunId(1), first(1)), (RunId(2), first(2))]);
}

#[test]
fn as_many_run_as_fit_and_the_rest_wait_in_order() {
    let (mut play, link) = Play::linked();
    let tasks: Vec<_> = (1..=6).map(first).collect();
    play.assigns(link, &template(1, &[]), &tasks);
    let started = play.started();
    assert_eq!(
        started.iter().map(|(_, tried)| *tried).collect::<Vec<_>>(),
        tasks[..4]
    );
    play.done(started[2].0);
    assert_eq!(play.started(), [(RunId(5), tasks[4])]);
}

#[test]
fn what_does_not_fit_lets_smaller_ones_pass() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(3, &[]), &[first(1), first(2)]);
    let mut small = template(1, &[]);
    small.category = "small".to_owned();
    play.hear(
        link,
        Assign {
            master: MASTER,
            epoch: Epoch(1),
            templates: vec![(TemplateId(2), Arc::new(small))],
            tasks: vec![Assigned {
                task: TaskId(3),
                round: round(1, 1),
                template: TemplateId(2),
                body: TaskBody::default(),
            }],
        },
    );
    assert_eq!(play.started(), [(RunId(1), first(1)), (RunId(2), first(3))]);
}

#[test]
fn a_task_that_asks_for_nothing_takes_the_whole_worker() {
    let (mut play, link) = Play::linked();
    let mut whole = template(0, &[]);
    whole.resources = Resources::default();
    play.assigns(link, &whole, &[first(1), first(2)]);
    assert_eq!(play.started(), [(RunId(1), first(1))]);
    play.done(RunId(1));
    assert_eq!(play.started(), [(RunId(2), first(2))]);
}

#[test]
fn greater_priority_starts_first() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(4, &[9]), &[first(1)]);
    let mut urgent = template(4, &[9]);
    urgent.policy.priority = 5;
    play.hear(
        link,
        Assign {
            master: MASTER,
            epoch: Epoch(1),
            templates: vec![(TemplateId(2), Arc::new(urgent))],
            tasks: vec![Assigned {
                task: TaskId(2),
                round: round(1, 1),
                template: TemplateId(2),
                body: TaskBody::default(),
            }],
        },
    );
    play.fetched(link, 9, FetchEnd::Held);
    assert_eq!(play.started(), [(RunId(1), first(2))]);
}

#[test]
fn a_noop_is_done_when_it_starts_and_runs_nothing() {
    let (mut play, link) = Play::linked();
    let mut noop = template(1, &[]);
    noop.command = Command::Noop;
    let tasks: Vec<_> = (1..=50).map(first).collect();
    play.assigns(link, &noop, &tasks);
    assert_eq!(play.started(), []);
    let (ran, lost) = told(&play.said(link));
    assert_eq!(
        ran,
        tasks
            .iter()
            .map(|tried| (*tried, Ok(())))
            .collect::<Vec<_>>()
    );
    assert_eq!(lost, []);
}

#[test]
fn cancelling_kills_what_runs_drops_what_waits_and_frees_room_when_it_is_dead() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(4, &[]), &[first(1), first(2), first(3)]);
    assert_eq!(play.started(), [(RunId(1), first(1))]);
    play.cancels(link, &[first(1), first(2)]);
    assert_eq!(play.killed, [RunId(1)]);
    assert_eq!(play.started(), [], "the dying run still occupies its room");
    play.ends(RunId(1), RunEnd::Killed);
    assert_eq!(play.started(), [(RunId(2), first(3))]);
    assert_eq!(
        told(&play.said(link)),
        (Vec::new(), Vec::new()),
        "nobody waits for a report"
    );
}

#[test]
fn a_cancellation_of_another_attempt_changes_nothing() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(1, &[]), &[first(1)]);
    play.cancels(link, &[(TaskId(1), round(1, 2)), first(9)]);
    assert_eq!(play.killed, []);
}

#[test]
fn a_newer_attempt_replaces_the_one_that_runs_and_an_older_one_is_ignored() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(1, &[]), &[first(1)]);
    let newer = (TaskId(1), round(1, 2));
    play.assigns(link, &template(1, &[]), &[newer]);
    assert_eq!(play.killed, [RunId(1)]);
    assert_eq!(play.started(), [(RunId(1), first(1)), (RunId(2), newer)]);
    play.assigns(link, &template(1, &[]), &[first(1)]);
    assert_eq!(play.started(), []);
}

#[test]
fn what_a_dead_epoch_says_changes_nothing() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(1, &[]), &[(TaskId(1), round(2, 1))]);
    play.started();
    play.assigns(link, &template(1, &[]), &[(TaskId(2), round(1, 9))]);
    assert_eq!(play.started(), []);
}

#[test]
fn an_input_that_does_not_come_is_tried_thrice_and_then_the_attempt_is_lost() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(1, &[2]), &[first(2)]);
    for tries in 1..=3 {
        assert_eq!(play.fetches.len(), tries);
        play.fetched(link, 2, FetchEnd::Failed);
    }
    assert_eq!(told(&play.said(link)).1, [(first(2), Loss::NotStaged)]);
    assert!(play.worker.is_idle());
}

#[test]
fn a_run_that_the_worker_could_not_keep_alive_is_lost_and_not_failed() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(1, &[]), &[first(1)]);
    play.ends(RunId(1), RunEnd::Killed);
    let lost = [(first(1), Loss::WorkerFault)];
    assert_eq!(told(&play.said(link)), (Vec::new(), lost.to_vec()));
}

/// W4.
#[test]
fn a_run_without_room_on_the_disk_waits_for_the_others_and_is_lost_only_alone() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(1, &[]), &[first(1), first(2)]);
    play.started();
    play.ends(RunId(1), RunEnd::Lost(Loss::NoSpace));
    assert_eq!(play.started(), [], "one at a time from now on");
    play.done(RunId(2));
    assert_eq!(play.started(), [(RunId(3), first(1))]);
    play.said(link);
    // Alone it is tried a few times, for what gives way to it is not gone at once.
    for run in 3..5 {
        play.ends(RunId(run), RunEnd::Lost(Loss::NoSpace));
        assert_eq!(play.started(), [(RunId(run + 1), first(1))]);
    }
    assert_eq!(told(&play.said(link)), (Vec::new(), Vec::new()));
    play.ends(RunId(5), RunEnd::Lost(Loss::NoSpace));
    let lost = [(first(1), Loss::NoSpace)];
    assert_eq!(told(&play.said(link)), (Vec::new(), lost.to_vec()));
}

/// After many runs that ended well more are tried side by side again.
#[test]
fn a_disk_that_was_full_once_is_not_full_for_ever() {
    let (mut play, link) = Play::linked();
    let tasks: Vec<Tried> = (1..=40).map(first).collect();
    play.assigns(link, &template(1, &[]), &tasks);
    assert_eq!(play.started().len(), 4);
    for run in 1..=3 {
        play.ends(RunId(run), RunEnd::Lost(Loss::NoSpace));
    }
    let mut run = 4;
    for _ in 0..15 {
        play.done(RunId(run));
        run += 1;
        assert_eq!(play.started().len(), 1);
    }
    play.done(RunId(run));
    assert_eq!(play.started().len(), 2);
}

/// W4: inputs that wait for each other's room come one after the other.
#[test]
fn on_a_full_disk_inputs_come_one_after_the_other() {
    let (mut play, link) = Play::linked();
    for n in 1..=3 {
        play.assigns(link, &template(1, &[n]), &[first(n.into())]);
    }
    assert_eq!(std::mem::take(&mut play.fetches).len(), 3);
    play.fetched(link, 2, FetchEnd::Unkept);
    assert_eq!(play.forgotten, [digest(2), digest(3), digest(2)]);
    assert_eq!(play.frees, 1, "copies for runs to come give way");
    play.fetched(link, 3, FetchEnd::Unkept);
    assert_eq!(
        std::mem::take(&mut play.fetches),
        [],
        "nobody needs them now"
    );
    play.fetched(link, 1, FetchEnd::Held);
    let [(run, one)] = play.started()[..] else {
        panic!("the first has what it needs");
    };
    assert_eq!(one, first(1));
    assert_eq!(std::mem::take(&mut play.fetches), [(link, digest(2))]);
    play.fetched(link, 2, FetchEnd::Unkept);
    assert_eq!(std::mem::take(&mut play.fetches), [(link, digest(2))]);
    play.done(run);
    play.said(link);
    play.acks(link, &[first(1)]);
    play.forgotten.clear();
    play.fetched(link, 2, FetchEnd::Unkept);
    assert_eq!(
        play.forgotten,
        [digest(3), digest(1)],
        "what comes after it, and what has been used"
    );
    play.fetched(link, 2, FetchEnd::Held);
    play.fetched(link, 3, FetchEnd::Held);
    let started: Vec<Tried> = play.started().into_iter().map(|(_, tried)| tried).collect();
    assert_eq!(started, [first(2), first(3)]);
    assert_eq!(told(&play.said(link)).1, []);
}

/// W4: what waits gives way to what could run.
#[test]
fn a_run_without_room_has_the_others_give_theirs_up() {
    let (mut play, link) = Play::linked();
    for n in 1..=2 {
        play.assigns(link, &template(4, &[n]), &[first(n.into())]);
        play.fetched(link, n, FetchEnd::Held);
    }
    play.assigns(link, &template(4, &[3]), &[first(3)]);
    assert_eq!(play.started(), [(RunId(1), first(1))]);
    play.fetches.clear();
    play.ends(RunId(1), RunEnd::Lost(Loss::NoSpace));
    assert_eq!(play.forgotten, [digest(3), digest(2)]);
    assert_eq!(play.started(), [(RunId(2), first(1))]);
    play.done(RunId(2));
    assert_eq!(play.fetches, [(link, digest(2))], "then it is their turn");
}

/// W4.
#[test]
fn an_input_without_room_on_the_disk_waits_while_something_runs() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(1, &[]), &[first(1)]);
    play.assigns(link, &template(1, &[2]), &[first(2)]);
    for tries in 1..=9 {
        assert_eq!(play.fetches.len(), tries);
        play.fetched(link, 2, FetchEnd::Unkept);
    }
    play.done(RunId(1));
    play.fetched(link, 2, FetchEnd::Unkept);
    assert_eq!(
        told(&play.said(link)).1,
        [],
        "its result takes room as well"
    );
    play.acks(link, &[first(1)]);
    for _ in 0..3 {
        play.fetched(link, 2, FetchEnd::Unkept);
    }
    assert_eq!(told(&play.said(link)).1, [(first(2), Loss::NoSpace)]);
}

#[test]
fn a_task_of_an_unknown_template_is_handed_back() {
    let (mut play, link) = Play::linked();
    let task = Assigned {
        task: TaskId(1),
        round: round(1, 1),
        template: TemplateId(9),
        body: TaskBody::default(),
    };
    play.hear(
        link,
        Assign {
            master: MASTER,
            epoch: Epoch(1),
            templates: Vec::new(),
            tasks: vec![task],
        },
    );
    assert_eq!(told(&play.said(link)).1, [(first(1), Loss::Forgotten)]);
}

#[test]
fn outputs_whose_names_fit_no_frame_are_a_failure_of_the_task() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(1, &[]), &[first(1)]);
    let output = |n: u32| ReturnedFile {
        name: RelPath::new(&format!("{}/{n}", "long".repeat(60))).expect("a good path"),
        file: FileRef {
            digest: Digest(std::array::from_fn(|i| n.to_le_bytes()[i % 4])),
            bytes: 1,
        },
        executable: false,
    };
    play.ends(
        RunId(1),
        RunEnd::Ran(report((0..4_000).map(output).collect())),
    );
    assert_eq!(
        told(&play.said(link)).0,
        [(first(1), Err(Failure::TooMuchOutput))]
    );
    play.acks(link, &[first(1)]);
    assert!(play.worker.is_idle());
    assert!(
        !play
            .said(link)
            .iter()
            .any(|frame| matches!(frame, Frame::Reports(_)))
    );
}

#[test]
fn a_report_waits_for_company_while_there_is_other_work_and_leaves_at_once_when_there_is_none() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(1, &[]), &[first(1), first(2)]);
    let started = play.started();
    let ended = |n: usize| {
        let end = RunEnd::Ran(report(Vec::new()));
        Input::Local(Local::Ended {
            run: started[n].0,
            end,
            spoiled: Vec::new(),
        })
    };
    play.input(ended(0));
    play.input(Input::Tick);
    assert_eq!(play.said(link), [], "the other one still runs");
    play.now = play.now + LINGER;
    play.input(Input::Tick);
    assert_eq!(play.said(link).len(), 1, "it has waited long enough");
    play.input(ended(1));
    play.input(Input::Tick);
    assert_eq!(play.said(link).len(), 1, "nothing else is in hand");
}
