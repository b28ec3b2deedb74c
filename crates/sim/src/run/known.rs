//! Work of which it is known what each task does: as a journal tells, or as a real run is about to do.
//!
//! The tasks keep their templates, their files and their policy; only their programs are played.

use std::sync::Arc;

use muster_proto::limits::{BATCH_MAX, BODY_BYTES_MAX};
use muster_proto::outcome::Ran;
use muster_proto::task::{Command, TaskBody, Template, Words};
use muster_proto::{Span, TaskId, Time};

use crate::program::{Known, Program};
use crate::user::Act;

/// Tasks that are submitted together.
#[derive(Clone, Debug)]
pub struct KnownWork {
    /// When.
    pub at: Span,
    /// What they have in common.
    pub template: Template,
    /// Each task, and what every run of it brings on a machine of speed 1; it lasts as long as was measured.
    pub tasks: Vec<(TaskBody, Ran)>,
}

impl KnownWork {
    /// What its tasks do, the first of which is `first`.
    pub(super) fn program(&self, first: TaskId) -> Program {
        Program::Known(Known {
            first,
            tasks: self.tasks.iter().map(|(_, ran)| ran.clone()).collect(),
        })
    }

    /// How its only user submits it, as program `n` of the world.
    pub(super) fn acts(&self, n: usize) -> Vec<(Time, Act)> {
        let mut template = self.template.clone();
        if let Command::Exec(words) = &template.command {
            template.command = Command::Exec(played(words, n));
        }
        let mut acts = Vec::new();
        let (mut bodies, mut bytes) = (Vec::new(), 0);
        for (body, _) in &self.tasks {
            let mut body = body.clone();
            if !body.words.is_empty() {
                body.words = played(&body.words, n);
            }
            let weight = body.weight();
            if bodies.len() == BATCH_MAX || bytes + template.weight() + weight > BODY_BYTES_MAX {
                acts.push(std::mem::take(&mut bodies));
                bytes = 0;
            }
            bytes += weight;
            bodies.push(body);
        }
        acts.push(bodies);
        let submit = |bodies| {
            let act = Act::Submit(Arc::new(template.clone()), bodies);
            (Time(0) + self.at, act)
        };
        let acts = acts.into_iter().filter(|bodies| !bodies.is_empty());
        acts.map(submit).collect()
    }
}

/// Words that run program `n` and are about as long as `real`.
fn played(real: &Words, n: usize) -> Words {
    let program = Program::words(n).unwrap_or_default();
    let words: Vec<&str> = program.iter().chain(real.iter().skip(1)).collect();
    // Longer than may be: then the arguments are left out, which the program does not read.
    Words::new(&words).unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use muster_proto::limits::BATCH_MAX;
    use muster_proto::outcome::{Failure, Measured, ReturnedFile, Stream};
    use muster_proto::task::{FileRef, Policy};
    use muster_proto::{Digest, RelPath, Resources};

    use super::*;
    use crate::run::{Asked, run_known};
    use crate::scenario::Scenario;

    #[test]
    fn each_task_takes_its_own_time_and_fails_if_it_failed() {
        // One slot: the times add up, those of the failing task twice.
        let lengths = [1_000, 300, 2_000];
        let work = work(&lengths, 1);
        let report = run_known(&scenario(1), &[work], &Asked::default());
        assert_eq!((report.received, report.failed), (2, 1));
        assert_eq!(report.assigned, 4, "the one that fails is tried again");
        let wanted = (1_000 + 2 * 300 + 2_000) as f64 / 1e3;
        assert!(
            (wanted..wanted + 0.1).contains(&report.makespan_s),
            "{} s, not {wanted}",
            report.makespan_s
        );
        assert!(report.is_complete);
    }

    #[test]
    fn many_tasks_travel_in_frames_that_hold_them() {
        let lengths = vec![10; BATCH_MAX + 5];
        let acts = work(&lengths, usize::MAX).acts(0);
        let sizes = acts.iter().map(|(_, act)| match act {
            Act::Submit(_, bodies) => bodies.len(),
            Act::SubmitMany(..) | Act::Cancel { .. } => 0,
        });
        assert_eq!(sizes.collect::<Vec<_>>(), [BATCH_MAX, 5]);
        let report = run_known(
            &scenario(64),
            &[work(&lengths, usize::MAX)],
            &Asked::default(),
        );
        assert_eq!(report.received, BATCH_MAX as u64 + 5);
    }

    #[test]
    fn tasks_that_write_the_same_are_brought_back_once() {
        let mut work = work(&[10; 40], usize::MAX);
        let output = ReturnedFile {
            name: RelPath::new("out").expect("a path"),
            file: FileRef {
                digest: Digest([7; 32]),
                bytes: 1_000_000,
            },
            executable: false,
        };
        for (_, ran) in &mut work.tasks {
            ran.outputs.push(output.clone());
        }
        let report = run_known(&scenario(8), &[work], &Asked::default());
        assert_eq!((report.received, report.is_complete), (40, true));
    }

    fn scenario(cores: u32) -> Scenario {
        let text = format!(
            "about = \"x\"\n[[master]]\nname = \"m\"\n[[work]]\ncategory = \"c\"\ntasks = 1\nrun = \"1s\"\n\
             [[site]]\nname = \"s\"\nlink = {{ latency = \"0s\" }}\n\
             [[pool]]\nname = \"p\"\nsite = \"s\"\nmachines = 1\nat_once = 1\ncores = {cores}\n"
        );
        Scenario::parse(&text).expect("a scenario")
    }

    /// Tasks of so many milliseconds, one of which fails.
    fn work(lengths: &[u64], failing: usize) -> KnownWork {
        let ran = |(n, ms): (usize, &u64)| Ran {
            result: match n == failing {
                true => Err(Failure::Exit(3)),
                false => Ok(()),
            },
            worker: String::new(),
            measured: Measured {
                wall: Span::millis(*ms),
                ..Measured::default()
            },
            stdout: Stream::default(),
            stderr: Stream::default(),
            outputs: Vec::new(),
        };
        let body = || TaskBody {
            words: Words::new(&["/bin/sleep", "1"]).expect("words"),
            ..TaskBody::default()
        };
        KnownWork {
            at: Span::secs(2),
            template: Template {
                command: Command::Noop,
                environment: Vec::new(),
                inputs: Vec::new(),
                outputs: Vec::new(),
                resources: Resources::cores(1),
                policy: Policy {
                    retries: 1,
                    ..Policy::default()
                },
                category: "c".to_owned(),
            },
            tasks: lengths
                .iter()
                .enumerate()
                .map(|n| (body(), ran(n)))
                .collect(),
        }
    }
}
