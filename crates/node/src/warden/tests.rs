//! Real processes. The mother is this test binary again, running [`mother_process`] alone.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use muster_proto::limits::TAIL_BYTES_MAX;
use muster_proto::outcome::Stream;
use muster_proto::task::{FileRef, Form, InputFile, Need, OutputFile, When, Words};
use muster_proto::{Digest, RelPath, Span};
use muster_store::content::{ContentStore, Placement, Use};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::*;

mod deaths;
mod files;
mod hostile;
mod quota;
mod running;
mod servers;
mod unpack;

/// Not a test: the process that a nursery of a test starts.
#[test]
fn mother_process() {
    if std::env::args().any(|word| word == MOTHER) {
        main_mother();
    }
}

/// Not a test: a worker that [`deaths`] kills. It runs a task that leaves daemons behind and tells the pids of mother
/// and warden.
#[test]
fn worker_process() {
    let words: Vec<String> = std::env::args().collect();
    let Some(at) = words.iter().position(|word| word == WORKER) else {
        return;
    };
    let world = World::at(PathBuf::from(&words[at + 2]), Confinement::PidNamespace);
    let mut warden = world.warden(0);
    warden.start(&daemons(&words[at + 4]));
    println!("ready {}", world.nursery.mother());
    // The link ends if the mother is killed first.
    warden.hear();
}

/// Filters that exclude nothing, so that the harness ignores them and a process knows what it is for.
const MOTHER: &str = "the-mother-of-wardens";
const WORKER: &str = "a-worker-to-be-killed";

/// This test binary, as a process that runs `test` alone and finds `marks` among its words.
fn again(test: &str, marks: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the test binary"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    for mark in marks {
        command.args(["--skip", mark]);
    }
    command
}

/// A worker's state directory, content store and nursery.
struct World {
    nursery: Nursery,
    store: ContentStore,
    root: PathBuf,
}

impl World {
    fn new(name: &str) -> Self {
        Self::confined(name, Confinement::PidNamespace)
    }

    fn confined(name: &str, confinement: Confinement) -> Self {
        Self::at(scratch(name), confinement)
    }

    fn at(root: PathBuf, confinement: Confinement) -> Self {
        let mother = again("warden::tests::mother_process", &[MOTHER]);
        Self::with_mother(root, mother, confinement)
    }

    fn with_mother(root: PathBuf, mother: Command, confinement: Confinement) -> Self {
        let places = Places {
            state: root.clone(),
            store: root.join("store"),
            confinement,
        };
        let store = ContentStore::open(&places.store).expect("a store");
        let nursery = Nursery::start(mother, places).expect("a mother");
        Self {
            nursery,
            store,
            root,
        }
    }

    fn warden(&self, slot: u32) -> Warden {
        Warden::new(self.nursery.warden(slot).expect("a warden"))
    }

    /// The sandbox of a slot.
    fn sandbox(&self, slot: u32) -> PathBuf {
        self.root
            .canonicalize()
            .expect("the root")
            .join(format!("slots/{slot}/box"))
    }

    /// Puts contents into the store.
    fn input(&self, name: &str, contents: &str) -> InputFile {
        let path = self.root.join("incoming");
        fs::write(&path, contents).expect("a file");
        let digest = Digest(*blake3::hash(contents.as_bytes()).as_bytes());
        self.store.adopt(&path).expect("adopted");
        let _ = fs::remove_file(&path);
        InputFile {
            name: rel(name),
            file: FileRef {
                digest,
                bytes: contents.len() as u64,
            },
            form: Form::Data,
        }
    }

    /// What the store holds under a digest.
    fn contents(&self, digest: Digest) -> Vec<u8> {
        let path = self.root.join("outgoing");
        self.store
            .place(digest, &path, Placement::Copy, Use::Data)
            .expect("placed");
        let contents = fs::read(&path).expect("contents");
        fs::remove_file(&path).expect("removed");
        contents
    }

    /// The process numbers of the wardens.
    fn wardens(&self) -> Vec<Pid> {
        children(self.nursery.mother())
    }

    /// Ends the nursery and looks at what is left.
    fn close(self) {
        let mother = self.nursery.mother();
        drop(self.nursery);
        assert!(
            !Path::new(&format!("/proc/{mother}")).exists(),
            "the mother is gone"
        );
        super::sweep::remove_tree(&self.root).expect("removed");
    }
}

