//! How programs are started, watched and told of.

use super::*;

#[test]
fn a_program_is_told_by_its_exit_code_or_its_signal() {
    let world = World::new("codes");
    let mut warden = world.warden(0);
    assert_eq!(warden.sh("exit 0").end, End::Exited(0));
    assert_eq!(warden.sh("exit 7").end, End::Exited(7));
    assert_eq!(warden.sh("kill -9 $$").end, End::Signalled(9));
    assert_eq!(warden.sh("kill -SEGV $$").end, End::Signalled(11));
    let ended = warden.sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
    assert_eq!(ended.end, End::Exited(0));
    assert!(
        ended.user > Span::ZERO && ended.user <= ended.wall + Span::millis(10),
        "{ended:?}"
    );
    assert!(ended.rss_bytes_max > 100_000, "{ended:?}");
    world.close();
}

#[test]
fn what_cannot_be_started_says_why() {
    let world = World::new("starts");
    let mut warden = world.warden(0);
    let text = world.input("notes", "no program");
    let mut run = exec(&["no-such-program"]);
    assert_eq!(warden.run(&run).end, End::NotFound);
    run.words = Words::new(&["/no/such/program"]).expect("words");
    assert_eq!(warden.run(&run).end, End::NotFound);
    run.words = Words::default();
    assert_eq!(warden.run(&run).end, End::NotFound);
    run = exec(&["./notes"]);
    run.inputs.push(text.clone());
    assert_eq!(warden.run(&run).end, End::NotExecutable);
    run = exec(&["notes"]);
    run.environment = vec![("PATH".into(), "/nowhere:".into())];
    run.inputs.push(text);
    assert_eq!(warden.run(&run).end, End::NotExecutable);
    assert_eq!(warden.sh("exit 0").end, End::Exited(0));
    world.close();
}

#[test]
fn a_program_is_first_looked_for_in_the_sandbox_if_it_has_a_slash() {
    let world = World::new("slash");
    let mut warden = world.warden(0);
    let mut script = world.input("bin/script", "#!/bin/sh\necho from $0 $1\n");
    script.form = Form::Program;
    let mut run = exec(&["bin/script", "x"]);
    run.inputs.push(script);
    let ended = warden.run(&run);
    assert_eq!(
        (ended.end, text(&ended.stdout)),
        (End::Exited(0), "from bin/script x\n")
    );
    world.close();
}

#[test]
fn the_environment_is_what_was_given_and_the_sandbox() {
    let world = World::new("environment");
    let mut warden = world.warden(3);
    let mut run = exec(&["env"]);
    run.environment.push(("HOME".into(), "/somewhere".into()));
    let ended = warden.run(&run);
    let sandbox = world.sandbox(3);
    let sandbox = sandbox.display();
    let mut got: Vec<_> = text(&ended.stdout).lines().collect();
    got.sort_unstable();
    let wanted = format!(
        "HOME=/somewhere\nMUSTER_SANDBOX={sandbox}\nPATH=/usr/bin:/bin\nTMPDIR={sandbox}\nWORK_QUEUE_SANDBOX={sandbox}"
    );
    assert_eq!(got.join("\n"), wanted);
    let ended = warden.sh("pwd; umask; ls -A; ls /proc/self/fd; cat");
    assert_eq!(
        text(&ended.stdout),
        format!("{sandbox}\n0077\n0\n1\n2\n3\n"),
        "3 is the directory that ls reads"
    );
    world.close();
}

#[test]
fn the_end_of_a_stream_is_told_and_a_long_one_is_kept_whole() {
    let world = World::new("streams");
    let mut warden = world.warden(0);
    let ended = warden.sh("echo out; echo err >&2");
    assert_eq!(
        (text(&ended.stdout), text(&ended.stderr)),
        ("out\n", "err\n")
    );
    assert_eq!((ended.stdout.file, ended.stderr.file), (None, None));
    let ended = warden.sh("seq 100000; echo short >&2");
    let whole: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(ended.stdout.bytes, whole.len() as u64);
    assert_eq!(
        ended.stdout.tail,
        whole.as_bytes()[whole.len() - TAIL_BYTES_MAX..]
    );
    assert_eq!(
        world.contents(ended.stdout.file.expect("kept")),
        whole.as_bytes()
    );
    assert_eq!(text(&ended.stderr), "short\n");
    let ended = warden.sh("true");
    assert_eq!(
        (ended.stdout, ended.stderr),
        (Stream::default(), Stream::default())
    );
    assert_eq!(text(&warden.sh("echo again").stdout), "again\n");
    world.close();
}

