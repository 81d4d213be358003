//! System calls a request, by name: `strace -c` on the server, once with few and once with many
//! requests. What both runs have in common (start-up, accepts, closes) falls out of the difference.
//! With `--churn` a request has a connection of its own, whose accept and close belong to it.
//!
//! strace slows the server and not the load, so that each wait finds nearly all connections ready.
//! The share of epoll_wait is therefore smaller than on a server that is left alone; it is so for
//! every peer, and a call that a peer makes beyond recv and send shows all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;

use super::process::{Load, Server, TwoRuns, Work};
use super::{Plan, table};
use crate::args::{Error, failure};
use crate::peers::Peer;
use crate::protocol::Kind;

/// Less often than this, a call belongs to no request: a timer, a buffer that grew.
const RARE: f64 = 0.0005;

/// System calls by name.
pub(super) type Counts = BTreeMap<String, u64>;

/// Prints the table.
pub(super) fn measure(plan: &Plan) -> Result<(), Error> {
    let runs = TwoRuns::of(plan.requests.unwrap_or(20_000));
    let peers = plan.peers(|peer| !matches!(peer, Peer::BareThreaded | Peer::TokioShared));
    let mut columns: Vec<BTreeMap<String, f64>> = Vec::new();
    for &peer in &peers {
        let few = count(plan, peer, runs.few)?;
        let many = count(plan, peer, runs.many)?;
        let per_request = |(name, &calls): (&String, &u64)| {
            let share = runs.per_request(few.get(name).copied().unwrap_or(0), calls);
            (share.abs() >= RARE).then(|| (name.clone(), share))
        };
        columns.push(many.iter().filter_map(per_request).collect());
    }
    let names: BTreeSet<&String> = columns.iter().flat_map(BTreeMap::keys).collect();
    let mut rows =
        vec![table::row(&format!("calls {}", plan.unit()), peers.iter().map(|p| p.name().into()))];
    for name in names {
        let cell = |column: &BTreeMap<String, f64>| {
            column.get(name).map_or(String::new(), |share| format!("{share:.3}"))
        };
        rows.push(table::row(name, columns.iter().map(cell)));
    }
    let sum = |column: &BTreeMap<String, f64>| format!("{:.3}", column.values().sum::<f64>());
    rows.push(table::row("all", columns.iter().map(sum)));
    table::print(&rows);
    Ok(())
}

/// All system calls of a server's life with this many requests.
fn count(plan: &Plan, peer: Peer, requests: u64) -> Result<Counts, Error> {
    let work = Work { requests, ..plan.work(Kind::Plaintext, 64) };
    of_a_server(
        |words| Server::start(words, peer, work.protocol),
        |addr| Load::start(&[], addr, &work)?.ask_all(),
    )
}

/// All system calls of the life of the server that is started behind the words of strace.
pub(super) fn of_a_server(
    start_server: impl FnOnce(&[String]) -> Result<Server, Error>,
    load: impl FnOnce(SocketAddr) -> Result<(), Error>,
) -> Result<Counts, Error> {
    let file = std::env::temp_dir().join(format!("versus-{}.strace", std::process::id()));
    let out = file.to_str().ok_or_else(|| failure("a temporary directory that is not UTF-8"))?;
    let strace = ["strace", "-f", "-c", "-U", "name,calls", "-o", out].map(str::to_owned);
    let server = start_server(&strace)?;
    load(server.addr)?;
    server.stop()?;
    let summary = fs::read_to_string(&file)?;
    fs::remove_file(&file)?;
    Ok(parse(&summary))
}

/// Reads the lines of a name and a number: all but the heading, the rules and the sum.
fn parse(summary: &str) -> Counts {
    let lines = summary.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter_map(|words| match words[..] {
            [name, calls] if name != "total" => Some((name.to_owned(), calls.parse().ok()?)),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_strace_is_read_line_by_line() {
        let summary = "syscall              calls\n---------------- ---------\nrecvfrom \
                       25001\nepoll_wait             401\n---------------- ---------\ntotal 25402\n";
        let expected = [("epoll_wait".to_owned(), 401), ("recvfrom".to_owned(), 25_001)];
        assert_eq!(parse(summary), Counts::from(expected));
    }
}
