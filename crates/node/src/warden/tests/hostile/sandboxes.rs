//! What a task may do to the directory it runs in, and leave there to be swept.

use super::Needs::{Mounts, Root};
use super::*;

#[test]
fn whatever_becomes_of_a_sandbox_the_next_task_finds_it_empty() {
    let cases: Vec<Case> = [left(), turned(), beside(), frozen(), mounted()]
        .into_iter()
        .flatten()
        .collect();
    try_all("sandbox", &cases);
}

/// What an earlier worker's tasks may have left in a state directory; the next one starts there.
#[test]
fn whatever_a_dead_worker_has_left_the_next_one_starts() {
    let cases = [
        ("start/slots-is-a-link", "ln -s $CANARY slots"),
        ("start/slots-is-a-file", "echo 1 > slots"),
        ("start/slots-is-a-pipe", "mkfifo slots"),
        ("start/slot-is-a-link", "mkdir slots; ln -s $CANARY slots/0"),
        ("start/slot-is-a-pipe", "mkdir slots; mkfifo slots/0"),
        (
            "start/box-is-a-link",
            "mkdir -p slots/0; ln -s $CANARY/box slots/0/box",
        ),
        (
            "start/streams-are-links",
            "mkdir -p slots/0; ln -s $CANARY/precious slots/0/out; ln -s $CANARY slots/0/err",
        ),
        (
            "start/closed-doors",
            "mkdir -p slots/0/box/a/b; ln -s $CANARY slots/0/box/a/c; chmod 0 slots/0/box/a/b slots/0/box/a slots/0 slots",
        ),
    ];
    for (case, script) in cases {
        let root = scratch(&case.replace('/', "-"));
        let canary = Canary::plant(&root.join("canary"));
        let mut command = Command::new("sh");
        let command = command.args(["-c", script]).current_dir(&root);
        let status = command.env("CANARY", canary.path()).status();
        assert!(status.expect("a shell").success(), "{case}");
        let world = World::at(root, Confinement::PidNamespace);
        let warden = world.warden(0);
        let inputs = world.hostile_inputs();
        let mut cage = Cage {
            world,
            canary,
            warden,
            inputs,
        };
        cage.look_after(case, &[]);
        cage.close();
    }
    assert_listed("start", cases.map(|(case, _)| case));
}

fn left() -> Vec<Case> {
    vec![
        case(
            "sandbox/links",
            "ln -s $CANARY a; mkdir d; ln -s $CANARY d/b; ln -s $CANARY/precious d/c; ln -s . d/d",
            &[],
        ),
        case(
            "sandbox/hard-links",
            "mkdir d; ln $CANARY/precious d/a; ln $CANARY/twin d/b; ln in d/c; ln large d/e",
            &[],
        ),
        case(
            "sandbox/pipes",
            "mkfifo a; mkdir d; mkfifo d/b; chmod 0 d/b",
            &[],
        ),
        case(
            "sandbox/devices",
            "mknod a c 1 5 && mknod b b 7 0 || exit 77",
            &[],
        )
        .needs(Root),
        case(
            "sandbox/closed-doors",
            "mkdir -p a/b/c; ln -s $CANARY a/b/c/d; touch a/b/c/e; chmod 0 a/b/c a/b a .",
            &[],
        ),
        case(
            "sandbox/odd-names",
            "touch -- -rf '*' '$HOME' \"$(printf 'a\\nb')\" $(printf 'a\\377') $(printf 'a\\033b'); mkdir $(printf 'x%.0s' $(seq 255))",
            &[],
        ),
        case("sandbox/crowd-of-100000", "seq 100000 | xargs touch", &[]),
        case(
            "sandbox/5000-deep",
            "p=$(printf 'd/%.0s' $(seq 1700)); for i in 1 2 3; do mkdir -p $p && cd -P $p || exit 2; done; ln -s $CANARY out",
            &[],
        ),
        case(
            "sandbox/deep-with-guessed-names",
            "mkdir -p $(printf 'd/%.0s' $(seq 200)); for i in $(seq 9); do mkdir -p .hoisted-$i-1/x; done",
            &[],
        ),
        case(
            "sandbox/daemon-that-makes-more",
            "(setsid sh -c 'i=0; while :; do i=$((i+1)); mkdir -p d$i; ln -s $CANARY d$i/l; done' &); until [ -e d9 ]; do :; done",
            &[],
        ),
    ]
}

