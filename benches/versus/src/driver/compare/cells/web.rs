//! hyper, axum and TLS on corepoll and on tokio: requests at full speed.

use std::process::Command;

use super::{Bench, Cell, Cost};
use crate::args::{Error, failure};
use crate::driver::compare::placement::Placement;
use crate::driver::compare::results::{Column, Sample, Unit};
use crate::driver::compare::tls_load::TlsLoad;
use crate::driver::compare::watch::Watch;
use crate::driver::process::{Load, Server, command};
use crate::ecosystem::{Kind, Runtime};

/// Requests before the measured ones: handshakes are over then.
const WARMUP: u64 = 1_000;

/// Requests that are measured in a turn.
const REQUESTS: u64 = 20_000;

/// One kind of server by a crate that runs on both.
#[derive(Debug)]
pub(super) struct Web {
    kind: Kind,
}

/// The cells of this kind.
pub(super) fn cells() -> Vec<Box<dyn Cell>> {
    Kind::ALL.iter().map(|&kind| -> Box<dyn Cell> { Box::new(Web { kind }) }).collect()
}

impl Cell for Web {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::H1 => "hyper-h1",
            Kind::H1Timer => "hyper-h1-timer",
            Kind::H1Served => "hyper-h1-served",
            Kind::H2 => "hyper-h2",
            Kind::Axum => "axum",
            Kind::Tls => "tls",
            Kind::TlsHandler => "tls-handler",
        }
    }

    fn title(&self) -> String {
        let title = match self.kind {
            Kind::H1 => "HTTP/1 by hyper, 64 connections",
            Kind::H1Timer => "HTTP/1 by hyper with a timer for heads, 64 connections",
            Kind::H1Served => "HTTP/1 by corepoll-hyper's defaults, 64 connections",
            Kind::H2 => "HTTP/2 by hyper, 4 connections of 16 streams",
            Kind::Axum => "axum, 64 connections",
            Kind::Tls => "Echo of 64 bytes over TLS, 64 connections",
            Kind::TlsHandler => "Echo of 64 bytes over TLS by handlers, 64 connections",
        };
        title.to_owned()
    }

    fn method(&self) -> String {
        format!(
            "The servers of the question `ecosystem`: the same crate with the same settings on \
             corepoll and on tokio's current-thread runtime. The time of the server's CPU for one \
             of {REQUESTS} requests, by the kernel's account (schedstat)."
        )
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::new("server CPU a request", Unit::Nanoseconds, false),
            Column::new("requests/s", Unit::PerSecond, true),
        ]
    }

    fn contestants(&self, _bench: &Bench) -> Vec<String> {
        // tokio first: it is what the other is held against.
        [Runtime::Tokio, Runtime::Corepoll].map(|runtime| runtime.name().to_owned()).to_vec()
    }

    fn cost(&self) -> Cost {
        Cost { seconds: 0.6, turns: 0.0 }
    }

    fn turn(&self, bench: &Bench, contestant: &str) -> Result<Sample, Error> {
        let runtime: Runtime = contestant.parse()?;
        let mut web = command(&[])?;
        web.args(["web", "--kind", self.kind.name(), "--runtime", runtime.name()]);
        let server = Server::launch(web, runtime.name())?;
        let watch = || Watch::begin(&[server.pid], Placement::new(1).is_apart());
        let (per_second, window) = if self.has_tls() {
            let mut load = TlsLoad::connect(&bench.load, server.addr, REQUESTS)?;
            let watch = watch()?;
            (load.ask_all()?.per_second, watch.end()?)
        } else {
            let mut load = Load::launch(self.load(&server)?)?;
            let watch = watch()?;
            let done = (load.ask()?, watch.end()?);
            load.end()?;
            done
        };
        server.stop()?;
        if per_second == 0.0 {
            return Err(failure("the load reports no rate"));
        }
        Ok(Sample {
            figures: vec![Some(window.cpu_ns() / REQUESTS as f64), Some(per_second)],
            disturbance: window.disturbance,
            ..Sample::default()
        })
    }
}

impl Web {
    fn has_tls(&self) -> bool {
        matches!(self.kind, Kind::Tls | Kind::TlsHandler)
    }

    /// The load of a kind without TLS.
    fn load(&self, server: &Server) -> Result<Command, Error> {
        let mut load = command(&[])?;
        load.arg(if self.kind == Kind::H2 { "h2-load" } else { "load" });
        load.args(["--addr", &server.addr.to_string()]);
        load.args(["--warmup", &WARMUP.to_string(), "--requests", &REQUESTS.to_string()]);
        Ok(load)
    }
}
