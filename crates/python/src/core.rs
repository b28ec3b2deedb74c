//! The queue that Python holds: a line to a master, which may live here, and sites, if they are ours.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_node::client::Master;
use muster_node::clock::wall_ms;
use muster_node::identity::{Authority, SECRET_BYTES};
use muster_node::scratch::{Fate, Scratch};
use muster_proto::limits::{BODY_BYTES_MAX, FILES_PER_TASK_MAX};
use muster_proto::peer::is_name;
use muster_proto::task::{InputFile, TaskBody};
use muster_proto::{Peer, Role, TaskId};
use pyo3::create_exception;
use pyo3::exceptions::{PyConnectionError, PyOSError, PyRuntimeError};
use pyo3::prelude::*;

use crate::home::{self, Home};
use crate::line::{self, Line, LineError, Tenancy};
use crate::outcome::Outcome;
use crate::shared::{Broken, Order, Pending, Reply, Shared};
use crate::sites::{Parting, Plan, Sites};
use crate::spec::{self, Input, Output, Source, Template, bad};
use crate::stage::{Stage, Staged};

create_exception!(
    muster._core,
    MusterError,
    PyRuntimeError,
    "Something of Muster went wrong; the sentence says what."
);

/// A queue of tasks at a master.
#[pyclass(frozen, module = "muster._core")]
pub struct Core {
    shared: Arc<Shared>,
    stage: Arc<Mutex<Stage>>,
    parts: Mutex<Option<Parts>>,
    address: SocketAddr,
    /// The process it was made in: threads do not survive a fork.
    pid: u32,
}

/// What goes when the queue is closed, in this order.
struct Parts {
    sites: Vec<Sites>,
    line: Line,
    home: Option<Home>,
    scratch: Scratch,
    keys: PathBuf,
}

/// How a master in this process is made, as a dictionary.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Opening {
    project: String,
    /// An address of this host, or a name that means one.
    host: String,
    /// From and to; 0 for any.
    ports: (u16, u16),
    /// Where directories of queues are.
    base: PathBuf,
    /// The directory of a project that is taken up again.
    kept: Option<PathBuf>,
    /// Where the authority is; `None` for one that lives and dies with the queue.
    keys: Option<PathBuf>,
    /// Where commands find the master.
    register: Option<PathBuf>,
    /// Addresses of the catalog's replicas, if others find it there.
    catalog: Vec<String>,
}

/// What is started below a master, as a dictionary.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Settling {
    /// The binary `muster`.
    binary: PathBuf,
    /// Foremen; with none, the workers are under the master.
    sites: u32,
    workers: u32,
    /// Of each worker.
    cores: u32,
    memory_bytes: Option<u64>,
}

#[pymethods]
impl Core {
    /// Makes a queue whose master lives in this process.
    #[staticmethod]
    fn open(py: Python<'_>, fields: Opening) -> PyResult<Core> {
        py.detach(|| open(fields))
    }

    /// Makes a queue at a master that runs elsewhere.
    #[staticmethod]
    fn connect(
        py: Python<'_>,
        address: &str,
        keys: PathBuf,
        base: PathBuf,
        patience: f64,
    ) -> PyResult<Core> {
        py.detach(|| {
            let address = resolve(address)?;
            let scratch = Scratch::fresh(&base, Fate::Removed)?;
            let patience = seconds(patience)?;
            let parts = (scratch, keys, None, None);
            Core::start(parts, address, Tenancy::Shared, patience)
        })
    }

    /// Starts foremen and workers for the master of this process.
    fn add_sites(&self, py: Python<'_>, wanted: Settling) -> PyResult<()> {
        let mut parts = self.parts()?;
        let open = parts.as_mut().ok_or_else(|| self.broken())?;
        let dir = open
            .scratch
            .path()
            .join(format!("sites-{}", open.sites.len()));
        let plan = Plan {
            binary: wanted.binary,
            dir,
            keys: open.keys.clone(),
            master: self.address,
            sites: wanted.sites,
            workers: wanted.workers,
            cores: wanted.cores,
            memory_bytes: wanted.memory_bytes,
        };
        let sites = py.detach(|| Sites::start(plan))?;
        open.sites.push(sites);
        Ok(())
    }

