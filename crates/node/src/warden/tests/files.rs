//! What goes into a sandbox and what comes out of it.

use super::*;

#[test]
fn inputs_are_placed_and_declared_outputs_are_taken() {
    let world = World::new("files");
    let mut warden = world.warden(0);
    let script = "cat in/deep/one two > out; mkdir -p dir/sub; echo a > dir/a; echo b > dir/sub/b; \
        echo x > dir/sub.c; chmod 755 dir/a; mkdir runs; for i in 2 1 10; do echo $i > runs/r$i.dat; done; \
        echo no > runs/r3.txt; echo secret > .hidden.dat";
    let mut run = outputs(
        sh(script),
        &["out", "dir", "runs/*.dat", "*.dat", "nothing"],
    );
    run.inputs = vec![world.input("in/deep/one", "1"), world.input("two", "2")];
    run.outputs[3].need = Need::Optional;
    let ended = warden.run(&run);
    assert_eq!(ended.end, End::Exited(0), "{}", text(&ended.stderr));
    let got: Vec<_> = ended
        .outputs
        .iter()
        .map(|output| {
            let contents = String::from_utf8(world.contents(output.file.digest)).expect("text");
            assert_eq!(contents.len() as u64, output.file.bytes);
            (output.name.as_str(), contents, output.executable)
        })
        .collect();
    let wanted = [
        ("out", "12", false),
        ("dir/a", "a\n", true),
        ("dir/sub.c", "x\n", false),
        ("dir/sub/b", "b\n", false),
        ("runs/r1.dat", "1\n", false),
        ("runs/r10.dat", "10\n", false),
        ("runs/r2.dat", "2\n", false),
    ];
    assert_eq!(
        got,
        wanted.map(|(name, contents, executable)| (name, contents.to_owned(), executable))
    );
    let missing = Missing {
        name: "nothing".into(),
        why: Why::Absent,
    };
    assert_eq!(ended.missing, [missing]);
    world.close();
}

#[test]
fn an_output_declared_twice_is_taken_once() {
    let world = World::new("twice");
    let mut warden = world.warden(0);
    let script = "mkdir d; echo 1 > d/a; echo 2 > x; ln x y";
    let ended = warden.run(&outputs(sh(script), &["d", "d/a", "d/?", "x", "*", "x"]));
    let got: Vec<_> = ended
        .outputs
        .iter()
        .map(|output| output.name.as_str())
        .collect();
    assert_eq!((got, ended.missing), (vec!["d/a", "x", "y"], vec![]));
    assert_eq!(ended.outputs[1].file, ended.outputs[2].file);
    world.close();
}

#[test]
fn an_input_that_the_store_lacks_fails_the_staging() {
    let world = World::new("staging");
    let mut warden = world.warden(0);
    let mut run = sh("echo ran");
    run.inputs = vec![world.input("here", "1"), world.input("lacking", "2")];
    run.inputs[1].file.digest = Digest([7; 32]);
    let ended = warden.run(&run);
    assert!(
        matches!(&ended.end, End::StagingFailed { name, .. } if *name == rel("lacking")),
        "{ended:?}"
    );
    assert_eq!(ended.stdout, Stream::default());
    let ended = warden.sh("ls -A");
    assert_eq!(
        (ended.end, ended.stdout),
        (End::Exited(0), Stream::default())
    );
    world.close();
}

#[test]
fn a_sandbox_is_empty_and_open_at_every_start() {
    let world = World::new("empty");
    let mut warden = world.warden(0);
    for mess in [
        "true",
        "touch a .b '-rf'; mkdir -p c/d/e; ln -s / root; mkfifo fifo",
        "mkdir -p x/y; touch x/y/z; chmod 0 x/y x .",
        "chmod 777 .",
        "mv ../box ../elsewhere; ln -s /tmp ../box",
        "rmdir ../box",
        "rm -r ../box; mkdir -p ../box/a/b",
        "rm -r ../box; touch ../box",
        "p=x; for i in 1 2 3 4 5 6 7 8 9 0; do p=$p/$p; mkdir -p $p 2>/dev/null; done",
    ] {
        assert!(matches!(warden.sh(mess).end, End::Exited(_)), "{mess}");
        let ended = warden.sh("ls -A; stat -c %a .; stat -c %a $TMPDIR; [ . -ef $TMPDIR ]");
        assert_eq!(
            (ended.end, text(&ended.stdout)),
            (End::Exited(0), "700\n700\n"),
            "after {mess}"
        );
    }
    world.close();
}

#[test]
fn a_store_file_is_out_of_reach_of_the_task_that_reads_it() {
    let world = World::new("reach");
    let mut warden = world.warden(0);
    let input = world.input("in", "kept");
    let mut run = outputs(sh("rm -f in; echo other > in"), &["in"]);
    run.inputs = vec![input.clone()];
    let ended = warden.run(&run);
    assert_eq!(world.contents(ended.outputs[0].file.digest), b"other\n");
    assert_eq!(world.contents(input.file.digest), b"kept");
    let mut run = outputs(sh("mv in out"), &["out"]);
    run.inputs = vec![input.clone()];
    let ended = warden.run(&run);
    assert_eq!(ended.outputs[0].file, input.file);
    assert_eq!(world.contents(input.file.digest), b"kept");
    world.close();
}

