//! W2: whatever dies, and in whatever order, no process of a task lives on.

use std::io::BufRead;

use super::*;

#[test]
fn nothing_of_a_task_outlives_its_end() {
    for confinement in [
        Confinement::PidNamespace,
        Confinement::UserNamespace,
        Confinement::Subreaper,
    ] {
        let is_root = rustix::process::geteuid().is_root();
        if confinement == Confinement::PidNamespace && !is_root {
            continue;
        }
        let name = format!("end-{}", confinement as u8);
        let world = World::confined(&name, confinement);
        let mut warden = world.warden(0);
        assert_eq!(
            warden.link.confinement, confinement,
            "this machine allows all three"
        );
        let mark = mark(&name);
        let mut run = sh(
            "(setsid sh -c '(touch here; sleep 1000; :) &' &); while ! [ -e here ]; do :; done; exit 5",
        );
        run.environment.push(("MARK".into(), mark.clone()));
        assert_eq!(warden.run(&run).end, End::Exited(5));
        assert!(marked(&mark).is_empty());
        warden.start(&daemons(&mark));
        until_daemons_live(&world.sandbox(0), &mark);
        warden.send(&ToWarden::Cancel { run: 1 });
        assert_eq!(warden.ended().end, End::Cancelled);
        assert!(marked(&mark).is_empty());
        assert_eq!(warden.sh("ls -A").stdout, Stream::default());
        world.close();
    }
}

#[test]
fn nothing_of_a_task_outlives_its_warden_and_the_slot_goes_on() {
    for confinement in [Confinement::PidNamespace, Confinement::Subreaper] {
        let name = format!("warden-{}", confinement as u8);
        let world = World::confined(&name, confinement);
        let mut warden = world.warden(0);
        let mark = mark(&name);
        warden.start(&daemons(&mark));
        until_daemons_live(&world.sandbox(0), &mark);
        for warden in world.wardens() {
            rustix::process::kill_process(warden, Signal::KILL).expect("killed");
        }
        assert_eq!(warden.hear(), None);
        until("the daemons are dead", || marked(&mark).is_empty());
        assert_eq!(world.warden(0).sh("ls -A").end, End::Exited(0));
        world.close();
    }
}

#[test]
fn an_ordinary_user_gets_a_user_namespace_and_no_survivors() {
    if !rustix::process::getuid().is_root() {
        // Then every other test here has tried it.
        return;
    }
    let root = scratch("nobody");
    let inside = root.join("state");
    fs::create_dir(&inside).expect("a directory");
    // A copy, for the directory of the test binary may be closed to others.
    let binary = root.join("mother");
    fs::copy(std::env::current_exe().expect("the test binary"), &binary).expect("copied");
    let itself = again("warden::tests::mother_process", &[MOTHER]);
    let mut mother = Command::new("setpriv");
    mother
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(binary)
        .args(itself.get_args());
    let world = World::with_mother(inside, mother, Confinement::PidNamespace);
    let owned = Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(&world.root)
        .status()
        .expect("chown");
    assert!(owned.success());
    let mut warden = world.warden(0);
    assert_eq!(warden.link.confinement, Confinement::UserNamespace);
    let mark = mark("nobody");
    warden.start(&daemons(&mark));
    until_daemons_live(&world.sandbox(0), &mark);
    warden.send(&ToWarden::Cancel { run: 1 });
    assert_eq!(warden.ended().end, End::Cancelled);
    assert!(marked(&mark).is_empty());
    let ended = warden.run(&outputs(
        sh("id -u; mkdir d; echo 1 > d/f; chmod 0 d; echo 2 > g"),
        &["g"],
    ));
    assert_eq!(
        (ended.end, text(&ended.stdout)),
        (End::Exited(0), "65534\n")
    );
    assert_eq!(ended.outputs.len(), 1);
    assert_eq!(
        warden.sh("ls -A").stdout,
        Stream::default(),
        "a closed directory is no hiding place"
    );
    world.close();
    super::super::sweep::remove_tree(&root).expect("removed");
}

#[test]
fn a_slot_made_again_has_no_process_of_the_earlier_one() {
    let world = World::new("again");
    let mut warden = world.warden(0);
    let mark = mark("again");
    warden.start(&daemons(&mark));
    until_daemons_live(&world.sandbox(0), &mark);
    let mut next = world.warden(0);
    assert!(marked(&mark).is_empty());
    assert_eq!(warden.hear(), None);
    assert_eq!(next.sh("ls -A").stdout, Stream::default());
    world.close();
}

#[test]
fn nothing_of_a_task_outlives_the_link() {
    let world = World::new("link");
    let mut warden = world.warden(0);
    let mark = mark("link");
    warden.start(&daemons(&mark));
    until_daemons_live(&world.sandbox(0), &mark);
    drop(warden);
    until("the daemons are dead", || marked(&mark).is_empty());
    world.close();
}

#[test]
fn nothing_of_a_task_outlives_the_mother() {
    let world = World::new("mother");
    let mut warden = world.warden(0);
    let mark = mark("mother");
    warden.start(&daemons(&mark));
    until_daemons_live(&world.sandbox(0), &mark);
    let mother = Pid::from_raw(world.nursery.mother() as i32).expect("a pid");
    rustix::process::kill_process(mother, Signal::KILL).expect("killed");
    assert_eq!(warden.hear(), None);
    until("the daemons are dead", || marked(&mark).is_empty());
    assert!(
        world.nursery.warden(1).is_err(),
        "a dead mother makes no wardens"
    );
    world.close();
}

#[test]
fn nothing_of_a_task_outlives_the_worker_whatever_dies_with_it() {
    for dying in [
        "worker",
        "worker mother",
        "mother worker",
        "warden mother worker",
        "worker stopped",
    ] {
        let name = dying.replace(' ', "-");
        let root = scratch(&name);
        let mark = mark(&name);
        let mut worker = again(
            "warden::tests::worker_process",
            &[WORKER, &root.to_string_lossy(), &mark],
        )
        .stdout(Stdio::piped())
        .spawn()
        .expect("a worker");
        let mother = read_mother(&mut worker);
        until_daemons_live(&root.join("slots/0/box"), &mark);
        let warden = children(mother)[0];
        let pid = |number: u32| Pid::from_raw(number as i32).expect("a pid");
        if dying.ends_with("stopped") {
            rustix::process::kill_process(pid(mother), Signal::STOP).expect("stopped");
            rustix::process::kill_process(warden, Signal::STOP).expect("stopped");
        }
        for who in dying.split(' ') {
            let victim = match who {
                "worker" => pid(worker.id()),
                "mother" => pid(mother),
                "warden" => warden,
                _ => continue,
            };
            // The death of one may already have been the death of the next.
            let _ = rustix::process::kill_process(victim, Signal::KILL);
        }
        worker.wait().expect("dead");
        until(dying, || marked(&mark).is_empty());
        until("the mother is dead", || is_dead(mother));
        super::super::sweep::remove_tree(&root).expect("removed");
    }
}

/// Whether a process is gone or is only still to be reaped by whoever inherited it: neither has words.
fn is_dead(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .unwrap_or_default()
        .is_empty()
}

/// The mother's process number, which the worker writes when its task is on its way.
fn read_mother(worker: &mut std::process::Child) -> u32 {
    let stdout = std::io::BufReader::new(worker.stdout.take().expect("a pipe"));
    let line = stdout.lines().map_while(Result::ok).find_map(|line| {
        let (_, mother) = line.split_once("ready ")?;
        mother.parse().ok()
    });
    line.expect("the worker is ready")
}
