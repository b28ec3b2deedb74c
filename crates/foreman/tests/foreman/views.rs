//! What people are told of a site and of the foremen below it.

use muster_proto::Role;
use muster_proto::limits::INQUIRY_WAIT;
use muster_proto::machine::{FetchEnd, Side};
use muster_proto::wire::{CacheStatus, Explain, Explained, Frame, Status, StatusReply, Subject};

use crate::play::{MASTER, Play, digest, first, peer};

fn reply(play: &mut Play, link: muster_proto::LinkId) -> StatusReply {
    play.tick();
    match play.said(link).pop() {
        Some(Frame::StatusReply(reply)) => reply,
        other => panic!("no status: {other:?}"),
    }
}

#[test]
fn a_site_tells_what_its_cache_has_spared_the_link_above() {
    let mut play = Play::new();
    let master = play.above("m1");
    play.worker("w1", 4);
    play.assigns(master, (MASTER, 1), &[first(1), first(2)], &[7]);
    play.fetched(master, 7, FetchEnd::Held);
    play.assigns(master, (MASTER, 1), &[first(3)], &[7]);
    play.said(master);
    play.hear(master, Status {});
    let CacheStatus {
        files,
        wanted,
        hits,
        joined,
        fetches,
        fetched_bytes,
        bytes,
        ..
    } = *reply(&mut play, master).cache;
    assert_eq!((files, wanted, hits, joined, fetches), (1, 3, 1, 1, 1));
    assert_eq!(fetched_bytes, bytes);
    play.hear(
        master,
        Explain {
            subject: Subject::File(digest(7)),
        },
    );
    play.tick();
    let Some(Frame::Explained(told)) = play.said(master).pop() else {
        panic!("nothing is known of the file")
    };
    assert!(
        told.lines[0].contains("needed by 3 now, wanted 3 time(s), fetched 1 time(s)"),
        "{told:?}"
    );
}

#[test]
fn foremen_below_are_asked_too_and_one_that_is_silent_is_left_out() {
    let mut play = Play::new();
    let master = play.above("m1");
    let [quick, silent] = ["f2", "f3"].map(|name| {
        let link = play.arrives(&peer(Role::Foreman, name), Side::Subordinate);
        play.holds(link, &[]);
        link
    });
    play.said(master);
    play.hear(master, Status {});
    for link in [quick, silent] {
        assert!(matches!(play.said(link).pop(), Some(Frame::Status(_))));
    }
    play.hear(
        quick,
        StatusReply {
            rss_bytes: 5,
            ..StatusReply::default()
        },
    );
    play.tick();
    let is_reply = |frame: &Frame| matches!(frame, Frame::StatusReply(_));
    let said = play.said(master);
    assert!(!said.iter().any(is_reply), "one is still awaited: {said:?}");
    play.pass(INQUIRY_WAIT);
    let StatusReply { sites, notes, .. } = reply(&mut play, master);
    assert!(
        notes[0].ends_with("f3") && notes[0].starts_with("no answer from"),
        "{notes:?}"
    );
    let told: Vec<_> = sites
        .iter()
        .map(|site| (site.peer.name.as_str(), site.rss_bytes))
        .collect();
    assert_eq!(told, [("f2", 5)]);
}

#[test]
fn what_foremen_below_know_of_a_file_is_told_with_their_names() {
    let mut play = Play::new();
    let master = play.above("m1");
    let below = play.arrives(&peer(Role::Foreman, "f2"), Side::Subordinate);
    play.holds(below, &[]);
    play.said(master);
    play.hear(
        master,
        Explain {
            subject: Subject::File(digest(7)),
        },
    );
    play.hear(
        below,
        Explained {
            lines: vec!["here".to_owned()],
        },
    );
    play.tick();
    let Some(Frame::Explained(told)) = play.said(master).pop() else {
        panic!("nothing is known of the file")
    };
    assert_eq!(told.lines.len(), 2);
    assert_eq!(told.lines[0], "not here");
    assert!(told.lines[1].ends_with("f2: here"), "{told:?}");
}
