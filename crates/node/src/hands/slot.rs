//! One slot: a warden, made when it is first needed, and what is said to it.

use std::io;
use std::sync::Arc;

use muster_proto::outcome::Loss;
use muster_worker::{Local, RunEnd, RunId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::translate::end_of;
use crate::warden::{Decoder, Ended, FromWarden, Nursery, ToWarden, encode};

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

impl Slot {
    /// Serves until the hands are gone. Every run that comes in is told as ended, whatever happens to its warden.
    pub(super) async fn serve(mut self) {
        let mut warden: Option<UnixStream> = None;
        while let Some(ask) = self.inbox.recv().await {
            // Only a cancellation that came too late finds no run under way.
            let ToWarden::Run(order) = &ask else { continue };
            let run = RunId(order.run);
            let (end, spoiled) = match self.run(&mut warden, run, &ask).await {
                Ok(ended) => end_of(ended, &order.inputs),
                Err(error) => {
                    tracing::warn!(slot = self.number, %error, "a warden died; its attempt is lost");
                    warden = None;
                    (RunEnd::Lost(Loss::WorkerFault), Vec::new())
                }
            };
            let told = self.free.send(run).await.is_ok()
                && self
                    .ended
                    .send(Local::Ended { run, end, spoiled })
                    .await
                    .is_ok();
            if !told {
                return;
            }
        }
    }

    async fn run(
        &mut self,
        warden: &mut Option<UnixStream>,
        run: RunId,
        ask: &ToWarden,
    ) -> io::Result<Ended> {
        let stream = match warden {
            Some(stream) => stream,
            None => warden.insert(self.make().await?),
        };
        let mut bytes = Vec::new();
        encode(ask, &mut bytes);
        stream.write_all(&bytes).await?;
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            tokio::select! {
                read = stream.read(&mut buffer) => {
                    let read = read?;
                    if read == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    decoder.push(&buffer[..read]);
                }
                Some(ToWarden::Cancel { run: unwanted }) = self.inbox.recv() => {
                    let mut bytes = Vec::new();
                    encode(&ToWarden::Cancel { run: unwanted }, &mut bytes);
                    stream.write_all(&bytes).await?;
                    continue;
                }
            }
            match decoder.take::<FromWarden>().map_err(io::Error::other)? {
                Some(FromWarden::Ended(ended)) if ended.run == run.0 => return Ok(*ended),
                Some(FromWarden::Refused(why)) => return Err(io::Error::other(why)),
                Some(FromWarden::Ended(_) | FromWarden::Ready(_)) | None => {}
            }
        }
    }

    async fn make(&self) -> io::Result<UnixStream> {
        let (nursery, number) = (Arc::clone(&self.nursery), self.number);
        let made = tokio::task::spawn_blocking(move || nursery.warden(number)).await;
        let link = made.map_err(io::Error::other)??;
        link.stream.set_nonblocking(true)?;
        UnixStream::from_std(link.stream)
    }
}
