//! Which files are here, which are coming, and who waits for them.
//!
//! The index of a foreman's or worker's content store: one fetch per file however many tasks want it, files pinned
//! while a task or an unacknowledged result needs them, the least recently used given up when the limit is passed.
//! The bytes themselves are the driver's.

use std::collections::{BTreeMap, BTreeSet};

use muster_proto::machine::FetchEnd;
use muster_proto::task::{FileRef, InputFile, TaskBody, Template};
use muster_proto::wire::CacheStatus;
use muster_proto::{Digest, LinkId, TaskKey};

/// The files that a task needs before it runs, each once, with the name it is first given.
pub fn inputs<'a>(template: &'a Template, body: &'a TaskBody) -> BTreeMap<Digest, &'a InputFile> {
    let mut files = BTreeMap::new();
    for input in template.inputs.iter().chain(&body.inputs) {
        files.entry(input.file.digest).or_insert(input);
    }
    files
}

/// How often a file is fetched again before its tasks are told.
const TRIES_MAX: u8 = 3;

/// The index of one content store.
#[derive(Debug)]
pub struct Cache {
    files: BTreeMap<Digest, Entry>,
    /// Held files that nothing pins, least recently used first.
    idle: BTreeSet<(u64, Digest)>,
    bytes_held: u64,
    /// Of files that something pins, here or not.
    bytes_needed: u64,
    bytes_max: u64,
    clock: u64,
    /// What has happened; what is here is counted when somebody asks.
    counts: CacheStatus,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    pins: u32,
    used: u64,
    state: State,
    /// How often a task wanted it since it came to the index.
    wanted: u32,
    /// How often it was fetched since then.
    fetches: u32,
}

impl Entry {
    /// A file that is here and that nothing has wanted yet.
    fn held(bytes: u64) -> Self {
        Self {
            bytes,
            pins: 0,
            used: 0,
            state: State::Held,
            wanted: 0,
            fetches: 0,
        }
    }
}

#[derive(Debug)]
enum State {
    Held,
    Coming(Coming),
}

/// A file on its way.
#[derive(Debug, Default)]
struct Coming {
    /// Over which link; none while there is nobody to bring it.
    link: Option<LinkId>,
    tries: u8,
    /// Tasks that are told when it is here, or passes.
    waiting: BTreeSet<TaskKey>,
    /// Whether it is served on while it comes.
    passes: bool,
    /// Tasks that were told that it passes.
    ahead: BTreeSet<TaskKey>,
}

impl Coming {
    /// It does not pass any more: those that went ahead wait again, and are returned.
    fn stall(&mut self) -> Vec<TaskKey> {
        self.passes = false;
        let ahead = std::mem::take(&mut self.ahead);
        self.waiting.extend(&ahead);
        ahead.into_iter().collect()
    }
}

/// What to do about a file that a task wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// It is here, or passes: it is served on while it comes.
    Held,
    /// It is on its way; the task is told.
    Coming,
    /// It is to be fetched; the task is told.
    Fetch,
}

/// What the end of a fetch means.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is here; these tasks waited for it.
    Held(Vec<TaskKey>),
    /// It is worth another try. These tasks went ahead while it passed; they wait for it again.
    Again(Vec<TaskKey>),
    /// It cannot be had; these tasks waited for it or went ahead, and are to release it.
    Never(Vec<TaskKey>),
    /// Nobody had asked, or asks any more.
    Nobody,
}

impl Cache {
    /// An index that gives files up beyond `bytes_max`, of a store that holds `files`.
    pub fn new(bytes_max: u64, files: impl IntoIterator<Item = FileRef>) -> Self {
        let mut cache = Self {
            files: BTreeMap::new(),
            idle: BTreeSet::new(),
            bytes_held: 0,
            bytes_needed: 0,
            bytes_max,
            clock: 0,
            counts: CacheStatus::default(),
        };
        for file in files {
            cache.insert(file);
            cache.unpin(file.digest);
        }
        cache
    }

