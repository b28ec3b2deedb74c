//! The options that describe tasks, shared by `run` and `submit`.

use clap::Args;
use muster_proto::task::{Algorithm, Policy};
use muster_proto::{Resources, Span};

use crate::units::{parse_cores, parse_size, parse_span};

/// What the tasks are.
#[derive(Args, Debug)]
pub struct TaskArgs {
    /// The command, then ::: and its arguments, as GNU parallel has them
    ///
    /// A task for each argument: `::: a b` lists them, `:::: FILE` reads them from lines, a second source is crossed
    /// with the first, `:::+` and `::::+` link it instead. In the command, --input, --output and --output-dir, {}
    /// stands for the argument, {.} for it without its extension, {/} for its base name, {//} for its directory, {/.}
    /// for its base name without extension, {#} for the task's number, {1} {1.} {1/} for one of several arguments,
    /// {name} for a column of a table. Without any, the argument is appended.
    ///
    /// No shell is involved: each word stays one word. In `sh -c '... {} ...'` the argument becomes part of the shell's
    /// script exactly as it is, so quote {} there if arguments may hold spaces or quotes.
    ///
    /// An argument, or a word of the command, that names an existing file goes along by itself. A relative path is the
    /// same in the task's directory. For an absolute path, or one with `..`, {} becomes the base name, under which the
    /// file goes along. Absolute paths among the command's own words are left as they are.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(super) command: Vec<String>,
    /// A task for each number, such as 1-1000 or 0-100:5
    #[arg(long, value_name = "FIRST-LAST[:STEP]", help_heading = "Arguments")]
    pub(super) array: Option<String>,
    /// A task for each line; - is standard input
    #[arg(long, value_name = "FILE", help_heading = "Arguments")]
    pub(super) each_line: Option<String>,
    /// A task for each row; {column} by the names in the first line
    #[arg(long, value_name = "FILE", help_heading = "Arguments")]
    pub(super) from_csv: Option<String>,
    /// A file or directory that goes along, under another name if one is given
    #[arg(long = "input", value_name = "PATH[=NAME]", help_heading = "Files")]
    pub(super) inputs: Vec<String>,
    /// A tar archive, gzipped or not, that goes along and is unpacked into a directory [default: its name without .tar]
    #[arg(long, value_name = "PATH[=DIR]", help_heading = "Files")]
    pub(super) unpack: Vec<String>,
    /// A file to bring back; * ? [] match several
    #[arg(long = "output", value_name = "NAME", help_heading = "Files")]
    pub(super) outputs: Vec<String>,
    /// A file to bring back if the task has ended well
    #[arg(long, value_name = "NAME", help_heading = "Files")]
    pub(super) output_on_success: Vec<String>,
    /// A file to bring back if the task has failed, such as a core or a log
    #[arg(long, value_name = "NAME", help_heading = "Files")]
    pub(super) output_on_failure: Vec<String>,
    /// Cores of each task
    #[arg(long, default_value = "1", value_parser = parse_cores, help_heading = "Resources")]
    pub(super) cores: u32,
    /// Memory of each task
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Resources")]
    pub(super) memory: Option<u64>,
    /// Disk of each task, beyond its inputs; one that takes more is ended
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Resources")]
    pub(super) disk: Option<u64>,
    /// Graphics processors of each task
    #[arg(long, default_value_t = 0, help_heading = "Resources")]
    pub(super) gpus: u32,
    /// End a task that runs longer, as failed
    #[arg(long, value_name = "TIME", value_parser = parse_span, help_heading = "Scheduling")]
    pub(super) time_limit: Option<Span>,
    /// Greater goes first
    #[arg(
        long,
        default_value_t = 0,
        allow_negative_numbers = true,
        help_heading = "Scheduling"
    )]
    pub(super) priority: i32,
    /// Run a failed task again, this often; losing a worker is never charged
    #[arg(long, default_value_t = 0, help_heading = "Scheduling")]
    pub(super) retries: u16,
    /// Tasks of one category share run-time statistics [default: the program's name]
    #[arg(long, visible_alias = "name", help_heading = "Scheduling")]
    pub(super) category: Option<String>,
    /// Give up an attempt that runs longer than this multiple of its category's mean, and try elsewhere
    #[arg(long, value_name = "MULTIPLE", value_parser = parse_multiple, help_heading = "Scheduling")]
    pub(super) fast_abort: Option<u32>,
    /// How workers are chosen: fcfs, files, time, hosts, random or worst
    #[arg(long, value_parser = parse_algorithm, help_heading = "Scheduling")]
    pub(super) algorithm: Option<Algorithm>,
    /// Prefer this host or site; repeat it, best first
    #[arg(long, value_name = "HOST|SITE", help_heading = "Scheduling")]
    pub(super) prefer: Vec<String>,
    /// A variable of the tasks' environment
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub(super) environment: Vec<(String, String)>,
}

impl TaskArgs {
    pub(super) fn resources(&self) -> Resources {
        Resources {
            cores_milli: self.cores,
            gpus: self.gpus,
            memory_bytes: self.memory.unwrap_or(0),
            disk_bytes: self.disk.unwrap_or(0),
        }
    }

    pub(super) fn policy(&self) -> Policy {
        let preferring = match self.prefer.is_empty() {
            true => Algorithm::FirstCome,
            false => Algorithm::PreferredHosts,
        };
        Policy {
            priority: self.priority,
            retries: self.retries,
            wall_max: self.time_limit,
            fast_abort_percent: self.fast_abort,
            algorithm: self.algorithm.unwrap_or(preferring),
            preferred: self.prefer.clone(),
        }
    }
}

fn parse_algorithm(text: &str) -> Result<Algorithm, String> {
    let known = Algorithm::ALL.into_iter().find(|(_, name)| *name == text);
    known.map(|(algorithm, _)| algorithm).ok_or_else(|| {
        let names = Algorithm::ALL.map(|(_, name)| name).join(", ");
        format!("it is one of {names}")
    })
}

/// A multiple as percent; below the mean itself most attempts would be given up.
fn parse_multiple(text: &str) -> Result<u32, String> {
    let multiple = text.parse::<f64>().ok();
    multiple
        .filter(|multiple| (1.0..=1000.0).contains(multiple))
        .map(|multiple| (multiple * 100.0).round() as u32)
        .ok_or_else(|| "it is a number from 1 to 1000, such as 1.5".to_owned())
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write NAME=VALUE".to_owned())
}
