//! Clients that read and write settings, try any replica, follow hints, and send a command again until they know what
//! became of it. Each call is noted for the judge.

use std::collections::BTreeMap;

use muster_catalog::{AskId, What};
use muster_proto::catalog::{
    Answer, Command, Expect, Fault, Filter, Freshness, Key, Kind, Named, Op, Pattern, Query,
    Refusal, Reply, Revision, Value,
};
use muster_proto::{Peer, Role, Span};

use super::happening::Happening;
use super::linear::{Call, Deed, Outcome, State, is_linearizable};
use super::world::{World, peer};
use crate::rng::Rng;

const WAIT: Span = Span::secs(2);

/// Clients that read, write and watch settings.
pub struct Clients {
    clients: Vec<Client>,
    asked: BTreeMap<AskId, usize>,
    keys: u64,
    values: u64,
    /// Calls by key.
    pub history: BTreeMap<u64, Vec<Call>>,
    /// Nothing new is begun any more.
    pub is_closing: bool,
    /// The one who watches.
    pub watcher: Watcher,
    /// The longest that a call has taken since this was last set to 0, in microseconds; counted from the healing.
    pub slowest: u64,
    /// When all faults ended.
    pub healed: u64,
}

struct Client {
    peer: Peer,
    session: Option<u64>,
    seq: u64,
    doing: Option<Doing>,
    ask: Option<AskId>,
    target: usize,
    rng: Rng,
}

struct Doing {
    key: u64,
    place: usize,
    deed: Deed,
    since: u64,
}

/// Follows all changes and folds them.
#[derive(Default)]
pub struct Watcher {
    upto: Revision,
    /// What it knows: names and versions.
    pub seen: BTreeMap<String, u64>,
    ask: Option<AskId>,
    listing: Option<AskId>,
    /// Changes it was told of.
    pub changes: usize,
    /// How often it had to list again.
    pub gaps: usize,
    /// What it saw that must never be.
    pub broken: Option<String>,
}

const WATCHER: u64 = 900;

impl Clients {
    /// Clients who work on `keys` names.
    pub fn new(world: &mut World, clients: usize, keys: u64) -> Self {
        for who in 0..clients as u64 {
            world.schedule(world.now + who * 1_000, Happening::Outside { who });
        }
        world.schedule(world.now, Happening::Outside { who: WATCHER });
        let client = |number: usize| Client {
            peer: peer(Role::User, &format!("u{number}")),
            session: None,
            seq: 0,
            doing: None,
            ask: None,
            target: number % world.hosts.len(),
            rng: Rng::new(world.rng.clone().next() ^ number as u64),
        };
        Self {
            clients: (0..clients).map(client).collect(),
            asked: BTreeMap::new(),
            keys,
            values: 0,
            history: BTreeMap::new(),
            is_closing: false,
            watcher: Watcher::default(),
            slowest: 0,
            healed: 0,
        }
    }

    /// Whether every call has returned.
    pub fn are_idle(&self) -> bool {
        self.clients.iter().all(|client| client.doing.is_none())
    }

    /// How many clients there are beside the one who watches.
    pub fn count(&self) -> usize {
        self.clients.len()
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.history.values().map(Vec::len).sum()
    }

