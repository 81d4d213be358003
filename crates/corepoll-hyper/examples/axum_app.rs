//! A service of short links by axum, with state of two kinds: what all pollers share, and what each
//! has for itself.
//!
//! ```text
//! cargo run -p corepoll-hyper --features axum --example axum_app
//! curl -d '{"target":"https://example.com/"}' -H 'Content-Type: application/json' http://127.0.0.1:8080/links
//! curl -i http://127.0.0.1:8080/to/1
//! curl -N http://127.0.0.1:8080/links/1/visits
//! ```
//!
//! A visit is counted by the poller that serves it, in a map that no other thread touches. The sum is
//! asked of all pollers, at most once a second on each.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{Redirect, Sse, sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use corepoll::{PollerBound, Reactor, ReactorHandle, shutdown_requested, signal::Signal};
use corepoll::{time, with_local};
use corepoll_hyper::serve_axum;
use futures::{Stream, StreamExt, future::join_all};
use serde::{Deserialize, Serialize};
use tower_http::compression::CompressionLayer;

/// The most links, and the longest body of a request.
const MOST_LINKS: usize = 100_000;
const LONGEST_BODY: usize = 8 * 1024;

fn main() -> ExitCode {
    let Err(error) = run(&Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("axum_app: {error}");
    ExitCode::FAILURE
}

fn run(options: &Options) -> std::io::Result<()> {
    let reactor = Reactor::builder().pollers(options.pollers.get()).build()?;

    // The first signal gives the requests five seconds to end, a second one no time at all.
    let (handle, mut signals) = (reactor.handle(), Signal::new([libc::SIGINT, libc::SIGTERM])?);
    thread::spawn(move || {
        corepoll::block_on(async {
            for grace in [Duration::from_secs(5), Duration::ZERO] {
                let _ = signals.recv().await;
                handle.shutdown(grace);
            }
        });
    });

    let router = Router::new()
        .route("/links", post(add).get(list))
        .route("/links/{id}", get(show))
        .route("/links/{id}/visits", get(follow_visits))
        .route("/to/{id}", get(visit))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(CompressionLayer::new()) // but for event streams
        .with_state(Links::default());
    let listening = serve_axum(&reactor.handle(), options.addr, router)?;
    println!("listening on {}", listening.local_addr()?);
    reactor.run()
}

/// All links, shared by the pollers: they are read at every request and seldom written.
#[derive(Clone, Default)]
struct Links(Arc<RwLock<Vec<Arc<str>>>>);

impl Links {
    /// Adds a link. Returns its number, or `None` if there is no room.
    fn add(&self, target: &str) -> Option<usize> {
        let mut links = self.0.write().unwrap_or_else(PoisonError::into_inner);
        (links.len() < MOST_LINKS).then(|| links.push(target.into()))?;
        Some(links.len())
    }

    /// Returns up to `limit` links from the number `first` on; the first number is 1.
    fn get(&self, first: usize, limit: usize) -> Vec<Link> {
        let links = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let numbered = (1..).zip(links.iter()).skip(first.saturating_sub(1)).take(limit);
        numbered.map(|(id, target)| Link { id, target: target.clone() }).collect()
    }

    fn get_one(&self, id: usize) -> Result<Link, StatusCode> {
        self.get(id, 1).pop().filter(|link| link.id == id).ok_or(StatusCode::NOT_FOUND)
    }
}

#[derive(Serialize)]
struct Link {
    id: usize,
    #[serde(serialize_with = "as_str")]
    target: Arc<str>,
}

fn as_str<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// The body of `POST /links`.
#[derive(Deserialize)]
struct NewLink {
    target: String,
}

async fn add(
    State(links): State<Links>,
    Json(new): Json<NewLink>,
) -> Result<(StatusCode, Json<Link>), (StatusCode, &'static str)> {
    let uri = new.target.parse::<Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
    });
    let target =
        uri.ok_or((StatusCode::UNPROCESSABLE_ENTITY, "target: no address of the web\n"))?;
    let target: Arc<str> = target.to_string().into();
    let id = links.add(&target).ok_or((StatusCode::INSUFFICIENT_STORAGE, "too many links\n"))?;
    Ok((StatusCode::CREATED, Json(Link { id, target })))
}

/// The query of `GET /links`.
#[derive(Deserialize)]
#[serde(default)]
struct Page {
    first: usize,
    limit: usize,
}

impl Default for Page {
    fn default() -> Page {
        Page { first: 1, limit: 20 }
    }
}

async fn list(State(links): State<Links>, Query(page): Query<Page>) -> Json<Vec<Link>> {
    Json(links.get(page.first, page.limit.min(100)))
}

async fn show(State(links): State<Links>, Path(id): Path<usize>) -> Result<Json<Link>, StatusCode> {
    links.get_one(id).map(Json)
}

async fn visit(State(links): State<Links>, Path(id): Path<usize>) -> Result<Redirect, StatusCode> {
    let link = links.get_one(id)?;
    with_local(|visits: &mut Visits| *visits.counts.entry(id).or_default() += 1);
    Ok(Redirect::temporary(&link.target))
}

/// Sends the number of visits of a link each second, until the client leaves or the server ends.
async fn follow_visits(
    State(links): State<Links>,
    Path(id): Path<usize>,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>> + Send>, StatusCode> {
    links.get_one(id)?;
    let ticks =
        futures::stream::unfold(time::interval(Duration::from_secs(1)), async |mut ticks| {
            ticks.tick().await;
            Some(((), ticks))
        });
    let counts = ticks.then(move |()| {
        // A future that holds an `Rc` is not `Send`, as axum asks. Bound to its poller, it is.
        PollerBound::new(async move {
            let sums = sum_visits().await;
            Ok(sse::Event::default().data(sums.get(&id).unwrap_or(&0).to_string()))
        })
    });
    Ok(Sse::new(counts.take_until(shutdown_requested())))
}

/// The visits of each link, by its number.
type Counts = HashMap<usize, u64>;

/// What a poller knows of visits: a value of its own.
#[derive(Default)]
struct Visits {
    /// Those that it has served.
    counts: Counts,
    /// The sums over all pollers, and when they were asked for.
    sums: Option<(Instant, Rc<Counts>)>,
}

/// Returns the sums over all pollers. They are at most a second old.
async fn sum_visits() -> Rc<Counts> {
    let known = with_local(|visits: &mut Visits| visits.sums.clone());
    if let Some((_, sums)) = known.filter(|(since, _)| since.elapsed() < Duration::from_secs(1)) {
        return sums;
    }
    let reactor = ReactorHandle::current();
    let counts = reactor.pollers().iter().map(|poller| {
        poller.spawn_on(|| async { with_local(|visits: &mut Visits| visits.counts.clone()) })
    });
    let mut sums = Counts::new();
    // A poller that has ended gives an error, and serves nothing any more.
    for (id, count) in join_all(counts).await.into_iter().flatten().flatten() {
        *sums.entry(id).or_default() += count;
    }
    let sums = Rc::new(sums);
    with_local(|visits: &mut Visits| visits.sums = Some((Instant::now(), sums.clone())));
    sums
}

/// Short links by axum
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// The number of pollers, each a thread; by default one for each processor
    #[arg(long, default_value_t = available_parallelism().unwrap_or(NonZeroUsize::MIN))]
    pollers: NonZeroUsize,
}
