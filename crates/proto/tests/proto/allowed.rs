//! Who may say what: the whole table, cell by cell.

use muster_proto::Role;
use muster_proto::wire::{Kind, allowed};

/// The roles that may send each kind, by the initials of master, foreman, worker, catalog and user. The match has no
/// default arm, so a new kind does not build until its row is written here.
fn senders(kind: Kind) -> &'static str {
    match kind {
        Kind::Hello => "mfw u",
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
        Kind::Status => "    u",
        Kind::StatusReply => "mf   ",
        Kind::Explain => "    u",
        Kind::Explained => "m    ",
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
fn the_catalog_says_nothing_on_a_control_connection() {
    assert!(Kind::ALL.iter().all(|kind| !allowed(Role::Catalog, *kind)));
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
