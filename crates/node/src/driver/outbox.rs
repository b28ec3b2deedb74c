//! What waits to be sent on one link, and the task that sends it.

use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use muster_proto::limits::LINK_QUEUE_BYTES_MAX;
use muster_proto::wire::{CloseCode, Frame};
use quinn::SendStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::endpoint::Link;

/// The bytes that wait on one link: the loop appends, the link's writer takes them all at once.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Bytes the writer has taken and not yet handed to the transport.
    leaving: usize,
    closing: Option<CloseCode>,
}

/// The link has more to send than it may hold: its peer reads too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl Outbox {
    /// Appends `frame`. The writer is woken by [`Outbox::flush`], once for many frames.
    pub(crate) fn push(&self, frame: &Frame) -> Result<(), Overflow> {
        self.append(|waiting| frame.encode(waiting))
    }

    /// Appends frames that are encoded already.
    pub(crate) fn push_encoded(&self, bytes: &[u8]) -> Result<(), Overflow> {
        self.append(|waiting| waiting.extend_from_slice(bytes))
    }

    /// Wakes the writer.
    pub(crate) fn flush(&self) {
        self.wake.notify_one();
    }

    /// Has the writer send what waits and then close the link with `code`.
    pub(crate) fn close(&self, code: CloseCode) {
        self.with(|state| state.closing = Some(code));
        self.flush();
    }

    /// Whether everything has been handed to the transport.
    pub(crate) fn is_empty(&self) -> bool {
        self.with(|state| state.waiting.is_empty() && state.leaving == 0)
    }

    fn append(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Overflow> {
        self.with(|state| {
            write(&mut state.waiting);
            if state.waiting.len() + state.leaving > LINK_QUEUE_BYTES_MAX {
                return Err(Overflow);
            }
            Ok(())
        })
    }

    fn next(&self, bytes: &mut Vec<u8>) -> Next {
        bytes.clear();
        bytes.shrink_to(KEEP_BYTES);
        self.with(|state| {
            mem::swap(&mut state.waiting, bytes);
            state.leaving = bytes.len();
            match state.closing {
                _ if !bytes.is_empty() => Next::Send,
                Some(code) => Next::Close(code),
                None => Next::Wait,
            }
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        // A panic cannot leave the state half changed, so a poisoned lock is as good as a sound one.
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

enum Next {
    Send,
    Wait,
    Close(CloseCode),
}

/// Sends what comes into `outbox` until the link is gone or is to be closed.
pub(crate) async fn write(outbox: &Outbox, mut stream: SendStream, link: Link) {
    let mut bytes = Vec::new();
    loop {
        match outbox.next(&mut bytes) {
            Next::Send => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Next::Wait => outbox.wake.notified().await,
            Next::Close(code) => {
                // Closing throws away what the peer has not acknowledged, so the peer is waited for, briefly.
                if stream.finish().is_ok() {
                    timeout(LAST_WORDS, stream.stopped()).await.ok();
                }
                link.close(code);
                return;
            }
        }
    }
}

/// When a link that is being closed is closed although its peer has not acknowledged everything.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Memory a quiet link keeps for its next frames.
const KEEP_BYTES: usize = 16 << 10;
