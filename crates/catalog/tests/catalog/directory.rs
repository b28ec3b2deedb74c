//! Stories of the directory, and that it is total: any commands in any order, by anyone.

use std::collections::BTreeMap;

use muster_catalog::{BadSnapshot, Directory, Proposal};
use muster_proto::catalog::{
    Command, Expect, Filter, Grant, Item, Key, Kind, Op, Pattern, Place, Project, Refusal, Reply,
    Revision, Value,
};
use muster_proto::limits::{
    CATALOG_SESSIONS_MAX, CHANGES_KEPT_MAX, ITEMS_PER_KIND_MAX, PAGE_ITEMS_MAX,
};
use muster_proto::{Epoch, Peer, Role, Span};

use muster_sim::catalog::world::peer;
use muster_sim::rng::Rng;

/// A directory with a log of its own.
#[derive(Default)]
struct Stage {
    directory: Directory,
    index: u64,
    seq: u64,
    sessions: BTreeMap<Peer, u64>,
}

impl Stage {
    fn apply(&mut self, by: &Peer, op: Option<Op>, command: Command) -> Reply {
        self.index += 1;
        let by = by.clone();
        self.directory
            .apply(self.index, &Proposal { by, op, command })
    }

    fn open(&mut self, by: &Peer) -> u64 {
        match self.apply(by, None, Command::Open) {
            Reply::Opened { session } => session,
            reply @ (Reply::Done { .. } | Reply::Granted { .. } | Reply::Refused(_)) => {
                panic!("{reply:?}")
            }
        }
    }

    /// Runs a command in the session of its owner, and checks the whole while it is small.
    fn run(&mut self, by: &Peer, command: Command) -> Reply {
        let session = match self.sessions.get(by) {
            Some(session) => *session,
            None => self.open(by),
        };
        self.sessions.insert(by.clone(), session);
        self.seq += 1;
        let seq = self.seq;
        let reply = self.apply(by, Some(Op { session, seq }), command);
        if self.index < 100 {
            self.directory.check();
        }
        reply
    }

    fn item(&self, key: &Key) -> Option<&Item> {
        self.directory.get(key)
    }
}

fn master(name: &str) -> Peer {
    peer(Role::Master, name)
}

fn user() -> Peer {
    peer(Role::User, "ada")
}

fn catalog() -> Peer {
    peer(Role::Catalog, "c1")
}

fn key(kind: Kind, name: &str) -> Key {
    let name = name.to_owned();
    Key { kind, name }
}

fn project(epoch: u32, waiting: u64) -> Value {
    Value::Project(Project {
        addresses: vec!["head.campus:7777".to_owned()],
        epoch: Epoch(epoch),
        waiting,
        ..Project::default()
    })
}

fn register(name: &str, epoch: u32) -> Command {
    Command::Register {
        key: key(Kind::Project, name),
        value: project(epoch, 5),
        lease: Span::secs(60),
    }
}

fn put(name: &str, bytes: &[u8], expect: Expect) -> Command {
    Command::Put {
        key: key(Kind::Setting, name),
        value: Value::Setting(bytes.to_vec()),
        expect,
    }
}

fn refused(reply: &Reply) -> Refusal {
    match reply {
        Reply::Refused(refusal) => *refusal,
        Reply::Opened { .. } | Reply::Done { .. } | Reply::Granted { .. } => {
            panic!("{reply:?} is no refusal")
        }
    }
}

#[test]
fn a_name_belongs_to_whoever_took_it_until_it_is_given_up() {
    let mut stage = Stage::default();
    assert!(matches!(
        stage.run(&master("fold"), register("fold", 1)),
        Reply::Done { version: 1, .. }
    ));
    let other = stage.run(&master("other"), register("fold", 9));
    assert_eq!(refused(&other), Refusal::Owned);
    let key = key(Kind::Project, "fold");
    let remove = Command::Remove { key: key.clone() };
    assert_eq!(
        refused(&stage.run(&master("other"), remove.clone())),
        Refusal::Owned
    );
    assert!(matches!(
        stage.run(&master("fold"), remove),
        Reply::Done { version: 0, .. }
    ));
    assert!(matches!(
        stage.run(&master("other"), register("fold", 9)),
        Reply::Done { version: 1, .. }
    ));
    assert_eq!(
        stage.item(&key).map(|item| item.owner.name.as_str()),
        Some("other")
    );
}

