//! What a command says when it cannot do what it was asked: one sentence, a code, an exit code.

use std::io;
use std::path::{Path, PathBuf};

use muster_node::catalog::AskError;
use muster_node::client::ClientError;
use muster_node::daemon::DaemonError;
use muster_node::identity::IdentityError;
use muster_proto::machine::BadRecord;
use muster_store::JournalError;

use crate::embedded::EmbeddedError;
use crate::ensemble::EnsembleError;
use crate::sim::SimError;

/// How a command ended, as scripts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything went well.
    Ok = 0,
    /// Some task failed, or the command did.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The other side cannot be reached, or does not allow it.
    Unreachable = 3,
    /// It took longer than it was given; for a journal: it is damaged.
    TimedOut = 4,
    /// Tasks were cancelled.
    Cancelled = 5,
    /// The releases do not match.
    Version = 6,
    /// Nothing here can ever run this.
    Impossible = 7,
    /// More tasks failed than `--max-fails` allows.
    MaxFails = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

/// Why a command cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// There is no home directory to keep anything in.
    #[error("there is no home directory: set HOME, or MUSTER_KEYS and MUSTER_STATE")]
    NoHome,
    /// A file or directory of the user's cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A text names no address.
    #[error("{text:?} is not an address: give HOST:PORT, such as campus.example.org:9123")]
    NoAddress {
        /// The text.
        text: String,
    },
    /// Every state directory for workers is taken.
    #[error("too many workers of yours run on this host; give this one a --state-dir")]
    TooManyWorkers,
    /// A daemon could not start, or ended by itself.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The embedded federation could not start.
    #[error("the embedded federation cannot start: {0}")]
    Embedded(#[from] EmbeddedError),
    /// A master could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There are no keys.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// What was to be printed has no form in JSON.
    #[error("cannot print JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// The ensemble makes no sense, or a file of it cannot be used.
    #[error(transparent)]
    Ensemble(#[from] EnsembleError),
    /// This machine is too small.
    #[error(
        "a task needs {needs}, and this machine has {has}: ask for less, or use --on with larger workers"
    )]
    Impossible {
        /// What a task needs.
        needs: String,
        /// What there is.
        has: String,
    },
    /// No master of this project is known.
    #[error(
        "no master of project {name} runs under your name on this host: start one with muster master --project {name}, or give --master ADDR:PORT or --catalog ADDR:PORT"
    )]
    NoProject {
        /// The project.
        name: String,
    },
    /// No project was named, and there is not exactly one.
    #[error(
        "which project? Give --project NAME or --master ADDR:PORT{}",
        known_projects(known)
    )]
    WhichProject {
        /// Those that are known.
        known: Vec<String>,
    },
    /// A text selects no tasks.
    #[error("{text:?} selects no tasks: write 5, 1-10, 1-10:2, 1,3, all or last")]
    Selector {
        /// The text.
        text: String,
    },
    /// A text is neither the number of one task nor a file.
    #[error(
        "{text:?} is neither a task nor a file: write 17 or t17, a path, or a digest of 64 digits"
    )]
    OneTask {
        /// The text.
        text: String,
    },
    /// Nothing was submitted from here yet.
    #[error("nothing was submitted to {name} from here, so there is no last")]
    NoLast {
        /// The project or address.
        name: String,
    },
    /// Nobody said where the catalog is.
    #[error("where is the catalog? Give --catalog ADDR:PORT, or set MUSTER_CATALOG")]
    NoCatalog,
    /// Nobody said whom to take work from.
    #[error(
        "from whom is work to be taken? Give --catalog ADDR:PORT, set MUSTER_CATALOG, or give {how}"
    )]
    NoSuperior {
        /// What else can be given.
        how: &'static str,
    },
    /// The catalog could not be asked, or would not.
    #[error(transparent)]
    Catalog(#[from] AskError),
    /// The catalog does not know this project.
    #[error(
        "no project {name} is registered with the catalog; muster projects lists those that are"
    )]
    NotRegistered {
        /// The project.
        name: String,
    },
    /// A text does not name one replica.
    #[error("{text:?} is not one replica of the catalog; muster catalog members lists them")]
    NoMember {
        /// The text.
        text: String,
    },
    /// A text is no weight.
    #[error("{text:?} is no weight: give a number from 0.001 to 1000000")]
    NoWeight {
        /// The text.
        text: String,
    },
    /// A file is no snapshot of a catalog.
    #[error("{} is no snapshot of a catalog that this release can read", path.display())]
    NoSnapshot {
        /// Which.
        path: PathBuf,
    },
    /// The system does not give what a command needs to run.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    /// A journal holds what this release cannot read.
    #[error("record {record} of {}: {source}", path.display())]
    Record {
        /// The journal.
        path: PathBuf,
        /// The record's number.
        record: u64,
        /// What is wrong with it.
        source: BadRecord,
    },
    /// A journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is nothing to simulate or to compare.
    #[error(transparent)]
    Sim(#[from] SimError),
}

