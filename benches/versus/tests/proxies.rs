//! Every proxy of this build passes on what both sides send, and their ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use versus::proxies::Proxy;
use versus::sys;

#[test]
fn every_proxy_passes_both_directions_on_and_ends_on_sigterm() {
    for &proxy in Proxy::ALL {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_versus"))
            .args(["proxy", "--proxy", proxy.name()])
            .args(["--upstream", &upstream.local_addr().unwrap().to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut addr = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut addr).unwrap();
        let near = TcpStream::connect(addr.trim()).unwrap();
        let far = upstream.accept().unwrap().0;
        near.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        far.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let bytes: Vec<u8> = (0..8_u32 << 20).map(|at| (at ^ (at >> 11)) as u8).collect();
        thread::scope(|scope| {
            for mut end in [&near, &far] {
                let (mut sending, bytes) = (end, &bytes);
                scope.spawn(move || {
                    sending.write_all(bytes).unwrap();
                    sending.shutdown(Shutdown::Write).unwrap();
                });
                scope.spawn(move || {
                    let mut got = Vec::new();
                    end.read_to_end(&mut got).unwrap();
                    assert!(got == *bytes, "{}: {} bytes came", proxy.name(), got.len());
                });
            }
        });
        sys::terminate(child.id() as i32).unwrap();
        assert!(child.wait().unwrap().success(), "{}", proxy.name());
    }
}
