//! After warm-up a request allocates nothing, by handlers and by tasks.

mod common;

use std::io;
use std::net::{SocketAddr, TcpStream};

use common::counting::{Counting, allocations};
use common::{Server, ask, connect};
use corepoll::{Action, EvContext, EvHandler, net};
use futures::{AsyncReadExt, AsyncWriteExt};

#[global_allocator]
static COUNTING: Counting = Counting;

/// What a client sends to be told how many allocations the poller's thread has made.
const COUNT: &[u8; 8] = b"how many";

/// The answer to `request`.
fn answer(request: &[u8]) -> [u8; 8] {
    let request = request.try_into().expect("requests of eight bytes");
    if request == *COUNT { allocations().to_be_bytes() } else { request }
}

fn count(client: &TcpStream) -> u64 {
    u64::from_be_bytes(ask(client, COUNT).try_into().expect("eight bytes"))
}

/// Asks on several connections in turn, and says what the requests after the warm-up allocated.
fn allocated_by_requests(addr: SocketAddr) -> u64 {
    let clients: Vec<TcpStream> = (0..8).map(|_| connect(addr)).collect();
    let round =
        || clients.iter().for_each(|client| assert_eq!(ask(client, b"request."), b"request."));
    (0..100).for_each(|_| round());
    let before = count(&clients[0]);
    (0..500).for_each(|_| round());
    count(&clients[0]) - before
}

struct Echo;

impl EvHandler for Echo {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        if data.is_empty() {
            return Ok(Action::Close);
        }
        cx.write(&answer(&data))?;
        Ok(Action::Keep)
    }
}

async fn echo_by_chunks(mut stream: net::TcpStream, _: SocketAddr) -> io::Result<()> {
    loop {
        let chunk = stream.read_chunk().await?;
        if chunk.is_empty() {
            return Ok(());
        }
        let answer = answer(&chunk);
        drop(chunk);
        stream.write_all(&answer).await?;
    }
}

async fn echo_by_async_read(mut stream: net::TcpStream, _: SocketAddr) -> io::Result<()> {
    let mut buffer = [0; 64];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&answer(&buffer[..count])).await?;
    }
}

#[test]
fn a_request_to_a_handler_allocates_nothing() {
    let (_server, addr) = Server::of_handlers(|| Echo);
    assert_eq!(allocated_by_requests(addr), 0);
}

#[test]
fn a_request_to_a_task_that_reads_chunks_allocates_nothing() {
    let (_server, addr) = Server::of_tasks(echo_by_chunks);
    assert_eq!(allocated_by_requests(addr), 0);
}

#[test]
fn a_request_to_a_task_that_reads_by_async_read_allocates_nothing() {
    let (_server, addr) = Server::of_tasks(echo_by_async_read);
    assert_eq!(allocated_by_requests(addr), 0);
}
