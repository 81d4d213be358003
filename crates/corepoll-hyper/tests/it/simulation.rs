//! Server and client inside of a simulation: requests of both protocols under latency, loss and
//! resets, and the same run again from the same seed.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use corepoll::sim::{Faults, Simulation};
use corepoll::{Reactor, time};
use corepoll_hyper::{Connector, client_builder, serve};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{DATE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;

/// The date that all answers have.
const START: &str = "Thu, 01 Jan 1970 00:00:00 GMT";

/// What a simulation has left: how many requests were answered, how many have failed, and the hash
/// of its trace.
type Outcome = (u32, u32, u64);

/// Sends the body back after a while, so that answers of HTTP/2 come in other orders.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    time::sleep(Duration::from_millis(body.len() as u64 % 7)).await;
    let mut response = Response::new(body.into());
    // hyper's own is of the machine's clock, and some dates are shorter than others in HTTP/2.
    response.headers_mut().insert(DATE, HeaderValue::from_static(START));
    Ok(response)
}

/// Asks the server, and checks the answer.
async fn ask(
    client: &Client<Connector, Full<Bytes>>,
    body: Bytes,
) -> Result<(), Box<dyn std::error::Error>> {
    let request = Request::post("http://server/").body(body.clone().into())?;
    // A host that has lost its connection without a word never answers.
    let answered = time::timeout(Duration::from_secs(60), client.request(request)).await??;
    let answer = time::timeout(Duration::from_secs(60), answered.into_body().collect()).await??;
    assert_eq!(answer.to_bytes(), body, "the answer is another one's");
    Ok(())
}

/// Runs two clients against a server of two pollers, by HTTP/2 or by HTTP/1.
fn run(seed: u64, is_http2: bool, faults: Faults) -> Outcome {
    let mut sim = Simulation::new(seed);
    sim.host("server", || async {
        let reactor = Reactor::builder().pollers(2).build()?;
        let _listening = serve(&reactor.handle(), "0.0.0.0:80", service_fn(echo))?;
        let _running = reactor.start()?;
        pending().await
    });
    let counts = Rc::new((Cell::new(0), Cell::new(0)));
    for number in 0..2_u8 {
        let counts = counts.clone();
        sim.client(format!("client {number}"), async move {
            let client = client_builder().http2_only(is_http2).build(Connector::new());
            for round in 0..10_usize {
                let requests = (0..4).map(|index| {
                    let body = vec![number; 1 + index * 5_000 + round * 900];
                    ask(&client, body.into())
                });
                for result in futures::future::join_all(requests).await {
                    let count = if result.is_ok() { &counts.0 } else { &counts.1 };
                    count.set(count.get() + 1);
                }
                // Long enough that hyper is taken off some of the connections.
                time::sleep(Duration::from_millis(300) * round as u32).await;
            }
            io::Result::Ok(())
        });
    }
    sim.faults(faults);
    sim.run().unwrap();
    (counts.0.get(), counts.1.get(), sim.trace_hash())
}

/// Returns latency and loss.
fn slow() -> Faults {
    let ms = Duration::from_millis;
    Faults::default().latency(ms(1)..ms(40)).drop(0.02).short_io(0.1)
}

#[test]
fn every_request_is_answered_on_a_slow_network() {
    for is_http2 in [false, true] {
        for seed in 0..4 {
            let first = run(seed, is_http2, slow());
            assert_eq!((first.0, first.1), (80, 0), "seed {seed}, HTTP/2 {is_http2}");
            assert_eq!(run(seed, is_http2, slow()), first, "seed {seed}, HTTP/2 {is_http2}");
        }
    }
}

#[test]
fn resets_fail_requests_and_no_others() {
    let mut failed = 0;
    for is_http2 in [false, true] {
        for seed in 0..4 {
            let faults = || slow().reset(0.01);
            let first = run(seed, is_http2, faults());
            assert_eq!(first.0 + first.1, 80, "seed {seed}, HTTP/2 {is_http2}");
            assert!(first.0 > 0, "seed {seed}, HTTP/2 {is_http2}: nothing was answered");
            assert_eq!(run(seed, is_http2, faults()), first, "seed {seed}, HTTP/2 {is_http2}");
            failed += first.1;
        }
    }
    assert!(failed > 0, "no connection was reset under a request");
}
