//! Projects for whoever speaks HTTP: read only, without names or passwords, for `curl` and the family's status tools.
//!
//! `/query.json` lists projects, foremen and replicas with the field names of the family; `/query.text` is the same as
//! its older tools read it. What is shown is what this replica knows, which may be a moment old.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use muster_proto::Span;
use muster_proto::catalog::{Answer, Filter, Found, Freshness, Kind, Named, Pattern, Query, Value};
use muster_proto::limits::PAGE_ITEMS_MAX;
use muster_proto::wire::Inquiry;
use tokio::io::{AsyncRead as _, AsyncWrite as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::replica::Inside;
use crate::tasks::Tasks;

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
}

/// Listens at `address`.
///
/// # Errors
/// The address cannot be used.
pub async fn open(address: SocketAddr) -> io::Result<Gateway> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok(Gateway { listener, address })
}

impl Gateway {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped, by what `desk` says.
    pub async fn serve(self, desk: mpsc::Sender<Inside>) {
        let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut visits = Tasks::new();
        loop {
            let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = self.listener.accept().await else {
                // Too many files are open, perhaps; the next one may be taken.
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let desk = desk.clone();
            visits.spawn("gateway visit", async move {
                let service = service_fn(|request| respond(request, desk.clone()));
                let connection = hyper::server::conn::http1::Builder::new()
                    .keep_alive(false)
                    .max_buf_size(REQUEST_BYTES_MAX)
                    .serve_connection(Stream(stream), service);
                // A visitor that goes away, or says nothing, is no news.
                timeout(VISIT, connection).await.ok();
                drop(seat);
            });
        }
    }
}

async fn respond(
    request: Request<Incoming>,
    desk: mpsc::Sender<Inside>,
) -> Result<Response<Text>, Infallible> {
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/query.json" | "/query.json/") => json(&desk).await,
        (&Method::GET | &Method::HEAD, "/query.text" | "/query.text/") => plain(&desk).await,
        (&Method::GET | &Method::HEAD, "/") => page(&desk).await,
        (&Method::GET | &Method::HEAD, _) => (
            StatusCode::NOT_FOUND,
            TEXT,
            "nothing is here; try /query.json\n".to_owned(),
        ),
        _ => (
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            "this is for reading only\n".to_owned(),
        ),
    };
    let body = Text(Some(Bytes::from(text)));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        "content-type",
        hyper::header::HeaderValue::from_static(kind),
    );
    headers.insert(
        "cache-control",
        hyper::header::HeaderValue::from_static("no-store"),
    );
    headers.insert(
        "x-content-type-options",
        hyper::header::HeaderValue::from_static("nosniff"),
    );
    Ok(response)
}

type Reply = (StatusCode, &'static str, String);

async fn json(desk: &mpsc::Sender<Inside>) -> Reply {
    let Some(records) = records(desk).await else {
        return unavailable();
    };
    let text = serde_json::to_string_pretty(&records).expect("plain data always serializes");
    (StatusCode::OK, "application/json", text + "\n")
}

async fn plain(desk: &mpsc::Sender<Inside>) -> Reply {
    let Some(records) = records(desk).await else {
        return unavailable();
    };
    let mut text = String::new();
    for record in &records {
        for (name, value) in record {
            let shown = value
                .as_str()
                .map_or_else(|| value.to_string(), ToOwned::to_owned);
            let _ = writeln!(text, "{name} {shown}");
        }
        text.push('\n');
    }
    (StatusCode::OK, TEXT, text)
}

async fn page(desk: &mpsc::Sender<Inside>) -> Reply {
    let Some(records) = records(desk).await else {
        return unavailable();
    };
    let mut text = format!("{} registered; as JSON at /query.json\n\n", records.len());
    for record in &records {
        let field = |name: &str| {
            let value = record.get(name);
            value.map_or_else(String::new, |value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), ToOwned::to_owned)
            })
        };
        let _ = writeln!(
            text,
            "{:<14} {:<40} {}",
            field("type"),
            field("project"),
            field("name")
        );
    }
    (StatusCode::OK, TEXT, text)
}

