//! What may not stand in a file, found line by line in its text.

use super::{File, Finding, arrows};

const LINES_MAX: usize = 800;

/// Words that may not stand in any Rust file, each with what to do. They are written in halves, so that this file
/// does not find itself.
const FORBIDDEN: [(&str, &str); 5] = [
    (
        concat!("todo", "!("),
        "do it, or delete the code that waits for it.",
    ),
    (
        concat!("unimplemented", "!("),
        "write it, or make the case impossible by its type.",
    ),
    (
        concat!("#[", "ignore"),
        "make the test fast and steady, or delete it.",
    ),
    (
        concat!("#[should", "_panic"),
        "return an error and assert on it, or catch the panic and read its message.",
    ),
    (
        concat!("thread::", "sleep"),
        "wait for the thing itself: a line, a file's arrival, an exit, a deadline.",
    ),
];

/// What a brain may not name outside its tests.
const WORLDLY: [(&str, &str); 5] = [
    (
        "std::fs",
        "return an output, and let the driver touch the disk.",
    ),
    (
        "std::net",
        "addresses are in core::net; sockets belong to the driver.",
    ),
    (
        "std::thread",
        "a brain is one value on one thread; the driver owns threads.",
    ),
    (
        "std::time::Instant",
        "take `now: Time` as the first argument.",
    ),
    ("SystemTime", "wall time comes in as an input."),
];

/// Folders that exist on a build machine and on no reader's.
const HOMES: [&str; 2] = [concat!("/ho", "me/"), concat!("/ro", "ot/")];

/// Checks one file against the rules of its kind.
pub fn check(file: &File) -> Vec<Finding> {
    let mut findings = homes(file);
    if file.is_rust() {
        findings.extend(shape(file));
        findings.extend(forbidden(file));
    }
    if is_pure(&file.path) {
        findings.extend(worldly(file));
    }
    findings
}

fn shape(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let is_root = file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs");
    if is_root && !file.text.starts_with("//!") {
        findings.push(Finding::at(
            file,
            1,
            "begin with `//!` and say why this crate exists.",
        ));
    }
    if name == concat!("mod", ".rs") {
        findings.push(Finding::of(
            &file.path,
            "rename it to the name of its folder, beside the folder.",
        ));
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        let what = format!(
            "split it by family of inputs: it has {lines} lines, and {LINES_MAX} is the most."
        );
        findings.push(Finding::at(file, LINES_MAX + 1, what));
    }
    findings
}

fn forbidden(file: &File) -> Vec<Finding> {
    let code = file.lines().filter(|(_, line)| !is_comment(line));
    let hits =
        code.flat_map(|(number, line)| FORBIDDEN.iter().map(move |rule| (number, line, rule)));
    hits.filter(|(_, line, (word, _))| line.contains(word))
        .map(|(number, _, (word, remedy))| {
            Finding::at(
                file,
                number,
                format!("`{word}` may not stand here: {remedy}"),
            )
        })
        .collect()
}

fn homes(file: &File) -> Vec<Finding> {
    let hit = |line: &str| HOMES.iter().copied().find(|home| starts_path(line, home));
    file.lines()
        .filter_map(|(number, line)| hit(line).map(|home| (number, home)))
        .map(|(number, home)| {
            let what = format!(
                "remove the path below {home}: no committed file names somebody's home directory."
            );
            Finding::at(file, number, what)
        })
        .collect()
}

/// Tells whether `folder` stands in `line` as the beginning of a path, and not inside a longer one.
fn starts_path(line: &str, folder: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || "_-.}".contains(c);
    line.match_indices(folder)
        .any(|(at, _)| !line[..at].ends_with(is_inside))
}

fn worldly(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in production(file) {
        for (word, remedy) in WORLDLY.iter().filter(|(word, _)| line.contains(word)) {
            findings.push(Finding::at(
                file,
                number,
                format!("`{word}` may not stand in a pure crate: {remedy}"),
            ));
        }
    }
    findings
}

/// Tells whether a path is code of a brain, and not a file of its tests.
fn is_pure(path: &str) -> bool {
    let mut parts = path.split('/');
    let crate_of = (parts.next(), parts.next(), parts.next());
    let (Some("crates"), Some(name), Some("src")) = crate_of else {
        return false;
    };
    let is_test = |part: &str| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs");
    path.ends_with(".rs") && arrows::PURE.contains(&name) && !parts.any(is_test)
}

