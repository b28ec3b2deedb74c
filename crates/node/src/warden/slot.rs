//! The warden's loop: one task at a time, none of its processes alive when its end is told.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use muster_proto::limits::LINGER;
use muster_proto::{Span, Time};
use muster_store::content::ContentStore;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::clock::{Clock, wall_ms};

use super::collect;
use super::execute::Starter;
use super::message::{
    Confinement, Decoder, End, Ended, FromWarden, RUNS_QUEUED_MAX, Run, ToWarden, encode,
};
use super::mother::Make;
use super::quota::Quota;
use super::sandbox::Sandbox;
use super::server::{Server, Turn, UNANSWERED};
use super::streams::Streams;
use super::sys::{self, Dead, Patience, Reaped};

/// Is a warden, in a process just copied from the mother, until the worker closes `link`.
pub(super) fn live(
    make: &Make,
    confinement: Confinement,
    link: &UnixStream,
    lifeline: BorrowedFd<'_>,
) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut mother = [PollFd::new(&lifeline, PollFlags::IN)];
    if poll(&mut mother, Some(&Timespec::default()))? != 0 {
        return Err(io::Error::other("the mother has gone"));
    }
    match confinement {
        Confinement::PidNamespace | Confinement::UserNamespace => {}
        Confinement::Subreaper => {
            rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?
        }
    }
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let mut warden = Warden::create(make, confinement, link)?;
    warden.tell(&FromWarden::Ready(confinement))?;
    let served = warden.serve();
    // In a namespace the kernel would do it; a subreaper has to.
    warden.end_survivors(None)?;
    served
}

struct Warden<'a> {
    link: &'a UnixStream,
    /// The path of the slot.
    directory: &'a str,
    confinement: Confinement,
    clock: Clock,
    /// Tells that children have ended.
    signals: OwnedFd,
    starter: Starter,
    /// What stays from one call to the next.
    server: Option<Server>,
    sandbox: Sandbox,
    streams: Streams,
    store: ContentStore,
    decoder: Decoder,
    /// Runs that wait for the running one.
    queue: VecDeque<Box<Run>>,
    /// What is read from the link goes through here.
    buffer: Vec<u8>,
    /// Ends that wait to be told together.
    untold: Vec<u8>,
    /// When they are told, although other runs wait.
    tell_at: Option<Time>,
}

/// The program of a run, under way.
struct Leader {
    pid: i32,
    clock: Clock,
    started: Time,
    /// How it ended, and when.
    ended: Option<(Result<i32, i32>, Time)>,
    /// Why it was killed.
    killed: Option<End>,
    user_us: u64,
    system_us: u64,
    rss_bytes_max: u64,
}

/// What need not be waited for.
struct Ready {
    /// The link has something to say.
    heard: bool,
    /// Children have ended.
    ended: bool,
    /// The server has something to say, or can be told more.
    server: bool,
}

/// What the link brought.
enum Heard {
    /// Some words, or parts of them.
    Words,
    /// The worker has closed it.
    Farewell,
}