    /// Says which key has no single history.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn judge(&self) -> Result<(), String> {
        for (key, calls) in &self.history {
            if !is_linearizable(calls) {
                return Err(format!(
                    "the history of key {key} is not linearizable: {} calls",
                    calls.len()
                ));
            }
        }
        self.watcher.broken.clone().map_or(Ok(()), Err)
    }

    /// Lets the client `who` do its next deed.
    pub fn act(&mut self, world: &mut World, who: u64) {
        if who == WATCHER {
            return self.watcher.act(world);
        }
        let number = who as usize;
        // Whatever was asked before is given up: an answer that comes later is not heard.
        let client = &mut self.clients[number];
        if let Some(old) = client.ask.take() {
            self.asked.remove(&old);
            client.target = world.rng.below(world.hosts.len() as u64) as usize;
        }
        if client.doing.is_none() && client.session.is_some() {
            if self.is_closing {
                return;
            }
            self.begin(world, number);
        }
        let what = self.what(number);
        let client = &mut self.clients[number];
        let ask = world.ask(client.target, &client.peer, WAIT, what);
        client.ask = Some(ask);
        self.asked.insert(ask, number);
        world.schedule(world.now + WAIT.0 + 50_000, Happening::Outside { who });
    }

    fn begin(&mut self, world: &mut World, number: usize) {
        self.values += 1;
        let client = &mut self.clients[number];
        let rng = &mut client.rng;
        let expect = rng.permille(300).then(|| rng.below(4));
        let deed = match rng.below(10) {
            0..=4 => Deed::Get,
            5..=8 => Deed::Put {
                value: self.values,
                expect,
            },
            _ => Deed::Delete { expect },
        };
        if deed != Deed::Get {
            client.seq += 1;
        }
        let key = rng.below(self.keys);
        let calls = self.history.entry(key).or_default();
        let place = calls.len();
        let (begun, ended) = (world.moment, None);
        calls.push(Call { deed, begun, ended });
        let since = world.now;
        client.doing = Some(Doing {
            key,
            place,
            deed,
            since,
        });
    }

    fn what(&self, number: usize) -> What {
        let client = &self.clients[number];
        let (Some(session), Some(doing)) = (client.session, &client.doing) else {
            return What::Command(None, Command::Open);
        };
        let key = setting(doing.key);
        let seq = client.seq;
        let op = Some(Op { session, seq });
        match doing.deed {
            Deed::Get => What::Query(Query::Get(key), Freshness::Linearizable),
            Deed::Put { value, expect } => {
                let (value, expect) = (
                    Value::Setting(value.to_le_bytes().to_vec()),
                    expected(expect),
                );
                What::Command(op, Command::Put { key, value, expect })
            }
            Deed::Delete { expect } => {
                let expect = expected(expect);
                What::Command(op, Command::Delete { key, expect })
            }
        }
    }

    /// Takes an answer.
    pub fn answered(&mut self, world: &mut World, ask: AskId, answer: Answer) {
        self.watcher.answered(world, ask, &answer);
        let Some(number) = self.asked.remove(&ask) else {
            return;
        };
        let client = &mut self.clients[number];
        client.ask = None;
        let retry = match &answer {
            Answer::Applied(Reply::Opened { session }) => {
                (client.session, client.seq) = (Some(*session), 0);
                false
            }
            Answer::Applied(Reply::Refused(Refusal::Forgotten | Refusal::Late)) => {
                // What became of it is never known.
                (client.session, client.doing) = (None, None);
                false
            }
            Answer::Fault(Fault::NotLeader { hint: Some(hint) }) => {
                let host = world.host_of(hint.node);
                client.target = host.unwrap_or(client.target);
                true
            }
            Answer::Fault(_) => {
                client.target = world.rng.below(world.hosts.len() as u64) as usize;
                true
            }
            Answer::Applied(_)
            | Answer::Found(_)
            | Answer::Changes { .. }
            | Answer::Standing(_)
            | Answer::Reshaped => {
                if let Some(doing) = client.doing.take() {
                    let outcome = outcome(&answer);
                    self.slowest = self.slowest.max(world.now - doing.since.max(self.healed));
                    let call = &mut self
                        .history
                        .get_mut(&doing.key)
                        .expect("calls are noted when they begin")[doing.place];
                    call.ended = Some((world.moment, outcome));
                }
                false
            }
        };
        let pause = if retry {
            client.rng.between(5, 60)
        } else {
            client.rng.between(1, 250)
        };
        world.schedule(
            world.now + pause * 1_000,
            Happening::Outside { who: number as u64 },
        );
    }
}