    /// Notes that `task` needs `file` and pins it. With [`Want::Fetch`] the caller fetches it from `link`;
    /// without a link it waits for [`Cache::reconnect`].
    pub fn want(&mut self, task: TaskKey, file: FileRef, link: Option<LinkId>) -> Want {
        let entry = self.files.entry(file.digest).or_insert_with(|| Entry {
            state: State::Coming(Coming::default()),
            ..Entry::held(file.bytes)
        });
        let is_first = entry.pins == 0;
        if is_first {
            self.bytes_needed += entry.bytes;
        }
        entry.pins += 1;
        entry.wanted += 1;
        self.counts.wanted += 1;
        match &mut entry.state {
            State::Held => {
                self.idle.remove(&(entry.used, file.digest));
                self.counts.hits += 1;
                Want::Held
            }
            State::Coming(coming) if coming.passes => {
                coming.ahead.insert(task);
                self.counts.joined += 1;
                Want::Held
            }
            State::Coming(Coming {
                waiting,
                link: from,
                ..
            }) => {
                waiting.insert(task);
                self.counts.joined += u64::from(!is_first || from.is_some());
                if from.is_none() && link.is_some() {
                    *from = link;
                    entry.fetches += 1;
                    self.counts.fetches += 1;
                    return Want::Fetch;
                }
                Want::Coming
            }
        }
    }

    /// Takes back what [`Cache::want`] noted for `task`.
    pub fn release(&mut self, task: TaskKey, digest: Digest) {
        if let Some(Entry {
            state: State::Coming(coming),
            ..
        }) = self.files.get_mut(&digest)
        {
            coming.waiting.remove(&task);
            coming.ahead.remove(&task);
        }
        self.unpin(digest);
    }

    /// A file has begun to arrive, and is served on from now; returns the tasks that waited for it.
    pub fn passes(&mut self, digest: Digest) -> Vec<TaskKey> {
        let entry = self.files.get_mut(&digest).map(|entry| &mut entry.state);
        let Some(State::Coming(coming)) = entry else {
            return Vec::new();
        };
        if coming.link.is_none() {
            return Vec::new();
        }
        coming.passes = true;
        let told = std::mem::take(&mut coming.waiting);
        coming.ahead.extend(&told);
        told.into_iter().collect()
    }

    /// The end of a fetch from `link`.
    pub fn fetched(&mut self, link: LinkId, digest: Digest, end: FetchEnd) -> Arrival {
        let Some(entry) = self.files.get_mut(&digest) else {
            return Arrival::Nobody;
        };
        let State::Coming(coming) = &mut entry.state else {
            return Arrival::Nobody;
        };
        if coming.link != Some(link) {
            return Arrival::Nobody;
        }
        match end {
            FetchEnd::Held => {
                let told = std::mem::take(&mut coming.waiting).into_iter().collect();
                entry.state = State::Held;
                self.bytes_held += entry.bytes;
                self.counts.fetched_bytes += entry.bytes;
                if entry.pins == 0 {
                    self.retire(digest);
                }
                Arrival::Held(told)
            }
            FetchEnd::Failed if coming.tries + 1 < TRIES_MAX && entry.pins > 0 => {
                coming.tries += 1;
                entry.fetches += 1;
                self.counts.fetches += 1;
                Arrival::Again(coming.stall())
            }
            FetchEnd::Unkept if entry.pins > 0 => {
                entry.fetches += 1;
                self.counts.fetches += 1;
                Arrival::Again(coming.stall())
            }
            FetchEnd::Failed | FetchEnd::Unkept | FetchEnd::Absent => {
                coming.stall();
                let told = std::mem::take(coming).waiting.into_iter().collect();
                if entry.pins == 0 {
                    self.files.remove(&digest);
                }
                Arrival::Never(told)
            }
        }
    }

    /// Files that were coming over `link`, which is gone: they wait for [`Cache::reconnect`]. Returns the tasks that
    /// went ahead while one passed, once for each; they wait for it again.
    pub fn disconnect(&mut self, link: LinkId) -> Vec<TaskKey> {
        let mut back = Vec::new();
        self.files.retain(|_, entry| {
            if let State::Coming(coming) = &mut entry.state
                && coming.link == Some(link)
            {
                coming.link = None;
                back.extend(coming.stall());
                return entry.pins > 0;
            }
            true
        });
        back
    }

