//! Resident bytes of an idle connection.

use super::{Bench, Cell, Cost};
use crate::args::Error;
use crate::driver::compare::candidate::Service;
use crate::driver::compare::results::{Column, Sample, Unit};
use crate::driver::compare::server::Server;
use crate::driver::process::{Load, Work};
use crate::protocol::Kind;

const CONNECTIONS: usize = 10_000;

/// Connections and requests of the load that goes before: the pages of code and the shared buffers
/// are in memory then.
const EARLIER: (usize, u64) = (64, 5_000);

/// The growth of a server by connections that were answered once and stay silent.
#[derive(Debug)]
pub(super) struct Idle;

impl Cell for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn title(&self) -> String {
        "Resident bytes of an idle connection, of 10,000".to_owned()
    }

    fn method(&self) -> String {
        "The growth of the server's resident memory by 10,000 connections that were answered once \
         each. The kernel's memory for a socket is not in it. Nothing else on the machine changes \
         it, so it is measured once."
            .to_owned()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::new("bytes", Unit::Bytes, false)]
    }

    fn is_quick(&self) -> bool {
        true
    }

    fn rounds(&self, _usual: usize) -> usize {
        1
    }

    fn cost(&self) -> Cost {
        Cost { seconds: 1.2, turns: 0.0 }
    }

    fn turn(&self, bench: &Bench, contestant: &str) -> Result<Sample, Error> {
        let service = Service { protocol: Kind::Plaintext, threads: 1 };
        let server = Server::start(bench, bench.candidate(contestant)?, service)?;
        let work = |connections, warmup| Work {
            protocol: Kind::Plaintext,
            connections,
            pipeline: 1,
            churn: false,
            size: 64,
            warmup,
            requests: 0,
        };
        Load::start(&[], server.addr, &work(EARLIER.0, EARLIER.1))?.ask_all()?;
        let before = server.resident_bytes()?;
        let load = Load::start(&[], server.addr, &work(CONNECTIONS, CONNECTIONS as u64))?;
        let after = server.resident_bytes()?;
        load.ask_all()?;
        let share = (after as f64 - before as f64) / CONNECTIONS as f64;
        Ok(Sample { figures: vec![Some(share)], ..Sample::default() })
    }
}
