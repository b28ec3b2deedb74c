//! A network of ours: a UDP relay that delays, loses, narrows and cuts, with all chance from a seed.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use muster_proto::{Span, Time};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::Clock;

/// Stands between dialers and one address on this host; gone when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

/// What is done to datagrams, in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// How long each takes.
    pub delay: Span,
    /// By how much more, at most: some overtake others then.
    pub jitter: Span,
    /// How many of a thousand are lost.
    pub lost_permille: u32,
    /// What passes in a second; what would have to wait longer than [`QUEUE`] is lost.
    pub bytes_per_s: Option<u64>,
    /// Whether anything passes at all.
    pub way: Way,
}

/// Whether anything passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It does.
    Open,
    /// Nothing does.
    Cut,
}

impl Conditions {
    /// Those of a good network.
    pub const GOOD: Conditions = Conditions {
        delay: Span(0),
        jitter: Span(0),
        lost_permille: 0,
        bytes_per_s: None,
        way: Way::Open,
    };
}

/// What has passed, in bytes of datagrams that were delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// From dialers.
    pub up: u64,
    /// To dialers.
    pub down: u64,
}

#[derive(Debug)]
struct Shared {
    conditions: Conditions,
    passed: Passed,
    is_closed: bool,
}

impl Relay {
    /// A relay before `target`, good until it is told otherwise; the same seed loses the same datagrams.
    ///
    /// # Errors
    /// No socket, or no thread.
    pub fn before(target: SocketAddr, seed: u64) -> io::Result<Relay> {
        let front = socket()?;
        let address = front.local_addr()?;
        let shared = Arc::new(Mutex::new(Shared {
            conditions: Conditions::GOOD,
            passed: Passed::default(),
            is_closed: false,
        }));
        let network = Network {
            front,
            target,
            flows: Vec::new(),
            flying: BTreeMap::new(),
            taken: 0,
            free: [Time(0); 2],
            dice: seed,
            clock: Clock::start(),
        };
        let seen = Arc::clone(&shared);
        let thread = thread::Builder::new().name("relay".to_owned());
        let thread = thread.spawn(move || network.carry(&seen))?;
        Ok(Relay {
            address,
            shared,
            thread: Some(thread),
        })
    }

    /// Where to dial.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is done from here on to datagrams that come.
    pub fn set(&self, conditions: Conditions) {
        lock(&self.shared).conditions = conditions;
    }

    /// Lets nothing through any more, in either direction.
    pub fn cut(&self) {
        lock(&self.shared).conditions.way = Way::Cut;
    }

    /// Lets things through again.
    pub fn mend(&self) {
        lock(&self.shared).conditions.way = Way::Open;
    }

