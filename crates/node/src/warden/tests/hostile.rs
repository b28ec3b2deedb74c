//! What tasks may leave, do and be called, case by case, beside a canary; `docs/hostile.md` lists them.

use muster_canary::{Canary, assert_listed, skip};
use rustix::mount::UnmountFlags;

use super::*;

mod inputs;
mod names;
mod outputs;
mod races;
mod sandboxes;
mod streams;

/// A script that is run in a sandbox with the inputs `in` and `large`, and what must come of it.
///
/// It finds the path of the canary in `CANARY` and exits with [`NOT_HERE`] if the machine cannot do what it wants.
struct Case {
    name: &'static str,
    needs: Needs,
    script: &'static str,
    outputs: &'static [&'static str],
    output_bytes_max: u64,
    end: End,
    /// Names and contents.
    taken: Vec<(&'static str, &'static str)>,
    missing: Vec<(String, Why)>,
}

/// What a case cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Root,
    /// Only root may do without permissions.
    OrdinaryUser,
    Mounts,
}

/// A script that exits well, and nothing is taken or missed.
fn case(name: &'static str, script: &'static str, outputs: &'static [&'static str]) -> Case {
    Case {
        name,
        needs: Needs::Nothing,
        script,
        outputs,
        output_bytes_max: muster_proto::limits::OUTPUT_BYTES_MAX,
        end: End::Exited(0),
        taken: Vec::new(),
        missing: Vec::new(),
    }
}

impl Case {
    fn needs(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }

    fn takes(mut self, name: &'static str, contents: &'static str) -> Self {
        self.taken.push((name, contents));
        self
    }

    fn misses(mut self, name: impl Into<String>, why: Why) -> Self {
        self.missing.push((name.into(), why));
        self
    }

    fn ends(self, end: End) -> Self {
        Self { end, ..self }
    }

    fn within(self, output_bytes_max: u64) -> Self {
        Self {
            output_bytes_max,
            ..self
        }
    }
}

/// A world with a canary in it, and a warden at work.
struct Cage {
    world: World,
    canary: Canary,
    warden: Warden,
    inputs: Vec<InputFile>,
}

impl Cage {
    fn new(area: &str) -> Self {
        Self::confined(area, Confinement::PidNamespace)
    }

    fn confined(area: &str, confinement: Confinement) -> Self {
        let world = World::confined(area, confinement);
        let canary = Canary::plant(&world.root.join("canary"));
        let warden = world.warden(0);
        let inputs = world.hostile_inputs();
        Self {
            world,
            canary,
            warden,
            inputs,
        }
    }

    /// A run with both inputs that knows where the canary is.
    fn run(&self, script: &str, names: &[&str]) -> Run {
        let mut run = outputs(sh(script), names);
        run.inputs.clone_from(&self.inputs);
        let canary = self.canary.path().canonicalize().expect("a canary");
        let canary = canary.to_str().expect("text").to_owned();
        run.environment.push(("CANARY".into(), canary));
        run
    }

    /// Tries one case, unless this machine cannot.
    fn attempt(&mut self, case: &Case) {
        if let Err(why) = case.needs.are_met(&self.world.root) {
            return skip(case.name, why);
        }
        println!("{}", case.name);
        let mut run = self.run(case.script, case.outputs);
        run.output_bytes_max = case.output_bytes_max;
        let ended = self.warden.run(&run);
        if ended.end == End::Exited(NOT_HERE) {
            skip(case.name, text(&ended.stderr));
        } else {
            self.judge(case, &ended);
        }
        self.look_after(case.name, &ended.spoiled);
    }

    fn judge(&self, case: &Case, ended: &Ended) {
        let name = case.name;
        assert_eq!(ended.end, case.end, "{name}: {}", text(&ended.stderr));
        let taken = ended.outputs.iter().map(|output| {
            let contents = self.world.contents(output.file.digest);
            assert_eq!(contents.len() as u64, output.file.bytes, "{name}");
            let contents = String::from_utf8(contents).expect("text");
            (output.name.as_str().to_owned(), contents)
        });
        let wanted = case.taken.iter();
        let wanted = wanted.map(|&(name, contents)| (name.to_owned(), contents.to_owned()));
        assert_eq!(
            taken.collect::<Vec<_>>(),
            wanted.collect::<Vec<_>>(),
            "{name}"
        );
        let missing = ended.missing.iter();
        let missing = missing.map(|missing| (missing.name.clone(), missing.why));
        assert_eq!(missing.collect::<Vec<_>>(), case.missing, "{name}");
    }

