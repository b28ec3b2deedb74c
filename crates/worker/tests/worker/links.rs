//! Superiors that come and go, results that are held meanwhile, and leaving.

use muster_proto::machine::{FetchEnd, Input};
use muster_proto::outcome::{Loss, ReturnedFile};
use muster_proto::task::FileRef;
use muster_proto::wire::{CloseCode, Frame, Offer};
use muster_proto::{Attempt, RelPath, Resources, TaskKey};
use muster_worker::{RunEnd, RunId};

use crate::play::{MASTER, Play, digest, first, report, template, told};

/// The attempts that the inventory among `frames` lists.
fn held(frames: &[Frame]) -> Vec<Attempt> {
    let parts = frames.iter().filter_map(|frame| match frame {
        Frame::Inventory(part) => Some(&part.held),
        _ => None,
    });
    parts.flatten().map(|held| held.attempt).collect()
}

#[test]
fn a_superior_is_first_told_the_shape_and_that_nothing_is_held() {
    let mut play = Play::new();
    let link = play.above("f1");
    play.tick();
    let said = play.said(link);
    let shape = Resources {
        memory_bytes: 8 << 30,
        ..Resources::cores(4)
    };
    assert_eq!(
        said[0],
        Frame::from(Offer {
            host: "node07".to_owned(),
            shapes: vec![(shape, 1)]
        })
    );
    assert!(
        matches!(&said[1..], [Frame::Inventory(part)] if part.last && part.settled && part.held.is_empty())
    );
}

#[test]
fn a_result_is_held_until_it_is_acknowledged_and_said_on_every_new_link() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(1, &[]), &[first(1), first(2)]);
    let output = ReturnedFile {
        name: RelPath::new("out").expect("a good path"),
        file: FileRef {
            digest: digest(5),
            bytes: 10,
        },
        executable: false,
    };
    play.ends(RunId(1), RunEnd::Ran(report(vec![output])));
    assert_eq!(told(&play.said(link)).0, [(first(1), Ok(()))]);
    play.leaves(link);
    let link = play.above("f1");
    let said = play.said(link);
    let reports = said
        .iter()
        .position(|frame| matches!(frame, Frame::Reports(_)));
    let inventory = said
        .iter()
        .position(|frame| matches!(frame, Frame::Inventory(_)));
    assert!(reports.is_some() && reports < inventory, "{said:?}");
    let (task, round) = first(2);
    assert_eq!(
        held(&said),
        [Attempt {
            key: TaskKey {
                master: MASTER,
                task
            },
            round
        }]
    );
    play.acks(link, &[first(1)]);
    play.leaves(link);
    let link = play.above("f2");
    assert_eq!(
        told(&play.said(link)).0,
        [],
        "another superior is told as much, and no more"
    );
}

#[test]
fn a_lost_link_costs_nothing() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(4, &[]), &[first(1), first(2)]);
    play.started();
    play.leaves(link);
    play.done(RunId(1));
    assert_eq!(
        play.started(),
        [(RunId(2), first(2))],
        "it goes on with what it has"
    );
    let link = play.above("f1");
    assert_eq!(told(&play.said(link)).0, [(first(1), Ok(()))]);
}

#[test]
fn inputs_that_were_coming_are_asked_from_the_next_superior() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(1, &[7]), &[first(1)]);
    play.leaves(link);
    play.fetched(link, 7, FetchEnd::Failed);
    let next = play.above("f1");
    assert_eq!(play.fetches, [(link, digest(7)), (next, digest(7))]);
    play.fetched(next, 7, FetchEnd::Held);
    assert_eq!(play.started(), [(RunId(1), first(1))]);
}

#[test]
fn a_newer_link_to_a_superior_takes_the_place_of_the_older() {
    let (mut play, older) = Play::linked();
    let newer = play.above("f1");
    assert_eq!(play.closed, [(older, CloseCode::Superseded)]);
    play.leaves(older);
    play.assigns(newer, &template(1, &[]), &[first(1)]);
    assert_eq!(play.started(), [(RunId(1), first(1))]);
}

#[test]
fn draining_hands_everything_back_and_keeps_results_until_they_are_safe() {
    let (mut play, link) = Play::linked();
    play.assigns(link, &template(2, &[]), &[first(1), first(2), first(3)]);
    play.done(RunId(1));
    play.said(link);
    play.input(Input::Drain);
    play.tick();
    let said = play.said(link);
    let gone: Vec<_> = [2, 3].map(|task| (first(task), Loss::Evicted)).into();
    assert_eq!(told(&said), (Vec::new(), gone));
    assert!(
        said.iter()
            .any(|frame| matches!(frame, Frame::Offer(offer) if offer.shapes.is_empty()))
    );
    assert!(!play.worker.is_drained());
    for run in play.killed.clone() {
        play.ends(run, RunEnd::Killed);
    }
    assert!(
        !play.worker.is_drained(),
        "the result of task 1 is not safe yet"
    );
    play.assigns(link, &template(1, &[]), &[first(9)]);
    assert_eq!(
        told(&play.said(link)).1,
        [(first(9), Loss::Evicted)],
        "what crossed the news is handed back"
    );
    play.acks(link, &[first(1)]);
    assert!(play.worker.is_drained());
}

#[test]
fn only_its_superior_may_give_orders() {
    let (mut play, link) = Play::linked();
    play.leaves(link);
    play.assigns(link, &template(1, &[]), &[first(1)]);
    assert_eq!(play.closed, [(link, CloseCode::WrongRole)]);
    let link = play.above("f1");
    play.hear(
        link,
        Offer {
            host: String::new(),
            shapes: Vec::new(),
        },
    );
    assert_eq!(play.closed.last(), Some(&(link, CloseCode::Protocol)));
}