impl<'a> Warden<'a> {
    fn create(make: &'a Make, confinement: Confinement, link: &'a UnixStream) -> io::Result<Self> {
        let store = ContentStore::open(make.store.as_ref()).map_err(collect::store_error)?;
        let sandbox = Sandbox::create(&make.directory)?;
        // Last of all, for from here on this process's own messages go to the task's files.
        let streams = Streams::create(sandbox.slot()?)?;
        Ok(Self {
            link,
            directory: &make.directory,
            confinement,
            clock: Clock::start(),
            signals: sys::child_signals()?,
            starter: Starter::new(),
            server: None,
            sandbox,
            streams,
            store,
            decoder: Decoder::default(),
            queue: VecDeque::new(),
            buffer: vec![0; READ_BYTES],
            untold: Vec::new(),
            tell_at: None,
        })
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            while let Some(run) = self.queue.pop_front() {
                let Some(ended) = self.run(&run)? else {
                    return Ok(());
                };
                self.put_by(ended)?;
            }
            self.tell_all()?;
            match self.rest()? {
                Heard::Words => {}
                Heard::Farewell => return Ok(()),
            }
        }
    }

    /// Waits for words, and ends a server that has nothing to do for long.
    fn rest(&mut self) -> io::Result<Heard> {
        while let Some(server) = &self.server {
            let pid = server.pid().as_raw_pid();
            let ready = self.wait(SERVER_REST)?;
            if ready.ended {
                sys::drain_signals(self.signals.as_fd());
                let mut idle = Leader::new(pid, self.clock);
                idle.count_all()?;
                if idle.ended.is_some() {
                    self.end_survivors(None)?;
                }
            } else if !ready.heard {
                self.end_survivors(None)?;
            }
            if ready.heard {
                break;
            }
        }
        self.hear(None)
    }

    /// Runs `run` from staging to clean-up; `None` if the worker has gone meanwhile.
    fn run(&mut self, run: &Run) -> io::Result<Option<Ended>> {
        if self
            .server
            .as_ref()
            .is_some_and(|server| !server.serves(run))
        {
            // Before anything of this run is where it could get at it.
            self.end_survivors(None)?;
        }
        let staged_ms = wall_ms();
        let staged = self.sandbox.stage(&self.store, run);
        let mut quota = Quota::of(run, self.sandbox.dir(), self.clock.now());
        let started = match staged {
            Ok(()) => self.start(run),
            Err(end) => Err(end),
        };
        let ended = match started {
            Ok(pid) => {
                let mut leader = Leader::new(pid.as_raw_pid(), self.clock);
                match self.watch(run, &mut leader, &mut quota)? {
                    Heard::Words => {
                        self.sandbox.reclaim()?;
                        if leader.killed.is_none() {
                            leader.killed = quota.left(self.sandbox.dir())?;
                        }
                        let spoiled = self.sandbox.spoiled(&self.store, staged_ms);
                        let ended = self.conclude(run, leader)?;
                        Ended { spoiled, ..ended }
                    }
                    Heard::Farewell => return Ok(None),
                }
            }
            Err(end) => Ended::unstarted(run.run, end),
        };
        if self.server.is_some() && self.streams.is_renewed() {
            // It would write where nobody reads.
            self.end_survivors(None)?;
        }
        self.sandbox.restore()?;
        if !self.sandbox.is_in_place()? {
            self.end_survivors(None)?;
            self.move_back()?;
        }
        Ok(Some(ended))
    }

    /// Starts the program of `run`, or calls its server, started if it is not there.
    fn start(&mut self, run: &Run) -> Result<Pid, End> {
        let path = self.sandbox.path();
        let Some(call) = &run.call else {
            return self.starter.start(run, path);
        };
        let mut server = match self.server.take() {
            Some(server) => server,
            None => Server::start(&mut self.starter, run, path)?,
        };
        server.begin(call);
        Ok(self.server.insert(server).pid())
    }

    /// Makes the slot anew where it belongs, when a task has moved it or put something else in its place.
    fn move_back(&mut self) -> io::Result<()> {
        let anew = Sandbox::create(self.directory)?;
        self.streams = Streams::create(anew.slot()?)?;
        std::mem::replace(&mut self.sandbox, anew).abandon()
    }

    /// Waits until the program has ended and then until nothing it has started lives.
    fn watch(&mut self, run: &Run, leader: &mut Leader, quota: &mut Quota) -> io::Result<Heard> {
        loop {
            let Ready {
                heard,
                ended,
                server,
            } = self.wait(self.patience(leader, run))?;
            if self.tell_at.is_some_and(|at| at <= self.clock.now()) {
                self.tell_all()?;
            }
            if server && self.listen(leader)? {
                return Ok(Heard::Words);
            }
            if ended {
                sys::drain_signals(self.signals.as_fd());
                let alive = leader.count_all()?;
                if leader.ended.is_some() {
                    if let Reaped::AllAlive = alive {
                        self.end_survivors(Some(leader))?;
                    }
                    if run.call.is_some() {
                        self.server = None;
                        leader.answer_nothing();
                    }
                    return Ok(Heard::Words);
                }
            }
            if heard && let Heard::Farewell = self.hear(Some((run.run, leader)))? {
                return Ok(Heard::Farewell);
            }
            if leader.time_left(run) == Some(Duration::ZERO) {
                leader.killed = Some(End::TimedOut);
            } else if self.streams.exceed(run)? {
                leader.killed = Some(End::TooMuchOutput);
            } else {
                leader.killed = leader
                    .killed
                    .take()
                    .or(quota.look(&self.clock, self.sandbox.dir())?);
            }
            if leader.killed.is_some() {
                self.end_survivors(Some(leader))?;
                return Ok(Heard::Words);
            }
        }
    }

    /// Hears what the server says; whether it has answered. One that leaves, or something behind, is ended.
    fn listen(&mut self, leader: &mut Leader) -> io::Result<bool> {
        match self.server.as_mut().map_or(Turn::Waits, Server::turn) {
            Turn::Waits => Ok(false),
            Turn::Broken => {
                // Its socket closes a moment before it has ended; that is how it ended then, and not by us.
                poll(
                    &mut [PollFd::new(&self.signals, PollFlags::IN)],
                    Some(&LAST_WORDS),
                )
                .or_else(|error| match error {
                    Errno::INTR => Ok(0),
                    error => Err(error),
                })?;
                leader.count_all()?;
                let by_itself = leader.ended.is_some();
                self.end_survivors(Some(leader))?;
                match &mut leader.ended {
                    Some((code, _)) if !by_itself => *code = Ok(UNANSWERED),
                    Some(_) | None => leader.answer_nothing(),
                }
                Ok(true)
            }
            Turn::Answered { code, stays, used } => {
                leader.ended = Some((Ok(code), self.clock.now()));
                leader.user_us += used.0;
                if !stays || sys::has_several_children() {
                    self.end_survivors(None)?;
                }
                Ok(true)
            }
        }
    }

    /// How long to wait before the limits are looked at again, or ends are told.
    fn patience(&self, leader: &Leader, run: &Run) -> Duration {
        let untold = self.tell_at.map(|at| self.clock.until(at));
        leader.patience(run).min(untold.unwrap_or(Duration::MAX))
    }

    /// Waits at most `patience` for something to be ready.
    fn wait(&self, patience: Duration) -> io::Result<Ready> {
        let timeout = Timespec {
            tv_sec: patience.as_secs() as i64,
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        let (link, signals) = (
            PollFd::new(self.link, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
        );
        let ready = |fds: &mut [PollFd<'_>]| match poll(fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {
                let is_ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
                Ok(Ready {
                    heard: is_ready(0),
                    ended: is_ready(1),
                    server: is_ready(2),
                })
            }
            Err(error) => Err(error.into()),
        };
        match self.server.as_ref().map(Server::interest) {
            None => ready(&mut [link, signals]),
            Some((server, flags)) => {
                ready(&mut [link, signals, PollFd::from_borrowed_fd(server, flags)])
            }
        }
    }

    /// Kills every process that the task has left and waits until the last has ended.
    fn end_survivors(&mut self, mut leader: Option<&mut Leader>) -> io::Result<()> {
        // Its socket is closed when it is dead, so that it has no time to act on that.
        let _server = self.server.take();
        let mut patience = Patience::None;
        loop {
            match sys::reap(None, patience)? {
                Reaped::Child(dead) => {
                    if let Some(leader) = &mut leader {
                        leader.count(&dead);
                    }
                    patience = Patience::None;
                }
                // Whoever lost its parent has become a child of this process before that parent could be reaped.
                Reaped::NoChildren => return Ok(()),
                Reaped::AllAlive => {
                    self.kill_all()?;
                    patience = Patience::Endless;
                }
            }
        }
    }

    fn kill_all(&self) -> io::Result<()> {
        match self.confinement {
            Confinement::PidNamespace | Confinement::UserNamespace => sys::kill_namespace(),
            // Grandchildren become children as these die, and the caller comes back until there are none.
            Confinement::Subreaper => {
                for child in sys::children()? {
                    let _ = rustix::process::kill_process(child, Signal::KILL);
                }
            }
        }
        Ok(())
    }

    /// Takes outputs and streams, when no process of the task lives.
    fn conclude(&mut self, run: &Run, leader: Leader) -> io::Result<Ended> {
        let (code, at) = leader
            .ended
            .unwrap_or((Err(Signal::KILL.as_raw()), self.clock.now()));
        let mut ended = Ended::unstarted(
            run.run,
            match (leader.killed, code) {
                (Some(end), _) => end,
                (None, Ok(code)) => End::Exited(code),
                (None, Err(signal)) => End::Signalled(signal),
            },
        );
        if matches!(ended.end, End::Exited(1..) | End::Signalled(_)) && self.sandbox.is_full()? {
            // Whatever it says of its failure, elsewhere it might have had room.
            ended.end = End::NoSpace;
        }
        ended.wall = at.since(leader.started);
        ended.user = Span(leader.user_us);
        ended.system = Span(leader.system_us);
        ended.rss_bytes_max = leader.rss_bytes_max;
        match self.streams.take(&self.store, run)? {
            Ok((stdout, stderr)) => {
                if stdout.bytes.max(stderr.bytes) > run.stream_bytes_max {
                    ended.end = End::TooMuchOutput;
                }
                (ended.stdout, ended.stderr) = (stdout, stderr);
            }
            Err(end) => ended.end = end,
        }
        if matches!(ended.end, End::Exited(_) | End::Signalled(_)) && !run.outputs.is_empty() {
            match collect::collect(&self.store, self.sandbox.dir(), run, &ended.end) {
                Ok(harvest) => (ended.outputs, ended.missing) = harvest,
                Err(end) => ended.end = end,
            }
        }
        Ok(ended)
    }

    /// Reads from the link, which is readable or may be waited for. Queues runs; cancels queued ones and `running`.
    fn hear(&mut self, mut running: Option<(u64, &mut Leader)>) -> io::Result<Heard> {
        let length = match self.link.read(&mut self.buffer) {
            Ok(0) => return Ok(Heard::Farewell),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Ok(Heard::Farewell);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Heard::Words),
            read => read?,
        };
        self.decoder.push(&self.buffer[..length]);
        while let Some(word) = self.decoder.take().map_err(io::Error::other)? {
            match (word, &mut running) {
                (ToWarden::Run(run), _) => {
                    self.queue.push_back(run);
                    if self.queue.len() > RUNS_QUEUED_MAX {
                        return Err(io::Error::other("the worker sends more runs than it may"));
                    }
                }
                (ToWarden::Cancel { run }, Some((current, leader))) if run == *current => {
                    leader.killed = Some(End::Cancelled);
                }
                (ToWarden::Cancel { run }, _) => self.drop_queued(run, End::Cancelled)?,
                (ToWarden::Recall { run }, _) => self.drop_queued(run, End::Unbegun)?,
                (ToWarden::Free, _) => self.sandbox.free()?,
            }
        }
        Ok(Heard::Words)
    }

    fn drop_queued(&mut self, run: u64, end: End) -> io::Result<()> {
        let Some(at) = self.queue.iter().position(|queued| queued.run == run) else {
            // It has begun, and its end is or will be told.
            return Ok(());
        };
        self.queue.remove(at);
        self.tell(&FromWarden::Ended(Box::new(Ended::unstarted(run, end))))
    }

    /// Keeps an end for the company of others, for a while at most: each telling wakes the worker.
    fn put_by(&mut self, ended: Ended) -> io::Result<()> {
        encode(&FromWarden::Ended(Box::new(ended)), &mut self.untold);
        let now = self.clock.now();
        let due = *self.tell_at.get_or_insert(now + LINGER);
        if due <= now { self.tell_all() } else { Ok(()) }
    }

    fn tell(&mut self, word: &FromWarden) -> io::Result<()> {
        encode(word, &mut self.untold);
        self.tell_all()
    }

    fn tell_all(&mut self) -> io::Result<()> {
        self.tell_at = None;
        if !self.untold.is_empty() {
            self.link.write_all(&self.untold)?;
            self.untold.clear();
        }
        Ok(())
    }
}

