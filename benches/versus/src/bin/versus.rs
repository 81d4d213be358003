//! `versus syscalls|instructions|cpu|idle|fanout|relay`: see [`versus::driver`].

use std::process::ExitCode;

fn main() -> ExitCode {
    versus::args::run("versus", versus::driver::main)
}
