//! The scenario of a workload: what was measured of this machine, as TOML that `muster sim run` takes as well.

use std::fs;
use std::path::Path;

use muster_proto::outcome::{Measured, Ran, ReturnedFile, Stream};
use muster_proto::task::FileRef;
use muster_proto::{Digest, RelPath, Span};
use muster_sim::run::{Asked, KnownWork, RunReport, run_known};
use muster_sim::scenario::Scenario;

use super::calibrate::Machine;
use super::files::{self, Staged};
use super::sides::{Side, Traffic};
use super::workload::{SITES, WORKERS, Workload};
use crate::embedded::site_name;
use crate::error::CliError;
use crate::sim::SimError;

/// The model of a workload on this machine.
#[derive(Debug)]
pub struct Model {
    name: String,
    toml: String,
    /// How long tasks run, a row each, in seconds.
    lengths: String,
    /// What a slot spends on a task beyond its sleep.
    start: Span,
    own_bytes: Option<u64>,
}

impl Model {
    /// The model of `workload` on `machine`.
    pub fn new(workload: &Workload, machine: &Machine) -> Model {
        let start = Span(match workload.files {
            Some(_) => machine.script_us,
            None => machine.start_us,
        });
        let name = workload.name.to_string();
        let rows = workload.lengths.iter();
        let rows = rows.map(|length| format!("{:.6}\n", (*length + start).as_secs_f64()));
        Model {
            toml: toml(workload, machine),
            lengths: rows.collect(),
            start,
            own_bytes: workload.files.map(|files| files.own_bytes),
            name,
        }
    }

    /// Writes the scenario, and beside it how long its tasks run.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), CliError> {
        for (extension, text) in [("toml", &self.toml), ("csv", &self.lengths)] {
            let path = dir.join(format!("{}.{extension}", self.name));
            fs::write(&path, text).map_err(|error| CliError::file(&path, error))?;
        }
        Ok(())
    }

    /// Simulates the very tasks that are staged.
    ///
    /// # Errors
    /// The scenario makes no sense, which would be a fault of this module.
    pub fn run(&self, staged: &Staged, seed: u64) -> Result<Side, CliError> {
        let mut read = |_: &str| Ok(self.lengths.clone());
        let scenario = Scenario::load(&self.toml, &[], &mut read);
        let scenario = scenario.map_err(|bad| SimError::Scenario {
            path: self.name.clone(),
            bad,
        })?;
        let tasks = staged.bodies.iter().zip(&staged.lengths).enumerate();
        let work = KnownWork {
            at: LEAD,
            template: staged.template.clone(),
            tasks: tasks
                .map(|(n, (body, length))| (body.clone(), self.ran(n, *length)))
                .collect(),
        };
        let asked = Asked {
            name: self.name.clone(),
            seed,
            ..Asked::default()
        };
        Ok(side(&run_known(&scenario, &[work], &asked)))
    }

    /// What a run of task `n` brings.
    fn ran(&self, n: usize, length: Span) -> Ran {
        let wall = length + self.start;
        let output = |own_bytes| ReturnedFile {
            name: RelPath::new(files::OUTPUT).expect("a word is a path"),
            file: FileRef {
                digest: Digest(*blake3::hash(format!("output {n}").as_bytes()).as_bytes()),
                bytes: files::output_bytes(own_bytes, length),
            },
            executable: false,
        };
        Ran {
            result: Ok(()),
            worker: String::new(),
            measured: Measured {
                wall,
                ..Measured::default()
            },
            stdout: Stream::default(),
            stderr: Stream::default(),
            outputs: self.own_bytes.map(output).into_iter().collect(),
        }
    }
}

fn side(report: &RunReport) -> Side {
    let links = report.links.iter();
    let links = links.filter(|link| link.upper == MASTER);
    Side {
        makespan_s: report.makespan_s,
        tasks: report.submitted,
        attempts: report.assigned,
        results: report.received,
        failed: report.failed,
        losses: report.losses.values().sum(),
        links: links
            .map(|link| Traffic {
                site: link.lower.clone(),
                down_bytes: link.bytes_down + link.files_down,
                up_bytes: link.bytes_up + link.files_up,
            })
            .collect(),
    }
}

