//! `kill -9` at seeded instants, of anybody: every task has exactly one outcome, and what is accounted for stays so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_node::clock::Clock;
use rustix::process::Signal;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::dice::{Dice, soaking};
use crate::home::{Home, Running};
use crate::ledger::{Ledger, Line};
use crate::wait::{LONG, SOON, pass, span, until_true};

#[test]
fn every_task_has_one_outcome_whoever_is_killed() {
    let home = Home::new();
    let (tasks, kills) = if soaking() { (2_000, 20) } else { (400, 6) };
    let mut story = Story::begin(&home, tasks);
    let mut dice = Dice::thrown(2);
    let mut accounted = BTreeMap::new();
    for kill in 0..kills {
        story.watch(Duration::from_millis(200 + dice.below(1_000)));
        // Each kind in turn, so that a short story has them all.
        match kill % 3 {
            0 => {
                accounted.insert(kill, story.kill_master(kill));
            }
            1 => {
                let foreman = &mut story.foremen[dice.below(2) as usize];
                foreman.kill();
                foreman.start();
            }
            _ => {
                let worker = &mut story.workers[dice.below(4) as usize];
                worker.kill();
                worker.start();
            }
        }
    }
    let ledger = story.end(tasks);
    assert!(
        accounted.values().any(|tasks| !tasks.is_empty()),
        "the kills came when there was something to lose"
    );
    for (kill, before) in accounted {
        let again = started_after(&ledger, kill);
        let twice: Vec<&u64> = again.intersection(&before).collect();
        assert!(
            twice.is_empty(),
            "accounted before kill {kill}, and started after it: {twice:?}"
        );
    }
    assert!(
        ledger.ends().len() as u64 == tasks,
        "each task came to its end"
    );
}

/// M7, F4: workers and foremen hold what they have while whoever is above them is away.
#[test]
fn nothing_runs_twice_when_masters_and_foremen_are_killed_and_paused() {
    let home = Home::new();
    let tasks = if soaking() { 1_000 } else { 200 };
    let mut story = Story::begin(&home, tasks);
    let mut dice = Dice::thrown(5);
    for kill in 0..if soaking() { 12 } else { 4 } {
        story.watch(Duration::from_millis(200 + dice.below(800)));
        match kill % 4 {
            0 => drop(story.kill_master(kill)),
            1 => {
                let foreman = &mut story.foremen[dice.below(2) as usize];
                foreman.kill();
                foreman.start();
            }
            2 => {
                story.master.signal(Signal::STOP);
                pass(Duration::from_millis(500 + dice.below(1_000)));
                story.master.signal(Signal::CONT);
            }
            _ => {
                let foreman = &story.foremen[dice.below(2) as usize];
                foreman.signal(Signal::STOP);
                pass(Duration::from_millis(500 + dice.below(1_000)));
                foreman.signal(Signal::CONT);
            }
        }
    }
    story.end(tasks).assert_each_once(tasks);
}

#[test]
fn what_is_submitted_before_a_kill_is_there_after_it() {
    let home = Home::new();
    let mut master = Daemon::master(&home, "p");
    for round in 1..=5 {
        home.run(
            &["submit", "--project", "p", "--array", "1-100", "--", "true"],
            SOON,
        )
        .ended_with(0);
        master.kill();
        master.start();
        let status = home
            .run(&["status", "--project", "p", "--json"], SOON)
            .ended_with(0)
            .json();
        assert_eq!(status["tasks"]["submitted"], round * 100);
        assert_eq!(status["epoch"], round + 1);
        obeys(&status);
    }
}

/// A federation at work, with somebody who waits for its tasks.
struct Story<'a> {
    home: &'a Home,
    ledger: Ledger,
    master: Daemon<'a>,
    foremen: Vec<Daemon<'a>>,
    workers: Vec<Daemon<'a>>,
    waiting: Running,
}