    /// What has passed so far.
    pub fn passed(&self) -> Passed {
        lock(&self.shared).passed
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        lock(&self.shared).is_closed = true;
        if let Some(thread) = self.thread.take() {
            // A relay that panicked has shown it by the silence that followed.
            thread.join().ok();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // What is behind it is changed in one step.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Network {
    front: UdpSocket,
    target: SocketAddr,
    flows: Vec<Flow>,
    /// Datagrams on their way, by when they are due and when they came.
    flying: BTreeMap<(Time, u64), Flying>,
    taken: u64,
    /// When each direction is free again.
    free: [Time; 2],
    dice: u64,
    clock: Clock,
}

/// One dialer and the socket that speaks for it.
struct Flow {
    dialer: SocketAddr,
    socket: UdpSocket,
}

struct Flying {
    flow: usize,
    direction: Direction,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

impl Network {
    fn carry(mut self, shared: &Mutex<Shared>) {
        let mut buffer = vec![0; 65_536];
        loop {
            let (conditions, is_closed) = {
                let shared = lock(shared);
                (shared.conditions, shared.is_closed)
            };
            if is_closed {
                return;
            }
            self.wait();
            self.take(&conditions, &mut buffer);
            let passed = self.deliver();
            let mut shared = lock(shared);
            shared.passed.up += passed.up;
            shared.passed.down += passed.down;
        }
    }

    /// Waits for a datagram, or until one is due.
    fn wait(&self) {
        let next = self.flying.first_key_value();
        let nap = next.map_or(LOOK, |((due, _), _)| due.since(self.clock.now()).min(LOOK));
        let sockets = self.flows.iter().map(|flow| &flow.socket);
        let mut polled: Vec<PollFd<'_>> = sockets
            .chain([&self.front])
            .map(|socket| PollFd::new(socket, PollFlags::IN))
            .collect();
        let limit = Timespec {
            tv_sec: 0,
            tv_nsec: (nap.0 * 1_000) as i64,
        };
        // It fails only when interrupted, and is called again at once.
        poll(&mut polled, Some(&limit)).ok();
    }

    /// Takes what has come, a bounded number of datagrams from each socket.
    fn take(&mut self, conditions: &Conditions, buffer: &mut [u8]) {
        for _ in 0..BURST {
            let Ok((length, dialer)) = self.front.recv_from(buffer) else {
                break;
            };
            if let Some(flow) = self.flow_of(dialer) {
                self.send_off(conditions, flow, Direction::Up, &buffer[..length]);
            }
        }
        for flow in 0..self.flows.len() {
            for _ in 0..BURST {
                let Ok(length) = self.flows[flow].socket.recv(buffer) else {
                    break;
                };
                self.send_off(conditions, flow, Direction::Down, &buffer[..length]);
            }
        }
    }

    /// The flow of a dialer; a new one gets a socket, or its datagram is lost.
    fn flow_of(&mut self, dialer: SocketAddr) -> Option<usize> {
        if let Some(known) = self.flows.iter().position(|flow| flow.dialer == dialer) {
            return Some(known);
        }
        let socket = socket().ok()?;
        socket.connect(self.target).ok()?;
        self.flows.push(Flow { dialer, socket });
        Some(self.flows.len() - 1)
    }

    fn send_off(
        &mut self,
        conditions: &Conditions,
        flow: usize,
        direction: Direction,
        bytes: &[u8],
    ) {
        let is_lost = self.below(1_000) < u64::from(conditions.lost_permille);
        if is_lost || conditions.way == Way::Cut {
            return;
        }
        let now = self.clock.now();
        let mut leaves = now;
        if let Some(bytes_per_s) = conditions.bytes_per_s {
            let free = &mut self.free[direction as usize];
            let begins = (*free).max(now);
            if begins.since(now) > QUEUE {
                return;
            }
            leaves = begins + Span(bytes.len() as u64 * 1_000_000 / bytes_per_s.max(1));
            *free = leaves;
        }
        let due = leaves + conditions.delay + Span(self.below(conditions.jitter.0 + 1));
        self.taken += 1;
        let flying = Flying {
            flow,
            direction,
            bytes: bytes.to_vec(),
        };
        self.flying.insert((due, self.taken), flying);
    }

    fn deliver(&mut self) -> Passed {
        let now = self.clock.now();
        let mut passed = Passed::default();
        while let Some(first) = self.flying.first_entry()
            && first.key().0 <= now
        {
            let flying = first.remove();
            let Flow { dialer, socket } = &self.flows[flying.flow];
            let bytes = flying.bytes.len() as u64;
            // A datagram that cannot be delivered is lost, as on any network.
            match flying.direction {
                Direction::Up => {
                    socket.send(&flying.bytes).ok();
                    passed.up += bytes;
                }
                Direction::Down => {
                    self.front.send_to(&flying.bytes, dialer).ok();
                    passed.down += bytes;
                }
            }
        }
        passed
    }

    /// The next number below `bound` (SplitMix64).
    fn below(&mut self, bound: u64) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A socket that does not wait and does not lose bursts.
fn socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, BUFFER_BYTES)?;
    rustix::net::sockopt::set_socket_send_buffer_size(&socket, BUFFER_BYTES)?;
    Ok(socket)
}

/// What a socket holds, if the system lets it: a burst of either end's whole window.
const BUFFER_BYTES: usize = 4 << 20;
/// The longest that a datagram waits for a narrow path to be free, as long as routers at its ends would let it.
pub const QUEUE: Span = Span(100_000);
/// When a relay with nothing to do looks whether it is still wanted.
const LOOK: Span = Span(20_000);
/// Datagrams taken from one socket before the next is looked at.
const BURST: usize = 64;
