//! Runs every `tests/*.txt`: one command a line, `#` begins a comment, and what a command shows is written below it
//! with `->`. A command that shows something nobody wrote down fails, and so does the reverse.
//!
//! ```text
//! child NAME [foreman] [host=H] [site=S] SHAPE ...   joins and offers; SHAPE is cores=4[,memory=8][,gpus=1][*16]
//! offer NAME SHAPE ...                               replaces what it offers
//! round_trip NAME 100ms | pause NAME | resume NAME | leave NAME (shows what it held)
//! task NAME[..NAME] [SHAPE] [category=C] [priority=P] [algorithm=A] [preferred=H,S] [abort=150] [in=a:10,b:20]
//! retry NAME [avoid=CHILD]                           the task again, at the front
//! adopt NAME CHILD | forget NAME (shows its child) | started NAME ... | lost NAME ... | ran NAME[..NAME] 100ms
//! after 10s                                          time passes
//! place [BUDGET] | stragglers | deadline | counts | leases CHILD | held CHILD (how many) | why NAME
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use muster_proto::task::{Algorithm, FileRef, Policy};
use muster_proto::{Digest, MasterId, Resources, Span, TaskId, TaskKey, Time};
use muster_sched::{ChildId, ChildKind, ClassId, ClassSpec, Files, Placed, Sched, Where};

#[test]
fn every_script_says_what_happens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut scripts: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    scripts.retain(|path| path.extension().is_some_and(|kind| kind == "txt"));
    scripts.sort();
    assert!(scripts.len() >= 15, "the scripts are found");
    for path in scripts {
        run(&path);
    }
}

fn run(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let mut world = World::new();
    let mut shown: Vec<String> = Vec::new();
    let mut asked = (0, "");
    let end = (text.lines().count(), "end");
    for (number, line) in text.lines().enumerate().chain([end]) {
        let line = line.split('#').next().unwrap().trim();
        if line.is_empty() {
            continue;
        }
        let place = format!(
            "{}:{}: `{}`",
            path.file_name().unwrap().display(),
            asked.0 + 1,
            asked.1
        );
        if let Some(expected) = line.strip_prefix("->") {
            let expected = expected.trim();
            assert!(!shown.is_empty(), "{place} shows no `{expected}`");
            assert_eq!(shown.remove(0), expected, "{place}");
            continue;
        }
        assert!(shown.is_empty(), "{place} also shows {shown:?}");
        if line != "end" {
            asked = (number, line);
            shown = world.command(line);
            world.sched.check();
        }
    }
}

struct World {
    sched: Sched,
    now: Time,
    children: Vec<String>,
    /// Names of tasks in order of first appearance, with their class.
    tasks: Vec<(String, ClassId)>,
    inputs: Inputs,
}

#[derive(Default)]
struct Inputs(BTreeMap<TaskKey, Vec<FileRef>>);

impl Files for Inputs {
    fn each_file(&self, key: TaskKey, visit: &mut dyn FnMut(FileRef)) {
        self.0
            .get(&key)
            .into_iter()
            .flatten()
            .for_each(|file| visit(*file));
    }
}

impl World {
    fn new() -> Self {
        Self {
            sched: Sched::new(7),
            now: Time(1_000_000),
            children: Vec::new(),
            tasks: Vec::new(),
            inputs: Inputs::default(),
        }
    }

    /// Does what a line says and returns what it shows.
    fn command(&mut self, line: &str) -> Vec<String> {
        let mut words = line.split_whitespace();
        let (verb, words) = (words.next().unwrap(), words.collect::<Vec<_>>());
        match verb {
            "child" => self.join(&words),
            "offer" => self.sched.offer(self.child(words[0]), &shapes(&words[1..])),
            "round_trip" => self
                .sched
                .set_round_trip(self.child(words[0]), span(words[1])),
            "pause" => self.sched.pause(self.child(words[0])),
            "resume" => self.sched.resume(self.child(words[0])),
            "task" => self.submit(words[0], &words[1..]),
            "retry" => self.retry(&words),
            "adopt" => {
                let class = self.class_of(words[0]);
                self.sched
                    .adopt(self.now, self.key(words[0]), class, self.child(words[1]));
            }
            "started" => self.each(&words, |world, key| world.sched.started(world.now, key)),
            "lost" => self.each(&words, |world, key| world.sched.lost(key)),
            "ran" => {
                let wall = span(words[1]);
                self.each(&words[..1], |world, key| {
                    world.sched.ran(world.now, key, wall)
                });
            }
            "after" => self.now = self.now + span(words[0]),
            _ => return self.question(verb, &words),
        }
        Vec::new()
    }

