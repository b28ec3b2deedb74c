//! The files of an identity: who may read them, what becomes of them, and what is refused.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use muster_proto::{Peer, Role};
use tempfile::TempDir;

use super::{Authority, Credentials, IdentityError};

#[test]
fn keys_are_for_their_owner_alone() {
    let home = TempDir::new().unwrap();
    let dir = home.path().join("config/muster");
    let authority = Authority::open_or_create(&dir).unwrap();
    authority
        .issue(&worker())
        .unwrap()
        .save(&dir.join("w1"))
        .unwrap();

    for (path, mode) in [
        ("", 0o700),
        ("w1", 0o700),
        ("authority.key", 0o600),
        ("authority.pem", 0o600),
        ("w1/identity.pem", 0o600),
    ] {
        assert_eq!(mode_of(&dir.join(path)), mode, "{path}");
    }
    assert_eq!(
        names_in(&dir),
        ["authority.key", "authority.pem", "w1"],
        "no drafts are left over"
    );
    assert_eq!(names_in(&dir.join("w1")), ["identity.pem"]);
    assert!(
        !fs::read_to_string(dir.join("authority.pem"))
            .unwrap()
            .contains("PRIVATE")
    );
    assert!(
        !format!("{authority:?} {:?}", authority.issue(&worker()).unwrap()).contains("PRIVATE")
    );
}

#[test]
fn a_secret_has_one_authority_wherever_it_is_made() {
    let home = TempDir::new().unwrap();
    let made = |name: &str, secret: u8| {
        Authority::of_secret(&home.path().join(name), &[secret; 32]).unwrap()
    };
    let (one, other) = (made("one", 7), made("other", 7));
    assert_eq!(one.federation(), other.federation());
    let key =
        |authority: &Authority| super::credentials::public_key_of(&authority.certificate).unwrap();
    assert_eq!(key(&one), key(&other));
    assert_eq!(one.issue(&worker()).unwrap().peer(), &worker());
    assert_ne!(made("third", 8).federation(), one.federation());
    assert_ne!(key(&made("third", 8)), key(&one));
    assert_eq!(
        made("one", 8).federation(),
        one.federation(),
        "what is there stays"
    );
    let again = Authority::open_or_create(&home.path().join("one")).unwrap();
    assert_eq!(key(&again), key(&one));
}

#[test]
fn keys_that_others_can_reach_are_refused_with_a_sentence() {
    for (path, mode) in [
        ("", 0o755),
        ("", 0o710),
        ("", 0o702),
        ("authority.key", 0o640),
        ("authority.key", 0o604),
    ] {
        let world = World::new();
        let exposed = world.dir().join(path);
        fs::set_permissions(&exposed, Permissions::from_mode(mode)).unwrap();
        let error = Authority::open_or_create(world.dir()).unwrap_err();
        assert!(
            matches!(error, IdentityError::Exposed { mode: found, .. } if found == mode),
            "{path} {mode:o}"
        );
        assert!(error.to_string().contains("chmod go-rwx"), "{error}");
        assert_eq!(mode_of(&exposed), mode, "it is for the owner to decide");
    }

    let world = World::new();
    world.credentials(&worker()).save(world.dir()).unwrap();
    fs::set_permissions(
        world.dir().join("identity.pem"),
        Permissions::from_mode(0o644),
    )
    .unwrap();
    assert!(matches!(
        Credentials::load(world.dir()),
        Err(IdentityError::Exposed { .. })
    ));
}

