//! yamux: many streams in one connection, between two pollers.

use std::io;

use corepoll::net::TcpStream;
use futures::future::poll_fn;
use futures::{AsyncReadExt, AsyncWriteExt};
use interop::{Server, pattern, wait_for};
use yamux::{Config, Connection, Mode};

/// How many streams are open at once, and the bytes that go each way in each.
const STREAMS: usize = 8;
const BYTES: usize = 1 << 20;

/// Sends what comes in a stream back in it.
async fn echo(stream: yamux::Stream) -> io::Result<u64> {
    let (read, mut write) = stream.split();
    let copied = futures::io::copy(read, &mut write).await?;
    write.close().await?;
    Ok(copied)
}

/// Accepts streams until the peer ends the connection.
async fn serve(stream: TcpStream) -> yamux::Result<()> {
    let mut connection = Connection::new(stream, Config::default(), Mode::Server);
    while let Some(stream) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {
        corepoll::spawn_local(echo(stream?));
    }
    Ok(())
}

/// Sends bytes in a stream, and returns what comes back.
async fn ask(stream: yamux::Stream, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let (mut read, mut write) = stream.split();
    let written = corepoll::spawn_local(async move {
        write.write_all(&bytes).await?;
        write.close().await
    });
    let mut answer = Vec::new();
    read.read_to_end(&mut answer).await?;
    written.await??;
    Ok(answer)
}

#[test]
fn yamux_carries_streams_between_two_pollers() {
    let (_server, addr) = Server::of_tasks(|stream, _| serve(stream));
    let answers = wait_for(async {
        let stream = TcpStream::connect(addr).await.expect("it listens");
        let mut connection = Connection::new(stream, Config::default(), Mode::Client);
        let mut asking = Vec::new();
        for number in 0..STREAMS {
            let stream = poll_fn(|cx| connection.poll_new_outbound(cx)).await.expect("a stream");
            asking.push(corepoll::spawn_local(ask(stream, pattern(BYTES + number))));
        }
        // The connection moves what the streams send and receive when it is polled.
        let driver = corepoll::spawn_local(async move {
            while poll_fn(|cx| connection.poll_next_inbound(cx)).await.is_some() {}
        });
        let answers = futures::future::join_all(asking).await;
        driver.abort();
        answers
    });
    assert_eq!(answers.len(), STREAMS);
    for (number, answer) in answers.into_iter().enumerate() {
        let answer = answer.expect("it ends").expect("no error");
        assert!(answer == pattern(BYTES + number), "stream {number}: {} bytes", answer.len());
    }
}
