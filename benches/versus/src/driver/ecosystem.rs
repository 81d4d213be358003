//! What a request costs by the crates that run on both, hyper, axum and rustls: user instructions
//! and system calls, on corepoll and on tokio.
//!
//! Counted as by the questions `instructions` and `syscalls`: callgrind and strace on the server,
//! each with few and with many requests. A row is a [`Kind`], and has the ratio that this project
//! wants to hold.

use std::net::SocketAddr;

use super::compare::load::Program;
use super::compare::tls_load::TlsLoad;
use super::process::{Load, Server, TwoRuns, command};
use super::{Plan, instructions, syscalls, table};
use crate::args::{Error, failure};
use crate::ecosystem::{Kind, Runtime};

/// How many times slower a server runs under callgrind, and its system calls under strace, about.
const SLOWED: u32 = 50;

/// Prints the table.
pub(super) fn measure(plan: &Plan) -> Result<(), Error> {
    let runs = TwoRuns::of(plan.requests.unwrap_or(20_000));
    let kinds: Vec<Kind> = match &plan.kinds {
        Some(names) => names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
        None => Kind::ALL.to_vec(),
    };
    let has_tls = kinds.iter().any(|kind| matches!(kind, Kind::Tls | Kind::TlsHandler));
    let loader = if has_tls { Some(Program::find(None)?) } else { None };
    let calls = ["calls + waits, corepoll", "calls + waits, tokio"];
    let heading = ["corepoll", "tokio", "ratio", "goal", calls[0], calls[1]];
    let mut rows = vec![table::row("instructions a request", heading.map(str::to_owned))];
    for kind in kinds {
        let ours = a_request(kind, Runtime::Corepoll, runs, loader.as_ref())?;
        let theirs = a_request(kind, Runtime::Tokio, runs, loader.as_ref())?;
        let cells = [
            format!("{:.0}", ours.instructions),
            format!("{:.0}", theirs.instructions),
            format!("{:.3}", ours.instructions / theirs.instructions),
            format!("{:.3}", goal(kind)),
            format!("{:.2} + {:.2}", ours.calls, ours.waits),
            format!("{:.2} + {:.2}", theirs.calls, theirs.waits),
        ];
        rows.push(table::row(kind.name(), cells));
    }
    table::print_markdown(&rows);
    Ok(())
}

/// The most instructions that corepoll may take, as a share of tokio's.
fn goal(kind: Kind) -> f64 {
    match kind {
        Kind::H1 => 0.88,
        Kind::H1Timer => 0.885,
        Kind::H1Served => 1.0,
        Kind::H2 => 0.91,
        Kind::Axum => 0.91,
        Kind::Tls => 0.79,
        Kind::TlsHandler => 0.65,
    }
}

/// What a request costs.
struct Cost {
    instructions: f64,
    /// System calls but for those that wait.
    calls: f64,
    /// How often the loop waits. That depends on how many connections are ready at once.
    waits: f64,
}

fn a_request(
    kind: Kind,
    runtime: Runtime,
    runs: TwoRuns,
    tls: Option<&Program>,
) -> Result<Cost, Error> {
    let start_server = |words: &[String]| {
        let mut web = command(words)?;
        web.args(["web", "--kind", kind.name(), "--runtime", runtime.name()]);
        web.args(["--slowed", &SLOWED.to_string()]);
        Server::launch(web, runtime.name())
    };
    let load = |addr, requests| match kind {
        Kind::Tls | Kind::TlsHandler => {
            let program = tls.ok_or_else(|| failure("no load over TLS"))?;
            TlsLoad::connect(program, addr, requests)?.ask_all().map(drop)
        }
        _ => connect(kind, addr, requests)?.ask_all(),
    };
    let instructions =
        |requests| instructions::of_a_server(start_server, |addr| load(addr, requests));
    let calls = |requests| {
        let counts = syscalls::of_a_server(start_server, |addr| load(addr, requests))?;
        let is_wait = |name: &str| name.starts_with("epoll_") && name != "epoll_ctl";
        let sum = |waits| counts.iter().filter(|of| is_wait(of.0) == waits).map(|of| of.1).sum();
        Ok::<(u64, u64), Error>((sum(false), sum(true)))
    };
    let (few, many) = (calls(runs.few)?, calls(runs.many)?);
    Ok(Cost {
        instructions: runs.per_request(instructions(runs.few)?, instructions(runs.many)?),
        calls: runs.per_request(few.0, many.0),
        waits: runs.per_request(few.1, many.1),
    })
}

/// Opens the connections of the load that a kind without TLS is measured with.
fn connect(kind: Kind, addr: SocketAddr, requests: u64) -> Result<Load, Error> {
    let mut load = command(&[])?;
    load.arg(if kind == Kind::H2 { "h2-load" } else { "load" });
    load.args(["--addr", &addr.to_string(), "--requests", &requests.to_string()]);
    Load::launch(load)
}