#[test]
fn processes_that_begin_at_once_share_one_authority() {
    let home = TempDir::new().unwrap();
    let dir = home.path().join("muster");
    let federations: BTreeSet<String> = std::thread::scope(|scope| {
        let open = || {
            Authority::open_or_create(&dir)
                .unwrap()
                .federation()
                .to_owned()
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(open)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(federations.len(), 1, "{federations:?}");
    assert_eq!(names_in(&dir), ["authority.key", "authority.pem"]);
    assert_ne!(
        Authority::ephemeral().unwrap().federation(),
        Authority::ephemeral().unwrap().federation()
    );
}

#[test]
fn a_damaged_authority_is_refused_and_a_missing_copy_made_again() {
    let world = World::new();
    let (key, copy) = (
        world.dir().join("authority.key"),
        world.dir().join("authority.pem"),
    );
    let (key_text, copy_text) = (
        fs::read_to_string(&key).unwrap(),
        fs::read_to_string(&copy).unwrap(),
    );
    let other = World::new();
    let other_text = fs::read_to_string(other.dir().join("authority.key")).unwrap();
    let other_key = &other_text[..other_text.find("-----BEGIN CERTIFICATE").unwrap()];

    for damaged in [
        "",
        "rubbish",
        &key_text[..key_text.len() / 2],
        &copy_text,
        other_key,
        &(other_key.to_owned() + &copy_text),
    ] {
        fs::write(&key, damaged).unwrap();
        let error = Authority::open_or_create(world.dir()).unwrap_err();
        assert!(
            matches!(error, IdentityError::Damaged { .. }),
            "{damaged:?}: {error}"
        );
    }

    fs::remove_file(&key).unwrap();
    let error = Authority::open_or_create(world.dir()).unwrap_err();
    assert!(
        error.to_string().contains("the private key is gone"),
        "{error}"
    );
    assert!(
        !key.exists(),
        "no new authority takes the place of a lost one"
    );

    fs::write(&key, &other_text).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let error = Authority::open_or_create(world.dir()).unwrap_err();
    assert!(
        error.to_string().contains("do not belong together"),
        "{error}"
    );

    fs::write(&key, &key_text).unwrap();
    fs::remove_file(&copy).unwrap();
    assert_eq!(
        Authority::open_or_create(world.dir()).unwrap().federation(),
        world.authority.federation()
    );
    assert_eq!(fs::read_to_string(&copy).unwrap(), copy_text);

    fs::rename(&key, world.dir().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", &key).unwrap();
    assert!(
        matches!(
            Authority::open_or_create(world.dir()),
            Err(IdentityError::Disk { .. })
        ),
        "a link is no key"
    );
}

#[test]
fn only_names_are_issued_as_names() {
    let authority = Authority::ephemeral().unwrap();
    for bad in [
        "",
        "-w",
        ".w",
        "a/b",
        "a b",
        "a\n",
        "ä",
        "a%2f",
        &"x".repeat(65),
    ] {
        for who in [
            peer(Role::Worker, bad, "w1"),
            peer(Role::Worker, "cern", bad),
        ] {
            assert!(
                matches!(authority.issue(&who), Err(IdentityError::BadName { .. })),
                "{who:?}"
            );
        }
    }
    let longest = "x".repeat(64);
    let who = peer(Role::Worker, &longest, &longest);
    assert_eq!(authority.issue(&who).unwrap().peer(), &who);
}

#[test]
fn an_identity_outlives_its_process() {
    let world = World::new();
    let state = world.dir().join("state");
    assert!(Credentials::load(&state).unwrap().is_none(), "nothing yet");
    let first = world.credentials(&worker());
    first.save(&state).unwrap();
    let again = Credentials::load(&state).unwrap().unwrap();
    assert_eq!(
        (again.peer(), again.federation(), again.to_pem()),
        (&worker(), first.federation(), first.to_pem())
    );

    world.credentials(&foreman()).save(&state).unwrap();
    assert_eq!(
        Credentials::load(&state).unwrap().unwrap().peer(),
        &foreman(),
        "a new identity replaces the old"
    );
    assert_eq!(names_in(&state), ["identity.pem"]);

    fs::write(state.join("identity.pem"), &first.to_pem()[..300]).unwrap();
    assert!(matches!(
        Credentials::load(&state),
        Err(IdentityError::Damaged { .. })
    ));
}

/// One federation in a directory of its own.
struct World {
    _home: TempDir,
    dir: PathBuf,
    authority: Authority,
}

impl World {
    fn new() -> World {
        let home = TempDir::new().expect("a temporary directory");
        let dir = home.path().join("muster");
        let authority = Authority::open_or_create(&dir).expect("a new authority");
        World {
            _home: home,
            dir,
            authority,
        }
    }

    fn dir(&self) -> &Path {
        &self.dir
    }

    fn credentials(&self, who: &Peer) -> Credentials {
        self.authority.issue(who).expect("a good name")
    }
}

fn peer(role: Role, site: &str, name: &str) -> Peer {
    Peer {
        role,
        site: site.into(),
        name: name.into(),
    }
}

fn worker() -> Peer {
    peer(Role::Worker, "cern", "w1")
}

fn foreman() -> Peer {
    peer(Role::Foreman, "cern", "f1")
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.into_iter().collect()
}
