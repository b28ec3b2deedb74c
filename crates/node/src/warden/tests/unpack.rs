//! Archives as inputs: good ones, and what somebody may hand in as one.

use std::io::Cursor;

use muster_proto::outcome::{ArchiveFault, Resource};
use muster_proto::task::Form;
use tar::{Builder, EntryType, Header};

use super::*;

/// Contents of an archive, made entry by entry without the checks of those who mean well.
struct Pack(Builder<Vec<u8>>);

impl Pack {
    fn new() -> Self {
        Pack(Builder::new(Vec::new()))
    }

    fn raw(mut self, name: &str, kind: EntryType, link: &str, contents: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(contents.len() as u64);
        header.set_mode(0o6755);
        header.set_cksum();
        self.0.append(&header, contents).expect("memory");
        self
    }

    fn file(self, name: &str, contents: &str) -> Self {
        self.raw(name, EntryType::Regular, "", contents.as_bytes())
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(name, EntryType::Symlink, target, b"")
    }

    fn done(self) -> Vec<u8> {
        self.0.into_inner().expect("memory")
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut encoder = flate2::read::GzEncoder::new(Cursor::new(bytes), flate2::Compression::best());
    encoder.read_to_end(&mut packed).expect("memory");
    packed
}

fn archive(world: &World, name: &str, contents: &[u8]) -> InputFile {
    let mut writer = world.store.writer(contents.len() as u64).expect("a writer");
    writer.write_all(contents).expect("space");
    let (digest, bytes) = writer.finish(None).expect("space");
    InputFile {
        name: rel(name),
        file: FileRef { digest, bytes },
        form: Form::Archive,
    }
}

#[test]
fn an_archive_is_unpacked_into_its_directory() {
    let world = World::new("unpack");
    let mut warden = world.warden(0);
    let contents = Pack::new()
        .raw("./", EntryType::Directory, "", b"")
        .raw("bin/", EntryType::Directory, "", b"")
        .raw(
            "bin/tool",
            EntryType::Regular,
            "",
            b"#!/bin/sh\necho tool\n",
        )
        .file("deep/er/data", "data")
        .symlink("bin/also", "tool")
        .symlink("deep/up", "../bin/tool")
        .raw("twin", EntryType::Link, "deep/er/data", b"")
        .file("deep/er/data", "newer")
        .done();
    let script =
        "dir/bin/tool; dir/bin/also; dir/deep/up; cat dir/deep/er/data dir/twin; cat dir/own";
    let wanted = "tool\ntool\ntool\nnewerdataown";
    for contents in [contents.clone(), gzipped(&contents)] {
        let mut run = sh(script);
        run.inputs = vec![
            archive(&world, "dir", &contents),
            world.input("dir/own", "own"),
        ];
        let ended = warden.run(&run);
        assert_eq!(ended.end, End::Exited(0), "{}", text(&ended.stderr));
        assert_eq!(text(&ended.stdout), wanted);
    }
    assert_eq!(warden.sh("ls -A").stdout, Stream::default());
    world.close();
}

#[test]
fn what_an_archive_may_not_hold_is_refused_and_touches_nothing_outside() {
    let world = World::new("unpack-hostile");
    let mut warden = world.warden(0);
    fs::write(world.root.join("canary"), "canary").expect("a file");
    let outside = world.root.join("canary");
    let outside = outside.to_str().expect("text");
    let cases = [
        (ArchiveFault::LeadsOut, names_out()),
        (ArchiveFault::LeadsOut, links_out(outside)),
        (ArchiveFault::Irregular, irregular()),
        (ArchiveFault::Malformed, malformed()),
    ];
    let cases = cases
        .into_iter()
        .flat_map(|(fault, cases)| cases.into_iter().map(move |case| (fault, case)));
    for (fault, (what, contents)) in cases {
        let mut run = sh("true");
        run.inputs = vec![archive(&world, "dir", &contents)];
        let end = warden.run(&run).end;
        let name = rel("dir");
        assert_eq!(end, End::BadArchive { name, fault }, "{what}");
        assert_eq!(warden.sh("ls -A").stdout, Stream::default(), "{what}");
        let canary = fs::read_to_string(world.root.join("canary"));
        assert_eq!(canary.expect("it is there"), "canary", "{what}");
    }
    world.close();
}

/// Names that lead out of the directory.
fn names_out() -> Vec<(&'static str, Vec<u8>)> {
    let long = "x/".repeat(3_000);
    vec![
        ("climbs", Pack::new().file("../canary", "x").done()),
        (
            "climbs late",
            Pack::new().file("a/../../canary", "x").done(),
        ),
        ("is absolute", Pack::new().file("/etc/x", "x").done()),
        (
            "a name of no end",
            Pack::new()
                .raw("././@LongLink", EntryType::GNULongName, "", long.as_bytes())
                .file("a", "x")
                .done(),
        ),
        (
            "an extension that says another name",
            Pack::new()
                .raw("pax", EntryType::XHeader, "", b"18 path=../canary\n")
                .file("a", "x")
                .done(),
        ),
        (
            "a directory where a file is",
            Pack::new().file("d", "x").file("d/f", "x").done(),
        ),
    ]
}

/// Links that lead out of it, and names that lead through links.
fn links_out(outside: &str) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "links out",
            Pack::new().symlink("l", "../../../canary").done(),
        ),
        ("links to the root", Pack::new().symlink("l", "/etc").done()),
        (
            "links to a file outside",
            Pack::new().symlink("l", outside).done(),
        ),
        (
            "writes through a link",
            Pack::new()
                .symlink("l", ".")
                .symlink("m", "l")
                .file("m/a", "x")
                .done(),
        ),
        (
            "makes a directory through a link",
            Pack::new()
                .symlink("l", "d")
                .raw("l/e/", EntryType::Directory, "", b"")
                .done(),
        ),
        (
            "hard-links outside",
            Pack::new()
                .raw("h", EntryType::Link, "../../../canary", b"")
                .done(),
        ),
        (
            "hard-links through a link",
            Pack::new()
                .file("d/f", "x")
                .symlink("l", "d")
                .raw("h", EntryType::Link, "l/f", b"")
                .done(),
        ),
    ]
}

