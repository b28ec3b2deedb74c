//! What a task may take of the disk.

use muster_proto::outcome::Resource;

use super::*;

const LIMIT: u64 = 1 << 20;

fn limited(script: &str) -> Run {
    Run {
        disk_bytes_max: Some(LIMIT),
        ..sh(script)
    }
}

/// W3: the offender ends, and what comes after it finds a clean sandbox.
#[test]
fn who_takes_more_of_the_disk_than_he_may_is_ended() {
    let world = World::new("quota-over");
    let mut warden = world.warden(0);
    for script in [
        "head -c 2M /dev/zero > x",
        "head -c 800K /dev/zero > x; head -c 800K /dev/zero > .y",
        "mkdir -p a/b/c; head -c 2M /dev/zero > a/b/c/x",
        "head -c 2M /dev/zero > x; ln x y; rm x",
        "mkdir a; cd a; head -c 2M /dev/zero > x; chmod 000 x",
        // It does not end by itself.
        "while :; do head -c 64K /dev/zero >> x; done",
    ] {
        let ended = warden.run(&limited(script));
        let End::Exhausted {
            resource: Resource::Disk,
            measured,
            limit: LIMIT,
        } = ended.end
        else {
            panic!("{script}: {:?}", ended.end)
        };
        assert!(measured > LIMIT, "{script}: {measured}");
        assert_eq!(warden.sh("ls -A").stdout, Stream::default(), "{script}");
    }
    world.close();
}

#[test]
fn who_keeps_to_his_limit_is_left_alone() {
    let world = World::new("quota-under");
    let mut warden = world.warden(0);
    for script in [
        "head -c 900K /dev/zero > x",
        "truncate -s 1G x",
        "head -c 800K /dev/zero > x; ln x y; ln x z",
        "head -c 2M /dev/zero > x; : > x",
        "ln -s /dev x; mkfifo y",
    ] {
        let ended = warden.run(&limited(script));
        assert_eq!(ended.end, End::Exited(0), "{script}");
    }
    world.close();
}

#[test]
fn inputs_are_not_charged_and_what_is_made_of_them_is() {
    let world = World::new("quota-inputs");
    let mut warden = world.warden(0);
    let input = world.input("big", &"x".repeat(3 << 20));
    let with_input = |script| Run {
        inputs: vec![input.clone()],
        ..limited(script)
    };
    let ended = warden.run(&with_input("head -c 500K big > part"));
    assert_eq!(ended.end, End::Exited(0));
    for script in ["cp big copy", "chmod u+w big; cat big big > x; mv x big"] {
        let ended = warden.run(&with_input(script));
        assert!(matches!(ended.end, End::Exhausted { .. }), "{script}");
    }
    world.close();
}

#[test]
fn a_crowd_of_files_ends_its_maker() {
    let world = World::new("quota-files");
    let mut warden = world.warden(0);
    let crowd = Run {
        files_max: 500,
        ..sh("mkdir d; cd d; seq 2000 | xargs touch; sleep 60")
    };
    let ended = warden.run(&crowd);
    assert!(
        matches!(
            ended.end,
            End::Exhausted {
                resource: Resource::Files,
                limit: 500,
                ..
            }
        ),
        "{:?}",
        ended.end
    );
    world.close();
}
