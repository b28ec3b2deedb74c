//! Papers that must keep step with the code: the table of dependencies, the pages of errors, the front page.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, Finding};

const DEPENDENCIES: &str = "docs/dependencies.md";
const README: &str = "README.md";
const README_LINES_MAX: usize = 120;
const ERRORS: &str = "docs/errors/";

/// Checks the papers against the code and against the packages from `outside` that some manifest names.
pub fn check(files: &[File], outside: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = dependencies(files, outside);
    findings.extend(errors(files));
    findings.extend(readme(files));
    findings
}

fn dependencies(files: &[File], outside: &BTreeSet<String>) -> Vec<Finding> {
    let Some(table) = named(files, DEPENDENCIES) else {
        return vec![Finding::of(
            DEPENDENCIES,
            "write it: it says why each dependency is here.",
        )];
    };
    let promised = named(files, "Cargo.toml").map(promised).unwrap_or_default();
    let rows: BTreeMap<&str, usize> = table
        .lines()
        .filter_map(|(number, line)| Some((row(line)?, number)))
        .collect();
    let wanted: BTreeSet<&str> = outside.iter().map(String::as_str).chain(promised).collect();
    let missing = wanted
        .iter()
        .filter(|name| !rows.contains_key(*name))
        .map(|name| {
            Finding::of(
                DEPENDENCIES,
                format!("add a row for `{name}` that says why it is here, or drop the dependency."),
            )
        });
    let stale = rows
        .iter()
        .filter(|(name, _)| !wanted.contains(*name))
        .map(|(name, number)| {
            Finding::at(
                table,
                *number,
                format!("delete the row of `{name}`: no manifest of the workspace names it."),
            )
        });
    missing.chain(stale).collect()
}

/// Reads the name in the first cell of a row such as ``| `serde` | 1 | ...``.
fn row(line: &str) -> Option<&str> {
    line.strip_prefix("| `")?.split('`').next()
}

/// Reads the names that the root manifest offers to the workspace from outside it.
fn promised(manifest: &File) -> Vec<&str> {
    let section = manifest
        .text
        .split("\n[workspace.dependencies]")
        .nth(1)
        .unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let lines = section
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("path = "));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim())
        .collect()
}

fn errors(files: &[File]) -> Vec<Finding> {
    let mut used: BTreeMap<String, (&File, usize)> = BTreeMap::new();
    let is_code = |file: &&File| file.is_rust() || file.path.ends_with(".py");
    for file in files.iter().filter(is_code) {
        for (number, line) in file
            .lines()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            for code in codes(line) {
                used.entry(code).or_insert((file, number));
            }
        }
    }
    let page = |file: &File| {
        Some(
            file.path
                .strip_prefix(ERRORS)?
                .strip_suffix(".md")?
                .to_owned(),
        )
    };
    let pages: BTreeSet<String> = files
        .iter()
        .filter_map(page)
        .filter(|page| codes(page).len() == 1)
        .collect();
    let unwritten =
        used.iter()
            .filter(|(code, _)| !pages.contains(*code))
            .map(|(code, (file, number))| {
                Finding::at(
                    file,
                    *number,
                    format!(
                        "write {ERRORS}{code}.md, or use the code of an error that has its page."
                    ),
                )
            });
    let unused = pages
        .iter()
        .filter(|code| !used.contains_key(*code))
        .map(|code| {
            Finding::of(
                &format!("{ERRORS}{code}.md"),
                format!("delete it or raise {code} somewhere: no code names it."),
            )
        });
    unwritten.chain(unused).collect()
}

/// Finds every error code, two letters and four digits, that stands alone in `line`.
fn codes(line: &str) -> Vec<String> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric());
    let is_code = |word: &&str| {
        word.strip_prefix("MU")
            .is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    words.filter(is_code).map(str::to_owned).collect()
}

fn readme(files: &[File]) -> Vec<Finding> {
    let Some(readme) = named(files, README) else {
        return vec![Finding::of(
            README,
            "write it: a reader meets this page first.",
        )];
    };
    let lines = readme.text.lines().count();
    if lines <= README_LINES_MAX {
        return Vec::new();
    }
    let what = format!(
        "move something to docs: it has {lines} lines, and {README_LINES_MAX} is the most."
    );
    vec![Finding::at(readme, README_LINES_MAX + 1, what)]
}

fn named<'a>(files: &'a [File], path: &str) -> Option<&'a File> {
    files.iter().find(|file| file.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "| crate | why |\n|---|---|\n| `serde` | words become bytes |\n";

    /// A code that this file does not spell out, so that it does not find itself.
    fn code(number: u32) -> String {
        format!("{}{number:04}", concat!("M", "U"))
    }

    fn found(files: &[(&str, &str)], outside: &[&str]) -> Vec<String> {
        let whole = [(README, "# Muster\n"), (DEPENDENCIES, TABLE)];
        let given = |path: &str| files.iter().any(|(other, _)| *other == path);
        let kept = whole.iter().filter(|(path, _)| !given(path));
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        let files: Vec<File> = files.iter().chain(kept).map(file).collect();
        let outside = outside.iter().map(|name| (*name).to_owned()).collect();
        check(&files, &outside)
            .iter()
            .map(Finding::to_string)
            .collect()
    }

    #[test]
    fn papers_that_keep_step_have_no_findings() {
        assert_eq!(found(&[], &["serde"]), [""; 0]);
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let why = "docs/dependencies.md: add a row for `left-pad` that says why it is here, or drop the dependency.";
        assert_eq!(found(&[], &["left-pad", "serde"]), [why]);
        let manifest = "[workspace]\n\n[workspace.dependencies]\nmuster-proto = { path = \"p\" }\nleft-pad = \"1\"\n\n[profile.dev]\nx = 1\n";
        assert_eq!(found(&[("Cargo.toml", manifest)], &["serde"]), [why]);
    }

    #[test]
    fn a_reason_without_a_dependency_is_found() {
        let stale = "docs/dependencies.md:3: delete the row of `serde`: no manifest of the workspace names it.";
        assert_eq!(found(&[], &[]), [stale]);
    }

    #[test]
    fn an_error_without_its_page_is_found_where_it_is_raised() {
        let code = code(107);
        let source = format!("fn f() {{\n    fail(\"{code}\");\n}}\n");
        assert_eq!(
            found(&[("crates/muster/src/a.rs", &source)], &["serde"]),
            [format!(
                "crates/muster/src/a.rs:2: write docs/errors/{code}.md, or use the code of an error that has its page."
            )]
        );
        let page = format!("docs/errors/{code}.md");
        assert_eq!(
            found(
                &[("crates/muster/src/a.rs", &source), (&page, "why")],
                &["serde"]
            ),
            [""; 0]
        );
    }

    #[test]
    fn a_page_without_its_error_is_found() {
        let code = code(108);
        let page = format!("docs/errors/{code}.md");
        let found = found(
            &[(&page, "why"), ("docs/errors/README.md", "all pages")],
            &["serde"],
        );
        assert_eq!(
            found,
            [format!(
                "docs/errors/{code}.md: delete it or raise {code} somewhere: no code names it."
            )]
        );
    }

    #[test]
    fn the_front_page_stays_short() {
        let long = "line\n".repeat(README_LINES_MAX + 1);
        assert_eq!(
            found(&[(README, &long)], &["serde"]),
            ["README.md:121: move something to docs: it has 121 lines, and 120 is the most."]
        );
    }
}
