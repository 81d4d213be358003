//! One message to 1,000 connections: CPU time of a recipient.

use super::{Bench, Cell, Cost};
use crate::args::{Error, failure};
use crate::driver::compare::placement::{Placement, on_cpus};
use crate::driver::compare::results::{Column, Sample, Unit};
use crate::driver::compare::watch::Watch;
use crate::driver::fanout::Room;
use crate::fanout::has_room;
use crate::peers::Peer;

const LISTENERS: usize = 1000;
const MESSAGE: usize = 64;
/// Messages that are measured in a turn.
const MESSAGES: u64 = 100;

/// Rooms that hand a message to the loop that sends it.
#[derive(Debug)]
pub(super) struct Fanout;

impl Cell for Fanout {
    fn name(&self) -> &'static str {
        "fanout"
    }

    fn title(&self) -> String {
        "One message to 1,000 connections".to_owned()
    }

    fn method(&self) -> String {
        "CPU time of a message of 64 bytes for each of its recipients, user and system together, by \
         the kernel's account of the server (schedstat). A thread beside the loop hands each \
         message over, and the next one when all have it; bare hands nothing over."
            .to_owned()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::new("CPU a recipient", Unit::Nanoseconds, false)]
    }

    fn contestants(&self, _bench: &Bench) -> Vec<String> {
        let rooms = Peer::ALL.iter().filter(|peer| has_room(**peer));
        rooms.map(|peer| peer.name().to_owned()).collect()
    }

    fn cost(&self) -> Cost {
        Cost { seconds: 0.7, turns: 0.0 }
    }

    fn turn(&self, _bench: &Bench, contestant: &str) -> Result<Sample, Error> {
        let peer: Peer = contestant.parse()?;
        let placement = Placement::new(1);
        on_cpus(&placement.load, || {
            let mut room = Room::open(peer, LISTENERS, MESSAGE)?;
            room.warm_up(MESSAGE)?;
            let watch = Watch::begin(&[room.pid], placement.is_apart())?;
            room.hear(MESSAGES, MESSAGE)?;
            let window = watch.end()?;
            room.close()?;
            let recipients = MESSAGES as f64 * LISTENERS as f64;
            if window.threads.is_empty() {
                return Err(failure("the room has no threads"));
            }
            Ok(Sample {
                figures: vec![Some(window.cpu_ns() / recipients)],
                disturbance: window.disturbance,
                ..Sample::default()
            })
        })
    }
}
