//! Programs that stay and are called.

use super::*;
use crate::warden::server::UNANSWERED;

/// Says its process number on standard output, then runs what it is told as Python: `code` and `stays` are its answer.
const SERVER: &str = "\
import os, socket, struct, sys, time
link = socket.socket(fileno=os.dup(0))
def read(count):
    got = b''
    while len(got) < count:
        got += link.recv(count - len(got)) or sys.exit(3)
    return got
while True:
    number, length = struct.unpack('<II', read(8))
    words = read(length).decode().split('\\0')
    os.chdir(os.environ['MUSTER_SANDBOX'])
    names = {'words': words, 'code': 0, 'stays': 1, 'number': number, 'link': link}
    os.write(1, b'%d ' % os.getpid())
    exec(words[0], globals(), names)
    link.sendall(struct.pack('<IiB', names['number'], names['code'], names['stays']))
";

/// A call of the server.
fn call(words: &[&str]) -> Run {
    let mut run = exec(&["python3", "-S", "-c", SERVER]);
    run.call = Some(Words::new(words).expect("words"));
    run
}

/// What a call wrote, and the number of the server's process.
fn said(ended: &Ended) -> (i32, &str) {
    let (pid, rest) = text(&ended.stdout)
        .split_once(' ')
        .expect("the server's number");
    (pid.parse().expect("a number"), rest)
}

#[test]
fn a_server_stays_from_call_to_call_and_finds_its_sandbox_as_a_program_does() {
    let world = World::new("server");
    let mut warden = world.warden(0);
    let print =
        "os.write(1, ' '.join(sorted(os.listdir('.'))).encode()); open('left', 'w').close()";
    let mut run = call(&[print]);
    run.inputs.push(world.input("in/put", "contents"));
    let first = warden.run(&run);
    assert_eq!(first.end, End::Exited(0));
    let (pid, names) = said(&first);
    assert_eq!(names, "in");
    let second = warden.run(&call(&[print]));
    assert_eq!(said(&second), (pid, ""), "what the first call left is gone");
    let mut third = outputs(
        call(&["open('out', 'w').write(words[1]); code = 5", "text"]),
        &["out"],
    );
    third.run = 3;
    let third = warden.run(&third);
    assert_eq!((&third.end, said(&third).0), (&End::Exited(5), pid));
    assert_eq!(world.contents(third.outputs[0].file.digest), b"text");
    world.close();
}

#[test]
fn the_answer_is_the_exit_code_and_work_is_counted_call_by_call() {
    let world = World::new("answers");
    let mut warden = world.warden(0);
    let busy =
        "until = time.process_time() + 0.2\nwhile time.process_time() < until: pass\ncode = -7";
    let ended = warden.run(&call(&[busy]));
    assert_eq!(ended.end, End::Exited(-7));
    assert!(ended.user >= Span::millis(200), "{ended:?}");
    let ended = warden.run(&call(&["pass"]));
    assert!(ended.user < Span::millis(200), "{ended:?}");
    world.close();
}

#[test]
fn a_long_call_arrives_whole() {
    let world = World::new("long");
    let mut warden = world.warden(0);
    let long = "x".repeat(120_000);
    let ended = warden.run(&call(&["os.write(1, str(len(words[1])).encode())", &long]));
    assert_eq!(said(&ended).1, "120000");
    world.close();
}

#[test]
fn a_server_that_ends_without_an_answer_has_failed_and_is_followed_by_another() {
    let world = World::new("crash");
    let mut warden = world.warden(0);
    for (crash, end) in [
        ("os._exit(0)", End::Exited(UNANSWERED)),
        ("os._exit(9)", End::Exited(9)),
        ("os.kill(os.getpid(), 9)", End::Signalled(9)),
        ("os.kill(os.getpid(), 11)", End::Signalled(11)),
        (
            "link.close(); os.close(0); time.sleep(60)",
            End::Exited(UNANSWERED),
        ),
        ("number += 1", End::Exited(UNANSWERED)),
        ("link.sendall(b'x' * 9)", End::Exited(UNANSWERED)),
    ] {
        let before = said(&warden.run(&call(&["pass"]))).0;
        assert_eq!(warden.run(&call(&[crash])).end, end, "{crash}");
        let after = warden.run(&call(&["pass"]));
        assert_eq!(after.end, End::Exited(0), "{crash}");
        assert_ne!(said(&after).0, before, "{crash}");
    }
    world.close();
}