    /// Ends the sites that were added last.
    fn drop_sites(&self, py: Python<'_>, kill: bool) -> PyResult<()> {
        let mut parts = self.parts()?;
        let last = parts.as_mut().and_then(|open| open.sites.pop());
        drop(parts);
        if let Some(sites) = last {
            py.detach(|| sites.stop(parting(kill)));
        }
        Ok(())
    }

    /// The number of a task that will be submitted.
    fn reserve(&self) -> PyResult<u64> {
        self.here()?;
        Ok(self.shared.number())
    }

    /// Hands the task of a reserved number to the queue: its words, inputs, outputs and a note for another life. It is
    /// durable when `flush` returns.
    fn submit(
        &self,
        py: Python<'_>,
        number: u64,
        template: &Template,
        task: (Vec<String>, Vec<Input>, Vec<Output>, Option<String>),
    ) -> PyResult<()> {
        let (words, inputs, outputs, note) = task;
        self.here()?;
        let words = spec::words(&words)?;
        let (declared, landings) = spec::outputs(outputs)?;
        if inputs.len() > FILES_PER_TASK_MAX {
            return Err(bad(format!(
                "a task has at most {FILES_PER_TASK_MAX} inputs; pack them into an archive"
            )));
        }
        let (inputs, staged) = match inputs.is_empty() {
            true => (Vec::new(), Vec::new()),
            false => py.detach(|| self.stage(inputs))?,
        };
        let buffers = staged.iter().filter(|staged| staged.buffer);
        let buffers: Vec<_> = buffers.map(|staged| staged.file.digest).collect();
        let files = staged.into_iter();
        let body = TaskBody {
            words,
            inputs: inputs.into(),
            outputs: declared,
        };
        if body.weight() + template.inner.weight() > BODY_BYTES_MAX {
            self.stage_lock().let_go(buffers);
            return Err(bad(format!(
                "the task is larger than {BODY_BYTES_MAX} bytes; give it files instead of long arguments"
            )));
        }
        let pending = Box::new(Pending {
            number,
            template: Arc::clone(&template.inner),
            body,
            files: files
                .map(|staged| (staged.file.digest, staged.path))
                .collect(),
            buffers,
            landings,
            note,
        });
        self.shared.order(Order::Submit(pending)).map_err(failed)
    }

    /// Waits until all that was submitted is durable at the master.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.ask(py, Order::Flush)
    }

    /// Whether a task was handed in and has no outcome yet.
    fn holds(&self, number: u64) -> bool {
        self.shared.holds(number)
    }

    /// Waits up to `timeout` seconds for an outcome; says whether there is one. Not for a thread that signals interrupt.
    fn ready(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let patience = seconds(timeout)?;
        py.detach(|| self.shared.wait(patience)).map_err(failed)
    }

    /// Takes up to `most` outcomes of those that there are.
    fn take(&self, most: usize) -> Vec<Outcome> {
        self.shared.take(most)
    }

    /// Lets the master forget tasks, by its own numbers; 0 is none of them.
    fn accept(&self, tasks: Vec<u64>) {
        let tasks = tasks.into_iter().filter(|task| *task > 0);
        self.shared.accept(tasks.map(TaskId));
    }

    /// Tasks of an earlier life whose outcome nobody has taken.
    fn untaken(&self) -> u64 {
        self.shared.untaken()
    }

    /// Cancels tasks; returns how many had no outcome. Their outcomes say that they were cancelled.
    fn cancel(&self, py: Python<'_>, numbers: Vec<u64>) -> PyResult<u64> {
        self.ask(py, |reply| Order::Cancel(numbers, reply))
    }

    /// How things stand at the master, in JSON.
    fn status(&self, py: Python<'_>) -> PyResult<String> {
        self.ask(py, Order::Status)
    }

    /// What is known of a task, oldest first.
    fn explain(&self, py: Python<'_>, number: u64) -> PyResult<Vec<String>> {
        self.ask(py, |reply| Order::Explain(number, reply))
    }

    /// The master's address.
    #[getter]
    fn address(&self) -> (String, u16) {
        (self.address.ip().to_string(), self.address.port())
    }

    /// Ends everything; `kill`: nothing that runs is wanted.
    fn close(&self, py: Python<'_>, kill: bool) -> PyResult<()> {
        if self.here().is_err() {
            return Ok(());
        }
        let Some(parts) = self.parts()?.take() else {
            return Ok(());
        };
        py.detach(|| match kill {
            // The master first: those that live hear of its leaving at once, those that are dead never.
            true => drop((parts.line, parts.home, parts.sites, parts.scratch)),
            false => {
                for sites in parts.sites {
                    sites.stop(Parting::Ask);
                }
                drop((parts.line, parts.home, parts.scratch));
            }
        });
        Ok(())
    }
}

