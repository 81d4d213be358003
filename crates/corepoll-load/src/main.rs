//! `corepoll-load`: loads a server over HTTP/1.1 or with messages that it echoes, and reports rates,
//! latencies and errors. README.md shows its use.

mod connection;
mod options;
mod report;
mod response;
mod run;
mod schedule;
mod statistics;
mod svg;
mod tls;
mod wire;
mod work;

use std::process::ExitCode;

use clap::Parser;

use options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    match load(&options) {
        // Where nothing was answered, a script should stop.
        Ok(answered) => ExitCode::from(u8::from(answered == 0)),
        Err(error) => {
            eprintln!("corepoll-load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the load and prints its results. Returns how many requests were answered.
fn load(options: &Options) -> Result<u64, String> {
    let outcome = run::run(options)?;
    if let Some(path) = &options.svg {
        let picture = svg::latencies(&report::title(options), &outcome.statistics);
        std::fs::write(path, picture).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if options.json {
        println!("{:#}", report::json(options, &outcome));
    } else {
        print!("{}", report::text(options, &outcome));
    }
    Ok(outcome.statistics.answered)
}
