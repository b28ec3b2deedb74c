use std::fs;

use clap::Parser;
use muster_proto::task::Form;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    tasks: TaskArgs,
}

/// The ensemble of a command line whose `@` stands for `dir`.
fn ensemble(dir: &Path, line: &[&str]) -> Result<Ensemble, EnsembleError> {
    let dir = dir.to_str().expect("a directory with a name in text");
    let line = line.iter().map(|word| word.replace('@', dir));
    let line = Line::parse_from(std::iter::once("muster".to_owned()).chain(line));
    Ensemble::new(&line.tasks)
}

fn inputs(task: &TaskBody) -> Vec<(&str, bool)> {
    let inputs = task.inputs.iter();
    inputs
        .map(|input| (input.name.as_str(), input.form == Form::Program))
        .collect()
}

#[test]
fn names_of_files_keep_their_text_as_long_as_they_stay_inside() {
    for (path, shown, name) in [
        ("a", "a", "a"),
        ("d/a b.txt", "d/a b.txt", "d/a b.txt"),
        ("./a", "./a", "a"),
        ("d//e/./a", "d//e/./a", "d/e/a"),
        ("-rf", "-rf", "-rf"),
        ("/x/y.txt", "y.txt", "y.txt"),
        ("../y.txt", "y.txt", "y.txt"),
        ("d/../y.txt", "y.txt", "y.txt"),
        ("größe/日本", "größe/日本", "größe/日本"),
    ] {
        let named = Named::of(path).expect(path);
        assert_eq!(
            (named.shown.as_str(), named.name.as_str()),
            (shown, name),
            "{path}"
        );
    }
    for wrong in ["a\nb", "\u{1b}[2J", "/", ".", ".."] {
        assert!(Named::of(wrong).is_err(), "{wrong:?}");
    }
    assert!(inside("/abs").is_err() && inside("a/../b").is_err() && inside("").is_err());
}

use staging::inside;

#[test]
fn an_argument_that_is_a_file_goes_along_under_the_name_the_command_is_given() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("a.dat"), "alpha").expect("a file");
    let line = [
        "--output",
        "{.}.sum",
        "--",
        "sum",
        "<{}>",
        ":::",
        "@/a.dat",
        "not a file",
    ];
    let ensemble = ensemble(dir.path(), &line).expect("an ensemble");
    let mut stage = Stage::default();
    let prepared = ensemble.tasks(&mut stage, 0..10).expect("two tasks");
    let [first, second] = &prepared.what[..] else {
        panic!("two tasks")
    };
    assert_eq!(inputs(first), [("a.dat", false)]);
    assert_eq!(first.words.iter().collect::<Vec<_>>(), ["sum", "<a.dat>"]);
    assert_eq!(first.outputs[0].name.as_str(), "a.sum");
    assert_eq!(first.inputs[0].file.bytes, 5);
    assert_eq!(inputs(second), []);
    assert_eq!(
        second.words.iter().collect::<Vec<_>>(),
        ["sum", "<not a file>"]
    );
    let expected = Digest(*blake3::hash(b"alpha").as_bytes());
    assert_eq!(prepared.files, [(expected, dir.path().join("a.dat"))]);
    let again = ensemble
        .tasks(&mut stage, 0..1)
        .expect("the first once more");
    assert!(again.files.is_empty(), "contents are handed out once");
}

#[test]
fn inputs_may_be_files_and_directories_under_other_names() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(dir.path().join("set/deep")).expect("directories");
    for file in ["set/x", "set/deep/y", "a=b", "1.cfg"] {
        fs::write(dir.path().join(file), file).expect("a file");
    }
    let line = [
        "--input",
        "@/set=data",
        "--input",
        "@/a=b",
        "--input",
        "@/{}.cfg=cfg",
        "--",
        "true",
        ":::",
        "1",
    ];
    let ensemble = ensemble(dir.path(), &line).expect("an ensemble");
    let mut stage = Stage::default();
    let template = ensemble.template(&mut stage).expect("a template").what;
    let names: Vec<&str> = template
        .inputs
        .iter()
        .map(|input| input.name.as_str())
        .collect();
    assert_eq!(names, ["a=b", "data/deep/y", "data/x"]);
    let tasks = ensemble.tasks(&mut stage, 0..1).expect("a task").what;
    assert_eq!(inputs(&tasks[0]), [("cfg", false)]);
}

