//! Moving files between a user's disk and a master's store.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_proto::limits::DIGESTS_PER_REQUEST_MAX;
use muster_proto::task::FileRef;
use muster_proto::wire::CloseCode;
use muster_proto::wire::bulk::{ABSENT, Request};
use muster_proto::{Digest, RelPath, Role};
use muster_store::Stamp;
use quinn::RecvStream;
use rustix::fs::OFlags;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::place::{Bits, Draft, Root, Verified};
use super::session::give_up;
use super::{ClientError, Master};
use crate::bulk::fetch::ask;
use crate::bulk::shelf::blocking;
use crate::bulk::stream::{self, Refused, Stop};
use crate::bulk::{CHUNK_BYTES, PACK_BYTES, PACK_FILES, SMALL_BYTES};
use crate::clock::Clock;
use crate::driver::Backoff;
use crate::endpoint::{Kind, Link, Pace};

/// A file to bring back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name below the directory.
    pub name: RelPath,
    /// Its contents.
    pub file: FileRef,
    /// Whether it may be executed.
    pub executable: bool,
}

/// A client's bulk connection, made when it is first needed.
#[derive(Debug)]
pub(super) struct Files {
    master: Master,
    clock: Clock,
    line: Mutex<Option<Link>>,
}

/// Why one try at a transfer failed.
enum Failed {
    /// The connection; another may do better.
    Line(Stop),
    /// Something that another try would meet again.
    Here(ClientError),
}

impl From<Stop> for Failed {
    fn from(stop: Stop) -> Failed {
        match stop {
            Stop::Still | Stop::Cut => Failed::Line(stop),
            Stop::Refused(_) | Stop::Protocol => Failed::Here(stop.into()),
        }
    }
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Failed {
        Failed::Here(error)
    }
}

impl Files {
    pub(super) fn new(master: Master) -> Files {
        Files {
            master,
            clock: Clock::start(),
            line: Mutex::new(None),
        }
    }

    /// See [`Client::put_files`](super::Client::put_files).
    pub(super) async fn put(&self, files: &[(Digest, PathBuf)]) -> Result<(), ClientError> {
        for files in files.chunks(DIGESTS_PER_REQUEST_MAX) {
            let mut tries = TRIES_MAX;
            loop {
                // Asking again what is lacking makes a repeated try go on where the last one was cut.
                let link = self.link().await?;
                match put(&link, files).await {
                    Ok(()) => break,
                    Err(failed) => tries = self.forgive(failed, tries)?,
                }
            }
        }
        Ok(())
    }

    /// See [`Client::get_files`](super::Client::get_files).
    pub(super) async fn get(&self, root: &Path, targets: &[Target]) -> Result<(), ClientError> {
        let path = root.to_owned();
        let opened = blocking(move || Root::open(&path)).await;
        let mut place = Place {
            root: Arc::new(opened.map_err(at(root))?),
            path: root.to_owned(),
            left: targets,
        };
        let mut tries = TRIES_MAX;
        while !place.left.is_empty() {
            let before = place.left.len();
            let link = self.link().await?;
            if let Err(failed) = place.get(&link).await {
                tries = self.forgive(failed, tries)?;
            }
            if place.left.len() < before {
                tries = TRIES_MAX;
            }
        }
        Ok(())
    }

    /// Ends the connection.
    pub(super) async fn close(&self) {
        if let Some(link) = self.line.lock().await.take() {
            link.finish(CloseCode::Done).await;
        }
    }

    /// Whether to try again after `failed`; returns how often from there on.
    fn forgive(&self, failed: Failed, tries: u32) -> Result<u32, ClientError> {
        match failed {
            Failed::Line(stop) if tries > 1 => {
                tracing::debug!(why = %stop, "a transfer broke off; trying again");
                Ok(tries - 1)
            }
            Failed::Line(stop) => Err(stop.into()),
            Failed::Here(error) => Err(error),
        }
    }

