//! Weights are upper bounds: batches cut by them always fit a frame.

use muster_proto::batch::cut;
use muster_proto::limits::{BATCH_MAX, BODY_BYTES_MAX, FRAME_BYTES_MAX};
use muster_proto::outcome::{Outcome, Report};
use muster_proto::wire::{Frame, LinkStatus, Outcomes, Reports, StatusReply};
use muster_proto::{MasterId, Peer, Role};
use proptest::prelude::*;

use crate::draw::Draw;
use crate::golden::{decoded, encoded};

fn bytes_of(value: &impl serde::Serialize) -> usize {
    postcard::to_stdvec(value)
        .expect("our own values serialize")
        .len()
}

proptest! {
    #![proptest_config(crate::tries(100))]

    #[test]
    fn nothing_is_heavier_than_its_weight(seed: u64) {
        let mut draw = Draw::new(seed);
        let (template, body) = (draw.template(), draw.body());
        let (ran, report, outcome) = (draw.ran(), draw.report(), draw.outcome());
        prop_assert!(bytes_of(&template) <= template.weight(), "{template:?}");
        prop_assert!(bytes_of(&body) <= body.weight(), "{body:?}");
        prop_assert!(bytes_of(&ran) <= ran.weight(), "{ran:?}");
        prop_assert!(bytes_of(&report) <= report.weight(), "{report:?}");
        prop_assert!(bytes_of(&outcome) <= outcome.weight(), "{outcome:?}");
    }
}

proptest! {
    #![proptest_config(crate::tries(2))]

    #[test]
    fn batches_cut_by_weight_fit_frames(seed: u64) {
        let mut draw = Draw::new(seed);
        let reports: Vec<Report> = (0..3_000).map(|_| draw.report()).collect();
        for reports in cut(reports, Report::weight) {
            let frame = Frame::from(Reports { master: MasterId(u64::MAX), reports });
            prop_assert_eq!(decoded(&encoded(&frame)), Some(frame));
        }
        let outcomes: Vec<Outcome> = (0..3_000).map(|_| draw.outcome()).collect();
        for outcomes in cut(outcomes, Outcome::weight) {
            let frame = Frame::from(Outcomes { outcomes, open: u64::MAX });
            prop_assert_eq!(decoded(&encoded(&frame)), Some(frame));
        }
    }
}

#[test]
fn the_status_of_a_master_with_every_child_it_may_have_fits_a_frame() {
    let link = |n: usize| LinkStatus {
        peer: Peer {
            role: Role::Worker,
            site: "s".repeat(64),
            name: format!("{n:064}"),
        },
        is_below: true,
        slots: u32::MAX,
        leased: u32::MAX,
        sent_bytes: u64::MAX,
        received_bytes: u64::MAX,
        rtt_us: u64::MAX,
    };
    let children = muster_proto::limits::CHILDREN_MAX;
    let whole = StatusReply {
        links: (0..children).map(link).collect(),
        ..StatusReply::default()
    };
    let cut = whole.clone().cut();
    let left_out = children - cut.links.len();
    assert_eq!(cut.notes, [format!("{left_out} more link(s)")]);
    assert!(
        cut.links.len() > 4_000,
        "{} links are listed",
        cut.links.len()
    );
    let bytes = encoded(&Frame::from(cut));
    assert!(bytes.len() <= FRAME_BYTES_MAX && decoded(&bytes).is_some());

    let few = StatusReply {
        links: whole.links[..9].to_vec(),
        ..whole
    };
    assert_eq!(few.clone().cut(), few);
}

#[test]
fn as_many_of_the_small_things_as_there_may_be_fit_a_frame() {
    // The longest encodings: ten bytes for 64 bits, five for 32; an attempt held is the largest of the small things.
    let held = 4 * 10 + 4 * 5;
    assert!(BATCH_MAX * held <= BODY_BYTES_MAX);
}
