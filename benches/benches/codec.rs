//! What does a task cost on the wire, in bytes and in time, on its way down and on its way up?
//!
//! One frame of as many tasks as a frame may hold is encoded and decoded. Their template crossed the link before.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use muster_benches::{ns_each, shortest};
use muster_proto::outcome::{End, Measured, Ran, Report, Stream};
use muster_proto::task::{FileRef, Form, InputFile, TaskBody, Words};
use muster_proto::wire::{Assign, Assigned, Frame, HEADER_BYTES, Header, Reports};
use muster_proto::{Digest, Epoch, MasterId, RelPath, Span, TaskId, TemplateId, Try};

const TASKS: usize = 4_096;
const ROUND: Try = Try {
    epoch: Epoch(3),
    n: 1,
};

fn main() -> Result<()> {
    println!(
        "{:<34} {:>10} {:>12} {:>12}",
        "frame", "bytes/task", "encode ns", "decode ns"
    );
    measure(
        "tasks that are their template's",
        &assign(&TaskBody::default()),
    )?;
    measure("tasks with words and an input", &assign(&body()?))?;
    measure("reports of success", &reports())
}

fn measure(name: &str, frame: &Frame) -> Result<()> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    let encoded = |mut buffer: Vec<u8>| {
        frame.encode(&mut buffer);
        Ok(buffer)
    };
    let encode = shortest(|| Ok(Vec::new()), encoded)?;
    let decode = shortest(|| Ok(()), |()| decoded(&bytes))?;
    println!(
        "{name:<34} {:>10.1} {:>12.0} {:>12.0}",
        bytes.len() as f64 / TASKS as f64,
        ns_each(encode, TASKS),
        ns_each(decode, TASKS),
    );
    Ok(())
}

fn decoded(bytes: &[u8]) -> Result<Frame> {
    let (head, payload) = bytes
        .split_first_chunk::<HEADER_BYTES>()
        .context("a frame has a header")?;
    Ok(Frame::decode(Header::read(*head)?, payload)?)
}

fn tasks() -> impl Iterator<Item = TaskId> {
    // Numbers as they are after a million tasks: three bytes each.
    (1_000_000..).map(TaskId).take(TASKS)
}

fn assign(body: &TaskBody) -> Frame {
    let assigned = |task| Assigned {
        task,
        round: ROUND,
        template: TemplateId(1),
        body: body.clone(),
    };
    Frame::from(Assign {
        master: MasterId(u64::MAX),
        epoch: ROUND.epoch,
        templates: Vec::new(),
        tasks: tasks().map(assigned).collect(),
    })
}

fn body() -> Result<TaskBody> {
    let input = InputFile {
        name: RelPath::new("photos/p0001.jpg")?,
        file: FileRef {
            digest: Digest([7; 32]),
            bytes: 2 << 20,
        },
        form: Form::Data,
    };
    Ok(TaskBody {
        words: Words::new(&["convert", "photos/p0001.jpg", "p0001.png"])?,
        inputs: Box::new([input]),
        outputs: Box::default(),
    })
}

fn reports() -> Frame {
    let ran = Ran {
        result: Ok(()),
        worker: "w1".to_owned(),
        measured: Measured {
            wall: Span::secs(5),
            cpu: Span::millis(4_900),
            rss_bytes_max: 64 << 20,
        },
        stdout: Stream::default(),
        stderr: Stream::default(),
        outputs: Vec::new(),
    };
    let report = |task| Report {
        task,
        round: ROUND,
        end: End::Ran(Arc::new(ran.clone())),
    };
    Frame::from(Reports {
        master: MasterId(u64::MAX),
        reports: tasks().map(report).collect(),
    })
}
