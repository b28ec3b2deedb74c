//! What a daemon finds in its state directory.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use muster_proto::machine::{BadRecord, Record};
use muster_proto::task::FileRef;
use muster_proto::{Lsn, Peer, Role};
use muster_store::{ContentStore, Journal, Limits};

use super::{Common, DaemonError};
use crate::driver::Log;
use crate::identity::{Authority, Credentials};

/// Bytes of a journal's segment.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Makes the state directory, for its owner alone.
pub(super) fn make(dir: &Path) -> Result<(), DaemonError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| DaemonError::State {
        path: dir.into(),
        source,
    })
}

/// Who the daemon is: who it was before, if that is what it is to be, else newly certified.
pub(super) fn identity(common: &Common, wanted: &Wanted<'_>) -> Result<Credentials, DaemonError> {
    let authority = Authority::open_or_create(&common.keys_dir)?;
    if let Some(known) = Credentials::load(&common.state_dir)?
        && known.federation() == authority.federation()
        && wanted.is(known.peer())
    {
        return Ok(known);
    }
    let name = wanted.name.map_or_else(
        || format!("{}-{:04x}", host_name(), draw() & 0xffff),
        ToOwned::to_owned,
    );
    let peer = Peer {
        role: wanted.role,
        site: wanted.site.to_owned(),
        name,
    };
    let credentials = authority.issue(&peer)?;
    credentials.save(&common.state_dir)?;
    Ok(credentials)
}

/// Who a daemon is to be.
pub(super) struct Wanted<'a> {
    pub(super) role: Role,
    pub(super) site: &'a str,
    /// Its name, if it matters.
    pub(super) name: Option<&'a str>,
}

impl Wanted<'_> {
    fn is(&self, peer: &Peer) -> bool {
        peer.role == self.role
            && peer.site == self.site
            && self.name.is_none_or(|name| name == peer.name)
    }
}

/// The journal of a daemon, the number of its next record, and what it holds.
type Opened<E> = (Box<dyn Log>, Lsn, Vec<E>);

/// Opens the journal of a daemon.
pub(super) fn journal<E: Record>(dir: &Path) -> Result<Opened<E>, DaemonError> {
    let path = dir.join("journal");
    let mut events = Vec::new();
    let mut bad: Option<(Lsn, BadRecord)> = None;
    let (journal, recovery) = Journal::open(
        &path,
        Limits {
            segment_bytes: SEGMENT_BYTES,
        },
        |lsn, bytes| match E::decode(bytes) {
            Ok(event) => events.push(event),
            Err(error) => bad = bad.or(Some((lsn, error))),
        },
    )?;
    if let Some((record, source)) = bad {
        return Err(DaemonError::Record {
            path,
            record: record.0,
            source,
        });
    }
    if let Some(torn) = recovery.torn {
        tracing::warn!(file = %torn.file.display(), at = torn.at, bytes = torn.bytes, "cut the torn end of the journal");
    }
    Ok((Box::new(journal), Lsn(recovery.last.0 + 1), events))
}

/// The content store of a daemon and what it holds.
pub(super) fn store(dir: &Path) -> Result<(Arc<ContentStore>, Vec<FileRef>), DaemonError> {
    let path = dir.join("files");
    let store = ContentStore::open(&path)?;
    store.sweep()?;
    let mut files = Vec::new();
    for stored in store.list() {
        let stored = stored.map_err(|source| DaemonError::State {
            path: path.clone(),
            source,
        })?;
        files.push(FileRef {
            digest: stored.digest,
            bytes: stored.size,
        });
    }
    Ok((Arc::new(store), files))
}

/// The port the daemon had before.
pub(super) fn last_port(dir: &Path) -> Option<u16> {
    fs::read_to_string(dir.join("port"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Keeps the port for the next start, so that others find the daemon where it was.
pub(super) fn remember_port(dir: &Path, port: u16) -> Result<(), DaemonError> {
    write_whole(&dir.join("port"), &format!("{port}\n"))
}

/// Writes a small file that others read: they find the old text or the new one, and never a part.
pub(super) fn write_whole(path: &Path, text: &str) -> Result<(), DaemonError> {
    // A name with a dot in front is nobody's.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.new"));
    let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|source| DaemonError::State {
        path: path.to_owned(),
        source,
    })
}

/// This host's name, or as much of it as may be in a name.
pub(super) fn host_name() -> String {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy().into_owned();
    let short: String = name.chars().take(48).collect();
    if muster_proto::peer::is_name(&short) {
        short
    } else {
        "host".to_owned()
    }
}

/// A random number; the standard library's hasher is keyed by the system.
pub(super) fn draw() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
