//! The bytes of the journal's records are frozen in `tests/golden/`, one file for each kind. A file that is missing
//! is written when `MUSTER_GOLDEN=write` is set; one that is there is never changed.

use std::path::PathBuf;

use muster_foreman::{Event, Spooled};
use muster_proto::machine::{BadRecord, Record};
use muster_proto::outcome::Failure;
use muster_proto::{Attempt, Role, TaskId, TaskKey};

use crate::play::{MASTER, peer, ran, round};

/// One record of each kind, with its file. The match keeps the list complete: a new kind does not build without it.
fn samples() -> Vec<(&'static str, Event)> {
    let next = |event: &Event| match event {
        Event::Met(..) => Some(spooled()),
        Event::Spooled(_) => Some(Event::Released(vec![attempt(1, 1), attempt(300, 2)])),
        Event::Released(_) => Some(Event::Leased(peer(Role::Worker, "w1"))),
        Event::Leased(_) => Some(Event::Cleared(peer(Role::Foreman, "f2"))),
        Event::Cleared(_) => None,
    };
    let met = Event::Met(MASTER, peer(Role::Master, "m1"));
    let names = [
        "1-met.1",
        "2-spooled.1",
        "3-released.1",
        "4-leased.1",
        "5-cleared.1",
    ];
    names
        .into_iter()
        .zip(std::iter::successors(Some(met), next))
        .collect()
}

fn attempt(task: u64, n: u32) -> Attempt {
    let key = TaskKey {
        master: MASTER,
        task: TaskId(task),
    };
    Attempt {
        key,
        round: round(1, n),
    }
}

fn spooled() -> Event {
    let result = |n, ran| Spooled {
        attempt: attempt(n, 1),
        ran,
    };
    Event::Spooled(vec![
        result(1, ran(Ok(()), &[7])),
        result(2, ran(Err(Failure::Signal(9)), &[])),
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
            "the bytes of {name}.hex have changed: spools of released foremen hold them. Give the record the next \
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
