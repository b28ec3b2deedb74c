use std::sync::Arc;

use muster_proto::outcome::{Failure, Measured, Stream};
use muster_proto::task::FileRef;
use muster_proto::{Digest, Epoch, RelPath};

use super::*;

#[test]
fn an_answer_is_the_programs_line_and_nothing_else() {
    let line = br#"{"energy":-81.25,"energy_mean":-80,"contacts":0.97,"rmsd":0.8,"steps":5000,"temperature":0.55}"#;
    let answer = Answer {
        energy: -81.25,
        contacts: 0.97,
    };
    assert_eq!(Answer::read(line), Some(answer));
    for wrong in ["", "{}", "energy", "{\"energy\":null,\"contacts\":1}"] {
        assert_eq!(Answer::read(wrong.as_bytes()), None, "{wrong}");
    }
}

#[test]
fn a_good_outcome_brings_answer_and_state() {
    let outcome = outcome(Ok(()), "{\"energy\":-81.0,\"contacts\":1.0}", "");
    let (answer, state) = taken(&outcome).expect("good");
    assert_eq!((answer.energy, state.name.as_str()), (-81.0, "state"));
}

#[test]
fn what_failed_is_told_in_a_sentence_without_control_characters() {
    let hostile = outcome(Err(Failure::Exit(3)), "", "first\n\u{1b}[2Jno such file\n");
    assert_eq!(
        taken(&hostile),
        Err("Exit(3) on w1: ?[2Jno such file".to_owned())
    );
    assert_eq!(
        taken(&outcome(Ok(()), "oops", "")),
        Err("its answer cannot be read".to_owned())
    );
    let lost = Outcome {
        verdict: Verdict::GivenUp(Failure::LostTooOften),
        ..outcome(Ok(()), "", "")
    };
    assert_eq!(taken(&lost), Err("given up (LostTooOften)".to_owned()));
}

fn outcome(result: Result<(), Failure>, stdout: &str, stderr: &str) -> Outcome {
    let stream = |text: &str| Stream {
        bytes: text.len() as u64,
        tail: text.into(),
        file: None,
    };
    let state = ReturnedFile {
        name: RelPath::new("state").expect("a name"),
        file: FileRef {
            digest: Digest([1; 32]),
            bytes: 5,
        },
        executable: false,
    };
    let ran = Ran {
        result,
        worker: "w1".to_owned(),
        measured: Measured::default(),
        stdout: stream(stdout),
        stderr: stream(stderr),
        outputs: vec![state],
    };
    Outcome {
        task: TaskId(1),
        verdict: Verdict::Ran {
            round: muster_proto::Try {
                epoch: Epoch(1),
                n: 1,
            },
            ran: Arc::new(ran),
        },
        attempts: 1,
        site: "site-a".into(),
    }
}
