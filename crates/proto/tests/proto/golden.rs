//! The bytes of everything that crosses a wire are frozen in `tests/golden/`, a line of hexadecimal digits for each
//! sample. A file that is missing is written when `MUSTER_GOLDEN=write` is set; one that is there is never changed.

use std::fs;
use std::path::PathBuf;

use muster_proto::wire::bulk::{ABSENT, Groups, REQUEST_BYTES_MAX, Request};
use muster_proto::wire::{CloseCode, Frame, HEADER_BYTES, Header, Kind, VERSIONS};

use crate::samples::{digest, samples};

/// A sample's bytes, as they cross the wire.
pub fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

/// What the bytes of one frame say.
pub fn decoded(bytes: &[u8]) -> Option<Frame> {
    let (head, payload) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    Frame::decode(Header::read(*head).ok()?, payload).ok()
}

fn golden(name: &str, lines: &[Vec<u8>], advice: &str) {
    let hex = |bytes: &Vec<u8>| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
            + "\n"
    };
    let found: String = lines.iter().map(hex).collect();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if !path.exists() && std::env::var("MUSTER_GOLDEN").is_ok_and(|wish| wish == "write") {
        fs::write(&path, &found).expect("the golden file is written");
    }
    let wanted = fs::read_to_string(&path);
    let wanted = wanted
        .unwrap_or_else(|_| panic!("tests/golden/{name} is missing; MUSTER_GOLDEN=write makes it"));
    assert_eq!(
        found, wanted,
        "the bytes of tests/golden/{name} have changed: {advice}"
    );
}

#[test]
fn every_kind_of_frame_has_the_bytes_it_had() {
    for &kind in Kind::ALL {
        let bytes: Vec<Vec<u8>> = samples(kind).iter().map(encoded).collect();
        let number = kind as u16;
        let name = format!("{number:03}-{kind:?}.1.hex");
        let advice = format!(
            "a released payload is frozen. Give {kind:?} schema 2 beside schema 1, raise the newest of wire::VERSIONS, \
             and commit the new bytes as {number:03}-{kind:?}.2.hex"
        );
        golden(&name, &bytes, &advice);
    }
}

#[test]
fn no_golden_file_is_without_its_kind() {
    let kinds = Kind::ALL
        .iter()
        .map(|kind| format!("{:03}-{kind:?}.1.hex", *kind as u16));
    let mut known: Vec<String> = kinds.chain(["bulk.2.hex".to_owned()]).collect();
    known.sort();
    let folder = fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden"))
        .expect("the folder");
    let mut found: Vec<String> = folder
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    found.sort();
    assert_eq!(found, known);
}

#[test]
fn every_sample_is_read_as_it_was_written() {
    for &kind in Kind::ALL {
        for frame in samples(kind) {
            assert_eq!(frame.kind(), kind);
            assert_eq!(decoded(&encoded(&frame)).as_ref(), Some(&frame), "{kind:?}");
        }
    }
}

#[test]
fn requests_of_bulk_streams_have_the_bytes_they_had() {
    let requests = [
        Request::Get(vec![digest(1), digest(2)]),
        Request::Put(vec![digest(3)]),
        Request::Have(Vec::new()),
        Request::Parts {
            digest: digest(4),
            groups: vec![
                Groups {
                    first: 0,
                    count: 300,
                },
                Groups {
                    first: 70_000,
                    count: 1,
                },
            ],
        },
    ];
    let bytes: Vec<Vec<u8>> = requests.iter().map(Request::encode).collect();
    golden(
        "bulk.2.hex",
        &bytes,
        "raise the number in the ALPN name `muster-bulk/2` and commit the new bytes as bulk.3.hex",
    );
    for (request, bytes) in requests.iter().zip(&bytes) {
        assert_eq!(Request::decode(&bytes[4..]).as_ref(), Some(request));
    }
}

#[test]
fn numbers_that_are_contracts_stay() {
    assert_eq!(VERSIONS, (1, 1));
    assert_eq!((ABSENT, REQUEST_BYTES_MAX), (u64::MAX, 32_784));
    let codes = [
        (CloseCode::Done, 0),
        (CloseCode::WrongRole, 1),
        (CloseCode::Alien, 2),
        (CloseCode::Protocol, 3),
        (CloseCode::Slow, 4),
        (CloseCode::Version, 5),
        (CloseCode::Superseded, 6),
        (CloseCode::Leaving, 7),
        (CloseCode::Full, 8),
    ];
    for (code, number) in codes {
        assert_eq!(code as u32, number, "{code:?}");
    }
}
