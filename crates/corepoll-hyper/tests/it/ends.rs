//! How connections end: by time, by a panic, and by the shutdown.

use std::convert::Infallible;
use std::sync::mpsc;
use std::time::Duration;

use corepoll::net::UnixStream;
use corepoll::{spawn_local, time};
use corepoll_hyper::{HyperIo, Server};
use futures::channel::oneshot;
use futures::{AsyncReadExt, AsyncWriteExt};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};

use crate::common::{Client, PATIENCE, Site, Text, hello, serve_hello};

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

/// The first head of a connection has one time, whenever its bytes come.
#[test]
fn the_first_bytes_of_a_head_give_it_no_more_time() {
    corepoll::block_on(async {
        time::pause();
        let limit = Duration::from_secs(10);
        for waits in [0, 7, 9].map(Duration::from_secs) {
            let begun = time::now();
            let (near, mut far) = UnixStream::pair().expect("a pair");
            let served = spawn_local(async move {
                let server = Server::new().header_timeout(limit);
                server.serve_connection(HyperIo::new(near), service_fn(hello)).await
            });
            time::sleep(waits).await;
            far.write_all(b"GET / HT").await.expect("it is read");
            let mut answer = String::new();
            far.read_to_string(&mut answer).await.expect("the end");
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
            assert_eq!(time::now() - begun, limit, "after {waits:?}");
            drop(far);
            let error = served.await.expect("no panic").expect_err("it was late");
            assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        }
        // The heads that follow have their own time.
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let served = spawn_local(async move {
            let server = Server::new().header_timeout(limit);
            server.serve_connection(HyperIo::new(near), service_fn(hello)).await
        });
        for _ in 0..5 {
            time::sleep(Duration::from_secs(8)).await;
            far.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("it is read");
            let mut answer = [0; 15];
            far.read_exact(&mut answer).await.expect("an answer");
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            let mut rest = vec![0; 1024];
            let _ = far.read(&mut rest).await.expect("the rest of it");
        }
        drop(far);
        served.await.expect("no panic").expect("it was in time");
    });
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
