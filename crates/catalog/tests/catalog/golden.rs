//! The bytes of the journal's records, of the log's commands, of snapshots and of what replicas say are frozen in
//! `tests/golden/`. A file that is missing is written when `MUSTER_GOLDEN=write` is set; one that is there is never
//! changed.

use std::path::PathBuf;

use muster_catalog::{Directory, Event, Kept, Proposal};
use muster_proto::catalog::raft::{
    Body, Entry, Hard, Membership, Message, Part, Round, Snapshot, Sort, Verdict,
};
use muster_proto::catalog::{
    Command, Expect, Grant, Key, Kind, Member, NodeId, Op, Place, Project, Reply, Value,
};
use muster_proto::machine::{BadRecord, Record as _};
use muster_proto::{Epoch, Peer, Role, Span};

use muster_sim::catalog::world::peer;

fn key(kind: Kind, name: &str) -> Key {
    let name = name.to_owned();
    Key { kind, name }
}

fn member() -> Member {
    Member {
        node: NodeId(0x1122),
        peer: peer(Role::Catalog, "c1"),
        addresses: vec!["c1:7000".to_owned()],
    }
}

fn place() -> Place {
    Place {
        addresses: vec!["h1:7777".to_owned()],
        workers: 300,
        cores: 600_000,
        projects: 2,
        version: "0.1.0".to_owned(),
    }
}

fn grant() -> Grant {
    Grant {
        role: Role::Worker,
        site: "east".to_owned(),
        name: Some("w1".to_owned()),
    }
}

/// One command of each kind. The match keeps the list complete: a new kind does not build without it.
fn next(command: &Command) -> Option<Command> {
    let (project, lease) = (key(Kind::Project, "fold"), Span::secs(60));
    let value = Value::Project(Project {
        addresses: vec!["m1:7777".to_owned()],
        epoch: Epoch(3),
        waiting: 1_000,
        running: 20,
        done: 5,
        slots: 40,
        wanted: 7,
        capacity: 9,
        version: "0.1.0".to_owned(),
    });
    let setting = key(Kind::Setting, "a/b");
    Some(match command {
        Command::Open => Command::Register {
            key: project,
            value,
            lease,
        },
        Command::Register { .. } => Command::Renew {
            key: project,
            value: Some(value),
        },
        Command::Renew { .. } => Command::Remove { key: project },
        Command::Remove { .. } => Command::Invite {
            hash: [7; 32],
            grant: grant(),
            lease,
        },
        Command::Invite { .. } => Command::Redeem { hash: [7; 32] },
        Command::Redeem { .. } => Command::Put {
            key: setting,
            value: Value::Setting(vec![1, 2]),
            expect: Expect::Version(300),
        },
        Command::Put { .. } => Command::Delete {
            key: setting,
            expect: Expect::Absent,
        },
        Command::Delete { .. } => Command::Fence { meaning: 2 },
        Command::Fence { .. } => Command::Expire {
            key: project,
            renewals: 300,
        },
        Command::Expire { .. } => Command::Check {
            index: 1_000,
            hash: 0x0102_0304_0506_0708,
        },
        Command::Check { .. } => return None,
    })
}

fn commands() -> Vec<Command> {
    std::iter::successors(Some(Command::Open), next).collect()
}

fn proposals() -> Vec<u8> {
    let ops = [
        None,
        Some(Op {
            session: 300,
            seq: 2,
        }),
    ];
    let proposal = |(number, command)| Proposal {
        by: peer(Role::User, "ada"),
        op: ops[number % 2],
        command,
    };
    let proposals = commands().into_iter().enumerate().map(proposal);
    proposals
        .flat_map(|proposal| postcard::to_allocvec(&proposal).expect("plain data"))
        .collect()
}

/// A directory with an item of each kind that clients make, and sessions.
fn directory() -> Directory {
    let mut directory = Directory::default();
    for (number, (by, command)) in registrations().into_iter().enumerate() {
        let index = 10 + 2 * number as u64;
        let mut apply = |index, op, command| {
            let by = by.clone();
            directory.apply(index, &Proposal { by, op, command })
        };
        apply(index, None, Command::Open);
        let op = Some(Op {
            session: index,
            seq: 1,
        });
        let reply = apply(index + 1, op, command);
        assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    }
    directory
}

