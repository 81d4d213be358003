//! `load --addr ADDR --requests N`: see [`versus::load`].

use std::process::ExitCode;

fn main() -> ExitCode {
    versus::args::run("load", versus::load::main)
}
