//! What an idle connection takes: allocations and bytes in them. The figures of README's table of idle connections
//! stand on these, with what the allocator adds to each block.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpStream};

use crate::common::counting::live_here;
use crate::common::{ask, connect};
use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor, net};
use futures::AsyncWriteExt;

/// Connections at the two counts. Tables that double have room for the next power of two, so the difference of two
/// that fill theirs is what connections take.
const FEW: usize = 250;
const MANY: usize = 1_000;

/// What a client sends to be told what is allocated on the poller's thread: blocks, bytes, and the size of a future.
const COUNT: &[u8; 24] = b"how much is allocated ?!";

thread_local! {
    /// The size of the future of a connection, where there is one.
    static FUTURE: Cell<usize> = const { Cell::new(0) };
}

fn answer(request: &[u8]) -> Vec<u8> {
    if request != COUNT {
        return request.to_vec();
    }
    let (blocks, bytes) = live_here();
    let numbers = [blocks as u64, bytes as u64, FUTURE.get() as u64];
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// Blocks, bytes, and the size of a future.
fn count(client: &TcpStream) -> [f64; 3] {
    let answer = ask(client, COUNT);
    let number =
        |at: usize| u64::from_be_bytes(answer[at..at + 8].try_into().expect("eight bytes"));
    [number(0), number(8), number(16)].map(|number| number as f64)
}

/// Blocks and bytes of each connection that has been answered once and is idle, and the size of its future.
fn each_idle(addr: SocketAddr) -> [f64; 3] {
    let mut clients = Vec::new();
    let mut open = |number: usize| {
        while clients.len() < number {
            let client = connect(addr);
            assert_eq!(ask(&client, &[7; 24]), [7; 24]);
            clients.push(client);
        }
        count(&clients[0])
    };
    let (few, many) = (open(FEW), open(MANY));
    let each = |at: usize| (many[at] - few[at]) / (MANY - FEW) as f64;
    let figures = [each(0), each(1), many[2]];
    println!("{:.2} blocks, {:.1} bytes, a future of {}", figures[0], figures[1], figures[2]);
    figures
}

/// As small as the handler of `versus`.
struct Echo(u8);

impl EvHandler for Echo {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        if data.is_empty() {
            return Ok(Action::Close);
        }
        self.0 = data[0];
        cx.write(&answer(&data))?;
        Ok(Action::Keep)
    }
}

async fn echo(mut stream: net::TcpStream) -> io::Result<()> {
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

#[test]
fn an_idle_connection_of_a_handler_is_one_block_and_64_bytes_beyond_its_handler() {
    let reactor = Reactor::builder().pollers(1).build().unwrap();
    let listening = Acceptor::new("127.0.0.1:0").listen(&reactor.handle(), || Echo(0)).unwrap();
    let running = reactor.start().unwrap();
    let [blocks, bytes, _] = each_idle(listening.local_addr().unwrap());
    // The block of its handler, and a share in one of 64 places.
    assert!((1.0..1.05).contains(&blocks), "{blocks}");
    let beyond = bytes - size_of::<Echo>() as f64;
    assert!((60.0..68.0).contains(&beyond), "{beyond}");
    running.handle().shutdown(std::time::Duration::ZERO);
    running.join().unwrap();
}

#[test]
fn an_idle_connection_of_a_task_is_two_blocks_and_168_bytes_beyond_its_future() {
    let reactor = Reactor::builder().pollers(1).build().unwrap();
    let service = |stream, _| {
        let future = echo(stream);
        FUTURE.set(size_of_val(&future));
        future
    };
    let listening = reactor.handle().serve("127.0.0.1:0", service).unwrap();
    let running = reactor.start().unwrap();
    let [blocks, bytes, future] = each_idle(listening.local_addr().unwrap());
    // The task, and the source that it waits on.
    assert!((2.0..2.01).contains(&blocks), "{blocks}");
    // A header of 56, a source of 88 with its counts, a slot of 16, a place of 8 in the table of tasks.
    let beyond = bytes - future;
    assert!((164.0..172.0).contains(&beyond), "{beyond}");
    running.handle().shutdown(std::time::Duration::ZERO);
    running.join().unwrap();
}
