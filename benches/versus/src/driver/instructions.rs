//! User instructions a request: callgrind on the server, once with few and once with many requests.
//! What both runs have in common (start-up, accepts, closes) falls out of the difference. With
//! `--churn` a request has a connection of its own, whose accept and close belong to it.
//!
//! Valgrind slows the server and not the load, so that each wait finds nearly all connections
//! ready, for every peer: what is compared is the path of a request, with little of the loop's
//! own turn. Instructions repeat to within one or two from run to run.

use std::fs;
use std::net::SocketAddr;

use super::process::{Load, Server, TwoRuns, Work};
use super::{Plan, table};
use crate::args::{Error, failure};
use crate::peers::Peer;
use crate::protocol::Kind;

/// Prints the table.
pub(super) fn measure(plan: &Plan) -> Result<(), Error> {
    let runs = TwoRuns::of(plan.requests.unwrap_or(20_000));
    let peers = plan.peers(|peer| peer != Peer::TokioShared);
    let mut rows = vec![table::row(
        "user instructions",
        [plan.unit().to_owned(), format!("beyond {}", peers[0].name())],
    )];
    let mut first = None;
    for &peer in &peers {
        let few = count(plan, peer, runs.few)?;
        let many = count(plan, peer, runs.many)?;
        let share = runs.per_request(few, many);
        let beyond = share - *first.get_or_insert(share);
        rows.push(table::row(peer.name(), [format!("{share:.1}"), format!("{beyond:+.1}")]));
    }
    table::print(&rows);
    Ok(())
}

/// All user instructions of a server's life with this many requests.
fn count(plan: &Plan, peer: Peer, requests: u64) -> Result<u64, Error> {
    let work = Work { requests, ..plan.work(Kind::Echo, 64) };
    of_a_server(
        |words| Server::start(words, peer, work.protocol),
        |addr| Load::start(&[], addr, &work)?.ask_all(),
    )
}

/// All user instructions of the life of the server that is started behind the words of callgrind.
pub(super) fn of_a_server(
    start_server: impl FnOnce(&[String]) -> Result<Server, Error>,
    load: impl FnOnce(SocketAddr) -> Result<(), Error>,
) -> Result<u64, Error> {
    let file = std::env::temp_dir().join(format!("versus-{}.callgrind", std::process::id()));
    let out = format!("--callgrind-out-file={}", file.display());
    let callgrind = ["valgrind", "-q", "--tool=callgrind", &out].map(str::to_owned);
    let server = start_server(&callgrind)?;
    load(server.addr)?;
    server.stop()?;
    let profile = fs::read_to_string(&file)?;
    fs::remove_file(&file)?;
    let totals = profile.lines().find_map(|line| line.strip_prefix("totals: "));
    let totals = totals.ok_or_else(|| failure("no totals in callgrind's profile"))?;
    Ok(totals.trim().parse()?)
}
