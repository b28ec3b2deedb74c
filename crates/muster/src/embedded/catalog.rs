//! A catalog of child processes.

use std::path::Path;

use muster_node::identity::Authority;
use muster_node::tasks::Tasks;
use tokio::sync::watch;

use super::child::{Child, Part};
use super::{EmbeddedError, loopback, private};

/// The replicas of a catalog, on loopback; the rules for a [`Federation`](super::Federation) hold here too.
#[derive(Debug)]
pub struct Replicas {
    /// Where they are.
    pub addresses: Vec<String>,
    /// Who may issue identities that they let in.
    pub authority: Authority,
    leaving: watch::Sender<bool>,
    keepers: Tasks,
}

impl Replicas {
    /// Starts `count` replicas with everything in `dir`; the others join the first.
    ///
    /// # Errors
    /// The directory cannot be used, or a child does not become ready.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(dir: &Path, count: u32) -> Result<Replicas, EmbeddedError> {
        private(dir)?;
        let authority = Authority::open_or_create(&dir.join("keys"))?;
        let (leaving, left) = watch::channel(false);
        let mut replicas = Replicas {
            addresses: Vec::new(),
            authority,
            leaving,
            keepers: Tasks::new(),
        };
        for n in 1..=count {
            let name = format!("catalog-{n}");
            let words = ["catalog", "start", "--name", &name];
            let mut words: Vec<String> = words.map(str::to_owned).into();
            if let Some(first) = replicas.addresses.first() {
                words.extend(["--join".to_owned(), first.clone()]);
            }
            let mut child = Child::start(Part::new(dir, &name, words).listening())?;
            let address = loopback(child.port().await?);
            replicas.addresses.push(address.to_string());
            let kept = child.keep(left.clone());
            replicas.keepers.spawn("embedded replica", kept);
        }
        Ok(replicas)
    }

    /// Asks all of them to leave, and waits until they have.
    pub async fn stop(mut self) {
        self.leaving.send_replace(true);
        self.keepers.join().await;
    }
}
