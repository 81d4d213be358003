//! Every server of this build, and those of `extra/` that this machine can build, do the work by which
//! they are measured.

mod extra;
mod server;

#[cfg(feature = "glommio")]
use std::process::Command;

use versus::peers::Peer;
use versus::protocol::Kind;

use server::Server;

#[test]
fn every_peer_answers_a_load_and_ends_on_sigterm() {
    for &peer in Peer::ALL {
        for protocol in [Kind::Plaintext, Kind::Echo] {
            let server = Server::of_peer(peer, protocol);
            let idle = server.connect();
            server.answers_a_load(protocol);
            server.ends_on_sigterm();
            drop(idle);
        }
    }
}

#[test]
fn every_peer_answers_requests_cut_at_any_byte() {
    for &peer in Peer::ALL {
        Server::of_peer(peer, Kind::Plaintext).answers_requests_cut_at_any_byte();
    }
}

#[test]
fn every_peer_echoes_a_stream_larger_than_all_buffers() {
    for &peer in Peer::ALL {
        Server::of_peer(peer, Kind::Echo).echoes_a_stream_larger_than_all_buffers();
    }
}

#[test]
fn every_peer_closes_what_its_clients_have_ended() {
    for &peer in Peer::ALL {
        Server::of_peer(peer, Kind::Plaintext).closes_what_its_clients_have_ended();
    }
}

#[test]
fn every_peer_computes_as_long_as_a_request_says() {
    for &peer in Peer::ALL {
        Server::of_peer(peer, Kind::Plaintext).computes_as_long_as_a_request_says();
    }
}

#[test]
fn every_peer_becomes_a_flood_by_a_request() {
    for &peer in Peer::ALL {
        Server::of_peer(peer, Kind::Mixed).becomes_a_flood_by_a_request();
    }
}

#[cfg(feature = "glommio")]
#[test]
fn a_peer_that_needs_more_locked_memory_says_so_and_ends() {
    let server = Command::new("sh")
        .args(["-c", "ulimit -l 64; exec \"$0\" --peer glommio --threads 2"])
        .arg(env!("CARGO_BIN_EXE_server"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&server.stderr);
    assert!(!server.status.success() && server.stdout.is_empty(), "{said}");
    assert!(said.contains("MemLock") && said.contains("io_uring"), "{said}");
}
