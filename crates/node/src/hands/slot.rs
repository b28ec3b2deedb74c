//! One slot: a warden, made when it is first needed, and what is said to it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use muster_proto::Digest;
use muster_proto::outcome::Loss;
use muster_proto::task::InputFile;
use muster_worker::{Local, RunEnd, RunId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::translate::end_of;
use crate::warden::{Decoder, FromWarden, Nursery, ToWarden, encode};

/// Bytes read from a warden at once; an ordinary reply takes a few hundred.
const READ_BYTES: usize = 16 << 10;

/// A slot's end of things.
pub(super) struct Slot {
    pub(super) number: u32,
    pub(super) nursery: Arc<Nursery>,
    pub(super) inbox: mpsc::Receiver<ToWarden>,
    pub(super) free: mpsc::Sender<RunId>,
    pub(super) ended: mpsc::Sender<Local>,
}

/// A warden that serves a slot.
struct Served {
    stream: UnixStream,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// What is said to it goes through here.
    frame: Vec<u8>,
    /// What it was given to run and has not told the end of.
    orders: VecDeque<Order>,
}

struct Order {
    run: RunId,
    inputs: Vec<InputFile>,
}

/// The hands are gone, and with them whoever waits for a run.
struct Gone;

impl Slot {
    /// Serves until the hands are gone. Every run that comes in is told as ended, whatever happens to its warden.
    pub(super) async fn serve(mut self) {
        let mut warden: Option<Served> = None;
        loop {
            let served = match &mut warden {
                Some(served) => self.turn(served).await,
                None => match self.inbox.recv().await {
                    Some(ToWarden::Run(run)) => self.begin(&mut warden, ToWarden::Run(run)).await,
                    // What came too late finds no run under way.
                    Some(ToWarden::Cancel { .. } | ToWarden::Recall { .. } | ToWarden::Free) => {
                        continue;
                    }
                    None => return,
                },
            };
            match served {
                Ok(Ok(())) => {}
                Ok(Err(Gone)) => return,
                Err(error) => {
                    let orders = warden
                        .take()
                        .map(|served| served.orders)
                        .unwrap_or_default();
                    tracing::warn!(slot = self.number, lost = orders.len(), %error, "a warden died");
                    if self.bury(orders).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Makes a warden and gives it its first run; that is told as lost if none can be made.
    async fn begin(
        &mut self,
        warden: &mut Option<Served>,
        ask: ToWarden,
    ) -> io::Result<Result<(), Gone>> {
        match self.make().await {
            Ok(stream) => {
                let served = warden.insert(Served {
                    stream,
                    decoder: Decoder::default(),
                    buffer: vec![0; READ_BYTES],
                    frame: Vec::new(),
                    orders: VecDeque::new(),
                });
                served.say(ask).await.map(Ok)
            }
            Err(error) => {
                tracing::warn!(slot = self.number, %error, "no warden can be made; an attempt is lost");
                let ToWarden::Run(run) = ask else {
                    return Ok(Ok(()));
                };
                let order = Order {
                    run: RunId(run.run),
                    inputs: Vec::new(),
                };
                Ok(self.bury(VecDeque::from([order])).await)
            }
        }
    }

    /// Passes on what is asked, or tells what the warden says.
    async fn turn(&mut self, served: &mut Served) -> io::Result<Result<(), Gone>> {
        tokio::select! {
            read = served.stream.read(&mut served.buffer) => {
                let read = read?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                served.decoder.push(&served.buffer[..read]);
            }
            ask = self.inbox.recv() => {
                let Some(ask) = ask else { return Ok(Err(Gone)) };
                return served.say(ask).await.map(Ok);
            }
        }
        while let Some(word) = served.decoder.take().map_err(io::Error::other)? {
            match word {
                FromWarden::Ended(ended) => {
                    let Some(order) = served.take(RunId(ended.run)) else {
                        return Err(io::Error::other("the end of a run that was not asked for"));
                    };
                    let (end, spoiled) = end_of(*ended, &order.inputs);
                    if self.tell(order.run, end, spoiled).await.is_err() {
                        return Ok(Err(Gone));
                    }
                }
                FromWarden::Refused(why) => return Err(io::Error::other(why)),
                FromWarden::Ready(_) => {}
            }
        }
        Ok(Ok(()))
    }

    /// The runs of a warden that is gone are lost: any of them may have begun or ended untold.
    async fn bury(&mut self, orders: VecDeque<Order>) -> Result<(), Gone> {
        for order in orders {
            let lost = RunEnd::Lost(Loss::WorkerFault);
            self.tell(order.run, lost, Vec::new()).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, run: RunId, end: RunEnd, spoiled: Vec<Digest>) -> Result<(), Gone> {
        self.free.send(run).await.map_err(|_| Gone)?;
        let ended = Local::Ended { run, end, spoiled };
        self.ended.send(ended).await.map_err(|_| Gone)
    }

    async fn make(&self) -> io::Result<UnixStream> {
        let (nursery, number) = (Arc::clone(&self.nursery), self.number);
        let made = tokio::task::spawn_blocking(move || nursery.warden(number)).await;
        let link = made.map_err(io::Error::other)??;
        link.stream.set_nonblocking(true)?;
        UnixStream::from_std(link.stream)
    }
}

impl Served {
    async fn say(&mut self, ask: ToWarden) -> io::Result<()> {
        self.frame.clear();
        encode(&ask, &mut self.frame);
        if let ToWarden::Run(run) = ask {
            self.orders.push_back(Order {
                run: RunId(run.run),
                inputs: run.inputs,
            });
        }
        self.stream.write_all(&self.frame).await
    }

    fn take(&mut self, run: RunId) -> Option<Order> {
        let at = self.orders.iter().position(|order| order.run == run)?;
        self.orders.remove(at)
    }
}