fn turned() -> Vec<Case> {
    vec![
        case("sandbox/removed", "rm in large; rmdir ../box", &[]),
        case(
            "sandbox/moved",
            "mkdir d; ln -s $CANARY d/l; mv ../box ../elsewhere",
            &[],
        ),
        case(
            "sandbox/link-for-it",
            "mv ../box ../elsewhere; ln -s $CANARY ../box",
            &[],
        ),
        case(
            "sandbox/link-to-its-like",
            "mv ../box ../elsewhere; ln -s $CANARY/box ../box",
            &[],
        ),
        case("sandbox/file-for-it", "rm -r ../box; echo 1 > ../box", &[]),
        case("sandbox/pipe-for-it", "rm -r ../box; mkfifo ../box", &[]),
        case(
            "sandbox/directory-for-it",
            "rm -r ../box; mkdir -p ../box/a; ln -s $CANARY ../box/a/b; chmod 0 ../box/a ../box",
            &[],
        ),
        case("sandbox/modes", "chmod 7000 ..; chmod 7000 .", &[]),
        case("sandbox/slot-moved", "mv ../../0 ../../1", &[]),
        case(
            "sandbox/link-for-slot",
            "mv ../../0 ../../1; ln -s $CANARY ../../0",
            &[],
        ),
        case(
            "sandbox/links-for-slot-and-box",
            "mv ../box ../elsewhere; mkdir ../box; mv ../../0 ../../1; ln -s $CANARY ../../0",
            &[],
        ),
        case(
            "sandbox/directory-for-slot",
            "mv ../../0 ../../1; mkdir -p ../../0/box; ln -s $CANARY ../../0/box/l",
            &[],
        ),
    ]
}

fn beside() -> Vec<Case> {
    vec![
        case(
            "sandbox/beside-it",
            "echo 1 > ../a; mkdir -p ../d/e; ln -s $CANARY ../l; ln -s $CANARY ../d/l; mkfifo ../p",
            &[],
        ),
        case(
            "sandbox/beside-it-closed",
            "mkdir -p ../d/e; ln -s $CANARY ../d/e/l; chmod 0 ../d/e ../d",
            &[],
        ),
    ]
}

fn frozen() -> Vec<Case> {
    vec![
        case(
            "sandbox/immutable-file",
            "mkdir d; touch a d/b; chattr +i a d/b || exit 77",
            &[],
        )
        .needs(Root),
        case(
            "sandbox/immutable-directory",
            "mkdir -p d/e/f; ln -s $CANARY d/e/l; chattr +i d/e d || exit 77",
            &[],
        )
        .needs(Root),
        case(
            "sandbox/append-only",
            "mkdir d; touch a d/b; chattr +a a d/b d || exit 77",
            &[],
        )
        .needs(Root),
        case(
            "sandbox/immutable-itself",
            "touch a; chattr +i . .. || exit 77",
            &[],
        )
        .needs(Root),
        case(
            "sandbox/immutable-input",
            "chattr +i in large || exit 77",
            &[],
        )
        .needs(Root),
        case(
            "sandbox/immutable-streams",
            "echo 1; chattr +a ../out ../err || exit 77",
            &[],
        )
        .needs(Root),
    ]
}

fn mounted() -> Vec<Case> {
    vec![
        case(
            "sandbox/mounted-directory",
            "mkdir -p d/e; mount --bind $CANARY d/e || exit 77",
            &[],
        )
        .needs(Mounts),
        case(
            "sandbox/mounted-file",
            "touch a; mount --bind $CANARY/precious a || exit 77",
            &[],
        )
        .needs(Mounts),
        case(
            "sandbox/mounted-thrice",
            "mkdir d; for i in 1 2 3; do mount --bind $CANARY d || exit 77; done",
            &[],
        )
        .needs(Mounts),
        case(
            "sandbox/mounted-deep",
            "p=$(printf 'd/%.0s' $(seq 100)); mkdir -p $p; mount --bind $CANARY $p || exit 77",
            &[],
        )
        .needs(Mounts),
        case(
            "sandbox/mounted-over-it",
            "mount --bind $CANARY ../box || exit 77",
            &[],
        )
        .needs(Mounts),
        case(
            "sandbox/mounted-on-itself",
            "mount --bind . ../box || exit 77",
            &[],
        )
        .needs(Mounts),
        case(
            "sandbox/mounted-over-slot",
            "mount --bind $CANARY ../../0 || exit 77",
            &[],
        )
        .needs(Mounts),
        case(
            "sandbox/mounted-over-spares",
            "mount --bind $CANARY ../spares || exit 77",
            &[],
        )
        .needs(Mounts),
        case(
            "sandbox/mounted-over-stream",
            "mount --bind $CANARY/precious ../out || exit 77",
            &[],
        )
        .needs(Mounts),
        case(
            "sandbox/mounted-beside-it",
            "mkdir ../d; mount --bind $CANARY ../d || exit 77",
            &[],
        )
        .needs(Mounts),
    ]
}