impl Watcher {
    fn filter() -> Filter {
        Filter {
            kind: Kind::Setting,
            names: Pattern::All,
        }
    }

    fn act(&mut self, world: &mut World) {
        world.schedule(world.now + 700_000, Happening::Outside { who: WATCHER });
        // An answer that was lost is asked for again from where the watcher stands.
        self.listing = None;
        self.watch(world);
    }

    fn watch(&mut self, world: &mut World) {
        let host = world.rng.below(world.hosts.len() as u64) as usize;
        let what = What::Watch(self.upto, Self::filter());
        self.ask = Some(world.ask(host, &peer(Role::User, "watcher"), Span::millis(600), what));
    }

    fn answered(&mut self, world: &mut World, ask: AskId, answer: &Answer) {
        match answer {
            Answer::Changes { changes, revision } if self.ask == Some(ask) => {
                for change in changes {
                    if change.revision <= self.upto {
                        self.broken = Some(format!("revision {} came twice", change.revision.0));
                    }
                    self.upto = change.revision;
                    self.changes += 1;
                    match &change.item {
                        Some(item) => self.seen.insert(change.key.name.clone(), item.changed.0),
                        None => self.seen.remove(&change.key.name),
                    };
                }
                self.upto = self.upto.max(*revision);
                self.watch(world);
            }
            Answer::Fault(Fault::Compacted { .. }) if self.ask == Some(ask) => {
                self.gaps += 1;
                self.ask = None;
                let host = world.rng.below(world.hosts.len() as u64) as usize;
                let query = Query::List {
                    filter: Self::filter(),
                    after: None,
                    limit: 1_000,
                };
                let what = What::Query(query, Freshness::Linearizable);
                self.listing =
                    Some(world.ask(host, &peer(Role::User, "watcher"), Span::millis(600), what));
            }
            Answer::Found(found) if self.listing == Some(ask) => {
                self.listing = None;
                // A list is of one moment, and not of an earlier one than what was seen.
                if found.revision < self.upto {
                    self.broken =
                        Some("a linearizable list is older than a change that was seen".to_owned());
                }
                self.upto = found.revision;
                self.seen = names(&found.items);
            }
            Answer::Applied(_)
            | Answer::Found(_)
            | Answer::Changes { .. }
            | Answer::Standing(_)
            | Answer::Reshaped
            | Answer::Fault(_) => {}
        }
    }
}

/// The revision of each item.
pub fn names(items: &[Named]) -> BTreeMap<String, u64> {
    items
        .iter()
        .map(|named| (named.key.name.clone(), named.item.changed.0))
        .collect()
}

fn outcome(answer: &Answer) -> Outcome {
    if let Answer::Found(found) = answer {
        return Outcome::Got(found.items.first().and_then(state));
    }
    let Answer::Applied(reply) = answer else {
        panic!("{answer:?} is no answer to this");
    };
    match reply {
        Reply::Done { version, .. } => Outcome::Done(*version),
        Reply::Refused(Refusal::Absent) => Outcome::Absent,
        Reply::Refused(Refusal::Mismatch { version }) => Outcome::Mismatch(*version),
        Reply::Refused(_) | Reply::Opened { .. } | Reply::Granted { .. } => {
            panic!("{reply:?} is no reply to this")
        }
    }
}

fn state(named: &Named) -> State {
    let Value::Setting(bytes) = &named.item.value else {
        panic!("{named:?} under the key of a setting");
    };
    let value = bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte));
    Some((value, named.item.version))
}

/// The setting of this number.
pub fn setting(key: u64) -> Key {
    Key {
        kind: Kind::Setting,
        name: format!("k{key}"),
    }
}

fn expected(expect: Option<u64>) -> Expect {
    match expect {
        None => Expect::Any,
        Some(0) => Expect::Absent,
        Some(version) => Expect::Version(version),
    }
}
