#![allow(missing_docs)] // criterion_group makes a function without any

//! What does it gain to balance connections when they are accepted? Two clients ask two pollers. With
//! the kernel's hash alone, both connections are on one poller half of the time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use corepoll::{Acceptor, Action, Balance, EvContext, EvHandler, Reactor};
use criterion::{Criterion, criterion_group, criterion_main};

/// Requests that each client asks over one connection before it makes a new one.
const REQUESTS: u64 = 2000;

struct Echo;

impl EvHandler for Echo {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        if data.is_empty() {
            return Ok(Action::Close);
        }
        cx.write(&data)?;
        Ok(Action::Keep)
    }
}

fn ask(server: SocketAddr) -> io::Result<()> {
    let mut client = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    let mut bytes = [7; 64];
    for _ in 0..REQUESTS {
        client.write_all(&bytes)?;
        client.read_exact(&mut bytes)?;
    }
    Ok(())
}

/// The time that two clients take together, `rounds` times, each time on new connections.
fn two_clients(balance: Balance, rounds: u64) -> Duration {
    let reactor = Reactor::builder().pollers(2).build().unwrap();
    let acceptor = Acceptor::new("127.0.0.1:0").reuse_port(true).balance(balance);
    let listening = acceptor.listen(&reactor.handle(), || Echo).unwrap();
    let server = listening.local_addr().unwrap();
    let running = reactor.start().unwrap();
    let start = Instant::now();
    for _ in 0..rounds {
        std::thread::scope(|scope| {
            let clients = [(); 2].map(|()| scope.spawn(|| ask(server)));
            clients.into_iter().for_each(|client| client.join().unwrap().unwrap());
        });
    }
    let elapsed = start.elapsed();
    running.handle().shutdown(Duration::ZERO);
    running.join().unwrap();
    elapsed
}

fn balance(c: &mut Criterion) {
    let mut group = c.benchmark_group("two clients, two pollers");
    group.sample_size(10);
    group.bench_function("least loaded", |b| {
        b.iter_custom(|rounds| two_clients(Balance::LeastLoaded, rounds));
    });
    group.bench_function("the kernel's hash", |b| {
        b.iter_custom(|rounds| two_clients(Balance::Local, rounds));
    });
    group.finish();
}

criterion_group!(benches, balance);
criterion_main!(benches);
