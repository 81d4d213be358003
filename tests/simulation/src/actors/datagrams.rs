//! A task whose operations are always ready, and end all the same when their time is over.

use std::time::Duration;

use corepoll::coop::unconstrained;
use corepoll::net::UdpSocket;
use corepoll::{time, yield_now};

use crate::model::{model, now};

/// How long it goes on.
const TIME: Duration = Duration::from_millis(1);

/// The rounds after which it ends by itself: many more than there is time for.
const MOST_ROUNDS: u32 = 100_000;

/// Sends datagrams to itself for a while.
pub async fn use_datagrams() {
    // There may be no descriptor.
    let Ok(socket) = UdpSocket::bind("127.0.0.1:0").await else { return };
    let Ok(address) = socket.local_addr() else { return };
    // What may do as much as it likes leaves the task its usual limit.
    unconstrained(yield_now()).await;
    let begun = now();
    let rounds = async {
        let mut buffer = [0; 8];
        for _ in 0..MOST_ROUNDS {
            if socket.send_to(b"datagram", address).await.is_err()
                || socket.recv_from(&mut buffer).await.is_err()
            {
                return;
            }
        }
    };
    let _ = time::timeout(TIME, rounds).await;
    let passed = (now() - begun).saturating_sub(TIME);
    model().check_prompt("a timeout of operations that are always ready", passed);
}
