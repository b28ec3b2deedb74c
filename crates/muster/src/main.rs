//! `muster`: runs ensembles of external programs over campuses. One program is every part of it.
//!
//! Each command has its file; `error` holds what they say when they cannot, and with which exit code. Standard output
//! is data, standard error is talk.

mod bench;
mod catalog;
mod clients;
mod connect;
mod daemon;
mod delivery;
mod demo;
mod embedded;
mod ensemble;
mod error;
mod expand;
mod feed;
mod interrupt;
mod journal;
mod logging;
mod places;
mod report;
mod run;
mod scratch;
mod select;
mod sim;
mod sites;
mod submit;
mod text;
mod units;

use std::env;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::{CliError, Exit};
use logging::Voice;

/// Runs ensembles of external programs on your machine, your campus and others
#[derive(Parser, Debug)]
#[command(name = "muster", version, max_term_width = 100)]
struct Muster {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Run(Box<run::RunArgs>),
    Demo(demo::DemoArgs),
    Submit(Box<submit::SubmitArgs>),
    Wait(submit::WaitArgs),
    Status(clients::StatusArgs),
    Cancel(clients::CancelArgs),
    Explain(clients::ExplainArgs),
    Master(daemon::MasterArgs),
    Foreman(daemon::ForemanArgs),
    Worker(daemon::WorkerArgs),
    #[command(subcommand)]
    Catalog(catalog::Catalog),
    Projects(catalog::listing::ProjectsArgs),
    Sites(catalog::listing::SitesArgs),
    #[command(subcommand)]
    Bench(bench::Bench),
    #[command(subcommand)]
    Sim(sim::Sim),
    #[command(subcommand)]
    Journal(journal::Journal),
    #[command(name = "__sites", hide = true)]
    Household(sites::SitesArgs),
    /// Print the version
    Version,
}

impl Command {
    fn voice(&self) -> Voice {
        let json = match self {
            Command::Master(args) => args.standing.log_json,
            Command::Foreman(args) => args.standing.log_json,
            Command::Worker(args) => args.standing.log_json,
            Command::Catalog(command) => match command.log_json() {
                Some(json) => json,
                None => return Voice::Command,
            },
            Command::Run(_)
            | Command::Projects(_)
            | Command::Sites(_)
            | Command::Demo(_)
            | Command::Submit(_)
            | Command::Wait(_)
            | Command::Status(_)
            | Command::Cancel(_)
            | Command::Explain(_)
            | Command::Bench(_)
            | Command::Sim(_)
            | Command::Journal(_)
            | Command::Household(_)
            | Command::Version => return Voice::Command,
        };
        if json {
            Voice::DaemonJson
        } else {
            Voice::Daemon
        }
    }

    fn run(&self) -> Result<Exit, CliError> {
        match self {
            Command::Run(args) => run::run(args),
            Command::Demo(args) => demo::demo(args),
            Command::Submit(args) => submit::submit(args),
            Command::Wait(args) => submit::wait(args),
            Command::Status(args) => clients::status(args),
            Command::Cancel(args) => clients::cancel(args),
            Command::Explain(args) => clients::explain(args),
            Command::Sim(command) => sim::run(command),
            Command::Journal(command) => journal::run(command),
            Command::Version => clients::print(concat!("muster ", env!("CARGO_PKG_VERSION"), "\n")),
            Command::Master(args) => daemon::master(args).map(|()| Exit::Ok),
            Command::Foreman(args) => daemon::foreman(args).map(|()| Exit::Ok),
            Command::Worker(args) => daemon::worker(args).map(|()| Exit::Ok),
            Command::Catalog(command) => catalog::run(command),
            Command::Projects(args) => catalog::listing::projects(args),
            Command::Sites(args) => catalog::listing::sites(args),
            Command::Household(args) => sites::sites(args).map(|()| Exit::Ok),
            Command::Bench(args) => bench::run(args).map(|()| Exit::Ok),
        }
    }
}

fn main() -> ExitCode {
    // Before any thread: the mother forks wardens.
    if env::args_os()
        .nth(1)
        .is_some_and(|word| word == daemon::MOTHER)
    {
        muster_node::warden::main_mother();
    }
    let muster = Muster::parse();
    logging::begin(muster.command.voice());
    let exit = muster.command.run().unwrap_or_else(|error| {
        // It may repeat what a peer or a log said.
        let text: Vec<String> = error.to_string().lines().map(text::harmless).collect();
        eprintln!("muster: {} [{}]", text.join("\n"), error.code());
        error.exit()
    });
    ExitCode::from(exit as u8)
}
