//! `kill -9` at seeded instants, of anybody: every task has exactly one outcome, and what is accounted for stays so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_node::clock::Clock;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::dice::{Dice, soaking};
use crate::home::{Home, Running};
use crate::ledger::{Ledger, Line};
use crate::wait::{LONG, SOON, pass, span, until_true};

#[test]
fn every_task_has_one_outcome_whoever_is_killed() {
    let home = Home::new();
    let (tasks, faults) = if soaking() { (2_000, 20) } else { (400, 6) };
    let mut story = Story::begin(&home, tasks);
    let mut dice = Dice::thrown(2);
    for kind in [Fault::KillMaster, Fault::KillForeman, Fault::KillWorker]
        .into_iter()
        .cycle()
        .take(faults)
    {
        story.watch(Duration::from_millis(200 + dice.below(1_000)));
        story.suffer(kind, &mut dice);
    }
    story.end(tasks, |ledger, accounted| {
        let known = accounted.iter().any(|(_, tasks)| !tasks.is_empty());
        assert!(known, "a kill came when there was something to lose");
        for (note, before) in accounted {
            let again = started_after(ledger, note);
            let twice: Vec<&u64> = again.intersection(before).collect();
            assert!(
                twice.is_empty(),
                "accounted before {note}, and started after it: {twice:?}"
            );
        }
        assert_eq!(
            ledger.ends().len() as u64,
            tasks,
            "each task came to its end"
        );
    });
}

/// M7, F4: workers and foremen hold what they have while whoever is above them is away.
#[test]
fn nothing_runs_twice_when_masters_and_foremen_are_killed_and_paused() {
    let home = Home::new();
    let (tasks, faults) = if soaking() { (1_000, 12) } else { (200, 4) };
    let mut story = Story::begin(&home, tasks);
    let mut dice = Dice::thrown(5);
    let kinds = [
        Fault::KillMaster,
        Fault::KillForeman,
        Fault::PauseMaster,
        Fault::PauseForeman,
    ];
    for kind in kinds.into_iter().cycle().take(faults) {
        story.watch(Duration::from_millis(200 + dice.below(800)));
        story.suffer(kind, &mut dice);
    }
    story.end(tasks, |ledger, _| ledger.assert_each_once(tasks));
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

/// What happens to a process of the federation.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KillMaster,
    KillForeman,
    KillWorker,
    PauseMaster,
    PauseForeman,
}

/// A federation at work, with somebody who waits for its tasks.
struct Story<'a> {
    home: &'a Home,
    ledger: Ledger,
    master: Daemon<'a>,
    foremen: Vec<Daemon<'a>>,
    workers: Vec<Daemon<'a>>,
    waiting: Running,
    /// The driver's note of each kill of the master, and what its journal said then was accounted for.
    accounted: Vec<(String, BTreeSet<u64>)>,
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
            accounted: Vec::new(),
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

    /// Does harm, and has the harmed go on.
    fn suffer(&mut self, fault: Fault, dice: &mut Dice) {
        let pause = Duration::from_millis(500 + dice.below(1_000));
        let (foreman, worker) = (dice.below(2) as usize, dice.below(4) as usize);
        let note = format!(
            "{} {fault:?} foreman {foreman} worker {worker}",
            self.ledger.lines().len()
        );
        self.ledger.note(&note);
        match fault {
            Fault::KillMaster => {
                self.master.kill();
                // Noted once more: what has started before this was ordered before the kill.
                let note = format!("{note}, dead");
                self.ledger.note(&note);
                self.accounted.push((note, self.journaled()));
                self.master.start();
            }
            Fault::KillForeman => self.foremen[foreman].kill_and_start(),
            Fault::KillWorker => self.workers[worker].kill_and_start(),
            Fault::PauseMaster => self.master.pause(pause),
            Fault::PauseForeman => self.foremen[foreman].pause(pause),
        }
    }

    /// The tasks that the master's journal says are accounted for.
    fn journaled(&self) -> BTreeSet<u64> {
        let state = self.master.state_dir().display().to_string();
        let export = self
            .home
            .run(&["journal", "export", &state], SOON)
            .ended_with(0);
        let lines = export.json_lines();
        let accounted = lines
            .iter()
            .filter_map(|line| line["event"]["accounted"].as_array());
        accounted
            .flatten()
            .filter_map(|outcome| outcome["task"].as_u64())
            .collect()
    }

    /// Waits for the end, checks that each of the tasks has exactly one outcome, and has the ledger judged.
    fn end(mut self, tasks: u64, judge: impl FnOnce(&Ledger, &[(String, BTreeSet<u64>)])) {
        let waited = self.waiting.finish(LONG).ended_with(0);
        let mut outcomes: BTreeMap<u64, u64> = BTreeMap::new();
        for outcome in waited.json_lines() {
            assert_eq!(outcome["ok"], true, "{outcome}");
            *outcomes
                .entry(outcome["task"].as_u64().expect("a task"))
                .or_default() += 1;
        }
        let once: BTreeMap<u64, u64> = (1..=tasks).map(|task| (task, 1)).collect();
        assert_eq!(outcomes, once, "one outcome for each task");
        let status = self
            .home
            .run(&["status", "--project", "p", "--json"], SOON)
            .ended_with(0)
            .json();
        obeys(&status);
        let count = |name: &str| status["tasks"][name].as_u64();
        assert_eq!(
            (count("submitted"), count("delivered")),
            (Some(tasks), Some(tasks)),
            "{status}"
        );
        judge(&self.ledger, &self.accounted);
        assert!(self.master.leave().success());
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

/// The tasks that started after the driver's note.
fn started_after(ledger: &Ledger, note: &str) -> BTreeSet<u64> {
    let note = Line::Driver(format!("driver {note}"));
    let lines = ledger.lines().into_iter().skip_while(|line| *line != note);
    let tasks = lines.filter_map(|line| match line {
        Line::Start { task, .. } => Some(task),
        Line::End { .. } | Line::Driver(_) => None,
    });
    tasks.collect()
}