    /// Gives the files for which a task of `mine` waits and no fetch is under way to `link`; returns what to fetch.
    pub fn reconnect(&mut self, link: LinkId, mine: impl Fn(TaskKey) -> bool) -> Vec<FileRef> {
        let mut fetch = Vec::new();
        for (digest, entry) in &mut self.files {
            if let State::Coming(Coming {
                link: from @ None,
                waiting,
                ..
            }) = &mut entry.state
                && waiting.iter().any(|task| mine(*task))
            {
                *from = Some(link);
                entry.fetches += 1;
                self.counts.fetches += 1;
                fetch.push(FileRef {
                    digest: *digest,
                    bytes: entry.bytes,
                });
            }
        }
        fetch
    }

    /// A file that came into the store on its own account (an output), pinned once.
    pub fn insert(&mut self, file: FileRef) {
        let entry = self.files.entry(file.digest);
        let entry = entry.or_insert_with(|| Entry::held(file.bytes));
        entry.pins += 1;
        if entry.pins == 1 {
            self.bytes_needed += entry.bytes;
        }
        match &mut entry.state {
            State::Held if entry.pins == 1 => {
                if !self.idle.remove(&(entry.used, file.digest)) {
                    self.bytes_held += entry.bytes;
                }
            }
            State::Held | State::Coming(_) => {}
        }
    }

    /// A file that should be here turned out to be gone or spoiled. Returns its length if it is needed and to be
    /// fetched from `link` again; tasks that want it from here on wait for it.
    pub fn gone(&mut self, digest: Digest, link: Option<LinkId>) -> Option<u64> {
        let entry = self.files.get_mut(&digest)?;
        if !matches!(entry.state, State::Held) {
            return None;
        }
        self.bytes_held -= entry.bytes;
        self.counts.spoiled += 1;
        self.idle.remove(&(entry.used, digest));
        if entry.pins == 0 {
            self.files.remove(&digest);
            return None;
        }
        entry.state = State::Coming(Coming {
            link,
            ..Coming::default()
        });
        link?;
        entry.fetches += 1;
        self.counts.fetches += 1;
        Some(entry.bytes)
    }

    /// Takes back one pin.
    pub fn unpin(&mut self, digest: Digest) {
        let Some(entry) = self.files.get_mut(&digest) else {
            return;
        };
        if entry.pins == 1 {
            self.bytes_needed -= entry.bytes;
        }
        entry.pins = entry.pins.saturating_sub(1);
        if entry.pins > 0 {
            return;
        }
        match &entry.state {
            State::Held => self.retire(digest),
            State::Coming(Coming { link: None, .. }) => {
                self.files.remove(&digest);
            }
            // It arrives anyway and is idle then.
            State::Coming(Coming { link: Some(_), .. }) => {}
        }
    }

    /// The files to give up so that the limit is kept, as far as pins allow; they are gone from the index.
    pub fn evict(&mut self) -> Vec<Digest> {
        let mut evicted = Vec::new();
        while self.bytes_held > self.bytes_max {
            let Some((_, digest)) = self.idle.pop_first() else {
                break;
            };
            if let Some(entry) = self.files.remove(&digest) {
                self.bytes_held -= entry.bytes;
                self.counts.evicted += 1;
                self.counts.evicted_bytes += entry.bytes;
            }
            evicted.push(digest);
        }
        evicted
    }

    /// Gives up every file that nothing needs, because the disk is full; they are gone from the index.
    pub fn squeeze(&mut self) -> Vec<Digest> {
        let bytes_max = std::mem::take(&mut self.bytes_max);
        let evicted = self.evict();
        self.bytes_max = bytes_max;
        evicted
    }

    /// Bytes of the files that something needs, here or not.
    pub fn bytes_needed(&self) -> u64 {
        self.bytes_needed
    }

    /// Whether something needs the file already.
    pub fn needs(&self, digest: Digest) -> bool {
        self.files.get(&digest).is_some_and(|entry| entry.pins > 0)
    }

