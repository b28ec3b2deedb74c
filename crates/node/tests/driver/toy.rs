//! A machine that tells the test what it hears and does what the test says, and a world to put it in.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_node::bulk::Shelf;
use muster_node::clock::Clock;
use muster_node::driver::{Door, Log, Setup, Superior, Superiors, run};
use muster_node::endpoint::{Kind, Link, dial, listen};
use muster_node::identity::{Authority, Credentials};
use muster_node::tasks::Tasks;
use muster_proto::machine::{
    BadRecord, Deadline, Gate, Input, Machine, Never, Output, Record, Side,
};
use muster_proto::wire::{Ack, Explained, Frame, HEADER_BYTES, Header, Hello, Started, VERSIONS};
use muster_proto::{Digest, Epoch, LinkId, Lsn, MasterId, Peer, Role, TaskId, Time, Try};
use muster_store::ContentStore;
use quinn::{RecvStream, SendStream};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

/// What the test has the machine do.
pub type Deed = Output<Fact, Never>;
/// What the machine tells the test.
pub type Heard = Input<Vec<Deed>>;

/// A record of one byte.
#[derive(Debug)]
pub struct Fact(pub u8);

impl Record for Fact {
    fn encode(&self, buffer: &mut Vec<u8>) {
        buffer.push(self.0);
    }

    fn decode(bytes: &[u8]) -> Result<Fact, BadRecord> {
        match bytes {
            [byte] => Ok(Fact(*byte)),
            _ => Err(BadRecord::Malformed),
        }
    }
}

pub struct Toy {
    heard: mpsc::UnboundedSender<Heard>,
    is_draining: bool,
}

impl Machine for Toy {
    type Input = Heard;
    type Output = Deed;

    fn handle(&mut self, _now: Time, input: Heard, out: &mut Vec<Deed>) {
        match input {
            Input::Local(deeds) => out.extend(deeds),
            Input::Drain => self.is_draining = true,
            heard => drop(self.heard.send(heard)),
        }
    }

    fn deadline(&self) -> Option<Deadline> {
        None
    }

    fn check(&self) {}
}

/// A federation and its directories.
pub struct World {
    authority: Authority,
    pub dir: TempDir,
}

/// A process of the chain around a [`Toy`].
pub struct Node {
    pub peer: Peer,
    pub address: Option<SocketAddr>,
    pub store: Arc<ContentStore>,
    deeds: mpsc::Sender<Vec<Deed>>,
    heard: mpsc::UnboundedReceiver<Heard>,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<Toy>,
    _tasks: Tasks,
}

/// How a node is made.
#[derive(Default)]
pub struct Plan {
    pub listens_at: Option<SocketAddr>,
    pub superior: Option<SocketAddr>,
    pub log: Option<Box<dyn Log>>,
}

