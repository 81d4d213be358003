//! `server --peer bare --protocol echo`: see [`versus::server`].

use std::process::ExitCode;

fn main() -> ExitCode {
    versus::args::run("server", versus::server::main)
}
