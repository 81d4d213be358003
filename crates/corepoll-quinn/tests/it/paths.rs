//! Paths as the internet has them: they lose packets, bring them twice or in another order, and change the
//! address that a peer is seen at.

use std::mem;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::common::{
    ANY, client, configs, connect, mirror, mirror_on_tokio, on_corepoll, on_tokio, receive, send,
    server, to_and_fro,
};

/// What a path does to packets, by their number.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Arrives,
    IsLost,
    ArrivesTwice,
    /// It comes after the next one.
    IsOvertaken,
    /// From then on, the client is seen at another address.
    ComesFromElsewhere,
}

/// A path between a client and a server, on two threads. It ends when it is dropped.
struct Path {
    /// Where the client finds the server.
    addr: SocketAddr,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// One direction of a path.
struct Direction {
    fate: fn(usize) -> Fate,
    count: usize,
    overtaken: Option<Vec<u8>>,
}

impl Direction {
    /// Passes a packet on. Returns `true` if the client is to be seen elsewhere from now on.
    fn pass(&mut self, packet: &[u8], send: impl Fn(&[u8])) -> bool {
        self.count += 1;
        let fate = (self.fate)(self.count);
        match fate {
            Fate::IsLost => {}
            Fate::IsOvertaken if self.overtaken.is_none() => self.overtaken = Some(packet.to_vec()),
            Fate::ArrivesTwice => [packet, packet].into_iter().for_each(&send),
            _ => send(packet),
        }
        if !matches!(fate, Fate::IsOvertaken)
            && let Some(late) = self.overtaken.take()
        {
            send(&late);
        }
        matches!(fate, Fate::ComesFromElsewhere)
    }
}

/// A socket that does not wait long, so that its thread sees that the path is over.
fn socket() -> UdpSocket {
    let socket = UdpSocket::bind(ANY).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    socket
}

impl Path {
    /// Makes a path to the server, which does the same in both directions.
    fn to(server: SocketAddr, fate: fn(usize) -> Fate) -> Path {
        let (front, is_over) = (socket(), Arc::new(AtomicBool::new(false)));
        let addr = front.local_addr().unwrap();
        let back = Arc::new(Mutex::new(Arc::new(socket())));
        // Where answers go: to where the last packet of the client came from.
        let client = Arc::new(Mutex::new(None));
        let new_direction = || Direction { fate, count: 0, overtaken: None };
        let (mut up, mut down) = (new_direction(), new_direction());
        let (from_client, to_client) = (front.try_clone().unwrap(), front);
        let (is_over_up, back_up, client_up) = (is_over.clone(), back.clone(), client.clone());
        let upwards = thread::spawn(move || {
            let mut packet = vec![0; 1 << 16];
            while !is_over_up.load(Relaxed) {
                let Ok((count, from)) = from_client.recv_from(&mut packet) else { continue };
                *client_up.lock().unwrap() = Some(from);
                let current = back_up.lock().unwrap().clone();
                let to_server = |packet: &[u8]| drop(current.send_to(packet, server));
                if up.pass(&packet[..count], to_server) {
                    *back_up.lock().unwrap() = Arc::new(socket());
                }
            }
        });
        let (is_over_down, back_down) = (is_over.clone(), back);
        let downwards = thread::spawn(move || {
            let mut packet = vec![0; 1 << 16];
            while !is_over_down.load(Relaxed) {
                let current = back_down.lock().unwrap().clone();
                let Ok(count) = current.recv(&mut packet) else { continue };
                if let Some(client) = *client.lock().unwrap() {
                    let to_client = |packet: &[u8]| drop(to_client.send_to(packet, client));
                    down.pass(&packet[..count], to_client);
                }
            }
        });
        Path { addr, is_over, threads: vec![upwards, downwards] }
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        for thread in mem::take(&mut self.threads) {
            thread.join().expect("it only passes packets on");
        }
    }
}

#[test]
fn what_a_bad_path_does_to_packets_changes_no_byte() {
    let (server_config, client_config) = configs();
    on_corepoll(async {
        let server = server(server_config);
        let path = Path::to(server.local_addr().unwrap(), |number| match number {
            number if number % 29 == 0 => Fate::IsLost,
            number if number % 17 == 0 => Fate::ArrivesTwice,
            number if number % 11 == 0 => Fate::IsOvertaken,
            _ => Fate::Arrives,
        });
        let serving = corepoll::spawn_local(async move { mirror(&server).await });
        to_and_fro(&client(client_config), path.addr, 2 << 20).await;
        serving.await.unwrap();
    });
}

#[test]
fn a_server_follows_a_client_whose_address_changes_on_the_way() {
    let (server_config, client_config) = configs();
    let (tell, told) = mpsc::channel();
    let serving = thread::spawn(move || {
        on_corepoll(async {
            let server = server(server_config);
            let _ = tell.send(server.local_addr().unwrap());
            let connection = server.accept().await.unwrap().await.unwrap();
            let first = connection.remote_address();
            let (mut out, mut stream) = connection.accept_bi().await.unwrap();
            let count = receive(&mut stream).await;
            assert_ne!(connection.remote_address(), first, "it was seen elsewhere");
            send(&mut out, count).await;
            connection.closed().await;
        });
    });
    let path = Path::to(told.recv().unwrap(), |number| match number {
        200 | 800 => Fate::ComesFromElsewhere,
        _ => Fate::Arrives,
    });
    on_tokio(async { to_and_fro(&client(client_config), path.addr, 4 << 20).await });
    serving.join().unwrap();
}

#[test]
fn a_client_that_moves_to_another_socket_is_followed() {
    let (server_config, client_config) = configs();
    let (addr, serving) = mirror_on_tokio(server_config);
    on_corepoll(async {
        let endpoint = client(client_config);
        let connection = connect(&endpoint, addr).await;
        let (mut out, mut stream) = connection.open_bi().await.unwrap();
        let (first, count) = (endpoint.local_addr().unwrap(), 4 << 20);
        // While it sends, and while it receives.
        futures::join!(send(&mut out, count), async {
            endpoint.rebind(UdpSocket::bind(ANY).unwrap()).unwrap();
            assert_ne!(endpoint.local_addr().unwrap(), first);
        });
        endpoint.rebind(UdpSocket::bind(ANY).unwrap()).unwrap();
        assert_eq!(receive(&mut stream).await, count);
        connection.close(0u32.into(), b"done");
        endpoint.wait_idle().await;
    });
    serving.join().unwrap();
}
