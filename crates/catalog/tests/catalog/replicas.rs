//! Stories of replicas: elections, reads, deadlines, leases, membership, starts.

use muster_catalog::{MEANING, What};
use muster_proto::catalog::{
    Answer, Command, Expect, Fault, Filter, Freshness, Key, Kind, Op, Pattern, Project, Query,
    Refusal, Reply, Reshape, Revision, Value,
};
use muster_proto::{Peer, Role, Span};

use muster_sim::catalog::clients::setting;
use muster_sim::catalog::operator::{OPERATOR, Operator};
use muster_sim::catalog::weather::{FAIR, Mutant};
use muster_sim::catalog::world::{World, peer};

const SECOND: u64 = 1_000_000;

/// A catalog of that many voters, all of one mind.
pub fn formed(seed: u64, hosts: usize, mutant: Mutant) -> World {
    let mut world = World::new(seed, hosts, mutant, FAIR);
    world.start();
    let mut operator = Operator::new(&mut world, hosts);
    let until = 20 * SECOND;
    while !operator.is_safe(&world) && world.step(until) {
        let due = std::mem::take(&mut world.due);
        due.iter()
            .filter(|who| **who == OPERATOR)
            .for_each(|_| operator.act(&mut world));
        world.answers.clear();
    }
    assert!(operator.is_safe(&world), "they come together");
    world
}

fn user() -> Peer {
    peer(Role::User, "ada")
}

/// Lets time pass.
fn pass(world: &mut World, span: u64) {
    let until = world.now + span;
    while world.step(until) {
        world.due.clear();
        world.answers.clear();
        assert_eq!(world.broken, None);
    }
}

fn open(world: &mut World, host: usize, by: &Peer) -> u64 {
    match world.answer(host, by, What::Command(None, Command::Open)) {
        Some(Answer::Applied(Reply::Opened { session })) => session,
        other => panic!("{other:?}"),
    }
}

fn put(key: u64, value: u8) -> Command {
    Command::Put {
        key: setting(key),
        value: Value::Setting(vec![value]),
        expect: Expect::Any,
    }
}

fn get(key: u64, freshness: Freshness) -> What {
    What::Query(Query::Get(setting(key)), freshness)
}