    /// The connection that stands, or a new one.
    async fn link(&self) -> Result<Link, ClientError> {
        let mut line = self.line.lock().await;
        if let Some(link) = line.as_ref()
            && timeout(Duration::ZERO, link.closed()).await.is_err()
        {
            return Ok(link.clone());
        }
        let begun = self.clock.now();
        let mut backoff = Backoff::default();
        loop {
            match backoff
                .dial(
                    self.master.address,
                    &self.master.credentials,
                    Kind::Bulk,
                    &[Role::Master],
                )
                .await
            {
                Ok(link) => return Ok(line.insert(link).clone()),
                Err(error) => give_up(&self.master, self.clock, begun, error)?,
            }
            sleep(backoff.next()).await;
        }
    }
}

/// Sends those of `files` that the master lacks, several small ones or one large one to a stream.
async fn put(link: &Link, files: &[(Digest, PathBuf)]) -> Result<(), Failed> {
    let request = Request::Have(files.iter().map(|(digest, _)| *digest).collect());
    let (_, mut answer) = ask(link, &request).await?;
    let mut held = vec![0; files.len()];
    stream::read_exact(&mut answer, &mut held).await?;
    let mut lacking = Vec::new();
    for ((digest, path), _) in files.iter().zip(held).filter(|(_, held)| *held == 0) {
        lacking.push(Sending::open(*digest, path).await?);
    }
    let mut lacking = lacking.into_iter().peekable();
    while let Some(first) = lacking.next() {
        let mut bytes = first.bytes;
        let mut pack = vec![first];
        while let Some(next) =
            lacking.next_if(|next| next.bytes <= SMALL_BYTES && bytes <= PACK_BYTES)
        {
            bytes += next.bytes;
            pack.push(next);
        }
        send(link, pack).await?;
    }
    Ok(())
}

/// A file that is to be sent.
struct Sending {
    digest: Digest,
    path: PathBuf,
    bytes: u64,
}

impl Sending {
    async fn open(digest: Digest, path: &Path) -> Result<Sending, ClientError> {
        let path = path.to_owned();
        let looked = path.clone();
        let metadata = blocking(move || std::fs::metadata(looked))
            .await
            .map_err(at(&path))?;
        let bytes = metadata.len();
        Ok(Sending {
            digest,
            path,
            bytes,
        })
    }
}

async fn send(link: &Link, pack: Vec<Sending>) -> Result<(), Failed> {
    let request = Request::Put(pack.iter().map(|file| file.digest).collect());
    let (mut sending, mut answer) = link.open().await.map_err(|_| Stop::Cut)?;
    let sent = async {
        stream::write(&mut sending, &request.encode()).await?;
        for file in &pack {
            send_file(&mut sending, file).await?;
        }
        sending.finish().map_err(|_| Stop::Cut)?;
        Ok(())
    }
    .await;
    if let Err(failed) = sent {
        stream::refuse(&mut sending, &mut answer, Refused::Wrong);
        return Err(failed);
    }
    let mut verdict = [0];
    stream::read_exact(&mut answer, &mut verdict).await?;
    match verdict {
        [1] => Ok(()),
        _ => Err(Stop::Protocol.into()),
    }
}

/// Sends one file, hashing it on the way: a file that changes meanwhile is never sent as what it was (X4), even if
/// what was read of it is.
async fn send_file(sending: &mut quinn::SendStream, file: &Sending) -> Result<(), Failed> {
    stream::write(sending, &file.bytes.to_le_bytes()).await?;
    let path = file.path.clone();
    let source = blocking(move || open_file(&path)).await;
    let changed = || {
        let path = file.path.clone();
        Failed::Here(ClientError::InputChanged { path })
    };
    let (mut source, stamp) = source.map_err(at(&file.path))?.ok_or_else(changed)?;
    let mut hasher = blake3::Hasher::new();
    let mut left = file.bytes;
    while left > 0 {
        let most = left.min(CHUNK_BYTES as u64);
        let read = blocking(move || {
            let mut chunk = Vec::new();
            (&source).take(most).read_to_end(&mut chunk)?;
            hasher.update(&chunk);
            Ok((source, hasher, chunk))
        });
        let chunk;
        (source, hasher, chunk) = read.await.map_err(at(&file.path))?;
        if chunk.is_empty() {
            break;
        }
        left -= chunk.len() as u64;
        stream::write(sending, &chunk).await?;
    }
    if left > 0 || *hasher.finalize().as_bytes() != file.digest.0 {
        return Err(changed());
    }
    let path = file.path.clone();
    let now = blocking(move || std::fs::metadata(path)).await;
    match now {
        Ok(now) if Stamp::of(&now) == stamp => Ok(()),
        Ok(_) | Err(_) => Err(changed()),
    }
}