fn registrations() -> Vec<(Peer, Command)> {
    let user = || peer(Role::User, "ada");
    let register = |kind, name, value| {
        let (key, lease) = (key(kind, name), Span::secs(60));
        let command = Command::Register { key, value, lease };
        (peer(Role::Foreman, "f1"), command)
    };
    let put = |kind, name, value| {
        let (key, expect) = (key(kind, name), Expect::Any);
        (user(), Command::Put { key, value, expect })
    };
    let one_of_each = commands();
    let project = one_of_each
        .iter()
        .find(|command| matches!(command, Command::Register { .. }));
    let invite = one_of_each
        .iter()
        .find(|command| matches!(command, Command::Invite { .. }));
    let first = [(peer(Role::Master, "m1"), project), (user(), invite)];
    let first = first
        .into_iter()
        .filter_map(|(by, command)| Some((by, command?.clone())));
    first
        .chain([
            put(Kind::Setting, "a/b", Value::Setting(vec![1, 2])),
            register(Kind::Site, "campus", Value::Site(place())),
            register(Kind::Foreman, "campus/f1", Value::Foreman(place())),
            put(
                Kind::Revocation,
                "campus/worker/w9",
                Value::Revocation("lost".to_owned()),
            ),
            put(Kind::Weight, "fold", Value::Weight(2_000)),
        ])
        .collect()
}

fn membership() -> Membership {
    Membership {
        voters: vec![NodeId(1), NodeId(2)],
        outgoing: vec![NodeId(1), NodeId(3)],
        learners: vec![NodeId(4)],
        learners_next: vec![NodeId(3)],
    }
}

fn entries() -> Vec<Entry> {
    [(Sort::Normal, vec![1]), (Sort::Membership, vec![2, 3])]
        .into_iter()
        .zip(300..)
        .map(|((sort, data), index)| Entry {
            index,
            term: 2,
            sort,
            data,
        })
        .collect()
}

fn kept() -> Event {
    Event::Kept(Kept {
        snapshot: Some(Snapshot {
            index: 299,
            term: 2,
            membership: membership(),
            bytes: vec![9; 3],
        }),
        entries: entries(),
        hard: Hard {
            term: 3,
            vote: NodeId(2),
            commit: 301,
        },
    })
}

/// One body of each kind.
fn next_body(body: &Body) -> Option<Body> {
    let (index, commit, context) = (300, 299, vec![1, 2]);
    let denied = Verdict::Denied {
        commit,
        commit_term: 2,
    };
    Some(match body {
        Body::Append { .. } => Body::Appended { index, commit },
        Body::Appended { .. } => Body::Mismatched {
            index,
            hint: 5,
            hint_term: 1,
            commit,
        },
        Body::Mismatched { .. } => Body::Heartbeat { commit, context },
        Body::Heartbeat { .. } => Body::Alive { commit, context },
        Body::Alive { .. } => Body::Ballot {
            round: Round::Pre,
            index,
            log_term: 2,
            commit,
            commit_term: 2,
        },
        Body::Ballot { .. } => Body::Vote {
            round: Round::Real,
            verdict: denied,
        },
        Body::Vote { .. } => Body::Part(Part {
            index,
            log_term: 2,
            membership: membership(),
            total: 500,
            offset: 300,
            bytes: vec![8; 3],
        }),
        Body::Part(_) => Body::Read { context },
        Body::Read { .. } => Body::ReadAt { index, context },
        Body::ReadAt { .. } => return None,
    })
}

fn messages() -> Vec<u8> {
    let append = Body::Append {
        index: 299,
        log_term: 2,
        commit: 299,
        entries: entries(),
    };
    let message = |body| Message {
        from: NodeId(1),
        to: NodeId(2),
        term: 3,
        body,
    };
    let messages = std::iter::successors(Some(append), next_body).map(message);
    messages
        .flat_map(|message| postcard::to_allocvec(&message).expect("plain data"))
        .collect()
}

fn events() -> Vec<(&'static str, Event)> {
    let next = |event: &Event| match event {
        Event::Born(..) => Some(kept()),
        Event::Kept(_) => None,
    };
    let born = Event::Born(NodeId(0x1122), Some(member()));
    ["1-born.1", "2-kept.1"]
        .into_iter()
        .zip(std::iter::successors(Some(born), next))
        .collect()
}

fn encoded(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    event.encode(&mut bytes);
    bytes
}

#[test]
fn what_is_on_disks_and_wires_has_the_bytes_it_had() {
    let mut samples: Vec<(&str, Vec<u8>)> = events()
        .iter()
        .map(|(name, event)| (*name, encoded(event)))
        .collect();
    samples.push(("proposals.1", proposals()));
    samples.push(("directory.1", directory().freeze()));
    samples.push(("messages.1", messages()));
    for (name, bytes) in samples {
        let found: String = bytes
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
            "the bytes of {name}.hex have changed: journals and replicas of released catalogs hold them. Give them \
             the next schema, keep reading this one, and commit the new bytes beside it"
        );
    }
}

#[test]
fn every_record_is_read_as_it_was_written_and_no_other_way() {
    for (name, event) in events() {
        let bytes = encoded(&event);
        assert_eq!(Event::decode(&bytes), Ok(event), "{name}");
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
        let (kind, schema) = (bytes[0], 2);
        let newer = [&[kind, schema], &bytes[2..]].concat();
        assert_eq!(
            Event::decode(&newer),
            Err(BadRecord::Newer { kind, schema }),
            "{name}"
        );
    }
}
