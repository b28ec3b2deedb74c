//! Whatever a peer sends: nothing panics, nothing allocates much more than what came, nothing beyond a limit passes.

use std::sync::Arc;

use muster_proto::limits::{
    BATCH_MAX, FILE_BYTES_MAX, FRAME_BYTES_MAX, RANGES_MAX, SHAPES_MAX, TAIL_BYTES_MAX,
    WORDS_BYTES_MAX, WORKERS_PER_SHAPE_MAX,
};
use muster_proto::outcome::{Outcome, Verdict};
use muster_proto::task::{Algorithm, Command, TaskBody, Words};
use muster_proto::wire::bulk::Request;
use muster_proto::wire::{
    Delivered, Explained, Frame, HEADER_BYTES, Header, Hello, Kind, LinkStatus, Offer, Outcomes,
    StatusReply, Submit, Watch, WireError,
};
use muster_proto::{Digest, Peer, RelPath, Resources, Role, TaskId};
use proptest::prelude::*;

use crate::counting::bytes_of;
use crate::draw::Draw;
use crate::golden::{decoded, encoded};
use crate::samples::{body, digest, every_outcome, ran, samples, template};

/// What decoding may allocate: a small multiple of what came. The greatest is that of environments, whose entry of
/// two bytes becomes two strings.
fn allowance(payload: usize) -> usize {
    64 * payload + (64 << 10)
}

/// Decodes a payload as a frame of `kind`, checks the allowance, and that what is read is written alike.
fn feed(kind: Kind, payload: &[u8]) {
    let Ok(bytes) = u32::try_from(payload.len()) else {
        return;
    };
    let (allocated, frame) = bytes_of(|| Frame::decode(Header { bytes, kind }, payload));
    let most = allowance(payload.len());
    assert!(
        allocated <= most,
        "{kind:?}: {allocated} bytes for a payload of {}",
        payload.len()
    );
    if let Ok(frame) = frame {
        assert_eq!(
            decoded(&encoded(&frame)).as_ref(),
            Some(&frame),
            "what is within bounds stays so"
        );
    }
}

fn head(bytes: u32, kind: u16, schema: u16) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = bytes.to_le_bytes();
    let ([e, f], [g, h]) = (kind.to_le_bytes(), schema.to_le_bytes());
    [a, b, c, d, e, f, g, h]
}

/// Decodes what `frame` encodes to, with the error a receiver would close its link for.
fn received(frame: impl Into<Frame>) -> Result<Frame, WireError> {
    let bytes = encoded(&frame.into());
    let (head, payload) = bytes.split_first_chunk().expect("a header");
    Frame::decode(Header::read(*head)?, payload)
}

fn refused(frame: impl Into<Frame>, why: &str) {
    let frame = frame.into();
    let kind = frame.kind() as u16;
    assert_eq!(received(frame), Err(WireError::Beyond { kind }), "{why}");
}

