//! The arguments that the examples take.

use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::{NonZeroU64, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

/// How a program is to run.
#[derive(Debug)]
pub struct Arguments {
    /// Where to listen.
    pub address: SocketAddr,
    /// How many pollers to run; `None` leaves it to the library.
    pub pollers: Option<NonZeroUsize>,
    /// Which API serves the connections.
    pub api: Api,
    /// How long a peer may keep the server waiting.
    pub patience: Duration,
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

    /// The same as a number.
    pub fn number<T: FromStr<Err: Display>>(&self, name: &str) -> io::Result<Option<T>> {
        self.value(name)
            .map(|text| text.parse().map_err(|error| bad_value(name, error)))
            .transpose()
    }
}

/// What is said of a value that makes no sense.
pub fn bad_value(name: &str, error: impl Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("--{name}: {error}"))
}

/// What a program is, and which arguments it takes.
#[derive(Debug)]
pub struct Program<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What it does, in a line or two.
    pub about: &'a str,
    /// Its own options.
    pub own: &'a [Own],
    /// Whether it serves by either API.
    pub has_api: bool,
    /// Whether it has a reactor, and not only a poller inside of another loop.
    pub has_pollers: bool,
    /// Where it listens unless told otherwise: no other machine can reach it there.
    pub default_address: &'a str,
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
    /// To run.
    Run(Arguments),
    /// To say how it is used.
    Help,
}

/// How long a peer may keep a server waiting unless told otherwise. Many clients keep a connection for
/// as long between two requests; one that takes longer for a single request has vanished, or means no
/// good.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `--help` says of the APIs, where both make sense.
const API_HELP: &str =
    "      --api <API>          What serves a connection: handler or async [default: handler]\n";

/// What it says of the pollers, and of what is served by them.
const POLLERS_HELP: &str =
    "      --pollers <NUMBER>   How many threads serve [default: one for each available CPU]
      --patience <MS>      Milliseconds that a peer may keep the server waiting [default: 60000]\n";

impl Program<'_> {
    /// What `--help` prints.
    pub fn help(&self) -> String {
        let Program { name, about, default_address, .. } = self;
        let own: String = self.own.iter().map(Own::help_line).collect();
        let pollers = if self.has_pollers { POLLERS_HELP } else { "" };
        let api = if self.has_api { API_HELP } else { "" };
        format!(
            "{about}

Usage: {name} [OPTIONS]

Options:
      --addr <ADDRESS>     Where to listen [default: {default_address}]; port 0 takes a free one,
                           and the first line printed names it
{pollers}{api}{own}  -h, --help               Print this

SIGINT and SIGTERM end it gracefully; a second one ends it at once.
"
        )
    }

    /// Reads the command line of this process.
    pub fn command(&self) -> Result<Command, lexopt::Error> {
        let mut given = Vec::new();
        let mut parser = Parser::from_env();
        let mut address = None;
        let mut pollers = None;
        let mut api = Api::Handler;
        let mut patience = PATIENCE;
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("addr") => address = Some(parser.value()?.parse_with(parse_address)?),
                Arg::Long("pollers") if self.has_pollers => {
                    pollers = Some(parser.value()?.parse_with(parse_pollers)?);
                }
                Arg::Long("patience") if self.has_pollers => {
                    patience = parser.value()?.parse_with(parse_patience)?;
                }
                Arg::Long("api") if self.has_api => api = parser.value()?.parse_with(parse_api)?,
                Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
                Arg::Long(name) => match self.own.iter().find(|own| own.name == name) {
                    Some(own) => {
                        let value = own.value.map(|_| parser.value()?.string()).transpose()?;
                        given.push((own.name, value));
                    }
                    None => return Err(argument.unexpected()),
                },
                _ => return Err(argument.unexpected()),
            }
        }
        let address = address.map_or_else(|| parse_address(self.default_address), Ok)?;
        Ok(Command::Run(Arguments { address, pollers, api, patience, own: given }))
    }
}

impl Own {
    /// What `--help` prints of it.
    fn help_line(&self) -> String {
        let value = self.value.map(|value| format!(" <{value}>")).unwrap_or_default();
        format!("      {:<20} {}\n", format!("--{}{value}", self.name), self.help)
    }
}

/// An address with a port. A host name is looked up here: nothing is served yet that could wait.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text.to_socket_addrs().map_err(|error| {
        format!("{error}; an address with a port is needed, such as 127.0.0.1:8080 or [::1]:0")
    })?;
    addresses.next().ok_or_else(|| String::from("the name has no address"))
}

/// At least one.
fn parse_pollers(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().map_err(|_| "a number of threads is needed, at least 1")
}

/// At least one.
fn parse_patience(text: &str) -> Result<Duration, &'static str> {
    let milliseconds: NonZeroU64 =
        text.parse().map_err(|_| "a number of milliseconds is needed, at least 1")?;
    Ok(Duration::from_millis(milliseconds.get()))
}

/// One of two words.
fn parse_api(text: &str) -> Result<Api, &'static str> {
    match text {
        "handler" => Ok(Api::Handler),
        "async" => Ok(Api::Async),
        _ => Err("it is either handler or async"),
    }
}
