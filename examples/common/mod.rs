//! What the example programs share: their arguments, their signals, and the frame around both.

// Each program uses some of it.
#![allow(dead_code, unused_imports)]

mod arguments;
mod signals;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use corepoll::{Listening, Reactor, ReactorHandle};

pub use arguments::{Api, Arguments, Own};
use arguments::{Command, help, parse_address};

/// The exit status for arguments that make no sense, as shells and the GNU tools have it.
const USAGE_ERROR: u8 = 2;

/// Runs a server that serves by either API: see [`run`].
pub fn run_server(
    name: &str,
    about: &str,
    listen: impl FnOnce(&ReactorHandle, &Arguments) -> io::Result<Listening>,
) -> ExitCode {
    run(name, about, &[], true, listen)
}

/// Runs a server from its arguments to its exit status. `about` says in a line or two what it does;
/// `own` are its own options; `listen` opens its listener on a reactor that has yet to be started.
pub fn run(
    name: &str,
    about: &str,
    own: &[Own],
    has_api: bool,
    listen: impl FnOnce(&ReactorHandle, &Arguments) -> io::Result<Listening>,
) -> ExitCode {
    let outcome = match Command::from_environment(own, has_api) {
        Ok(Command::Serve(arguments)) => serve(&arguments, listen),
        Ok(Command::Help) => print(&help(name, about, own, has_api)),
        Err(error) => {
            eprintln!("{name}: {error}\nTry '{name} --help'.");
            return ExitCode::from(USAGE_ERROR);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal comes.
fn serve(
    arguments: &Arguments,
    listen: impl FnOnce(&ReactorHandle, &Arguments) -> io::Result<Listening>,
) -> io::Result<()> {
    let reactor = build_reactor(arguments)?;
    let handle = reactor.handle();
    // Before the address is announced: whoever has read it may send a signal at once.
    signals::shut_down_on_signal(handle.clone())?;
    let listening = listen(&handle, arguments)?;
    announce(listening.local_addr()?)?;
    reactor.run()
}

/// A reactor with as many pollers as asked for; by default one for each CPU that we may use.
fn build_reactor(arguments: &Arguments) -> io::Result<Reactor> {
    match arguments.pollers {
        Some(pollers) => Reactor::builder().pollers(pollers.get()).build(),
        None => Reactor::new(),
    }
}

/// The first line printed: with port 0, this is how others learn the port.
fn announce(address: SocketAddr) -> io::Result<()> {
    print(&format!("listening on {address}\n"))
}

/// The first address that `text`, the value of `option`, means.
pub fn resolve(option: &str, text: &str) -> io::Result<SocketAddr> {
    let wrong = |error| io::Error::new(io::ErrorKind::InvalidInput, format!("{option}: {error}"));
    parse_address(text).map_err(wrong)
}

/// Prints at once, and without the panic of `print!` when nobody reads.
pub fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}