#[test]
fn a_master_that_started_earlier_does_not_push_out_its_successor() {
    let mut stage = Stage::default();
    stage.run(&master("fold"), register("fold", 3));
    assert_eq!(
        refused(&stage.run(&master("fold"), register("fold", 2))),
        Refusal::Fenced
    );
    let old = Command::Renew {
        key: key(Kind::Project, "fold"),
        value: Some(project(2, 0)),
    };
    assert_eq!(refused(&stage.run(&master("fold"), old)), Refusal::Fenced);
    assert!(matches!(
        stage.run(&master("fold"), register("fold", 4)),
        Reply::Done { version: 2, .. }
    ));
}

#[test]
fn a_renewal_is_no_change_unless_it_says_something_else() {
    let mut stage = Stage::default();
    stage.run(&master("fold"), register("fold", 1));
    let before = stage.directory.revision();
    let renew = |value| Command::Renew {
        key: key(Kind::Project, "fold"),
        value,
    };
    stage.run(&master("fold"), renew(None));
    stage.run(&master("fold"), renew(Some(project(1, 5))));
    assert_eq!(stage.directory.revision(), before);
    stage.run(&master("fold"), renew(Some(project(1, 6))));
    assert_eq!(stage.directory.revision(), Revision(before.0 + 1));
    assert_eq!(
        refused(&stage.run(
            &master("fold"),
            Command::Renew {
                key: key(Kind::Project, "gone"),
                value: None
            }
        )),
        Refusal::Absent
    );
}

#[test]
fn the_end_of_a_lease_is_void_once_it_was_renewed() {
    let mut stage = Stage::default();
    stage.run(&master("fold"), register("fold", 1));
    let key = key(Kind::Project, "fold");
    let expire = |renewals| Command::Expire {
        key: key.clone(),
        renewals,
    };
    stage.run(
        &master("fold"),
        Command::Renew {
            key: key.clone(),
            value: None,
        },
    );
    assert_eq!(
        refused(&stage.apply(&catalog(), None, expire(0))),
        Refusal::Late
    );
    assert_eq!(
        refused(&stage.run(&master("fold"), expire(1))),
        Refusal::NotAllowed,
        "only the catalog ends leases"
    );
    assert!(matches!(
        stage.apply(&catalog(), None, expire(1)),
        Reply::Done { .. }
    ));
    assert!(stage.item(&key).is_none());
    assert_eq!(
        refused(&stage.apply(&catalog(), None, expire(1))),
        Refusal::Absent
    );
}

#[test]
fn an_invitation_is_used_once() {
    let mut stage = Stage::default();
    let (hash, lease) = ([7; 32], Span::secs(600));
    let grant = Grant {
        role: Role::Foreman,
        site: "east".to_owned(),
        name: None,
    };
    let invite = Command::Invite {
        hash,
        grant: grant.clone(),
        lease,
    };
    assert_eq!(
        refused(&stage.run(&master("fold"), invite.clone())),
        Refusal::NotAllowed
    );
    stage.run(&user(), invite);
    let redeem = Command::Redeem { hash };
    assert_eq!(
        stage.run(&catalog(), redeem.clone()),
        Reply::Granted { grant }
    );
    assert_eq!(refused(&stage.run(&catalog(), redeem)), Refusal::Absent);
}

#[test]
fn settings_are_compared_and_set() {
    let mut stage = Stage::default();
    assert_eq!(
        refused(&stage.run(&user(), put("a", b"1", Expect::Version(1)))),
        Refusal::Mismatch { version: 0 }
    );
    assert!(matches!(
        stage.run(&user(), put("a", b"1", Expect::Absent)),
        Reply::Done { version: 1, .. }
    ));
    assert_eq!(
        refused(&stage.run(&user(), put("a", b"2", Expect::Absent))),
        Refusal::Mismatch { version: 1 }
    );
    assert!(matches!(
        stage.run(&user(), put("a", b"2", Expect::Version(1))),
        Reply::Done { version: 2, .. }
    ));
    assert_eq!(
        refused(&stage.run(&master("m"), put("a", b"3", Expect::Any))),
        Refusal::NotAllowed
    );
    let delete = |expect| Command::Delete {
        key: key(Kind::Setting, "a"),
        expect,
    };
    assert_eq!(
        refused(&stage.run(&user(), delete(Expect::Version(1)))),
        Refusal::Mismatch { version: 2 }
    );
    assert!(matches!(
        stage.run(&user(), delete(Expect::Version(2))),
        Reply::Done { version: 0, .. }
    ));
    assert_eq!(
        refused(&stage.run(&user(), delete(Expect::Any))),
        Refusal::Absent
    );
}

