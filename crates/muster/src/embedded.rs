//! A whole federation of child processes: a master, foremen and workers that live as long as one command.
//!
//! `muster run`, `muster demo` and the Python module stand on it, so that nobody needs a daemon to begin. The children
//! are this executable, on loopback, with keys that only this run knows and all their files in one directory. Whoever
//! dies is started again where it was, with its state; nobody outlives the parent, not even one that is killed.
//!
//! Not here: what the federation is used for, and what becomes of its directory.

use std::fs::DirBuilder;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_node::client::{Client, ClientError, Master};
use muster_node::identity::{Authority, IdentityError};
use muster_node::tasks::Tasks;
use muster_proto::{Peer, Role};
use tokio::sync::{Notify, watch};

mod catalog;
mod child;

pub use catalog::Replicas;
use child::{Child, Part};

/// What an embedded federation consists of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Foremen, each with a site of its own; with none, the workers are under the master.
    pub sites: u32,
    /// Workers in all, dealt out to the sites in turn; at least one.
    pub workers: u32,
    /// Cores of each worker.
    pub cores_per_worker: u32,
    /// Memory of each worker in bytes; `None` for all that the machine has.
    pub memory_per_worker: Option<u64>,
    /// Where everything of it is kept; made if it is not there, and open to nobody else.
    pub dir: PathBuf,
}

/// A running federation.
///
/// It must be started and kept on a current-thread runtime whose thread lives as long as the federation: the children
/// die with the thread that started them. Dropped, it kills its children; [`Federation::stop`] asks them
/// first.
#[derive(Debug)]
pub struct Federation {
    client: Client,
    household: Household,
}

/// Children that are kept alive until they are to leave. Dropped, it kills them.
#[derive(Debug)]
pub struct Household {
    leaving: watch::Sender<bool>,
    keepers: Tasks,
    /// What kills each worker.
    strikes: Vec<Arc<Notify>>,
}

/// Why there is no embedded federation.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Its directory cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    Directory {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A child could not be started.
    #[error("cannot start {name}: {source}")]
    Spawn {
        /// Which child.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A child ended, or did nothing, when it should have become ready.
    #[error("{name} did not start; it says in {}: {said}", log.display())]
    NotReady {
        /// Which child.
        name: String,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        said: String,
    },
    /// The keys of the run could not be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The master does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Federation {
    /// Starts master, foremen and workers; returns when tasks can be submitted, the workers being on their way.
    ///
    /// # Errors
    /// The directory cannot be used, or a child does not become ready.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(plan: Plan) -> Result<Federation, EmbeddedError> {
        private(&plan.dir)?;
        let keys = plan.dir.join("keys");
        let authority = Authority::open_or_create(&keys)?;
        let credentials = authority.issue(&Peer {
            role: Role::User,
            site: HOME.to_owned(),
            name: "run".to_owned(),
        })?;
        let mut household = Household::new();
        let words = ["master", "--project", "run"].map(str::to_owned);
        let mut master = Child::start(Part::new(&plan.dir, "master", words.into()).listening())?;
        let address = loopback(master.port().await?);
        household.keep(master);
        household.settle(&plan, &keys, address).await?;
        let client = Client::connect(Master {
            address,
            credentials: Arc::new(credentials),
            patience: PATIENCE,
        })
        .await?;
        Ok(Federation { client, household })
    }

    /// Kills the worker of this number, from 0, as a crash would; it is started again after [`RESTART_PAUSE`], and
    /// longer if it ends again soon.
    pub fn kill_worker(&self, n: usize) {
        if let Some(strike) = self.household.strikes.get(n) {
            strike.notify_one();
        }
    }

    /// A connection to the master.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Ends the children at once: for when nothing that they know is wanted any more.
    pub async fn kill(self) {
        self.household.kill().await;
    }

    /// Asks the children to leave, and kills those that have not left ten seconds later.
    pub async fn stop(self) {
        self.client.close().await;
        self.household.stop().await;
    }
}

