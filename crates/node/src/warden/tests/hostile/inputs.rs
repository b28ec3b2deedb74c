//! What a task may do to its inputs: the store keeps what it has, or finds out that it does not, and the next task gets
//! what it was promised.

use super::Needs::Root;
use super::*;

#[test]
fn the_next_task_gets_its_inputs_as_they_were() {
    let cases: Vec<Case> = touched().into_iter().chain(spares()).collect();
    try_all("input", &cases);
}

fn touched() -> Vec<Case> {
    vec![
        case(
            "input/written-in-place",
            "chmod u+w in large; echo bad | dd of=in conv=notrunc; echo bad | dd of=large conv=notrunc",
            &[],
        ),
        case(
            "input/appended",
            "chmod u+w in large; echo more >> in; echo more >> large",
            &[],
        ),
        case(
            "input/truncated",
            "chmod u+w in large; : > in; : > large",
            &[],
        ),
        case(
            "input/spoiled-and-removed",
            "chmod u+w large; echo more >> large; rm large",
            &[],
        ),
        case(
            "input/spoiled-and-renamed",
            "chmod u+w large; echo more >> large; mv large elsewhere",
            &[],
        ),
        case(
            "input/spoiled-and-backdated",
            "chmod u+w large; echo bad | dd of=large conv=notrunc; touch -d 2001-01-01 large; chmod 444 large",
            &[],
        ),
        case("input/modes", "chmod 7777 in large; chmod 0 in", &[]),
        case("input/owner", "chown 12345:12345 in large", &[]).needs(Root),
        case(
            "input/times",
            "touch -d 2001-01-01 in large 2>/dev/null || touch -d 2001-01-01 in",
            &[],
        ),
        case("input/renamed", "mv in a; mv large b", &["a"]).takes("a", SMALL),
        case(
            "input/link-for-it",
            "rm in large; ln -s $CANARY/precious in; ln -s $CANARY/precious large",
            &["in"],
        )
        .misses("in", Why::Link),
        case(
            "input/written-through-own-link",
            "ln -s large l; chmod u+w large; echo more >> l",
            &[],
        ),
        case(
            "input/hard-link-for-it",
            "ln -f $CANARY/precious large",
            &[],
        ),
        case(
            "input/directory-for-it",
            "rm in large; mkdir -p in/d large; ln -s $CANARY in/d/l",
            &[],
        ),
        case(
            "input/another-name-beside",
            "ln in ../../in; ln large ../../large; rm -f ../../in ../../large",
            &[],
        ),
    ]
}

/// What root's tasks may do to the copies that they are lent.
fn spares() -> Vec<Case> {
    vec![
        case("input/spares-removed", "rm -r ../spares", &[]).needs(Root),
        case(
            "input/link-for-spares",
            "rm -r ../spares; ln -s $CANARY ../spares",
            &[],
        )
        .needs(Root),
        case(
            "input/spares-moved",
            "mv ../spares ../other; mkdir ../spares",
            &[],
        )
        .needs(Root),
        case(
            "input/spares-written",
            "for f in ../spares/*; do echo bad | dd of=$f conv=notrunc; done",
            &[],
        )
        .needs(Root),
        case(
            "input/link-for-spare",
            "for f in ../spares/*; do rm $f; ln -s $CANARY/precious $f; done",
            &[],
        )
        .needs(Root),
        case(
            "input/pipe-for-spare",
            "for f in ../spares/*; do rm $f; mkfifo $f; done",
            &[],
        )
        .needs(Root),
        case(
            "input/directory-for-spare",
            "for f in ../spares/*; do rm $f; mkdir -p $f/d; ln -s $CANARY $f/d/l; done",
            &[],
        )
        .needs(Root),
    ]
}

#[test]
fn no_task_writes_to_what_is_lent_to_another() {
    let mut cage = Cage::new("lent");
    if !rustix::process::geteuid().is_root() {
        return cage.close();
    }
    cage.look_after("nothing", &[]);
    for (what, script) in [
        (
            "a write",
            "for f in ../spares/*; do echo bad | dd of=$f conv=notrunc; done",
        ),
        (
            "another file",
            "for f in ../spares/*; do cp $f x; echo bad | dd of=x conv=notrunc; touch -r $f x; mv x $f; done",
        ),
        (
            "a link",
            "for f in ../spares/*; do rm $f; ln -s $CANARY/precious $f; done",
        ),
    ] {
        // This one is lent nothing itself.
        let mut run = cage.run(script, &[]);
        run.inputs.clear();
        assert_eq!(cage.warden.run(&run).end, End::Exited(0), "{what}");
        cage.look_after(what, &[]);
    }
    cage.close();
}

#[test]
fn inputs_that_are_in_each_others_way_are_not_staged() {
    let mut cage = Cage::new("clash");
    for (names, clash) in [
        (["a", "a/b"], "a/b"),
        (["a/b", "a"], "a"),
        (["a", "a"], "a"),
    ] {
        let mut run = cage.run("true", &[]);
        run.inputs = names.map(|name| cage.world.input(name, SMALL)).into();
        let ended = cage.warden.run(&run);
        let is_named = matches!(&ended.end, End::StagingFailed { name, .. } if *name == rel(clash));
        assert!(is_named, "{names:?}: {ended:?}");
        cage.look_after(clash, &[]);
    }
    cage.close();
}
