//! What a task may leave in the place of an output.

use super::Needs::{Mounts, OrdinaryUser, Root};
use super::Why::{Absent, BadName, Irregular, Link, Unreadable};
use super::*;

#[test]
fn nothing_but_a_regular_file_inside_the_sandbox_is_taken() {
    let cases: Vec<Case> = [links(), kinds(), modes(), sizes(), odd_names(), mounts()]
        .into_iter()
        .flatten()
        .collect();
    try_all("output", &cases);
}

/// A warden that is no more than its user cannot open what a task has closed.
#[test]
fn what_a_task_closed_is_reported_as_its_own_doing() {
    let cases = [
        case("closed/mode-0", "echo 1 > out; chmod 0 out", &["out"]).misses("out", Unreadable),
        case(
            "closed/directory-of-mode-0",
            "mkdir d; echo 1 > d/x; chmod 0 d",
            &["d/x"],
        )
        .misses("d/x", Unreadable),
        case(
            "closed/directory-without-x",
            "mkdir d; echo 1 > d/x; chmod 600 d",
            &["d/x", "d"],
        )
        .misses("d/x", Unreadable)
        .misses("d/x", Unreadable),
        case(
            "closed/directory-without-w",
            "mkdir d; echo 1 > d/x; chmod 500 d",
            &["d/x"],
        )
        .misses("d/x", Unreadable),
        case("closed/sandbox", "echo 1 > out; chmod 0 . ", &["out"]).misses("out", Unreadable),
        case("closed/slot", "echo 1 > out; chmod 0 ..", &["out"]).takes("out", "1\n"),
        case("closed/streams", "chmod 0 ../out ../err; seq 10", &[]),
    ]
    .map(|case| case.needs(OrdinaryUser));
    try_all_in(
        Cage::confined("closed", Confinement::Subreaper),
        "closed",
        &cases,
    );
}

fn links() -> Vec<Case> {
    vec![
        case(
            "output/link-to-file",
            "ln -s $CANARY/precious out",
            &["out"],
        )
        .misses("out", Link),
        case(
            "output/link-upwards",
            "ln -s ../../../canary/precious out",
            &["out"],
        )
        .misses("out", Link),
        case("output/link-to-directory", "ln -s $CANARY out", &["out"]).misses("out", Link),
        case(
            "output/link-to-passwords",
            "ln -s /etc/passwd out",
            &["out"],
        )
        .misses("out", Link),
        case("output/link-to-nothing", "ln -s nowhere out", &["out"]).misses("out", Link),
        case("output/link-to-itself", "ln -s out out", &["out"]).misses("out", Link),
        case(
            "output/links-in-a-circle",
            "ln -s b a; ln -s a b",
            &["a", "b/c"],
        )
        .misses("a", Link)
        .misses("b/c", Link),
        case(
            "output/link-to-descriptor",
            "ln -s /proc/self/fd/1 out",
            &["out"],
        )
        .misses("out", Link),
        case("output/link-to-device", "ln -s /dev/zero out", &["out"]).misses("out", Link),
        case("output/link-to-own-input", "ln -s in out", &["out"]).misses("out", Link),
        case(
            "output/link-to-store",
            "ln -s ../../../store/objects out",
            &["out", "out/*"],
        )
        .misses("out", Link)
        .misses("out/*", Link),
        case(
            "output/parent-is-a-link",
            "ln -s $CANARY out",
            &["out/precious"],
        )
        .misses("out/precious", Link),
        case(
            "output/grandparent-is-a-link",
            "mkdir a; ln -s $CANARY a/b",
            &["a/b/inner/kept"],
        )
        .misses("a/b/inner/kept", Link),
        case(
            "output/parent-replaced-by-link",
            "mkdir d; echo mine > d/precious; mv d e; ln -s $CANARY d",
            &["d/precious", "e"],
        )
        .takes("e/precious", "mine\n")
        .misses("d/precious", Link),
        case(
            "output/root-by-proc",
            "ln -s /proc/1/root out",
            &["out/etc/passwd"],
        )
        .misses("out/etc/passwd", Link),
        case(
            "output/pattern-matches-links",
            "ln -s $CANARY/precious a; ln -s $CANARY b; echo c > c",
            &["[abc]"],
        )
        .takes("c", "c\n")
        .misses("a", Link)
        .misses("b", Link),
        case("output/pattern-behind-link", "ln -s $CANARY d", &["d/*"]).misses("d/*", Link),
        case(
            "output/pattern-names-directory",
            "ln -s $CANARY link",
            &["l*k/precious"],
        )
        .misses("l*k/precious", Absent),
        case(
            "output/links-in-directory",
            "mkdir d; echo a > d/a; ln -s $CANARY d/b; ln -s $CANARY/precious d/c",
            &["d"],
        )
        .takes("d/a", "a\n")
        .misses("d/b", Link)
        .misses("d/c", Link),
        case(
            "output/hard-link-to-file",
            "ln $CANARY/precious out",
            &["out"],
        )
        .takes("out", muster_canary::PRECIOUS),
        case(
            "output/hard-link-with-twin",
            "ln $CANARY/twin out",
            &["out"],
        )
        .takes("out", "two names"),
        case("output/hard-link-to-input", "ln in out", &["out", "in"])
            .takes("out", SMALL)
            .takes("in", SMALL),
    ]
}