    /// The commands that show something.
    fn question(&mut self, verb: &str, words: &[&str]) -> Vec<String> {
        let mut out = Vec::new();
        match verb {
            "place" => {
                let budget = words.first().map_or(100_000, |word| word.parse().unwrap());
                let placed = self.sched.place(self.now, budget, &self.inputs, &mut out);
                let more = (placed == Placed::More).then(|| "more".to_owned());
                let lines = out
                    .iter()
                    .map(|placed| self.arrow(placed.key, placed.child));
                lines.chain(more).collect()
            }
            "stragglers" => {
                self.sched.stragglers(self.now, &mut out);
                out.iter()
                    .map(|late| self.arrow(late.key, late.child))
                    .collect()
            }
            "leave" => {
                let held = self.sched.leave(self.child(words[0]));
                held.iter().map(|key| self.name(*key)).collect()
            }
            "forget" => {
                let child = self.sched.forget(self.key(words[0]));
                child
                    .map(|child| self.child_name(child))
                    .into_iter()
                    .collect()
            }
            "deadline" => {
                let deadline = self.sched.deadline();
                vec![deadline.map_or("never".into(), |deadline| {
                    format!("in {}", deadline.at.since(self.now))
                })]
            }
            "counts" => {
                let counts = self.sched.counts();
                vec![format!("ready {} leased {}", counts.ready, counts.leased)]
            }
            "leases" => {
                let keys: Vec<_> = self.sched.leases(self.child(words[0])).collect();
                keys.iter().map(|key| self.name(*key)).collect()
            }
            "held" => vec![self.sched.leased_of(self.child(words[0])).to_string()],
            "why" => vec![format!("{:?}", self.sched.why_waiting(self.key(words[0])))],
            _ => panic!("no such command: {verb}"),
        }
    }

    fn join(&mut self, words: &[&str]) {
        let name = words[0];
        if !self.children.iter().any(|known| known == name) {
            self.children.push(name.to_owned());
        }
        let value = |key| {
            words
                .iter()
                .find_map(|word| word.strip_prefix(key))
                .unwrap_or("")
        };
        let kind = if words.contains(&"foreman") {
            ChildKind::Foreman
        } else {
            ChildKind::Worker
        };
        let child = self.child(name);
        self.sched.join(child, kind, value("site="), value("host="));
        let offered: Vec<&str> = words[1..]
            .iter()
            .copied()
            .filter(|word| word.starts_with("cores="))
            .collect();
        self.sched.offer(child, &shapes(&offered));
    }

    fn submit(&mut self, names: &str, words: &[&str]) {
        let value = |key| words.iter().find_map(|word| word.strip_prefix(key));
        let mut policy = Policy::default();
        if let Some(name) = value("algorithm=") {
            policy.algorithm = Algorithm::ALL
                .into_iter()
                .find(|(_, known)| *known == name)
                .unwrap()
                .0;
        }
        policy.priority = value("priority=").map_or(0, |word| word.parse().unwrap());
        policy.fast_abort_percent = value("abort=").map(|word| word.parse().unwrap());
        policy.preferred = value("preferred=")
            .into_iter()
            .flat_map(|list| list.split(','))
            .map(str::to_owned)
            .collect();
        let request = words
            .iter()
            .find(|word| word.starts_with("cores="))
            .copied()
            .unwrap_or("cores=1");
        let category = value("category=").unwrap_or("").to_owned();
        let class = self.sched.class(ClassSpec {
            resources: shapes(&[request])[0].0,
            policy,
            category,
        });
        for name in range(names) {
            self.tasks.push((name.clone(), class));
            let key = self.key(&name);
            let inputs = value("in=")
                .into_iter()
                .flat_map(|list| list.split(','))
                .map(file);
            self.inputs.0.insert(key, inputs.collect());
            self.sched.ready(self.now, key, class, Where::Back, None);
        }
    }