#[test]
fn a_server_that_wants_to_leave_or_leaves_processes_behind_is_ended_with_them() {
    let world = World::new("leaves");
    let mark = mark("leaves");
    let mut warden = world.warden(0);
    let orphan = "if os.fork() == 0:\n  if os.fork() == 0:\n    os.setsid(); time.sleep(1000)\n  os._exit(0)\nos.wait()";
    for leaving in ["stays = 0", orphan] {
        let mut run = call(&[leaving]);
        run.environment.push(("MARK".into(), mark.clone()));
        let first = warden.run(&run);
        assert_eq!(first.end, End::Exited(0), "{leaving}");
        assert_eq!(marked(&mark), [0; 0], "{leaving}");
        let next = warden.run(&run);
        assert_eq!(next.end, End::Exited(0));
        assert_ne!(said(&first).0, said(&next).0, "{leaving}");
    }
    world.close();
}

#[test]
fn nobody_else_runs_beside_a_server() {
    let world = World::new("beside");
    let mark = mark("beside");
    let mut warden = world.warden(0);
    let mut run = call(&["pass"]);
    run.environment.push(("MARK".into(), mark.clone()));
    warden.run(&run);
    assert_eq!(marked(&mark).len(), 1, "it waits for more");
    assert_eq!(warden.sh("exit 4").end, End::Exited(4));
    assert_eq!(marked(&mark), [0; 0]);
    warden.run(&run);
    // Another environment is another server.
    let other = warden.run(&call(&[
        "os.write(1, os.environ.get('MARK', 'none').encode())",
    ]));
    assert_eq!(said(&other).1, "none");
    assert_eq!(marked(&mark), [0; 0]);
    world.close();
}

#[test]
fn a_call_can_be_cancelled_and_has_its_limits() {
    let world = World::new("limits");
    let mark = mark("limits");
    let mut warden = world.warden(0);
    let mut run = call(&["open('begun', 'w').close(); time.sleep(1000)"]);
    run.environment.push(("MARK".into(), mark.clone()));
    warden.start(&run);
    let begun = world.sandbox(0).join("begun");
    until("it has begun", || begun.exists());
    warden.send(&ToWarden::Cancel { run: 1 });
    assert_eq!(warden.ended().end, End::Cancelled);
    assert_eq!(marked(&mark), [0; 0]);
    run.wall_max = Some(Span::millis(300));
    assert_eq!(warden.run(&run).end, End::TimedOut);
    let mut run = call(&["os.write(1, b'x' * 5000)"]);
    run.stream_bytes_max = 1_000;
    assert_eq!(warden.run(&run).end, End::TooMuchOutput);
    let ended = warden.run(&call(&["os.write(1, b'y' * 5000)"]));
    assert!(ended.stdout.file.is_some(), "a long stream is kept whole");
    let ended = warden.run(&call(&["os.write(1, b'z')"]));
    assert_eq!(said(&ended).1, "z", "and the next has one of its own");
    assert_eq!(warden.run(&call(&["pass"])).end, End::Exited(0));
    world.close();
}

#[test]
fn a_server_that_dies_between_calls_is_not_missed() {
    let world = World::new("between");
    let mut warden = world.warden(0);
    let mark = mark("between");
    let mut run = call(&["pass"]);
    run.environment.push(("MARK".into(), mark.clone()));
    let first = said(&warden.run(&run)).0;
    for pid in marked(&mark) {
        let pid = Pid::from_raw(pid).expect("a process");
        rustix::process::kill_process(pid, Signal::KILL).expect("killed");
    }
    until("it is gone", || marked(&mark).is_empty());
    let second = warden.run(&run);
    assert_eq!(second.end, End::Exited(0));
    assert_ne!(said(&second).0, first);
    world.close();
}

#[test]
fn a_server_cannot_be_started_as_a_program_cannot() {
    let world = World::new("unstarted");
    let mut warden = world.warden(0);
    let mut run = exec(&["no-such-program"]);
    run.call = Some(Words::default());
    assert_eq!(warden.run(&run).end, End::NotFound);
    assert_eq!(
        warden.sh("cat; exit 3").end,
        End::Exited(3),
        "no socket is left in place of its input"
    );
    world.close();
}
