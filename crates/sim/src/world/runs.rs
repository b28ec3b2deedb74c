//! Runs begin, end, are killed, and wait in line behind others.

use std::collections::VecDeque;

use muster_proto::Span;
use muster_proto::machine::Input;

use crate::brain::{ActorId, Brain, Happening, Launch, Observer, Sight};
use crate::play;
use crate::program::Program;
use crate::world::{Event, World};

/// How long a killed run's processes may take to end.
const KILL_US_MAX: u64 = 300_000;
/// How long it may take to hear that a run was recalled in time.
const RECALL_US_MAX: u64 = 1_000;

impl<B: Brain, O: Observer> World<B, O> {
    /// Takes a run: it begins, or joins the line of the one that has to end first.
    pub(super) fn start_run(&mut self, actor: ActorId, launch: Launch) {
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        let Some(ahead) = launch.after else {
            return self.begin_run(actor, launch);
        };
        let in_line = |line: &VecDeque<Launch>| line.iter().any(|launch| launch.run == ahead);
        let mut lines = process.lined_up.values_mut();
        if process.runs.contains_key(&ahead) {
            process.lined_up.entry(ahead).or_default().push_back(launch);
        } else if let Some(line) = lines.find(|line| in_line(line)) {
            line.push_back(launch);
        } else {
            self.begin_run(actor, launch);
        }
    }

    fn begin_run(&mut self, actor: ActorId, launch: Launch) {
        let host = &mut self.actors[actor.0];
        let (life, attempt, run) = (host.lives, launch.attempt, launch.run);
        let held = &host.home.contents;
        let lacks = launch.inputs.iter().find(|input| !held.contains_key(input));
        let lacks = lacks.copied();
        let Some(process) = &mut host.process else {
            return;
        };
        let again = process.runs.contains_key(&run);
        if let Some(digest) = lacks {
            self.wrong("staging", format!("{attempt} starts without {digest:?}"));
        }
        if again {
            self.wrong(
                "ledger",
                format!("actor {} uses the number of a run twice", actor.0),
            );
        }
        self.saw(&Sight::Started {
            actor,
            launch: &launch,
        });
        let at = self.now + self.wall(actor, &launch);
        self.agenda.enter(at, Event::RunEnd { actor, life, run });
        if let Some(process) = &mut self.actors[actor.0].process {
            process.runs.insert(run, Box::new(launch));
        }
    }

    /// How long a run takes.
    fn wall(&self, actor: ActorId, launch: &Launch) -> Span {
        let program = Program::of(&launch.words).and_then(|n| self.layout.programs.get(n));
        match program {
            Some(program) => program.wall(launch.attempt, self.actors[actor.0].speed),
            None => play::wall(launch),
        }
    }

    /// Takes a run out of those under way.
    fn take_run(&mut self, actor: ActorId, life: u32, run: u64) -> Option<Box<Launch>> {
        self.process(actor, life)?.runs.remove(&run)
    }

    /// The first in line behind `run` begins, before the brain hears that its place is free.
    fn move_up(&mut self, actor: ActorId, run: u64) {
        let Some(process) = &mut self.actors[actor.0].process else {
            return;
        };
        let mut line = process.lined_up.remove(&run).unwrap_or_default();
        let Some(first) = line.pop_front() else {
            return;
        };
        process.lined_up.insert(first.run, line);
        self.begin_run(actor, first);
    }

    pub(super) fn run_ended(&mut self, actor: ActorId, life: u32, run: u64) {
        let Some(launch) = self.take_run(actor, life, run) else {
            return;
        };
        let attempt = launch.attempt;
        let host = &mut self.actors[actor.0];
        let name = &host.home.casting.peer.name;
        let ran = match Program::of(&launch.words).and_then(|n| self.layout.programs.get(n)) {
            Some(program) => program.ran(attempt, program.wall(attempt, host.speed), name),
            None => play::ran(&launch, name),
        };
        host.home
            .contents
            .extend(ran.files().map(|file| (file.digest, file.bytes)));
        let ended = Sight::Ended {
            actor,
            attempt,
            ran: &ran,
        };
        self.observer.saw(self.now, &ended);
        self.move_up(actor, run);
        self.feed(actor, Input::Local(Happening::Ended(run, Box::new(ran))));
    }

    /// A kill takes its time, and the run may end by itself meanwhile.
    pub(super) fn kill_run(&mut self, actor: ActorId, run: u64) {
        let life = self.actors[actor.0].lives;
        let at = self.now + Span(self.rng.between(500, KILL_US_MAX));
        self.agenda.enter(at, Event::KillEnd { actor, life, run });
    }

    pub(super) fn run_killed(&mut self, actor: ActorId, life: u32, run: u64) {
        if self.leave_line(actor, life, run) {
            return self.feed(actor, Input::Local(Happening::Killed(run)));
        }
        let Some(launch) = self.take_run(actor, life, run) else {
            return;
        };
        let attempt = launch.attempt;
        self.saw(&Sight::Cut { actor, attempt });
        self.move_up(actor, run);
        self.feed(actor, Input::Local(Happening::Killed(run)));
    }

    /// A recall takes its time, and the run may begin meanwhile.
    pub(super) fn recall_run(&mut self, actor: ActorId, run: u64) {
        let life = self.actors[actor.0].lives;
        let at = self.now + Span(self.rng.between(50, RECALL_US_MAX));
        self.agenda.enter(at, Event::RecallEnd { actor, life, run });
    }

    pub(super) fn run_recalled(&mut self, actor: ActorId, life: u32, run: u64) {
        if self.leave_line(actor, life, run) {
            self.feed(actor, Input::Local(Happening::Unbegun(run)));
        }
    }

    /// Takes a run out of line; false if it was in none.
    fn leave_line(&mut self, actor: ActorId, life: u32, run: u64) -> bool {
        let Some(process) = self.process(actor, life) else {
            return false;
        };
        let mut has_left = false;
        for line in process.lined_up.values_mut() {
            let before = line.len();
            line.retain(|launch| launch.run != run);
            has_left |= line.len() < before;
        }
        has_left
    }
}