impl Core {
    fn start(
        (scratch, keys, home, ledger): (Scratch, PathBuf, Option<Home>, Option<PathBuf>),
        address: SocketAddr,
        tenancy: Tenancy,
        patience: Duration,
    ) -> PyResult<Core> {
        let credentials = Authority::open_or_create(&keys)
            .and_then(|authority| {
                authority.issue(&Peer {
                    role: Role::User,
                    site: "home".to_owned(),
                    // The same peer again would push out the one before.
                    name: format!("python-{}-{}", std::process::id(), wall_ms()),
                })
            })
            .map_err(|error| MusterError::new_err(error.to_string()))?;
        let stage = Arc::new(Mutex::new(Stage::new(scratch.sub("buffers")?)));
        let shared = Arc::new(Shared::default());
        let wanted = line::Wanted {
            master: Master {
                address,
                credentials: Arc::new(credentials),
                patience,
            },
            tenancy,
            streams: scratch.sub("streams")?,
            ledger,
        };
        let line = Line::start(wanted, Arc::clone(&shared), Arc::clone(&stage));
        let line = line.map_err(|error| match error {
            LineError::Client(error) => PyConnectionError::new_err(error.to_string()),
            LineError::System(error) => error.into(),
        })?;
        Ok(Core {
            shared,
            stage,
            parts: Mutex::new(Some(Parts {
                sites: Vec::new(),
                line,
                home,
                scratch,
                keys,
            })),
            address,
            pid: std::process::id(),
        })
    }

    /// Refuses in a forked child, where the threads of the queue do not exist.
    fn here(&self) -> PyResult<()> {
        if std::process::id() == self.pid {
            return Ok(());
        }
        let text = "this queue was made before a fork; a forked process makes its own";
        Err(PyRuntimeError::new_err(text))
    }