impl Leader {
    fn new(pid: i32, clock: Clock) -> Self {
        Self {
            pid,
            clock,
            started: clock.now(),
            ended: None,
            killed: None,
            user_us: 0,
            system_us: 0,
            rss_bytes_max: 0,
        }
    }

    /// Takes all that have died into account, and says whether any live.
    fn count_all(&mut self) -> io::Result<Reaped> {
        loop {
            match sys::reap(None, Patience::None)? {
                Reaped::Child(dead) => self.count(&dead),
                rest @ (Reaped::AllAlive | Reaped::NoChildren) => return Ok(rest),
            }
        }
    }

    /// Takes a dead process of the task into account.
    fn count(&mut self, dead: &Dead) {
        self.user_us += dead.user_us;
        self.system_us += dead.system_us;
        self.rss_bytes_max = self.rss_bytes_max.max(dead.rss_bytes_max);
        if dead.pid == self.pid {
            self.ended = Some((dead.code, self.clock.now()));
        }
    }

    /// It was a server and ended without an answer, which is no success.
    fn answer_nothing(&mut self) {
        if let Some((Ok(code @ 0), _)) = &mut self.ended {
            *code = UNANSWERED;
        }
    }

    /// What remains of its time, if that is limited.
    fn time_left(&self, run: &Run) -> Option<Duration> {
        run.wall_max.map(|max| self.clock.until(self.started + max))
    }

    /// How long to wait before the limits are looked at again.
    fn patience(&self, run: &Run) -> Duration {
        self.time_left(run)
            .map_or(LOOK_EVERY, |left| left.min(LOOK_EVERY))
    }
}

/// How often the lengths of the streams are looked at: a task that writes 2 GB a second, as fast as memory takes it,
/// exceeds its limit by 1 GB.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a server that has closed its socket has to end by itself.
const LAST_WORDS: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// How long a server without calls stays: longer than a program that calls it thinks, shorter than somebody else misses
/// its memory.
const SERVER_REST: Duration = Duration::from_secs(60);

/// Bytes read from the link at a time: a hundred small runs.
const READ_BYTES: usize = 16 << 10;
