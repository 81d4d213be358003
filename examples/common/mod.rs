//! What the example programs share: their arguments, their signals, and the frame around both.

// Each program uses some of it.
#![allow(dead_code, unused_imports)]

mod arguments;
mod lingering;
mod signals;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use corepoll::{Listening, Reactor, ReactorHandle};

pub use arguments::{Api, Arguments, Own, bad_value};
use arguments::{Command, Program, parse_address};
pub use lingering::close_lingering;
pub use signals::on_signal;

/// How long connections may take to end after the first signal. Requests here take microseconds: this
/// is for peers on slow networks.
const GRACE: Duration = Duration::from_secs(5);

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
    let program =
        Program { name, about, own, has_api, has_pollers: true, default_address: "127.0.0.1:8080" };
    run_program(&program, |arguments| serve(arguments, listen))
}

/// Runs a program whose poller is inside of another loop. It takes no port that another program may
/// have, since it is its own client.
pub fn run_embedded(
    name: &str,
    about: &str,
    own: &[Own],
    main: impl FnOnce(&Arguments) -> io::Result<()>,
) -> ExitCode {
    let program = Program {
        name,
        about,
        own,
        has_api: false,
        has_pollers: false,
        default_address: "127.0.0.1:0",
    };
    run_program(&program, main)
}

/// Runs a program from its arguments to its exit status.
fn run_program(program: &Program<'_>, main: impl FnOnce(&Arguments) -> io::Result<()>) -> ExitCode {
    let name = program.name;
    let outcome = match program.command() {
        Ok(Command::Run(arguments)) => main(&arguments),
        Ok(Command::Help) => print(&program.help()),
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
    shut_down_on_signal(handle.clone())?;
    let listening = listen(&handle, arguments)?;
    announce(listening.local_addr()?)?;
    reactor.run()
}

/// From now on the first signal shuts the reactor down gracefully, and a second one at once.
fn shut_down_on_signal(reactor: ReactorHandle) -> io::Result<()> {
    let mut grace = GRACE;
    on_signal(move || {
        reactor.shutdown(grace);
        grace = Duration::ZERO;
    })
}

/// A reactor with as many pollers as asked for; by default one for each CPU that we may use.
fn build_reactor(arguments: &Arguments) -> io::Result<Reactor> {
    match arguments.pollers {
        Some(pollers) => Reactor::builder().pollers(pollers.get()).build(),
        None => Reactor::new(),
    }
}

/// The first line printed: with port 0, this is how others learn the port.
pub fn announce(address: SocketAddr) -> io::Result<()> {
    print(&format!("listening on {address}\n"))
}

/// The first address that `text`, the value of `option`, means.
pub fn resolve(option: &str, text: &str) -> io::Result<SocketAddr> {
    parse_address(text).map_err(|error| bad_value(option, error))
}

/// Prints at once, and without the panic of `print!` when nobody reads.
pub fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}
