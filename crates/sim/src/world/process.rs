//! Processes live, die, stop and go on.

use std::collections::{BTreeMap, VecDeque};

use litemap::LiteMap;
use muster_proto::machine::Input;
use muster_proto::peer::Role;
use muster_proto::{Digest, Span, Time};

use crate::brain::{ActorId, Brain, Observer, Sight};
use crate::disk::Journal;
use crate::network::{Cut, REDIAL_MIN};
use crate::world::held::Links;
use crate::world::{Dial, Event, Mutant, Process, World};

impl<B: Brain, O: Observer> World<B, O> {
    /// Starts a process on what its disk holds, unless it lives.
    pub(super) fn start(&mut self, actor: ActorId) {
        let now = self.shown(actor);
        let keeps_torn = self.has(Mutant::KeepTorn);
        let host = &mut self.actors[actor.0];
        if host.process.is_some() {
            return;
        }
        for record in host.home.journal.rescued() {
            self.observer
                .saw(self.now, &Sight::Durable { actor, record });
        }
        host.lives += 1;
        let life = host.lives;
        if keeps_torn {
            host.home.journal.keep_torn();
        }
        let brain = B::start(
            now,
            &host.home.casting.part,
            host.home.journal.replay(),
            &host.home.contents,
        );
        let dials = host.home.casting.dials.iter().map(|&superior| Dial {
            superior,
            pause: REDIAL_MIN,
        });
        let dials: Vec<Dial> = dials.collect();
        let superiors = dials.len();
        host.process = Some(Process {
            brain,
            links: Links::default(),
            dials,
            wake: None,
            stirred: false,
            gated: VecDeque::new(),
            fetches: BTreeMap::new(),
            fetches_made: 0,
            followers: BTreeMap::new(),
            runs: LiteMap::new(),
            lined_up: BTreeMap::new(),
        });
        self.haunts.starts(actor);
        self.saw(&Sight::Up { actor, life });
        for dial in 0..superiors {
            self.plan_dial(actor, dial);
        }
        self.plan_wake(actor);
    }

    /// Kills a process at this instant; `back` says when it starts again.
    pub fn kill(&mut self, actor: ActorId, back: Option<Span>) {
        let now = self.now;
        self.drop_crossings(actor);
        let host = &mut self.actors[actor.0];
        let Some(process) = host.process.take() else {
            return;
        };
        host.paused = false;
        host.home.backlog.clear();
        host.home.journal.crash(&mut self.rng);
        if host.role == Role::Worker {
            host.home.contents.clear();
        }
        self.saw(&Sight::Killed { actor });
        for (_, launch) in process.runs {
            let attempt = launch.attempt;
            self.saw(&Sight::Cut { actor, attempt });
        }
        for (conn, which) in self.network.of(actor) {
            self.give_up(conn, which, super::links::Farewell::Silent);
        }
        if let Some(back) = back {
            self.agenda.enter(now + back, Event::Restart { actor });
        }
    }

    /// Tells a process to leave: it takes nothing new and hands back what it has.
    pub fn drain(&mut self, actor: ActorId) {
        self.feed(actor, Input::Drain);
    }

    /// Loses the disk of a host whose process is down: it will start on an empty one.
    pub fn wipe(&mut self, actor: ActorId) {
        let host = &mut self.actors[actor.0];
        if host.process.is_none() {
            host.home.journal = Journal::default();
            host.home.contents.clear();
            self.saw(&Sight::Wiped { actor });
        }
    }

    /// Spoils contents on a host's disk that one of its superiors has too; `pick` chooses among so many.
    pub fn rot(&mut self, actor: ActorId, pick: impl FnOnce(u64) -> u64) {
        let home = &self.actors[actor.0].home;
        let above = |digest: &Digest| {
            let mut superiors = home.casting.dials.iter();
            superiors.any(|above| self.actors[above.0].home.contents.contains_key(digest))
        };
        let known: Vec<Digest> = home.contents.keys().copied().filter(above).collect();
        if !known.is_empty() {
            let at = pick(known.len() as u64) as usize;
            self.actors[actor.0].home.contents.remove(&known[at]);
        }
    }

    /// Stops a process for `span`: it does nothing and nothing is heard of it, as under SIGSTOP.
    pub fn pause(&mut self, actor: ActorId, span: Span) {
        let host = &mut self.actors[actor.0];
        if host.process.is_none() || host.paused {
            return;
        }
        host.paused = true;
        self.agenda.enter(self.now + span, Event::Resume { actor });
        self.listen(actor);
    }

    /// Lets a stopped process go on: it takes up all that came meanwhile.
    pub fn resume(&mut self, actor: ActorId) {
        let host = &mut self.actors[actor.0];
        if !std::mem::take(&mut host.paused) {
            return;
        }
        for event in std::mem::take(&mut host.home.backlog) {
            self.agenda.enter(self.now, event);
        }
        self.listen(actor);
    }

    /// Starts a process at once, if it is down.
    pub fn revive(&mut self, actor: ActorId) {
        self.agenda.enter(self.now, Event::Restart { actor });
    }

    /// Lets nothing pass from one actor to another until `heals`.
    pub fn cut(&mut self, from: ActorId, to: ActorId, heals: Time) {
        self.network.set_cut(from, to, Cut::Cut);
        self.agenda.enter(heals, Event::Heal { from, to });
        self.listen(from);
        self.listen(to);
    }

    /// Lets everything pass again.
    pub fn heal(&mut self, from: ActorId, to: ActorId) {
        self.network.set_cut(from, to, Cut::Healed);
        for conn in self.network.between(from, to) {
            self.move_on(conn);
        }
        self.listen(from);
        self.listen(to);
    }

    /// Ends every fault: all cuts heal, all processes live and go on.
    pub fn heal_all(&mut self) {
        for (from, to) in self.network.cuts() {
            self.heal(from, to);
        }
        for actor in self.actors() {
            self.resume(actor);
            self.revive(actor);
        }
        self.network.loss_permille = 0;
        self.layout.twice_permille = 0;
        self.layout.fetch_fails_permille = 0;
    }
}
