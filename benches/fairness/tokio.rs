//! The three measurements, of tokio's current-thread runtime.

use std::future::Future;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::{net, task, time};

use super::{Runtime, SLEEP, TIMEOUT, compute};

pub(super) const RUNTIME: Runtime = Runtime { name: "tokio", sleep, timeout, serve };

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(task::LocalSet::new().run_until(future))
}

fn sleep() -> Duration {
    block_on(async {
        let neighbour = task::spawn_local(async {
            loop {
                compute();
                task::yield_now().await;
            }
        });
        let start = Instant::now();
        time::sleep(SLEEP).await;
        neighbour.abort();
        start.elapsed()
    })
}

fn timeout() -> Duration {
    block_on(async {
        let socket = net::UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
        let addr = socket.local_addr().expect("it is bound");
        let start = Instant::now();
        let for_ever = async {
            loop {
                socket.send_to(b"ping", addr).await.expect("loopback");
                socket.recv(&mut [0; 8]).await.expect("loopback");
            }
        };
        let late: Result<(), _> = time::timeout(TIMEOUT, for_ever).await;
        late.expect_err("it never ends by itself");
        start.elapsed()
    })
}

fn stream(stream: TcpStream) -> net::TcpStream {
    stream.set_nonblocking(true).expect("a socket");
    net::TcpStream::from_std(stream).expect("a socket")
}

fn serve(flooded: TcpStream, size: usize, echoing: TcpStream) {
    block_on(async move {
        let mut flooded = stream(flooded);
        let reading = task::spawn_local(async move {
            let mut buffer = vec![0; size];
            while flooded.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        });
        let mut echoing = stream(echoing);
        let mut buffer = [0; 4];
        while echoing.read_exact(&mut buffer).await.is_ok() {
            echoing.write_all(&buffer).await.expect("it is read");
        }
        reading.await.expect("it only reads");
    });
}