impl CliError {
    /// `source` happened to the file or directory `path`.
    pub fn file(path: &Path, source: io::Error) -> CliError {
        CliError::File {
            path: path.to_owned(),
            source,
        }
    }

    /// The code under which `docs/errors` explains it.
    pub fn code(&self) -> &'static str {
        match self {
            CliError::NoHome => "MU0101",
            CliError::File { .. } => "MU0102",
            CliError::NoAddress { .. } => "MU0103",
            CliError::TooManyWorkers => "MU0201",
            CliError::Daemon(_) => "MU0202",
            CliError::Embedded(_) => "MU0203",
            CliError::Client(error) => client_code(error),
            CliError::Identity(_) => "MU0104",
            CliError::Json(_) => "MU0106",
            CliError::Runtime(_) => "MU0107",
            CliError::NoProject { .. } => "MU0309",
            CliError::WhichProject { .. } => "MU0310",
            CliError::Selector { .. } | CliError::OneTask { .. } => "MU0311",
            CliError::NoLast { .. } => "MU0312",
            CliError::Impossible { .. } => "MU0501",
            CliError::Ensemble(error) => ensemble_code(error),
            CliError::Journal(_) => "MU0401",
            CliError::Record { .. } => "MU0402",
            CliError::Sim(error) => error.code(),
            CliError::NoCatalog => "MU0701",
            CliError::NoSuperior { .. } => "MU0714",
            CliError::Catalog(error) => ask_code(error),
            CliError::NotRegistered { .. } => "MU0710",
            CliError::NoMember { .. } => "MU0711",
            CliError::NoSnapshot { .. } => "MU0712",
            CliError::NoWeight { .. } => "MU0713",
        }
    }

    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        match self {
            CliError::NoAddress { .. }
            | CliError::WhichProject { .. }
            | CliError::Selector { .. }
            | CliError::OneTask { .. }
            | CliError::NoLast { .. }
            | CliError::NoCatalog
            | CliError::NoSuperior { .. }
            | CliError::NoMember { .. }
            | CliError::NoWeight { .. }
            | CliError::Ensemble(_)
            | CliError::Sim(_) => Exit::Usage,
            CliError::NoProject { .. } | CliError::NotRegistered { .. } => Exit::Unreachable,
            // For a store of keys: whether it was done is not known.
            CliError::Catalog(AskError::Unknown) => Exit::Unreachable,
            CliError::Impossible { .. } => Exit::Impossible,
            CliError::Client(error) => client_exit(error),
            CliError::Journal(_) | CliError::Record { .. } => Exit::TimedOut,
            CliError::NoHome
            | CliError::Catalog(_)
            | CliError::NoSnapshot { .. }
            | CliError::Json(_)
            | CliError::Runtime(_)
            | CliError::File { .. }
            | CliError::TooManyWorkers
            | CliError::Daemon(_)
            | CliError::Embedded(_)
            | CliError::Identity(_) => Exit::Failed,
        }
    }
}

fn ensemble_code(error: &EnsembleError) -> &'static str {
    match error {
        EnsembleError::Sources(_) => "MU0502",
        EnsembleError::Words { .. } => "MU0503",
        EnsembleError::File { .. } => "MU0504",
        EnsembleError::Name { .. } => "MU0505",
        EnsembleError::SameName { .. } => "MU0506",
        EnsembleError::SharedOutput { .. } => "MU0507",
    }
}

fn ask_code(error: &AskError) -> &'static str {
    match error {
        AskError::Unreachable(_) => "MU0702",
        AskError::NoQuorum => "MU0703",
        AskError::Busy => "MU0704",
        AskError::Unknown => "MU0705",
        AskError::Compacted { .. } => "MU0706",
        AskError::Unfit => "MU0707",
        AskError::Refused(_) => "MU0708",
        AskError::Senseless => "MU0709",
    }
}

fn known_projects(known: &[String]) -> String {
    match known {
        [] => "; no master of yours runs on this host".to_owned(),
        known => format!("; there are {}", known.join(", ")),
    }
}

fn client_code(error: &ClientError) -> &'static str {
    match error {
        ClientError::Unreachable { .. } => "MU0301",
        ClientError::Refused { .. } => "MU0302",
        ClientError::Version { .. } => "MU0303",
        ClientError::NotTaken(_) => "MU0304",
        ClientError::TooLarge { .. } => "MU0305",
        ClientError::File { .. } => "MU0102",
        ClientError::InputChanged { .. } => "MU0306",
        ClientError::Absent { .. } => "MU0307",
        ClientError::Transfer(_) => "MU0308",
    }
}

fn client_exit(error: &ClientError) -> Exit {
    match error {
        ClientError::Unreachable { .. } | ClientError::Refused { .. } => Exit::Unreachable,
        ClientError::Version { .. } => Exit::Version,
        ClientError::NotTaken(_)
        | ClientError::TooLarge { .. }
        | ClientError::File { .. }
        | ClientError::InputChanged { .. }
        | ClientError::Absent { .. }
        | ClientError::Transfer(_) => Exit::Failed,
    }
}
