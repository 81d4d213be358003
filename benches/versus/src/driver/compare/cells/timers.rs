//! A million timers of each library.

use super::across::output;
use super::{Bench, Cell, Cost, fewer};
use crate::args::Error;
use crate::driver::compare::placement::Placement;
use crate::driver::compare::results::{Column, Sample, Unit};
use crate::timers::{Figures, Library};

const TIMERS: usize = 1_000_000;

/// A million timers of each library.
#[derive(Debug)]
pub(super) struct Timers;

impl Cell for Timers {
    fn name(&self) -> &'static str {
        "timers"
    }

    fn title(&self) -> String {
        "A timer among 1,000,000".to_owned()
    }

    fn method(&self) -> String {
        "CPU time and resident bytes of a timer, of a million. To arm is to poll the future for the \
         first time (with handlers: set_timer, which reads the clock), to cancel is to drop it \
         (cancel_timer), in the order in which they were armed. A timer that fires is awaited by a \
         task of its own (a callback of one handler), and its time is that until the task's end. \
         The future is part of the bytes; tokio's has to stay where it is, and is boxed."
            .to_owned()
    }

    fn columns(&self) -> Vec<Column> {
        let time = |name| Column::new(name, Unit::Nanoseconds, false);
        vec![
            time("arm"),
            time("cancel").drawn(),
            time("fire").drawn(),
            Column::new("bytes", Unit::Bytes, false).drawn(),
        ]
    }

    fn contestants(&self, _bench: &Bench) -> Vec<String> {
        Library::ALL.iter().map(|library| library.name().to_owned()).collect()
    }

    fn rounds(&self, usual: usize) -> usize {
        fewer(usual).min(3)
    }

    fn cost(&self) -> Cost {
        Cost { seconds: 2.2, turns: 0.0 }
    }

    fn turn(&self, _bench: &Bench, contestant: &str) -> Result<Sample, Error> {
        let timers = TIMERS.to_string();
        let words = ["timers", "--library", contestant, "--timers", &timers];
        let (line, disturbance) = output(&words, &Placement::new(1).server)?;
        let Figures { arm, cancel, fire, bytes } = line.parse()?;
        let figures = [arm, cancel, fire, bytes].map(Some).to_vec();
        Ok(Sample { figures, disturbance, ..Sample::default() })
    }
}