fn unavailable() -> Reply {
    let text = "the catalog does not answer\n".to_owned();
    (StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
}

type Record = serde_json::Map<String, serde_json::Value>;

/// Everything that is shown, as far as this replica knows it.
async fn records(desk: &mpsc::Sender<Inside>) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    for kind in [Kind::Project, Kind::Foreman, Kind::Member] {
        let mut after = None;
        loop {
            let found = page_of(desk, kind, after.take()).await?;
            let age = found.age;
            records.extend(found.items.iter().map(|named| record(named, age)));
            match found.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    Some(records)
}

async fn page_of(desk: &mpsc::Sender<Inside>, kind: Kind, after: Option<String>) -> Option<Found> {
    let query = Query::List {
        filter: Filter {
            kind,
            names: Pattern::All,
        },
        after,
        limit: u32::try_from(PAGE_ITEMS_MAX).unwrap_or(u32::MAX),
    };
    let (answer, answered) = oneshot::channel();
    let inside = Inside {
        wait: Span::secs(5),
        what: Inquiry::Query(query, Freshness::Stale),
        answer,
    };
    desk.send(inside).await.ok()?;
    match answered.await.ok()? {
        Answer::Found(found) => Some(found),
        Answer::Applied(_)
        | Answer::Changes { .. }
        | Answer::Standing(_)
        | Answer::Reshaped
        | Answer::Fault(_) => None,
    }
}

/// One record with the family's field names.
fn record(named: &Named, age: Span) -> Record {
    use serde_json::json;
    let owner = &named.item.owner;
    let value = match &named.item.value {
        Value::Project(project) => json!({
            "type": "wq_master",
            "project": named.key.name,
            "name": host_of(&project.addresses),
            "port": port_of(&project.addresses),
            "addresses": project.addresses,
            "owner": owner.to_string(),
            "version": project.version,
            "tasks_waiting": project.waiting,
            "tasks_running": project.running,
            "tasks_complete": project.done,
            "tasks_total_dispatched": project.running + project.done,
            // The family counts workers; tasks of one core are the nearest that is known here.
            "workers": project.slots,
            "workers_wanted": project.wanted,
            "capacity": project.capacity,
            "epoch": project.epoch.0,
        }),
        Value::Foreman(place) | Value::Site(place) => json!({
            "type": "wq_foreman",
            "name": host_of(&place.addresses),
            "foreman": named.key.name,
            "site": owner.site,
            "port": port_of(&place.addresses),
            "addresses": place.addresses,
            "owner": owner.to_string(),
            "version": place.version,
            "workers": place.workers,
            "cores": place.cores / 1_000,
            "projects": place.projects,
        }),
        Value::Member(member) => json!({
            "type": "catalog",
            "name": host_of(&member.addresses),
            "port": port_of(&member.addresses),
            "addresses": member.addresses,
            "owner": member.peer.to_string(),
        }),
        Value::Token(_) | Value::Revocation(_) | Value::Weight(_) | Value::Setting(_) => json!({}),
    };
    let mut record = if let serde_json::Value::Object(record) = value {
        record
    } else {
        Record::new()
    };
    record.insert("age_ms".to_owned(), (age.0 / 1_000).into());
    record
}

fn host_of(addresses: &[String]) -> &str {
    let first = addresses.first().map_or("", String::as_str);
    first.rsplit_once(':').map_or(first, |(host, _)| host)
}

fn port_of(addresses: &[String]) -> Option<u16> {
    addresses.first()?.rsplit_once(':')?.1.parse().ok()
}

/// A body of one piece.
struct Text(Option<Bytes>);

impl Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// A connection as hyper reads and writes it.
struct Stream(TcpStream);

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4_096];
        let room = into.remaining().min(bytes.len());
        let mut buffer = tokio::io::ReadBuf::new(&mut bytes[..room]);
        ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer))?;
        into.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
/// Visitors at once.
const CONNECTIONS_MAX: usize = 64;
/// Bytes of a request with its headers.
const REQUEST_BYTES_MAX: usize = 16 << 10;
/// When a visitor is shown out.
const VISIT: Duration = Duration::from_secs(10);
/// The pause after a visitor could not be let in.
const PAUSE: Duration = Duration::from_millis(100);