    /// Looks at the canary, the store, the mounts, and at what the next task gets.
    fn look_after(&mut self, name: &str, spoiled: &[Digest]) {
        self.canary.assert_untouched(name);
        self.world.assert_store_is_sound(name);
        let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
        let root = self.world.root.to_str().expect("text");
        assert!(!mounts.contains(root), "{name}: nothing stays mounted");
        // What is spoiled is fetched again.
        for input in &self.inputs {
            let is_here = self.world.store.contains(input.file.digest).is_some();
            assert!(
                is_here != spoiled.contains(&input.file.digest),
                "{name}: {input:?}"
            );
        }
        self.inputs = self.world.hostile_inputs();
        let run = self.run(NEXT, &["left"]);
        let ended = self.warden.run(&run);
        assert_eq!(
            ended.end,
            End::Exited(0),
            "after {name}: {}",
            text(&ended.stderr)
        );
        let kept = ended.stdout.file.expect("a long stream is kept");
        let stdout = String::from_utf8(self.world.contents(kept)).expect("text");
        let slot = match rustix::process::geteuid().is_root() {
            true => "box\nerr\nout\nspares\n",
            false => "box\nerr\nout\n",
        };
        let wanted = format!(
            "{SMALL}{}in\nlarge\n700\n{slot}{}",
            large(),
            "0123456789abcdef\n".repeat(400)
        );
        assert!(
            stdout == wanted,
            "after {name} the next task sees: {stdout:.200}"
        );
        assert_eq!(
            self.world.contents(ended.outputs[0].file.digest),
            b"left\n",
            "after {name}"
        );
        self.canary.assert_untouched(name);
    }

    fn close(self) {
        self.canary.assert_untouched("the end");
        self.world.close();
    }
}

impl World {
    fn hostile_inputs(&self) -> Vec<InputFile> {
        vec![self.input("in", SMALL), self.input("large", &large())]
    }

    /// Every object is a read-only file that is what its name says.
    fn assert_store_is_sound(&self, name: &str) {
        use std::os::unix::fs::MetadataExt;
        for usage in ["objects", "objects-x"] {
            for dir in fs::read_dir(self.root.join("store").join(usage)).expect("objects") {
                for entry in fs::read_dir(dir.expect("an entry").path()).expect("objects") {
                    let entry = entry.expect("an entry");
                    let found = entry.metadata().expect("metadata");
                    assert!(
                        found.is_file() && found.mode() & 0o7222 == 0,
                        "{name}: {entry:?}"
                    );
                }
            }
        }
        for stored in self.store.list() {
            let digest = stored.expect("an object").digest;
            assert!(
                self.store.verify(digest).expect("readable"),
                "{name}: {digest} is whole"
            );
        }
    }
}

impl Needs {
    fn are_met(self, scratch: &Path) -> Result<(), &'static str> {
        let is_root = rustix::process::geteuid().is_root();
        match self {
            Self::Root if !is_root => Err("it takes root"),
            Self::OrdinaryUser if is_root => Err("it takes an ordinary user"),
            Self::Mounts if !is_root || !may_mount(scratch) => Err("it takes the right to mount"),
            Self::Nothing | Self::Root | Self::OrdinaryUser | Self::Mounts => Ok(()),
        }
    }
}

fn may_mount(scratch: &Path) -> bool {
    let dir = scratch.join("mountable");
    fs::create_dir(&dir).expect("a directory");
    let mounted = rustix::mount::mount_bind(&dir, &dir);
    if mounted.is_ok() {
        rustix::mount::unmount(&dir, UnmountFlags::DETACH).expect("unmounted");
    }
    fs::remove_dir(&dir).expect("removed");
    mounted.is_ok()
}

/// Tries all cases of an area, one after the other in one slot.
fn try_all(area: &str, cases: &[Case]) {
    try_all_in(Cage::new(area), area, cases);
}

fn try_all_in(mut cage: Cage, area: &str, cases: &[Case]) {
    for case in cases {
        cage.attempt(case);
    }
    cage.close();
    assert_listed(area, cases.iter().map(|case| case.name));
}

/// What is small enough to be copied.
const SMALL: &str = "small\n";

/// What is large enough to be linked, or lent.
fn large() -> String {
    "0123456789abcde\n".repeat(8 << 10)
}

/// How a script says that the machine cannot do what it wants.
const NOT_HERE: i32 = 77;

/// A task that looks at its inputs and its slot, writes a long stream, and has an output.
const NEXT: &str = "cat in large; ls -A; stat -c %a .; [ . -ef $TMPDIR ] || exit 1; ls -A ..; \
    i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo 0123456789abcdef; done; echo left > left";

#[test]
fn outputs_beyond_the_limit_fail_the_run() {
    let world = World::new("bytes");
    let mut warden = world.warden(0);
    let mut run = outputs(sh("echo 12345 > a; echo 12345 > b"), &["a", "b"]);
    run.output_bytes_max = 12;
    assert_eq!(warden.run(&run).outputs.len(), 2);
    run.output_bytes_max = 11;
    assert_eq!(warden.run(&run).end, End::TooMuchOutput);
    assert_eq!(warden.sh("ls -A").stdout, Stream::default());
    world.close();
}

#[test]
fn a_task_cannot_reach_its_warden() {
    let world = World::new("reach-warden");
    let mut warden = world.warden(0);
    let ended = warden.sh("kill -9 1; kill -9 -1; kill -TERM 0; exit 4");
    assert!(
        matches!(ended.end, End::Exited(4) | End::Signalled(15)),
        "{ended:?}"
    );
    assert_eq!(warden.sh("exit 5").end, End::Exited(5));
    world.close();
}
