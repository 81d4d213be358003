//! Clients that take their time where nothing is wrong with that, and those that stay silent at the end.

use std::convert::Infallible;
use std::io::{self, Read};
use std::sync::mpsc;
use std::time::Duration;

use corepoll::net::UnixStream;
use corepoll::{JoinHandle, spawn_local, time};
use corepoll_hyper::{HyperIo, Server};
use futures::channel::oneshot;
use futures::{AsyncReadExt, AsyncWriteExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};

use crate::common::{Client, PATIENCE, Site, Text};
use crate::http2::frame;

/// More than fits into a socket.
const LARGE: usize = 2 << 20;

/// Answers at once, and reads the body of the request beside that.
async fn answer_at_once(request: Request<Incoming>) -> Result<Response<Text>, Infallible> {
    drop(spawn_local(request.into_body().collect()));
    Ok(Response::new(vec![b'.'; LARGE].into()))
}

/// A server whose heads have ten seconds, on a paused clock, and the client's end of its connection.
fn serve() -> (UnixStream, JoinHandle<io::Result<()>>) {
    let (near, far) = UnixStream::pair().expect("a pair");
    let served = spawn_local(async move {
        let server = Server::new().header_timeout(Duration::from_secs(10));
        server.serve_connection(HyperIo::new(near), service_fn(answer_at_once)).await
    });
    (far, served)
}

/// Reads all of an answer, 64 KiB in two seconds: longer than a head may take.
async fn read_slowly(stream: &mut UnixStream) -> Vec<u8> {
    let mut heard = Vec::new();
    while heard.len() < LARGE {
        let mut room = vec![0; 64 << 10];
        match stream.read(&mut room).await.expect("no error") {
            0 => break,
            count => heard.extend_from_slice(&room[..count]),
        }
        time::sleep(Duration::from_secs(2)).await;
    }
    heard
}

/// The body of the request ends when hyper has written all of the answer into its buffer. For hyper,
/// the next head is awaited then.
#[test]
fn the_time_for_a_head_does_not_pass_while_an_answer_is_received() {
    corepoll::block_on(async {
        time::pause();
        for begun in ["", "GET / HT"] {
            let (mut client, served) = serve();
            let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
            client.write_all(head.as_bytes()).await.expect("it is read");
            time::sleep(Duration::from_millis(1)).await;
            client.write_all(format!("body{begun}").as_bytes()).await.expect("it is read");
            let mut heard = read_slowly(&mut client).await;
            // Its time comes after that.
            client.read_to_end(&mut heard).await.expect("an end");
            let end_of_head =
                heard.windows(4).position(|it| it == b"\r\n\r\n").expect("a head") + 4;
            let (body, rest) = heard[end_of_head..].split_at_checked(LARGE).expect("all of it");
            assert!(body.iter().all(|byte| *byte == b'.'));
            assert_eq!(rest.starts_with(b"HTTP/1.1 408 "), !begun.is_empty(), "{rest:?}");
            drop(client);
            let ended = served.await.expect("no panic");
            assert_eq!(ended.is_err(), !begun.is_empty(), "{ended:?}");
        }
    });
}

/// A client of HTTP/2 that has said hello, and says nothing more: it answers no pings either.
fn silent_client(addr: std::net::SocketAddr, more: &[u8]) -> Client {
    let mut client = Client::connect(addr);
    client.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(4, 0, 0, &[])[..], more].concat());
    // It is accepted: the shutdown of a listener resets what waits for that.
    client.stream().read_exact(&mut [0; 9]).expect("SETTINGS of the server");
    client
}

#[test]
fn http2_clients_that_are_silent_do_not_hold_the_shutdown_up_but_their_requests_do() {
    let site = Site::start(2);
    let (tell, asked) = mpsc::channel();
    let service = service_fn(move |_: Request<Incoming>| {
        let tell = tell.clone();
        async move {
            let (release, released) = oneshot::channel::<()>();
            let _ = tell.send(release);
            let _ = released.await;
            Ok::<_, Infallible>(Response::new(Text::from("answered")))
        }
    });
    let listening = corepoll_hyper::serve(&site.handle(), "127.0.0.1:0", service).unwrap();
    let addr = listening.local_addr().unwrap();
    let mut idle: Vec<Client> = (0..100).map(|_| silent_client(addr, &[])).collect();
    // GET http://a/
    let request = frame(1, 5, 1, &[0x82, 0x84, 0x86, 0x41, 1, b'a']);
    let mut busy = silent_client(addr, &request);
    let release = asked.recv_timeout(PATIENCE).expect("it is served");
    let stopping = std::thread::spawn(move || site.stop());
    for client in &mut idle {
        let heard = client.bytes_until_the_end();
        assert!(heard.windows(5).any(|it| it == [0, 0, 8, 7, 0]), "a GOAWAY: {heard:?}");
    }
    release.send(()).expect("it waits");
    let heard = busy.bytes_until_the_end();
    assert!(heard.ends_with(b"answered"), "{heard:?}");
    assert_eq!(stopping.join().unwrap().cancelled, 0);
}