fn values(answer: Option<Answer>) -> Vec<Value> {
    match answer {
        Some(Answer::Found(found)) => found
            .items
            .into_iter()
            .map(|named| named.item.value)
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn write(world: &mut World, session: u64, seq: u64, value: u8) -> Option<Answer> {
    let leader = world.leader().expect("there is one");
    let op = Some(Op { session, seq });
    world.answer(leader, &user(), What::Command(op, put(1, value)))
}

#[test]
fn one_node_is_a_catalog_within_a_moment() {
    let mut world = World::new(1, 1, Mutant::None, FAIR);
    world.start();
    let session = open(&mut world, 0, &user());
    assert!(world.now < 200_000, "no election is waited for");
    assert!(matches!(
        write(&mut world, session, 1, 7),
        Some(Answer::Applied(Reply::Done { version: 1, .. }))
    ));
    assert_eq!(
        values(world.answer(0, &user(), get(1, Freshness::Linearizable))),
        [Value::Setting(vec![7])]
    );
    world.crash(0, 100_000);
    pass(&mut world, SECOND);
    assert_eq!(
        values(world.answer(0, &user(), get(1, Freshness::Linearizable))),
        [Value::Setting(vec![7])]
    );
}

#[test]
fn every_replica_answers_reads_and_only_the_leader_takes_commands() {
    let mut world = formed(2, 3, Mutant::None);
    let leader = world.leader().expect("there is one");
    let session = open(&mut world, leader, &user());
    write(&mut world, session, 1, 7);
    for host in 0..3 {
        assert_eq!(
            values(world.answer(host, &user(), get(1, Freshness::Linearizable))),
            [Value::Setting(vec![7])]
        );
        if host != leader {
            let answer = world.answer(host, &user(), What::Command(None, Command::Open));
            let Some(Answer::Fault(Fault::NotLeader { hint: Some(hint) })) = answer else {
                panic!("{answer:?}");
            };
            assert_eq!(hint.node, world.hosts[leader].id);
            assert_eq!(hint.addresses, [format!("c{leader}:7000")]);
        }
    }
}

#[test]
fn c3_a_minority_says_so_before_the_deadline_and_gives_what_it_has_if_asked() {
    let mut world = formed(3, 3, Mutant::None);
    let leader = world.leader().expect("there is one");
    let session = open(&mut world, leader, &user());
    write(&mut world, session, 1, 7);
    pass(&mut world, SECOND);
    let others: Vec<usize> = (0..3).filter(|host| *host != leader).collect();
    others
        .iter()
        .for_each(|host| world.crash(*host, 60 * SECOND));
    let begun = world.now;
    let read = world.answer(leader, &user(), get(1, Freshness::Linearizable));
    assert_eq!(read, Some(Answer::Fault(Fault::NoQuorum)));
    assert!(world.now - begun < 5 * SECOND, "before the client gives up");
    let command = world.answer(leader, &user(), What::Command(None, Command::Open));
    assert_eq!(
        command,
        Some(Answer::Fault(Fault::NoQuorum)),
        "it was never proposed"
    );
    let Some(Answer::Found(found)) = world.answer(leader, &user(), get(1, Freshness::Stale)) else {
        panic!("a stale read needs nobody");
    };
    assert!(
        found.age > Span::secs(3) && found.items.len() == 1,
        "{:?}",
        found.age
    );
}

#[test]
fn a_command_that_may_yet_be_committed_has_an_unknown_outcome_and_is_asked_again() {
    let mut world = formed(4, 3, Mutant::None);
    let leader = world.leader().expect("there is one");
    let session = open(&mut world, leader, &user());
    (0..3)
        .filter(|host| *host != leader)
        .for_each(|host| world.hosts[host].paused = world.now + 12 * SECOND);
    assert_eq!(
        write(&mut world, session, 1, 7),
        Some(Answer::Fault(Fault::Unknown))
    );
    pass(&mut world, 12 * SECOND);
    assert!(matches!(
        write(&mut world, session, 1, 7),
        Some(Answer::Applied(Reply::Done { version: 1, .. }))
    ));
}

#[test]
fn c2_with_one_of_three_or_two_of_five_lost_writes_go_on_within_five_seconds() {
    for seed in 0..10 {
        let hosts = [3, 5][seed as usize % 2];
        let mut world = formed(seed, hosts, Mutant::None);
        let leader = world.leader().expect("there is one");
        let session = open(&mut world, leader, &user());
        assert!(write(&mut world, session, 1, 7).is_some());
        for lost in 0..hosts / 2 {
            world.crash((leader + lost) % hosts, 600 * SECOND);
        }
        let lost = world.now;
        while world.leader().is_none() {
            pass(&mut world, 20_000);
        }
        let done = write(&mut world, session, 2, 8);
        let is_done = matches!(done, Some(Answer::Applied(Reply::Done { version: 2, .. })));
        assert!(is_done, "{done:?}");
        let took = world.now - lost;
        assert!(took < 5 * SECOND, "seed {seed}: {} ms", took / 1_000);
    }
}

#[test]
fn a_lease_that_nobody_renews_runs_out_and_one_that_is_renewed_does_not() {
    let mut world = formed(5, 3, Mutant::None);
    let leader = world.leader().expect("there is one");
    let key = |name: &str| Key {
        kind: Kind::Project,
        name: name.to_owned(),
    };
    let masters = ["kept", "left"].map(|name| peer(Role::Master, name));
    let mut sessions = Vec::new();
    for by in &masters {
        let session = open(&mut world, leader, by);
        sessions.push(session);
        let command = Command::Register {
            key: key(&by.name),
            value: Value::Project(Project::default()),
            lease: Span::secs(10),
        };
        let done = world.answer(
            leader,
            by,
            What::Command(Some(Op { session, seq: 1 }), command),
        );
        assert!(
            matches!(done, Some(Answer::Applied(Reply::Done { .. }))),
            "{done:?}"
        );
    }
    for seq in 2..6 {
        pass(&mut world, 5 * SECOND);
        let renew = Command::Renew {
            key: key("kept"),
            value: None,
        };
        let op = Some(Op {
            session: sessions[0],
            seq,
        });
        let leader = world.leader().expect("there is one");
        assert!(
            world
                .answer(leader, &masters[0], What::Command(op, renew))
                .is_some()
        );
    }
    for host in 0..3 {
        let query = Query::List {
            filter: Filter {
                kind: Kind::Project,
                names: Pattern::All,
            },
            after: None,
            limit: 10,
        };
        let Some(Answer::Found(found)) =
            world.answer(host, &user(), What::Query(query, Freshness::Linearizable))
        else {
            panic!("a list");
        };
        assert_eq!(found.items.len(), 1);
        assert_eq!(found.items[0].key, key("kept"));
    }
}

#[test]
fn a_catalog_that_has_slept_does_not_take_it_out_on_its_tenants() {
    let mut world = World::new(5, 1, Mutant::None, FAIR);
    world.start();
    let by = peer(Role::Master, "fold");
    let session = open(&mut world, 0, &by);
    let key = Key {
        kind: Kind::Project,
        name: "fold".to_owned(),
    };
    let command = Command::Register {
        key: key.clone(),
        value: Value::Project(Project::default()),
        lease: Span::secs(10),
    };
    assert!(
        world
            .answer(0, &by, What::Command(Some(Op { session, seq: 1 }), command))
            .is_some()
    );
    world.hosts[0].paused = world.now + 3_600 * SECOND;
    pass(&mut world, 3_605 * SECOND);
    let is_there = |world: &World| {
        world.hosts[0]
            .node
            .as_ref()
            .is_some_and(|node| node.directory().get(&key).is_some())
    };
    assert!(is_there(&world), "it may have been renewed all the while");
    pass(&mut world, 10 * SECOND);
    assert!(!is_there(&world), "it was not");
}

#[test]
fn a_watch_waits_for_a_change_and_then_tells_it() {
    let mut world = formed(6, 3, Mutant::None);
    let leader = world.leader().expect("there is one");
    let follower = (leader + 1) % 3;
    let session = open(&mut world, leader, &user());
    let filter = Filter {
        kind: Kind::Setting,
        names: Pattern::All,
    };
    let since = world.hosts[follower]
        .node
        .as_ref()
        .expect("it is up")
        .directory()
        .revision();
    let nothing = world.answer(follower, &user(), What::Watch(since, filter.clone()));
    assert_eq!(
        nothing,
        Some(Answer::Changes {
            changes: Vec::new(),
            revision: since
        })
    );
    let watch = world.ask(follower, &user(), Span::secs(5), What::Watch(since, filter));
    assert!(
        world
            .ask(
                leader,
                &user(),
                Span::secs(5),
                What::Command(Some(Op { session, seq: 1 }), put(1, 7))
            )
            .0
            > 0
    );
    let mut told = None;
    let until = world.now + 5 * SECOND;
    while told.is_none() && world.step(until) {
        world.due.clear();
        told = std::mem::take(&mut world.answers)
            .into_iter()
            .find(|(ask, _)| *ask == watch);
    }
    let Some((_, Answer::Changes { changes, revision })) = told else {
        panic!("{told:?}");
    };
    assert_eq!((changes.len(), revision), (1, Revision(since.0 + 1)));
}

#[test]
fn a_change_of_membership_that_makes_no_sense_is_refused() {
    let mut world = formed(7, 3, Mutant::None);
    let leader = world.leader().expect("there is one");
    let (own, other) = (world.hosts[leader].id, world.member((leader + 1) % 3));
    for bad in [
        Reshape::Learn(other),
        Reshape::Promote(own),
        Reshape::Replace { old: own, new: own },
    ] {
        let answer = world.answer(leader, &user(), What::Reshape(bad.clone()));
        assert_eq!(answer, Some(Answer::Fault(Fault::Unfit)), "{bad:?}");
    }
    let answer = world.answer(
        (leader + 1) % 3,
        &user(),
        What::Reshape(Reshape::Remove(own)),
    );
    assert!(
        matches!(answer, Some(Answer::Fault(Fault::NotLeader { .. }))),
        "{answer:?}"
    );
}

#[test]
fn a_leader_that_is_removed_leaves_and_the_others_go_on() {
    let mut world = formed(8, 3, Mutant::None);
    let leader = world.leader().expect("there is one");
    let session = open(&mut world, leader, &user());
    let own = world.hosts[leader].id;
    assert_eq!(
        world.answer(leader, &user(), What::Reshape(Reshape::Remove(own))),
        Some(Answer::Reshaped)
    );
    pass(&mut world, 5 * SECOND);
    let next = world.leader().expect("there is another");
    assert_ne!(world.hosts[next].id, own);
    assert!(matches!(
        write(&mut world, session, 1, 7),
        Some(Answer::Applied(Reply::Done { .. }))
    ));
}

#[test]
fn what_is_too_long_is_refused_before_it_is_proposed() {
    let mut world = formed(9, 1, Mutant::None);
    let session = open(&mut world, 0, &user());
    let long = Command::Put {
        key: setting(1),
        value: Value::Setting(vec![0; 1 << 20]),
        expect: Expect::Any,
    };
    let answer = world.answer(
        0,
        &user(),
        What::Command(Some(Op { session, seq: 1 }), long),
    );
    assert_eq!(
        answer,
        Some(Answer::Applied(Reply::Refused(Refusal::Malformed)))
    );
}

#[test]
fn c7_states_are_compared_every_thousand_entries() {
    let mut world = formed(10, 3, Mutant::None);
    let leader = world.leader().expect("there is one");
    let session = open(&mut world, leader, &user());
    for seq in 1..=1_200 {
        let what = What::Command(Some(Op { session, seq }), put(seq % 10, 1));
        world.ask(leader, &user(), Span::secs(5), what);
        if seq % 100 == 0 {
            pass(&mut world, SECOND / 2);
        }
    }
    pass(&mut world, SECOND);
    let checks = world
        .entries(leader)
        .iter()
        .filter(|entry| entry.index % 1_000 < 150 && entry.index > 1_000)
        .count();
    assert!(checks > 100, "the log is long enough");
    assert_eq!(world.broken, None);
}

#[test]
fn c7_a_replica_whose_state_is_not_the_leaders_stops() {
    let mut world = formed(11, 1, Mutant::None);
    let session = open(&mut world, 0, &user());
    for seq in 1..=1_100 {
        let what = What::Command(Some(Op { session, seq }), put(seq % 10, 1));
        world.ask(0, &user(), Span::secs(5), what);
        pass(&mut world, u64::from(seq % 100 == 0) * SECOND);
    }
    let lie = Command::Check {
        index: 1_000,
        hash: 1,
    };
    let answer = world.answer(0, &peer(Role::Catalog, "c9"), What::Command(None, lie));
    assert_eq!(answer, None);
    let broken = world.broken.expect("the world has seen it stop");
    assert!(
        broken.contains("after entry 1000 the state hashes to"),
        "{broken}"
    );
}

#[test]
fn a_fence_that_would_stop_the_replica_is_not_proposed() {
    let mut world = formed(12, 1, Mutant::None);
    let session = open(&mut world, 0, &user());
    let fence = Command::Fence {
        meaning: MEANING + 1,
    };
    let answer = world.answer(
        0,
        &user(),
        What::Command(Some(Op { session, seq: 1 }), fence),
    );
    assert_eq!(
        answer,
        Some(Answer::Applied(Reply::Refused(Refusal::Fenced)))
    );
}

#[test]
fn c1_a_leader_that_was_paused_does_not_answer_from_the_past() {
    for seed in 0..20 {
        let mut world = formed(seed, 3, Mutant::None);
        let old = world.leader().expect("there is one");
        let session = open(&mut world, old, &user());
        write(&mut world, session, 1, 7);
        world.hosts[old].paused = world.now + 8 * SECOND;
        // The question waits in the socket of one who believes that it leads.
        let read = world.ask(old, &user(), Span::secs(5), get(1, Freshness::Linearizable));
        pass(&mut world, 5 * SECOND);
        let next = world.leader().expect("there is another");
        assert_ne!(next, old);
        assert!(matches!(
            write(&mut world, session, 2, 8),
            Some(Answer::Applied(_))
        ));
        let mut answer = None;
        let until = world.now + 15 * SECOND;
        while answer.is_none() && world.step(until) {
            world.due.clear();
            answer = std::mem::take(&mut world.answers)
                .into_iter()
                .find(|(ask, _)| *ask == read);
        }
        match answer.map(|(_, answer)| answer) {
            Some(Answer::Fault(Fault::NoQuorum)) => {}
            found => assert_eq!(values(found), [Value::Setting(vec![8])], "seed {seed}"),
        }
    }
}

#[test]
fn a_newcomer_takes_a_directory_of_megabytes_over_links_that_lose_and_repeat() {
    let mut world = World::new(13, 2, Mutant::None, FAIR);
    world.boot(0);
    let session = open(&mut world, 0, &user());
    for seq in 1..=200 {
        let command = Command::Put {
            key: setting(seq),
            value: Value::Setting(vec![seq as u8; 16 << 10]),
            expect: Expect::Any,
        };
        let done = world.answer(
            0,
            &user(),
            What::Command(Some(Op { session, seq }), command),
        );
        assert!(
            matches!(done, Some(Answer::Applied(Reply::Done { .. }))),
            "{done:?}"
        );
    }
    world.boot(1);
    world.weather.loss = 20;
    world.weather.repeats = 100;
    let mut operator = Operator::new(&mut world, 2);
    let until = world.now + 120 * SECOND;
    while !operator.is_safe(&world) && world.step(until) {
        let due = std::mem::take(&mut world.due);
        due.iter()
            .filter(|who| **who == OPERATOR)
            .for_each(|_| operator.act(&mut world));
        world.answers.clear();
        assert_eq!(world.broken, None);
    }
    assert!(operator.is_safe(&world), "it follows and votes");
    let hashes = [0, 1].map(|host: usize| {
        world.hosts[host]
            .node
            .as_ref()
            .map(|node| node.directory().hash())
    });
    assert_eq!(hashes[0], hashes[1]);
}
