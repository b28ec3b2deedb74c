//! HyperQueue, from its Python package: that has no `hq` command, but starts a local server with one worker.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::{Course, succeed};

/// The version that was measured when this was written.
const PACKAGE: &str = "hyperqueue==0.27.0";

/// Submits one job of N programs to a cluster of its own and prints tasks per second.
///
/// The client asks for the end once a second only, which is too coarse a clock: a last task of lower priority, which
/// begins when all others have, writes down the time.
const SCRIPT: &str = "
import sys, tempfile, time
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig
tasks, cores, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
with tempfile.TemporaryDirectory() as folder, LocalCluster(folder, WorkerConfig(cores=cores)) as cluster:
    client, job = cluster.client(), Job()
    for _ in range(tasks):
        job.program([program], stdout=None, stderr=None)
    job.program(['/bin/sh', '-c', 'date +%s.%N > ' + folder + '/ended'], stdout=None, stderr=None, priority=-1)
    begun = time.time()
    client.wait_for_jobs([client.submit(job)])
    with open(folder + '/ended') as ended:
        print('rate', tasks / (float(ended.read()) - begun))
";

/// Makes a virtual environment below the target directory and installs the package into it, once.
pub fn prepare(course: &Course) -> Result<()> {
    if !python(course).exists() {
        succeed(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(environment(course)),
        )?;
    }
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        PACKAGE,
    ];
    succeed(Command::new(python(course)).args(install))
        .context("its package cannot be installed with pip")
}

/// Runs the course on one worker with as many cores as Muster has workers.
pub fn measure(course: &Course, program: &Path) -> Result<f64> {
    let mut command = Command::new(python(course));
    command
        .args([
            "-c",
            SCRIPT,
            &course.tasks.to_string(),
            &course.workers.to_string(),
        ])
        .arg(program);
    let answer = command
        .stdin(Stdio::null())
        .output()
        .context("its Python cannot be started")?;
    ensure!(
        answer.status.success(),
        "{}",
        String::from_utf8_lossy(&answer.stderr).trim()
    );
    let printed = String::from_utf8_lossy(&answer.stdout).into_owned();
    let rate = printed
        .lines()
        .find_map(|line| line.strip_prefix("rate "))
        .context("it printed no rate")?;
    Ok(rate.parse()?)
}

fn environment(course: &Course) -> PathBuf {
    course.scratch.join("hyperqueue")
}

fn python(course: &Course) -> PathBuf {
    environment(course).join("bin/python")
}