proptest! {
    #![proptest_config(crate::tries(100))]

    #[test]
    fn any_header_is_read_or_refused(bytes: [u8; HEADER_BYTES]) {
        if let Ok(header) = Header::read(bytes) {
            prop_assert!(header.bytes as usize <= FRAME_BYTES_MAX);
        }
    }

    #[test]
    fn any_bytes_are_a_frame_or_none(
        kind in prop::sample::select(Kind::ALL),
        payload in prop::collection::vec(prop_oneof![any::<u8>(), 0_u8..4, Just(255)], 0..3_000)
    ) {
        feed(kind, &payload);
    }

    #[test]
    fn any_bytes_are_a_request_or_none(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0_u8..3], 0..3_000)) {
        let (allocated, request) = bytes_of(|| Request::decode(&bytes));
        prop_assert!(allocated <= allowance(bytes.len()));
        if let Some(request) = request {
            let again = request.encode();
            prop_assert_eq!(Request::decode(&again[4..]), Some(request));
        }
    }

    #[test]
    fn any_text_is_a_name_or_none(text in any::<String>()) {
        if let Ok(path) = RelPath::new(&text) {
            prop_assert_eq!(path.as_str(), &text);
            prop_assert!(path.parts().all(|part| !matches!(part, "" | "." | "..")));
        }
        prop_assert_eq!(text.parse::<Digest>().map(|digest| digest.to_string()).ok(), text.parse::<Digest>().ok().map(|_| text.clone()));
        let bytes = postcard::to_stdvec(&text).expect("a text serializes");
        if let Ok(words) = postcard::from_bytes::<Words>(&bytes) {
            let listed: Vec<&str> = words.iter().collect();
            prop_assert_eq!(Words::new(&listed), Ok(words));
        }
        let path = postcard::from_bytes::<RelPath>(&bytes);
        prop_assert_eq!(path.ok(), RelPath::new(&text).ok());
    }

    #[test]
    fn a_valid_frame_is_read_as_it_was_written(seed: u64) {
        let frame = Draw::new(seed).frame();
        prop_assert_eq!(received(frame.clone()), Ok(frame));
    }

    #[test]
    fn a_valid_frame_that_was_damaged_hurts_nobody(seed: u64, damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
        let frame = Draw::new(seed).frame();
        let mut payload = encoded(&frame).split_off(HEADER_BYTES);
        for (place, byte) in damage {
            let length = payload.len();
            match byte % 4 {
                _ if length == 0 => payload.push(byte),
                // A length of 2^63, where one may stand.
                0 => { payload.splice(place % length..=place % length, [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]); }
                1 => payload.truncate(place % length),
                _ => payload[place % length] = byte,
            }
        }
        feed(frame.kind(), &payload);
    }
}

#[test]
fn frames_that_are_cut_off_or_have_a_wrong_bit_hurt_nobody() {
    for frame in Kind::ALL.iter().flat_map(|kind| samples(*kind)) {
        let payload = encoded(&frame).split_off(HEADER_BYTES);
        for length in 0..payload.len() {
            let bytes = u32::try_from(length).expect("samples are short");
            let header = Header {
                bytes,
                kind: frame.kind(),
            };
            assert!(
                Frame::decode(header, &payload[..length]).is_err(),
                "{frame:?} cut at {length}"
            );
            assert!(
                Frame::decode(header, &payload).is_err(),
                "the header and the payload disagree"
            );
        }
        // In long samples every byte gets one wrong bit, each time another.
        let step = if payload.len() > 500 { 9 } else { 1 };
        for bit in (0..payload.len() * 8).step_by(step) {
            let mut wrong = payload.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            feed(frame.kind(), &wrong);
        }
    }
}

#[test]
fn bytes_after_a_frame_are_refused() {
    for frame in Kind::ALL.iter().flat_map(|kind| samples(*kind)) {
        let mut payload = encoded(&frame).split_off(HEADER_BYTES);
        payload.push(0);
        let (bytes, kind) = (
            u32::try_from(payload.len()).expect("samples are short"),
            frame.kind(),
        );
        let found = Frame::decode(Header { bytes, kind }, &payload);
        assert_eq!(found, Err(WireError::Malformed { kind: kind as u16 }));
    }
    let request = Request::Get(vec![digest(1)]).encode();
    assert_eq!(Request::decode(&[&request[4..], &[0]].concat()), None);
}

#[test]
fn a_header_is_refused_before_its_payload_is_waited_for() {
    let long = u32::try_from(FRAME_BYTES_MAX).expect("the limit fits") + 1;
    assert_eq!(
        Header::read(head(long, 1, 1)),
        Err(WireError::Long { bytes: long })
    );
    assert_eq!(
        Header::read(head(u32::MAX, 1, 1)),
        Err(WireError::Long { bytes: u32::MAX })
    );
    assert_eq!(
        Header::read(head(long - 1, 1, 1)),
        Ok(Header {
            bytes: long - 1,
            kind: Kind::Hello
        })
    );
    for (kind, schema) in [
        (0, 1),
        (10, 1),
        (31, 1),
        (43, 1),
        (u16::MAX, 1),
        (1, 0),
        (1, 2),
        (1, u16::MAX),
    ] {
        assert_eq!(
            Header::read(head(0, kind, schema)),
            Err(WireError::Unknown { kind, schema })
        );
    }
}

