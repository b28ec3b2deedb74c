//! What one would write in shell: the copies that the chain makes, by `cp`, a shell for each site side by side.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::{Course, SHARED, SITES, Took, WORKERS_PER_SITE};
use crate::clock::Stopwatch;

pub fn measure(course: &Course, folder: &Path) -> Result<Took> {
    for place in ["master", "results"] {
        fs::create_dir_all(folder.join(place))?;
    }
    let mut scripts = Vec::new();
    for site in 0..SITES {
        for worker in 0..WORKERS_PER_SITE {
            fs::create_dir_all(folder.join(format!("s{site}/w{worker}/box")))?;
        }
        let script = folder.join(format!("s{site}.sh"));
        fs::write(&script, steps(course, site))?;
        scripts.push(script);
    }
    let watch = Stopwatch::start();
    let shared = course.inputs.join(SHARED);
    let to_master = Command::new("cp")
        .arg(shared)
        .arg(folder.join("master"))
        .status()?;
    ensure!(to_master.success(), "cp failed");
    let shells = scripts.iter().map(|script| {
        let mut shell = Command::new("sh");
        shell
            .arg("-e")
            .arg(script)
            .current_dir(folder)
            .stdin(Stdio::null())
            .spawn()
    });
    let shells: Vec<_> = shells.collect::<Result<_, _>>()?;
    for mut shell in shells {
        let status = shell.wait()?;
        ensure!(status.success(), "a shell failed ({status})");
    }
    let seconds = watch.elapsed().as_secs_f64();
    course.verify(&folder.join("results"), |task| format!("{task}.out"))?;
    Ok(Took {
        seconds,
        crossed: None,
    })
}

/// The commands of one site: every second task is its own, and goes to its workers in turn.
fn steps(course: &Course, site: u64) -> String {
    let mut text = format!("cp master/{SHARED} s{site}/\n");
    for worker in 0..WORKERS_PER_SITE {
        let _ = writeln!(text, "cp s{site}/{SHARED} s{site}/w{worker}/box/");
    }
    let inputs = course.inputs.display();
    for task in (site..course.tasks).step_by(SITES as usize) {
        let worker = task / SITES % WORKERS_PER_SITE;
        let there = format!("s{site}/w{worker}");
        let run = course.command(&task.to_string(), "out");
        let _ = write!(
            text,
            "cp '{inputs}/in/{task}' master/{task}\n\
             cp master/{task} s{site}/{task}\n\
             cp s{site}/{task} {there}/{task}\n\
             cp {there}/{task} {there}/box/{task}\n\
             (cd {there}/box; sh -c '{run}')\n\
             mv {there}/box/out {there}/{task}.out\n\
             cp {there}/{task}.out s{site}/{task}.out\n\
             cp s{site}/{task}.out master/{task}.out\n\
             cp master/{task}.out results/{task}.out\n\
             rm {there}/box/{task}\n"
        );
    }
    text
}
