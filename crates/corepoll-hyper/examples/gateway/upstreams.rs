//! The upstreams as a poller knows them, and its connections to them. Nothing here is shared.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use corepoll::net::TcpStream;
use corepoll::{Deadlines, PollerBound, spawn_local, with_local};
use corepoll_hyper::HyperIo;
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};

use crate::options::Options;

type OutBody = Limited<Incoming>;

/// What a poller has for itself, in its cache.
#[derive(Default)]
pub struct Local {
    pub connections: Count,
    pub in_flight: Count,
    pub upstreams: Vec<Upstream>,
    /// Whether a shutdown has been requested: then no connection is kept.
    pub is_ending: bool,
}

#[derive(Default)]
pub struct Upstream {
    /// The requests that it works on.
    pub busy: Count,
    /// Connections: those that wait for a request, and those whose last answer still comes.
    pub pool: Vec<SendRequest<OutBody>>,
    /// When it may be tried again, after it could not be reached.
    pub down_until: Option<Instant>,
}

/// A number of things that there are now.
#[derive(Clone, Default)]
pub struct Count(Rc<Cell<usize>>);

/// One of a count, until it is dropped.
pub struct Counted(Count);

impl Count {
    /// Counts one more, unless there are so many already.
    pub fn up_to(&self, most: usize) -> Option<Counted> {
        (self.0.get() < most).then(|| {
            self.0.set(self.0.get() + 1);
            Counted(self.clone())
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}

/// Takes a connection to an upstream out of the pool, or makes one. Returns whether it is new.
pub async fn checkout(options: &Options, index: usize) -> io::Result<(SendRequest<OutBody>, bool)> {
    if let Some(sender) = with_local(|local: &mut Local| local.upstreams[index].take_ready()) {
        return Ok((sender, false));
    }
    let limit = Duration::from_millis(options.connect_timeout.get());
    let stream = TcpStream::connect_timeout(options.upstream[index], limit).await?;
    stream.set_nodelay(true)?;
    let idle = Some(options.idle_timeout());
    stream.set_deadlines(Deadlines { idle, ..Deadlines::default() });
    let io = HyperIo::new(PollerBound::new(stream));
    let (sender, connection) = Builder::new().handshake(io).await.map_err(io::Error::other)?;
    // Its errors are those of the requests on it.
    drop(spawn_local(connection.with_upgrades()));
    Ok((sender, true))
}

impl Upstream {
    /// Takes out a connection that waits for a request, and forgets those that have ended.
    fn take_ready(&mut self) -> Option<SendRequest<OutBody>> {
        self.pool.retain(|sender| !sender.is_closed());
        let index = self.pool.iter().rposition(SendRequest::is_ready)?;
        Some(self.pool.swap_remove(index))
    }
}

impl Local {
    /// Chooses the upstream that works on the fewest requests of this poller. One that is down is
    /// chosen where there is no other.
    pub fn choose(&self, tried: &[bool]) -> Option<usize> {
        let now = Instant::now();
        let key = |index: &usize| {
            let upstream = &self.upstreams[*index];
            (upstream.down_until.is_some_and(|until| until > now), upstream.busy.0.get())
        };
        (0..self.upstreams.len()).filter(|index| !tried[*index]).min_by_key(key)
    }

    pub fn set_down(&mut self, index: usize) {
        self.upstreams[index].down_until = Some(Instant::now() + Duration::from_secs(1));
    }

    /// Puts a connection back, whose answer may still come. The requests in flight bound the pool.
    pub fn put_back(&mut self, index: usize, sender: SendRequest<OutBody>) {
        let upstream = &mut self.upstreams[index];
        upstream.down_until = None;
        if !self.is_ending {
            upstream.pool.push(sender);
        }
    }
}