    /// The length of a file that is here or coming.
    pub fn bytes_of(&self, digest: Digest) -> Option<u64> {
        self.files.get(&digest).map(|entry| entry.bytes)
    }

    /// Whether the file is here.
    pub fn holds(&self, digest: Digest) -> bool {
        matches!(
            self.files.get(&digest),
            Some(Entry {
                state: State::Held,
                ..
            })
        )
    }

    /// Files that something needs: none when all work is done.
    pub fn pinned(&self) -> usize {
        self.files.values().filter(|entry| entry.pins > 0).count()
    }

    /// What it holds and has done. Costs a walk over the files.
    pub fn status(&self) -> CacheStatus {
        let is_held = |entry: &&Entry| matches!(entry.state, State::Held);
        CacheStatus {
            files: self.files.values().filter(is_held).count() as u64,
            bytes: self.bytes_held,
            bytes_max: self.bytes_max,
            ..self.counts
        }
    }

    /// What is known of one file, for people.
    pub fn explain(&self, digest: Digest) -> String {
        let Some(entry) = self.files.get(&digest) else {
            return "not here".to_owned();
        };
        let state = match &entry.state {
            State::Held => "here",
            State::Coming(Coming { passes: true, .. }) => "arriving, and served on meanwhile",
            State::Coming(Coming { link: Some(_), .. }) => "on its way",
            State::Coming(Coming { link: None, .. }) => {
                "waited for, and nobody is there to bring it"
            }
        };
        format!(
            "{state}, {} bytes; needed by {} now, wanted {} time(s), fetched {} time(s)",
            entry.bytes, entry.pins, entry.wanted, entry.fetches
        )
    }

    /// Checks the invariants.
    ///
    /// # Panics
    /// If one is broken.
    pub fn check(&self) {
        let held = self
            .files
            .values()
            .filter(|entry| matches!(entry.state, State::Held));
        assert_eq!(
            held.map(|entry| entry.bytes).sum::<u64>(),
            self.bytes_held,
            "the bytes held are those of the files"
        );
        let needed = self.files.values().filter(|entry| entry.pins > 0);
        assert_eq!(
            needed.map(|entry| entry.bytes).sum::<u64>(),
            self.bytes_needed,
            "the bytes needed are those of pinned files"
        );
        for (digest, entry) in &self.files {
            let idle = self.idle.contains(&(entry.used, *digest));
            let should = entry.pins == 0 && matches!(entry.state, State::Held);
            assert_eq!(
                idle, should,
                "{digest:?} is idle exactly when it is here and nothing pins it"
            );
        }
    }

