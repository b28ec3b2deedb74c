//! Starting a task's program.

use std::borrow::Cow;
use std::io;

use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;
use rustix::process::Pid;

use super::message::{End, Run};
use super::sys;

/// Starts programs, one at a time, without copying this process or its page tables.
pub(super) struct Starter {
    /// What a new process runs on until it executes its program.
    stack: Vec<u128>,
}

impl Starter {
    pub fn new() -> Self {
        Self {
            stack: vec![0; STACK_BYTES / size_of::<u128>()],
        }
    }

    /// Starts the program of `run` in the sandbox at `sandbox`, which is the working directory. Its standard streams
    /// are this process's own, it leads a process group, and it has nothing else.
    pub fn start(&mut self, run: &Run, sandbox: &str) -> Result<Pid, End> {
        let name = run.words.iter().next().ok_or(End::NotFound)?;
        let mut program = Texts::default();
        program.push(&[&find(name, &run.environment)?])?;
        let mut words = Texts::default();
        for word in run.words.iter() {
            words.push(&[word])?;
        }
        let mut environment = Texts::default();
        for variable in SANDBOX_VARIABLES {
            environment.push(&[variable, "=", sandbox])?;
        }
        for (name, value) in run
            .environment
            .iter()
            .filter(|(name, _)| !SANDBOX_VARIABLES.contains(&name.as_str()))
        {
            environment.push(&[name, "=", value])?;
        }
        let pointers = [&program, &words, &environment].map(Texts::pointers);
        // SAFETY: the three end in null pointers and their texts in NUL, and live until the call returns.
        let started =
            unsafe { sys::start(pointers[0][0], &pointers[1], &pointers[2], &mut self.stack) };
        started.map_err(|error| cannot_start(&error))
    }
}

/// Variables that a task finds whatever it was given: where its sandbox is.
const SANDBOX_VARIABLES: [&str; 3] = ["MUSTER_SANDBOX", "WORK_QUEUE_SANDBOX", "TMPDIR"];

/// Bytes of stack that four system calls need, generously.
const STACK_BYTES: usize = 32 << 10;

/// Texts as the kernel wants them, in one allocation.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Texts {
    /// Appends one text made of `parts`.
    fn push(&mut self, parts: &[&str]) -> Result<(), End> {
        self.starts.push(self.bytes.len());
        for part in parts {
            if part.contains('\0') {
                return Err(End::CannotStart(libc::EINVAL));
            }
            self.bytes.extend_from_slice(part.as_bytes());
        }
        self.bytes.push(0);
        Ok(())
    }

    /// Where they are, and a null pointer behind the last.
    fn pointers(&self) -> Vec<*const libc::c_char> {
        let texts = self
            .starts
            .iter()
            .map(|&start| self.bytes[start..].as_ptr().cast());
        texts.chain([std::ptr::null()]).collect()
    }
}

/// Where a task's program is looked for if its environment has no `PATH`.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// The file to execute for a program called `name`.
fn find<'a>(name: &'a str, environment: &[(String, String)]) -> Result<Cow<'a, str>, End> {
    if name.contains('/') {
        return Ok(name.into());
    }
    let path = environment.iter().find(|(name, _)| name == "PATH");
    let mut end = End::NotFound;
    for directory in path.map_or(PATH_DEFAULT, |(_, path)| path).split(':') {
        let file = match directory {
            "" => format!("./{name}"),
            directory => format!("{directory}/{name}"),
        };
        match rustix::fs::accessat(CWD, &file, Access::EXEC_OK, AtFlags::empty()) {
            Ok(()) => return Ok(file.into()),
            Err(Errno::ACCESS) => end = End::NotExecutable,
            Err(_) => {}
        }
    }
    Err(end)
}

fn cannot_start(error: &io::Error) -> End {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => End::NotFound,
        Some(libc::EACCES | libc::ENOEXEC | libc::EISDIR) => End::NotExecutable,
        Some(code) => End::CannotStart(code),
        None => End::CannotStart(libc::EIO),
    }
}
