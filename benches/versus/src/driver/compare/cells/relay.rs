//! A proxy: CPU time of what it passes on.

use std::net::TcpListener;
use std::time::Instant;

use super::{Bench, Cell, Cost};
use crate::args::Error;
use crate::driver::compare::placement::{Placement, on_cpus};
use crate::driver::compare::results::{Column, Sample, Unit};
use crate::driver::compare::watch::Watch;
use crate::driver::process::Server;
use crate::driver::relay::pass_through;
use crate::proxies::Proxy;

/// What goes each way in a turn.
const BYTES: u64 = 256 << 20;

/// Proxies between two ends of this program.
#[derive(Debug)]
pub(super) struct Relay;

impl Cell for Relay {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn title(&self) -> String {
        "A proxy at full speed, both ways".to_owned()
    }

    fn method(&self) -> String {
        "CPU time of a proxy for each KiB, user and system together, by the kernel's account \
         (schedstat). Both sides of one connection send 256 MiB through it. It includes the proxy's \
         part in TCP, the same for all."
            .to_owned()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::new("CPU a KiB", Unit::Nanoseconds, false),
            Column::new("bytes/s each way", Unit::PerSecond, true),
        ]
    }

    fn contestants(&self, _bench: &Bench) -> Vec<String> {
        Proxy::ALL.iter().map(|proxy| proxy.name().to_owned()).collect()
    }

    fn cost(&self) -> Cost {
        Cost { seconds: 0.8, turns: 0.0 }
    }

    fn turn(&self, _bench: &Bench, contestant: &str) -> Result<Sample, Error> {
        let proxy: Proxy = contestant.parse()?;
        let placement = Placement::new(1);
        on_cpus(&placement.load, || {
            let upstream = TcpListener::bind("127.0.0.1:0")?;
            let server = Server::start_proxy(proxy, upstream.local_addr()?)?;
            let watch = Watch::begin(&[server.pid], placement.is_apart())?;
            let began = Instant::now();
            pass_through(&server, &upstream, BYTES)?;
            let seconds = began.elapsed().as_secs_f64();
            let window = watch.end()?;
            server.stop()?;
            let kib = (2 * BYTES / 1024) as f64;
            Ok(Sample {
                figures: vec![Some(window.cpu_ns() / kib), Some(BYTES as f64 / seconds)],
                disturbance: window.disturbance,
                ..Sample::default()
            })
        })
    }
}