fn toml(workload: &Workload, machine: &Machine) -> String {
    let Machine {
        fsync_us,
        latency_us,
        bytes_per_s,
        ..
    } = machine;
    let name = workload.name;
    let link = format!("{{ latency = \"{latency_us}us\", bandwidth = \"{bytes_per_s}B/s\" }}");
    let mut toml = format!(
        "# Written by `muster sim validate`. Its own simulation gives each task its own row of {name}.csv, in order;\n\
         # `muster sim run` draws from them.\n\
         about = \"{about}.\"\n\n\
         [disk]\nfsync = \"{fsync_us}us\"\n\n\
         [[master]]\nname = \"{MASTER}\"\nlink = {link}\n\n\
         [[work]]\ncategory = \"{name}\"\nat = \"{at}us\"\ntasks = {tasks}\nrun = {{ trace = \"{name}.csv\" }}\n",
        about = workload.about(),
        at = LEAD.0,
        tasks = workload.lengths.len(),
    );
    if let Some(files) = workload.files {
        toml += &format!(
            "shared_inputs = [{}]\nown_input = {}\noutput = {}\n",
            files.shared_bytes,
            files.own_bytes,
            files::output_bytes(files.own_bytes, Span::ZERO),
        );
    }
    for site in 0..SITES {
        let site = site_name(site);
        toml += &format!("\n[[site]]\nname = \"{site}\"\nlink = {link}\nlan = {link}\n");
    }
    for worker in 0..WORKERS {
        toml += &format!(
            "\n[[pool]]\nname = \"w{}\"\nsite = \"{}\"\nmachines = 1\nat_once = 1\ncores = {}\n",
            worker + 1,
            site_name(worker % SITES),
            workload.cores,
        );
        toml += &killed(workload, worker as usize, Span(machine.back_us));
    }
    toml
}

/// How a worker's pool says that it is killed: it waits for `back`, lives until then, waits again, and then lives longer
/// than the work lasts.
fn killed(workload: &Workload, worker: usize, back: Span) -> String {
    let kill = workload.kills.iter().find(|(killed, _)| *killed == worker);
    kill.map_or_else(String::new, |(_, at)| {
        let lives = LEAD + *at - back;
        format!(
            "queue = \"{}us\"\neviction = \"{}us\"\nstays = \"1d\"\n",
            back.0, lives.0
        )
    })
}

const MASTER: &str = "master";
/// When the work is submitted: workers are there by then, and one that has been killed dies again long after the end.
const LEAD: Span = Span::secs(60);

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::super::workload::Name;
    use super::*;

    const MACHINE: Machine = Machine {
        fsync_us: 300,
        latency_us: 150,
        bytes_per_s: 100_000_000,
        start_us: 2_000,
        script_us: 4_000,
        back_us: 120_000,
    };

    #[test]
    fn each_model_does_all_its_tasks_in_about_the_time_that_they_sleep() {
        for name in Name::value_variants() {
            let workload = Workload::new(*name, None, 0);
            let dir = tempfile::tempdir().expect("a directory");
            let staged = files::stage(&workload, dir.path()).expect("written");
            let side = Model::new(&workload, &MACHINE)
                .run(&staged, 0)
                .expect("a scenario");
            let slept: f64 = workload
                .lengths
                .iter()
                .map(|length| length.as_secs_f64())
                .sum();
            let least = slept / f64::from(WORKERS * workload.cores);
            assert_eq!(side.results, workload.lengths.len() as u64, "{name}");
            assert!(
                (least..least + 3.0).contains(&side.makespan_s),
                "{name}: {least} s at least, {side:?}"
            );
            assert_eq!(side.losses > 0, !workload.kills.is_empty(), "{name}");
            assert_eq!(side.attempts, side.tasks + side.losses, "{name}");
        }
    }

    #[test]
    fn what_is_kept_is_a_scenario() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in Name::value_variants() {
            let workload = Workload::new(*name, Some(20), 0);
            Model::new(&workload, &MACHINE)
                .write(dir.path())
                .expect("written");
            let text = fs::read_to_string(dir.path().join(format!("{name}.toml"))).expect("kept");
            let mut read = |file: &str| {
                fs::read_to_string(dir.path().join(file)).map_err(|error| error.to_string())
            };
            let scenario = Scenario::load(&text, &[], &mut read).expect("a scenario");
            assert_eq!(scenario.pools.len(), WORKERS as usize);
        }
    }
}
