//! `cargo xtask compare --files`: an ensemble whose files are the work, through `cp`, Muster and Work Queue.
//!
//! Every task has one large input that all share, a small one of its own, and a small output; the workers are of two
//! sites. Rounds in which every contender has its turn, each with cold caches, so that a slow minute of the machine
//! hits all of them. Nobody wins by failing: all outputs are read and compared with what they have to be.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use crate::{cargo, compare, numbers};

mod cp;
mod muster;
mod work_queue;

const ROUNDS: usize = 3;
/// As many as campuses have to be to be campuses.
const SITES: u64 = 2;
const WORKERS_PER_SITE: u64 = 4;
/// The file that all tasks read, in the folder of inputs.
const SHARED: &str = "shared.bin";
/// What a task does with `$1`, its own input, and `$2`, its output: both inputs are read, half of the output is of each.
const SCRIPT: &str = r#"{ head -c "$3" "$1"; tail -c "$3" shared.bin; } > "$2""#;

/// What every contender is given.
pub struct Course {
    tasks: u64,
    shared_bytes: u64,
    own_bytes: u64,
    /// A folder below the target directory for whatever a contender writes.
    scratch: PathBuf,
    /// The inputs: [`SHARED`] and `in/0`, `in/1` and so on.
    inputs: PathBuf,
    muster: PathBuf,
}

/// How one turn went.
pub struct Took {
    seconds: f64,
    /// Bytes that crossed to the sites, as a part of the contents that had to.
    crossed: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum System {
    Cp,
    Muster,
    WorkQueue,
    WorkQueueForemen,
    TaskVine,
}

impl System {
    const ALL: [Self; 5] = [
        Self::Cp,
        Self::Muster,
        Self::WorkQueue,
        Self::WorkQueueForemen,
        Self::TaskVine,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Cp => "cp, a shell for each site",
            Self::Muster => "Muster, two foremen",
            Self::WorkQueue => "Work Queue, direct",
            Self::WorkQueueForemen => "Work Queue, two foremen",
            Self::TaskVine => "TaskVine, direct",
        }
    }

    fn prepare(self) -> Result<()> {
        match self {
            Self::Cp => Ok(()),
            Self::Muster => compare::muster::prepare(),
            Self::WorkQueue | Self::WorkQueueForemen => compare::work_queue::prepare(),
            Self::TaskVine => work_queue::has_vine(),
        }
    }

    fn measure(self, course: &Course) -> Result<Took> {
        let folder = course.folder(self.name())?;
        match self {
            Self::Cp => cp::measure(course, &folder),
            Self::Muster => muster::measure(course, &folder),
            Self::WorkQueue => work_queue::measure(course, &folder, work_queue::Way::Direct),
            Self::WorkQueueForemen => {
                work_queue::measure(course, &folder, work_queue::Way::Foremen)
            }
            Self::TaskVine => work_queue::measure(course, &folder, work_queue::Way::Vine),
        }
    }
}

/// Prepares what is there, runs all rounds and prints the table.
pub fn run(options: &[&str]) -> Result<ExitCode> {
    let known = [("--tasks", 500), ("--shared-mib", 64), ("--own-kib", 64)];
    let [tasks, shared_mib, own_kib] = numbers(options, known)?;
    let muster = cargo::release_binary()?;
    let target = muster.ancestors().nth(2);
    let scratch = target
        .context("there is no target directory")?
        .join("compare-files");
    let course = Course {
        tasks,
        shared_bytes: shared_mib << 20,
        own_bytes: own_kib << 10,
        inputs: scratch.join("inputs"),
        scratch,
        muster,
    };
    course.make_inputs()?;
    let mut entries: Vec<(System, Vec<Took>)> = Vec::new();
    for system in System::ALL {
        match system.prepare() {
            Ok(()) => entries.push((system, Vec::new())),
            Err(why) => skipped(system, &why),
        }
    }
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        entries.retain_mut(|(system, turns)| match system.measure(&course) {
            Ok(took) => {
                turns.push(took);
                true
            }
            Err(why) => {
                skipped(*system, &why);
                false
            }
        });
    }
    fs::remove_dir_all(&course.scratch).context("the scratch folder remains")?;
    print!("{}", shown(&course, &entries));
    Ok(ExitCode::SUCCESS)
}

fn skipped(system: System, why: &anyhow::Error) {
    eprintln!("skipped {}: {why:#}", system.name());
}

