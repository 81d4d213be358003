//! Cells whose contestants are programs of this build that measure themselves: timers, and the round
//! trip between two event loops.

use std::process::Stdio;

use super::{Bench, Cell, Cost, fewer};
use crate::across::Pair;
use crate::args::{Error, failure};
use crate::driver::compare::placement::{Placement, spawn_on};
use crate::driver::compare::results::{Column, Sample, Unit};
use crate::driver::compare::watch::{Disturbance, Watch};
use crate::driver::process::command;
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

/// Tasks of two event loops that take turns.
#[derive(Debug)]
pub(super) struct Across;

impl Cell for Across {
    fn name(&self) -> &'static str {
        "across"
    }

    fn title(&self) -> String {
        "A round trip between two busy event loops".to_owned()
    }

    fn method(&self) -> String {
        "Two tasks on two threads wake each other 100,000 times, each beside a task that always \
         runs, so that no thread sleeps. `words` is what two threads take that spin on a word of \
         memory each: what the machine itself takes."
            .to_owned()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::new("round trip", Unit::Nanoseconds, false)]
    }

    fn contestants(&self, _bench: &Bench) -> Vec<String> {
        Pair::ALL.iter().map(|pair| pair.name().to_owned()).collect()
    }

    fn is_quick(&self) -> bool {
        true
    }

    fn cost(&self) -> Cost {
        Cost { seconds: 0.3, turns: 0.0 }
    }

    fn turn(&self, _bench: &Bench, contestant: &str) -> Result<Sample, Error> {
        let (line, disturbance) = output(&["across", "--between", contestant], &[])?;
        let figures = vec![Some(line.parse()?)];
        Ok(Sample { figures, disturbance, ..Sample::default() })
    }
}

/// Runs this program in another role, and returns the line that it prints.
fn output(words: &[&str], cpus: &[usize]) -> Result<(String, Disturbance), Error> {
    let mut program = command(&[])?;
    program.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let watch = Watch::begin(&[], false)?;
    let output = spawn_on(&mut program, cpus)?.wait_with_output()?;
    let disturbance = watch.end()?.disturbance;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let status = output.status.to_string();
        return Err(failure(text.lines().last().unwrap_or(&status)));
    }
    Ok((String::from_utf8_lossy(&output.stdout).trim().to_owned(), disturbance))
}
