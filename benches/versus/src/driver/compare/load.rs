//! Runs of corepoll-load, and what they report.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::options::workspace;
use super::placement::spawn_on;
use crate::args::{Error, failure};
use crate::protocol::Kind;

/// Above this share of errors, the answered requests say little.
const MOST_ERRORS: f64 = 0.001;

/// What a load that keeps a rate could not send. The server was too slow for the rate, which is a
/// result.
const LATE: &str = "not sent in time";

/// The load generator.
#[derive(Clone, Debug)]
pub(in crate::driver) struct Program(pub(super) PathBuf);

/// What it is to do.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) protocol: Kind,
    pub(super) connections: usize,
    pub(super) pipeline: usize,
    /// Bytes of a message of the echo.
    pub(super) size: usize,
    /// A connection for each request.
    pub(super) is_churn: bool,
    /// Requests a second; as fast as possible if there is none.
    pub(super) rate: Option<u64>,
    pub(super) pollers: usize,
    pub(super) duration: Duration,
}

/// What it has measured.
#[derive(Debug)]
pub(in crate::driver) struct Report {
    pub(super) requests: f64,
    pub(in crate::driver) per_second: f64,
    pub(super) seconds: f64,
    /// Percentiles with their latencies in nanoseconds, in order.
    pub(super) percentiles: Vec<(f64, f64)>,
    /// The share of requests that could not be sent in time.
    pub(super) late: f64,
}

impl Report {
    /// The latency that `percent` of the requests don't exceed, in nanoseconds.
    pub(super) fn percentile(&self, percent: f64) -> Option<f64> {
        self.percentiles.iter().find(|point| point.0 == percent).map(|point| point.1)
    }
}

impl Program {
    /// Takes the program that is named, or builds corepoll-load in the profile of this one.
    pub(in crate::driver) fn find(named: Option<&Path>) -> Result<Program, Error> {
        if let Some(path) = named {
            return Ok(Program(path.to_owned()));
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "-p", "corepoll-load", "--message-format", "json-render-diagnostics"]);
        if env!("VERSUS_PROFILE") == "release" {
            build.arg("--release");
        }
        build.current_dir(workspace()).stderr(Stdio::inherit());
        let output = build.output().map_err(|error| failure(format!("cargo: {error}")))?;
        if !output.status.success() {
            return Err(failure("corepoll-load can't be built; --load names one that is"));
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut programs =
            built.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
        programs.next_back().map(Program).ok_or_else(|| failure("cargo names no corepoll-load"))
    }

    /// Its name and version.
    pub(super) fn version(&self) -> Result<String, Error> {
        let output = Command::new(&self.0).arg("--version").output();
        let output = output.map_err(|error| failure(format!("{}: {error}", self.0.display())))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Loads a server on some CPUs, behind the words of `wrapper`.
    pub(super) fn run(
        &self,
        load: &Load,
        addr: SocketAddr,
        cpus: &[usize],
        wrapper: &[String],
    ) -> Result<Report, Error> {
        let output = self.start(load, addr, cpus, wrapper)?.wait_with_output()?;
        report(&output.stdout, &mut &output.stderr[..])
    }

    /// Starts a load that is to end by itself, or to be killed.
    pub(super) fn start(
        &self,
        load: &Load,
        addr: SocketAddr,
        cpus: &[usize],
        wrapper: &[String],
    ) -> Result<Child, Error> {
        let mut command = self.command(load, addr, wrapper);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        spawn_on(&mut command, cpus)
    }

    /// Returns the command of a load, behind the words of `wrapper`.
    pub(super) fn command(&self, load: &Load, addr: SocketAddr, wrapper: &[String]) -> Command {
        let mut command = match wrapper.split_first() {
            None => Command::new(&self.0),
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words).arg(&self.0);
                command
            }
        };
        command.args(load.arguments(addr));
        command
    }
}

impl Load {
    /// A closed loop over connections that are kept.
    pub(super) fn closed(protocol: Kind, connections: usize, duration: Duration) -> Load {
        Load {
            protocol,
            connections,
            pipeline: 1,
            size: 64,
            is_churn: false,
            rate: None,
            pollers: 1,
            duration,
        }
    }