#[test]
fn c10_a_repeated_command_is_applied_once_and_a_forgotten_session_is_told() {
    let mut stage = Stage::default();
    let session = stage.open(&user());
    let op = |seq| Some(Op { session, seq });
    let first = stage.apply(&user(), op(1), put("a", b"1", Expect::Any));
    assert_eq!(
        stage.apply(&user(), op(1), put("a", b"1", Expect::Any)),
        first
    );
    assert_eq!(
        stage
            .item(&key(Kind::Setting, "a"))
            .map(|item| item.version),
        Some(1)
    );
    stage.apply(&user(), op(2), put("a", b"2", Expect::Any));
    assert_eq!(
        refused(&stage.apply(&user(), op(1), put("a", b"1", Expect::Any))),
        Refusal::Late
    );
    let thief = peer(Role::User, "eve");
    assert_eq!(
        refused(&stage.apply(&thief, op(3), put("a", b"3", Expect::Any))),
        Refusal::Forgotten
    );
    // One client that opens many forgets its own; only many make room among the others'.
    let greedy = peer(Role::User, "eve");
    for _ in 0..CATALOG_SESSIONS_MAX {
        stage.open(&greedy);
    }
    let late = stage.apply(&user(), op(1), put("a", b"1", Expect::Any));
    assert_eq!(refused(&late), Refusal::Late, "it is still known");
    for number in 0..CATALOG_SESSIONS_MAX {
        stage.open(&peer(Role::User, &format!("u{number}")));
    }
    assert_eq!(
        refused(&stage.apply(&user(), op(2), put("a", b"2", Expect::Any))),
        Refusal::Forgotten
    );
    stage.directory.check();
}

#[test]
fn a_fence_raises_the_meaning_by_one_and_by_a_user() {
    let mut stage = Stage::default();
    assert_eq!(
        refused(&stage.run(&user(), Command::Fence { meaning: 3 })),
        Refusal::Fenced
    );
    assert_eq!(
        refused(&stage.run(&master("m"), Command::Fence { meaning: 2 })),
        Refusal::NotAllowed
    );
    stage.run(&user(), Command::Fence { meaning: 2 });
    assert_eq!(stage.directory.meaning(), 2);
}

#[test]
fn nothing_grows_without_a_limit() {
    let mut stage = Stage::default();
    let big = vec![0; 16 << 10];
    let full =
        (0..).map(|number| stage.run(&user(), put(&format!("s{number}"), &big, Expect::Any)));
    let count = full
        .take_while(|reply| matches!(reply, Reply::Done { .. }))
        .count();
    assert!(
        (600..720).contains(&count),
        "{count} settings of 16 KiB fit"
    );
    let long = put("long", &vec![0; (16 << 10) + 1], Expect::Any);
    assert_eq!(refused(&stage.run(&user(), long)), Refusal::Malformed);

    let mut stage = Stage::default();
    let session = stage.open(&user());
    for seq in 1..=ITEMS_PER_KIND_MAX as u64 {
        stage.apply(
            &user(),
            Some(Op { session, seq }),
            put(&format!("s{seq}"), b"", Expect::Any),
        );
    }
    assert_eq!(
        refused(&stage.run(&user(), put("one", b"", Expect::Any))),
        Refusal::Full
    );
    assert!(matches!(
        stage.run(&user(), put("s7", b"x", Expect::Any)),
        Reply::Done { version: 2, .. }
    ));
}

#[test]
fn a_list_comes_in_pages_and_only_what_matches() {
    let mut stage = Stage::default();
    for number in 0..2_500 {
        stage.run(&user(), put(&format!("n{number:04}"), b"", Expect::Any));
    }
    stage.run(&master("fold"), register("n-project", 1));
    let filter = |names| Filter {
        kind: Kind::Setting,
        names,
    };
    let list = |names, after: Option<&str>, limit| {
        stage
            .directory
            .list(&filter(names), after, limit, Span::ZERO)
    };
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = list(Pattern::All, after.as_deref(), u32::MAX);
        assert!(page.items.len() <= PAGE_ITEMS_MAX);
        names.extend(page.items.into_iter().map(|named| named.key.name));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert!(names.is_sorted() && names.len() == 2_500);
    assert_eq!(
        list(Pattern::Prefix("n01".to_owned()), None, u32::MAX)
            .items
            .len(),
        100
    );
    assert_eq!(
        list(Pattern::Glob("n?5*0".to_owned()), None, u32::MAX)
            .items
            .len(),
        20
    );
    let page = list(Pattern::Prefix("n01".to_owned()), Some("n0150"), 10);
    assert_eq!(
        page.items.first().map(|named| named.key.name.as_str()),
        Some("n0151")
    );
    assert_eq!(page.next.as_deref(), Some("n0160"));
}