impl World {
    pub fn new() -> World {
        World {
            authority: Authority::ephemeral().expect("an authority"),
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    pub fn credentials(&self, role: Role, name: &str) -> Arc<Credentials> {
        let peer = Peer {
            role,
            site: "here".into(),
            name: name.into(),
        };
        Arc::new(self.authority.issue(&peer).expect("credentials"))
    }

    /// A master that listens anywhere.
    pub fn master(&self) -> Node {
        self.node(
            Role::Master,
            "m",
            Plan {
                listens_at: Some(anywhere()),
                ..Plan::default()
            },
        )
    }

    /// A worker under `superior`.
    pub fn worker(&self, name: &str, superior: &Node) -> Node {
        self.node(
            Role::Worker,
            name,
            Plan {
                superior: superior.address,
                ..Plan::default()
            },
        )
    }

    pub fn node(&self, role: Role, name: &str, plan: Plan) -> Node {
        let credentials = self.credentials(role, name);
        let sides = [
            (Role::Foreman, Side::Subordinate),
            (Role::Worker, Side::Subordinate),
            (Role::User, Side::User),
        ];
        let door = plan.listens_at.map(|address| Door {
            listener: listen(address, &credentials, &sides.map(|(role, _)| role))
                .expect("a listener"),
            sides: sides.to_vec(),
        });
        let address = door.as_ref().map(|door| door.listener.local_address());
        let store = Arc::new(open_store(&self.dir.path().join(format!("{role}-{name}"))));
        let (deeds, local) = mpsc::channel(16);
        let (sender, heard) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let peer = credentials.peer().clone();
        let setup = Setup {
            link_rate: None,
            clock: Clock::start(),
            credentials,
            journal: plan.log.map(|log| (log, Lsn(1))),
            shelf: Shelf::start(Arc::clone(&store)).expect("a shelf"),
            superiors: Superiors::fixed(Vec::from_iter(
                plan.superior
                    .map(|address| Superior::at(address, &[Role::Master, Role::Foreman])),
            )),
            observer: None,
            door,
            hands: (),
            local,
            // Only a word stops a node; a test that ends drops its tasks.
            stop: Box::pin(async {
                if stopped.await.is_err() {
                    std::future::pending().await
                }
            }),
            drained: |toy: &Toy| toy.is_draining,
            grace: Duration::from_secs(8),
        };
        let toy = Toy {
            heard: sender,
            is_draining: false,
        };
        let (ending, ended) = oneshot::channel();
        let mut tasks = Tasks::new();
        tasks.spawn("node", async move {
            let toy = run(toy, setup)
                .await
                .expect("a node ends when it is told to");
            ending.send(toy).ok();
        });
        Node {
            peer,
            address,
            store,
            deeds,
            heard,
            stop,
            ended,
            _tasks: tasks,
        }
    }

    /// A control connection without a driver behind it, greeted.
    pub async fn raw(&self, role: Role, name: &str, to: &Node) -> Raw {
        let link = self.dial(role, name, to, Kind::Control).await;
        let (mut sending, receiving) = link.open().await.expect("a stream");
        let hello = Hello {
            oldest: VERSIONS.0,
            newest: VERSIONS.1,
            release: "raw".into(),
        };
        sending
            .write_all(&encoded(&hello.into()))
            .await
            .expect("written");
        let mut raw = Raw {
            link,
            sending,
            receiving,
        };
        assert!(matches!(raw.frame().await, Frame::Hello(_)));
        raw
    }

    pub async fn dial(&self, role: Role, name: &str, to: &Node, kind: Kind) -> Link {
        let address = to.address.expect("it listens");
        let credentials = self.credentials(role, name);
        let roles = [Role::Master, Role::Foreman];
        dial(address, &credentials, kind, &roles)
            .await
            .expect("a link")
    }
}

impl Node {
    /// Has the machine do something.
    pub async fn does(&self, deeds: Vec<Deed>) {
        self.deeds.send(deeds).await.expect("the node runs");
    }

    /// Has the machine send `frame` at once.
    pub async fn sends(&self, link: LinkId, frame: Frame) {
        let gate = Gate::Now;
        self.does(vec![Output::Send { link, frame, gate }]).await;
    }

    /// The next thing the machine hears.
    pub async fn hears(&mut self) -> Heard {
        self.heard.recv().await.expect("the node runs")
    }

    /// The next thing the machine hears is that a link stands.
    pub async fn hears_up(&mut self) -> (LinkId, Peer, Side) {
        match self.hears().await {
            Input::LinkUp { link, peer, side } => (link, peer, side),
            other => panic!("no link but {other:?}"),
        }
    }

    /// The next thing the machine hears is that `link` is gone.
    pub async fn hears_down(&mut self, link: LinkId) {
        match self.hears().await {
            Input::LinkDown { link: gone } if gone == link => {}
            other => panic!("no end of {link} but {other:?}"),
        }
    }

    /// The next thing the machine hears is a frame on `link`.
    pub async fn hears_frame(&mut self, link: LinkId) -> Frame {
        match self.hears().await {
            Input::Frame { link: from, frame } if from == link => frame,
            other => panic!("no frame on {link} but {other:?}"),
        }
    }

    /// Tells the node to leave and waits until it has, and until another may listen in its place.
    pub async fn stop(self) {
        self.stop.send(()).expect("the node runs");
        self.ended.await.expect("the node leaves in order");
        // The transport keeps the socket while connections drain, as long as three of their round trips.
        while let Some(address) = self.address
            && UdpSocket::bind(address).is_err()
        {
            tokio::task::yield_now().await;
        }
    }
}

/// A peer that says what the test says, byte by byte.
pub struct Raw {
    pub link: Link,
    pub sending: SendStream,
    pub receiving: RecvStream,
}

impl Raw {
    pub async fn sends(&mut self, bytes: &[u8]) {
        self.sending.write_all(bytes).await.expect("written");
    }

    pub async fn frame(&mut self) -> Frame {
        let mut head = [0; HEADER_BYTES];
        self.receiving
            .read_exact(&mut head)
            .await
            .expect("a header");
        let header = Header::read(head).expect("a good header");
        let mut payload = vec![0; header.bytes as usize];
        self.receiving
            .read_exact(&mut payload)
            .await
            .expect("a payload");
        Frame::decode(header, &payload).expect("a frame")
    }
}

/// Any port of this host's own network.
pub fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

/// A frame that only superiors send, told apart by `n`.
pub fn down(n: u64) -> Frame {
    let attempts = vec![(TaskId(n), first_try())];
    let master = MasterId(1);
    Ack { master, attempts }.into()
}

/// A frame that only subordinates send, told apart by `n`.
pub fn up(n: u64) -> Frame {
    let attempts = vec![(TaskId(n), first_try())];
    let master = MasterId(1);
    Started { master, attempts }.into()
}

fn first_try() -> Try {
    Try {
        epoch: Epoch(1),
        n: 1,
    }
}

/// A frame of nearly a mebibyte.
pub fn heavy() -> Frame {
    let lines = vec!["x".repeat(32 << 10); 31];
    Explained { lines }.into()
}

pub fn open_store(dir: &Path) -> ContentStore {
    ContentStore::open(dir).expect("a store")
}

/// Bytes that differ from those of another seed or length.
pub fn pattern(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 251 + at + seed) as u8).collect()
}

pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

/// Puts `bytes` into `store`.
pub fn hold(store: &ContentStore, bytes: &[u8]) -> Digest {
    let mut writer = store.writer(bytes.len() as u64).expect("a writer");
    writer.write_all(bytes).expect("written");
    writer.finish(None).expect("stored").0
}
