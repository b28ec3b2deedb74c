//! The thread that speaks with a master as its user.
//!
//! Three loops share one client: orders go out in groups of one template, outcomes come in with their files, and what
//! Python has taken is acknowledged. An outcome is acknowledged when it is taken and not before, so that a killed
//! Python finds it again.

mod bring;
pub mod ledger;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use muster_node::client::{Client, ClientError, Master, Watching};
use muster_node::report;
use muster_proto::limits::{BATCH_MAX, RANGES_MAX};
use muster_proto::outcome::Outcome;
use muster_proto::task::Template;
use muster_proto::wire::Subject;
use muster_proto::{Digest, TaskId};

use crate::shared::{Order, Pending, Reply, Shared};
use crate::stage::Stage;
use bring::Bringer;
use ledger::Ledger;

/// A connection to a master, on a thread of its own.
#[derive(Debug)]
pub struct Line {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What a line is told.
#[derive(Debug)]
pub struct Wanted {
    /// The master.
    pub master: Master,
    /// Whose tasks it has.
    pub tenancy: Tenancy,
    /// Where long streams are kept until they are read.
    pub streams: PathBuf,
    /// Where it is remembered what tasks are, if another life of the project is to know.
    pub ledger: Option<PathBuf>,
}

/// Whose tasks a master has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// Ours alone, in this life and earlier ones.
    Sole,
    /// Others' as well.
    Shared,
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The master cannot be reached or will not talk.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The system refuses.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl Line {
    /// Connects; returns when tasks can be submitted.
    ///
    /// # Errors
    /// The master cannot be reached, or the system refuses.
    pub fn start(
        wanted: Wanted,
        shared: Arc<Shared>,
        stage: Arc<Mutex<Stage>>,
    ) -> Result<Line, LineError> {
        let (tell, told) = mpsc::channel();
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("muster-line".to_owned());
        let thread = thread.spawn(move || {
            let failed = match run(wanted, &theirs, stage, &tell) {
                Ok(()) => "the queue is closed".to_owned(),
                Err(error) => {
                    let text = error.to_string();
                    // After the start nobody listens any more, and the text is what is told.
                    tell.send(Err(error)).ok();
                    text
                }
            };
            theirs.fail(failed);
        })?;
        told.recv()
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
        let thread = Some(thread);
        Ok(Line { shared, thread })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A line that has failed has taken its leave.
        self.shared.order(Order::Close).ok();
        if let Some(thread) = self.thread.take() {
            // Its panic has been reported.
            thread.join().ok();
        }
    }
}

fn run(
    wanted: Wanted,
    shared: &Shared,
    stage: Arc<Mutex<Stage>>,
    tell: &mpsc::Sender<Result<(), LineError>>,
) -> Result<(), LineError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = Client::connect(wanted.master).await?;
        let mut ledger = Ledger::none();
        let mut submitted = 0;
        if wanted.tenancy == Tenancy::Sole {
            let tasks = client.status().await?.tasks;
            submitted = tasks.submitted;
            let open = tasks.waiting + tasks.leased + tasks.undelivered;
            let mut entries = BTreeMap::new();
            if let Some(path) = &wanted.ledger {
                (ledger, entries) = Ledger::open(path, open)?;
            }
            shared.resume(TaskId(submitted), open, entries);
        }
        // Whoever started the line waits.
        tell.send(Ok(())).ok();
        let speaker = Speaker {
            client,
            shared,
            stage,
            tenancy: wanted.tenancy,
            bringer: Bringer::new(wanted.streams),
        };
        let ended = tokio::select! {
            ended = speaker.submitting(ledger, submitted) => ended,
            ended = speaker.receiving() => ended,
            ended = speaker.acknowledging() => ended,
        };
        ended?;
        speaker.acknowledge().await?;
        speaker.client.close().await;
        Ok(())
    })
}

