//! The program as a batch system sees it: arguments, files, one line of output, exit codes.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set its stage has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const NATIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/ubiquitin-ca.pdb");

#[test]
fn a_chain_of_runs_is_repeated_to_the_last_byte() {
    let folder = Folder::new("chain");
    for name in ["a", "b"] {
        let first = folder.step(&["--out", &format!("{name}1"), "--temperature", "0.8"]);
        assert!(first.status.success(), "{}", said(&first));
        let (from, to) = (format!("{name}1"), format!("{name}2"));
        let second = folder.step(&["--state", &from, "--out", &to, "--temperature", "0.9"]);
        assert!(second.status.success(), "{}", said(&second));
        fs::write(folder.path.join(format!("{name}.json")), second.stdout).unwrap();
    }
    for name in ["1", "2", ".json"] {
        assert_eq!(
            folder.read(&format!("a{name}")),
            folder.read(&format!("b{name}")),
            "{name}"
        );
    }
    assert!(
        folder
            .read("a2")
            .starts_with("gomodel state 1\nsteps 100\ntemperature 0.9\nbeads 76\n")
    );
    assert_ne!(folder.read("a1"), folder.read("a2"));
}

#[test]
fn a_step_prints_one_line_of_json_with_every_measurement() {
    let folder = Folder::new("json");
    let output = folder.step(&["--out", "o", "--temperature", "0.5"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1);
    let fields = text
        .trim_end()
        .strip_prefix('{')
        .and_then(|t| t.strip_suffix('}'))
        .unwrap();
    let names: Vec<&str> = fields
        .split(',')
        .map(|field| field.split_once(':').unwrap().0)
        .collect();
    let wanted = [
        "\"energy\"",
        "\"energy_mean\"",
        "\"kinetic_temperature\"",
        "\"contacts\"",
        "\"rmsd\"",
        "\"steps\"",
        "\"temperature\"",
    ];
    assert_eq!(names, wanted);
    for field in fields.split(',') {
        let value: f64 = field.split_once(':').unwrap().1.parse().unwrap();
        assert!(value.is_finite());
    }
}

#[test]
fn describe_tells_what_the_native_structure_gives() {
    let output = gomodel(Path::new("."), &["describe", "--native", NATIVE]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("{\"residues\":76,\"bonds\":75,\"contacts\":151,\"native_energy\":-150.9"),
        "{text}"
    );
}

#[test]
fn a_wrong_command_line_shows_the_usage_and_exits_with_2() {
    let cases: [(&[&str], &str); 7] = [
        (&[], "a command is missing"),
        (&["fold"], "there is no command fold"),
        (&["describe"], "--native is missing"),
        (&["describe", "--seed", "1"], "there is no flag --seed"),
        (&["describe", "--native"], "--native needs a value"),
        (
            &["describe", "--native", "a", "--native", "b"],
            "--native is given twice",
        ),
        (
            &[
                "step",
                "--native",
                "a",
                "--out",
                "o",
                "--temperature",
                "-1",
                "--steps",
                "5",
                "--seed",
                "1",
            ],
            "--temperature -1 is not a number above 0",
        ),
    ];
    for (words, sentence) in cases {
        let output = gomodel(Path::new("."), words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(output.stdout.is_empty());
        assert!(
            said(&output).starts_with(&format!("gomodel: {sentence}\n\nusage: gomodel step")),
            "{}",
            said(&output)
        );
    }
    let help = gomodel(Path::new("."), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(
        String::from_utf8(help.stdout)
            .unwrap()
            .starts_with("usage: gomodel step")
    );
}

#[test]
fn bad_input_is_one_sentence_and_exits_with_1_and_leaves_no_state() {
    let folder = Folder::new("bad");
    fs::write(folder.path.join("s"), "gomodel state 1\nsteps 5\n").unwrap();
    let torn = folder.step(&["--state", "s", "--out", "o", "--temperature", "0.8"]);
    assert_eq!(torn.status.code(), Some(1));
    assert_eq!(
        said(&torn),
        "gomodel: s line 3: temperature and a number above 0 should stand here\n"
    );
    let absent = folder.step(&["--state", "none", "--out", "o", "--temperature", "0.8"]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(
        said(&absent).starts_with("gomodel: cannot read none: "),
        "{}",
        said(&absent)
    );
    assert!(!folder.path.join("o").exists());
}

fn gomodel(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gomodel"))
        .args(words)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder of one test, gone when the test is over.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("gomodel-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder { path }
    }

    /// Runs a step of 50 steps of ubiquitin.
    fn step(&self, words: &[&str]) -> Output {
        let fixed = ["step", "--native", NATIVE, "--steps", "50", "--seed", "1"];
        gomodel(&self.path, &[&fixed, words].concat())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind harms no other run: its name holds the process.
        let _ = fs::remove_dir_all(&self.path);
    }
}
