//! One of everything that is said to and by the catalog.

use muster_proto::catalog::raft::{Body, Message};
use muster_proto::catalog::{
    Answer, Change, Command, Expect, Fault, Filter, Found, Freshness, Grant, Hint, Item, Key, Kind,
    Member, Named, NodeId, Op, Pattern, Place, Project, Query, Refusal, Reply, Reshape, Revision,
    Standing, Value,
};
use muster_proto::wire::{Answered, Frame, Inquire, Inquiry, Raft};
use muster_proto::{Epoch, Peer, Role, Span};

fn key(kind: Kind, name: &str) -> Key {
    let name = name.to_owned();
    Key { kind, name }
}

fn peer(role: Role, name: &str) -> Peer {
    Peer {
        role,
        site: "home".to_owned(),
        name: name.to_owned(),
    }
}

fn project() -> Value {
    Value::Project(Project {
        addresses: vec!["10.0.0.1:9123".to_owned()],
        epoch: Epoch(3),
        waiting: 1_000,
        running: 20,
        done: 5,
        slots: 40,
        wanted: 7,
        capacity: 9,
        version: "0.1.0".to_owned(),
    })
}

fn member() -> Member {
    Member {
        node: NodeId(0x1122),
        peer: peer(Role::Catalog, "c1"),
        addresses: vec!["c1:9097".to_owned()],
    }
}

/// Every command but the one that opens a session.
fn commands() -> [Command; 8] {
    let lease = Span::secs(30);
    [
        Command::Register {
            key: key(Kind::Project, "fold"),
            value: project(),
            lease,
        },
        Command::Renew {
            key: key(Kind::Foreman, "east/f1"),
            value: Some(Value::Foreman(Place::default())),
        },
        Command::Remove {
            key: key(Kind::Project, "fold"),
        },
        Command::Invite {
            hash: [7; 32],
            grant: Grant {
                role: Role::Worker,
                site: "east".to_owned(),
                name: None,
            },
            lease,
        },
        Command::Redeem { hash: [7; 32] },
        Command::Put {
            key: key(Kind::Setting, "a b"),
            value: Value::Setting(vec![0, 255]),
            expect: Expect::Version(4),
        },
        Command::Delete {
            key: key(Kind::Weight, "fold"),
            expect: Expect::Any,
        },
        Command::Fence { meaning: 1 },
    ]
}

/// Every kind of inquiry, with every command, query and change of membership.
pub fn inquiries() -> Vec<Frame> {
    let op = Some(Op {
        session: 7,
        seq: 300,
    });
    let filter = |names| Filter {
        kind: Kind::Site,
        names,
    };
    let list = |names| Query::List {
        filter: filter(names),
        after: Some("a".to_owned()),
        limit: 100,
    };
    let mut all = vec![Inquiry::Command(None, Command::Open)];
    all.extend(commands().map(|command| Inquiry::Command(op, command)));
    all.extend([
        Inquiry::Query(
            Query::Get(key(Kind::Revocation, "x")),
            Freshness::Linearizable,
        ),
        Inquiry::Query(list(Pattern::All), Freshness::Stale),
        Inquiry::Query(list(Pattern::Prefix("e".to_owned())), Freshness::Stale),
        Inquiry::Query(Query::Status, Freshness::Stale),
        Inquiry::Watch(Revision(9), filter(Pattern::Glob("e*".to_owned()))),
        Inquiry::Reshape(Reshape::Learn(member())),
        Inquiry::Reshape(Reshape::Promote(NodeId(1))),
        Inquiry::Reshape(Reshape::Remove(NodeId(2))),
        Inquiry::Reshape(Reshape::Replace {
            old: NodeId(1),
            new: NodeId(2),
        }),
    ]);
    let inquire = |(ask, what)| {
        let wait = Span::secs(1);
        Frame::from(Inquire { ask, wait, what })
    };
    (1..).zip(all).map(inquire).collect()
}

fn item() -> Item {
    Item {
        value: project(),
        owner: peer(Role::Master, "fold"),
        lease: Some(Span::secs(30)),
        renewals: 4,
        created: Revision(2),
        changed: Revision(5),
        version: 2,
    }
}

fn faults() -> Vec<Fault> {
    let hint = Hint {
        node: NodeId(3),
        addresses: vec!["c3:9097".to_owned()],
    };
    vec![
        Fault::NotLeader { hint: None },
        Fault::NotLeader { hint: Some(hint) },
        Fault::NoQuorum,
        Fault::Unknown,
        Fault::Busy,
        Fault::Compacted {
            oldest: Revision(8),
        },
        Fault::Unfit,
    ]
}

fn replies() -> Vec<Reply> {
    let refusals = [
        Refusal::Absent,
        Refusal::Owned,
        Refusal::Mismatch { version: 3 },
        Refusal::NotAllowed,
        Refusal::Malformed,
        Refusal::Fenced,
        Refusal::Full,
        Refusal::Forgotten,
        Refusal::Late,
    ];
    let done = Reply::Done {
        revision: Revision(7),
        version: 2,
    };
    let granted = Reply::Granted {
        grant: Grant {
            role: Role::Foreman,
            site: "east".to_owned(),
            name: Some("f1".to_owned()),
        },
    };
    let mut all = vec![Reply::Opened { session: 9 }, done, granted];
    all.extend(refusals.map(Reply::Refused));
    all
}

/// Every kind of answer, with every reply and every fault.
pub fn answers() -> Vec<Frame> {
    let fold = key(Kind::Project, "fold");
    let change = |item| Change {
        revision: Revision(5),
        key: fold.clone(),
        item,
    };
    let found = Found {
        items: vec![Named {
            key: fold.clone(),
            item: item(),
        }],
        next: Some("fold".to_owned()),
        revision: Revision(5),
        age: Span::millis(3),
    };
    let standing = Standing {
        node: NodeId(1),
        leader: Some(NodeId(2)),
        term: 3,
        committed: 40,
        applied: 39,
        revision: Revision(5),
        hash: 0x1122_3344,
        voters: vec![NodeId(1), NodeId(2)],
        outgoing: vec![NodeId(1)],
        learners: vec![NodeId(3)],
    };
    let mut all = vec![
        Answer::Found(found),
        Answer::Changes {
            changes: vec![change(Some(item())), change(None)],
            revision: Revision(6),
        },
        Answer::Standing(standing),
        Answer::Reshaped,
    ];
    all.extend(replies().into_iter().map(Answer::Applied));
    all.extend(faults().into_iter().map(Answer::Fault));
    let answered = |(ask, answer)| Frame::from(Answered { ask, answer });
    (1..).zip(all).map(answered).collect()
}

/// A message of a replica; the bytes of every body are frozen by the tests of the catalog.
pub fn said() -> Frame {
    let message = Message {
        from: NodeId(1),
        to: NodeId(2),
        term: 300,
        body: Body::Heartbeat {
            commit: 70_000,
            context: vec![1, 2],
        },
    };
    Frame::from(Raft { message })
}