impl Course {
    /// An empty folder for a contender's turn.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.scratch.join(name.replace([' ', ','], "-"));
        empty(&folder)?;
        Ok(folder)
    }

    fn make_inputs(&self) -> Result<()> {
        empty(&self.scratch)?;
        fs::create_dir_all(self.inputs.join("in"))?;
        noise(&self.inputs.join(SHARED), 0, self.shared_bytes)?;
        (0..self.tasks).try_for_each(|task| {
            let path = self.inputs.join(format!("in/{task}"));
            noise(&path, task + 1, self.own_bytes)
        })
    }

    fn half(&self) -> u64 {
        self.own_bytes / 2
    }

    /// The command of a task as words of a shell.
    fn command(&self, own: &str, output: &str) -> String {
        SCRIPT
            .replace("$3", &self.half().to_string())
            .replace("$1", own)
            .replace("$2", output)
    }

    /// Reads every output, called by `name` in `folder`, and compares it with what it has to be.
    fn verify(&self, folder: &Path, name: impl Fn(u64) -> String) -> Result<()> {
        let half = self.half() as usize;
        let shared = fs::read(self.inputs.join(SHARED))?;
        let tail = &shared[shared.len() - half..];
        for task in 0..self.tasks {
            let path = folder.join(name(task));
            let own = fs::read(self.inputs.join(format!("in/{task}")))?;
            let output = fs::read(&path).with_context(|| format!("no output of task {task}"))?;
            let is_right = output.len() == 2 * half
                && output[..half] == own[..half]
                && &output[half..] == tail;
            ensure!(is_right, "the output of task {task} is wrong");
        }
        Ok(())
    }
}

fn empty(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
            Err(why).context("the last course remains")
        }
        Ok(()) | Err(_) => Ok(fs::create_dir_all(folder)?),
    }
}

/// Writes `bytes` that nothing can compress, others for each `seed`, by xorshift64*.
fn noise(path: &Path, seed: u64, bytes: u64) -> Result<()> {
    let mut file = std::io::BufWriter::new(fs::File::create(path)?);
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..bytes.div_ceil(8) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        file.write_all(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes())?;
    }
    let file = file.into_inner().map_err(|error| error.into_error())?;
    Ok(file.set_len(bytes)?)
}

/// The table: medians, and each as a multiple of `cp`.
fn shown(course: &Course, entries: &[(System, Vec<Took>)]) -> String {
    let middle = |values: Vec<f64>| {
        let mut values = values;
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let seconds = |turns: &[Took]| middle(turns.iter().map(|took| took.seconds).collect());
    let cp = entries.iter().find(|(system, _)| *system == System::Cp);
    let cp = cp.and_then(|(_, turns)| seconds(turns));
    let mut text = format!(
        "\n{} tasks, {} MiB shared and {} KiB own input, {} KiB output, {SITES} sites of {WORKERS_PER_SITE} workers, medians of {ROUNDS}\n\n{:<26} {:>9} {:>8} {:>20}\n",
        course.tasks,
        course.shared_bytes >> 20,
        course.own_bytes >> 10,
        course.own_bytes >> 10,
        "system",
        "seconds",
        "of cp",
        "crossed to sites"
    );
    for (system, turns) in entries {
        let Some(took) = seconds(turns) else { continue };
        let of_cp = cp.map_or_else(|| "-".to_owned(), |cp| format!("{:.2}", took / cp));
        let crossed = middle(turns.iter().filter_map(|took| took.crossed).collect());
        let crossed = crossed.map_or_else(|| "-".to_owned(), |part| format!("{part:.3} of needed"));
        text += &format!(
            "{:<26} {took:>9.2} {of_cp:>8} {crossed:>20}\n",
            system.name()
        );
    }
    text + "\ncp makes the copies that the chain makes: to a master's store, a site's, a worker's and a sandbox, and back.\n\
            Clocks start when all workers have connected; makeflow may have begun by then.\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_is_shown_as_a_multiple_of_cp() {
        let course = Course {
            tasks: 5,
            shared_bytes: 1 << 20,
            own_bytes: 1 << 10,
            scratch: PathBuf::new(),
            inputs: PathBuf::new(),
            muster: PathBuf::new(),
        };
        let took = |seconds, crossed| Took { seconds, crossed };
        let entries = [
            (
                System::Cp,
                vec![took(2.0, None), took(9.0, None), took(1.0, None)],
            ),
            (System::Muster, vec![took(1.0, Some(1.01))]),
        ];
        let shown = shown(&course, &entries);
        let line = shown.lines().find(|line| line.starts_with("Muster"));
        let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
        assert_eq!(words[3..6], ["1.00", "0.50", "1.010"], "{shown}");
    }
}
