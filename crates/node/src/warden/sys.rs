//! The system calls that neither std nor rustix offers.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use muster_proto::Span;
use rustix::process::Pid;

use super::message::Confinement;

/// Which of the two a process is after [`copy_process`].
pub(super) enum Copy {
    /// The one that was there before; the other has this number.
    Original(Pid),
    /// The new one, with a copy of all memory and descriptors and only this thread.
    New,
}

/// Copies this process, the copy being the first of a new PID namespace if `confinement` has one.
///
/// # Safety
/// No other thread of this process may hold a lock that the copy needs, such as the allocator's. The copy must leave
/// by `_exit` and never return into the frames of its caller.
pub(super) unsafe fn copy_process(confinement: Confinement) -> io::Result<Copy> {
    let namespaces = match confinement {
        Confinement::PidNamespace => libc::CLONE_NEWPID,
        Confinement::UserNamespace => libc::CLONE_NEWPID | libc::CLONE_NEWUSER,
        Confinement::Subreaper => 0,
    };
    let flags = libc::c_long::from(namespaces | libc::SIGCHLD);
    // SAFETY: without a stack of its own and without CLONE_VM the call behaves as fork does.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Pid::from_raw(pid as i32).map_or(Copy::New, Copy::Original)),
    }
}

/// Ends this process without any of its destructors or exit handlers.
pub(super) fn leave(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Starts a program as a child that leads a process group, with this process's standard streams and descriptors that
/// are not closed by executing, and with no signal blocked.
///
/// The child borrows this process's memory until it executes, so nothing is copied; this process stands still
/// meanwhile. Two wardens start a fifth more tiny programs so than by posix_spawn, which sets 64 signals one by one and
/// maps a stack each time.
///
/// # Safety
/// `program` is a text that ends in NUL; `words` and `environment` are pointers to such texts and end in a null pointer.
pub(super) unsafe fn start(
    program: *const libc::c_char,
    words: &[*const libc::c_char],
    environment: &[*const libc::c_char],
    stack: &mut [u128],
) -> io::Result<Pid> {
    let mut birth = Birth {
        program,
        words: words.as_ptr(),
        environment: environment.as_ptr(),
        error: 0,
    };
    let top = stack.as_mut_ptr_range().end;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is ours and aligned, and what the child touches lives until it has executed or left, because
    // CLONE_VFORK holds this call until then.
    let pid = unsafe { libc::clone(be_born, top.cast(), flags, (&raw mut birth).cast()) };
    let Some(pid) = Pid::from_raw(pid).filter(|pid| pid.as_raw_pid() > 0) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: the child, which may have written here, is gone or has a memory of its own.
    match unsafe { (&raw const birth.error).read_volatile() } {
        0 => Ok(pid),
        error => {
            reap(Some(pid), Patience::Endless)?;
            Err(io::Error::from_raw_os_error(error))
        }
    }
}

/// What a child needs to become a program, and what it says if it cannot.
struct Birth {
    program: *const libc::c_char,
    words: *const *const libc::c_char,
    environment: *const *const libc::c_char,
    error: i32,
}

extern "C" fn be_born(birth: *mut libc::c_void) -> i32 {
    let birth = birth.cast::<Birth>();
    // SAFETY: `start` waits with all of this in place. Only system calls happen here: the memory is borrowed, and
    // the thread-local storage is the parent's.
    unsafe {
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::setpgid(0, 0);
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
        libc::execve((*birth).program, (*birth).words, (*birth).environment);
        (&raw mut (*birth).error).write_volatile(*libc::__errno_location());
        libc::_exit(127)
    }
}

/// A standard stream of this process.
#[derive(Clone, Copy)]
pub(super) enum Standard {
    /// Standard input.
    In = 0,
    /// Standard output.
    Out = 1,
    /// Standard error.
    Err = 2,
}

/// Puts `fd` in place of a standard stream, to be inherited by programs.
pub(super) fn redirect(stream: Standard, fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: numbers 0 to 2 are owned by nobody; std uses them as they are.
    match unsafe { libc::dup2(fd.as_raw_fd(), stream as i32) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A child found by [`reap`].
pub(super) enum Reaped {
    /// It has ended and is forgotten.
    Child(Dead),
    /// Children live, none has ended.
    AllAlive,
    /// There are no children.
    NoChildren,
}

/// A child that has ended.
pub(super) struct Dead {
    /// Which it was.
    pub pid: i32,
    /// Its exit code, or the signal that ended it.
    pub code: Result<i32, i32>,
    /// Processor time in user mode, in microseconds.
    pub user_us: u64,
    /// Processor time in the kernel, in microseconds.
    pub system_us: u64,
    /// Greatest resident size, in bytes.
    pub rss_bytes_max: u64,
}

/// Whether to wait for a child to end.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    /// Look only.
    None,
    /// Until one has ended.
    Endless,
}

/// Takes one child that has ended: any, or the one with this number.
pub(super) fn reap(which: Option<Pid>, patience: Patience) -> io::Result<Reaped> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    let options = libc::__WALL
        | match patience {
            Patience::None => libc::WNOHANG,
            Patience::Endless => 0,
        };
    let which = which.map_or(-1, Pid::as_raw_pid);
    let pid = loop {
        // SAFETY: both pointers are good for writes of their type.
        let pid = unsafe { libc::wait4(which, &mut status, options, usage.as_mut_ptr()) };
        match pid {
            -1 => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ECHILD) => {
                    return Ok(Reaped::NoChildren);
                }
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
            0 => return Ok(Reaped::AllAlive),
            pid => break pid,
        }
    };
    // SAFETY: the call has returned a child and so has filled in its usage.
    let usage = unsafe { usage.assume_init() };
    let code = if libc::WIFSIGNALED(status) {
        Err(libc::WTERMSIG(status))
    } else {
        Ok(libc::WEXITSTATUS(status))
    };
    let us = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    Ok(Reaped::Child(Dead {
        pid,
        code,
        user_us: us(usage.ru_utime),
        system_us: us(usage.ru_stime),
        rss_bytes_max: usage.ru_maxrss as u64 * 1_024,
    }))
}