struct Speaker<'a> {
    client: Client,
    shared: &'a Shared,
    stage: Arc<Mutex<Stage>>,
    tenancy: Tenancy,
    bringer: Bringer,
}

impl Speaker<'_> {
    /// Carries orders out until the line is closed.
    async fn submitting(&self, mut ledger: Ledger, submitted: u64) -> Result<(), LineError> {
        let mut next = TaskId(submitted + 1);
        loop {
            let orders = self.shared.orders();
            if orders.is_empty() {
                self.shared.ordered.notified().await;
                continue;
            }
            let mut pending = Vec::new();
            for order in orders {
                match order {
                    Order::Submit(task) => pending.push(*task),
                    Order::Cancel(numbers, reply) => {
                        self.submit(&mut pending, &mut ledger, &mut next).await?;
                        self.cancel(&numbers, &reply).await?;
                    }
                    Order::Flush(reply) => {
                        self.submit(&mut pending, &mut ledger, &mut next).await?;
                        // Whoever asked may have stopped waiting, here and below.
                        reply.send(()).ok();
                    }
                    Order::Status(reply) => {
                        let status = self.client.status().await?;
                        reply.send(report::status(None, &status).to_string()).ok();
                    }
                    Order::Explain(number, reply) => {
                        self.submit(&mut pending, &mut ledger, &mut next).await?;
                        let lines = match self.shared.task(number) {
                            Some(task) => self.client.explain(Subject::Task(task)).await?,
                            None => Vec::new(),
                        };
                        reply.send(lines).ok();
                    }
                    Order::Close => {
                        self.submit(&mut pending, &mut ledger, &mut next).await?;
                        return Ok(());
                    }
                }
            }
            self.submit(&mut pending, &mut ledger, &mut next).await?;
        }
    }

    async fn cancel(&self, numbers: &[u64], reply: &Reply<u64>) -> Result<(), LineError> {
        let mut count = 0;
        for ranges in self.shared.open(Some(numbers)).chunks(RANGES_MAX) {
            count += self.client.cancel(ranges.to_vec()).await?;
        }
        reply.send(count).ok();
        Ok(())
    }

    /// Submits all of `pending`, a group for each template.
    async fn submit(
        &self,
        pending: &mut Vec<Pending>,
        ledger: &mut Ledger,
        next: &mut TaskId,
    ) -> Result<(), LineError> {
        for group in grouped(std::mem::take(pending)) {
            let mut group = group.into_iter().peekable();
            while group.peek().is_some() {
                let mut part: Vec<Pending> = group.by_ref().take(BATCH_MAX).collect();
                self.put(&mut part).await?;
                if let Some(first) = part.first() {
                    let template = Arc::clone(&first.template);
                    self.submit_part(&template, part, ledger, next).await?;
                }
            }
        }
        Ok(())
    }

    async fn submit_part(
        &self,
        template: &Template,
        part: Vec<Pending>,
        ledger: &mut Ledger,
        next: &mut TaskId,
    ) -> Result<(), LineError> {
        ledger.write(*next, &part)?;
        let numbers: Vec<u64> = part.iter().map(|task| task.number).collect();
        let buffers: Vec<Digest> = part.iter().flat_map(|task| task.buffers.clone()).collect();
        let bodies = part.iter().map(|task| task.body.clone()).collect();
        let files = contents(&part);
        match self.client.submit_with(template, bodies, &files).await {
            Ok(ranges) => {
                if let Some((_, last)) = ranges.last() {
                    *next = TaskId(last.0 + 1);
                }
                self.shared.register(&numbers, &ranges);
            }
            Err(error @ (ClientError::NotTaken(_) | ClientError::TooLarge { .. })) => {
                for number in &numbers {
                    self.shared.refused(*number, "refused", error.to_string());
                }
            }
            // It was gone when it was asked for once more.
            Err(error) if is_of_file(&error) => {
                for number in &numbers {
                    self.shared
                        .refused(*number, "input_missing", error.to_string());
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.let_go(buffers);
        Ok(())
    }

    /// Makes sure that the master has what the tasks need; a task whose files have changed or gone is not submitted.
    async fn put(&self, part: &mut Vec<Pending>) -> Result<(), LineError> {
        let files = contents(part);
        if files.is_empty() {
            return Ok(());
        }
        match self.client.put_files(&files).await {
            Ok(()) => return Ok(()),
            Err(error) if !is_of_file(&error) => return Err(error.into()),
            Err(_) => {}
        }
        let mut whole = Vec::new();
        for task in part.drain(..) {
            match self.client.put_files(&task.files).await {
                Ok(()) => whole.push(task),
                Err(error) if is_of_file(&error) => {
                    self.shared
                        .refused(task.number, "input_missing", error.to_string());
                    self.let_go(task.buffers);
                }
                Err(error) => return Err(error.into()),
            }
        }
        *part = whole;
        Ok(())
    }

    fn let_go(&self, buffers: Vec<Digest>) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        stage.let_go(buffers);
    }

    /// Takes outcomes, for ever.
    async fn receiving(&self) -> Result<(), LineError> {
        let mut watching = match self.tenancy {
            Tenancy::Sole => Some(
                self.client
                    .watch(vec![(TaskId(1), TaskId(u64::MAX))])
                    .await?,
            ),
            Tenancy::Shared => None,
        };
        // Outcomes may come before it is known here whose they are.
        let mut early: Vec<Outcome> = Vec::new();
        loop {
            tokio::select! {
                outcomes = next(&mut watching) => {
                    early.extend(outcomes?);
                }
                () = self.shared.registered.notified() => {
                    if self.tenancy == Tenancy::Shared {
                        let mut ranges = self.shared.open(None);
                        ranges.truncate(RANGES_MAX);
                        watching = Some(self.client.watch(ranges).await?);
                    }
                }
            }
            let mut ours = Vec::new();
            early.retain(|outcome| match self.shared.take_kept(outcome.task) {
                Some(kept) => {
                    ours.push((kept, outcome.clone()));
                    false
                }
                None => self.tenancy == Tenancy::Sole,
            });
            let ended = self.bringer.bring(&self.client, ours).await?;
            self.shared.ready(ended);
        }
    }

    async fn acknowledging(&self) -> Result<(), LineError> {
        loop {
            self.shared.taken.notified().await;
            // One frame for many, where outcomes are accepted one by one.
            tokio::time::sleep(GATHER).await;
            self.acknowledge().await?;
        }
    }

    async fn acknowledge(&self) -> Result<(), LineError> {
        let tasks = self.shared.acks();
        if !tasks.is_empty() {
            self.client.delivered(&tasks).await?;
        }
        Ok(())
    }
}

async fn next(watching: &mut Option<Watching>) -> Result<Vec<Outcome>, LineError> {
    match watching {
        Some(watching) => match watching.next().await? {
            Some(outcomes) => Ok(outcomes.outcomes),
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// Tasks by their templates, in the order in which the templates come.
fn grouped(pending: Vec<Pending>) -> Vec<Vec<Pending>> {
    let mut places: HashMap<*const Template, usize> = HashMap::new();
    let mut groups: Vec<Vec<Pending>> = Vec::new();
    for task in pending {
        let place = *places
            .entry(Arc::as_ptr(&task.template))
            .or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(task);
    }
    groups
}

/// What the tasks need, each once.
fn contents(part: &[Pending]) -> Vec<(Digest, PathBuf)> {
    let files = part.iter().flat_map(|task| task.files.iter().cloned());
    files.collect::<BTreeMap<_, _>>().into_iter().collect()
}

/// Whether it is about a file of the user's, and not about the master.
fn is_of_file(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::File { .. } | ClientError::InputChanged { .. }
    )
}

/// How long an acknowledgement waits for others: whoever is killed meanwhile gets its outcomes once more, as if it had
/// been killed before.
const GATHER: Duration = Duration::from_millis(5);