    fn arguments(&self, addr: SocketAddr) -> Vec<String> {
        let target = match self.protocol {
            Kind::Echo => format!("tcp://{addr}"),
            _ => format!("http://{addr}/plaintext"),
        };
        let mut arguments = vec![target, "--json".to_owned(), "--quiet".to_owned()];
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        option("--connections", self.connections.to_string());
        option("--pollers", self.pollers.to_string());
        option("--pipeline", self.pipeline.to_string());
        option("--duration", format!("{}ms", self.duration.as_millis()));
        if self.protocol == Kind::Echo {
            option("--size", self.size.to_string());
        }
        if let Some(rate) = self.rate {
            option("--rate", rate.to_string());
        }
        if self.is_churn {
            option("--mode", "churn".to_owned());
            // A port that was used is free again after a while: one address has too few of them.
            for last in 1..=4 {
                option("--source", format!("127.0.0.{last}"));
            }
        }
        arguments
    }
}

pub(super) fn report(output: &[u8], errors: &mut impl Read) -> Result<Report, Error> {
    let Ok(json) = serde_json::from_slice::<Value>(output) else {
        let mut text = Vec::new();
        errors.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().last().unwrap_or("the load failed without a word");
        return Err(failure(last));
    };
    read_report(&json)
}

fn read_report(json: &Value) -> Result<Report, Error> {
    let number = |name: &str| {
        json[name].as_f64().ok_or_else(|| failure(format!("the load reports no {name}")))
    };
    let (requests, sent) = (number("requests")?, number("sent")?);
    let mut late = 0.0;
    let mut wrong = Vec::new();
    let errors = json["errors"].as_object().into_iter().flatten();
    for (kind, count) in errors {
        let count = count.as_f64().unwrap_or_default();
        if kind == LATE {
            late = count / (sent + count);
        } else if count > MOST_ERRORS * requests {
            wrong.push(format!("{count} times {kind}"));
        }
    }
    if !wrong.is_empty() || requests == 0.0 {
        let what = if wrong.is_empty() { "no answers".to_owned() } else { wrong.join(", ") };
        return Err(failure(format!("under load: {what}")));
    }
    let percentiles = json["latency_ns"]["percentiles"].as_object().into_iter().flatten();
    let mut percentiles: Vec<(f64, f64)> = percentiles
        .filter_map(|(name, value)| {
            let percent = if name == "max" { "100" } else { name.strip_prefix('p')? };
            Some((percent.parse().ok()?, value.as_f64()?))
        })
        .collect();
    percentiles.sort_by(|one, other| one.0.total_cmp(&other.0));
    Ok(Report {
        requests,
        per_second: number("requests_per_second")?,
        seconds: number("duration_ns")? / 1e9,
        percentiles,
        late,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn example(errors: &Value) -> Value {
        json!({
            "requests": 10_000, "sent": 10_000, "requests_per_second": 5_000.0,
            "duration_ns": 2_000_000_000_u64,
            "latency_ns": { "percentiles": { "max": 9, "p50": 1, "p99.9": 5 } },
            "errors": errors,
        })
    }

    #[test]
    fn a_report_has_its_percentiles_in_order() {
        let report = read_report(&example(&json!({}))).unwrap();
        assert_eq!(report.percentiles, [(50.0, 1.0), (99.9, 5.0), (100.0, 9.0)]);
        assert_eq!(report.percentile(99.9), Some(5.0));
        assert_eq!(report.percentile(99.0), None);
        assert_eq!(report.seconds, 2.0);
    }

    #[test]
    fn a_server_that_is_late_has_a_result_and_one_that_fails_has_none() {
        let late = read_report(&example(&json!({ LATE: 2_500 }))).unwrap();
        assert_eq!(late.late, 0.2);
        read_report(&example(&json!({ "timeout": 10 }))).expect("one in a thousand is let pass");
        let error = read_report(&example(&json!({ "timeout": 11 }))).unwrap_err();
        assert_eq!(error.to_string(), "under load: 11 times timeout");
    }
}
