//! What stands beside our transfers: the same connection with nothing around it, and TCP with TLS.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use muster_proto::Role;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection, Stream};

use super::{Conditions, Took, TrialError, between, issue};
use crate::clock::{Clock, processor_seconds};
use crate::endpoint::{Ending, Kind, Link, tls};
use crate::identity::{Authority, SERVER_NAME};
use crate::tasks::Tasks;

/// Moves `bytes` of nothing over as many streams as a large file has, from memory to nowhere.
///
/// # Errors
/// See [`TrialError`].
pub fn bare(conditions: Option<Conditions>, bytes: u64) -> Result<Took, TrialError> {
    let share = bytes / STREAMS;
    let far = move |link: Link| async move {
        let mut streams = Tasks::new();
        while let Ok((mut sending, _)) = link.accept().await {
            streams.spawn("bare stream", async move {
                let piece = vec![7; PIECE_BYTES];
                let mut left = share;
                while left > 0 {
                    let length = left.min(piece.len() as u64) as usize;
                    if sending.write_all(&piece[..length]).await.is_err() {
                        return;
                    }
                    left -= length as u64;
                }
                sending.finish().ok();
            });
        }
    };
    between(conditions, far, async |link| {
        let stream = async || -> Result<u64, TrialError> {
            let (mut sending, mut receiving) = link.open().await?;
            // A stream is seen when something has been said on it.
            sending.write_all(b"?").await.map_err(io::Error::from)?;
            sending.finish().ok();
            let mut bytes = 0;
            while let Some(chunk) = receiving
                .read_chunk(PIECE_BYTES, true)
                .await
                .map_err(io::Error::from)?
            {
                bytes += chunk.bytes.len() as u64;
            }
            Ok(bytes)
        };
        let (a, b, c, d) = tokio::join!(stream(), stream(), stream(), stream());
        match a? + b? + c? + d? {
            all if all == share * STREAMS => Ok(()),
            _ => Err(Ending::Silent.into()),
        }
    })
}

/// Moves `bytes` of nothing over TCP and TLS 1.3 on this host, from memory to nowhere.
///
/// # Errors
/// See [`TrialError`].
pub fn tcp(bytes: u64) -> Result<Took, TrialError> {
    let authority = Authority::ephemeral()?;
    let server = tls::server_config(&issue(&authority, Role::Master)?)?;
    let client = tls::client_config(&issue(&authority, Role::Worker)?, Kind::Bulk)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let far = thread::spawn(move || -> Result<(), TrialError> {
        let (mut socket, _) = listener.accept()?;
        let mut session = ServerConnection::new(Arc::new(server))?;
        let mut stream = Stream::new(&mut session, &mut socket);
        let piece = vec![7; PIECE_BYTES];
        let mut left = bytes;
        while left > 0 {
            let length = left.min(piece.len() as u64) as usize;
            stream.write_all(&piece[..length])?;
            left -= length as u64;
        }
        stream.conn.send_close_notify();
        Ok(stream.flush()?)
    });
    let mut socket = TcpStream::connect(address)?;
    let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
    let mut session = ClientConnection::new(Arc::new(client), name)?;
    let mut stream = Stream::new(&mut session, &mut socket);
    let (clock, before) = (Clock::start(), processor_seconds());
    let begun = clock.now();
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = bytes;
    while left > 0 {
        match stream.read(&mut piece)? {
            0 => return Err(Ending::Silent.into()),
            length => left -= length as u64,
        }
    }
    let took = Took {
        seconds: clock.now().since(begun).as_secs_f64(),
        processor_seconds: processor_seconds() - before,
    };
    far.join().unwrap_or(Ok(()))?;
    Ok(took)
}

/// As many streams as bring one large file.
const STREAMS: u64 = 4;
/// Bytes written or read at once.
const PIECE_BYTES: usize = 256 << 10;