#[test]
fn a_task_over_a_limit_is_ended_at_once() {
    let world = World::new("limits");
    let mut warden = world.warden(0);
    let mut run = sh("trap '' TERM; sleep 1000 & sleep 1000");
    run.wall_max = Some(Span::millis(50));
    let ended = warden.run(&run);
    assert_eq!(ended.end, End::TimedOut);
    assert!(
        ended.wall >= Span::millis(50) && ended.wall < Span::secs(10),
        "{:?}",
        ended.wall
    );
    let mut run = sh("while :; do seq 100; done");
    run.stream_bytes_max = 100_000;
    assert_eq!(warden.run(&run).end, End::TooMuchOutput);
    let mut run = sh("seq 100");
    run.stream_bytes_max = 100;
    assert_eq!(warden.run(&run).end, End::TooMuchOutput);
    assert_eq!(warden.sh("exit 3").end, End::Exited(3));
    world.close();
}

#[test]
fn a_recalled_run_comes_back_unless_it_has_begun() {
    let world = World::new("recall");
    let mut warden = world.warden(0);
    for (number, script) in [(1, "touch here; sleep 1000"), (2, "exit 2"), (3, "exit 3")] {
        let mut run = sh(script);
        run.run = number;
        warden.start(&run);
    }
    until("the first one runs", || {
        world.sandbox(0).join("here").exists()
    });
    for run in [1, 2, 9] {
        warden.send(&ToWarden::Recall { run });
    }
    let back = warden.ended();
    assert_eq!((back.run, back.end), (2, End::Unbegun));
    warden.send(&ToWarden::Cancel { run: 1 });
    let rest: Vec<_> = (0..2).map(|_| warden.ended().run).collect();
    assert_eq!(rest, [1, 3]);
    world.close();
}

#[test]
fn the_end_of_a_short_run_is_told_although_a_long_one_follows() {
    let world = World::new("untold");
    let mut warden = world.warden(0);
    for (number, script) in [(1, "exit 1"), (2, "sleep 1000")] {
        let mut run = sh(script);
        run.run = number;
        warden.start(&run);
    }
    assert_eq!(warden.ended().end, End::Exited(1));
    warden.send(&ToWarden::Cancel { run: 2 });
    assert_eq!(warden.ended().end, End::Cancelled);
    world.close();
}

#[test]
fn a_cancelled_run_ends_whether_it_runs_or_waits() {
    let world = World::new("cancel");
    let mut warden = world.warden(0);
    for (number, script) in [(1, "touch here; sleep 1000"), (2, "exit 2"), (3, "exit 3")] {
        let mut run = sh(script);
        run.run = number;
        warden.start(&run);
    }
    until("the first one runs", || {
        world.sandbox(0).join("here").exists()
    });
    for run in [9, 2, 1] {
        warden.send(&ToWarden::Cancel { run });
    }
    let ends: Vec<_> = (0..3)
        .map(|_| warden.ended())
        .map(|ended| (ended.run, ended.end))
        .collect();
    assert_eq!(
        ends,
        [
            (2, End::Cancelled),
            (1, End::Cancelled),
            (3, End::Exited(3))
        ]
    );
    assert_eq!(warden.sh("ls -A").stdout, Stream::default());
    world.close();
}

#[test]
fn two_hundred_runs_over_two_wardens_keep_their_order() {
    let world = World::new("pipeline");
    let mut wardens = [world.warden(0), world.warden(1)];
    for number in 0..200 {
        let mut run = sh(&format!("echo {number}; exit {}", number % 7));
        run.run = number;
        wardens[number as usize % 2].start(&run);
    }
    for number in 0..200 {
        let ended = wardens[number as usize % 2].ended();
        assert_eq!(
            (ended.run, ended.end),
            (number, End::Exited(number as i32 % 7))
        );
        assert_eq!(text(&ended.stdout), format!("{number}\n"));
    }
    world.close();
}
