//! A network of ours: a UDP proxy that delays, loses and cuts.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use muster_node::clock::Clock;
use muster_proto::{Span, Time};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::dice::Dice;

/// Stands between dialers and one address; gone when dropped.
pub struct Proxy {
    address: SocketAddr,
    switches: Arc<Switches>,
    thread: Option<JoinHandle<()>>,
}

/// What is done to datagrams.
#[derive(Default)]
struct Switches {
    cut: AtomicBool,
    lost_permille: AtomicU64,
    delay_ms: AtomicU64,
    closed: AtomicBool,
}

/// One dialer and the socket that speaks for it.
struct Flow {
    dialer: SocketAddr,
    socket: UdpSocket,
}

/// A datagram on its way.
struct Flying {
    due: Time,
    flow: usize,
    way: Way,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

impl Proxy {
    /// A proxy before `target`, harmless until it is told otherwise.
    pub fn before(target: &str, dice: Dice) -> Proxy {
        let target = target.parse().expect("an address");
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        front
            .set_nonblocking(true)
            .expect("a socket that does not wait");
        let address = front.local_addr().expect("an address");
        let switches = Arc::new(Switches::default());
        let shared = Arc::clone(&switches);
        let network = Network {
            front,
            target,
            flows: Vec::new(),
            flying: Vec::new(),
            dice,
            clock: Clock::start(),
        };
        let thread = thread::spawn(move || network.carry(&shared));
        Proxy {
            address,
            switches,
            thread: Some(thread),
        }
    }

    /// Where to dial.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Lets nothing through any more, in either direction.
    pub fn cut(&self) {
        self.switches.cut.store(true, Ordering::Relaxed);
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        self.switches.cut.store(false, Ordering::Relaxed);
        self.spoil(0, Duration::ZERO);
    }

    /// Loses this many of a thousand datagrams, and delays each of the others by up to `delay`, so that some overtake.
    pub fn spoil(&self, lost_permille: u64, delay: Duration) {
        self.switches
            .lost_permille
            .store(lost_permille, Ordering::Relaxed);
        self.switches
            .delay_ms
            .store(delay.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.switches.closed.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the proxy's has failed the test by the silence that followed it.
            let _ended = thread.join();
        }
    }
}

struct Network {
    front: UdpSocket,
    target: SocketAddr,
    flows: Vec<Flow>,
    flying: Vec<Flying>,
    dice: Dice,
    clock: Clock,
}

impl Network {
    fn carry(mut self, switches: &Switches) {
        while !switches.closed.load(Ordering::Relaxed) {
            self.wait();
            self.take(switches);
            self.deliver();
        }
    }

    /// Waits for a datagram, or for one that is due.
    fn wait(&self) {
        let now = self.clock.now();
        let next = self
            .flying
            .iter()
            .map(|flying| flying.due.since(now))
            .min()
            .unwrap_or(LOOK)
            .min(LOOK);
        let sockets = self
            .flows
            .iter()
            .map(|flow| &flow.socket)
            .chain([&self.front]);
        let mut polled: Vec<PollFd<'_>> = sockets
            .map(|socket| PollFd::new(socket, PollFlags::IN))
            .collect();
        let limit = Timespec {
            tv_sec: 0,
            tv_nsec: (next.0 * 1_000) as i64,
        };
        // It fails only when interrupted, and is called again at once.
        let _ready = poll(&mut polled, Some(&limit));
    }

    fn take(&mut self, switches: &Switches) {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, dialer)) = self.front.recv_from(&mut buffer) {
            let flow = self.flow_of(dialer);
            self.send_off(switches, flow, Way::Up, &buffer[..length]);
        }
        for flow in 0..self.flows.len() {
            while let Ok(length) = self.flows[flow].socket.recv(&mut buffer) {
                self.send_off(switches, flow, Way::Down, &buffer[..length]);
            }
        }
    }

    fn flow_of(&mut self, dialer: SocketAddr) -> usize {
        if let Some(known) = self.flows.iter().position(|flow| flow.dialer == dialer) {
            return known;
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.connect(self.target).expect("an address to send to");
        socket
            .set_nonblocking(true)
            .expect("a socket that does not wait");
        self.flows.push(Flow { dialer, socket });
        self.flows.len() - 1
    }

    fn send_off(&mut self, switches: &Switches, flow: usize, way: Way, bytes: &[u8]) {
        let lost = self.dice.below(1_000) < switches.lost_permille.load(Ordering::Relaxed);
        if lost || switches.cut.load(Ordering::Relaxed) {
            return;
        }
        let delay_us = switches.delay_ms.load(Ordering::Relaxed) * 1_000;
        let due = self.clock.now() + Span(self.dice.below(delay_us + 1));
        self.flying.push(Flying {
            due,
            flow,
            way,
            bytes: bytes.to_vec(),
        });
    }

    fn deliver(&mut self) {
        let now = self.clock.now();
        for flying in self.flying.extract_if(.., |flying| flying.due <= now) {
            let Flow { dialer, socket } = &self.flows[flying.flow];
            // A datagram that cannot be delivered is lost, as on any network.
            let _sent = match flying.way {
                Way::Up => socket.send(&flying.bytes),
                Way::Down => self.front.send_to(&flying.bytes, dialer),
            };
        }
    }
}

/// When a proxy with nothing to do looks whether it is still wanted.
const LOOK: Span = Span(20_000);
