use muster_apps::replica_exchange::demo;
use muster_proto::outcome::{Measured, Stream};
use muster_proto::wire::{LinkStatus, TaskCounts};
use muster_proto::{Peer, Span};

use super::*;

#[test]
fn workers_that_come_go_and_come_again_are_seen() {
    let mut record = Record::new(&demo::exchange(1), 4);
    record.status(at(100), status([("site-a", 1), ("site-b", 0)]));
    record.status(at(300), status([("site-a", 2), ("site-b", 2)]));
    record.status(at(500), status([("site-a", 2), ("site-b", 2)]));
    record.status(at(700), status([("site-a", 2), ("site-b", 1)]));
    record.status(at(900), status([("site-a", 2), ("site-b", 2)]));
    let timeline = record.timeline();
    assert_eq!(timeline.sites[0].workers, [(0.1, 1), (0.3, 2)]);
    assert_eq!(timeline.sites[1].workers, [(0.3, 2), (0.7, 1), (0.9, 2)]);
    let events: Vec<_> = timeline
        .events
        .iter()
        .map(|event| event.what.as_str())
        .collect();
    assert_eq!(
        events,
        [
            "all 4 workers are connected",
            "3 of 4 workers connected",
            "again 4 workers"
        ]
    );
}

#[test]
fn a_site_whose_link_is_gone_has_no_workers() {
    let mut record = Record::new(&demo::exchange(1), 2);
    record.status(at(100), status([("site-a", 2)]));
    record.status(at(200), status([]));
    assert_eq!(record.timeline().sites[0].workers, [(0.1, 2), (0.2, 0)]);
}

#[test]
fn a_worker_runs_one_task_at_a_time_however_late_results_come() {
    let mut record = Record::new(&demo::exchange(1), 1);
    record.submitted(at(100));
    record.ran(at(500), "site-a", &ran("w1", 300));
    record.ran(at(600), "site-a", &ran("w1", 300));
    record.ran(at(600), "site-a", &ran("w2", 300));
    let runs = &record.timeline().sites[0].runs;
    let runs: Vec<_> = runs
        .iter()
        .map(|(start, end)| ((start * 10.0).round(), (end * 10.0).round()))
        .collect();
    assert_eq!(runs, [(2.0, 5.0), (5.0, 6.0), (3.0, 6.0)]);
    assert_eq!((record.received(), record.makespan()), (3, 0.5));
    assert_eq!(
        record.timeline().events.len(),
        2,
        "the first submit and the first result"
    );
}

#[test]
fn a_master_that_came_back_counts_anew_and_the_record_goes_on() {
    let mut record = Record::new(&demo::exchange(1), 4);
    let counted = |epoch, attempts, evicted| StatusReply {
        epoch,
        tasks: TaskCounts {
            attempts,
            ..TaskCounts::default()
        },
        losses: vec![("evicted".to_owned(), evicted)],
        ..StatusReply::default()
    };
    record.status(at(100), counted(1, 8, 1));
    record.status(at(200), counted(1, 16, 2));
    assert_eq!(
        (
            record.counted().attempts,
            record.counted().lost(),
            record.restarts()
        ),
        (16, 2, 0)
    );
    record.status(at(300), counted(2, 5, 1));
    assert_eq!(
        (
            record.counted().attempts,
            record.counted().lost(),
            record.restarts()
        ),
        (21, 3, 1)
    );
    let events: Vec<_> = record
        .timeline()
        .events
        .into_iter()
        .map(|event| event.what)
        .collect();
    let lost = "an attempt was lost; another follows";
    assert_eq!(events, [lost, lost, "the master is back", lost]);
}

fn at(ms: u64) -> Time {
    Time(ms * 1_000)
}

fn status<const N: usize>(sites: [(&str, u32); N]) -> StatusReply {
    let links = sites.map(|(site, slots)| LinkStatus {
        peer: Peer {
            role: Role::Foreman,
            site: site.to_owned(),
            name: "foreman".to_owned(),
        },
        is_below: true,
        slots,
        leased: 0,
        sent_bytes: 0,
        received_bytes: 0,
        rtt_us: 0,
    });
    StatusReply {
        links: links.into(),
        ..StatusReply::default()
    }
}

fn ran(worker: &str, wall_ms: u64) -> Ran {
    Ran {
        result: Ok(()),
        worker: worker.to_owned(),
        measured: Measured {
            wall: Span::millis(wall_ms),
            ..Measured::default()
        },
        stdout: Stream::default(),
        stderr: Stream::default(),
        outputs: Vec::new(),
    }
}
