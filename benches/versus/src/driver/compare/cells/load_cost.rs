//! The load generators: what asking takes of their own CPU, beside wrk's.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Bench, Cell, Cost, fewer};
use crate::args::{Error, failure};
use crate::driver::compare::candidate::{Candidate, Service};
use crate::driver::compare::load::Load;
use crate::driver::compare::placement::{Placement, spawn_on};
use crate::driver::compare::results::{Column, Sample, Unit};
use crate::driver::compare::server::Server;
use crate::driver::compare::watch::Watch;
use crate::peers::Peer;
use crate::protocol::Kind;
use crate::sys;

/// Both ask on so many connections.
const CONNECTIONS: usize = 64;

/// wrk takes whole seconds.
const DURATION: Duration = Duration::from_secs(1);

/// CPU time of wrk and of corepoll-load for a request that they ask.
#[derive(Debug)]
pub(super) struct LoadCost;

impl Cell for LoadCost {
    fn name(&self) -> &'static str {
        "load-cost"
    }

    fn title(&self) -> String {
        "CPU time of the load generator, HTTP on 64 connections".to_owned()
    }

    fn method(&self) -> String {
        "wrk and corepoll-load, each with one thread on a CPU of its own, ask `bare` as fast as it \
         answers. The CPU time is the kernel's account of the load's whole life (wait4), its \
         start and its connects included, divided by its own count of requests."
            .to_owned()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::new("own CPU a request", Unit::Nanoseconds, false),
            Column::new("requests/s", Unit::PerSecond, true),
        ]
    }

    fn contestants(&self, _bench: &Bench) -> Vec<String> {
        ["wrk", "corepoll-load"].map(str::to_owned).to_vec()
    }

    fn rounds(&self, usual: usize) -> usize {
        fewer(usual)
    }

    fn cost(&self) -> Cost {
        Cost { seconds: 1.2, turns: 0.0 }
    }

    fn turn(&self, bench: &Bench, contestant: &str) -> Result<Sample, Error> {
        let service = Service { protocol: Kind::Plaintext, threads: 1 };
        let server = Server::start(bench, &Candidate::of_peer(Peer::Bare), service)?;
        let placement = Placement::new(1);
        let mut command = if contestant == "wrk" {
            let mut wrk = Command::new("wrk");
            wrk.args(["--threads", "1", "--connections", &CONNECTIONS.to_string()]);
            wrk.args(["--duration", "1s", &format!("http://{}/plaintext", server.addr)]);
            wrk
        } else {
            let load = Load::closed(service.protocol, CONNECTIONS, DURATION);
            bench.load.command(&load, server.addr, &[])
        };
        let out = bench.logs.join(format!("{contestant}.out"));
        command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(Stdio::null());
        let watch = Watch::begin(&server.pids, placement.is_apart())?;
        let load = spawn_on(&mut command, &placement.load)?;
        let cpu = sys::wait_for_cpu_time(load.id() as i32)?;
        let disturbance = watch.end()?.disturbance;
        let text = std::fs::read_to_string(&out)?;
        let requests = if contestant == "wrk" { asked_by_wrk(&text) } else { asked(&text) };
        let requests = requests.filter(|&requests| requests > 0.0);
        let requests = requests.ok_or_else(|| failure("it says of no request"))?;
        Ok(Sample {
            figures: vec![
                Some(cpu.as_nanos() as f64 / requests),
                Some(requests / DURATION.as_secs_f64()),
            ],
            disturbance,
            ..Sample::default()
        })
    }
}

/// Reads the number of requests from what corepoll-load prints.
fn asked(json: &str) -> Option<f64> {
    serde_json::from_str::<serde_json::Value>(json).ok()?["requests"].as_f64()
}

/// Reads the number of requests from what wrk prints: `  74111 requests in 2.03s, 9.26MB read`.
fn asked_by_wrk(text: &str) -> Option<f64> {
    let count = |line: &str| line.split_once(" requests in ")?.0.trim().parse().ok();
    text.lines().find_map(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_requests_is_read_from_either_report() {
        let wrk = "Running 1s test\n  1 threads and 64 connections\n  74111 requests in 2.03s, \
                   9.26MB read\nRequests/sec:  36543.57\n";
        assert_eq!(asked_by_wrk(wrk), Some(74_111.0));
        assert_eq!(asked_by_wrk("unable to connect\n"), None);
        assert_eq!(asked(r#"{"requests": 12, "sent": 13}"#), Some(12.0));
        assert_eq!(asked("connection refused"), None);
    }
}
