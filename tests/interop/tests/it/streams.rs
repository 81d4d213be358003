//! Crates that need the traits of futures-io and nothing else.

use async_compression::futures::{bufread::GzipDecoder, write::GzipEncoder};
use asynchronous_codec::{Framed, LinesCodec};
use corepoll::net::TcpStream;
use futures::io::BufReader;
use futures::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, SinkExt, StreamExt};
use futures_concurrency::prelude::*;
use interop::{Peer, Server, pattern, program};
use std::io;
use std::net::SocketAddr;
use std::process::Command;

/// Returns nc with what connects it to `addr`. It half-closes the connection at the end of its input, and
/// ends with the connection.
fn nc(addr: SocketAddr) -> Command {
    let mut nc = program("nc");
    nc.args(["-N", &addr.ip().to_string(), &addr.port().to_string()]);
    nc
}

#[test]
fn futures_util_copies_splits_and_reads_lines() {
    let (_server, addr) = Server::of_tasks(|stream, _| async move {
        let (read, mut write) = stream.split();
        let mut read = BufReader::new(read);
        let mut name = String::new();
        read.read_line(&mut name).await?;
        write.write_all(format!("hello, {name}").as_bytes()).await?;
        futures::io::copy_buf(read, &mut write).await?;
        write.close().await
    });
    let rest = pattern(3 << 20);
    let sent = [b"nc\n", &rest[..]].concat();
    let answer = Peer::run(&mut nc(addr), &sent);
    assert!(answer.stdout == [b"hello, nc\n", &rest[..]].concat(), "{}", answer.stdout.len());
}

#[test]
fn futures_lite_copies_and_races() {
    let (_server, addr) = Server::of_tasks(|stream, _| async move {
        let mut write = &stream;
        let copied = futures_lite::io::copy(&stream, &mut write);
        let never = std::future::pending::<io::Result<u64>>();
        futures_lite::future::race(copied, never).await
    });
    let sent = pattern(3 << 20);
    assert!(Peer::run(&mut nc(addr), &sent).stdout == sent);
}

#[test]
fn futures_concurrency_joins_and_races_streams() {
    async fn first_line(stream: &TcpStream) -> io::Result<String> {
        let mut lines = BufReader::new(stream).lines();
        lines.next().await.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))
    }
    let (_server, addr) = Server::of_tasks(|stream, _| async move {
        let inner = corepoll::net::TcpListener::bind("127.0.0.1:0").await?;
        let inner_addr = inner.local_addr()?;
        // Both ends of a connection of this poller's own, at once.
        let (accepted, connected) = (inner.accept(), TcpStream::connect(inner_addr)).join().await;
        let (near, far) = (accepted?.0, connected?);
        (&far).write_all(b"inside\n").await?;
        let (outer, inner) = (first_line(&stream), first_line(&near)).try_join().await?;
        let never = std::future::pending();
        let both = (async { format!("{outer} {inner}\n") }, never).race().await;
        (&stream).write_all(both.as_bytes()).await
    });
    assert_eq!(Peer::run(&mut nc(addr), b"outside\n").success(), "outside inside\n");
}

#[test]
fn asynchronous_codec_frames_lines() {
    let (_server, addr) = Server::of_tasks(|stream, _| async move {
        let mut lines = Framed::new(stream, LinesCodec);
        while let Some(line) = lines.next().await {
            let mut answer: String = line?.trim_end().chars().rev().collect();
            answer.push('\n');
            lines.send(answer).await?;
        }
        lines.close().await
    });
    let mut nc = Peer::start(&mut nc(addr));
    for (line, answer) in [("stressed\n", "desserts\n"), ("lager\n", "regal\n")] {
        nc.send(line.as_bytes());
        nc.wait_for(answer);
    }
    assert_eq!(nc.finish().success(), "desserts\nregal\n");
}

#[test]
fn async_compression_packs_what_curl_unpacks() {
    const HEAD: &str = "HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
    let (_server, addr) = Server::of_tasks(|mut stream, _| async move {
        let mut lines = BufReader::new(&stream).lines();
        while lines.next().await.transpose()?.is_some_and(|line| !line.is_empty()) {}
        stream.write_all(HEAD.as_bytes()).await?;
        let mut packed = GzipEncoder::new(stream);
        packed.write_all(&pattern(5 << 20)).await?;
        packed.close().await
    });
    let mut curl = program("curl");
    let answer = Peer::run(curl.args(["-sS", "--compressed", &format!("http://{addr}/")]), b"");
    assert!(answer.stdout == pattern(5 << 20), "{}", answer.text().len());
}

#[test]
fn async_compression_unpacks_what_gzip_packs() {
    let (_server, addr) = Server::of_tasks(|stream, _| async move {
        let mut unpacked = Vec::new();
        GzipDecoder::new(BufReader::new(&stream)).read_to_end(&mut unpacked).await?;
        let exact = unpacked == pattern(5 << 20);
        (&stream).write_all(format!("{} bytes, exact: {exact}\n", unpacked.len()).as_bytes()).await
    });
    let packed = Peer::run(&mut program("gzip"), &pattern(5 << 20)).stdout;
    let answer = Peer::run(&mut nc(addr), &packed).success();
    assert_eq!(answer, "5242880 bytes, exact: true\n");
}
