//! Between the brain's words and the wardens'.

use std::env;

use muster_proto::outcome::{Failure, Loss, Measured};
use muster_proto::task::InputFile;
use muster_proto::{Digest, RelPath, Resources};
use muster_worker::{RunEnd, RunReport, Start};

use crate::warden::{End, Ended, Run};

/// Variables of the worker's own environment that tasks see; everything else is kept from them.
const PASSED_ON: [&str; 8] = [
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "SHELL",
];

/// What every task of a worker sees in its environment.
#[derive(Clone, Debug)]
pub struct Surroundings {
    variables: Vec<(String, String)>,
}

impl Surroundings {
    /// The surroundings of tasks at `site`, from this process's environment by allow-list.
    pub fn of(site: &str) -> Self {
        let mut variables: Vec<(String, String)> = PASSED_ON
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), env::var(name).ok()?)))
            .collect();
        if !variables.iter().any(|(name, _)| name == "PATH") {
            variables.push(("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()));
        }
        variables.push(("MUSTER_SITE".to_owned(), site.to_owned()));
        Self { variables }
    }
}

/// A warden's order for what the brain starts.
pub(super) fn run_of(start: &Start, surroundings: &Surroundings) -> Run {
    let mut run = Run::new(start.run.0, start.words.clone());
    run.call.clone_from(&start.call);
    run.environment = environment(start, surroundings);
    run.inputs.clone_from(&start.inputs);
    run.outputs.clone_from(&start.outputs);
    run.wall_max = start.wall_max;
    run.disk_bytes_max = Some(start.resources.disk_bytes).filter(|bytes| *bytes > 0);
    run
}

/// The worker's surroundings, what the attempt is, and what the user asked for; later ones win.
fn environment(start: &Start, surroundings: &Surroundings) -> Vec<(String, String)> {
    let Resources {
        cores_milli,
        gpus,
        memory_bytes,
        disk_bytes,
    } = start.resources;
    let cores = cores_milli.div_ceil(1_000).max(1).to_string();
    let attempt = [
        ("MUSTER_TASK_ID", start.attempt.key.task.0.to_string()),
        ("MUSTER_ATTEMPT", start.attempt.round.to_string()),
    ];
    let facts = [
        ("MUSTER_CORES", cores.clone()),
        ("CORES", cores.clone()),
        ("OMP_NUM_THREADS", cores),
        ("MEMORY", (memory_bytes >> 20).to_string()),
        ("DISK", (disk_bytes >> 20).to_string()),
        ("GPUS", gpus.to_string()),
    ];
    let mut all = surroundings.variables.clone();
    if start.call.is_none() {
        // A server outlives the attempt it is started for.
        all.extend(attempt.map(|(name, value)| (name.to_owned(), value)));
    }
    all.extend(facts.map(|(name, value)| (name.to_owned(), value)));
    for (name, value) in &start.environment {
        all.retain(|(known, _)| known != name);
        all.push((name.clone(), value.clone()));
    }
    all
}

/// What the brain is told of an end, and which of the run's `inputs` are in the store no more.
pub(super) fn end_of(mut ended: Ended, inputs: &[InputFile]) -> (RunEnd, Vec<Digest>) {
    let mut spoiled = std::mem::take(&mut ended.spoiled);
    if let End::StagingFailed { name, .. } = &ended.end {
        let failed = inputs.iter().filter(|input| input.name == *name);
        spoiled.extend(failed.map(|input| input.file.digest));
    }
    (judge(ended), spoiled)
}

fn judge(ended: Ended) -> RunEnd {
    let result = match ended.end {
        End::Exited(0) => match ended.missing.first() {
            Some(missing) => Err(Failure::OutputMissing(named(&missing.name))),
            None => Ok(()),
        },
        End::Exited(code) => Err(Failure::Exit(code)),
        End::Signalled(signal) => Err(Failure::Signal(signal)),
        End::TimedOut => Err(Failure::TimeLimit),
        End::NotFound => Err(Failure::NotFound),
        End::NotExecutable => Err(Failure::NotExecutable),
        End::CannotStart(errno) => Err(Failure::CannotStart(errno)),
        End::Exhausted {
            resource,
            measured,
            limit,
        } => Err(Failure::Exhausted {
            resource,
            measured,
            limit,
        }),
        End::BadArchive { name, fault } => Err(Failure::BadArchive { name, fault }),
        End::TooMuchOutput => Err(Failure::TooMuchOutput),
        End::Cancelled => return RunEnd::Killed,
        End::Unbegun => return RunEnd::Unbegun,
        End::NoSpace => return RunEnd::Lost(Loss::NoSpace),
        End::StagingFailed { name, why } => {
            tracing::warn!(%name, why, "an input could not be placed in a sandbox");
            return RunEnd::Lost(Loss::NotStaged);
        }
        End::CollectingFailed { name, why } => {
            tracing::warn!(%name, why, "an output could not be taken into the store");
            return RunEnd::Lost(Loss::WorkerFault);
        }
    };
    let cpu = ended.user + ended.system;
    let measured = Measured {
        wall: ended.wall,
        cpu,
        rss_bytes_max: ended.rss_bytes_max,
    };
    let Ended {
        stdout,
        stderr,
        outputs,
        ..
    } = ended;
    RunEnd::Ran(Box::new(RunReport {
        result,
        measured,
        stdout,
        stderr,
        outputs,
    }))
}

/// A name as the task left it may be one that cannot travel; then only that it is bad does.
fn named(name: &str) -> RelPath {
    let bad = || RelPath::new("(unprintable)").expect("a plain word is a path");
    RelPath::new(name).unwrap_or_else(|_| bad())
}
