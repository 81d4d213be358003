//! The arguments that every example server takes.

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;

use lexopt::{Arg, Parser, ValueExt};

/// Where a server listens unless told otherwise: no other machine can reach it there.
const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";

/// How a server is to run.
#[derive(Debug)]
pub struct Arguments {
    /// Where to listen.
    pub address: SocketAddr,
    /// How many pollers to run; `None` leaves it to the library.
    pub pollers: Option<NonZeroUsize>,
    /// Which API serves the connections.
    pub api: Api,
    /// The program's own options that were given, with their values.
    own: Vec<(&'static str, Option<String>)>,
}

impl Arguments {
    /// Whether one of the program's own options was given.
    pub fn has(&self, name: &str) -> bool {
        self.own.iter().any(|own| own.0 == name)
    }

    /// The value of one of the program's own options; of several, the last.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.own.iter().rev().find(|own| own.0 == name)?.1.as_deref()
    }
}

/// An option that one program has and the others don't.
#[derive(Debug)]
pub struct Own {
    /// What follows the two dashes.
    pub name: &'static str,
    /// What `--help` calls its value, if it takes one.
    pub value: Option<&'static str>,
    /// What `--help` says of it.
    pub help: &'static str,
}

/// The two APIs of the library.
#[derive(Clone, Copy, Debug)]
pub enum Api {
    /// An `EvHandler` a connection.
    Handler,
    /// A task a connection.
    Async,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// To serve.
    Serve(Arguments),
    /// To say how it is used.
    Help,
}

/// What `--help` says of the APIs, where both make sense.
const API_HELP: &str =
    "      --api <API>          What serves a connection: handler or async [default: handler]\n";

/// What `--help` prints.
pub fn help(name: &str, about: &str, own: &[Own], has_api: bool) -> String {
    let own: String = own
        .iter()
        .map(|own| {
            let value = own.value.map(|value| format!(" <{value}>")).unwrap_or_default();
            format!("      {:<20} {}\n", format!("--{}{value}", own.name), own.help)
        })
        .collect();
    let api = if has_api { API_HELP } else { "" };
    format!(
        "{about}

Usage: {name} [OPTIONS]

Options:
      --addr <ADDRESS>     Where to listen [default: {DEFAULT_ADDRESS}]; port 0 takes a free one,
                           and the first line printed names it
      --pollers <NUMBER>   How many threads serve [default: one for each available CPU]
{api}{own}  -h, --help               Print this

SIGINT and SIGTERM end it gracefully; a second one ends it at once.
"
    )
}

impl Command {
    /// Reads the command line of this process. `own` are the program's own options; the choice of an
    /// API is not everyone's.
    pub fn from_environment(own: &[Own], has_api: bool) -> Result<Command, lexopt::Error> {
        let mut given = Vec::new();
        let mut parser = Parser::from_env();
        let mut address = None;
        let mut pollers = None;
        let mut api = Api::Handler;
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("addr") => address = Some(parser.value()?.parse_with(parse_address)?),
                Arg::Long("pollers") => pollers = Some(parser.value()?.parse_with(parse_pollers)?),
                Arg::Long("api") if has_api => api = parser.value()?.parse_with(parse_api)?,
                Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
                Arg::Long(name) => match own.iter().find(|own| own.name == name) {
                    Some(own) => {
                        let value = own.value.map(|_| parser.value()?.string()).transpose()?;
                        given.push((own.name, value));
                    }
                    None => return Err(argument.unexpected()),
                },
                _ => return Err(argument.unexpected()),
            }
        }
        let address = address.map_or_else(|| parse_address(DEFAULT_ADDRESS), Ok)?;
        Ok(Command::Serve(Arguments { address, pollers, api, own: given }))
    }
}

/// An address with a port. A host name is looked up here: nothing is served yet that could wait.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text.to_socket_addrs().map_err(|error| {
        format!("{error}; an address with a port is needed, such as {DEFAULT_ADDRESS} or [::1]:0")
    })?;
    addresses.next().ok_or_else(|| String::from("the name has no address"))
}

/// At least one.
fn parse_pollers(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().map_err(|_| "a number of threads is needed, at least 1")
}

/// One of two words.
fn parse_api(text: &str) -> Result<Api, &'static str> {
    match text {
        "handler" => Ok(Api::Handler),
        "async" => Ok(Api::Async),
        _ => Err("it is either handler or async"),
    }
}
