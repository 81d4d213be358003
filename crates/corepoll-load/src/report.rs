//! The results, as text and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::options::Options;
use crate::run::Outcome;

/// The percentiles that are told.
const PERCENTILES: [f64; 7] = [50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0];

/// Returns a line that says what was loaded, and how.
pub fn title(options: &Options) -> String {
    let mode = options.protocol_and_mode().map(|(_, mode)| format!("{mode:?}").to_lowercase());
    let mut title = format!("{}, {} connections", options.target, options.connections);
    if options.pipeline.get() > 1 {
        let _ = write!(title, ", pipelined {}", options.pipeline);
    }
    if let Some(rate) = options.rate {
        let _ = write!(title, ", {rate} requests/s");
    }
    format!("{} {title}", mode.unwrap_or_default())
}

/// Returns the summary that is printed.
pub fn text(options: &Options, outcome: &Outcome) -> String {
    let Outcome { statistics, connecting, lasted, cpu, pollers } = outcome;
    let seconds = lasted.as_secs_f64();
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("load", format!("{}, {pollers} pollers, {seconds:.2} s", title(options)));
    let began = short(*connecting);
    line("connected", format!("{}, the load began after {began}", statistics.connected));
    let rate = statistics.answered as f64 / seconds;
    line("requests", format!("{}, {rate:.0} a second", statistics.answered));
    let megabytes = statistics.received as f64 / seconds / 1e6;
    line("received", format!("{} bytes, {megabytes:.1} MB a second", statistics.received));
    let each = (cpu.0 + cpu.1).as_secs_f64() * 1e6 / statistics.answered.max(1) as f64;
    line(
        "own CPU",
        format!("{} user, {} system, {each:.2} µs a request", short(cpu.0), short(cpu.1)),
    );
    line(
        "latency",
        format!("{} mean, {} deviation", short(statistics.mean()), short(statistics.deviation())),
    );
    for percent in PERCENTILES {
        let latency = match percent {
            100.0 => statistics.longest(),
            _ => statistics.percentile(percent),
        };
        line(&format!("  {percent} %"), short(latency));
    }
    line("errors", statistics.error_count().to_string());
    for (kind, count) in &statistics.errors {
        line("", format!("{count} {kind}"));
    }
    text
}

/// Returns the results for programs. Times are in nanoseconds.
pub fn json(options: &Options, outcome: &Outcome) -> Value {
    let statistics = &outcome.statistics;
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let percentiles: serde_json::Map<String, Value> = PERCENTILES
        .iter()
        .map(|percent| match *percent {
            100.0 => ("max".into(), nanoseconds(statistics.longest()).into()),
            percent => (format!("p{percent}"), nanoseconds(statistics.percentile(percent)).into()),
        })
        .collect();
    json!({
        "load": title(options),
        "pollers": outcome.pollers,
        "connections": options.connections,
        "rate": options.rate,
        "pipeline": options.pipeline,
        "duration_ns": nanoseconds(outcome.lasted),
        "connecting_ns": nanoseconds(outcome.connecting),
        "connected": statistics.connected,
        "sent": statistics.sent,
        "requests": statistics.answered,
        "requests_per_second": statistics.answered as f64 / outcome.lasted.as_secs_f64(),
        "received_bytes": statistics.received,
        "cpu_user_ns": nanoseconds(outcome.cpu.0),
        "cpu_system_ns": nanoseconds(outcome.cpu.1),
        "latency_ns": {
            "mean": nanoseconds(statistics.mean()),
            "deviation": nanoseconds(statistics.deviation()),
            "percentiles": percentiles,
        },
        "errors": statistics.errors,
    })
}

/// Returns a time in the unit that suits it, to three digits.
pub fn short(time: Duration) -> String {
    let nanoseconds = time.as_nanos() as f64;
    let (value, unit) = match nanoseconds {
        0.0..1e3 => (nanoseconds, "ns"),
        1e3..1e6 => (nanoseconds / 1e3, "µs"),
        1e6..1e9 => (nanoseconds / 1e6, "ms"),
        _ => (nanoseconds / 1e9, "s"),
    };
    let digits = match value {
        0.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_digits_and_its_unit() {
        for (time, text) in [
            (Duration::ZERO, "0.00 ns"),
            (Duration::from_nanos(999), "999 ns"),
            (Duration::from_nanos(1_234), "1.23 µs"),
            (Duration::from_micros(45_670), "45.7 ms"),
            (Duration::from_millis(123_400), "123 s"),
        ] {
            assert_eq!(short(time), text);
        }
    }
}
