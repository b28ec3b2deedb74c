//! What is to be moved: made once, laid before each contender, and checked after each.

use std::fs;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The tasks, their files, and who runs them where.
pub struct Load {
    pub tasks: u64,
    pub shared_bytes: u64,
    /// Of each task's own input, and of its output.
    pub own_bytes: u64,
    pub sites: u64,
    /// At each site, of one core each.
    pub workers: u64,
    /// A folder below the target directory for whatever a contender writes.
    pub scratch: PathBuf,
    pub muster: PathBuf,
}

impl Load {
    /// The name of the file that all tasks read.
    pub const SHARED: &str = "shared.bin";

    /// Writes the inputs. No two blocks are alike, so that neither hashes nor compression save anything.
    pub fn make(&self) -> Result<()> {
        let folder = self.inputs();
        fs::create_dir_all(&folder)?;
        let mut noise = Noise(0);
        noise.fill(&folder.join(Self::SHARED), self.shared_bytes)?;
        (1..=self.tasks).try_for_each(|task| noise.fill(&folder.join(input(task)), self.own_bytes))
    }

    /// Gives the inputs other names in `work`, which costs nothing.
    pub fn lay(&self, work: &Path) -> Result<()> {
        let names = (1..=self.tasks).map(input).chain([Self::SHARED.to_owned()]);
        for name in names {
            fs::hard_link(self.inputs().join(&name), work.join(&name))?;
        }
        Ok(())
    }

    /// The shell's command of a task: its output is the end of the shared file and the end of its own.
    pub fn command(&self, task: &str) -> String {
        let (half, shared) = (self.own_bytes / 2, Self::SHARED);
        format!("tail -q -c {half} {shared} in.{task} > out.{task}")
    }

    /// Fails unless `work` has the right output of every task.
    pub fn check(&self, work: &Path) -> Result<()> {
        let half = self.own_bytes / 2;
        let mut wanted = end(&self.inputs().join(Self::SHARED), half)?;
        let shared = wanted.len();
        for task in 1..=self.tasks {
            wanted.truncate(shared);
            wanted.extend(end(&self.inputs().join(input(task)), half)?);
            let path = work.join(output(task));
            let found = fs::read(&path);
            let found = found.with_context(|| format!("task {task} has no output"))?;
            ensure!(found == wanted, "task {task} has a wrong output");
        }
        Ok(())
    }

    fn inputs(&self) -> PathBuf {
        self.scratch.join("inputs")
    }
}

/// The name of a task's own input.
pub fn input(task: u64) -> String {
    format!("in.{task}")
}

/// The name of a task's output.
pub fn output(task: u64) -> String {
    format!("out.{task}")
}

/// The last bytes of a file.
fn end(path: &Path, bytes: u64) -> Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(bytes)))?;
    let mut found = Vec::new();
    file.read_to_end(&mut found)?;
    Ok(found)
}

/// Bytes without a pattern, by splitmix64.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, path: &Path, bytes: u64) -> Result<()> {
        let file = fs::File::create_new(path);
        let file = file.with_context(|| format!("{} cannot be made", path.display()))?;
        let mut file = BufWriter::new(file);
        for _ in 0..bytes / 8 {
            file.write_all(&self.next().to_le_bytes())?;
        }
        Ok(file.flush()?)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
pub mod tests {
    use std::process::Command;

    use super::*;

    /// Few and small files, in a folder of the test's own.
    pub fn small(test: &str) -> Load {
        let name = format!("xtask-{test}-{}", std::process::id());
        let scratch = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&scratch);
        Load {
            tasks: 3,
            shared_bytes: 4096,
            own_bytes: 1024,
            sites: 2,
            workers: 1,
            scratch,
            muster: PathBuf::new(),
        }
    }

    #[test]
    fn the_command_makes_what_the_check_wants_and_nothing_else_passes() {
        let load = small("load");
        load.make().unwrap();
        let work = load.scratch.join("work");
        fs::create_dir_all(&work).unwrap();
        load.lay(&work).unwrap();
        assert!(load.check(&work).is_err(), "there is no output yet");
        for task in 1..=load.tasks {
            let script = load.command(&task.to_string());
            let mut shell = Command::new("sh");
            shell.args(["-c", &script]).current_dir(&work);
            assert!(shell.status().unwrap().success());
        }
        load.check(&work).unwrap();
        assert_eq!(fs::metadata(work.join("out.1")).unwrap().len(), 1024);
        fs::copy(work.join("out.1"), work.join("out.2")).unwrap();
        let why = load.check(&work).unwrap_err();
        assert_eq!(why.to_string(), "task 2 has a wrong output");
        fs::remove_dir_all(&load.scratch).unwrap();
    }
}
