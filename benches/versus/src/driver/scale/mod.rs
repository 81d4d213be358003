//! What very many idle connections take: resident bytes of the server, the kernel's memory apart, the
//! time to accept them, and a request on a random one of them.
//!
//! A server is read twice, with few and with many connections, and the difference is divided: so what
//! a program has without connections falls out. The clients are several processes, with sources all
//! over 127/8, so that ports do not run out. Both ends are on this machine, and the kernel's memory is
//! that of both.
//!
//! The limits come first, and what they leave is said: descriptors of a process (the hard limit is
//! raised to fs.nr_open if that is allowed), memory, and the time that a server may take.

use std::time::{Duration, Instant};

use super::process::{Load, Server, Work};
use super::{Plan, table};
use crate::args::Error;
use crate::peers::Peer;
use crate::protocol::Kind;
use crate::sys;

use crowds::Crowds;
use reading::Reading;

mod crowds;
mod reading;

/// The few connections that many are held against, at most.
const FEW: usize = 1_000;
/// Descriptors of a process that are no connections, and some to spare.
const SPARE_DESCRIPTORS: u64 = 1_000;
/// What a connection may take of the free memory, in the kernel at both ends and in the server, when
/// it is decided how many there can be. It is more than any takes but tokio's, with 9 KiB of its own.
const BYTES_A_CONNECTION: u64 = 16 * 1024;
/// Connections are opened in so many steps, with a look at the time and a line of progress after each.
const STEPS: usize = 20;

/// Connections and requests of the load that goes before: code and buffers are in memory after it.
const EARLIER: (usize, u64) = (64, 5_000);

/// What came of one server.
struct Outcome {
    few: Reading,
    many: Reading,
    /// Time in which the clients opened the connections between the two, and had an answer on each.
    opening: Duration,
    /// Nanoseconds of a request on connections at random, sorted.
    latencies: Vec<u64>,
}

/// Prints the tables.
pub(super) fn measure(plan: &Plan) -> Result<(), Error> {
    let wanted = plan.connections.unwrap_or(1_000_000);
    let connections = within_limits(wanted)?;
    let by_default =
        |peer| matches!(peer, Peer::Bare | Peer::Tokio) || peer.name().starts_with("corepoll-");
    let mut rows = vec![table::row(
        &format!("to {connections} idle"),
        [
            "resident B",
            "kernel B, charged",
            "kernel B, slabs",
            "TCP B",
            "connections/s",
            "server CPU us",
            "request p50 us",
            "p99 us",
        ]
        .map(str::to_owned),
    )];
    for peer in plan.peers(by_default) {
        let outcome = scale(peer, connections, Duration::from_secs(plan.seconds))?;
        let reached = outcome.many.connections;
        let name = match reached < connections {
            true => format!("{}, {reached} in {} s", peer.name(), plan.seconds),
            false => peer.name().to_owned(),
        };
        rows.push(table::row(&name, cells(&outcome)));
    }
    table::print(&rows);
    println!(
        "\nA connection's share, between {} and {connections}. The kernel's bytes are those of both ends:\n\
         objects that the memory cgroup is charged with; Slab of /proc/meminfo, which is whole for the\n\
         first server only, as slabs keep what was freed; TCP's buffers by /proc/net/sockstat.\n\
         Requests are on a random 1 %, one at a time.",
        few_of(connections),
    );
    Ok(())
}

/// Returns how many connections the limits of this machine allow, and says what limits them.
fn within_limits(wanted: usize) -> Result<usize, Error> {
    let descriptors = sys::raise_descriptor_limit_beyond_hard()?;
    let for_descriptors = descriptors.saturating_sub(SPARE_DESCRIPTORS) as usize;
    let for_memory = (reading::available_bytes()? * 6 / 10 / BYTES_A_CONNECTION) as usize;
    if for_descriptors < wanted {
        println!(
            "a process may have {descriptors} descriptors here (ulimit -Hn): what follows is the slope\n\
             between {} and {} connections, and not {wanted}",
            few_of(for_descriptors),
            for_descriptors.min(for_memory),
        );
    }
    if for_memory < wanted.min(for_descriptors) {
        println!("memory is for {for_memory} connections, by {BYTES_A_CONNECTION} bytes each");
    }
    Ok(wanted.min(for_descriptors).min(for_memory).max(2))
}

/// Returns the few connections that this many are held against.
fn few_of(connections: usize) -> usize {
    FEW.min(connections / 10).max(1)
}

/// Measures one server.
fn scale(peer: Peer, connections: usize, limit: Duration) -> Result<Outcome, Error> {
    let server = Server::start(&[], peer, Kind::Plaintext)?;
    let earlier = Work {
        protocol: Kind::Plaintext,
        connections: EARLIER.0,
        pipeline: 1,
        churn: false,
        size: 64,
        warmup: EARLIER.1,
        requests: 0,
    };
    Load::start(&[], server.addr, &earlier)?.ask_all()?;
    let mut crowds = Crowds::start(server.addr, connections)?;
    let few_connections = few_of(connections);
    crowds.open_to(few_connections)?;
    let few = Reading::take(&server, few_connections)?;
    let (deadline, mut reached) = (Instant::now() + limit, few_connections);
    let mut opening = Duration::ZERO;
    for step in 1..=STEPS {
        reached = few_connections + (connections - few_connections) * step / STEPS;
        opening += crowds.open_to(reached)?;
        let seconds = opening.as_secs_f64();
        eprint!("\r{}: {reached} of {connections} in {seconds:.1} s ", peer.name());
        if Instant::now() >= deadline {
            break;
        }
    }
    eprintln!();
    let many = Reading::take(&server, reached)?;
    let latencies = crowds.ask_at_random((reached / 100).max(20))?;
    crowds.end()?;
    server.stop()?;
    Ok(Outcome { few, many, opening, latencies })
}

/// Returns the cells of a server's row.
fn cells(outcome: &Outcome) -> Vec<String> {
    let Outcome { few, many, opening, latencies } = outcome;
    let opened = (many.connections - few.connections) as f64;
    let share = |few: u64, many: u64| (many as f64 - few as f64) / opened;
    let share_if_known = |few: Option<u64>, many: Option<u64>| match few.zip(many) {
        Some((few, many)) => format!("{:.0}", share(few, many)),
        None => "unknown".to_owned(),
    };
    let percentile = |percent: usize| {
        let at = (latencies.len() * percent / 100).min(latencies.len() - 1);
        format!("{:.1}", latencies[at] as f64 / 1e3)
    };
    vec![
        format!("{:.0}", share(few.resident, many.resident)),
        share_if_known(few.charged, many.charged),
        share_if_known(few.slab, many.slab),
        format!("{:.0}", share(few.tcp, many.tcp)),
        format!("{:.0}", opened / opening.as_secs_f64()),
        format!("{:.1}", share(few.cpu_nanoseconds, many.cpu_nanoseconds) / 1e3),
        percentile(50),
        percentile(99),
    ]
}
