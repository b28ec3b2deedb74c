//! `muster bench`: what parts of Muster cost on this machine, beside what the machine can do at all.

mod catalog;
mod dispatch;
mod transfer;

use clap::Subcommand;

use crate::error::CliError;

/// Questions about speed
#[derive(Subcommand, Debug)]
pub enum Bench {
    /// Tasks per second through master, foreman and worker
    Dispatch(dispatch::DispatchArgs),
    /// Registrations and lookups per second of a catalog of some replicas
    Catalog(catalog::CatalogArgs),
    /// Bytes per second from one content store to another, over a good path or a bad one
    Transfer(transfer::TransferArgs),
}

/// Runs a bench and prints what it measured.
pub fn run(bench: &Bench) -> Result<(), CliError> {
    match bench {
        Bench::Dispatch(args) => dispatch::run(args),
        Bench::Catalog(args) => catalog::run(args),
        Bench::Transfer(args) => transfer::run(args),
    }
}
