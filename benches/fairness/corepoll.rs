//! The three measurements, of corepoll.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use corepoll::{block_on, net, spawn_local, time, yield_now};
use futures::{AsyncReadExt, AsyncWriteExt};

use super::{Runtime, SLEEP, TIMEOUT, compute};

pub(super) const RUNTIME: Runtime = Runtime { name: "corepoll", sleep, timeout, serve };

fn sleep() -> Duration {
    block_on(async {
        drop(spawn_local(async {
            loop {
                compute();
                yield_now().await;
            }
        }));
        let start = Instant::now();
        time::sleep(SLEEP).await;
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

fn serve(flooded: TcpStream, size: usize, echoing: TcpStream) {
    block_on(async move {
        let mut flooded = net::TcpStream::from_std(flooded).expect("a socket");
        let reading = spawn_local(async move {
            let mut buffer = vec![0; size];
            while flooded.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        });
        let mut stream = net::TcpStream::from_std(echoing).expect("a socket");
        let mut buffer = [0; 4];
        while stream.read_exact(&mut buffer).await.is_ok() {
            stream.write_all(&buffer).await.expect("it is read");
        }
        reading.await.expect("it only reads");
    });
}
