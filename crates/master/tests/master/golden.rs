//! The bytes of the journal's records are frozen in `tests/golden/`, one file for each kind. A file that is missing
//! is written when `MUSTER_GOLDEN=write` is set; one that is there is never changed.

use std::path::PathBuf;
use std::sync::Arc;

use muster_master::{Event, Opened, Submitted};
use muster_proto::machine::{BadRecord, Record};
use muster_proto::outcome::{Failure, Outcome, Verdict};
use muster_proto::task::TaskBody;
use muster_proto::{Epoch, Role, TaskId, TemplateId};

use crate::play::{MASTER, peer, ran, round, template};

/// One record of each kind, with its file. The match keeps the list complete: a new kind does not build without it.
fn samples() -> Vec<(&'static str, Event)> {
    let next = |event: &Event| match event {
        Event::Opened(_) => Some(submitted()),
        Event::Submitted(_) => Some(accounted()),
        Event::Accounted(_) => Some(Event::Delivered(vec![TaskId(1), TaskId(300)])),
        Event::Delivered(_) => Some(Event::Leased(peer(Role::Foreman, "f1"))),
        Event::Leased(_) => Some(Event::Cleared(peer(Role::Worker, "w1"))),
        Event::Cleared(_) => None,
    };
    let opened = Event::Opened(Opened {
        master: MASTER,
        epoch: Epoch(3),
    });
    let names = [
        "1-opened.1",
        "2-submitted.1",
        "3-accounted.1",
        "4-delivered.1",
        "5-leased.1",
        "6-cleared.1",
    ];
    names
        .into_iter()
        .zip(std::iter::successors(Some(opened), next))
        .collect()
}

fn submitted() -> Event {
    Event::Submitted(Submitted {
        session: 5,
        sequence: 2,
        template: TemplateId(1),
        contents: Some(Arc::new(template(3))),
        first: TaskId(10),
        tasks: vec![TaskBody::default(); 2],
    })
}

fn accounted() -> Event {
    let outcome = |task, verdict| Outcome {
        task: TaskId(task),
        verdict,
        attempts: 2,
        site: "campus".into(),
    };
    Event::Accounted(vec![
        outcome(
            1,
            Verdict::Ran {
                round: round(1, 2),
                ran: ran(Ok(()), &[7]),
            },
        ),
        outcome(
            2,
            Verdict::Ran {
                round: round(1, 1),
                ran: ran(Err(Failure::Exit(1)), &[]),
            },
        ),
        outcome(3, Verdict::GivenUp(Failure::LostTooOften)),
        outcome(4, Verdict::Cancelled),
    ])
}

fn encoded(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    event.encode(&mut bytes);
    bytes
}

#[test]
fn every_record_has_the_bytes_it_had() {
    for (name, event) in samples() {
        let found: String = encoded(&event)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
            + "\n";
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(format!("{name}.hex"));
        if !path.exists() && std::env::var("MUSTER_GOLDEN").is_ok_and(|wish| wish == "write") {
            std::fs::write(&path, &found).expect("the golden file is written");
        }
        let wanted = std::fs::read_to_string(&path);
        let wanted = wanted
            .unwrap_or_else(|_| panic!("{name}.hex is missing; MUSTER_GOLDEN=write makes it"));
        assert_eq!(
            found, wanted,
            "the bytes of {name}.hex have changed: journals of released masters hold them. Give the record the next \
             schema, keep reading this one, and commit the new bytes beside it"
        );
    }
}

#[test]
fn every_record_is_read_as_it_was_written() {
    for (name, event) in samples() {
        assert_eq!(Event::decode(&encoded(&event)), Ok(event), "{name}");
    }
}

#[test]
fn records_that_are_cut_off_longer_or_newer_are_refused() {
    for (name, event) in samples() {
        let bytes = encoded(&event);
        for length in 0..bytes.len() {
            assert_eq!(
                Event::decode(&bytes[..length]),
                Err(BadRecord::Malformed),
                "{name} cut at {length}"
            );
        }
        assert_eq!(
            Event::decode(&[bytes.as_slice(), &[0]].concat()),
            Err(BadRecord::Malformed),
            "{name}"
        );
        let newer = [&[bytes[0], 2], &bytes[2..]].concat();
        assert_eq!(
            Event::decode(&newer),
            Err(BadRecord::Newer {
                kind: bytes[0],
                schema: 2
            }),
            "{name}"
        );
    }
    assert_eq!(
        Event::decode(&[200, 1]),
        Err(BadRecord::Newer {
            kind: 200,
            schema: 1
        })
    );
}
