//! C9: whatever a replica says, true to form or not, no other one panics. Messages are drawn near to what makes sense,
//! for what is far from it is easily refused.

use muster_catalog::{Birth, Catalog, Config, Directory, Event, Input, Output, Place};
use muster_proto::catalog::NodeId;
use muster_proto::catalog::raft::{Body, Entry, Membership, Message, Part, Round, Sort, Verdict};
use muster_proto::machine::{Machine as _, Record as _};
use muster_proto::{Lsn, Role, Time};

use crate::replicas::formed;
use muster_sim::catalog::weather::Mutant;
use muster_sim::catalog::world::{World, peer};
use muster_sim::rng::Rng;

/// A replica that is lied to, with a disk of its own.
struct Victim {
    node: Catalog,
    now: u64,
    lsn: u64,
    others: Vec<NodeId>,
    /// Entries that a log has had.
    entries: Vec<Entry>,
    halted: bool,
    sent: usize,
}

impl Victim {
    /// A host of a catalog of three, in the middle of its work.
    fn of(world: &mut World, host: usize) -> Self {
        let others = world
            .hosts
            .iter()
            .map(|host| host.id)
            .filter(|id| *id != world.hosts[host].id);
        let others = others.collect();
        let entries = world.entries(host);
        let lsn = world.hosts[host].last();
        let node = world.hosts[host].node.take().expect("it is up");
        let now = world.now;
        Self {
            node,
            now,
            lsn,
            others,
            entries,
            halted: false,
            sent: 0,
        }
    }

    /// One that waits to be added.
    fn joiner(world: &mut World, seed: u64) -> Self {
        let mut victim = Self::of(world, 0);
        let config = Config {
            birth: Birth {
                node: NodeId(seed | 1),
                place: Place::Joiner,
            },
            peer: peer(Role::Catalog, "new"),
            seed,
            run: 1,
            lsn: Lsn(0),
            compact_entries: 50,
        };
        victim.node = Catalog::new(Time(victim.now), config, Vec::new()).expect("it is new");
        victim.lsn = 0;
        victim
    }

    fn feed(&mut self, input: Input) {
        let mut out = Vec::new();
        self.node.handle(Time(self.now), input, &mut out);
        for output in out {
            match output {
                Output::Record(event) => {
                    self.lsn += 1;
                    let mut bytes = Vec::new();
                    event.encode(&mut bytes);
                    assert!(bytes.len() < 16 << 20, "a record fits the journal");
                    assert_eq!(Event::decode(&bytes), Ok(event));
                }
                Output::Send { message, .. } => {
                    self.sent += 1;
                    let bytes = postcard::to_allocvec(&message).expect("plain data");
                    assert!(bytes.len() < 1 << 20, "a message fits a frame");
                }
                Output::Halt(_) => self.halted = true,
                Output::Answer { .. } | Output::Close { .. } | Output::Compact => {}
            }
        }
    }

    fn lie(&mut self, rng: &mut Rng) {
        let standing = self.node.standing();
        let near = [
            standing.committed,
            standing.applied,
            standing.committed + 3,
            0,
        ];
        let mut draw = Draw {
            rng,
            near,
            term: standing.term,
            victim: self.node.id(),
            others: &self.others,
            entries: &self.entries,
            frozen: self.node.directory(),
        };
        let (from, message) = draw.message();
        self.feed(Input::Message { from, message });
        self.now += rng.below(20_000);
        match rng.below(8) {
            0..=2 => self.feed(Input::Tick),
            3 => {
                let lsn = Lsn(self.lsn - rng.below(3).min(self.lsn));
                self.feed(Input::Durable { lsn });
            }
            4 if rng.permille(100) => {
                let node = self.others[0];
                self.feed(Input::LinkDown { node });
                let peer = peer(Role::Catalog, "c0");
                self.feed(Input::LinkUp { node, peer });
            }
            // A long silence: it stands for election.
            5 if rng.permille(300) => {
                for _ in 0..25 {
                    self.now += 100_000;
                    self.feed(Input::Tick);
                }
            }
            _ => {}
        }
    }
}

struct Draw<'a> {
    rng: &'a mut Rng,
    near: [u64; 4],
    term: u64,
    victim: NodeId,
    others: &'a [NodeId],
    entries: &'a [Entry],
    frozen: &'a Directory,
}