impl Household {
    fn new() -> Household {
        Household {
            leaving: watch::Sender::new(false),
            keepers: Tasks::new(),
            strikes: Vec::new(),
        }
    }

    /// Starts foremen and workers below the master at `address`, vouched for by the authority in `keys`.
    ///
    /// # Errors
    /// The directory cannot be used, or a child does not become ready.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn below(
        address: SocketAddr,
        keys: &Path,
        plan: &Plan,
    ) -> Result<Household, EmbeddedError> {
        private(&plan.dir)?;
        let mut household = Household::new();
        household.settle(plan, keys, address).await?;
        Ok(household)
    }

    async fn settle(
        &mut self,
        plan: &Plan,
        keys: &Path,
        address: SocketAddr,
    ) -> Result<(), EmbeddedError> {
        let mut foremen = Vec::new();
        for site in (0..plan.sites).map(site_name) {
            let words = ["foreman", "--site", &site, "--superior"].map(str::to_owned);
            let words = words.into_iter().chain([address.to_string()]).collect();
            let part = Part::new(&plan.dir, &format!("foreman-{site}"), words);
            foremen.push((site, Child::start(part.vouched_by(keys).listening())?));
        }
        let mut superiors = Vec::new();
        for (site, mut foreman) in foremen {
            superiors.push((loopback(foreman.port().await?), site));
            self.keep(foreman);
        }
        if superiors.is_empty() {
            superiors.push((address, HOME.to_owned()));
        }
        for (n, (superior, site)) in (1..=plan.workers).zip(superiors.iter().cycle()) {
            let worker = Child::start(plan.worker(n, *superior, site).vouched_by(keys))?;
            self.strikes.push(worker.strike());
            self.keep(worker);
        }
        Ok(())
    }

    fn keep(&mut self, child: Child) {
        let kept = child.keep(self.leaving.subscribe());
        self.keepers.spawn("embedded child", kept);
    }

    /// Ends the children at once.
    pub async fn kill(mut self) {
        self.keepers.stop().await;
    }

    /// Asks the children to leave, and kills those that have not left ten seconds later.
    pub async fn stop(mut self) {
        self.leaving.send_replace(true);
        self.keepers.join().await;
    }
}

impl Plan {
    fn worker(&self, n: u32, superior: SocketAddr, site: &str) -> Part {
        let name = format!("w{n}");
        let mut words: Vec<String> = [
            "worker",
            &superior.to_string(),
            "--site",
            site,
            "--name",
            &name,
            "--cores",
            &self.cores_per_worker.to_string(),
            "--share",
            &self.dir.join(format!("share-{site}")).to_string_lossy(),
        ]
        .map(str::to_owned)
        .into();
        if let Some(memory) = self.memory_per_worker {
            words.extend(["--memory".to_owned(), memory.to_string()]);
        }
        Part::new(&self.dir, &format!("worker-{n}"), words)
    }
}

/// The name of the site with this number: `site-a` to `site-z`, then `site-27` and so on.
pub fn site_name(n: u32) -> String {
    match u8::try_from(n) {
        Ok(n) if n < 26 => format!("site-{}", char::from(b'a' + n)),
        Ok(_) | Err(_) => format!("site-{}", u64::from(n) + 1),
    }
}

fn private(dir: &Path) -> Result<(), EmbeddedError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| EmbeddedError::Directory {
            path: dir.to_owned(),
            source,
        })
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Before a child that ended is started again.
pub const RESTART_PAUSE: Duration = child::PAUSE_MIN;

/// The site of those that have none of their own.
const HOME: &str = "home";

/// When a master that was started again a few times is given up; it takes well under a second each time.
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_have_letters_as_long_as_there_are_any() {
        assert_eq!(site_name(0), "site-a");
        assert_eq!(site_name(25), "site-z");
        assert_eq!(site_name(26), "site-27");
    }
}
