//! A master in this process, on a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use muster_node::daemon::{Common, DaemonError, Discovery, MasterOptions, host_master};
use tokio::sync::oneshot;

/// A running master. Dropped, it is told to leave and waited for.
#[derive(Debug)]
pub struct Home {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What a master is told.
#[derive(Debug)]
pub struct Wanted {
    /// The project whose queue it owns.
    pub project: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its state directory.
    pub state_dir: PathBuf,
    /// Where its authority is.
    pub keys_dir: PathBuf,
    /// Where its address is written for this user's commands.
    pub register: Option<PathBuf>,
    /// Addresses of the catalog's replicas; none: it is not to be found there.
    pub catalog: Vec<String>,
}

impl Home {
    /// Starts a master; returns when it can be reached.
    ///
    /// # Errors
    /// It cannot start.
    pub fn start(wanted: Wanted) -> Result<Home, DaemonError> {
        let options = MasterOptions {
            common: Common {
                state_dir: wanted.state_dir,
                keys_dir: wanted.keys_dir,
                listen: Some(wanted.listen),
                port_file: None,
                link_rate: None,
            },
            project: wanted.project,
            register: wanted.register,
            discovery: (!wanted.catalog.is_empty()).then(|| Discovery {
                catalog: wanted.catalog,
                advertise: Vec::new(),
            }),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new().name("muster-home".to_owned());
        let thread = thread.spawn(move || {
            let ready = tell.clone();
            let stopped = async {
                // It is dropped only by a program that is ending.
                stopped.await.ok();
            };
            let ended = host_master(&options, stopped, |address| {
                // Whoever started it waits.
                ready.send(Ok(address)).ok();
            });
            if let Err(error) = ended {
                tracing::error!(%error, "the master ended");
                tell.send(Err(error)).ok();
            }
        });
        let thread = thread.map_err(DaemonError::System)?;
        let gone = || DaemonError::System(io::ErrorKind::BrokenPipe.into());
        let address = told.recv().map_err(|_| gone())??;
        Ok(Home {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it can be reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic has been reported.
            thread.join().ok();
        }
    }
}