/// A link to a warden with the words that came over it.
struct Warden {
    link: WardenLink,
    decoder: Decoder,
}

impl Warden {
    fn new(link: WardenLink) -> Self {
        Self {
            link,
            decoder: Decoder::default(),
        }
    }

    fn send(&mut self, word: &ToWarden) {
        let mut frame = Vec::new();
        encode(word, &mut frame);
        self.link
            .stream
            .write_all(&frame)
            .expect("the warden listens");
    }

    fn start(&mut self, run: &Run) {
        self.send(&ToWarden::Run(Box::new(run.clone())));
    }

    /// The next word, or none if the link has ended.
    fn hear(&mut self) -> Option<FromWarden> {
        let mut bytes = [0; 4096];
        loop {
            if let Some(word) = self.decoder.take().expect("well formed") {
                return Some(word);
            }
            match self.link.stream.read(&mut bytes) {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.decoder.push(&bytes[..length]),
            }
        }
    }

    fn ended(&mut self) -> Ended {
        match self.hear() {
            Some(FromWarden::Ended(ended)) => *ended,
            other => panic!("{other:?} and not an end"),
        }
    }

    fn run(&mut self, run: &Run) -> Ended {
        self.start(run);
        self.ended()
    }

    /// Runs a shell script.
    fn sh(&mut self, script: &str) -> Ended {
        self.run(&sh(script))
    }
}

fn scratch(name: &str) -> PathBuf {
    let root = std::env::temp_dir().join(format!("muster-warden-{name}-{}", std::process::id()));
    fs::create_dir(&root).expect("a directory");
    root
}

fn rel(name: &str) -> RelPath {
    RelPath::new(name).expect("a name")
}

fn exec(words: &[&str]) -> Run {
    let mut run = Run::new(1, Words::new(words).expect("words"));
    run.environment
        .push(("PATH".into(), "/usr/bin:/bin".into()));
    run
}

fn sh(script: &str) -> Run {
    exec(&["sh", "-c", script])
}

fn outputs(run: Run, names: &[&str]) -> Run {
    let output = |name: &&str| OutputFile {
        name: rel(name),
        need: Need::Required,
        when: When::Always,
    };
    Run {
        outputs: names.iter().map(output).collect(),
        ..run
    }
}

fn text(stream: &Stream) -> &str {
    std::str::from_utf8(&stream.tail).expect("text")
}

/// A task that waits for ever beside a child, a daemon that ignores signals and a double fork in a session of its own.
/// All carry `mark` in their environment; each makes a file in the sandbox when it is there.
fn daemons(mark: &str) -> Run {
    let mut run = sh("sh -c 'touch a; sleep 1000; :' & \
         setsid -f sh -c 'trap \"\" TERM HUP INT; touch b; sleep 1000; :'; \
         (setsid sh -c '(touch c; sleep 1000; :) &' &); \
         touch d; sleep 1000; :");
    run.environment.push(("MARK".into(), mark.into()));
    run
}

/// Waits until all processes of [`daemons`] are there.
fn until_daemons_live(sandbox: &Path, mark: &str) {
    until("the daemons live", || {
        ["a", "b", "c", "d"]
            .iter()
            .all(|name| sandbox.join(name).exists())
    });
    assert!(marked(mark).len() >= 4, "their mark is seen");
}

/// A mark that no other test has.
fn mark(name: &str) -> String {
    format!("muster-{name}-{}", std::process::id())
}

/// The processes with `mark` in their environment.
fn marked(mark: &str) -> Vec<i32> {
    let all = fs::read_dir("/proc").expect("proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            variables
                .windows(mark.len())
                .any(|window| window == mark.as_bytes())
        })
        .collect()
}

/// The children of a process, whichever thread made them.
fn children(pid: u32) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists: String = threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .collect();
    lists
        .split_ascii_whitespace()
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}

/// Looks every few milliseconds, for at most ten seconds, until `true_yet`.
fn until(what: &str, mut true_yet: impl FnMut() -> bool) {
    // A descriptor that never becomes ready: this process's own end.
    let own = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).expect("a pidfd");
    for _ in 0..2_000 {
        if true_yet() {
            return;
        }
        pause(&own);
    }
    panic!("never: {what}");
}

fn pause(own: &OwnedFd) {
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: 5_000_000,
    };
    poll(&mut [PollFd::new(own, PollFlags::IN)], Some(&timeout)).expect("poll");
}
