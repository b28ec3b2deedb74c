//! `muster __sites`: the foremen and workers of a federation whose master lives in another program.
//!
//! The Python module has its master in its own process and starts this one beside it. It keeps foremen and workers
//! alive, and they die with it, as it dies with the program that started it. Its standard input tells it to leave: at
//! the end it asks its children to, after the word `kill` it does not ask.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::sync::oneshot;

use crate::daemon::follow_parent;
use crate::embedded::{Household, Plan};
use crate::error::CliError;
use crate::interrupt::Interrupt;

/// What is wanted.
#[derive(Args, Debug)]
pub struct SitesArgs {
    /// The master's address
    #[arg(long)]
    superior: SocketAddr,
    /// Where everything is kept
    #[arg(long)]
    dir: PathBuf,
    /// Where the authority is
    #[arg(long)]
    keys: PathBuf,
    /// Foremen
    #[arg(long)]
    sites: u32,
    /// Workers in all
    #[arg(long)]
    workers: u32,
    /// Cores of each worker
    #[arg(long)]
    cores: u32,
    /// Memory of each worker in bytes
    #[arg(long)]
    memory_bytes: Option<u64>,
    /// The process it ends with
    #[arg(long)]
    with_parent: u32,
}

/// Keeps the sites until told to leave.
pub fn sites(args: &SitesArgs) -> Result<(), CliError> {
    follow_parent(Some(args.with_parent))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    runtime.block_on(async {
        let mut interrupt = Interrupt::listen().map_err(CliError::Runtime)?;
        let plan = Plan {
            sites: args.sites,
            workers: args.workers,
            cores_per_worker: args.cores,
            memory_per_worker: args.memory_bytes,
            dir: args.dir.clone(),
        };
        let household = Household::below(args.superior, &args.keys, &plan).await?;
        println!("ready");
        let kill = tokio::select! {
            kill = told() => kill,
            () = interrupt.asked() => false,
        };
        if kill {
            household.kill().await;
            return Ok(());
        }
        tokio::select! {
            () = household.stop() => {}
            // Whoever asks twice does not want to wait; the children die with this process.
            () = interrupt.asked() => {}
        }
        Ok(())
    })
}

/// Waits for the end of standard input; says whether the children are to be killed.
async fn told() -> bool {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        // What cannot be read has ended.
        let _read = std::io::stdin().lock().take(16).read_to_string(&mut text);
        // Nobody listens once a signal has said the same.
        tell.send(text.trim() == "kill").ok();
    });
    told.await.unwrap_or(false)
}
