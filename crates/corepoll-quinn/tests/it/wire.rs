//! What leaves the machine, seen by a plain UDP socket.

use std::io::IoSliceMut;
use std::net::UdpSocket;

use quinn::udp::{EcnCodepoint, RecvMeta, UdpSocketState};

use crate::common::{ANY, client, configs, on_corepoll};

#[test]
fn packets_are_marked_as_capable_of_ecn() {
    let (_, client_config) = configs();
    on_corepoll(async {
        // A socket of the standard library; quinn-udp only turns the control message into a number.
        let receiver = UdpSocket::bind(ANY).unwrap();
        let state = UdpSocketState::new((&receiver).into()).unwrap();
        receiver.set_nonblocking(false).unwrap();
        let endpoint = client(client_config);
        let addr = receiver.local_addr().unwrap();
        let connecting = endpoint.connect(addr, "localhost").unwrap();
        let received = corepoll::spawn_local(async {
            // The packet is sent by the connection's task, which runs first.
            corepoll::time::sleep(std::time::Duration::from_millis(1)).await;
        });
        received.await.unwrap();
        let (mut buffer, mut metas) = ([0; 65536], [RecvMeta::default()]);
        let count = state
            .recv((&receiver).into(), &mut [IoSliceMut::new(&mut buffer)], &mut metas)
            .unwrap();
        assert_eq!(count, 1);
        assert!(metas[0].len >= 1200, "a first packet is padded: {}", metas[0].len);
        assert_eq!(metas[0].ecn, Some(EcnCodepoint::Ect0));
        drop(connecting);
    });
}
