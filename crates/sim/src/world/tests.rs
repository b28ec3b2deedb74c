//! The world's own promises, tried with toy brains.

use muster_proto::machine::{Deadline, FetchEnd, Gate, Machine};
use muster_proto::peer::Role;
use muster_proto::wire::Started;
use muster_proto::{Epoch, Lsn, MasterId, Resources, TaskId, Try};

use super::*;
use crate::play;
use crate::trace::Trace;

#[test]
fn a_short_cut_delays_frames_and_loses_none() {
    let mut world = pair(1, Toy::CHATTY);
    world.run_until(secs(10));
    world.cut(WORKER, MASTER, secs(20));
    world.run_until(secs(20));
    let before = world.observer.heard();
    world.run_until(secs(30));
    let after = world.observer.heard();
    assert!(after.len() > before.len() + 15, "what was held back came");
    assert!(
        after.windows(2).all(|two| two[1] == two[0] + 1),
        "in order, without a gap: {after:?}"
    );
    assert_eq!(world.observer.count("down"), 0);
}

#[test]
fn a_long_cut_is_noticed_by_each_end_for_itself_and_the_subordinate_comes_back() {
    let mut world = pair(2, Toy::CHATTY);
    world.run_until(secs(10));
    world.cut(WORKER, MASTER, secs(60));
    world.cut(MASTER, WORKER, secs(60));
    world.run_until(secs(59));
    let downs = world.observer.times("down");
    assert_eq!(downs.len(), 2);
    assert!(
        downs.iter().all(|at| (secs(25)..=secs(30)).contains(at)),
        "{downs:?}"
    );
    assert_ne!(downs[0], downs[1], "no common clock");
    world.run_until(secs(70));
    let ups = world.observer.times("up");
    assert_eq!(ups.len(), 4, "both have it again");
    assert!(
        ups[2] > secs(60) && ups[2] < secs(64),
        "within the greatest pause: {ups:?}"
    );
}

#[test]
fn of_a_one_way_cut_the_deaf_end_tires_first_and_the_other_much_later() {
    let mut world = pair(3, Toy::CHATTY);
    world.run_until(secs(10));
    world.cut(WORKER, MASTER, secs(600));
    world.run_until(secs(100));
    let master = world.observer.times("0 link down");
    let worker = world.observer.times("1 link down");
    assert!((secs(25)..=secs(30)).contains(&master[0]), "{master:?}");
    assert!(worker[0] >= master[0] + Span::secs(15), "{worker:?}");
    assert_eq!(
        world.observer.count("up"),
        2,
        "nothing gets through to make a new one"
    );
}

#[test]
fn who_comes_back_at_once_supersedes_its_own_old_link() {
    let mut world = pair(4, Toy::CHATTY);
    world.run_until(secs(10));
    world.kill(WORKER, Some(Span::millis(500)));
    world.run_until(secs(14));
    let master: Vec<&str> = world
        .observer
        .lines("0 ")
        .filter(|line| line.contains("link"))
        .collect();
    assert_eq!(master, ["0 link up", "0 link down", "0 link up"]);
}

#[test]
fn who_stays_away_is_missed_after_the_idle_time_out() {
    let mut world = pair(5, Toy::CHATTY);
    world.run_until(secs(10));
    world.kill(WORKER, None);
    world.run_until(secs(40));
    let down = world.observer.times("0 link down");
    assert!((secs(25)..=secs(30)).contains(&down[0]), "{down:?}");
}

#[test]
fn a_paused_process_hears_nothing_and_takes_up_what_came_meanwhile() {
    let mut world = pair(6, Toy::CHATTY);
    world.run_until(secs(10));
    world.pause(MASTER, Span::secs(8));
    world.run_until(secs(17));
    let before = world.observer.heard().len();
    world.run_until(secs(20));
    assert!(world.observer.heard().len() > before + 10);
    assert_eq!(world.observer.count("down"), 0);
}