    fn retire(&mut self, digest: Digest) {
        self.clock += 1;
        if let Some(entry) = self.files.get_mut(&digest) {
            entry.used = self.clock;
            self.idle.insert((entry.used, digest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_proto::{MasterId, TaskId};

    const LINK: LinkId = LinkId(1);

    fn task(n: u64) -> TaskKey {
        TaskKey {
            master: MasterId(1),
            task: TaskId(n),
        }
    }

    fn file(n: u8) -> FileRef {
        FileRef {
            digest: Digest([n; 32]),
            bytes: 10,
        }
    }

    #[test]
    fn many_tasks_want_one_file_and_one_fetch_brings_it() {
        let mut cache = Cache::new(100, []);
        assert_eq!(cache.want(task(1), file(1), Some(LINK)), Want::Fetch);
        assert_eq!(cache.want(task(2), file(1), Some(LINK)), Want::Coming);
        assert_eq!(
            cache.fetched(LINK, file(1).digest, FetchEnd::Held),
            Arrival::Held(vec![task(1), task(2)])
        );
        assert_eq!(cache.want(task(3), file(1), Some(LINK)), Want::Held);
        for n in 1..=3 {
            assert_eq!(cache.pinned(), 1);
            cache.release(task(n), file(1).digest);
            cache.check();
        }
        assert_eq!(cache.pinned(), 0);
        assert!(cache.holds(file(1).digest), "it stays until room is needed");
    }

    #[test]
    fn the_least_recently_used_idle_file_goes_first_and_pinned_ones_stay() {
        let mut cache = Cache::new(20, [file(1), file(2)]);
        cache.want(task(1), file(1), None);
        cache.insert(file(3));
        cache.check();
        assert_eq!(cache.evict(), [file(2).digest]);
        cache.insert(file(4));
        assert_eq!(cache.evict(), [], "all that is left is needed");
        cache.release(task(1), file(1).digest);
        assert_eq!(cache.evict(), [file(1).digest]);
        cache.check();
    }

    #[test]
    fn a_spoiled_file_is_fetched_again_while_it_is_needed_and_forgotten_when_it_is_not() {
        let mut cache = Cache::new(100, [file(1), file(2)]);
        assert_eq!(cache.want(task(1), file(1), Some(LINK)), Want::Held);
        assert_eq!(cache.gone(file(1).digest, Some(LINK)), Some(10));
        assert_eq!(cache.gone(file(2).digest, Some(LINK)), None);
        cache.check();
        assert_eq!(cache.want(task(2), file(1), Some(LINK)), Want::Coming);
        assert_eq!(cache.want(task(2), file(2), Some(LINK)), Want::Fetch);
        let told = Arrival::Held(vec![task(2)]);
        assert_eq!(cache.fetched(LINK, file(1).digest, FetchEnd::Held), told);
        cache.check();
        cache.release(task(1), file(1).digest);
        cache.release(task(2), file(1).digest);
        cache.release(task(2), file(2).digest);
        assert_eq!(cache.pinned(), 0);
        cache.check();
    }

    #[test]
    fn a_lost_link_leaves_files_to_the_next_one() {
        let mut cache = Cache::new(100, []);
        cache.want(task(1), file(1), Some(LINK));
        cache.want(task(2), file(2), Some(LINK));
        cache.disconnect(LINK);
        assert_eq!(
            cache.fetched(LINK, file(1).digest, FetchEnd::Failed),
            Arrival::Nobody,
            "news of the lost link"
        );
        cache.release(task(2), file(2).digest);
        assert_eq!(cache.reconnect(LinkId(2), |_| true), [file(1)]);
        assert_eq!(
            cache.fetched(LinkId(2), file(1).digest, FetchEnd::Failed),
            Arrival::Again(vec![])
        );
        assert_eq!(
            cache.fetched(LinkId(2), file(1).digest, FetchEnd::Failed),
            Arrival::Again(vec![])
        );
        assert_eq!(
            cache.fetched(LinkId(2), file(1).digest, FetchEnd::Failed),
            Arrival::Never(vec![task(1)])
        );
        cache.release(task(1), file(1).digest);
        cache.check();
        assert_eq!(cache.pinned(), 0);
    }

    #[test]
    fn who_went_ahead_of_a_file_that_stalls_waits_again() {
        let mut cache = Cache::new(100, []);
        cache.want(task(1), file(1), Some(LINK));
        assert_eq!(cache.passes(file(1).digest), [task(1)]);
        assert_eq!(cache.want(task(2), file(1), Some(LINK)), Want::Held);
        assert_eq!(
            cache.fetched(LINK, file(1).digest, FetchEnd::Failed),
            Arrival::Again(vec![task(1), task(2)])
        );
        assert_eq!(cache.want(task(3), file(1), Some(LINK)), Want::Coming);
        cache.passes(file(1).digest);
        assert_eq!(cache.disconnect(LINK), [task(1), task(2), task(3)]);
        assert_eq!(cache.passes(file(1).digest), [], "nobody brings it");
        assert_eq!(cache.reconnect(LinkId(2), |_| true), [file(1)]);
        cache.passes(file(1).digest);
        cache.release(task(2), file(1).digest);
        assert_eq!(
            cache.fetched(LinkId(2), file(1).digest, FetchEnd::Absent),
            Arrival::Never(vec![task(1), task(3)])
        );
        cache.release(task(1), file(1).digest);
        cache.release(task(3), file(1).digest);
        cache.check();
        assert_eq!(cache.bytes_of(file(1).digest), None);
    }
}