/// What is neither a whole file nor a directory nor a link.
fn irregular() -> Vec<(&'static str, Vec<u8>)> {
    let device = |kind| Pack::new().raw("dev", kind, "", b"").done();
    vec![
        (
            "an extension that says another length",
            Pack::new()
                .raw("pax", EntryType::XHeader, "", b"19 size=9999999999\n")
                .file("a", "x")
                .done(),
        ),
        ("a pipe", device(EntryType::Fifo)),
        ("a device", device(EntryType::Char)),
        ("a disk", device(EntryType::Block)),
        ("holes", device(EntryType::GNUSparse)),
    ]
}

/// What is no archive, or contradicts itself.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let good = Pack::new().file("a", "a").done();
    vec![
        (
            "hard-links nothing",
            Pack::new().raw("h", EntryType::Link, "none", b"").done(),
        ),
        (
            "an extension of no end",
            Pack::new()
                .raw("pax", EntryType::XHeader, "", &vec![b'x'; 100_000])
                .file("a", "x")
                .done(),
        ),
        ("cut short", good[..600].to_vec()),
        ("cut within", good[..513].to_vec()),
        ("noise", vec![0xa5; 4_096]),
        ("gzipped noise", gzipped(&[0xa5; 4_096])),
        ("gzip cut short", gzipped(&good)[..20].to_vec()),
        (
            "a file where a directory is",
            Pack::new().file("d/f", "x").file("d", "x").done(),
        ),
    ]
}

#[test]
fn bombs_burst_at_the_quota() {
    let world = World::new("unpack-bombs");
    let mut warden = world.warden(0);
    let large = Pack::new()
        .raw("zeros", EntryType::Regular, "", &vec![0; 8 << 20])
        .done();
    let many = (0..600).fold(Pack::new(), |pack, n| pack.file(&format!("f{n}"), ""));
    let mut liar = Header::new_gnu();
    liar.as_mut_bytes()[..3].copy_from_slice(b"lie");
    liar.set_entry_type(EntryType::Regular);
    liar.set_size(u64::MAX >> 1);
    liar.set_mode(0o644);
    liar.set_cksum();
    let exhausted = |contents: &[u8], warden: &mut Warden| {
        let mut run = sh("true");
        run.disk_bytes_max = Some(1 << 20);
        run.files_max = 500;
        run.inputs = vec![archive(&world, "dir", contents)];
        let end = warden.run(&run).end;
        let End::Exhausted { resource, .. } = end else {
            panic!("{end:?}")
        };
        resource
    };
    assert_eq!(exhausted(&gzipped(&large), &mut warden), Resource::Disk);
    assert_eq!(exhausted(&many.done(), &mut warden), Resource::Files);
    assert_eq!(exhausted(liar.as_bytes(), &mut warden), Resource::Disk);
    assert_eq!(warden.sh("ls -A").stdout, Stream::default());
    world.close();
}

/// X5: what has rotted is found before the task runs, and is out of the store.
#[test]
fn a_rotten_archive_is_found() {
    let world = World::new("unpack-rot");
    let mut warden = world.warden(0);
    let input = archive(&world, "dir", &Pack::new().file("a", "right").done());
    let path = world.store.path(input.file.digest);
    let mut bytes = fs::read(&path).expect("it is there");
    bytes[512] = b'w';
    fs::remove_file(&path).expect("ours");
    fs::write(&path, bytes).expect("space");
    let mut run = sh("cat dir/a");
    run.inputs = vec![input.clone()];
    assert!(matches!(warden.run(&run).end, End::StagingFailed { .. }));
    assert_eq!(world.store.contains(input.file.digest), None);
    world.close();
}