/// Leaves out comments and every item below `#[cfg(test)]`, whose end the indentation of rustfmt shows.
fn production(file: &File) -> Vec<(usize, &str)> {
    let mut kept = Vec::new();
    let mut lines = file.lines();
    while let Some((number, line)) = lines.next() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            let indent = line.len() - line.trim_start().len();
            let closes = |line: &str| {
                let own = line.len() - line.trim_start().len() == indent;
                own && (line.ends_with(';')
                    || line.trim_start().starts_with('}')
                    || line.ends_with('}'))
            };
            lines.by_ref().find(|(_, line)| closes(line));
        } else if !is_comment(line) {
            kept.push((number, line));
        }
    }
    kept
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        check(&file).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn each_forbidden_word_is_found_with_its_line() {
        for (word, remedy) in FORBIDDEN {
            let found = found("tests/src/a.rs", &format!("fn a() {{\n    {word}\n}}\n"));
            assert_eq!(
                found,
                [format!(
                    "tests/src/a.rs:2: `{word}` may not stand here: {remedy}"
                )]
            );
        }
    }

    #[test]
    fn a_comment_may_speak_of_what_code_may_not_do() {
        assert_eq!(
            found(
                "tests/src/a.rs",
                &format!("// No {} here.\n", FORBIDDEN[4].0)
            ),
            [""; 0]
        );
    }

    #[test]
    fn a_crate_begins_with_its_reason() {
        let found = found("crates/sched/src/lib.rs", "mod queue;\n");
        assert_eq!(
            found,
            ["crates/sched/src/lib.rs:1: begin with `//!` and say why this crate exists."]
        );
    }

    #[test]
    fn long_files_and_files_named_after_nothing_are_found() {
        assert_eq!(
            found("crates/node/src/a.rs", &"fn\n".repeat(LINES_MAX)),
            [""; 0]
        );
        assert_eq!(
            found("crates/node/src/a.rs", &"fn\n".repeat(LINES_MAX + 1)),
            [
                "crates/node/src/a.rs:801: split it by family of inputs: it has 801 lines, and 800 is the most."
            ]
        );
        assert_eq!(
            found("crates/node/src/a/mod.rs", "fn a() {}\n"),
            ["crates/node/src/a/mod.rs: rename it to the name of its folder, beside the folder."]
        );
    }

    #[test]
    fn a_home_directory_is_found_in_any_file() {
        for home in HOMES {
            let found = found(
                "docs/manual.md",
                &format!("Open it.\nIt is in {home}ada/muster.\n"),
            );
            assert_eq!(found.len(), 1);
            assert!(
                found[0].starts_with("docs/manual.md:2: remove the path below"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_folder_of_that_name_inside_a_longer_path_is_no_home() {
        for home in HOMES {
            assert_eq!(
                found("docs/manual.md", &format!("muster://fed/site{home}w1\n")),
                [""; 0]
            );
        }
    }

    #[test]
    fn a_brain_may_not_name_the_world() {
        for (word, remedy) in WORLDLY {
            let found = found(
                "crates/sched/src/queue.rs",
                &format!("//! Queues.\nuse {word};\n"),
            );
            assert_eq!(
                found,
                [format!(
                    "crates/sched/src/queue.rs:2: `{word}` may not stand in a pure crate: {remedy}"
                )]
            );
        }
    }

    #[test]
    fn the_drivers_and_the_tests_of_brains_may() {
        assert_eq!(found("crates/store/src/disk.rs", "use std::fs;\n"), [""; 0]);
        assert_eq!(
            found("crates/sched/src/queue/tests.rs", "use std::fs;\n"),
            [""; 0]
        );
        assert_eq!(
            found("crates/sched/tests/scripts.rs", "use std::fs;\n"),
            [""; 0]
        );
        let inline = "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_eq!(found("crates/sched/src/queue.rs", inline), [""; 0]);
    }

    #[test]
    fn code_below_a_test_item_is_still_production() {
        let text = "#[cfg(test)]\nmod tests;\nuse std::fs;\n#[cfg(test)]\nfn f() {\n    std::fs::read();\n}\nuse std::net::IpAddr;\n";
        let found = found("crates/proto/src/a.rs", text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("a.rs:3: `std::fs`") && found[1].contains("a.rs:8: `std::net`"),
            "{found:?}"
        );
    }
}
