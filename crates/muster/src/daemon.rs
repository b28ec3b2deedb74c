//! `muster master`, `muster foreman`, `muster worker`: the standing processes, but for the catalog.

use std::env;
use std::fs::{self, DirBuilder};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use muster_node::catalog::Names;
use muster_node::daemon::{
    self, Above, Common, DaemonError, Discovery, ForemanOptions, MasterOptions, ShareDir,
    WorkerOptions,
};
use muster_node::endpoint::LinkRate;
use muster_proto::Resources;
use muster_store::DirLock;

use crate::connect::CatalogArgs;
use crate::error::CliError;
use crate::places;
use crate::units::{parse_cores, parse_name, parse_size};

/// The hidden first argument of a process that makes wardens for a worker.
pub const MOTHER: &str = "__warden-mother";

/// Bytes a foreman's or worker's cache may hold beyond what is needed at the moment.
const CACHE_BYTES: u64 = 50 << 30;
/// Workers of one user on one host that find a state directory by themselves.
const WORKERS_PER_HOST_MAX: u32 = 1_024;

/// What every standing process is told.
#[derive(Args, Debug)]
pub struct Standing {
    /// Address and port to be reached at; port 0 is the one it had before, or any
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Write the port here when ready; removed at exit
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// Keep state here
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where the federation's keys are
    #[arg(long, value_name = "DIR", env = "MUSTER_KEYS")]
    keys: Option<PathBuf>,
    /// Log as JSON lines
    #[arg(long)]
    pub log_json: bool,
    /// End when the process that started this one ends
    #[arg(long, hide = true, value_name = "PID", num_args = 0..=1, require_equals = true)]
    with_parent: Option<Option<u32>>,
}

/// A standing master: owns a project's queue
#[derive(Args, Debug)]
pub struct MasterArgs {
    /// The project's name
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    project: String,
    #[command(flatten)]
    finding: Finding,
    #[command(flatten)]
    links: Links,
    #[command(flatten)]
    pub standing: Standing,
}

/// A foreman: serves masters for one site
#[derive(Args, Debug)]
pub struct ForemanArgs {
    /// The site's name
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    site: String,
    /// Masters or foremen to take work from [default: those that the catalog knows]
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',')]
    superior: Vec<String>,
    /// Serve the masters of projects that the catalog knows and whose names match this regular expression from
    /// beginning to end [default: all, unless --superior is given]
    #[arg(long, value_name = "REGEX", requires = "catalog")]
    projects: Option<Names>,
    /// Its own name [default: the one it had before, or one made of the host's]
    #[arg(long, value_parser = parse_name)]
    name: Option<String>,
    /// What its file cache may hold
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    cache: Option<u64>,
    #[command(flatten)]
    finding: Finding,
    #[command(flatten)]
    links: Links,
    #[command(flatten)]
    pub standing: Standing,
}

/// A worker: runs tasks on this host
#[derive(Args, Debug)]
pub struct WorkerArgs {
    /// The foreman or master to take work from [default: a foreman of its site, or else the master of a project that
    /// the catalog knows]
    #[arg(value_name = "ADDR:PORT")]
    superior: Option<String>,
    #[command(flatten)]
    catalog: CatalogArgs,
    /// If its site has no foreman, work for a project whose name matches this regular expression from beginning to
    /// end [default: any]
    #[arg(
        long,
        value_name = "REGEX",
        requires = "catalog",
        conflicts_with = "superior"
    )]
    project: Option<Names>,
    /// The site it is at
    #[arg(long, value_name = "NAME", default_value = "home", value_parser = parse_name)]
    site: String,
    /// Its own name [default: the one it had before, or one made of the host's]
    #[arg(long, value_parser = parse_name)]
    name: Option<String>,
    /// Cores to use [default: all]
    #[arg(long, value_parser = parse_cores)]
    cores: Option<u32>,
    /// Memory to use [default: all]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Disk to use [default: 100 GB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    disk: Option<u64>,
    /// Graphics processors to use
    #[arg(long, default_value_t = 0)]
    gpus: u32,
    /// What its file cache may hold
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    cache: Option<u64>,
    /// Share what it fetches with other workers of this host, through this directory; `none`: do not
    /// [default: one of the user's in the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    #[command(flatten)]
    links: Links,
    #[command(flatten)]
    pub standing: Standing,
}

