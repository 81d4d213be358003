//! Datagrams with Python's socket module at the other end: in batches, and by segments.

use std::io;
use std::sync::mpsc;
use std::thread;

use corepoll::block_on;
use corepoll::net::UdpSocket;
use corepoll::net::udp::RecvBatch;
use interop::{Peer, program};

/// Sends datagrams of all lengths, singly and split by the kernel, and checks what comes back.
const PEER: &str = r#"
import socket, struct, sys
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.settimeout(20)
peer.connect(("127.0.0.1", int(sys.argv[1])))

def datagram(number, length):
    return bytes((number * 7 + place * 31) % 256 for place in range(length))

def check(sent):
    for number, expected in enumerate(sent):
        came = peer.recv(65535)
        assert came == expected, (number, len(came), len(expected))

for start in range(0, 1400, 20):
    sent = [datagram(number, number) for number in range(start, start + 20)]
    for each in sent:
        peer.send(each)
    check(sent)

UDP_SEGMENT = 103
for size, length in [(64, 4096), (1200, 48001), (1200, 600)]:
    whole = datagram(size, length)
    peer.sendmsg([whole], [(socket.SOL_UDP if hasattr(socket, "SOL_UDP") else 17, UDP_SEGMENT, struct.pack("=H", size))])
    check([whole[place:place + size] for place in range(0, length, size)])
peer.send(b"end")
print("all came back")
"#;

/// Sends everything back until it is told to end.
async fn echo(socket: UdpSocket) -> io::Result<()> {
    let mut batch = RecvBatch::new(16, 65_535);
    loop {
        let count = socket.recv_batch(&mut batch).await?;
        if batch.iter().any(|message| message.bytes() == b"end") {
            return Ok(());
        }
        let mut sent = 0;
        while sent < count {
            sent += socket.send_batch(batch.iter().skip(sent)).await?;
        }
    }
}

#[test]
fn python_gets_back_what_it_sends() {
    let (tell, told) = mpsc::channel();
    let serving = thread::spawn(move || {
        block_on(async {
            let socket = UdpSocket::bind("127.0.0.1:0").await?;
            socket.set_gro(true)?;
            let _ = tell.send(socket.local_addr()?.port());
            echo(socket).await
        })
    });
    let port = told.recv().expect("it is bound").to_string();
    let told = Peer::run(program("python3").args(["-c", PEER, &port]), b"").success();
    assert_eq!(told, "all came back\n");
    serving.join().expect("it does not panic").expect("it fails nowhere");
}
