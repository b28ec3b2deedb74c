//! What became of a task, for Python.

use std::fs;
use std::path::PathBuf;

use muster_proto::outcome::{self, ArchiveFault, Failure, Measured, Ran, Resource, Verdict};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The end of one task.
#[pyclass(frozen, module = "muster._core")]
#[derive(Debug)]
pub struct Outcome {
    /// The number that `submit` returned.
    #[pyo3(get)]
    number: u64,
    /// The master's number; 0 for a task it never had.
    #[pyo3(get)]
    task: u64,
    /// What happened, in one word: `done`, `exit`, `signal`, `cancelled`, ...
    #[pyo3(get)]
    kind: &'static str,
    /// Exit code, signal or error number, if `kind` has one.
    #[pyo3(get)]
    code: i32,
    /// The file or resource it is about, or a sentence.
    #[pyo3(get)]
    detail: String,
    #[pyo3(get)]
    worker: String,
    #[pyo3(get)]
    site: String,
    #[pyo3(get)]
    attempts: u32,
    /// Seconds it ran.
    #[pyo3(get)]
    seconds: f64,
    #[pyo3(get)]
    cpu_seconds: f64,
    #[pyo3(get)]
    rss_bytes: u64,
    /// Milliseconds since 1970 when it was submitted; 0 if that was in an earlier life.
    #[pyo3(get)]
    submitted_ms: u64,
    /// Milliseconds since 1970 when its outcome came.
    #[pyo3(get)]
    finished_ms: u64,
    /// Outputs that are here: name in the sandbox, path here if it was placed, bytes.
    #[pyo3(get)]
    outputs: Vec<(String, Option<PathBuf>, u64)>,
    /// Declared outputs that did not come.
    #[pyo3(get)]
    missing: Vec<String>,
    /// What Python wanted to be told again, if the task is of an earlier life.
    #[pyo3(get)]
    note: Option<String>,
    stdout: Text,
    stderr: Text,
}

/// What was written to a stream.
#[derive(Debug, Default)]
pub enum Text {
    /// Nothing.
    #[default]
    Empty,
    /// Little.
    Here(Vec<u8>),
    /// Much; the file goes with this value.
    File(PathBuf),
}

impl Drop for Text {
    fn drop(&mut self) {
        if let Text::File(path) = self {
            // What stays goes with the directory of the queue.
            drop(fs::remove_file(path));
        }
    }
}

impl Text {
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        match self {
            Text::Empty => Ok(PyBytes::new(py, b"")),
            Text::Here(bytes) => Ok(PyBytes::new(py, bytes)),
            Text::File(path) => Ok(PyBytes::new(py, &py.detach(|| fs::read(path))?)),
        }
    }
}

/// What is known of a task here.
#[derive(Debug, Default)]
pub struct Known {
    pub number: u64,
    pub submitted_ms: u64,
    pub finished_ms: u64,
    pub note: Option<String>,
}

/// What was brought of a task.
#[derive(Debug, Default)]
pub struct Brought {
    pub outputs: Vec<(String, Option<PathBuf>, u64)>,
    pub missing: Vec<String>,
    pub stdout: Text,
    pub stderr: Text,
    /// Why not everything was.
    pub flaw: Option<String>,
}

impl Outcome {
    /// Whether its task was submitted in an earlier life.
    pub fn is_earlier(&self) -> bool {
        self.submitted_ms == 0
    }

    /// The outcome of a task that a master had.
    pub fn of(known: Known, outcome: &outcome::Outcome, brought: Brought) -> Outcome {
        let (mut kind, code, mut detail) = match &outcome.verdict {
            Verdict::Ran { ran, .. } => match &ran.result {
                Ok(()) => ("done", 0, String::new()),
                Err(failure) => told(failure),
            },
            Verdict::GivenUp(failure) => told(failure),
            Verdict::Cancelled => ("cancelled", 0, String::new()),
        };
        if let Some(flaw) = brought.flaw {
            (kind, detail) = ("not_brought", flaw);
        }
        let (worker, measured) = match &outcome.verdict {
            Verdict::Ran { ran, .. } => measured(ran),
            Verdict::GivenUp(_) | Verdict::Cancelled => (String::new(), Measured::default()),
        };
        Outcome {
            number: known.number,
            task: outcome.task.0,
            kind,
            code,
            detail,
            worker,
            site: outcome.site.to_string(),
            attempts: outcome.attempts,
            seconds: measured.wall.as_secs_f64(),
            cpu_seconds: measured.cpu.as_secs_f64(),
            rss_bytes: measured.rss_bytes_max,
            submitted_ms: known.submitted_ms,
            finished_ms: known.finished_ms,
            outputs: brought.outputs,
            missing: brought.missing,
            note: known.note,
            stdout: brought.stdout,
            stderr: brought.stderr,
        }
    }

    /// The outcome of a task that no master took.
    pub fn never(known: Known, kind: &'static str, detail: String) -> Outcome {
        Outcome {
            number: known.number,
            task: 0,
            kind,
            code: 0,
            detail,
            worker: String::new(),
            site: String::new(),
            attempts: 0,
            seconds: 0.0,
            cpu_seconds: 0.0,
            rss_bytes: 0,
            submitted_ms: known.submitted_ms,
            finished_ms: known.finished_ms,
            outputs: Vec::new(),
            missing: Vec::new(),
            note: known.note,
            stdout: Text::Empty,
            stderr: Text::Empty,
        }
    }
}

#[pymethods]
impl Outcome {
    /// All that was written to standard output.
    #[getter]
    fn stdout<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.stdout.read(py)
    }

    /// All that was written to standard error.
    #[getter]
    fn stderr<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.stderr.read(py)
    }

    fn __repr__(&self) -> String {
        format!("<Outcome {} {} {}>", self.number, self.kind, self.code)
    }
}

fn measured(ran: &Ran) -> (String, Measured) {
    (ran.worker.clone(), ran.measured)
}

/// A failure as a word, a number and a detail.
fn told(failure: &Failure) -> (&'static str, i32, String) {
    let none = String::new;
    match failure {
        Failure::Exit(code) => ("exit", *code, none()),
        Failure::Signal(signal) => ("signal", *signal, none()),
        Failure::TimeLimit => ("time_limit", 0, none()),
        Failure::NotFound => ("not_found", 127, none()),
        Failure::NotExecutable => ("not_executable", 126, none()),
        Failure::CannotStart(errno) => ("cannot_start", *errno, none()),
        Failure::InputMissing(name) => ("input_missing", 0, name.to_string()),
        Failure::OutputMissing(name) => ("output_missing", 0, name.to_string()),
        Failure::TooMuchOutput => ("too_much_output", 0, none()),
        Failure::LostTooOften => ("lost_too_often", 0, none()),
        Failure::Exhausted {
            resource,
            measured,
            limit,
        } => {
            let resource = match resource {
                Resource::Disk => "disk bytes",
                Resource::Files => "files",
            };
            ("exhausted", 0, format!("{measured} of {limit} {resource}"))
        }
        Failure::BadArchive { name, fault } => {
            let fault = match fault {
                ArchiveFault::Malformed => "is no tar archive",
                ArchiveFault::LeadsOut => "leads out of its directory",
                ArchiveFault::Irregular => "holds what is no file, directory or link",
            };
            ("bad_archive", 0, format!("{name} {fault}"))
        }
    }
}
