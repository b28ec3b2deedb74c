//! What a task may do to the files behind its streams: its own are told, the next task's are its own.

use super::Needs::Root;
use super::*;

#[test]
fn a_stream_is_what_was_written_whatever_became_of_its_file() {
    let cases: Vec<Case> = replaced().into_iter().chain(changed()).collect();
    let mut cage = Cage::new("stream");
    for case in &cases {
        cage.attempt(case);
        let kept = cage.world.root.join("slots/kept");
        if let Ok(kept) = fs::read_to_string(kept) {
            assert!(
                !kept.contains("abcdef"),
                "{}: nothing of the next task",
                case.name
            );
        }
    }
    cage.close();
    assert_listed("stream", cases.iter().map(|case| case.name));
}

fn replaced() -> Vec<Case> {
    vec![
        case(
            "stream/link-for-it",
            "rm ../out; ln -s $CANARY/precious ../out; seq 10000",
            &[],
        ),
        case(
            "stream/dangling-link-for-it",
            "rm ../out; ln -s $CANARY/new ../out; seq 10000",
            &[],
        ),
        case(
            "stream/directory-for-it",
            "rm ../out; mkdir -p ../out/d; ln -s $CANARY ../out/l; seq 10000",
            &[],
        ),
        case(
            "stream/pipe-for-it",
            "rm ../out ../err; mkfifo ../out ../err; seq 10000",
            &[],
        ),
        case(
            "stream/file-for-it",
            "rm ../out; echo forged > ../out; seq 10000",
            &[],
        ),
        case(
            "stream/hard-link-for-it",
            "ln -f $CANARY/precious ../out; seq 10000",
            &[],
        ),
        case(
            "stream/device-for-it",
            "rm ../out; mknod ../out c 1 5 || exit 77; seq 10000",
            &[],
        )
        .needs(Root),
    ]
}

fn changed() -> Vec<Case> {
    vec![
        case(
            "stream/removed-and-little-said",
            "rm ../out ../err; seq 10",
            &[],
        ),
        case("stream/removed-and-nothing-said", "rm ../out ../err", &[]),
        case("stream/another-name", "ln ../out ../../kept; seq 10", &[]),
        case("stream/mode-0", "chmod 0 ../out; seq 10", &[]),
        case(
            "stream/truncated",
            "seq 10; truncate -s 0 ../out; seq 10",
            &[],
        ),
        case(
            "stream/all-hole",
            "truncate -s 8T /proc/self/fd/1 || exit 77",
            &[],
        )
        .ends(End::TooMuchOutput),
        case(
            "stream/append-only",
            "chattr +a ../out || exit 77; seq 10000",
            &[],
        )
        .needs(Root),
        case(
            "stream/closed",
            "exec 1>&- 2>&-; mkdir d; ln -s $CANARY d/l",
            &[],
        ),
    ]
}

#[test]
fn a_long_stream_is_kept_whatever_has_its_name() {
    let mut cage = Cage::new("long-stream");
    let whole: String = (1..=10_000).map(|n| format!("{n}\n")).collect();
    for turn in [
        "ln -s $CANARY/precious",
        "mkdir",
        "mkfifo",
        "ln $CANARY/precious",
        "touch",
    ] {
        let run = cage.run(&format!("rm ../out; {turn} ../out; seq 10000"), &[]);
        let ended = cage.warden.run(&run);
        let kept = ended.stdout.file.expect("kept");
        assert!(cage.world.contents(kept) == whole.as_bytes(), "{turn}");
        cage.look_after(turn, &[]);
    }
    cage.close();
}