impl<'a> Story<'a> {
    fn begin(home: &'a Home, tasks: u64) -> Story<'a> {
        let ledger = Ledger::new(home);
        let mut master = Daemon::master(home, "p");
        let above = [master.address()];
        let mut foremen: Vec<Daemon<'_>> = ["a", "b"]
            .map(|site| Daemon::foreman(home, site, &above))
            .into();
        let mut workers = Vec::new();
        for n in 0..4 {
            let superior = foremen[n % 2].address();
            workers.push(Daemon::worker(home, &format!("w{n}"), &superior, 1));
        }
        let array = format!("1-{tasks}");
        let script = ledger.script("sleep 0.05");
        home.run(
            &[
                "submit",
                "--project",
                "p",
                "--array",
                &array,
                "--",
                "sh",
                "-c",
                &script,
            ],
            SOON,
        )
        .ended_with(0);
        let waiting = Running::start(home.muster(&["wait", "--project", "p", "--json"]));
        until_true("the first task has started", SOON, || {
            !ledger.starts().is_empty()
        });
        Story {
            home,
            ledger,
            master,
            foremen,
            workers,
            waiting,
        }
    }

    /// Lets time pass, and looks at the sums meanwhile.
    fn watch(&self, time: Duration) {
        let clock = Clock::start();
        let end = clock.now() + span(time);
        while clock.now() < end {
            // A master that has just started may not answer yet.
            let asked = self.home.run(&["status", "--project", "p", "--json"], SOON);
            if asked.code == Some(0) {
                obeys(&asked.json());
            }
            pass(Duration::from_millis(50));
        }
    }

    /// Kills the master; returns what its journal says was accounted for, and starts it again.
    fn kill_master(&mut self, kill: u64) -> BTreeSet<u64> {
        self.master.kill();
        self.ledger.note(&format!("kill {kill}"));
        let state = self.master.state_dir().display().to_string();
        let export = self
            .home
            .run(&["journal", "export", &state], SOON)
            .ended_with(0);
        self.master.start();
        let lines = export.json_lines();
        let outcomes = lines
            .iter()
            .filter_map(|line| line["event"]["accounted"].as_array())
            .flatten();
        outcomes
            .filter_map(|outcome| outcome["task"].as_u64())
            .collect()
    }

    /// Waits for the end, and checks that each of the tasks has exactly one outcome.
    fn end(self, tasks: u64) -> Ledger {
        let Story {
            home,
            ledger,
            mut master,
            foremen,
            workers,
            waiting,
        } = self;
        let waited = waiting.finish(LONG).ended_with(0);
        let mut outcomes: BTreeMap<u64, u64> = BTreeMap::new();
        for outcome in waited.json_lines() {
            assert_eq!(outcome["ok"], true, "{outcome}");
            *outcomes
                .entry(outcome["task"].as_u64().expect("a task"))
                .or_default() += 1;
        }
        let once: BTreeMap<u64, u64> = (1..=tasks).map(|task| (task, 1)).collect();
        assert_eq!(outcomes, once, "one outcome for each task");
        let status = home
            .run(&["status", "--project", "p", "--json"], SOON)
            .ended_with(0)
            .json();
        obeys(&status);
        let counts = &status["tasks"];
        assert_eq!(
            (&counts["submitted"], &counts["delivered"]),
            (&tasks.into(), &tasks.into()),
            "{status}"
        );
        drop((workers, foremen));
        assert!(master.leave().success());
        ledger
    }
}

/// M2: where tasks are adds up, at any moment.
fn obeys(status: &Value) {
    let count = |name: &str| status["tasks"][name].as_u64().expect("a count");
    assert_eq!(
        count("submitted"),
        count("waiting") + count("leased") + count("accounted"),
        "{status}"
    );
    assert_eq!(
        count("accounted"),
        count("delivered") + count("undelivered"),
        "{status}"
    );
}

/// The tasks that started after the driver noted `kill`.
fn started_after(ledger: &Ledger, kill: u64) -> BTreeSet<u64> {
    let note = Line::Driver(format!("driver kill {kill}"));
    let lines = ledger.lines().into_iter().skip_while(|line| *line != note);
    let tasks = lines.filter_map(|line| match line {
        Line::Start { task, .. } => Some(task),
        Line::End { .. } | Line::Driver(_) => None,
    });
    tasks.collect()
}