/// Opens a file that was hashed once; `None`, without waiting for a pipe, if it is a file no more.
fn open_file(path: &Path) -> io::Result<Option<(File, Stamp)>> {
    let mut options = File::options();
    options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then(|| (file, Stamp::of(&metadata))))
}

/// Files that are being brought back.
struct Place<'a> {
    root: Arc<Root>,
    path: PathBuf,
    /// Those that are not there yet, in order.
    left: &'a [Target],
}

impl Place<'_> {
    /// Brings what fits one stream.
    async fn get(&mut self, link: &Link) -> Result<(), Failed> {
        let mut bytes = 0;
        let mut count = 0;
        while let Some(target) = self.left.get(count)
            && count < PACK_FILES
            && (count == 0 || bytes + target.file.bytes.min(PACK_BYTES + 1) <= PACK_BYTES)
        {
            bytes += target.file.bytes.min(PACK_BYTES + 1);
            count += 1;
        }
        let pack = &self.left[..count];
        let request = Request::Get(pack.iter().map(|target| target.file.digest).collect());
        let (_, mut answer) = ask(link, &request).await?;
        for target in pack {
            self.bring(&mut answer, target).await?;
            self.left = &self.left[1..];
        }
        Ok(())
    }

    async fn bring(&self, answer: &mut RecvStream, target: &Target) -> Result<(), Failed> {
        let digest = target.file.digest;
        let bytes = stream::read_length(answer).await?;
        if bytes == ABSENT {
            return Err(ClientError::Absent { digest }.into());
        }
        if bytes != target.file.bytes {
            return Err(Stop::Protocol.into());
        }
        let bits = if target.executable {
            Bits::Program
        } else {
            Bits::Data
        };
        let (root, name) = (Arc::clone(&self.root), target.name.clone());
        let path = self.path.join(target.name.as_str());
        let begin = move |first: Vec<u8>| write(root.draft(&name, bits)?, &first);
        let mut left = bytes;
        let first = stream::read_small(answer, left.min(SMALL_BYTES), &Pace::default()).await?;
        left -= first.len() as u64;
        let placed = if left == 0 {
            blocking(move || begin(first)?.finish(digest)).await
        } else {
            let mut draft = blocking(move || begin(first)).await.map_err(at(&path))?;
            while left > 0 {
                let chunk =
                    stream::read_small(answer, left.min(CHUNK_BYTES as u64), &Pace::default())
                        .await?;
                left -= chunk.len() as u64;
                draft = blocking(move || write(draft, &chunk))
                    .await
                    .map_err(at(&path))?;
            }
            blocking(move || draft.finish(digest)).await
        };
        match placed.map_err(at(&path))? {
            Verified::Placed => Ok(()),
            Verified::Wrong => Err(Stop::Refused(Refused::Wrong).into()),
        }
    }
}

fn write(mut draft: Draft, bytes: &[u8]) -> io::Result<Draft> {
    draft.write(bytes)?;
    Ok(draft)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ClientError {
    let path = path.to_owned();
    move |source| ClientError::File {
        path,
        source: Arc::new(source),
    }
}

/// Tries at one piece of work over connections that can be had but break; the patience covers those that cannot.
const TRIES_MAX: u32 = 8;