/// Blocks the signals that a terminal or a batch system sends to all of a job, and SIGCHLD.
///
/// They stay blocked in copies of this process; programs started by std have an empty mask again.
pub(super) fn block_signals() -> io::Result<()> {
    let set = set_of(&[
        libc::SIGCHLD,
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
    ]);
    // SAFETY: the set is whole; the null pointer asks for no old mask.
    match unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A descriptor that tells of SIGCHLD, which has to be blocked in every thread.
pub(super) fn child_signals() -> io::Result<OwnedFd> {
    let set = set_of(&[libc::SIGCHLD]);
    // SAFETY: the set is whole.
    match unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the descriptor is new and nobody else's.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset makes the set whole before anything else sees it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

/// Forgets the SIGCHLD that `signals` tells of, so that it tells of the next.
pub(super) fn drain_signals(signals: BorrowedFd<'_>) {
    let mut record = [0; size_of::<libc::signalfd_siginfo>()];
    // A second read finds nothing and costs a system call, so one record it is: SIGCHLD does not queue up.
    let _ = rustix::io::read(signals, &mut record);
}

/// Closes every descriptor from 3 on except `kept`.
///
/// # Safety
/// Whatever owns one of the others must never be used or dropped again.
pub(super) unsafe fn close_others(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<RawFd> = kept
        .iter()
        .map(AsRawFd::as_raw_fd)
        .filter(|&fd| fd > 2)
        .collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept.into_iter().chain([RawFd::MAX]) {
        if first < fd {
            let last = if fd == RawFd::MAX {
                u32::MAX
            } else {
                fd as u32 - 1
            };
            // SAFETY: the caller has no use for these descriptors.
            if unsafe { libc::syscall(libc::SYS_close_range, first as u32, last, 0_u32) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        first = fd.saturating_add(1);
    }
    Ok(())
}

/// Processor time that a living process has used; none if it has gone.
pub(super) fn processor_time(pid: Pid) -> Span {
    let mut clock = 0;
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: both pointers are good for writes of their type.
    let told = unsafe {
        libc::clock_getcpuclockid(pid.as_raw_pid(), &mut clock) == 0
            && libc::clock_gettime(clock, time.as_mut_ptr()) == 0
    };
    if !told {
        return Span::ZERO;
    }
    // SAFETY: the call has filled it in.
    let time = unsafe { time.assume_init() };
    Span(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000)
}

/// Whether this process has other children than one.
pub(super) fn has_several_children() -> bool {
    // Without that file nobody can tell, and the worse is assumed.
    std::fs::read_to_string("/proc/thread-self/children")
        .map_or(true, |pids| pids.split_ascii_whitespace().count() > 1)
}

/// Kills every process of this PID namespace but this one.
pub(super) fn kill_namespace() {
    // SAFETY: a system call without pointers. It fails only if there is no other process.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// The direct children of this process. Orphans that it inherits are the first thread's, whichever made it subreaper.
pub(super) fn children() -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in std::fs::read_dir("/proc/self/task")? {
        let pids = std::fs::read_to_string(thread?.path().join("children"))?;
        children.extend(
            pids.split_ascii_whitespace()
                .filter_map(|pid| Pid::from_raw(pid.parse().ok()?)),
        );
    }
    Ok(children)
}

/// Lets one user and one group, and no others, exist in the user namespace that this process is the first of.
pub(super) fn map_user((uid, gid): (u32, u32)) -> io::Result<()> {
    match std::fs::write("/proc/self/setgroups", "deny") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
}