#[test]
fn what_is_gated_leaves_when_it_is_durable_and_not_if_the_process_dies_before() {
    let mut world = pair(7, Toy::CAREFUL);
    world.layout.fsync_us = (400_000, 400_000);
    world.run_until(Time(3_100_000));
    let durable = world.observer.times("1 durable");
    let left = world.observer.times("1 left");
    assert_eq!(
        durable[0], left[0],
        "the frame leaves at the instant its record is safe"
    );
    let mut lost = 0;
    for seed in 0..20 {
        let mut world = pair(seed, Toy::CAREFUL);
        world.layout.fsync_us = (400_000, 400_000);
        while !world.pending(WORKER) {
            world.step();
        }
        world.kill(WORKER, Some(Span::secs(1)));
        assert_eq!(
            world.observer.count("1 left"),
            0,
            "nothing was said that a crash could undo"
        );
        lost += usize::from(world.journal(WORKER).appended() == Lsn(0));
    }
    assert!(
        (1..20).contains(&lost),
        "a tail that was not durable is lost at times: {lost}"
    );
}

#[test]
fn contents_come_if_the_peer_has_them() {
    let mut world = pair(8, Toy::CURIOUS);
    world.put(MASTER, play::digest(1), 10);
    world.run_until(secs(5));
    let ends: Vec<&str> = world.observer.lines("1 fetched").collect();
    assert!(
        ends.contains(&"1 fetched Held") && ends.contains(&"1 fetched Absent"),
        "{ends:?}"
    );
    assert!(world.held(WORKER).contains_key(&play::digest(1)));
    world.kill(WORKER, None);
    assert!(world.held(WORKER).is_empty(), "a worker's store is scratch");
}

