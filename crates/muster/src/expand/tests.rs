use std::io;

use super::*;

/// The command lines that `line` expands to.
fn expanded(line: &[&str]) -> Vec<Vec<String>> {
    let line: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
    let (command, groups) = split(&line, &mut no_files).expect("a command with sources");
    let sources = Sources::new(groups).expect("few tasks");
    lines(&command, &sources)
}

fn lines(command: &[String], sources: &Sources) -> Vec<Vec<String>> {
    let words = Words::new(command, sources);
    (0..sources.len())
        .map(|at| words.fill(&sources.row(at).expect("a row below the length")))
        .collect()
}

fn no_files(file: &str) -> io::Result<String> {
    match file {
        "list" => Ok("one\ntwo words\r\n\nfour\n".to_owned()),
        "empty" => Ok(String::new()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

#[test]
fn a_command_without_sources_runs_once_as_it_stands() {
    assert_eq!(
        expanded(&["sh", "-c", "echo {} {1} {#} {.}"]),
        [["sh", "-c", "echo {} {1} {#} {.}"]]
    );
}

#[test]
fn without_a_hole_the_argument_is_appended() {
    assert_eq!(
        expanded(&["echo", ":::", "a", "b c"]),
        [["echo", "a"], ["echo", "b c"]]
    );
    assert_eq!(
        expanded(&["echo", ":::", "a", ":::", "b"]),
        [["echo", "a", "b"]]
    );
    assert_eq!(
        expanded(&["echo", "{#}", ":::", "a"]),
        [["echo", "1"]],
        "a number is a hole as well"
    );
}

#[test]
fn sources_are_crossed_and_the_last_turns_fastest() {
    assert_eq!(
        expanded(&["e", "{1}{2}", ":::", "a", "b", ":::", "1", "2"]),
        [["e", "a1"], ["e", "a2"], ["e", "b1"], ["e", "b2"]]
    );
}

#[test]
fn linked_sources_advance_together_to_the_end_of_the_shortest() {
    assert_eq!(
        expanded(&["e", "{1}{2}", ":::", "a", "b", "c", ":::+", "1", "2"]),
        [["e", "a1"], ["e", "b2"]]
    );
    assert_eq!(
        expanded(&[
            "e",
            "{1}{2}{3}",
            ":::",
            "x",
            "y",
            ":::",
            "a",
            "b",
            ":::+",
            "1",
            "2"
        ]),
        [["e", "xa1"], ["e", "xb2"], ["e", "ya1"], ["e", "yb2"]]
    );
}

#[test]
fn lines_of_files_are_arguments() {
    assert_eq!(
        expanded(&["e", "::::", "list"]),
        [["e", "one"], ["e", "two words"], ["e", ""], ["e", "four"]]
    );
    assert_eq!(
        expanded(&["e", ":::", "1", "2", "::::+", "list"]),
        [["e", "1", "one"], ["e", "2", "two words"]]
    );
    assert!(expanded(&["e", ":::", "a", "::::", "empty"]).is_empty());
    assert!(expanded(&["e", ":::"]).is_empty());
}

#[test]
fn every_part_of_an_argument_has_its_hole() {
    for (value, stem, base, directory, base_stem) in [
        ("a/b.txt", "a/b", "b.txt", "a", "b"),
        ("b.tar.gz", "b.tar", "b.tar.gz", ".", "b.tar"),
        ("plain", "plain", "plain", ".", "plain"),
        ("d.x/plain", "d.x/plain", "plain", "d.x", "plain"),
        (".hidden", ".hidden", ".hidden", ".", ".hidden"),
        ("d/.hidden.z", "d/.hidden", ".hidden.z", "d", ".hidden"),
        ("/root.c", "/root", "root.c", "/", "root"),
        ("a/b/", "a/b/", "", "a/b", ""),
        ("", "", "", ".", ""),
        ("größe/日本.dat", "größe/日本", "日本.dat", "größe", "日本"),
        (
            "with space.x",
            "with space",
            "with space.x",
            ".",
            "with space",
        ),
        ("-rf.x", "-rf", "-rf.x", ".", "-rf"),
        (
            "it's \"q\".x",
            "it's \"q\"",
            "it's \"q\".x",
            ".",
            "it's \"q\"",
        ),
        ("$(rm).x", "$(rm)", "$(rm).x", ".", "$(rm)"),
        ("{}.x", "{}", "{}.x", ".", "{}"),
        ("a\nb.x", "a\nb", "a\nb.x", ".", "a\nb"),
    ] {
        let line = ["e", "{}", "{.}", "{/}", "{//}", "{/.}", ":::", value];
        assert_eq!(
            expanded(&line),
            [["e", value, stem, base, directory, base_stem]],
            "{value:?}"
        );
        let line = ["e", "{1}", "{1.}", "{1/}", "{1//}", "{1/.}", ":::", value];
        assert_eq!(
            expanded(&line),
            [["e", value, stem, base, directory, base_stem]],
            "{value:?} by number"
        );
    }
}

#[test]
fn a_word_stays_one_word_and_keeps_what_is_no_hole() {
    for (word, filled) in [
        ("<{}>", "<x y>"),
        ("{}{}", "x yx y"),
        ("{ {} }", "{ x y }"),
        ("{{}}", "{x y}"),
        ("{", "{"),
        ("}", "}"),
        ("{}}", "x y}"),
        ("{ }{}", "{ }x y"),
        ("{0}{}", "{0}x y"),
        ("{2}{}", "{2}x y"),
        ("{-1}{+1}{}", "{-1}{+1}x y"),
        ("{print $1}{}", "{print $1}x y"),
        ("a{1,3}{}", "a{1,3}x y"),
        ("${HOME}{}", "${HOME}x y"),
        ("{name}{}", "{name}x y"),
        ("日{}本", "日x y本"),
        ("{99999999999999999999}{}", "{99999999999999999999}x y"),
        ("#{#}", "#1"),
    ] {
        let line = ["e", word, "{#}", ":::", "x y"];
        assert_eq!(expanded(&line), [["e", filled, "1"]], "{word:?}");
    }
}

#[test]
fn several_arguments_in_one_hole_are_joined_by_spaces() {
    assert_eq!(
        expanded(&["e", "<{}>", "{/.}", ":::", "a/1.x", ":::", "b/2.y"]),
        [["e", "<a/1.x b/2.y>", "1 2"]]
    );
}

#[test]
fn an_argument_that_looks_like_a_hole_is_not_filled_again() {
    assert_eq!(
        expanded(&["e", "{1}-{2}", ":::", "{2}", ":::", "{1}"]),
        [["e", "{2}-{1}"]]
    );
}

#[test]
fn the_columns_of_a_table_are_called_by_name() {
    let text = "\u{feff}temp, file.x ,note\r\n300,a.pdb,\"said \"\"hi\"\", left\"\r\n\r\n310,b.pdb,\"two\nlines\"\n";
    let sources = Sources::new(vec![Group::table("t.csv", text).expect("a table")]).expect("two");
    let command = [
        "e",
        "{temp}",
        "{file.x.}",
        "{note}",
        "{3}",
        "{#}",
        "{other}",
    ]
    .map(str::to_owned);
    assert_eq!(
        lines(&command, &sources),
        [
            [
                "e",
                "300",
                "a",
                "said \"hi\", left",
                "said \"hi\", left",
                "1",
                "{other}"
            ],
            ["e", "310", "b", "two\nlines", "two\nlines", "2", "{other}"],
        ]
    );
}

#[test]
fn tables_that_are_none_are_refused() {
    for (text, wanted) in [
        ("", "t is no table"),
        ("a,b\n\"open", "t is no table"),
        ("a,b\n1,2\n3\n", "row 3 of t has 1 fields; its header has 2"),
        ("a,b\n1,2,\n", "row 2 of t has 3 fields; its header has 2"),
    ] {
        let error = Group::table("t", text).expect_err(text).to_string();
        assert!(error.contains(wanted), "{text:?}: {error}");
    }
    let sources = Sources::new(vec![Group::table("t", "a,b\n,x").expect("a table")]).expect("one");
    assert_eq!(
        sources.row(0).map(|row| row.values),
        Some(vec![String::new(), "x".to_owned()])
    );
}

#[test]
fn arrays_are_counted_and_not_held() {
    let array = |text: &str| -> Vec<String> {
        let sources = Sources::new(vec![Column::array(text).expect(text).into()]).expect("few");
        (0..sources.len())
            .filter_map(|at| sources.row(at))
            .map(|row| row.values.concat())
            .collect()
    };
    assert_eq!(array("1-3"), ["1", "2", "3"]);
    assert_eq!(array("0-10:5"), ["0", "5", "10"]);
    assert_eq!(array("7"), ["7"]);
    for wrong in [
        "",
        "a",
        "3-1",
        "1-3:0",
        "1-",
        "-3",
        "1-2-3",
        "1-18446744073709551615",
    ] {
        assert!(Column::array(wrong).is_err(), "{wrong:?}");
    }
    let huge: Group = Column::array("0-18446744073709551614")
        .expect("a range")
        .into();
    let sources = Sources::new(vec![huge.clone()]).expect("as many as there are numbers");
    let last = sources.row(sources.len() - 1).map(|row| row.values);
    assert_eq!(last, Some(vec!["18446744073709551614".to_owned()]));
    assert!(Sources::new(vec![huge.clone(), huge]).is_err());
}

#[test]
fn mistakes_are_told() {
    let told = |line: &[&str]| {
        let line: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
        split(&line, &mut no_files)
            .expect_err("a mistake")
            .to_string()
    };
    assert!(told(&[]).contains("no command"));
    assert!(told(&[":::", "a"]).contains("no command"));
    assert!(told(&["e", ":::+", "a"]).contains(":::+ links"));
    assert!(told(&["e", "::::", "gone"]).contains("gone"));
}