impl Draw<'_> {
    fn message(&mut self) -> (NodeId, Message) {
        let link = self.node();
        let is_honest = self.rng.permille(950);
        let from = if is_honest { link } else { self.node() };
        let to = if self.rng.permille(970) {
            self.victim
        } else {
            self.node()
        };
        let term = match self.rng.below(30) {
            0 => 0,
            1 => self.term.saturating_sub(1),
            2 => self.rng.next(),
            3..=6 => self.term + 1,
            _ => self.term,
        };
        let body = self.body(term);
        let term = if matches!(body, Body::Read { .. }) && is_honest {
            0
        } else {
            term
        };
        (
            link,
            Message {
                from,
                to,
                term,
                body,
            },
        )
    }

    fn node(&mut self) -> NodeId {
        match self.rng.below(20) {
            0 => NodeId(self.rng.below(3)),
            1 => self.victim,
            n => self.others[n as usize % self.others.len()],
        }
    }

    /// A count near to one that makes sense.
    fn count(&mut self) -> u64 {
        let near = self.near[self.rng.below(4) as usize];
        match self.rng.below(20) {
            0 => self.rng.next(),
            1 => u64::MAX,
            2..=6 => near.saturating_sub(self.rng.below(4)),
            7..=11 => near + self.rng.below(4),
            _ => near,
        }
    }

    fn past_term(&mut self) -> u64 {
        if self.rng.permille(50) {
            self.count()
        } else {
            self.term.saturating_sub(self.rng.below(3))
        }
    }

    fn body(&mut self, term: u64) -> Body {
        let round = if self.rng.permille(500) {
            Round::Pre
        } else {
            Round::Real
        };
        let (index, commit) = (self.count(), self.count());
        match self.rng.below(11) {
            0..=2 => self.append(term),
            3 => Body::Appended { index, commit },
            4 => Body::Mismatched {
                index,
                hint: self.count(),
                hint_term: self.past_term(),
                commit,
            },
            5 => Body::Heartbeat {
                commit,
                context: self.context(),
            },
            6 => Body::Alive {
                commit,
                context: self.context(),
            },
            7 => Body::Ballot {
                round,
                index,
                log_term: self.past_term(),
                commit,
                commit_term: self.past_term(),
            },
            8 => {
                let verdict = if self.rng.permille(600) {
                    Verdict::Granted
                } else {
                    let commit_term = self.past_term();
                    Verdict::Denied {
                        commit,
                        commit_term,
                    }
                };
                Body::Vote { round, verdict }
            }
            9 => self.part(),
            _ if self.rng.permille(500) => Body::Read {
                context: self.context(),
            },
            _ => Body::ReadAt {
                index,
                context: self.context(),
            },
        }
    }

    fn append(&mut self, term: u64) -> Body {
        let (index, log_term, commit) = (self.count(), self.past_term(), self.count());
        let mut next = index.saturating_add(u64::from(self.rng.permille(970)));
        let mut entries = Vec::new();
        for _ in 0..self.rng.below(5) {
            let mut entry = Entry {
                index: next,
                term: if self.rng.permille(900) {
                    term
                } else {
                    self.past_term()
                },
                sort: Sort::Normal,
                data: Vec::new(),
            };
            if self.rng.permille(300) {
                let old = &self.entries[self.rng.below(self.entries.len() as u64) as usize];
                (entry.sort, entry.data) = (old.sort, old.data.clone());
            } else if self.rng.permille(5) {
                entry.data = vec![1, 2, 3];
            }
            entries.push(entry);
            next = next.saturating_add(u64::from(self.rng.permille(990)));
        }
        Body::Append {
            index,
            log_term,
            commit,
            entries,
        }
    }

    fn context(&mut self) -> Vec<u8> {
        let owner = self.node().0;
        match self.rng.below(4) {
            0 => Vec::new(),
            1 => vec![7; 30],
            _ => [owner, 1, self.rng.below(4)]
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect(),
        }
    }

    fn part(&mut self) -> Body {
        let bytes = if self.rng.permille(900) {
            self.frozen.freeze()
        } else {
            vec![9; 50]
        };
        let total = if self.rng.permille(950) {
            bytes.len() as u64
        } else {
            self.count()
        };
        let mut nodes: Vec<NodeId> = self.others.to_vec();
        nodes.push(self.victim);
        nodes.sort_unstable();
        let some = |rng: &mut Rng, chances| {
            let mut some: Vec<NodeId> = nodes
                .iter()
                .copied()
                .filter(|_| rng.permille(chances))
                .collect();
            if rng.permille(30) {
                some.reverse();
            }
            some
        };
        let membership = Membership {
            voters: some(self.rng, 700),
            outgoing: if self.rng.permille(300) {
                some(self.rng, 500)
            } else {
                Vec::new()
            },
            learners: if self.rng.permille(300) {
                some(self.rng, 300)
            } else {
                Vec::new()
            },
            learners_next: if self.rng.permille(200) {
                some(self.rng, 300)
            } else {
                Vec::new()
            },
        };
        Body::Part(Part {
            index: self.count(),
            log_term: self.past_term(),
            membership,
            total,
            offset: if self.rng.permille(950) {
                0
            } else {
                self.count()
            },
            bytes,
        })
    }
}

fn lie_to(victim: &mut Victim, seed: u64) -> usize {
    let mut rng = Rng::new(seed);
    let mut lies = 0;
    while lies < 400 && !victim.halted {
        victim.lie(&mut rng);
        lies += 1;
    }
    if !victim.halted {
        victim.node.check();
    }
    lies
}

#[test]
fn c9_no_lie_ends_a_leader_or_a_follower() {
    let (mut lies, mut sent) = (0, 0);
    for seed in 0..150 {
        let mut world = formed(seed % 7, 3, Mutant::None);
        let leader = world.leader().expect("there is one");
        let host = if seed % 2 == 0 {
            leader
        } else {
            (leader + 1) % 3
        };
        let mut victim = Victim::of(&mut world, host);
        lies += lie_to(&mut victim, seed);
        sent += victim.sent;
    }
    assert!(
        lies > 20_000 && sent > 10_000,
        "{lies} lies, {sent} answers"
    );
}

#[test]
fn c9_no_lie_ends_one_that_waits_to_be_added() {
    let mut lies = 0;
    for seed in 0..150 {
        let mut world = formed(seed % 7, 3, Mutant::None);
        let mut victim = Victim::joiner(&mut world, seed + 99);
        lies += lie_to(&mut victim, seed);
    }
    assert!(lies > 20_000, "{lies} lies");
}
