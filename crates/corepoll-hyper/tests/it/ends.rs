//! How connections end: by time, by a panic, and by the shutdown.

use std::convert::Infallible;
use std::sync::mpsc;
use std::time::Duration;

use corepoll_hyper::Server;
use futures::channel::oneshot;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};

use crate::common::{Client, PATIENCE, Site, Text, serve_hello};

#[test]
fn a_client_that_stalls_in_the_head_is_ended() {
    let site = Site::start(1);
    let server = Server::new().header_timeout(Duration::from_millis(50));
    let (listening, addr) = serve_hello(&site, server);
    let (tell, heard) = mpsc::channel();
    listening.on_error(move |error| {
        let _ = tell.send(error.kind());
    });
    // The beginning of a preface, half a head, and half a head after an answer.
    for (bytes, answered) in [("PRI *", false), ("GET / HT", false), ("GET / HT", true)] {
        let mut client = Client::connect(addr);
        if answered {
            assert_eq!(client.get("/").status, 200);
        }
        client.send(bytes);
        client.rest();
        let kind = heard.recv_timeout(PATIENCE).expect("it is told");
        assert_eq!(kind, std::io::ErrorKind::TimedOut, "{bytes:?}");
    }
}

#[test]
fn a_panic_ends_its_connection_alone() {
    let site = Site::start(1);
    let service = service_fn(|request: Request<Incoming>| async move {
        assert_ne!(request.uri().path(), "/panic");
        Ok::<_, Infallible>(Response::new(Text::from("lives")))
    });
    let listening = corepoll_hyper::serve(&site.handle(), "127.0.0.1:0", service).unwrap();
    let addr = listening.local_addr().unwrap();
    let mut kept = Client::connect(addr);
    assert_eq!(kept.get("/").body, "lives");
    let mut client = Client::connect(addr);
    client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.rest(), b"");
    assert_eq!(kept.get("/").body, "lives");
}

#[test]
fn a_shutdown_ends_what_is_idle_and_lets_an_answer_come() {
    let site = Site::start(2);
    let (tell, asked) = mpsc::channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let tell = tell.clone();
        async move {
            if request.uri().path() == "/slow" {
                let (release, released) = oneshot::channel::<()>();
                let _ = tell.send(release);
                let _ = released.await;
            }
            Ok::<_, Infallible>(Response::new(Text::from("answered")))
        }
    });
    let listening = corepoll_hyper::serve(&site.handle(), "127.0.0.1:0", service).unwrap();
    let addr = listening.local_addr().unwrap();
    let mut silent = Client::connect(addr);
    let mut idle = Client::connect(addr);
    assert_eq!(idle.get("/").body, "answered");
    let mut busy = Client::connect(addr);
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let release = asked.recv_timeout(PATIENCE).expect("it is served");
    let stopping = std::thread::spawn(move || site.stop());
    // Both hear of the end while the other answer is still to come.
    assert_eq!(idle.rest(), b"");
    assert_eq!(silent.rest(), b"");
    release.send(()).expect("it waits");
    assert_eq!(busy.answer().body, "answered");
    assert_eq!(busy.rest(), b"");
    assert_eq!(stopping.join().unwrap().cancelled, 0);
}

/// A client that does not hear of the end holds nothing up: its connection is no task that is
/// cancelled after the grace.
#[test]
fn a_client_that_stays_does_not_hold_the_shutdown_up() {
    let site = Site::start(1);
    let (_listening, addr) = serve_hello(&site, Server::new());
    let mut stays = Client::connect(addr);
    assert_eq!(stays.get("/").status, 200);
    // Less than a connection that ends by itself is read from.
    assert_eq!(site.stop_within(Duration::from_millis(1500)).cancelled, 0);
    assert_eq!(stays.rest(), b"");
}
