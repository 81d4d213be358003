//! The connector under hyper-util's client.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use corepoll::block_on;
use corepoll_hyper::{Connector, LocalExec, LocalTimer};
use http_body_util::{BodyExt, Empty};
use hyper::Uri;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as HyperClient;

use crate::common::Site;

type Client = HyperClient<Connector, Empty<Bytes>>;

fn client() -> Client {
    HyperClient::builder(LocalExec).pool_timer(LocalTimer).build(Connector::new())
}

/// A server of blocking sockets. Returns its address and how many connections it has accepted.
fn server() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, SeqCst);
            std::thread::spawn(move || answer_all(stream));
        }
    });
    (addr, accepted)
}

/// Answers each request, until the client ends.
fn answer_all(stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while matches!(reader.read_line(&mut line), Ok(1..)) {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        if line == "\r\n" && reader.get_mut().write_all(answer).is_err() {
            return;
        }
        line.clear();
    }
}

async fn ask(client: &Client, uri: &str) -> Result<Bytes, Box<dyn std::error::Error>> {
    let response = client.get(uri.parse::<Uri>()?).await?;
    Ok(response.into_body().collect().await?.to_bytes())
}

#[test]
fn a_pool_keeps_its_connection() {
    let (addr, accepted) = server();
    block_on(async {
        let client = client();
        for _ in 0..10 {
            assert_eq!(ask(&client, &format!("http://{addr}/")).await.unwrap(), "hello");
        }
    });
    assert_eq!(accepted.load(SeqCst), 1);
}

#[test]
fn two_pollers_share_a_client() {
    let (addr, _accepted) = server();
    let (site, client) = (Site::start(2), client());
    let handle = site.handle();
    let tasks: Vec<_> = handle
        .pollers()
        .iter()
        .map(|poller| {
            let client = client.clone();
            poller.spawn_on(move || async move {
                for _ in 0..100 {
                    assert_eq!(ask(&client, &format!("http://{addr}/")).await.unwrap(), "hello");
                }
            })
        })
        .collect();
    for task in tasks {
        block_on(task).expect("all are answered");
    }
}

#[test]
fn what_it_can_not_connect_to_is_an_error() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    block_on(async {
        let client = client();
        for (uri, text) in [
            (format!("http://{closed}/"), "refused"),
            ("https://127.0.0.1:1/".to_owned(), "asks for http://"),
        ] {
            let error = ask(&client, &uri).await.expect_err("it can't");
            let mut texts = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                texts += &format!(": {error}");
                cause = error.source();
            }
            assert!(texts.contains(text), "{texts}");
        }
    });
}