    fn retry(&mut self, words: &[&str]) {
        let avoid = words
            .iter()
            .find_map(|word| word.strip_prefix("avoid="))
            .map(|name| self.child(name));
        let class = self.class_of(words[0]);
        self.sched
            .ready(self.now, self.key(words[0]), class, Where::Front, avoid);
    }

    fn each(&mut self, words: &[&str], mut act: impl FnMut(&mut Self, TaskKey)) {
        for name in words.iter().flat_map(|word| range(word)) {
            let key = self.key(&name);
            act(self, key);
        }
    }

    fn child(&self, name: &str) -> ChildId {
        let place = self.children.iter().position(|known| known == name);
        ChildId(place.unwrap_or_else(|| panic!("no child {name}")) as u32)
    }

    fn child_name(&self, child: ChildId) -> String {
        self.children[child.0 as usize].clone()
    }

    fn key(&self, name: &str) -> TaskKey {
        let place = self.tasks.iter().position(|(known, _)| known == name);
        let place = place.unwrap_or_else(|| panic!("no task {name}")) as u64;
        TaskKey {
            master: MasterId(1),
            task: TaskId(place + 1),
        }
    }

    fn class_of(&self, name: &str) -> ClassId {
        self.tasks
            .iter()
            .find(|(known, _)| known == name)
            .unwrap()
            .1
    }

    fn name(&self, key: TaskKey) -> String {
        self.tasks[key.task.0 as usize - 1].0.clone()
    }

    fn arrow(&self, key: TaskKey, child: ChildId) -> String {
        format!("{} -> {}", self.name(key), self.child_name(child))
    }
}

/// `t3..t5` is `t3 t4 t5`.
fn range(names: &str) -> Vec<String> {
    let Some((first, last)) = names.split_once("..") else {
        return vec![names.to_owned()];
    };
    let stem = first.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = |name: &str| -> u32 { name.strip_prefix(stem).unwrap().parse().unwrap() };
    (number(first)..=number(last))
        .map(|n| format!("{stem}{n}"))
        .collect()
}

/// `cores=4,memory=8*16`: sixteen workers of four cores and eight bytes.
fn shapes(words: &[&str]) -> Vec<(Resources, u32)> {
    words.iter().map(|word| shape(word)).collect()
}

fn shape(word: &str) -> (Resources, u32) {
    let (amounts, count) = word.split_once('*').unwrap_or((word, "1"));
    let mut resources = Resources::default();
    for amount in amounts.split(',') {
        match amount.split_once('=').unwrap() {
            ("cores", n) => resources.cores_milli = n.parse::<u32>().unwrap() * 1_000,
            ("gpus", n) => resources.gpus = n.parse().unwrap(),
            ("memory", n) => resources.memory_bytes = n.parse().unwrap(),
            ("disk", n) => resources.disk_bytes = n.parse().unwrap(),
            (other, _) => panic!("no such resource: {other}"),
        }
    }
    (resources, count.parse().unwrap())
}

/// `data:10`: ten bytes whose digest is made of the name.
fn file(word: &str) -> FileRef {
    let (name, bytes) = word.split_once(':').unwrap();
    let mut digest = [0; 32];
    digest[..name.len()].copy_from_slice(name.as_bytes());
    FileRef {
        digest: Digest(digest),
        bytes: bytes.parse().unwrap(),
    }
}

fn span(word: &str) -> Span {
    for (unit, us) in [("us", 1), ("ms", 1_000), ("s", 1_000_000)] {
        if let Some(n) = word.strip_suffix(unit).and_then(|n| n.parse::<u64>().ok()) {
            return Span(n * us);
        }
    }
    panic!("no such time: {word}")
}