/// How much of its links a standing process takes.
#[derive(Args, Clone, Copy, Debug)]
struct Links {
    /// Most bytes of files per second over each of its links, each way; links of a foreman to its workers have no limit
    /// [default: none]
    #[arg(long, value_name = "SIZE", value_parser = parse_rate)]
    link_rate: Option<LinkRate>,
}

impl Links {
    /// What the process is told, with its limit.
    fn limit(self, common: Common) -> Common {
        Common {
            link_rate: self.link_rate,
            ..common
        }
    }
}

fn parse_rate(text: &str) -> Result<LinkRate, String> {
    let least = LinkRate::MIN / 1024;
    LinkRate::new(parse_size(text)?).ok_or_else(|| format!("the least is {least}K a second"))
}

/// Where a standing process finds others, and is found.
#[derive(Args, Debug)]
struct Finding {
    #[command(flatten)]
    catalog: CatalogArgs,
    /// What to tell others of where this process can be reached [default: what the system says]
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',')]
    advertise: Vec<String>,
}

impl Finding {
    fn discovery(&self) -> Option<Discovery> {
        self.catalog.replicas().map(|catalog| Discovery {
            catalog,
            advertise: self.advertise.clone(),
        })
    }
}

impl Standing {
    /// Where state is kept: as it was said, or at `usual`.
    pub fn state_dir(
        &self,
        usual: impl FnOnce() -> Result<PathBuf, CliError>,
    ) -> Result<PathBuf, CliError> {
        self.state_dir.clone().map_or_else(usual, Ok)
    }

    /// What the process is told, if it listens at `listen` unless it is told otherwise.
    pub fn common(
        &self,
        state_dir: PathBuf,
        listen: Option<SocketAddr>,
    ) -> Result<Common, CliError> {
        if let Some(parent) = self.with_parent {
            follow_parent(parent)?;
        }
        Ok(Common {
            state_dir,
            keys_dir: self.keys.clone().map_or_else(places::keys, Ok)?,
            listen: self.listen.or(listen),
            port_file: self.port_file.clone(),
            link_rate: None,
        })
    }
}

/// Arranges that this process dies with its parent, and is not alive if `parent` is already gone.
///
/// # Errors
/// The system refuses.
pub fn follow_parent(parent: Option<u32>) -> Result<(), CliError> {
    let killed =
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    killed.map_err(|errno| CliError::Daemon(DaemonError::System(errno.into())))?;
    let is = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent.is_some_and(|wanted| is != Some(wanted)) {
        std::process::exit(0);
    }
    Ok(())
}

/// Runs a master until it is told to leave.
pub fn master(args: &MasterArgs) -> Result<(), CliError> {
    let state = places::state()?;
    let projects = state.join("projects");
    let state_dir = args
        .standing
        .state_dir
        .clone()
        .unwrap_or_else(|| state.join("masters").join(&args.project));
    // A master of an embedded federation is nobody else's business.
    let register = match args.standing.with_parent {
        Some(_) => None,
        None => {
            fs::create_dir_all(&projects).map_err(|source| CliError::file(&projects, source))?;
            Some(projects.join(&args.project))
        }
    };
    let common = args.standing.common(
        state_dir,
        Some(SocketAddr::from(([0, 0, 0, 0], MASTER_PORT))),
    )?;
    let common = args.links.limit(common);
    daemon::run_master(&MasterOptions {
        common,
        project: args.project.clone(),
        register,
        discovery: args.finding.discovery(),
    })?;
    Ok(())
}

