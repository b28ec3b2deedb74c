//! Which decoded frames are within their limits.
//!
//! The length of a frame already bounds what decoding allocates; these bounds keep what brains do per frame small.

use crate::limits::{
    BATCH_MAX, BODY_BYTES_MAX, ENVIRONMENT_MAX, FILE_BYTES_MAX, FILES_PER_TASK_MAX, HOST_BYTES_MAX,
    NAME_BYTES_MAX, PREFERRED_MAX, RANGES_MAX, SHAPES_MAX, TAIL_BYTES_MAX, TEXT_BYTES_MAX,
    WORKERS_PER_SHAPE_MAX,
};
use crate::outcome::{End, Outcome, Ran, Report, Stream, Verdict};
use crate::peer::{Peer, is_name};
use crate::task::{Command, InputFile, OutputFile, TaskBody, Template};
use crate::wire::frames::{Frame, Hello, Offer, Submit};

/// Something a peer sent that has limits.
pub(super) trait Bounded {
    /// Whether every part is within its limit.
    fn within(&self) -> bool;
}

impl Bounded for Frame {
    fn within(&self) -> bool {
        match self {
            Frame::Hello(hello) => hello.within(),
            Frame::Offer(offer) => offer.within(),
            Frame::Assign(assign) => {
                let bodies = assign.tasks.iter().all(|task| task.body.within());
                all(&assign.tasks)
                    && all(&assign.templates)
                    && bodies
                    && assign.templates.iter().all(|(_, t)| t.within())
            }
            Frame::Reports(frame) => {
                all(&frame.reports) && frame.reports.iter().all(Bounded::within)
            }
            Frame::Ack(frame) => all(&frame.attempts),
            Frame::Cancel(frame) => all(&frame.attempts),
            Frame::Inventory(frame) => all(&frame.held),
            Frame::Started(frame) => all(&frame.attempts),
            Frame::Retire(frame) => all(&frame.templates),
            Frame::Submit(submit) => submit.within(),
            Frame::Watch(watch) => watch.ranges.len() <= RANGES_MAX,
            Frame::Outcomes(frame) => {
                all(&frame.outcomes) && frame.outcomes.iter().all(Bounded::within)
            }
            Frame::Delivered(frame) => all(&frame.tasks),
            Frame::CancelTasks(frame) => frame.ranges.len() <= RANGES_MAX,
            Frame::StatusReply(status) => {
                let texts = status
                    .losses
                    .iter()
                    .map(|(name, _)| name)
                    .chain(&status.notes);
                let links = status.links.iter().map(|link| &link.peer);
                let sites = status.sites.iter().map(|site| &site.peer);
                let links = links.chain(sites).all(Bounded::within);
                // A foreman may serve more links than a batch has elements; the frame's length bounds them.
                links && texts.into_iter().all(|text| is_line(text, TEXT_BYTES_MAX))
            }
            Frame::Explained(frame) => {
                let mut lines = frame.lines.iter();
                all(&frame.lines) && lines.all(|line| is_line(line, TEXT_BYTES_MAX))
            }
            // The catalog judges each word of these itself, and answers whoever said one too many.
            Frame::Inquire(_) | Frame::Raft(_) | Frame::Answered(_) => true,
            Frame::Submitted(_)
            | Frame::Cancelled(_)
            | Frame::Status(_)
            | Frame::Explain(_)
            | Frame::Desist(_)
            | Frame::Replica(_) => true,
        }
    }
}

fn all<T>(sequence: &[T]) -> bool {
    sequence.len() <= BATCH_MAX
}

/// Whether a text may stand in a log or on a terminal as it is.
fn is_line(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.contains(char::is_control)
}

impl Bounded for Hello {
    fn within(&self) -> bool {
        self.oldest <= self.newest && is_line(&self.release, NAME_BYTES_MAX)
    }
}

impl Bounded for Offer {
    fn within(&self) -> bool {
        let counts = self.shapes.iter().map(|(_, count)| count);
        is_line(&self.host, HOST_BYTES_MAX)
            && self.shapes.len() <= SHAPES_MAX
            && self.shapes.is_sorted_by(|(a, _), (b, _)| a < b)
            && counts
                .into_iter()
                .all(|count| (1..=WORKERS_PER_SHAPE_MAX).contains(count))
    }
}

impl Bounded for Submit {
    fn within(&self) -> bool {
        all(&self.tasks) && self.template.within() && self.tasks.iter().all(Bounded::within)
    }
}

impl Bounded for Template {
    fn within(&self) -> bool {
        let text = |text: &String| text.len() <= TEXT_BYTES_MAX && !text.contains('\0');
        let command = match &self.command {
            Command::Exec(words) | Command::Call(words) => !words.is_empty(),
            Command::Noop => true,
        };
        command
            && self.weight() <= BODY_BYTES_MAX
            && self.environment.len() <= ENVIRONMENT_MAX
            && self
                .environment
                .iter()
                .all(|(name, value)| text(name) && text(value) && is_variable(name))
            && files_within(&self.inputs, &self.outputs)
            && self.policy.preferred.len() <= PREFERRED_MAX
            && self
                .policy
                .preferred
                .iter()
                .all(|name| is_line(name, HOST_BYTES_MAX))
            && is_line(&self.category, NAME_BYTES_MAX)
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains('=') && !name.contains(char::is_control)
}

fn files_within(inputs: &[InputFile], outputs: &[OutputFile]) -> bool {
    inputs.len() <= FILES_PER_TASK_MAX
        && outputs.len() <= FILES_PER_TASK_MAX
        && inputs
            .iter()
            .all(|input| input.file.bytes <= FILE_BYTES_MAX)
}

impl Bounded for TaskBody {
    fn within(&self) -> bool {
        self.weight() <= BODY_BYTES_MAX && files_within(&self.inputs, &self.outputs)
    }
}

impl Bounded for Report {
    fn within(&self) -> bool {
        match &self.end {
            End::Ran(ran) => ran.within(),
            End::Lost(_) => true,
        }
    }
}

impl Bounded for Ran {
    fn within(&self) -> bool {
        is_name(&self.worker)
            && self.weight() <= BODY_BYTES_MAX
            && self.stdout.within()
            && self.stderr.within()
            && self.outputs.len() <= FILES_PER_TASK_MAX
            && self.files().all(|file| file.bytes <= FILE_BYTES_MAX)
    }
}

impl Bounded for Stream {
    fn within(&self) -> bool {
        self.tail.len() <= TAIL_BYTES_MAX
    }
}

impl Bounded for Outcome {
    fn within(&self) -> bool {
        let run = match &self.verdict {
            Verdict::Ran { ran, .. } => ran.within(),
            Verdict::GivenUp(_) | Verdict::Cancelled => true,
        };
        run && (self.site.is_empty() || is_name(&self.site))
    }
}

impl Bounded for Peer {
    fn within(&self) -> bool {
        is_name(&self.site) && is_name(&self.name)
    }
}
