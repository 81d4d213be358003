//! A load that churns: as many connections come as there are batches, and each has one batch.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

/// Connections at a time.
const CONNECTIONS: usize = 3;

/// Requests, of which two are a batch.
const REQUESTS: usize = 20;

/// How many bytes a request of the load has, as an answer has.
const SIZE: usize = 64;

#[test]
fn each_batch_has_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let mut load = Command::new(env!("CARGO_BIN_EXE_load"))
        .args(["--addr", &addr, "--protocol", "echo", "--connections", "3", "--pipeline", "2"])
        .args(["--requests", "20", "--churn"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Those that are open before the first request, and one in the place of each that has asked.
    let echoes: Vec<_> = (0..CONNECTIONS + REQUESTS / 2)
        .map(|_| {
            let (mut stream, _) = listener.accept().unwrap();
            thread::spawn(move || {
                let (mut received, mut buffer) = (0, [0; 2 * SIZE]);
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    stream.write_all(&buffer[..read]).unwrap();
                    received += read;
                }
                received / SIZE
            })
        })
        .collect();
    let requests: Vec<usize> = echoes.into_iter().map(|echo| echo.join().unwrap()).collect();
    assert!(load.wait().unwrap().success());
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "another connection came");
    // The first also has the request by which the load learns how long an answer is, and the last
    // are closed without one.
    assert_eq!(requests[0], 3);
    assert_eq!(requests[1..REQUESTS / 2], [2; REQUESTS / 2 - 1]);
    assert_eq!(requests[REQUESTS / 2..], [0; CONNECTIONS]);
}
