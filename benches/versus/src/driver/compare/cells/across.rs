//! The round trip between two event loops, which a program of this build measures by itself.

use std::process::Stdio;

use super::{Bench, Cell, Cost};
use crate::across::Pair;
use crate::args::{Error, failure};
use crate::driver::compare::placement::spawn_on;
use crate::driver::compare::results::{Column, Sample, Unit};
use crate::driver::compare::watch::{Disturbance, Watch};
use crate::driver::process::command;

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
pub(super) fn output(words: &[&str], cpus: &[usize]) -> Result<(String, Disturbance), Error> {
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
