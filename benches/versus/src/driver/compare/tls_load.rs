//! A run of corepoll-load over TLS, which is counted from its first request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};

use super::load::{Program, Report, report};
use super::placement::{Placement, spawn_on};
use crate::args::{Error, failure};

/// A load over TLS that has its connections, and begins when it is told.
#[derive(Debug)]
pub(in crate::driver) struct TlsLoad {
    child: Child,
    /// Where it says that it is ready.
    errors: BufReader<ChildStderr>,
    requests: u64,
}

impl TlsLoad {
    /// Shakes hands on 64 connections, for an exact number of messages of 64 bytes that are echoed.
    pub(in crate::driver) fn connect(
        program: &Program,
        addr: SocketAddr,
        requests: u64,
    ) -> Result<TlsLoad, Error> {
        let mut command = Command::new(&program.0);
        command.arg(format!("tcp://{addr}"));
        command.args(["--tls", "--insecure", "--connections", "64", "--size", "64"]);
        command.args(["--requests", &requests.to_string(), "--duration", "1h"]);
        // A server under callgrind takes a tenth of a second for a handshake.
        command.args(["--timeout", "60s", "--pollers", "1", "--wait", "--json", "--quiet"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn_on(&mut command, &Placement::new(1).load)?;
        let errors = child.stderr.take().ok_or_else(|| failure("no stderr"))?;
        let mut load = TlsLoad { child, errors: BufReader::new(errors), requests };
        let mut line = String::new();
        load.errors.read_line(&mut line)?;
        if line == "ready\n" { Ok(load) } else { Err(failure(line.trim())) }
    }

    /// Does the requests, closes the connections and ends.
    pub(in crate::driver) fn ask_all(&mut self) -> Result<Report, Error> {
        self.child.stdin.take().ok_or_else(|| failure("no stdin"))?.write_all(b"\n")?;
        let mut json = Vec::new();
        let out = self.child.stdout.as_mut().ok_or_else(|| failure("no stdout"))?;
        out.read_to_end(&mut json)?;
        let report = report(&json, &mut self.errors)?;
        if report.requests != self.requests as f64 {
            return Err(failure(format!("{} of {} requests", report.requests, self.requests)));
        }
        Ok(report)
    }
}

impl Drop for TlsLoad {
    fn drop(&mut self) {
        // Nothing to end when it ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
