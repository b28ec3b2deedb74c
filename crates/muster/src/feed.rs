//! Submitting an ensemble a part at a time, so that its first tasks run while its last files are being read.

use std::cell::Cell;
use std::ops::Range as Rows;
use std::sync::Arc;

use muster_node::client::{Client, Range};
use muster_proto::limits::BATCH_MAX;
use muster_proto::task::TaskBody;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::ensemble::{Ensemble, EnsembleError, Prepared, Stage};
use crate::error::CliError;

/// Tasks that have been submitted, with rows of the ensemble in the order of their numbers.
#[derive(Debug)]
pub struct Fed {
    /// The number, counted from 0, of the first row.
    pub at: u64,
    /// The tasks it and the following ones became.
    pub ranges: Vec<Range>,
}

/// Submits all of `ensemble`, unless `stop` says that it is enough; tells `fed` what has been submitted.
///
/// # Errors
/// A file cannot be read, or the master is gone for good.
pub async fn feed(
    client: &Client,
    ensemble: &Arc<Ensemble>,
    stop: &Cell<bool>,
    fed: mpsc::Sender<Fed>,
) -> Result<(), CliError> {
    let shared = Arc::clone(ensemble);
    let first = spawn_blocking(move || {
        let mut stage = Stage::default();
        (shared.template(&mut stage), stage)
    });
    let (template, mut stage) = joined(first).await;
    let template = template?;
    client.put_files(&template.files).await?;
    let mut rows = 0..ensemble.len().min(ROWS_FIRST);
    let mut preparing = prepare(ensemble, stage, rows.clone());
    while !rows.is_empty() && !stop.get() {
        let prepared;
        (prepared, stage) = joined(preparing).await;
        let prepared = prepared?;
        let rows_max = ((rows.end - rows.start) * 2).min(BATCH_MAX as u64);
        let next = rows.end..ensemble.len().min(rows.end.saturating_add(rows_max));
        // The next part is read while this one is sent.
        preparing = prepare(ensemble, stage, next.clone());
        client.put_files(&prepared.files).await?;
        // Those of the template were put there when the first part was, which may be long ago.
        let files = [template.files.as_slice(), &prepared.files].concat();
        let ranges = client
            .submit_with(&template.what, prepared.what, &files)
            .await?;
        // Whoever has stopped listening has also stopped this.
        let _heard = fed
            .send(Fed {
                at: rows.start,
                ranges,
            })
            .await;
        rows = next;
    }
    Ok(())
}

type Part = (Result<Prepared<Vec<TaskBody>>, EnsembleError>, Stage);

fn prepare(ensemble: &Arc<Ensemble>, mut stage: Stage, rows: Rows<u64>) -> JoinHandle<Part> {
    let ensemble = Arc::clone(ensemble);
    spawn_blocking(move || (ensemble.tasks(&mut stage, rows), stage))
}

/// What a blocking task returns; its panic is ours.
async fn joined<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Rows of the first part: enough to give every worker of a small federation its first task.
const ROWS_FIRST: u64 = 64;

/// Parts that have been submitted and not been taken note of.
pub const FED_MAX: usize = 64;