#[test]
fn a_claim_of_many_elements_reserves_nothing() {
    // A sequence of 2^63 elements, and one of as many as there are bytes after it, at the start of every kind.
    let claims: [&[u8]; 3] = [
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
        &[0xa0, 0x1f],
        &[0, 0, 0xa0, 0x1f],
    ];
    for claim in claims {
        for filler in [0, 1, 2] {
            let payload = [claim, &[filler; 4_000]].concat();
            Kind::ALL.iter().for_each(|kind| feed(*kind, &payload));
        }
    }
}

#[test]
fn sequences_beyond_their_limit_are_refused() {
    let tasks = |count: usize| (0..count as u64).map(TaskId).collect();
    assert!(
        received(Delivered {
            tasks: tasks(BATCH_MAX)
        })
        .is_ok()
    );
    refused(
        Delivered {
            tasks: tasks(BATCH_MAX + 1),
        },
        "a batch too long",
    );
    let ranges = |count: usize| vec![(TaskId(1), TaskId(2)); count];
    assert!(
        received(Watch {
            ranges: ranges(RANGES_MAX)
        })
        .is_ok()
    );
    refused(
        Watch {
            ranges: ranges(RANGES_MAX + 1),
        },
        "too many ranges",
    );
    refused(
        Explained {
            lines: vec![String::new(); BATCH_MAX + 1],
        },
        "too many sentences",
    );
    let words = "a\0".repeat(WORDS_BYTES_MAX / 2) + "b";
    let bytes = postcard::to_stdvec(&words).expect("a text serializes");
    assert!(
        postcard::from_bytes::<Words>(&bytes).is_err(),
        "words beyond their limit"
    );
}

#[test]
fn offers_that_make_no_sense_are_refused() {
    let offer = |shapes: Vec<(Resources, u32)>| Offer {
        host: "node07".to_owned(),
        shapes,
    };
    let (small, large) = (Resources::cores(1), Resources::cores(2));
    assert!(received(offer(vec![(small, 1), (large, WORKERS_PER_SHAPE_MAX)])).is_ok());
    refused(offer(vec![(small, 0)]), "a shape that no worker has");
    refused(
        offer(vec![(small, WORKERS_PER_SHAPE_MAX + 1)]),
        "more workers than there can be",
    );
    refused(offer(vec![(small, 1), (small, 1)]), "a shape twice");
    refused(offer(vec![(large, 1), (small, 1)]), "shapes out of order");
    let many = (1..=SHAPES_MAX as u32 + 1).map(|cores| (Resources::cores(cores), 1));
    refused(offer(many.collect()), "too many shapes");
    for host in ["a\nb", "\u{1b}[2J", "a\0", &"h".repeat(256)] {
        refused(
            Offer {
                host: host.to_owned(),
                shapes: Vec::new(),
            },
            host,
        );
    }
}

/// What moves a cursor, ends a line or a string, or sets a title.
const CONTROL: [&str; 5] = [
    "\u{1b}]0;owned\u{7}",
    "two\nlines",
    "nul\0",
    "\r",
    "\u{9b}2J",
];

#[test]
fn texts_that_could_reach_a_terminal_hold_no_control_characters() {
    for hostile in CONTROL {
        let text = || hostile.to_owned();
        refused(
            Hello {
                oldest: 1,
                newest: 1,
                release: text(),
            },
            hostile,
        );
        refused(
            Explained {
                lines: vec![text()],
            },
            hostile,
        );
        refused(
            StatusReply {
                notes: vec![text()],
                ..StatusReply::default()
            },
            hostile,
        );
        refused(
            StatusReply {
                losses: vec![(text(), 1)],
                ..StatusReply::default()
            },
            hostile,
        );
        let outcome = Outcome {
            site: text().into(),
            ..every_outcome().remove(2)
        };
        refused(
            Outcomes {
                outcomes: vec![outcome],
                open: 0,
            },
            hostile,
        );
    }
    refused(
        Hello {
            oldest: 2,
            newest: 1,
            release: String::new(),
        },
        "versions that end before they begin",
    );
}

