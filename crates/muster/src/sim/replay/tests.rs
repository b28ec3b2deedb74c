use std::path::Path;
use std::sync::Arc;

use muster_master::{Event, Opened, Submitted};
use muster_proto::machine::Record;
use muster_proto::outcome::{Failure, Measured, Outcome, Ran, Stream, Verdict};
use muster_proto::task::{Command, Policy, TaskBody, Template, Words};
use muster_proto::{Epoch, MasterId, Resources, Span, TaskId, TemplateId, Try};
use muster_store::journal::{Journal, Limits};

use super::*;

#[test]
fn the_facts_are_those_of_the_journal() {
    let facts = Facts::of(&history());
    assert_eq!((facts.tasks, facts.done, facts.failed), (6, 2, 1));
    assert_eq!((facts.cancelled, facts.given_up, facts.open), (1, 1, 1));
    assert_eq!((facts.attempts, facts.starts), (9, 1));
    let fit = facts.categories["fit"];
    assert_eq!((fit.runs, fit.mean_s, fit.longest_s), (3, 4.0, 6.0));
    assert!((fit.sd_s - (8.0_f64 / 3.0).sqrt()).abs() < 1e-9, "{fit:?}");
    let w2 = facts.sites["campus"]["w2"];
    assert_eq!((w2.runs, w2.core_s), (1, 4.0));
    assert_eq!(facts.failures["ended with exit code 3"], 1);
    assert_eq!(facts.failures.values().sum::<u64>(), 2);
    let text = facts.text();
    assert!(text.contains("campus, workers: 2"), "{text}");
}

#[test]
fn tasks_take_what_they_took_and_others_the_mean() {
    let history = history();
    let hosts = Hosts::of(&history, Some(1), None);
    let report = replay(&history, &hosts, &[], &Asked::default()).expect("a scenario");
    // 2 + 4 s that went well, 6 s that fail twice, and two of 4 s of which nothing is known; the cancelled one is none.
    let wanted = 2.0 + 4.0 + 2.0 * 6.0 + 2.0 * 4.0;
    assert_eq!(
        (report.submitted, report.received, report.failed),
        (5, 4, 1)
    );
    assert!(
        (wanted..wanted + 2.0).contains(&report.makespan_s),
        "{wanted} s, not {}",
        report.makespan_s
    );
}

#[test]
fn more_workers_and_another_policy_show() {
    let history = history();
    let hosts = Hosts::of(&history, None, Some(4));
    let run = |key: &str, value: &str| {
        let set = [(key.to_owned(), value.to_owned())];
        replay(&history, &hosts, &set, &Asked::default()).expect("a scenario")
    };
    let patient = run("retries", "0");
    assert_eq!(patient.assigned, 5, "nothing is tried again");
    assert!(patient.makespan_s < 9.0, "{}", patient.makespan_s);
    assert_eq!(run("algorithm", "worst").received, 4);
    let bad = replay(
        &history,
        &hosts,
        &[("algorithm".to_owned(), "best".to_owned())],
        &Asked::default(),
    );
    assert_eq!(bad.expect_err("no such algorithm").code(), "MU0604");
}

#[test]
fn a_journal_on_disk_is_read_and_others_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let read = |name: &str, events: &[Event]| {
        let path = dir.path().join(name);
        write(&path, events);
        History::read(&path)
    };
    let history = read("whole", &events()).expect("a history");
    assert_eq!(history.ran().count(), 3);
    for (name, events, why) in [
        ("unmeasured", &events()[..2], "no task has run"),
        ("empty", &events()[..1], "no tasks were submitted"),
        ("foreman", &events()[1..], "a foreman's journal"),
    ] {
        let error = read(name, events).expect_err("nothing to replay");
        assert_eq!((error.code(), error.exit()), ("MU0607", Exit::Usage));
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn all_algorithms_are_tried_unless_something_is_asked_for() {
    let args = |algorithm: &[&str], set: &[&str]| ReplayArgs {
        journal: PathBuf::new(),
        algorithm: algorithm.iter().map(|name| (*name).to_owned()).collect(),
        set: set.iter().map(|set| (*set).to_owned()).collect(),
        workers_per_site: None,
        cores: None,
        seed: 0,
        json: false,
    };
    let count = |args| settings(&args).map(|settings| settings.len());
    assert_eq!(count(args(&[], &[])).expect("all"), 7);
    assert_eq!(count(args(&["time"], &[])).expect("one"), 2);
    assert_eq!(
        count(args(&["time", "files"], &["fast_abort=2,3"])).expect("four"),
        5
    );
    assert!(count(args(&[], &["nonsense"])).is_err());
}

/// Six tasks: two go well, one fails, one is cancelled, one is given up, one has not ended.
fn history() -> History {
    let mut history = History::default();
    events().into_iter().for_each(|event| history.take(event));
    history
}

fn events() -> Vec<Event> {
    let template = Template {
        command: Command::Exec(Words::new(&["/bin/fit"]).expect("words")),
        environment: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        resources: Resources::cores(1),
        policy: Policy {
            retries: 1,
            ..Policy::default()
        },
        category: "fit".to_owned(),
    };
    let ran = |worker: &str, seconds: u64, result| Verdict::Ran {
        round: Try {
            epoch: Epoch(1),
            n: 1,
        },
        ran: Arc::new(Ran {
            result,
            worker: worker.to_owned(),
            measured: Measured {
                wall: Span::secs(seconds),
                ..Measured::default()
            },
            stdout: Stream::default(),
            stderr: Stream::default(),
            outputs: Vec::new(),
        }),
    };
    let outcome = |task, attempts, verdict| Outcome {
        task: TaskId(task),
        verdict,
        attempts,
        site: "campus".into(),
    };
    vec![
        Event::Opened(Opened {
            master: MasterId(7),
            epoch: Epoch(1),
        }),
        Event::Submitted(Submitted {
            session: 1,
            sequence: 1,
            template: TemplateId(1),
            contents: Some(Arc::new(template)),
            first: TaskId(1),
            tasks: vec![TaskBody::default(); 6],
        }),
        Event::Accounted(vec![
            outcome(1, 1, ran("w1", 2, Ok(()))),
            outcome(2, 2, ran("w2", 4, Ok(()))),
            outcome(3, 2, ran("w1", 6, Err(Failure::Exit(3)))),
            outcome(4, 1, Verdict::Cancelled),
            outcome(5, 3, Verdict::GivenUp(Failure::LostTooOften)),
        ]),
    ]
}

fn write(path: &Path, events: &[Event]) {
    let (mut journal, _) = Journal::open(path, Limits::default(), |_, _| {}).expect("a journal");
    for event in events {
        let mut bytes = Vec::new();
        event.encode(&mut bytes);
        journal.append(&bytes);
    }
    journal.commit().expect("durable");
}