#[test]
fn two_files_under_one_name_are_told_apart_or_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    for sub in ["p", "q", "r"] {
        fs::create_dir(dir.path().join(sub)).expect("a directory");
        let text = if sub == "r" { "p" } else { sub };
        fs::write(dir.path().join(sub).join("x"), text).expect("a file");
    }
    let tasks = |second: &str| {
        let line = ["--", "cmp", ":::", "@/p/x", ":::+", second];
        let ensemble = ensemble(dir.path(), &line).expect("an ensemble");
        ensemble.tasks(&mut Stage::default(), 0..1)
    };
    let refused = tasks("@/q/x").expect_err("other contents").to_string();
    assert!(refused.contains("as x"), "{refused}");
    assert_eq!(
        tasks("@/r/x").expect("the same contents").what[0]
            .inputs
            .len(),
        1
    );
}

#[test]
fn an_archive_is_unpacked_and_a_large_directory_travels_as_one() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("data.tar.gz"), "packed").expect("a file");
    fs::create_dir_all(dir.path().join("many/deep")).expect("a directory");
    for n in 0..300 {
        fs::write(dir.path().join(format!("many/deep/{n}")), n.to_string()).expect("a file");
    }
    fs::write(dir.path().join("many/large"), vec![7; 2 << 20]).expect("a file");
    let line = [
        "--unpack",
        "@/data.tar.gz",
        "--unpack",
        "@/data.tar.gz=else/where",
        "--input",
        "@/many",
        "--",
        "true",
    ];
    let template = |stage: &mut Stage| {
        let ensemble = ensemble(dir.path(), &line).expect("an ensemble");
        ensemble.template(stage).expect("a template")
    };
    let mut stage = Stage::default();
    let first = template(&mut stage);
    let names = first.what.inputs.iter();
    let names: Vec<_> = names
        .map(|input| (input.name.as_str(), input.form))
        .collect();
    let wanted = [
        ("data", Form::Archive),
        ("else/where", Form::Archive),
        ("many", Form::Archive),
        ("many/large", Form::Data),
    ];
    assert_eq!(names, wanted);
    let many = first.what.inputs[2].file.digest;
    let pack = first.files.iter().find(|(digest, _)| *digest == many);
    let (_, pack) = pack.expect("it is to be sent");
    let mut pack = tar::Archive::new(fs::File::open(pack).expect("a pack"));
    assert_eq!(pack.entries().expect("an archive").count(), 300);
    let again = template(&mut Stage::default()).what;
    assert_eq!(
        again.inputs, first.what.inputs,
        "the same files, the same contents"
    );
}

#[test]
fn outputs_stay_inside_and_do_not_overwrite_each_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let made = |output: &str, dir_pattern: &str| {
        let line = ["--output", output, "--", "true", ":::", "a", "b"];
        let ensemble = ensemble(dir.path(), &line).expect("an ensemble");
        ensemble.check_outputs(&ensemble.pattern(dir_pattern))?;
        ensemble.template(&mut Stage::default())?;
        ensemble.tasks(&mut Stage::default(), 0..2).map(|_| ())
    };
    made("{}.out", ".").expect("one for each");
    made("./{}.out", ".").expect("one for each");
    made("*.out", ".").expect("who knows");
    made("out", "{}").expect("a directory for each");
    for (output, dir_pattern) in [
        ("out", "."),
        ("/tmp/{}", "."),
        ("../{}", "."),
        ("{}/../../x", "."),
    ] {
        assert!(made(output, dir_pattern).is_err(), "{output}");
    }
}

#[test]
fn options_say_what_tasks_need_and_how_they_are_scheduled() {
    let dir = tempfile::tempdir().expect("a directory");
    let line = [
        "--cores",
        "0.5",
        "--memory",
        "2G",
        "--time-limit",
        "90s",
        "--retries",
        "3",
        "--fast-abort",
        "1.5",
        "--prefer",
        "site-b",
        "--priority",
        "-2",
        "--env",
        "A=b=c",
        "--",
        "/bin/true",
    ];
    let ensemble = ensemble(dir.path(), &line).expect("an ensemble");
    let template = ensemble
        .template(&mut Stage::default())
        .expect("a template")
        .what;
    assert_eq!(template.resources.cores_milli, 500);
    assert_eq!(template.resources.memory_bytes, 2 << 30);
    assert_eq!(template.policy.fast_abort_percent, Some(150));
    assert_eq!(
        template.policy.algorithm,
        muster_proto::task::Algorithm::PreferredHosts
    );
    assert_eq!(template.policy.priority, -2);
    assert_eq!(template.environment, [("A".to_owned(), "b=c".to_owned())]);
    assert_eq!(template.category, "true");
    assert_eq!((ensemble.len(), template.inputs.len()), (1, 0));
    let body = ensemble
        .tasks(&mut Stage::default(), 0..1)
        .expect("one task")
        .what;
    assert!(body[0].words.is_empty(), "the template's command");
}
