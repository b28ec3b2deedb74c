//! What a peer may call a file: refused where it is read, or a name in the sandbox and nothing else.

use muster_proto::BadPath;
use muster_proto::limits::{PART_BYTES_MAX, PATH_BYTES_MAX};

use super::*;

#[test]
fn a_hostile_name_is_refused_or_stays_inside() {
    let mut cage = Cage::new("name");
    let refused = refused();
    for (case, name, why) in &refused {
        assert_eq!(RelPath::new(name), Err(*why), "{case}");
        let output = postcard::to_stdvec(&(name, Need::Required)).expect("bytes");
        assert!(
            postcard::from_bytes::<OutputFile>(&output).is_err(),
            "{case}"
        );
        let input = postcard::to_stdvec(&(
            name,
            FileRef {
                digest: Digest([7; 32]),
                bytes: 1,
            },
            false,
        ));
        assert!(
            postcard::from_bytes::<InputFile>(&input.expect("bytes")).is_err(),
            "{case}"
        );
    }
    let odd = postcard::to_stdvec(&(&b"a\xff\xfe"[..], Need::Required)).expect("bytes");
    assert!(
        postcard::from_bytes::<OutputFile>(&odd).is_err(),
        "{NOT_TEXT}"
    );
    let long_part = "x".repeat(PART_BYTES_MAX);
    let inside = inside(&long_part);
    for &(case, name) in &inside {
        let mut run = cage.run("[ \"$(find . -type f | wc -l)\" = 1 ]", &[name]);
        run.inputs = vec![cage.world.input(name, "contents")];
        let ended = cage.warden.run(&run);
        assert_eq!(ended.end, End::Exited(0), "{case}: {}", text(&ended.stderr));
        let [output] = &ended.outputs[..] else {
            panic!("{case}: {ended:?}");
        };
        assert_eq!(
            (output.name.as_str(), output.file),
            (name, run.inputs[0].file),
            "{case}"
        );
        cage.look_after(case, &[]);
    }
    cage.close();
    let refused = refused.iter().map(|(case, ..)| *case);
    let inside = inside.iter().map(|(case, _)| *case);
    assert_listed("name", refused.chain([NOT_TEXT]).chain(inside));
}

const NOT_TEXT: &str = "name/not-text";

fn refused() -> Vec<(&'static str, String, BadPath)> {
    let parts = |count: usize| vec!["abc"; count].join("/");
    let long = parts(PATH_BYTES_MAX / 4 + 1);
    [
        ("name/empty", "", BadPath::Empty),
        ("name/slash", "/", BadPath::Absolute),
        ("name/absolute", "/etc/passwd", BadPath::Absolute),
        ("name/two-slashes", "//etc/passwd", BadPath::Absolute),
        ("name/dot", ".", BadPath::Component),
        ("name/dots", "..", BadPath::Component),
        ("name/up", "../precious", BadPath::Component),
        ("name/up-inside", "a/../../precious", BadPath::Component),
        ("name/up-at-the-end", "a/..", BadPath::Component),
        (
            "name/sibling-prefix",
            "../box-of-another/x",
            BadPath::Component,
        ),
        ("name/pattern-up", "*/../../*", BadPath::Component),
        ("name/dot-inside", "a/./b", BadPath::Component),
        ("name/empty-component", "a//b", BadPath::Component),
        ("name/slash-at-the-end", "a/", BadPath::Component),
        ("name/nul", "a\0/../b", BadPath::Control),
        ("name/newline", "a\nb", BadPath::Control),
        ("name/escape", "\u{1b}[2J\u{1b}]0;x\u{7}", BadPath::Control),
        ("name/delete", "a\u{7f}", BadPath::Control),
        ("name/c1-control", "\u{9b}2J", BadPath::Control),
        (
            "name/long-component",
            &"x".repeat(PART_BYTES_MAX + 1),
            BadPath::LongPart,
        ),
        ("name/long", &long, BadPath::Long),
    ]
    .map(|(case, name, why)| (case, name.to_owned(), why))
    .into()
}

fn inside(long_part: &str) -> [(&'static str, &str); 12] {
    [
        ("name/leading-dash", "-rf"),
        ("name/backslashes", "..\\..\\precious"),
        ("name/fullwidth-dots", "\u{ff0e}\u{ff0e}/precious"),
        ("name/two-dot-leader", "\u{2025}/precious"),
        ("name/division-slash", "..\u{2215}precious"),
        ("name/percent-encoded", "%2e%2e%2fprecious"),
        ("name/three-dots", ".../precious"),
        ("name/home", "~/precious"),
        ("name/variable", "$CANARY;`id`"),
        ("name/pattern-characters", "[*?]"),
        ("name/right-to-left", "\u{202e}txt.sh"),
        ("name/longest-component", long_part),
    ]
}
