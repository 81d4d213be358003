//! A request with its answer, and the line that the access log has of it.

use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime};

use http_body_util::{Either, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::{Request, StatusCode};

use crate::Gateway;
use crate::upstreams::Counted;

/// A request and its answer. It ends, and is logged, when it is dropped.
pub struct Exchange {
    pub gateway: Arc<Gateway>,
    pub peer: SocketAddr,
    request: String,
    begun: Instant,
    /// Its place among the requests in flight.
    pub slot: Option<Counted>,
    /// The upstream that was asked last, by its index, and the place there.
    pub upstream: Option<(usize, Option<Counted>)>,
    pub status: StatusCode,
    bytes: u64,
}

impl Exchange {
    pub fn new(gateway: Arc<Gateway>, peer: SocketAddr, request: &Request<Incoming>) -> Exchange {
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        Exchange {
            gateway,
            peer,
            request: format!("{} {path:?}", request.method()),
            begun: Instant::now(),
            slot: None,
            upstream: None,
            status: StatusCode::from_u16(499).unwrap_or_default(), // the client leaves before an answer
            bytes: 0,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Exchange { gateway, peer, request, status, bytes, .. } = self;
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let seconds = self.begun.elapsed().as_secs_f64();
        let upstream = self.upstream.as_ref().map(|it| gateway.options.upstream[it.0].to_string());
        let upstream = upstream.as_deref().unwrap_or("-");
        let status = status.as_u16();
        gateway.metrics.requests.get_or_create(&vec![("status", status.to_string())]).inc();
        gateway.metrics.seconds.observe(seconds);
        let line = format!("{time} {peer} {request} {status} {bytes} {seconds:.6} {upstream}\n");
        // A poller does not wait for the disk.
        if gateway.log.try_send(line).is_err() {
            gateway.metrics.unlogged.inc();
        }
    }
}

/// Writes the lines of the access log, on a thread that may wait.
pub fn write_log(lines: &Receiver<String>) {
    let mut output = BufWriter::new(io::stdout());
    while let Ok(first) = lines.recv() {
        let written = std::iter::once(first)
            .chain(lines.try_iter().take(1000))
            .try_for_each(|line| output.write_all(line.as_bytes()));
        if written.and_then(|()| output.flush()).is_err() {
            return; // nothing reads it any more; from now on lines are counted as unlogged
        }
    }
}

/// The body of an answer. Its exchange ends with it.
pub struct Logged {
    pub body: Either<Incoming, Full<Bytes>>,
    pub exchange: Exchange,
}

impl Body for Logged {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        self.exchange.bytes += data.map_or(0, |data| data.len() as u64);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