fn kinds() -> Vec<Case> {
    vec![
        case("output/pipe", "mkfifo out", &["out"]).misses("out", Irregular),
        case("output/pipe-by-pattern", "mkfifo out", &["o?t"]).misses("out", Irregular),
        case("output/pipe-in-directory", "mkdir d; mkfifo d/p; echo a > d/a", &["d"])
            .takes("d/a", "a\n")
            .misses("d/p", Irregular),
        case("output/pipe-with-writer", "mkfifo out; (setsid sh -c 'exec 3<>out; echo x >&3; touch here; sleep 1000' &); until [ -e here ]; do :; done", &["out"])
            .misses("out", Irregular),
        case("output/socket", "perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0) && bind(S, sockaddr_un(q(out)))' || exit 77", &["out"])
            .misses("out", Irregular),
        case("output/device-zero", "mknod out c 1 5 || exit 77", &["out"]).needs(Root).misses("out", Irregular),
        case("output/device-null", "mknod out c 1 3 || exit 77", &["out"]).needs(Root).misses("out", Irregular),
        case("output/device-of-blocks", "mknod out b 7 0 || exit 77", &["out"]).needs(Root).misses("out", Irregular),
        case("output/directory-for-file", "mkdir out; echo 1 > out/in", &["out"]).takes("out/in", "1\n"),
        case("output/file-for-directory", "echo 1 > out", &["out/in"]).misses("out/in", Absent),
    ]
}

fn modes() -> Vec<Case> {
    vec![
        case(
            "output/set-id-bits",
            "echo '#!/bin/sh' > out; chmod 6755 out",
            &["out"],
        )
        .takes("out", "#!/bin/sh\n"),
        case(
            "output/writable-by-all",
            "echo 1 > out; chmod 7777 out",
            &["out"],
        )
        .takes("out", "1\n"),
        case(
            "output/owned-by-another",
            "echo 1 > out; chown 12345:12345 out",
            &["out"],
        )
        .needs(Root)
        .takes("out", "1\n"),
        case("output/mode-0", "echo 1 > out; chmod 0 out", &["out"]).takes("out", "1\n"),
        case(
            "output/directory-of-mode-0",
            "mkdir d; echo 1 > d/x; chmod 0 d",
            &["d/x"],
        )
        .takes("d/x", "1\n"),
        case(
            "output/attributes",
            "echo 1 > out; setfattr -n user.x -v y out || exit 77",
            &["out"],
        )
        .takes("out", "1\n"),
    ]
}

fn sizes() -> Vec<Case> {
    vec![
        case(
            "output/all-hole",
            "truncate -s 4E out 2>/dev/null || truncate -s 8T out || exit 77",
            &["out"],
        )
        .ends(End::TooMuchOutput),
        case(
            "output/holes-together",
            "for i in 1 2 3; do truncate -s 500K h$i; done",
            &["h*"],
        )
        .within(1 << 20)
        .ends(End::TooMuchOutput),
        case(
            "output/one-too-many-bytes",
            "echo 123456789 > out",
            &["out"],
        )
        .within(9)
        .ends(End::TooMuchOutput),
        case(
            "output/crowd",
            "mkdir d; cd d; seq 5000 | xargs touch",
            &["d"],
        )
        .ends(End::TooMuchOutput),
        case("output/crowd-by-pattern", "seq 5000 | xargs touch", &["*"]).ends(End::TooMuchOutput),
        case(
            "output/deeper-than-names",
            "mkdir -p a/$(printf 'd/%.0s' $(seq 1100)); echo 1 > a/x",
            &["a"],
        )
        .takes("a/x", "1\n")
        .misses(format!("a{}", "/d".repeat(1024)), BadName),
    ]
}

fn odd_names() -> Vec<Case> {
    vec![
        case(
            "output/name-with-newline",
            "mkdir d; touch \"$(printf 'd/a\\nb')\"",
            &["d"],
        )
        .misses("d/a\\nb", BadName),
        case(
            "output/name-with-escape",
            "mkdir d; touch $(printf 'd/a\\033b')",
            &["d"],
        )
        .misses("d/a\\u{1b}b", BadName),
        case(
            "output/name-not-text",
            "mkdir d; touch $(printf 'd/a\\377')",
            &["d"],
        )
        .misses("d/a\\xff", BadName),
        case(
            "output/name-not-text-and-its-likeness",
            "mkdir d; touch $(printf 'd/a\\377'); echo 1 > $(printf 'd/a\\357\\277\\275')",
            &["d"],
        )
        .takes("d/a\u{fffd}", "1\n")
        .misses("d/a\\xff", BadName),
        case(
            "output/name-with-dash",
            "echo 1 > -rf; echo 2 > --help",
            &["-*"],
        )
        .takes("--help", "2\n")
        .takes("-rf", "1\n"),
    ]
}

fn mounts() -> Vec<Case> {
    vec![
        case(
            "output/mounted-directory",
            "mkdir d; mount --bind $CANARY d || exit 77",
            &["d", "d/precious", "d/*"],
        )
        .needs(Mounts)
        .misses("d", Link)
        .misses("d/precious", Link)
        .misses("d/*", Link),
        case(
            "output/mounted-file",
            "touch out; mount --bind $CANARY/precious out || exit 77",
            &["out"],
        )
        .needs(Mounts)
        .misses("out", Link),
        case(
            "output/mounted-file-with-twin",
            "touch out; mount --bind $CANARY/twin out || exit 77",
            &["out"],
        )
        .needs(Mounts)
        .misses("out", Link),
        case(
            "output/mounted-file-system",
            "mkdir d; mount -t tmpfs none d || exit 77; echo 1 > d/x",
            &["d/x"],
        )
        .needs(Mounts)
        .misses("d/x", Link),
        case(
            "output/sandbox-mounted-over",
            "mount --bind $CANARY ../box || exit 77",
            &["precious"],
        )
        .needs(Mounts)
        .misses("precious", Absent),
    ]
}
