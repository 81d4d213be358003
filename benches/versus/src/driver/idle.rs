//! Resident bytes an idle connection: what the server's memory grows by when many connections
//! come, are answered once, and then stay silent.
//!
//! Once, because a keep-alive connection that is idle has been used before: a buffer that was
//! never written to would not be resident. A small load goes before, so that the pages of code and
//! the shared buffers are in memory at the first reading. Kernel memory (the sockets) is not in it.

use super::process::{Load, Server, Work};
use super::{Plan, table};
use crate::args::Error;
use crate::peers::Peer;
use crate::protocol::Kind;

/// Connections and requests of the load that goes before.
const EARLIER: (usize, u64) = (64, 5_000);

/// Prints the table.
pub(super) fn measure(plan: &Plan) -> Result<(), Error> {
    let work = plan.work(Kind::Plaintext, 10_000);
    let connections = work.connections;
    let heading = format!("resident bytes, {connections} idle");
    let peers = plan.peers(|peer| peer != Peer::BareThreaded);
    let mut rows = vec![table::row(&heading, ["a connection".to_owned()])];
    for &peer in &peers {
        let bytes = growth(&work, peer)?;
        let share = bytes as f64 / connections as f64;
        rows.push(table::row(peer.name(), [format!("{share:.0}")]));
    }
    table::print(&rows);
    Ok(())
}

/// How much a server's memory grows by that many connections.
fn growth(work: &Work, peer: Peer) -> Result<i64, Error> {
    let server = Server::start(&[], peer, work.protocol)?;
    let earlier = Work { connections: EARLIER.0, warmup: EARLIER.1, ..*work };
    Load::start(&[], server.addr, &earlier)?.ask_all()?;
    let before = server.resident_bytes()?;
    // The warm-up gives each connection its batch, and is over when all are answered.
    let once_each = Work { warmup: work.connections as u64 * work.pipeline, ..*work };
    let load = Load::start(&[], server.addr, &once_each)?;
    let after = server.resident_bytes()?;
    load.ask_all()?;
    server.stop()?;
    Ok(after as i64 - before as i64)
}