#[test]
fn the_same_seed_makes_the_same_world() {
    let hash = |seed| {
        let layout = Layout {
            loss_permille: 100,
            ..Layout::default()
        };
        let mut world: World<Toy, Trace> = World::new(seed, layout, Trace::new());
        populate(&mut world, Toy::CAREFUL);
        for n in 1..20 {
            world.run_until(secs(n * 5));
            world.kill(WORKER, Some(Span::secs(2)));
        }
        (world.observer.hash(), world.observer.events())
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

const MASTER: ActorId = ActorId(0);
const WORKER: ActorId = ActorId(1);

fn secs(n: u64) -> Time {
    Time(n * 1_000_000)
}

fn pair(seed: u64, subordinate: Toy) -> World<Toy, Diary> {
    let mut world = World::new(seed, Layout::default(), Diary::default());
    populate(&mut world, subordinate);
    world
}

fn populate<O: Observer>(world: &mut World<Toy, O>, subordinate: Toy) {
    let casting = |role, name: &str, part, dials| Casting {
        peer: Peer {
            role,
            site: "here".into(),
            name: name.into(),
        },
        part,
        dials,
        latency_us: 10_000,
        loss_ppm: 0,
        lanes: Vec::new(),
        shape: Resources::cores(1),
    };
    world.add(casting(Role::Master, "m", Toy::QUIET, vec![]), Span::ZERO);
    world.add(
        casting(Role::Worker, "w", subordinate, vec![MASTER]),
        Span::ZERO,
    );
}

/// A brain that counts aloud every half second, writes each number down first, or asks for contents.
#[derive(Clone, Debug)]
struct Toy {
    counts: bool,
    writes: bool,
    asks: bool,
    link: Option<LinkId>,
    next: Option<Time>,
    counted: u64,
}

impl Toy {
    const QUIET: Toy = Toy {
        counts: false,
        writes: false,
        asks: false,
        link: None,
        next: None,
        counted: 0,
    };
    const CHATTY: Toy = Toy {
        counts: true,
        ..Toy::QUIET
    };
    const CAREFUL: Toy = Toy {
        writes: true,
        ..Toy::CHATTY
    };
    const CURIOUS: Toy = Toy {
        asks: true,
        ..Toy::QUIET
    };
}

impl Brain for Toy {
    type Part = Toy;

    fn start(_: Time, part: &Toy, records: &[Vec<u8>], _: &BTreeMap<Digest, u64>) -> Toy {
        Toy {
            counted: records.len() as u64,
            ..part.clone()
        }
    }
}

impl Machine for Toy {
    type Input = Input<Happening>;
    type Output = Output<Vec<u8>, Wish>;

    fn handle(&mut self, now: Time, input: Self::Input, out: &mut Vec<Self::Output>) {
        match input {
            Input::LinkUp { link, .. } => {
                self.link = Some(link);
                self.next = self.counts.then_some(now + Span::millis(500));
                for n in if self.asks { 1..3 } else { 0..0 } {
                    let digest = play::digest(n);
                    out.push(Output::Fetch {
                        link,
                        digest,
                        bytes: 10,
                    });
                }
            }
            Input::LinkDown { .. } => (self.link, self.next) = (None, None),
            Input::Tick => {
                self.counted += 1;
                self.next = Some(now + Span::millis(500));
                let gate = if self.writes {
                    Gate::Durable(Lsn(self.counted))
                } else {
                    Gate::Now
                };
                if self.writes {
                    out.push(Output::Record(vec![0]));
                }
                let round = Try {
                    epoch: Epoch(1),
                    n: 1,
                };
                let attempts = vec![(TaskId(self.counted), round)];
                let frame = Frame::Started(Started {
                    master: MasterId(1),
                    attempts,
                });
                let link = self.link.expect("a clock that runs has a link");
                out.push(Output::Send { link, frame, gate });
            }
            Input::Frame { .. }
            | Input::Fetched { .. }
            | Input::Arriving { .. }
            | Input::Missed { .. }
            | Input::Drain
            | Input::Local(_) => {}
        }
    }

    fn deadline(&self) -> Option<Deadline> {
        self.next.map(|at| Deadline { at, why: "count" })
    }

    fn check(&self) {}
}

/// Writes down what it sees.
#[derive(Debug, Default)]
struct Diary(Vec<(Time, String)>);

impl Diary {
    fn lines<'a>(&'a self, part: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .map(|(_, line)| line.as_str())
            .filter(move |line| line.contains(part))
    }

    fn count(&self, part: &str) -> usize {
        self.lines(part).count()
    }

    fn times(&self, part: &str) -> Vec<Time> {
        self.0
            .iter()
            .filter(|(_, line)| line.contains(part))
            .map(|(at, _)| *at)
            .collect()
    }

    fn heard(&self) -> Vec<u64> {
        self.lines("came")
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect()
    }
}

impl Observer for Diary {
    fn saw(&mut self, now: Time, sight: &Sight<'_>) {
        let line = match sight {
            Sight::LinkUp { actor, .. } => format!("{} link up", actor.0),
            Sight::LinkDown { actor, .. } => format!("{} link down", actor.0),
            Sight::Left { from, .. } => format!("{} left", from.0),
            Sight::Came {
                to,
                frame: Frame::Started(started),
                ..
            } => {
                format!("{} came {}", to.0, started.attempts[0].0.0)
            }
            Sight::Durable { actor, .. } => format!("{} durable", actor.0),
            Sight::Fetched { actor, end, .. } => {
                let end: &FetchEnd = end;
                format!("{} fetched {end:?}", actor.0)
            }
            Sight::Came { .. }
            | Sight::Up { .. }
            | Sight::Killed { .. }
            | Sight::Wiped { .. }
            | Sight::Forgot { .. }
            | Sight::Started { .. }
            | Sight::Ended { .. }
            | Sight::Cut { .. }
            | Sight::Wrong { .. } => format!("{sight:?}"),
        };
        self.0.push((now, line));
    }
}