#[test]
fn changes_come_in_order_without_gaps_or_not_at_all() {
    let mut stage = Stage::default();
    for number in 0..3_000 {
        stage.run(&user(), put(&format!("n{}", number % 7), b"", Expect::Any));
    }
    let filter = Filter {
        kind: Kind::Setting,
        names: Pattern::Prefix("n3".to_owned()),
    };
    let (mut since, mut seen) = (Revision(0), 0);
    loop {
        let (changes, upto) = stage
            .directory
            .changes(since, &filter)
            .expect("all are kept");
        assert!(
            changes
                .iter()
                .all(|change| change.revision > since && change.revision <= upto)
        );
        seen += changes.len();
        if upto == since {
            break;
        }
        since = upto;
    }
    assert_eq!(seen, 429);
    for _ in 0..CHANGES_KEPT_MAX {
        stage.run(&user(), put("other", b"", Expect::Any));
    }
    let oldest = stage
        .directory
        .changes(Revision(0), &filter)
        .expect_err("they are gone");
    assert_eq!(oldest, Revision(3_000));
    assert!(stage.directory.changes(oldest, &filter).is_ok());
}

#[test]
fn c5_a_damaged_snapshot_is_refused() {
    let mut stage = Stage::default();
    stage.run(&user(), put("a", b"1", Expect::Any));
    stage.run(&master("fold"), register("fold", 1));
    let bytes = stage.directory.freeze();
    let thawed = Directory::thaw(&bytes).expect("it is whole");
    thawed.check();
    assert_eq!(thawed.hash(), stage.directory.hash());
    assert_eq!(thawed.freeze(), bytes);
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x10;
        assert_eq!(
            Directory::thaw(&bad).err(),
            Some(BadSnapshot::Damaged),
            "byte {at}"
        );
        assert!(Directory::thaw(&bytes[..at]).is_err(), "cut at {at}");
    }
}

/// Draws a command, well-formed or not.
fn draw(rng: &mut Rng) -> Command {
    let kind = Kind::ALL[rng.below(8) as usize];
    let name = ["a", "b", "east/f1", "", "-", "0000000000000001", "x\n"][rng.below(7) as usize];
    let key = key(kind, name);
    let value = match rng.below(5) {
        0 => project(rng.below(3) as u32, rng.below(3)),
        1 => Value::Site(Place::default()),
        2 => Value::Foreman(Place::default()),
        3 => Value::Weight(5),
        _ => Value::Setting(vec![1]),
    };
    let expect =
        [Expect::Any, Expect::Absent, Expect::Version(rng.below(4))][rng.below(3) as usize];
    let (hash, lease) = ([rng.below(2) as u8; 32], Span::secs(rng.below(100)));
    let grant = Grant {
        role: Role::Worker,
        site: name.to_owned(),
        name: None,
    };
    match rng.below(11) {
        0 => Command::Open,
        1 | 2 => Command::Register { key, value, lease },
        3 => Command::Renew {
            key,
            value: rng.permille(500).then_some(value),
        },
        4 => Command::Remove { key },
        5 => Command::Invite { hash, grant, lease },
        6 => Command::Redeem { hash },
        7 => Command::Put { key, value, expect },
        8 => Command::Delete { key, expect },
        9 => Command::Expire {
            key,
            renewals: rng.below(3),
        },
        _ => Command::Check {
            index: rng.next(),
            hash: rng.next(),
        },
    }
}

#[test]
fn any_commands_in_any_order_leave_two_directories_equal_and_whole() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let (mut one, mut other) = (Stage::default(), Stage::default());
        for step in 0..400 {
            let role = Role::ALL[rng.below(5) as usize];
            let by = peer(role, ["p", "q"][rng.below(2) as usize]);
            let (session, seq) = (rng.below(40), rng.below(50));
            let op = rng.permille(800).then_some(Op { session, seq });
            let command = draw(&mut rng);
            let reply = one.apply(&by, op, command.clone());
            assert_eq!(other.apply(&by, op, command), reply);
            if step % 50 == 0 {
                one.directory.check();
                // One of them has come back from a snapshot.
                other.directory = Directory::thaw(&one.directory.freeze()).expect("it is whole");
            }
            assert_eq!(one.directory.hash(), other.directory.hash());
        }
    }
}
