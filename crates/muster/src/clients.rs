//! Commands that talk to a standing master: status, cancel, explain.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use muster_node::client::Client;
use muster_node::report;
use muster_proto::Digest;
use muster_proto::wire::{SiteStatus, StatusReply, Subject};

use crate::connect::{MasterArgs, SOON, runtime};
use crate::error::{CliError, Exit};
use crate::select::{self, Selector};
use crate::text::{amount, harmless};

/// How things stand at a master
#[derive(Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    master: MasterArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Cancel tasks that have not ended
#[derive(Args, Debug)]
pub struct CancelArgs {
    /// Which: 5, 1-10, 1-10:2, 1,3, all or last
    selector: String,
    #[command(flatten)]
    master: MasterArgs,
}

/// Why a task is not running and all that happened to it, or where a file is and who needs it
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// A task, such as 17 or t17; a file, which is read; or a digest of 64 hexadecimal digits
    #[arg(value_name = "TASK|FILE|DIGEST")]
    subject: String,
    #[command(flatten)]
    master: MasterArgs,
}

/// Prints how things stand.
pub fn status(args: &StatusArgs) -> Result<Exit, CliError> {
    let project = args.master.name()?;
    let status = with_client(&args.master, async |client| Ok(client.status().await?))?;
    let text = match args.json {
        true => format!(
            "{}\n",
            report::status(args.master.project_name().as_deref(), &status)
        ),
        false => status_table(&project, &status),
    };
    print(&text)
}

/// Cancels tasks and prints how many there were.
pub fn cancel(args: &CancelArgs) -> Result<Exit, CliError> {
    let selector = Selector::parse(&args.selector)?;
    let ranges = selector.ranges(&args.master.name()?)?;
    let count = with_client(&args.master, async |client| {
        Ok(client.cancel(ranges).await?)
    })?;
    print(&format!("{count}\n"))
}

/// Prints what is known of a task or a file.
pub fn explain(args: &ExplainArgs) -> Result<Exit, CliError> {
    let subject = subject(&args.subject)?;
    let lines = with_client(&args.master, async |client| {
        Ok(client.explain(subject).await?)
    })?;
    let mut text = match subject {
        Subject::Task(_) => String::new(),
        Subject::File(digest) => format!("{digest}\n"),
    };
    for line in &lines {
        text += &format!("{}\n", harmless(line));
    }
    print(&text)
}

/// What is asked about. A number is a task, even where a file has that name; `./17` is the file.
fn subject(text: &str) -> Result<Subject, CliError> {
    if let Some(task) = select::task(text) {
        return Ok(Subject::Task(task));
    }
    if let Ok(digest) = text.parse() {
        return Ok(Subject::File(digest));
    }
    let unknown = || CliError::OneTask {
        text: text.to_owned(),
    };
    let path = Path::new(text);
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) | Err(_) => return Err(unknown()),
    }
    let digest = digest_of(path).map_err(|source| CliError::file(path, source))?;
    Ok(Subject::File(digest))
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}

/// Connects, does `what`, and takes leave.
fn with_client<T>(
    master: &MasterArgs,
    what: impl AsyncFnOnce(&Client) -> Result<T, CliError>,
) -> Result<T, CliError> {
    runtime()?.block_on(async {
        let client = master.connect(SOON).await?;
        let done = what(&client).await?;
        client.close().await;
        Ok(done)
    })
}

/// Writes `text` to standard output; a reader that has gone has read enough.
pub fn print(text: &str) -> Result<Exit, CliError> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::file("standard output".as_ref(), error))
        }
        Ok(()) | Err(_) => Ok(Exit::Ok),
    }
}

fn status_table(project: &str, status: &StatusReply) -> String {
    let tasks = &status.tasks;
    let mut text = format!(
        "{}  epoch {}  {} MiB\n",
        harmless(project),
        status.epoch,
        status.rss_bytes >> 20
    );
    text += &format!(
        "tasks  {} submitted, {} waiting, {} under way, {} ended ({} delivered), {} attempts\n",
        tasks.submitted,
        tasks.waiting,
        tasks.leased,
        tasks.accounted,
        tasks.delivered,
        tasks.attempts
    );
    for (cause, count) in status.losses.iter().filter(|(_, count)| *count > 0) {
        text += &format!("lost   {count} {}\n", harmless(cause));
    }
    for note in &status.notes {
        text += &format!("note   {}\n", harmless(note));
    }
    if !status.links.is_empty() {
        text += &format!(
            "{:28} {:8} {:>6} {:>6} {:>10} {:>10} {:>9}\n",
            "peer", "role", "slots", "leased", "sent", "received", "rtt"
        );
    }
    for link in &status.links {
        text += &format!(
            "{:28} {:8} {:>6} {:>6} {:>10} {:>10} {:>6.1} ms\n",
            harmless(&format!("{}/{}", link.peer.site, link.peer.name)),
            link.peer.role,
            link.slots,
            link.leased,
            amount(link.sent_bytes),
            amount(link.received_bytes),
            link.rtt_us as f64 / 1e3
        );
    }
    text + &site_table(&status.sites)
}

/// What each foreman below says of its site: its files, and what they spared the link above.
fn site_table(sites: &[SiteStatus]) -> String {
    if sites.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "{:28} {:>7} {:>6} {:>6} {:>7} {:>10} {:>8} {:>10} {:>7} {:>7}\n",
        "site",
        "workers",
        "slots",
        "leased",
        "files",
        "cached",
        "hits",
        "fetched",
        "evicted",
        "spoiled"
    );
    for site in sites {
        let cache = &site.cache;
        let hits = report::hit_rate(cache)
            .map_or_else(|| "-".to_owned(), |rate| format!("{:.1} %", 100.0 * rate));
        text += &format!(
            "{:28} {:>7} {:>6} {:>6} {:>7} {:>10} {:>8} {:>10} {:>7} {:>7}\n",
            harmless(&format!("{}/{}", site.peer.site, site.peer.name)),
            site.below,
            site.slots,
            site.leased,
            cache.files,
            amount(cache.bytes),
            hits,
            amount(cache.fetched_bytes),
            cache.evicted,
            cache.spoiled
        );
    }
    text
}