    fn parts(&self) -> PyResult<MutexGuard<'_, Option<Parts>>> {
        self.here()?;
        Ok(self.parts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stage_lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stage(&self, inputs: Vec<Input>) -> PyResult<(Vec<InputFile>, Vec<Staged>)> {
        let mut stage = self.stage_lock();
        let mut files = Vec::with_capacity(inputs.len());
        let mut all: Vec<Staged> = Vec::with_capacity(inputs.len());
        for input in inputs {
            match staged(&mut stage, input) {
                Ok((file, staged)) => {
                    files.push(file);
                    all.push(staged);
                }
                Err(error) => {
                    let buffers = all.iter().filter(|staged| staged.buffer);
                    stage.let_go(buffers.map(|staged| staged.file.digest));
                    return Err(error);
                }
            }
        }
        Ok((files, all))
    }

    fn broken(&self) -> PyErr {
        failed(self.shared.broken())
    }

    /// Gives an order and waits for its answer, obeying Ctrl-C.
    fn ask<T: Send>(&self, py: Python<'_>, order: impl FnOnce(Reply<T>) -> Order) -> PyResult<T> {
        self.here()?;
        let (reply, answer) = sync_channel(1);
        self.shared.order(order(reply)).map_err(failed)?;
        let answer = Mutex::new(answer);
        loop {
            let heard = py.detach(|| {
                let answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
                answer.recv_timeout(SLICE)
            });
            match heard {
                Ok(value) => return Ok(value),
                Err(RecvTimeoutError::Disconnected) => return Err(self.broken()),
                Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            }
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if std::process::id() != self.pid {
            // In a forked child there is nobody to wait for, and what is on the disk is the parent's.
            let parts = self.parts.get_mut().unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(parts.take());
        }
    }
}

fn open(fields: Opening) -> PyResult<Core> {
    if !is_name(&fields.project) {
        return Err(bad(format!(
            "{:?} is no name of a project: 1 to 64 of A-Z a-z 0-9 . _ -, beginning with neither - nor .",
            fields.project
        )));
    }
    let scratch = match &fields.kept {
        // Beside the master's own state, which the command `muster master` would take up as well.
        Some(path) => Scratch::kept(&path.join("python"))?,
        None => Scratch::fresh(&fields.base, Fate::Removed)?,
    };
    let keys = match fields.keys {
        Some(keys) => keys,
        None => scratch.sub("keys")?,
    };
    let (first, last) = fields.ports;
    let mut home = Err(bad("there is no port between these"));
    for port in first..=last {
        let listen = resolve(&format!("{}:{port}", fields.host))?;
        let wanted = home::Wanted {
            project: fields.project.clone(),
            listen,
            state_dir: fields
                .kept
                .clone()
                .unwrap_or_else(|| scratch.path().join("master")),
            keys_dir: keys.clone(),
            register: fields.register.clone(),
            catalog: fields.catalog.clone(),
        };
        home = Home::start(wanted).map_err(|error| PyOSError::new_err(error.to_string()));
        if home.is_ok() {
            break;
        }
    }
    let home = home?;
    let mut address = home.address();
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::from([127, 0, 0, 1]));
    }
    let ledger = fields.kept.map(|_| scratch.path().join("ledger.jsonl"));
    let parts = (scratch, keys, Some(home), ledger);
    Core::start(parts, address, Tenancy::Sole, Duration::from_secs(60))
}

/// Makes the authority that belongs to 32 secret bytes, unless `dir` has one already.
#[pyfunction]
pub fn make_authority(py: Python<'_>, dir: PathBuf, secret: &[u8]) -> PyResult<()> {
    let secret: &[u8; SECRET_BYTES] = secret
        .try_into()
        .map_err(|_| bad(format!("a secret has {SECRET_BYTES} bytes")))?;
    py.detach(|| Authority::of_secret(&dir, secret))
        .map_err(|error| MusterError::new_err(error.to_string()))?;
    Ok(())
}

/// One input as the master gets it.
fn staged(stage: &mut Stage, (source, name, kind): Input) -> PyResult<(InputFile, Staged)> {
    let name = spec::inside(&name)?;
    let wanted = spec::form(&kind)?;
    let staged = match &source {
        Source::Bytes(bytes) => stage.bytes(bytes)?,
        Source::Path(path) => stage.file(path).map_err(|error| at(path, error))?,
    };
    let input = InputFile {
        name,
        file: staged.file,
        form: wanted.unwrap_or(staged.form),
    };
    Ok((input, staged))
}

/// Python's error for a file, with its name.
fn at(path: &std::path::Path, error: std::io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(code) => {
            let text = error.to_string();
            let text = text
                .split(" (os error")
                .next()
                .unwrap_or_default()
                .to_owned();
            PyOSError::new_err((code, text, path.to_string_lossy().into_owned()))
        }
        None => std::io::Error::new(error.kind(), format!("{}: {error}", path.display())).into(),
    }
}

fn resolve(text: &str) -> PyResult<SocketAddr> {
    let resolved = text.to_socket_addrs().ok().and_then(|mut all| all.next());
    resolved.ok_or_else(|| bad(format!("{text:?} is not an address: give HOST:PORT")))
}

fn seconds(given: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(given.max(0.0))
        .map_err(|_| bad("a time is a number of seconds, and not too large"))
}

fn parting(kill: bool) -> Parting {
    if kill { Parting::Kill } else { Parting::Ask }
}

fn failed(broken: Broken) -> PyErr {
    MusterError::new_err(broken.0)
}

/// Between looks at whether Ctrl-C was pressed: too short for anybody to notice.
const SLICE: Duration = Duration::from_millis(20);
