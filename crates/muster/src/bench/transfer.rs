//! `muster bench transfer`: what it takes to bring contents from one store to another.
//!
//! Two ends as in the chain, each with a thread of its own: content store, mutual TLS, bulk streams, verification.
//! Beside them, in the same run, stand the same connection with nothing around it and, on a good path, TCP with TLS.

use std::path::PathBuf;

use clap::Args;
use muster_node::trial::{self, Conditions, Took, TrialError};
use muster_proto::Span;
use serde::Serialize;

use crate::error::CliError;
use crate::scratch::{Fate, scratch};
use crate::units::parse_size;

/// Options of `bench transfer`.
#[derive(Args, Debug)]
pub struct TransferArgs {
    /// Length of each file
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = parse_size)]
    bytes: u64,
    /// How many files
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    files: u32,
    /// How often; the median is told
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Milliseconds that a packet takes each way
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=10_000))]
    delay: Option<u64>,
    /// Percent of packets that are lost
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    loss: Option<f64>,
    /// Megabits per second that the path carries
    #[arg(long, value_name = "MBIT", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: Option<u64>,
    /// Where the two stores are, such as a directory in memory [default: below your state]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was measured; the contract `muster.bench.transfer/1`.
#[derive(Debug, Serialize)]
struct Measured {
    schema: &'static str,
    files: u32,
    bytes: u64,
    /// From store to store.
    contents: Speed,
    /// The same connection with nothing around it.
    bare: Speed,
    /// Of contents to bare, the median of the rounds.
    ratio: f64,
    /// TCP and TLS 1.3 on this host; absent when the path is a bad one.
    tcp_tls: Option<Speed>,
    /// Of what the path carries, if that has a limit.
    of_rate: Option<f64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Speed {
    seconds: f64,
    bytes_per_s: f64,
    /// Seconds of all processors for 10^9 bytes, both ends and the path together.
    processor_s_per_gb: f64,
}

/// Runs the bench and prints what it measured.
pub fn run(args: &TransferArgs) -> Result<(), CliError> {
    let measured = measure(args)?;
    if args.json {
        println!("{}", serde_json::json!(measured));
    } else {
        print(&measured);
    }
    Ok(())
}

fn measure(args: &TransferArgs) -> Result<Measured, CliError> {
    let conditions = args.conditions();
    let lengths = vec![args.bytes; args.files as usize];
    let bytes = args.bytes * u64::from(args.files);
    let scratch = scratch(Fate::Removed)?;
    let base = args.dir.as_deref().unwrap_or(scratch.path());
    let (mut contents, mut bare, mut tcp) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let dir = tempfile::tempdir_in(base).map_err(|error| CliError::file(base, error))?;
        contents.push(trial::contents(dir.path(), conditions, &lengths)?);
        bare.push(trial::bare(conditions, bytes)?);
        if conditions.is_none() {
            tcp.push(trial::tcp(bytes)?);
        }
    }
    let ratios = contents.iter().zip(&bare);
    let ratios = ratios.map(|(contents, bare)| bare.seconds / contents.seconds);
    let contents = speed(&contents, bytes);
    Ok(Measured {
        schema: "muster.bench.transfer/1",
        files: args.files,
        bytes,
        contents,
        bare: speed(&bare, bytes),
        ratio: median(ratios.collect()),
        tcp_tls: (!tcp.is_empty()).then(|| speed(&tcp, bytes)),
        of_rate: args
            .rate
            .map(|mbit| contents.bytes_per_s / (mbit as f64 * 125_000.0)),
    })
}

impl TransferArgs {
    /// What happens on the path, if anything does.
    fn conditions(&self) -> Option<Conditions> {
        if self.delay.is_none() && self.loss.is_none() && self.rate.is_none() {
            return None;
        }
        Some(Conditions {
            delay: Span::millis(self.delay.unwrap_or(0)),
            lost_permille: (self.loss.unwrap_or(0.0) * 10.0).round() as u32,
            bytes_per_s: self.rate.map(|mbit| mbit * 125_000),
            ..Conditions::GOOD
        })
    }
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = text.trim_end_matches('%').parse().ok();
    percent
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| "a percentage is a number from 0 to 100, in steps of 0.1".to_owned())
}

fn speed(took: &[Took], bytes: u64) -> Speed {
    let seconds = median(took.iter().map(|took| took.seconds).collect());
    let processors = median(took.iter().map(|took| took.processor_seconds).collect());
    Speed {
        seconds,
        bytes_per_s: bytes as f64 / seconds,
        processor_s_per_gb: processors * 1e9 / bytes.max(1) as f64,
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn print(measured: &Measured) {
    let line = |name: &str, speed: Speed| {
        let megabytes = speed.bytes_per_s / 1e6;
        let processor = speed.processor_s_per_gb;
        println!("{name:<22} {megabytes:>8.1} MB/s {processor:>6.2} processor s/GB");
    };
    line("store to store", measured.contents);
    line("bare connection", measured.bare);
    if let Some(tcp) = measured.tcp_tls {
        line("TCP with TLS", tcp);
    }
    println!(
        "store to store is {:.2} of the bare connection",
        measured.ratio
    );
    if let Some(of_rate) = measured.of_rate {
        println!("and {:.0} % of what the path carries", of_rate * 100.0);
    }
}

impl From<TrialError> for CliError {
    fn from(error: TrialError) -> CliError {
        CliError::Runtime(std::io::Error::other(error))
    }
}
