//! What Python says about a task, as words of the protocol.

use std::path::PathBuf;
use std::sync::Arc;

use muster_proto::limits::{
    BODY_BYTES_MAX, ENVIRONMENT_MAX, FILES_PER_TASK_MAX, PREFERRED_MAX, TEXT_BYTES_MAX,
};
use muster_proto::task::{self, Algorithm, Command, Form, Need, OutputFile, Policy, When, Words};
use muster_proto::{RelPath, Resources, Span};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// What many tasks have in common. Equal ones should be one object: tasks are sent in groups of one template.
#[pyclass(frozen, module = "muster._core")]
#[derive(Debug)]
pub struct Template {
    pub inner: Arc<task::Template>,
}

/// The fields of a template, as a dictionary.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Fields {
    /// What starts the server whose calls the tasks are; `None` for programs of their own.
    server: Option<Vec<String>>,
    environment: Vec<(String, String)>,
    cores_milli: u32,
    gpus: u32,
    memory_bytes: u64,
    disk_bytes: u64,
    priority: i32,
    retries: u16,
    wall_us: Option<u64>,
    fast_abort_percent: Option<u32>,
    algorithm: String,
    preferred: Vec<String>,
    category: String,
}

#[pymethods]
impl Template {
    #[new]
    fn new(fields: Fields) -> PyResult<Template> {
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|(_, name)| *name == fields.algorithm);
        let Some((algorithm, _)) = algorithm else {
            let names = Algorithm::ALL.map(|(_, name)| name).join(", ");
            return Err(bad(format!("algorithm is one of {names}")));
        };
        check(&fields)?;
        let command = match &fields.server {
            Some(server) => Command::Call(words(server)?),
            // Every task brings words of its own.
            None => Command::Exec(words(&["/bin/true".to_owned()])?),
        };
        let inner = task::Template {
            command,
            environment: fields.environment,
            inputs: Vec::new(),
            outputs: Vec::new(),
            resources: Resources {
                cores_milli: fields.cores_milli,
                gpus: fields.gpus,
                memory_bytes: fields.memory_bytes,
                disk_bytes: fields.disk_bytes,
            },
            policy: Policy {
                priority: fields.priority,
                retries: fields.retries,
                wall_max: fields.wall_us.map(Span),
                fast_abort_percent: fields.fast_abort_percent,
                algorithm,
                preferred: fields.preferred,
            },
            category: fields.category,
        };
        let inner = Arc::new(inner);
        if inner.weight() > BODY_BYTES_MAX / 2 {
            return Err(bad("the environment is too large; give it as a file"));
        }
        Ok(Template { inner })
    }
}

/// Refuses what a master would close its link for.
fn check(fields: &Fields) -> PyResult<()> {
    let pairs = fields.environment.iter();
    let long = |text: &String| text.len() > TEXT_BYTES_MAX;
    if fields.environment.len() > ENVIRONMENT_MAX || fields.preferred.len() > PREFERRED_MAX {
        return Err(bad(format!(
            "a task has at most {ENVIRONMENT_MAX} variables and {PREFERRED_MAX} preferred hosts"
        )));
    }
    if pairs.clone().any(|(name, value)| long(name) || long(value)) || long(&fields.category) {
        return Err(bad(format!(
            "a variable or category has at most {TEXT_BYTES_MAX} bytes; give longer texts as files"
        )));
    }
    for (name, value) in pairs {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(bad(format!(
                "{name:?} cannot be set: a variable's name has no '=' and no part of it a NUL"
            )));
        }
    }
    Ok(())
}

/// Where the contents of an input come from.
#[derive(FromPyObject)]
pub enum Source {
    /// From memory.
    #[pyo3(transparent)]
    Bytes(pyo3::pybacked::PyBackedBytes),
    /// From a file.
    #[pyo3(transparent)]
    Path(PathBuf),
}

/// An input: its source, its name in the sandbox, and what it is there (`data`, `program`, `archive`, or `auto`).
pub type Input = (Source, String, String);

/// An output: its name in the sandbox, where it goes (`None`: only its name is told), whether it must be there, and
/// after which ends it is brought (`always`, `success`, `failure`).
pub type Output = (String, Option<PathBuf>, bool, String);

/// Where an output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landing {
    /// Its name or pattern in the sandbox.
    pub name: String,
    /// Its path here.
    pub path: Option<PathBuf>,
    /// Whether its absence is a failure.
    pub required: bool,
}

/// The form of an input that is asked for by `name`; `None` for `auto`.
///
/// # Errors
/// There is no such form.
pub fn form(name: &str) -> PyResult<Option<Form>> {
    match name {
        "auto" => Ok(None),
        "data" => Ok(Some(Form::Data)),
        "program" => Ok(Some(Form::Program)),
        "archive" => Ok(Some(Form::Archive)),
        _ => Err(bad(format!(
            "{name:?} is no form of an input: auto, data, program or archive"
        ))),
    }
}

/// A name in the sandbox.
///
/// # Errors
/// Says what is wrong with it.
pub fn inside(text: &str) -> PyResult<RelPath> {
    let parts = text.split('/').filter(|part| !matches!(*part, "" | "."));
    let plain = match text.starts_with('/') {
        true => text.to_owned(),
        false => parts.collect::<Vec<_>>().join("/"),
    };
    RelPath::new(&plain)
        .map_err(|why| bad(format!("{text:?} cannot be a name in a sandbox: {why}")))
}

/// The words of a command line.
///
/// # Errors
/// They are none.
pub fn words(list: &[String]) -> PyResult<Words> {
    if list.first().is_none_or(String::is_empty) {
        return Err(bad("a task needs a command"));
    }
    Words::new(list).map_err(|why| bad(format!("{why}; give it a file instead")))
}

/// What is declared of outputs, and where they go.
///
/// # Errors
/// A name cannot be one in a sandbox.
pub fn outputs(list: Vec<Output>) -> PyResult<(Box<[OutputFile]>, Vec<Landing>)> {
    if list.len() > FILES_PER_TASK_MAX {
        return Err(bad(format!(
            "a task has at most {FILES_PER_TASK_MAX} outputs; name a directory"
        )));
    }
    let mut declared = Vec::with_capacity(list.len());
    let mut landings = Vec::with_capacity(list.len());
    for (text, path, required, when) in list {
        let name = inside(&text)?;
        let when = match when.as_str() {
            "always" => When::Always,
            "success" => When::Success,
            "failure" => When::Failure,
            _ => return Err(bad(format!("{when:?} is not always, success or failure"))),
        };
        let required = required && when != When::Failure && !text.contains(['*', '?', '[']);
        landings.push(Landing {
            name: name.as_str().to_owned(),
            path,
            required: required && when == When::Always,
        });
        let need = if required {
            Need::Required
        } else {
            Need::Optional
        };
        declared.push(OutputFile { name, need, when });
    }
    Ok((declared.into(), landings))
}

/// Python's `ValueError`.
pub fn bad(text: impl Into<String>) -> PyErr {
    PyValueError::new_err(text.into())
}