/// Runs a foreman until it is told to leave.
pub fn foreman(args: &ForemanArgs) -> Result<(), CliError> {
    if args.superior.is_empty() && args.finding.catalog.replicas().is_none() {
        let how = "--superior ADDR:PORT";
        return Err(CliError::NoSuperior { how });
    }
    let state_dir = match &args.standing.state_dir {
        Some(dir) => dir.clone(),
        None => places::state()?.join("foremen").join(&args.site),
    };
    let listen = SocketAddr::from(([0, 0, 0, 0], FOREMAN_PORT));
    let common = args.standing.common(state_dir, Some(listen))?;
    let common = args.links.limit(common);
    daemon::run_foreman(&ForemanOptions {
        common,
        site: args.site.clone(),
        name: args.name.clone(),
        superiors: args
            .superior
            .iter()
            .map(|text| resolve(text))
            .collect::<Result<_, _>>()?,
        discovery: args.finding.discovery().map(|discovery| {
            let projects = match &args.projects {
                Some(projects) => Some(projects.clone()),
                None => args.superior.is_empty().then(Names::all),
            };
            (discovery, projects)
        }),
        cache_bytes_max: args.cache.unwrap_or(CACHE_BYTES),
    })?;
    Ok(())
}

/// Runs a worker until it is told to leave.
pub fn worker(args: &WorkerArgs) -> Result<(), CliError> {
    let state_dir = match &args.standing.state_dir {
        Some(dir) => dir.clone(),
        None => free_worker_dir()?,
    };
    let executable = env::current_exe().map_err(DaemonError::System)?;
    let mut mother = Command::new(executable);
    mother.arg(MOTHER);
    let shape = Resources {
        cores_milli: args.cores.unwrap_or_else(host_cores_milli),
        gpus: args.gpus,
        memory_bytes: args.memory.unwrap_or_else(host_memory_bytes),
        disk_bytes: args.disk.unwrap_or(DISK_BYTES),
    };
    daemon::run_worker(WorkerOptions {
        common: args.links.limit(args.standing.common(state_dir, None)?),
        site: args.site.clone(),
        name: args.name.clone(),
        superior: match &args.superior {
            Some(superior) => Above::At(resolve(superior)?),
            None => {
                let discovery = Discovery {
                    catalog: args.catalog.replicas().ok_or(CliError::NoSuperior {
                        how: "the ADDR:PORT of a foreman or master",
                    })?,
                    advertise: Vec::new(),
                };
                Above::Found(discovery, args.project.clone().unwrap_or_else(Names::all))
            }
        },
        shape,
        cache_bytes_max: args.cache.unwrap_or(CACHE_BYTES),
        share_dir: match &args.share {
            None => Some(ShareDir::OfUser),
            Some(dir) if dir.as_os_str() == "none" => None,
            Some(dir) => Some(ShareDir::At(dir.clone())),
        },
        mother,
    })?;
    Ok(())
}

/// The address that `text` names: the first one its host has.
fn resolve(text: &str) -> Result<SocketAddr, CliError> {
    let resolved = text
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next());
    resolved.ok_or_else(|| CliError::NoAddress {
        text: text.to_owned(),
    })
}

/// The first state directory of this user's workers that no living worker has; its cache is used again.
fn free_worker_dir() -> Result<PathBuf, CliError> {
    let workers = places::state()?.join("workers");
    for n in 1..=WORKERS_PER_HOST_MAX {
        let dir = workers.join(n.to_string());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(|source| CliError::file(&dir, source))?;
        if DirLock::acquire(&dir).is_ok() {
            return Ok(dir);
        }
    }
    Err(CliError::TooManyWorkers)
}

fn host_cores_milli() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    u32::try_from(cores)
        .unwrap_or(u32::MAX)
        .saturating_mul(1_000)
}

fn host_memory_bytes() -> u64 {
    let pages = rustix::system::sysinfo();
    pages.totalram.saturating_mul(u64::from(pages.mem_unit))
}

/// The port of Work Queue's family, where its users look for a master.
const MASTER_PORT: u16 = 9123;
/// Next to it.
const FOREMAN_PORT: u16 = 9124;
/// A promise that is kept by nobody yet; large enough to be no obstacle.
const DISK_BYTES: u64 = 100 << 30;
