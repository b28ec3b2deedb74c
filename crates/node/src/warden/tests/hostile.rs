//! What a task may leave in the place of an output.

use super::*;

#[test]
fn nothing_but_a_regular_file_inside_the_sandbox_is_taken() {
    let world = World::new("hostile");
    let mut warden = world.warden(0);
    fs::write(world.root.join("secret"), "secret").expect("a file");
    for (script, declared, why) in [
        ("ln -s ../../../secret out", "out", Why::Link),
        ("ln -s ../../../secret out", "o*", Why::Link),
        ("ln -s ../../.. out", "out/secret", Why::Link),
        ("ln -s ../../.. out", "out/s*", Why::Link),
        ("ln -s nowhere out", "out", Why::Link),
        (
            "mkdir out; ln -s ../../../../secret out/x",
            "out",
            Why::Link,
        ),
        ("mkdir out; ln -s ../../../.. out/x", "out", Why::Link),
        ("mkfifo out", "out", Why::Irregular),
        ("mkfifo out", "o?t", Why::Irregular),
        ("mkdir out; mkfifo out/x", "out", Why::Irregular),
        (
            "mkdir out; touch out/$(printf 'a\\033b')",
            "out",
            Why::BadName,
        ),
        ("touch out", "out/deeper", Why::Absent),
        ("true", "out", Why::Absent),
        ("true", "no/such/o*", Why::Absent),
    ] {
        let ended = warden.run(&outputs(sh(script), &[declared]));
        assert_eq!(
            ended.end,
            End::Exited(0),
            "{script}: {}",
            text(&ended.stderr)
        );
        assert_eq!(ended.outputs, [], "{script}");
        let whys: Vec<_> = ended.missing.iter().map(|missing| missing.why).collect();
        assert_eq!(whys, [why], "{script}");
    }
    world.close();
}

#[test]
fn outputs_beyond_the_limit_fail_the_run() {
    let world = World::new("bytes");
    let mut warden = world.warden(0);
    let mut run = outputs(sh("echo 12345 > a; echo 12345 > b"), &["a", "b"]);
    run.output_bytes_max = 12;
    assert_eq!(warden.run(&run).outputs.len(), 2);
    run.output_bytes_max = 11;
    assert_eq!(warden.run(&run).end, End::TooMuchOutput);
    let crowd = outputs(sh("mkdir d; cd d; seq 5000 | xargs touch"), &["d"]);
    assert_eq!(warden.run(&crowd).end, End::TooMuchOutput);
    assert_eq!(warden.sh("ls -A").stdout, Stream::default());
    world.close();
}

#[test]
fn a_task_that_puts_another_file_in_the_place_of_its_stream_gains_nothing() {
    let world = World::new("stream");
    let mut warden = world.warden(0);
    fs::write(world.root.join("secret"), "secret").expect("a file");
    let ended = warden.sh("rm ../out; ln -s ../../secret ../out; seq 10000");
    for ended in [ended, warden.sh("seq 10000")] {
        assert_eq!(ended.end, End::Exited(0));
        assert!(
            world
                .contents(ended.stdout.file.expect("kept"))
                .ends_with(b"\n10000\n")
        );
    }
    world.close();
}

#[test]
fn a_task_cannot_reach_its_warden() {
    let world = World::new("reach-warden");
    let mut warden = world.warden(0);
    let ended = warden.sh("kill -9 1; kill -9 -1; kill -TERM 0; exit 4");
    assert!(
        matches!(ended.end, End::Exited(4) | End::Signalled(15)),
        "{ended:?}"
    );
    assert_eq!(warden.sh("exit 5").end, End::Exited(5));
    world.close();
}