#[test]
fn names_in_templates_hold_no_control_characters() {
    for hostile in CONTROL {
        let text = || hostile.to_owned();
        let submit = |template| Submit {
            session: 1,
            sequence: 1,
            template: Arc::new(template),
            tasks: Vec::new(),
        };
        let mut category = template(Algorithm::FirstCome);
        category.category = text();
        refused(submit(category), hostile);
        let mut preferred = template(Algorithm::PreferredHosts);
        preferred.policy.preferred = vec![text()];
        refused(submit(preferred), hostile);
        let mut variable = template(Algorithm::FirstCome);
        variable.environment = vec![(text(), String::new())];
        refused(submit(variable), hostile);
    }
}

#[test]
fn names_of_peers_are_names() {
    let long = "n".repeat(65);
    for hostile in [
        "",
        "-rf",
        ".hidden",
        "a/b",
        "a b",
        "a\nb",
        "größe",
        "..",
        long.as_str(),
    ] {
        let link = |site: &str, name: &str| LinkStatus {
            peer: Peer {
                role: Role::Worker,
                site: site.to_owned(),
                name: name.to_owned(),
            },
            is_below: true,
            slots: 0,
            leased: 0,
            sent_bytes: 0,
            received_bytes: 0,
            rtt_us: 0,
        };
        for link in [link(hostile, "w1"), link("campus", hostile)] {
            refused(
                StatusReply {
                    links: vec![link],
                    ..StatusReply::default()
                },
                hostile,
            );
        }
        let mut ran = ran(Ok(()));
        Arc::make_mut(&mut ran).worker = hostile.to_owned();
        let outcome = |ran| Outcome {
            verdict: Verdict::Ran {
                round: every_round(),
                ran,
            },
            ..every_outcome().remove(0)
        };
        refused(
            Outcomes {
                outcomes: vec![outcome(ran)],
                open: 0,
            },
            hostile,
        );
    }
}

fn every_round() -> muster_proto::Try {
    muster_proto::Try {
        epoch: muster_proto::Epoch(1),
        n: 1,
    }
}

#[test]
fn declared_lengths_that_no_file_has_are_refused() {
    for bytes in [FILE_BYTES_MAX + 1, 1 << 63, u64::MAX] {
        let outcomes = |change: &dyn Fn(&mut muster_proto::outcome::Ran)| {
            let mut ran = ran(Ok(()));
            change(Arc::make_mut(&mut ran));
            let verdict = Verdict::Ran {
                round: every_round(),
                ran,
            };
            Outcomes {
                outcomes: vec![Outcome {
                    verdict,
                    ..every_outcome().remove(0)
                }],
                open: 0,
            }
        };
        refused(
            outcomes(&|ran| ran.outputs[0].file.bytes = bytes),
            "an output",
        );
        refused(
            outcomes(&|ran| ran.stderr.bytes = bytes),
            "a stream that is a file",
        );
        refused(
            outcomes(&|ran| ran.stdout.tail = vec![0; TAIL_BYTES_MAX + 1]),
            "a tail",
        );
        let mut shared = template(Algorithm::FirstCome);
        shared.inputs[0].file.bytes = bytes;
        let mut own: TaskBody = body();
        own.inputs[0].file.bytes = bytes;
        let submit = |template, tasks| Submit {
            session: 1,
            sequence: 1,
            template: Arc::new(template),
            tasks,
        };
        refused(submit(shared, Vec::new()), "an input of the template");
        refused(
            submit(template(Algorithm::FirstCome), vec![own]),
            "an input of the task",
        );
    }
}

#[test]
fn a_template_needs_something_to_run() {
    let mut empty = template(Algorithm::FirstCome);
    empty.command = Command::Exec(Words::default());
    let submit = Submit {
        session: 1,
        sequence: 1,
        template: Arc::new(empty),
        tasks: Vec::new(),
    };
    refused(submit, "a program without a name");
}
