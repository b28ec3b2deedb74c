//! Who may say what: the whole table, cell by cell.

use muster_proto::Role;
use muster_proto::wire::{Kind, allowed};

/// The roles that may send each kind, by the initials of master, foreman, worker, catalog and user. The match has no
/// default arm, so a new kind does not build until its row is written here.
fn senders(kind: Kind) -> &'static str {
    match kind {
        Kind::Hello => "mfwcu",
        Kind::Offer => " fw  ",
        Kind::Assign => "mf   ",
        Kind::Reports => " fw  ",
        Kind::Ack => "mf   ",
        Kind::Cancel => "mf   ",
        Kind::Inventory => " fw  ",
        Kind::Started => " fw  ",
        Kind::Retire => "mf   ",
        Kind::Submit => "    u",
        Kind::Submitted => "m    ",
        Kind::Watch => "    u",
        Kind::Outcomes => "m    ",
        Kind::Delivered => "    u",
        Kind::CancelTasks => "    u",
        Kind::Cancelled => "m    ",
        Kind::Status => "mf  u",
        Kind::StatusReply => "mfw  ",
        Kind::Explain => "mf  u",
        Kind::Explained => "mf   ",
        Kind::Inquire => "mfwcu",
        Kind::Desist => "mfwcu",
        Kind::Answered => "   c ",
        Kind::Replica => "   c ",
        Kind::Raft => "   c ",
    }
}

#[test]
fn each_role_may_send_what_its_row_says_and_nothing_else() {
    for &kind in Kind::ALL {
        for (role, cell) in Role::ALL.into_iter().zip(senders(kind).chars()) {
            assert_eq!(allowed(role, kind), cell != ' ', "{role} sends {kind:?}");
        }
        assert_eq!(
            senders(kind).len(),
            Role::ALL.len(),
            "{kind:?} has a cell for each role"
        );
    }
}

#[test]
fn kinds_are_told_apart_by_number() {
    for number in 0..=u16::MAX {
        let kind = Kind::of(number);
        assert_eq!(
            kind.map(|kind| kind as u16),
            kind.is_some().then_some(number)
        );
    }
    let numbers: Vec<u16> = Kind::ALL.iter().map(|kind| *kind as u16).collect();
    assert!(
        numbers.is_sorted_by(|a, b| a < b),
        "each number is there once: {numbers:?}"
    );
}

/// The cells of the tables in `docs/wire.md` whose first cell `is_wanted`.
fn rows(is_wanted: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/wire.md");
    let page = std::fs::read_to_string(path).expect("the page about the wire");
    let tables = page.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = tables.map(|row| {
        row.split(" | ")
            .map(|cell| cell.trim_matches(['`', ' ', '|']).to_owned())
    });
    let rows = cells.map(Iterator::collect::<Vec<String>>);
    rows.filter(|row| row.len() > 2 && is_wanted(&row[0]))
        .collect()
}

#[test]
fn the_page_about_the_wire_lists_every_kind_with_its_number_and_senders() {
    let listed = rows(|cell| {
        cell.parse::<u16>()
            .is_ok_and(|number| Kind::of(number).is_some())
    });
    let kinds = listed.iter().filter(|row| row.len() == 5);
    let found: Vec<[String; 3]> = kinds
        .map(|row| [row[0].clone(), row[1].clone(), row[2].replace(' ', "")])
        .collect();
    let wanted: Vec<[String; 3]> = Kind::ALL
        .iter()
        .map(|kind| {
            [
                (*kind as u16).to_string(),
                format!("{kind:?}"),
                senders(*kind).replace(' ', ""),
            ]
        })
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn the_page_about_the_wire_gives_limits_their_values() {
    use muster_proto::limits::*;
    let values: [(&str, u64); 19] = [
        ("FRAME_BYTES_MAX", FRAME_BYTES_MAX as u64),
        ("BODY_BYTES_MAX", BODY_BYTES_MAX as u64),
        ("BATCH_MAX", BATCH_MAX as u64),
        ("RANGES_MAX", RANGES_MAX as u64),
        ("SHAPES_MAX", SHAPES_MAX as u64),
        ("WORKERS_PER_SHAPE_MAX", WORKERS_PER_SHAPE_MAX.into()),
        ("NAME_BYTES_MAX", NAME_BYTES_MAX as u64),
        ("HOST_BYTES_MAX", HOST_BYTES_MAX as u64),
        ("PATH_BYTES_MAX", PATH_BYTES_MAX as u64),
        ("PART_BYTES_MAX", PART_BYTES_MAX as u64),
        ("WORDS_BYTES_MAX", WORDS_BYTES_MAX as u64),
        ("TEXT_BYTES_MAX", TEXT_BYTES_MAX as u64),
        ("ENVIRONMENT_MAX", ENVIRONMENT_MAX as u64),
        ("FILES_PER_TASK_MAX", FILES_PER_TASK_MAX as u64),
        ("PREFERRED_MAX", PREFERRED_MAX as u64),
        ("TAIL_BYTES_MAX", TAIL_BYTES_MAX as u64),
        ("FILE_BYTES_MAX", FILE_BYTES_MAX),
        ("DIGESTS_PER_REQUEST_MAX", DIGESTS_PER_REQUEST_MAX as u64),
        ("PARTS_PER_REQUEST_MAX", PARTS_PER_REQUEST_MAX as u64),
    ];
    let listed = rows(|cell| cell.ends_with("_MAX"));
    let found: Vec<(&str, u64)> = listed
        .iter()
        .map(|row| (row[0].as_str(), value_of(&row[1])))
        .collect();
    assert_eq!(found, values);
}

/// A number as people write it: groups of digits, and perhaps a unit.
fn value_of(text: &str) -> u64 {
    let (digits, unit): (Vec<char>, Vec<char>) = text
        .chars()
        .filter(|c| *c != ' ')
        .partition(char::is_ascii_digit);
    let digits: String = digits.into_iter().collect();
    let shift = match unit.into_iter().collect::<String>().as_str() {
        "KiB" => 10,
        "MiB" => 20,
        "TiB" => 40,
        _ => 0,
    };
    digits.parse::<u64>().expect("a number") << shift
}
