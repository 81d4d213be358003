//! User CPU time of a request, and of a connection that comes and goes: what the server itself adds
//! to the kernel's work, which is the same for all.

use super::{Bench, Cell, Cost, fewer};
use crate::args::{Error, failure};
use crate::driver::compare::candidate::Service;
use crate::driver::compare::load::Load;
use crate::driver::compare::placement::Placement;
use crate::driver::compare::results::{Column, Sample, Unit};
use crate::driver::compare::server::Server;
use crate::driver::compare::watch::Watch;
use crate::protocol::Kind;

/// How much longer than another turn: of a small request, one sample in twenty is in user space.
const TURNS: f64 = 2.0;

/// User CPU time by the samples of perf.
#[derive(Debug)]
pub(super) struct UserCpu {
    name: &'static str,
    title: &'static str,
    is_churn: bool,
}

/// The cells of this kind.
pub(super) fn cells() -> Vec<Box<dyn Cell>> {
    let of =
        |name, title, is_churn| -> Box<dyn Cell> { Box::new(UserCpu { name, title, is_churn }) };
    vec![
        of("cpu-http", "User CPU of an HTTP request, 64 connections", false),
        of("cpu-churn", "User CPU of a connection with one request", true),
    ]
}

impl Cell for UserCpu {
    fn name(&self) -> &'static str {
        self.name
    }

    fn title(&self) -> String {
        self.title.to_owned()
    }

    fn method(&self) -> String {
        "The load of http-64 or churn, while perf takes a sample of the server for each 100 µs of \
         its CPU time. An interrupt that is due at the end of a system call counts as user time, \
         for all servers alike: read the ratio."
            .to_owned()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::new("user CPU", Unit::Nanoseconds, false),
            Column::new("kernel CPU", Unit::Nanoseconds, false),
        ]
    }

    fn is_quick(&self) -> bool {
        !self.is_churn
    }

    fn rounds(&self, usual: usize) -> usize {
        fewer(usual)
    }

    fn cost(&self) -> Cost {
        Cost { seconds: 0.6, turns: TURNS }
    }

    fn turn(&self, bench: &Bench, contestant: &str) -> Result<Sample, Error> {
        let sampler = bench.sampler.as_ref().ok_or_else(|| failure("there is no perf"))?;
        let service = Service { protocol: Kind::Plaintext, threads: 1 };
        let server = Server::start(bench, bench.candidate(contestant)?, service)?;
        let placement = Placement::new(1);
        let load = Load {
            is_churn: self.is_churn,
            ..Load::closed(Kind::Plaintext, 64, bench.turn.mul_f64(TURNS))
        };
        let wrapper = sampler.wrapper(&server.pid_list());
        let watch = Watch::begin(&server.pids, placement.is_apart())?;
        let report = bench.load.run(&load, server.addr, &placement.load, &wrapper)?;
        let window = watch.end()?;
        let (user, kernel) = sampler.seconds()?;
        let each = |seconds: f64| Some(seconds * 1e9 / report.requests);
        Ok(Sample {
            figures: vec![each(user), each(kernel)],
            disturbance: window.disturbance,
            ..Sample::default()
        })
    }
}