#[test]
fn what_a_task_writes_into_an_input_reaches_no_other_task() {
    let world = World::new("spoiled");
    let mut warden = world.warden(0);
    let is_root = rustix::process::geteuid().is_root();
    let contents = "bad".repeat(100_000);
    let small = world.input("small", "good");
    for (script, executable) in [
        ("echo more >> large", false),
        ("echo more >> large; rm large", false),
        ("echo more >> large; mv large elsewhere", false),
        (
            "echo bad | dd of=large conv=notrunc; touch -d 2001-01-01 large; chmod 444 large",
            false,
        ),
        ("echo more >> large", true),
    ] {
        let large = world.input("large", &contents);
        let mut run = sh(&format!(
            "chmod u+w small large; echo more >> small; {script}"
        ));
        run.inputs = vec![small.clone(), large.clone()];
        run.inputs[1].form = if executable {
            Form::Program
        } else {
            Form::Data
        };
        let ended = warden.run(&run);
        assert_eq!(ended.end, End::Exited(0), "{script}");
        assert!(world.store.contains(small.file.digest).is_some());
        let held = world.store.contains(large.file.digest).is_some();
        if is_root {
            let intact = world.store.verify(large.file.digest);
            assert!(held && intact.expect("it can be read"), "{script}");
            assert_eq!(ended.spoiled, [], "root gets copies of everything");
        } else {
            assert_eq!(ended.spoiled, [large.file.digest], "{script}");
            assert!(!held, "the link's file is gone: {script}");
        }
    }
    world.close();
}

#[test]
fn slots_of_an_earlier_worker_are_removed() {
    let root = scratch("leftover");
    fs::create_dir_all(root.join("slots/5/box/deep")).expect("directories");
    fs::write(root.join("slots/5/box/deep/file"), "old").expect("a file");
    let world = World::at(root, Confinement::PidNamespace);
    assert_eq!(
        fs::read_dir(world.root.join("slots"))
            .expect("slots")
            .count(),
        0
    );
    world.close();
}

#[test]
fn a_large_input_is_lent_again_until_a_task_touches_it() {
    let world = World::new("spares");
    let mut warden = world.warden(0);
    let contents = "0123456789abcdef".repeat(8 << 10);
    let mut run = sh("stat -c %i large; tail -c 4 large");
    run.inputs = vec![world.input("large", &contents)];
    let mut inode = |script: &str| {
        run.words = sh(script).words;
        let ended = warden.run(&run);
        assert_eq!(ended.end, End::Exited(0), "{}", text(&ended.stderr));
        let told = text(&ended.stdout);
        let (inode, tail) = told.split_once('\n').expect("two lines");
        assert_eq!(tail, "cdef", "the contents are what they were");
        inode.to_owned()
    };
    let look = "stat -c %i large; tail -c 4 large";
    let first = inode(look);
    assert_eq!(inode(look), first, "an untouched copy is lent again");
    if !rustix::process::geteuid().is_root() {
        return world.close();
    }
    for touch in [
        "printf x | dd of=large conv=notrunc status=none",
        "truncate -s 3 large",
        "touch -r /etc/hostname large",
        "chmod 777 large",
        "mv large elsewhere",
        "ln large twin",
        "rm large",
    ] {
        inode(&format!("{look}; {touch}"));
        // A new copy may well get the number of the old one, so that is no sign: contents and attributes are.
        inode(&format!("{look}; [ $(stat -c %h%a large) = 2644 ]"));
    }
    world.close();
}

#[test]
fn outputs_of_success_and_of_failure_come_after_their_ends_only() {
    let world = World::new("when");
    let mut warden = world.warden(0);
    let run = |script: &str| {
        let mut run = outputs(sh(script), &["always", "result", "core*"]);
        run.outputs[1].when = When::Success;
        run.outputs[2].when = When::Failure;
        run.outputs[2].need = Need::Optional;
        run
    };
    for (script, end, taken, missing) in [
        (
            "touch always result core.1",
            End::Exited(0),
            &["always", "result"][..],
            &[][..],
        ),
        (
            "touch always result core.1; exit 3",
            End::Exited(3),
            &["always", "core.1"],
            &[],
        ),
        (
            "touch always core.1; kill -9 $$",
            End::Signalled(9),
            &["always", "core.1"],
            &[],
        ),
        ("touch always", End::Exited(0), &["always"], &["result"]),
    ] {
        let ended = warden.run(&run(script));
        assert_eq!(ended.end, end, "{script}");
        let names = ended.outputs.iter().map(|output| output.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), taken, "{script}");
        let names = ended.missing.iter().map(|missing| missing.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), missing, "{script}");
    }
    world.close();
}
